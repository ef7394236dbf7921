/**
 * "Likelihood against probability" on a line. One function p(x; μ, σ), seen two ways: probability fixes θ = (μ, σ) and moves x;
 * likelihood fixes the points x and moves θ; and, third, how a histogram becomes a density as its bins narrow.
 *
 *   log L(θ) = Σ_i log N(x_i; μ, σ²),  greatest at μ = mean, σ² = mean square about it (divided by N)       (Bishop 2006, §1.2.4)
 *
 * This module holds the settings and the controls; each mode (likelihood_fit, likelihood_interval, likelihood_histogram) owns its
 * pictures. `stage` = { text, settings(), choose(change, { quiet }), cloud(), say(words), failed(error) }: `quiet` while something
 * is still being dragged.
 */
import { fill, h, number } from "../lib/dom.js";
import { sufficient } from "../lib/gaussians.js";
import { fitMode } from "./likelihood_fit.js";
import { histogramMode } from "./likelihood_histogram.js";
import { intervalMode } from "./likelihood_interval.js";
import { figure } from "./likelihood_plot.js";

const MODES = ["likelihood", "probability", "histogram"];

/**
 * The settings and what they are where the page has none (null: chosen by the points). mode; mu, sigma: θ; used: how many of the
 * points; at, width: x and the interval around it; theta: "mu" or "sigma", the map's second axis; bin: the bins' width; scale:
 * "share" or "density"; of: a histogram of the points (0) or of so many draws from N(μ, σ²); zoom: how many times the axis is widened.
 */
export const SETTINGS = { mode: "likelihood", mu: null, sigma: null, used: null, at: null, width: null, theta: "mu", bin: null, scale: "share", of: null, zoom: 1 };

const within = (value, low, high) => Math.min(high, Math.max(low, value));
const isNumber = (value) => typeof value === "number" && Number.isFinite(value);

/** The ranges that follow from the points, and the settings brought into them. */
export function resolve(settings, { points, n, stats }) {
  const given = Object.fromEntries(Object.entries(SETTINGS).map(([key, value]) => [key, settings[key] ?? value]));
  const deviation = Math.sqrt(stats.meanSquare) || Math.abs(stats.mean) * 1e-3 || 1;
  let [least, most] = [Infinity, -Infinity];
  for (let i = 0; i < n; i++) {
    least = Math.min(least, points[i]);
    most = Math.max(most, points[i]);
  }
  const [low, high] = [least - 1.2 * deviation, most + 1.2 * deviation];
  const pick = (value, otherwise, from, to) => within(isNumber(value) ? value : otherwise, from, to);
  const out = { n, deviation, low, high, sigmaLow: deviation / 16, sigmaHigh: 4 * deviation, widthLow: deviation / 1e4, widthHigh: 6 * deviation };
  out.mode = MODES.includes(given.mode) ? given.mode : MODES[0];
  out.mu = pick(given.mu, stats.mean - 1.1 * deviation, low, high);
  out.sigma = pick(given.sigma, 1.7 * deviation, out.sigmaLow, out.sigmaHigh);
  out.used = Math.round(pick(given.used || null, Math.min(10, n), 1, n));
  out.at = pick(given.at, stats.mean + 0.8 * deviation, low, high);
  out.width = pick(given.width || null, deviation, out.widthLow, out.widthHigh);
  out.theta = given.theta === "sigma" ? "sigma" : "mu";
  out.scale = given.scale === "density" ? "density" : "share";
  out.of = [0, 1000, 100000].includes(given.of) ? given.of : n < 500 ? 100000 : 0;
  const spread = out.of ? out.sigma : deviation; // what the histogram is of
  [out.from, out.to] = out.of ? [out.mu - 5 * out.sigma, out.mu + 5 * out.sigma] : [low, high];
  out.binHigh = out.to - out.from;
  out.binLow = Math.max(spread / 100, out.binHigh / 20000);
  out.bin = pick(given.bin || null, out.binHigh / 12, out.binLow, out.binHigh);
  out.zoom = pick(given.zoom, 1, 1, 200);
  return out;
}

