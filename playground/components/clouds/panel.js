/**
 * One model beside the others: a plot, what it says in numbers, and its formula with the numbers of now. The parameters come from the
 * server; colours, densities and what is said of a place follow from them here (lib/gaussians.js).
 */
import { ask, bytes } from "../lib/api.js";
import { fill, h, m, number } from "../lib/dom.js";
import { densityGrid, logProb, nearest, responsibilities } from "../lib/gaussians.js";
import { cloudPlot } from "../cloud_plot/cloud_plot.js";
import { plotlyView } from "../plotly_view/plotly_view.js";
import { DENSITIES, mixtureAt, saddle, stateAt, STEPWISE, whole, within } from "./runs.js";

const SURFACE = 90; // cells a side
const DRAWN = 24; // samples at a press
const place = (x) => Array.from(x, (v) => number(v, 2)).join(", ");

/** stage: { text, settings(), cloud(), models, change(model), remove(), on: { … the plot's } } */
export function panel(host, feet, model, index, stage) {
  const { text } = stage;
  const choice = h("select", { "aria-label": fill(text.model_label, { n: index + 1 }), onchange: () => stage.change(choice.value) },
    ...Object.entries(text.models).map(([key, name]) => h("option", { value: key, selected: key === model, disabled: key !== model && stage.models.includes(key) }, name)));
  const close = h("button", { type: "button", class: "ghost close", "aria-label": text.remove, title: text.remove, hidden: stage.models.length < 2, onclick: stage.remove }, "×");
  const sampleButton = h("button", { type: "button", class: "ghost", title: text.sample_help, hidden: !DENSITIES.includes(model), onclick: () => sample() }, text.sample);
  const picture = h("div", { class: "panel-plot" });
  const surfaceBox = h("div", { class: "panel-surface", hidden: true });
  const numbers = h("p", { class: "panel-numbers" });
  const warning = h("p", { class: "panel-warning", role: "status" });
  const note = h("p", { class: "panel-note", role: "status" });
  const asking = h("p", { class: "panel-ask" });
  const formula = h("div", { class: "formula", tabindex: 0, role: "group", "aria-label": text.models[model] });
  const box = h("section", { class: "cloud-panel", "aria-label": text.models[model], "data-model": model },
    h("div", { class: "panel-head" }, choice, h("span", { class: "space" }), sampleButton, close), h("div", { class: "panel-picture" }, picture, surfaceBox, asking), numbers, warning, note);
  const foot = h("div", { class: "panel-foot", "data-model": model }, formula);
  host.append(box);
  feet.append(foot);

  let run = null;
  let frame = 0;
  let hand = null; // a Gaussian shaped by hand: its mixture
  let surface = null;
  let ghost = null;
  const plot = cloudPlot(picture, {
    text: text.plot,
    on: {
      ...stage.on,
      look: (at) => stage.look(at),
      mean: (k, at, done) => (model === "gaussian" ? shapeByHand((mix) => mix.means.set(at, 0)) : STEPWISE.includes(model) && stage.on.mean(shown(), k, at, done)),
      shape: (k, upper, done) => (model === "gaussian" ? shapeByHand((mix) => mix.covariances.set(whole(upper, mix.d))) : model === "gmm" && stage.on.shape(shown(), k, upper, done)),
    },
  });
  const shown = () => run && mixtureAt(run, within(run, frame));

  /** A Gaussian that a person has moved, against the likeliest one. */
  function shapeByHand(edit) {
    const from = hand ?? shown();
    if (!from) return;
    hand = { ...from, weights: from.weights.slice(), means: from.means.slice(), covariances: from.covariances.slice() };
    edit(hand);
    show(run, frame);
  }

  function meanLogProb(mixture) {
    const { points, n } = stage.cloud();
    const each = logProb(mixture, points, n);
    return each.reduce((a, b) => a + b, 0) / n;
  }

  function show(next, at) {
    if (next !== run) {
      hand = null;
      sampleButton.textContent = text.sample;
      plot.samples(null);
    }
    [run, frame] = [next, at];
    plot.layers({ density: stage.settings().density === "surface" ? "contours" : stage.settings().density });
    if (!run) {
      plot.state(null);
      plot.ghost(null);
      for (const one of [numbers, warning, note, asking, formula]) one.replaceChildren();
      if (model === "kde" && stage.cloud().d > 2) warning.textContent = text.warn.flat_only;
      return;
    }
    const state = stateAt(run, frame, stage.settings());
    plot.state(hand ? { ...state, mixture: hand, assigned: hand } : state);
    plot.ghost(ghost ? stateAt(ghost, frame, stage.settings()) : null);
    numbers.replaceChildren(...said());
    warning.textContent = warnings().join(" ");
    note.textContent = notes().join(" ");
    formula.replaceChildren(...[equation(hand ?? state.mixture)].flat());
    drawSurface(hand ?? state.mixture);
    box.dataset.frame = String(within(run, frame));
  }

  const term = (value, what, kind) => h("span", { class: "term" }, h("b", {}, value), ` ${what}`, kind ? h("i", { class: "kind" }, kind) : null);

  /** What the model says of all points at this frame, each number with what it is. */
  function said() {
    const words = text.numbers;
    const at = within(run, frame);
    const shadow = (values, digits) => (ghost ? [term(number(values[within(ghost, frame)], digits), text.pinned_value)] : []);
    if (model === "kmeans") return [term(number(run.inertia[at], 1), `${words.inertia}: ${words.no_density}`, words.exact), ...shadow(ghost?.inertia, 1)];
    if (hand) {
      const back = h("button", { type: "button", class: "ghost", onclick: () => { hand = null; show(run, frame); } }, text.to_maximum);
      return [h("span", {}, fill(text.hand, { hand: number(meanLogProb(hand), 4), best: number(run.log_likelihood[0], 4) })), back];
    }
    const value = run.log_likelihood[at];
    const out = [];
    if (model === "kde") {
      if (value !== null) out.push(term(fill(words.mean, { value: number(value, 4) }), words.loo, fill(words.loo_of, { n: number(run.left_out, 0) })));
      out.push(term(fill(words.bandwidth, { h: Number(run.bandwidth.toPrecision(3)) }), ""));
      return out;
    }
    if (value !== null) out.push(term(fill(words.mean, { value: number(value, 4) }), words.log_likelihood, words.exact));
    out.push(...shadow(ghost?.log_likelihood, 4));
    if (run.criteria && at === run.frames - 1) out.push(term(fill(words.bic, { value: number(run.criteria.bic, 1) }), fill(words.parameters, { n: run.criteria.parameters })));
    if (run.axes) run.axes.explained.forEach((share, i) => out.push(term("", fill(words.explained, { i: i + 1, share: number(100 * share, 1) }))));
    return out;
  }

  function warnings() {
    const words = text.warn;
    const at = within(run, frame);
    const named = (list) => list.map((k) => k + 1).join(", ");
    const out = [];
    const collapsed = run.collapsed?.[at] ?? [];
    const empty = run.empty?.[at] ?? [];
    if (collapsed.length) out.push(model === "gmm" ? fill(words.collapsed, { k: named(collapsed) }) : words.flat);
    if (empty.length) out.push(fill(words.empty, { k: named(empty) }));
    if (run.at_edge) out.push(words.at_edge);
    if (run.sampled) out.push(words.kernel_sample);
    if (model === "gmm") {
      if (stage.settings().assignment === "hard" && !isKmeans()) out.push(words.hard);
      if (saddle(run)) out.push(words.saddle);
    }
    if (stage.settings().density === "surface" && run.d !== 2 && DENSITIES.includes(model)) out.push(words.no_surface);
    return out;
  }

  /** Three switches make a mixture K-means. */
  function isKmeans() {
    const { assignment, weights, covariance, hold } = stage.settings();
    return assignment === "hard" && weights === "equal" && (covariance === "tied_spherical" || hold > 0);
  }

  /** What is worth knowing, and nothing amiss. */
  function notes() {
    const out = [];
    if (model === "gmm" && isKmeans()) out.push(text.kmeans_is);
    if (model === "pca" && run.axes && run.axes.directions.length === run.d - 1 && run.d > 1) out.push(text.numbers.same_gaussian);
    return out;
  }

  /** The model's formula, with the numbers of now. */
  function equation(mixture) {
    const [x, p] = [m("mi", "x", "symbol-x"), m("mi", "p", "symbol-p")];
    const of = [p, m("mo", "("), x, m("mo", ")"), m("mo", "=")];
    const normal = (mean, spread) => [m("mi", "N", "symbol-p"), m("mo", "("), m("mi", "x", "symbol-x"), m("mo", ";"), mean, m("mo", ","), spread, m("mo", ")")];
    const sub = (symbol, k) => m("msub", [m("mi", symbol), m("mn", k)]);
    const component = (k, content) => {
      const row = m("mrow", [content]);
      row.setAttribute("style", `color: var(--c${k % 10})`);
      return row;
    };
    if (model === "kmeans") {
      const at = within(run, frame);
      return m("math", [m("munder", [m("mo", "∑"), m("mi", "i")]), m("munder", [m("mi", "min"), m("mi", "k")]), m("msup", [m("mrow", [m("mo", "‖"), sub("x", "i"), m("mo", "−"), sub("μ", "k"), m("mo", "‖")]), m("mn", 2)]), m("mo", "="), m("mn", number(run.inertia[at], 1))]);
    }
    if (model === "kde") return m("math", [...of, m("mfrac", [m("mn", 1), m("mi", "n")]), m("munder", [m("mo", "∑"), m("mi", "i")]), ...normal(sub("x", "i"), m("msup", [m("mn", Number(run.bandwidth.toPrecision(3))), m("mn", 2)]))]);
    if (model === "gmm") {
      const infix = (sign) => {
        const one = m("mo", sign);
        one.setAttribute("form", "infix");
        return one;
      };
      const terms = Array.from(mixture.weights, (w, k) => m("math", [infix(k ? "+" : "="), component(k, m("mrow", [m("mn", number(w, 2)), m("mspace"), m("msub", [m("mi", "N"), m("mn", k + 1)])]))]));
      const general = m("math", [...of, m("munder", [m("mo", "∑"), m("mi", "z", "symbol-z")]), m("mi", "p", "symbol-p"), m("mo", "("), m("mi", "z", "symbol-z"), m("mo", ")"), m("mspace"), m("mi", "p", "symbol-p"), m("mo", "("), m("mi", "x", "symbol-x"), m("mo", "|"), m("mi", "z", "symbol-z"), m("mo", ")")]);
      return [general, ...terms]; // a sum that may break between its terms
    }
    const mean = m("mrow", [m("mo", "("), m("mn", place(mixture.means)), m("mo", ")")]);
    const spread = mixture.d === 1 ? m("msup", [m("mn", number(Math.sqrt(mixture.covariances[0]), 2)), m("mn", 2)]) : matrix(mixture.covariances, mixture.d);
    return m("math", [...of, ...normal(mean, spread)]);
  }

  function matrix(values, d) {
    const rows = Array.from({ length: d }, (_, i) => m("mtr", Array.from({ length: d }, (_, j) => m("mtd", [m("mn", number(values[i * d + j], 2))]))));
    return m("mrow", [m("mo", "("), m("mtable", rows), m("mo", ")")]);
  }

  /** The density over the plane as a hill to turn. */
  function drawSurface(mixture) {
    const wanted = stage.settings().density === "surface" && run.d === 2 && DENSITIES.includes(model);
    if (picture.offsetHeight) picture.dataset.height = picture.offsetHeight;
    surfaceBox.hidden = !wanted;
    picture.hidden = wanted;
    if (!wanted) return;
    surface ??= plotlyView(surfaceBox, { label: `${text.models[model]}: ${text.densities.surface}` });
    const { low, high } = stage.bounds();
    const axis = (j) => Float64Array.from({ length: SURFACE }, (_, i) => low[j] + ((high[j] - low[j]) * i) / (SURFACE - 1));
    let [xs, ys, values] = [axis(0), axis(1), null];
    if (model === "kde") {
      const { width, height, low: from, high: to } = run.grid;
      [xs, ys] = [0, 1].map((j) => Float64Array.from({ length: j ? height : width }, (_, i) => from[j] + ((to[j] - from[j]) * i) / ((j ? height : width) - 1)));
      values = run.grid.values;
    } else values = densityGrid(mixture, xs, ys);
    const z = Array.from(ys, (_, r) => Array.from(values.subarray(r * xs.length, (r + 1) * xs.length)));
    const names = stage.cloud().names;
    surface.draw([{ type: "surface", x: Array.from(xs), y: Array.from(ys), z, showscale: false, colorscale: [[0, "token:line"], [0.15, "token:p"], [1, "token:z"]], contours: { z: { show: false } } }],
      { height: picture.dataset.height ? Number(picture.dataset.height) : 340, margin: { l: 0, r: 0, t: 0, b: 0 }, scene: { aspectratio: { x: 1, y: 1, z: 0.55 }, camera: { eye: { x: 1.25, y: -1.6, z: 0.95 }, center: { x: 0, y: 0, z: -0.12 } }, xaxis: { title: { text: names[0] } }, yaxis: { title: { text: names[1] } }, zaxis: { title: { text: text.plot.density }, nticks: 4 } } });
  }

  /** What this model says of a place. */
  function ask_(at) {
    if (!at || !run) {
      asking.textContent = "";
      plot.choose(null);
      return;
    }
    const x = Float64Array.from(at.place);
    const head = fill(text.ask, { x: place(at.place) });
    const mixture = hand ?? shown();
    if (x.length !== run.d) return;
    if (model === "kmeans") {
      asking.textContent = head + fill(text.ask_nearest, { k: nearest(mixture.means, mixture.k, mixture.d, x, 1)[0] + 1 }) + `, ${text.ask_none}`;
      return;
    }
    if (!mixture) {
      asking.textContent = head + fill(text.ask_density, { model: "", value: number(Math.log(fromGrid(run.grid, at.place)), 2) });
      return;
    }
    const value = fill(text.ask_density, { model: "", value: number(logProb(mixture, x, 1)[0], 2) });
    const shares = model === "gmm" ? Array.from(responsibilities(mixture, x, 1), (r, k) => [r, k]).sort((a, b) => b[0] - a[0]).slice(0, 3).filter(([r]) => r >= 0.005) : [];
    asking.textContent = [head + value, ...shares.map(([r, k]) => fill(text.ask_share, { k: k + 1, share: number(100 * r, 0) }))].join(", ");
  }

  /** Ancestral samples: z from the weights, then x given z, one by one, visibly. */
  async function sample({ quiet = false, n = DRAWN, seed = stage.settings().draw_seed + (stage.settings().draws ? 1 : 0) } = {}) {
    if (!run || !DENSITIES.includes(model)) return; // K-means is no density
    if (sampleButton.textContent === text.stop) {
      plot.stopFlying();
      sampleButton.textContent = text.sample;
      return;
    }
    try {
      const mixture = hand ?? shown();
      const told = await (await (model === "kde"
        ? ask("cloud/kernel_draws", { query: { d: run.d, bandwidth: run.bandwidth, n, seed }, body: stage.cloud().points })
        : ask("cloud/draws", { body: JSON.stringify({ d: mixture.d, weights: Array.from(mixture.weights), means: Array.from(mixture.means), covariances: Array.from(mixture.covariances), n, seed }) })
      )).json();
      const values = new Float64Array(bytes(told.points).buffer);
      const draws = told.components.map((component, i) => ({ component: model === "kde" ? 0 : component, x: Array.from(values.subarray(i * run.d, (i + 1) * run.d)) }));
      if (quiet) return plot.samples(draws);
      plot.samples(null);
      sampleButton.textContent = text.stop;
      const from = run;
      const landed = await plot.fly(draws, {
        each: (i) => {
          const z = told.components[i];
          const words = model === "gmm" ? text.drawn : model === "kde" ? text.drawn_kernel : text.drawn_plain;
          asking.textContent = fill(words, { z: z + 1, w: number(mixture?.weights[z] ?? 0, 2), x: place(draws[i].x) });
        },
      });
      if (landed && run === from) stage.drew(landed, seed); // fewer, where somebody pressed Stop
    } catch (error) {
      stage.failed(error);
    }
    sampleButton.textContent = text.sample;
  }

  return {
    model,
    box,
    plot,
    show,
    sample,
    ask: ask_,
    run: () => run,
    cloud: (cloud) => plot.cloud(cloud),
    tool: (name) => plot.tool(name),
    png: () => (surfaceBox.hidden ? plot : surface).png(),
    ghost(other) {
      ghost = other;
      plot.ghost(ghost ? stateAt(ghost, frame, stage.settings()) : null);
      if (run) numbers.replaceChildren(...said());
    },
    remove() {
      plot.remove();
      surface?.remove();
      box.remove();
      foot.remove();
    },
  };
}

/** The value of a grid in the cell of a place; 0 outside. */
function fromGrid({ values, width, height, low, high }, at) {
  const cell = (j, count) => Math.round(((at[j] - low[j]) / (high[j] - low[j])) * (count - 1));
  const column = cell(0, width);
  const row = height === 1 ? 0 : cell(1, height);
  return column >= 0 && column < width && row >= 0 && row < height ? values[row * width + column] : 0;
}