export function likelihoodView(host, stage) {
  const { text } = stage;
  let own = {}; // what was set here and the page has not said otherwise
  let cloud = { d: 1, n: 0, points: new Float64Array(0) };
  let all = null; // what `resolve` needs of the cloud
  let state = null; // null: nothing that could be shown
  let controls = [];

  // --- What stands where -------------------------------------------------------------------------------------------------
  const tabs = MODES.map((mode) =>
    h("button", { type: "button", role: "tab", id: `likelihood-tab-${mode}`, "aria-controls": `likelihood-${mode}`, onclick: () => set({ mode }) }, text[`mode_${mode}`]),
  );
  const tabList = h("div", { class: "likelihood-tabs", role: "tablist", "aria-label": text.modes }, ...tabs);
  const panels = Object.fromEntries(MODES.map((mode) => [mode, h("div", { role: "tabpanel", id: `likelihood-${mode}`, "aria-labelledby": `likelihood-tab-${mode}` })]));
  const body = h("div", {}, tabList, ...Object.values(panels));
  body.hidden = true; // until there is a cloud to show
  const other = h("div", { class: "likelihood-other", hidden: true }, h("p", {}), h("div", {}));
  for (const [data, words] of Object.entries(text.presets))
    other.lastChild.append(h("button", { type: "button", "data-preset": data, onclick: () => stage.choose({ data }) }, words));
  host.append(h("div", { class: "likelihood" }, other, body));

  tabList.addEventListener("keydown", (event) => {
    const by = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (!by) return;
    event.preventDefault();
    event.stopPropagation();
    const mode = MODES[(MODES.indexOf(state.mode) + by + MODES.length) % MODES.length];
    set({ mode });
    tabs[MODES.indexOf(mode)].focus();
  });

  // --- What the modes share ----------------------------------------------------------------------------------------------
  const view = {
    text,
    state: () => state,
    points: () => cloud.points,
    stats: () => all.stats,
    say: (words) => stage.say(words),
    set,
    slider,
    segments,
    goTo,
  };

  /**
   * A labelled range input for the setting `key`. `limits()`: [low, high]; `log`: steps are equal factors; `whole`: whole numbers;
   * `locked`: it only shows.
   */
  function slider(key, { name, symbol = "", token = "p", limits, log = false, whole = false, locked = false, digits = 3 }) {
    const STEPS = 400;
    const range = h("input", { type: "range", min: 0, max: STEPS, step: whole ? "any" : 1, "aria-label": name, "data-key": key, disabled: locked });
    const output = h("output", {});
    const row = h("label", { class: `likelihood-slider${locked ? " locked" : ""}` }, h("span", {}, symbol ? h("i", { class: `symbol-${token}` }, symbol) : null, symbol ? ` ${name}` : name), range, output);
    const value = (step) => {
      const [low, high] = limits();
      const t = step / STEPS;
      const at = log ? low * (high / low) ** t : low + t * (high - low);
      return whole ? Math.round(at) : within(at, low, high);
    };
    range.addEventListener("input", () => set({ [key]: value(Number(range.value)) }, false));
    range.addEventListener("change", () => set({ [key]: value(Number(range.value)) }));
    if (whole) // an arrow key is one more or one less, however many there are
      range.addEventListener("keydown", (event) => {
        const by = { ArrowLeft: -1, ArrowDown: -1, ArrowRight: 1, ArrowUp: 1 }[event.key];
        if (!by) return;
        event.preventDefault();
        set({ [key]: within(state[key] + by, ...limits()) });
      });
    controls.push(() => {
      const [low, high] = limits();
      const t = high > low ? (log ? Math.log(state[key] / low) / Math.log(high / low) : (state[key] - low) / (high - low)) : 0;
      range.value = t * STEPS;
      range.disabled = locked || high <= low;
      const words = whole ? number(state[key], 0) : figure(state[key], digits);
      range.setAttribute("aria-valuetext", words);
      output.textContent = words;
    });
    return row;
  }

  /** A choice of one among few for the setting `key`; `options`: [[value, words]]. */
  function segments(key, name, options) {
    const buttons = options.map(([value, words]) => h("button", { type: "button", "data-value": value, onclick: () => set({ [key]: value }) }, words));
    controls.push(() => options.forEach(([value], i) => buttons[i].setAttribute("aria-pressed", String(state[key] === value))));
    return h("div", { class: "likelihood-segments", role: "group", "aria-label": name, "data-key": key }, ...buttons);
  }

  /** A setting made here. `done`: not in the middle of a drag. */
  function set(wanted, done = true) {
    const kept = resolve({ ...stage.settings(), ...own, ...wanted }, all);
    const change = Object.fromEntries(Object.entries(wanted).map(([key, value]) => [key, value === null ? null : kept[key]]));
    stage.choose(change, { quiet: !done });
    own = { ...own, ...change };
    refresh(done);
  }

  let moving = 0;
  /** Moves θ there within a fifth of a second, σ by equal factors; at once where people want no motion. */
  function goTo(mu, sigma) {
    cancelAnimationFrame(moving);
    const from = { mu: state.mu, sigma: state.sigma };
    const began = performance.now();
    const step = (now) => {
      const t = matchMedia("(prefers-reduced-motion: reduce)").matches ? 1 : within((now - began) / 180, 0, 1);
      const eased = t * t * (3 - 2 * t);
      if (t === 1) return set({ mu, sigma });
      own = { ...own, mu: from.mu + eased * (mu - from.mu), sigma: from.sigma * (sigma / from.sigma) ** eased };
      refresh(false);
      moving = requestAnimationFrame(step);
    };
    step(began);
  }

  const modes = { likelihood: fitMode(panels.likelihood, view), probability: intervalMode(panels.probability, view), histogram: histogramMode(panels.histogram, view) };

  function refresh(done = false) {
    const fits = cloud.d === 1 && cloud.n > 0;
    other.hidden = fits;
    body.hidden = !fits;
    if (!fits) {
      state = null;
      other.firstChild.textContent = fill(cloud.d === 1 ? text.no_points : text.not_a_line, { d: cloud.d });
      return;
    }
    state = resolve({ ...stage.settings(), ...own }, all);
    MODES.forEach((mode, i) => {
      const on = mode === state.mode;
      tabs[i].setAttribute("aria-selected", String(on));
      tabs[i].tabIndex = on ? 0 : -1;
      panels[mode].hidden = !on;
    });
    for (const show of controls) show();
    modes[state.mode].update(done);
  }

  /** New settings, or a new cloud: what the page says holds from now on. */
  function update() {
    const said = stage.settings();
    own = Object.fromEntries(Object.entries(own).filter(([key]) => said[key] === undefined));
    const next = stage.cloud();
    if (next !== cloud || !all || next.points !== all.points) {
      cloud = next;
      const points = cloud.points.subarray(0, cloud.n);
      all = { points: cloud.points, n: cloud.n, stats: cloud.d === 1 ? sufficient(points) : null };
    }
    refresh(false);
  }

  return {
    update,
    json: () => (state ? { mode: state.mode, mu: state.mu, sigma: state.sigma, ...modes[state.mode].json() } : { d: cloud.d, n: cloud.n }),
    /** What is shown, the plots beside each other on the card's ground. */
    async png() {
      const canvases = state ? modes[state.mode].canvases() : [];
      const gap = 24;
      const whole = new OffscreenCanvas(Math.max(1, canvases.reduce((sum, one) => sum + one.width + gap, gap)), Math.max(1, ...canvases.map((one) => one.height + 2 * gap)));
      const c = whole.getContext("2d");
      c.fillStyle = getComputedStyle(host).getPropertyValue("--card").trim() || "#fff";
      c.fillRect(0, 0, whole.width, whole.height);
      let x = gap;
      for (const one of canvases) {
        c.drawImage(one, x, gap);
        x += one.width + gap;
      }
      return whole.convertToBlob({ type: "image/png" });
    },
  };
}
