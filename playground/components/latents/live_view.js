/**
 * β live: a tiny VAE is trained while one looks (playground/latent_live.py), and its two losses pull. Left the latent map, right both
 * losses against steps, below what it decodes, and all runs as points of reconstruction against KL. Nothing is computed here: every
 * number is one that the training told, of 300 held-out digits.
 *
 * It opens on a recorded run, ctx.recordings.live. The timeline replays the run that is shown, while it comes or afterwards.
 */
import { Refusal, ask, bytes, lines } from "../lib/api.js";
import { colour, fill, h, m, number, oncePerFrame, onTheme, subscript } from "../lib/dom.js";
import { classColour } from "../latent_pad/latent_pad.js";
import { fromHalf } from "../pixels/stream.js";
import { timeline } from "../timeline/timeline.js";

const STOPS = [0, 0.1, 0.25, 0.5, 1, 2, 4, 8, 16]; // of the slider; a link may name others
const SPEEDS = [2, 5, 10, 20, 40]; // snapshots a second
const LEAST = 3.2; // half the side of the map, at least: the circle of 2 σ and some room
const KEPT = 24; // points of former runs
const TILE = 4; // canvas pixels a pixel of a digit
const SIDE = 8;
const TICKS = [0, 1, 4, 10, 20, 40, 80, 160]; // of the KL, on an axis of its square root

/** β as people say it. */
const said = (beta) => String(Number(Number(beta).toPrecision(3)));

/** A run as it came over the wire, with its numbers unpacked. */
function unpacked(head) {
  return { ...head, labels: bytes(head.labels), originals: bytes(head.originals), steps: [], reach: [], done: false };
}

/** One more snapshot of a run. The map only ever zooms out: by the farthest code until then. */
function add(run, line) {
  const mean = fromHalf(new Uint16Array(bytes(line.mean).buffer));
  const std = fromHalf(new Uint16Array(bytes(line.std).buffer));
  let far = run.reach.at(-1) ?? LEAST;
  for (const v of mean) far = Math.max(far, 1.06 * Math.abs(v));
  run.reach.push(far);
  run.steps.push({ ...line, mean, std, reconstructions: bytes(line.reconstructions), samples: bytes(line.samples) });
}

function svg(tag, attributes = {}, ...children) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

/** Round numbers within [low, high], about `n` of them. */
function ticks(low, high, n = 3) {
  const rough = (high - low) / n;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].find((one) => one * power >= rough) * power;
  const found = [];
  for (let at = Math.ceil(low / step) * step; at <= high; at += step) found.push(Number(at.toPrecision(6)));
  return found;
}

/** ctx: see the stage, latents.js; here also recordings: { live }. Settings: beta, seed. */
export function liveView(host, ctx, { bar }) {
  const { text } = ctx;
  let run = null; // the one that is shown
  let former = null; // the one before: a pale curve
  let at = 0; // its snapshot
  let points = []; // ends of runs
  let asking = null; // of the run that comes
  let line = null;
  let visible = false;
  let state = { kind: "idle" };

  // --- The parts -------------------------------------------------------------------------------------------------------------

  const slider = h("input", { type: "range", min: 0, max: STOPS.length - 1, step: 1, "aria-label": text.beta, oninput: () => ctx.change({ beta: STOPS[Number(slider.value)] }) });
  const value = h("output", {});
  const train = h("button", { type: "button", class: "primary", "data-action": "train", onclick: begin }, text.train);
  const stopButton = h("button", { type: "button", "data-action": "stop", disabled: true, onclick: () => stop("stopped") }, text.stop);
  const status = h("p", { class: "soft lt-live-state", role: "status" });
  const progress = h("progress", { max: 1, value: 0, "aria-label": text.progress });
  const map = h("canvas", { role: "img" });
  const mapNote = h("p", { class: "soft" });
  const losses = {
    reconstruction: panel("reconstruction", "p"),
    kl: panel("kl", "kl"),
  };
  const distortion = svg("svg", { role: "img" });
  const strip = Object.fromEntries(["originals", "reconstructions", "samples"].map((name) => [name, h("canvas", { role: "img", "aria-label": text[`${name}_label`] })]));
  const numbers = Object.fromEntries(["reconstruction", "beta", "kl", "loss"].map((name) => [name, m("mn", "–", { reconstruction: "symbol-p", kl: "symbol-kl" }[name] ?? "")]));
  const over = (name, className, number) => m("munder", [m("mtext", name, className), number]);
  const formula = m("math", [
    m("mtext", text.loss), m("mo", "="), over(text.reconstruction, "symbol-p", numbers.reconstruction), m("mo", "+"),
    m("munder", [m("mi", "β"), numbers.beta]), m("mo", "×"), over("KL", "symbol-kl", numbers.kl), m("mo", "="), numbers.loss, m("mtext", `\u00a0${text.nats}`),
  ]);
  const verdict = h("p", { class: "lt-live-verdict" });
  const bound = h("p", { class: "soft" });
  const aloud = h("p", { class: "hidden-text", "aria-live": "polite" });

  host.classList.add("lt-view-live");
  host.append(
    h("div", { class: "lt-live-controls" },
      h("div", { class: "lt-live-beta" }, h("div", { class: "lt-live-head" }, h("h2", {}, text.beta), value), slider,
        h("div", { class: "lt-live-stops", "aria-hidden": "true" }, ...STOPS.map((beta) => h("span", {}, said(beta))))),
      train, stopButton),
    h("div", { class: "lt-live-progress" }, progress, status),
    h("div", { class: "lt-live-picture" },
      h("section", { class: "lt-live-map" }, h("h2", {}, text.map), map, mapNote),
      h("section", { class: "lt-live-losses" }, losses.reconstruction.element, losses.kl.element, h("p", { class: "soft" }, text.measured))),
    bar, // below all that it moves
    h("div", { class: "lt-live-formula" }, h("div", { class: "formula", tabindex: 0 }, formula), verdict, bound),
    h("div", { class: "lt-live-picture" },
      h("section", { class: "lt-live-strip" }, ...Object.entries(strip).flatMap(([name, canvas]) => [h("h2", {}, text[name]), canvas])),
      h("section", {}, h("h2", {}, text.distortion), distortion, h("p", { class: "soft" }, text.distortion_note))),
    aloud,
  );

  /** A loss against steps: its name, its number, and a curve. */
  function panel(name, token) {
    const [now, drawing] = [h("b", { class: `symbol-${token}` }), svg("svg", { role: "img" })];
    const element = h("div", { "data-loss": name }, h("div", { class: "lt-live-head" }, h("h2", { class: `symbol-${token}` }, text[name]), now), drawing);
    return { element, now, drawing, token };
  }

  // --- Drawing ---------------------------------------------------------------------------------------------------------------

  const draw = oncePerFrame(() => {
    if (!visible || !run?.steps.length) return;
    const here = run.steps[at];
    drawMap(here);
    for (const [name, one] of Object.entries(losses)) drawLoss(name, one, here);
    drawDistortion(here);
    paintRow(strip.originals, run.originals);
    paintRow(strip.reconstructions, here.reconstructions);
    paintRow(strip.samples, here.samples);
    say(here);
    host.dataset.step = here.step;
    host.dataset.beta = run.beta;
  });

  function drawMap(here) {
    const wanted = Math.round(map.clientWidth * Math.min(2, devicePixelRatio || 1));
    if (!wanted) return;
    if (map.width !== wanted) map.width = map.height = wanted;
    const [c, unit, extent] = [map.getContext("2d"), wanted / 400, run.reach[at]];
    const X = (x) => ((x / extent + 1) / 2) * wanted;
    const Y = (y) => ((1 - y / extent) / 2) * wanted;
    const R = (r) => (r / extent / 2) * wanted;
    c.fillStyle = colour(map, "card");
    c.fillRect(0, 0, wanted, wanted);
    const tokens = Array.from({ length: 10 }, (_, k) => colour(map, classColour(k)));
    const shown = new Map(run.shown.map((i, k) => [i, k]));
    c.font = `600 ${10.5 * unit}px system-ui, sans-serif`;
    c.textAlign = "center";
    c.textBaseline = "middle";
    c.globalAlpha = 0.55;
    for (let i = 0; i < run.labels.length; i++) {
      if (shown.has(i)) continue;
      c.fillStyle = tokens[run.labels[i]];
      c.fillText(run.labels[i], X(here.mean[2 * i]), Y(here.mean[2 * i + 1]));
    }
    c.globalAlpha = 1;
    c.lineWidth = 1.5 * unit;
    c.strokeStyle = c.fillStyle = colour(map, "p");
    c.setLineDash([5 * unit, 4 * unit]);
    for (const r of [1, 2]) {
      c.beginPath();
      c.arc(X(0), Y(0), R(r), 0, 2 * Math.PI);
      c.stroke();
    }
    c.setLineDash([]);
    c.font = `600 ${12 * unit}px system-ui, sans-serif`;
    for (const r of [1, 2]) words(c, r === 2 ? text.ring : "1 σ", X(0), Y(0) - R(r) - 8 * unit, unit);
    for (const [i, k] of shown) {
      const [x, y] = [X(here.mean[2 * i]), Y(here.mean[2 * i + 1])];
      c.strokeStyle = c.fillStyle = tokens[run.labels[i]];
      c.lineWidth = 2 * unit;
      c.beginPath();
      c.ellipse(x, y, Math.max(0.5, R(here.std[2 * k])), Math.max(0.5, R(here.std[2 * k + 1])), 0, 0, 2 * Math.PI);
      c.stroke();
      c.font = `700 ${15 * unit}px system-ui, sans-serif`;
      words(c, String(run.labels[i]), x, y, unit);
    }
    c.fillStyle = colour(map, "soft");
    c.font = `${11 * unit}px system-ui, sans-serif`;
    for (const one of ticks(-extent, extent, 4)) {
      if (Math.abs(one) > 0.86 * extent) continue;
      words(c, number(one, 0), X(one), wanted - 8 * unit, unit);
      if (one) words(c, number(one, 0), 12 * unit, Y(one), unit);
    }
    c.font = `600 ${12 * unit}px system-ui, sans-serif`;
    c.textAlign = "right";
    words(c, "z₁ →", wanted - 6 * unit, wanted - 9 * unit, unit);
    c.textAlign = "left";
    words(c, "↑ z₂", 6 * unit, 12 * unit, unit);
    map.setAttribute("aria-label", fill(text.map_label, { n: run.labels.length, extent: number(extent, 1) }));
  }

  /** Words with a rim of ground, so that nothing runs through them. */
  function words(c, what, x, y, unit) {
    c.save();
    c.lineWidth = 4 * unit;
    c.lineJoin = "round";
    c.strokeStyle = colour(map, "card");
    c.strokeText(what, x, y);
    c.restore();
    c.fillText(what, x, y);
  }

  function drawLoss(name, { drawing, now, token }, here) {
    const width = drawing.clientWidth || 320;
    const height = Math.round(Math.max(120, Math.min(190, 0.38 * width)));
    const [left, right, top, bottom] = [36, 8, 14, 20];
    const runs = [run, former].filter(Boolean);
    const values = runs.flatMap((one) => one.steps.map((step) => step[name]));
    // The untrained model's reconstruction is far above all that is of interest: its curve comes in from beyond the top.
    const floor = name === "kl" ? 0 : Math.min(...values, run.without_code) - 8;
    const ceiling = name === "kl" ? Math.max(...values, 1) * 1.04 : run.without_code + 12;
    const last = Math.max(...runs.map((one) => one.all));
    const X = (step) => left + (step / last) * (width - left - right);
    const Y = (v) => top + (1 - (v - floor) / (ceiling - floor)) * (height - top - bottom);
    const inside = (v) => Math.max(top, Math.min(height - bottom, Y(v)));
    const path = (steps) => steps.map((step, i) => `${i ? "L" : "M"}${X(step.step).toFixed(1)} ${Y(step[name]).toFixed(1)}`).join("");
    const parts = [];
    for (const one of ticks(floor, ceiling)) parts.push(svg("line", { class: "grid", x1: left, x2: width - right, y1: Y(one), y2: Y(one) }), svg("text", { x: left - 6, y: Y(one), class: "left" }, number(one, one < 1 && one > 0 ? 1 : 0)));
    for (const one of [0, last / 2, last]) parts.push(svg("text", { x: X(one), y: height - 6, class: one === last ? "left" : one ? "middle" : "" }, one === last ? fill(text.steps, { n: number(last, 0) }) : number(one, 0)));
    if (name === "reconstruction") parts.push(svg("line", { class: "limit", x1: left, x2: width - right, y1: Y(run.without_code), y2: Y(run.without_code) }), svg("text", { class: "left", x: width - right, y: Y(run.without_code) - 9 }, fill(text.without_code, { n: number(run.without_code, 1) })));
    const curves = svg("svg", { class: "clip", x: 0, y: top, width, height: height - top - bottom + 1, viewBox: `0 ${top} ${width} ${height - top - bottom + 1}` });
    if (former) {
      const [end, mine] = [former.steps.at(-1)[name], run.steps.at(-1)[name]];
      curves.append(svg("path", { class: "former", d: path(former.steps) }));
      parts.push(svg("text", { class: "left", x: width - right, y: inside(end) + (end > mine ? -10 : 10) }, `β ${said(former.beta)}`));
    }
    curves.append(svg("path", { class: `to-come ${token}`, d: path(run.steps.slice(at)) }), svg("path", { class: token, d: path(run.steps.slice(0, at + 1)) }));
    parts.push(curves, svg("circle", { class: token, r: 4.5, cx: X(here.step), cy: inside(here[name]) }));
    drawing.setAttribute("viewBox", `0 0 ${width} ${height}`);
    drawing.setAttribute("height", height);
    drawing.setAttribute("aria-label", fill(text[`${name}_curve`], { first: number(run.steps[0][name], 1), last: number(run.steps.at(-1)[name], name === "kl" ? 2 : 1), step: run.steps.at(-1).step }));
    drawing.replaceChildren(...parts);
    now.textContent = `${number(here[name], name === "kl" ? 2 : 1)} ${text.nats}`;
  }

  function drawDistortion(here) {
    const [width, height, left, right, top, bottom] = [distortion.clientWidth || 320, 236, 40, 26, 16, 36];
    const all = [...points, { kl: here.kl, reconstruction: here.reconstruction }];
    const farthest = Math.sqrt(Math.max(12, ...points.map((one) => one.kl)) * 1.08);
    const [low, high] = [Math.min(88, ...points.map((one) => one.reconstruction - 3)), run.without_code + 6];
    const X = (kl) => left + (Math.min(Math.sqrt(kl), farthest) / farthest) * (width - left - right);
    const Y = (nats) => top + (1 - (Math.max(low, Math.min(high, nats)) - low) / (high - low)) * (height - top - bottom);
    const parts = [];
    for (const one of TICKS.filter((kl) => Math.sqrt(kl) <= farthest)) parts.push(svg("line", { class: "grid", x1: X(one), x2: X(one), y1: top, y2: height - bottom }), svg("text", { class: "middle", x: X(one), y: height - bottom + 12 }, String(one)));
    for (const one of ticks(low, high)) parts.push(svg("line", { class: "grid", x1: left, x2: width - right, y1: Y(one), y2: Y(one) }), svg("text", { class: "left", x: left - 6, y: Y(one) }, number(one, 0)));
    parts.push(svg("text", { class: "middle kl", x: (left + width - right) / 2, y: height - 7 }, text.kl_axis), svg("text", { class: "p", x: 2, y: 6 }, text.reconstruction_axis));
    const newest = new Map(points.map((one, i) => [one.beta, i]));
    points.forEach((one, i) => {
      const mine = one.run === run;
      parts.push(svg("circle", { class: one.kind, r: mine ? 7 : 5, cx: X(one.kl), cy: Y(one.reconstruction), "data-beta": one.beta }));
      if (newest.get(one.beta) === i) parts.push(svg("text", { class: "name", x: X(one.kl) + 9, y: Y(one.reconstruction) - 9 }, `β ${said(one.beta)}`));
    });
    if (at < run.steps.length - 1 || !run.done) parts.push(svg("circle", { class: "now", r: 5, cx: X(here.kl), cy: Y(here.reconstruction) }));
    distortion.setAttribute("viewBox", `0 0 ${width} ${height}`);
    distortion.setAttribute("height", height);
    distortion.setAttribute("aria-label", fill(text.distortion_label, { runs: points.map((one) => fill(text.point, { beta: said(one.beta), seed: one.seed, kl: number(one.kl), reconstruction: number(one.reconstruction, 1) })).join("; ") }));
    distortion.replaceChildren(...parts);
    distortion.dataset.points = all.length - 1;
  }

  /** Digits of 17 levels in rows of ten. */
  function paintRow(canvas, pixels) {
    const [n, step] = [pixels.length / SIDE / SIDE, SIDE + 1];
    const columns = Math.min(10, n);
    const rows = Math.ceil(n / columns);
    const small = new OffscreenCanvas(columns * step - 1, rows * step - 1);
    const c = small.getContext("2d");
    for (let i = 0; i < n; i++) {
      const image = new ImageData(SIDE, SIDE);
      for (let p = 0; p < SIDE * SIDE; p++) {
        const grey = Math.round((255 * pixels[i * SIDE * SIDE + p]) / (run.levels - 1));
        image.data.set([grey, grey, grey, 255], 4 * p);
      }
      c.putImageData(image, (i % columns) * step, Math.floor(i / columns) * step);
    }
    const [width, height] = [small.width * TILE, small.height * TILE];
    if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
    const large = canvas.getContext("2d");
    large.imageSmoothingEnabled = false;
    large.clearRect(0, 0, width, height);
    large.drawImage(small, 0, 0, width, height);
  }

  // --- Words -----------------------------------------------------------------------------------------------------------------

  /** What the numbers of this snapshot mean. */
  function say(here) {
    const { beta } = run;
    const loss = here.reconstruction + beta * here.kl;
    numbers.reconstruction.textContent = number(here.reconstruction, 1);
    numbers.beta.textContent = said(beta);
    numbers.kl.textContent = number(here.kl);
    numbers.loss.textContent = number(loss, 1);
    const asleep = here.active.flatMap((one, k) => (one ? [] : [k + 1]));
    const ended = run.done && at === run.steps.length - 1;
    const each = here.kl_by_dimension.map((kl, k) => `z${subscript(k + 1)} ${number(kl)}`).join(", ");
    const which = asleep.length === 2 ? "both" : asleep.length ? "one" : "none";
    const key = here.step === 0 ? "untrained" : `${which}_${ended ? "dead" : "asleep"}`;
    verdict.textContent = fill(text.verdicts[key], { k: subscript(asleep[0] ?? 0), each });
    verdict.dataset.dead = ended ? asleep.length : 0;
    const elbo = fill(text.elbo, { n: number(-(here.reconstruction + here.kl), 1) });
    bound.textContent = `${text.bounds[beta === 1 ? "one" : beta < 1 ? "below" : "above"]} ${elbo}`;
    mapNote.textContent = fill(text.map_note, { n: run.labels.length });
  }

  /** What is going on, and what the buttons do now. */
  function tell(next) {
    state = next;
    const busy = Boolean(asking);
    const beta = ctx.settings().beta;
    train.textContent = !run || beta === run.beta ? text.train : fill(text.train_with, { beta: said(beta) });
    stopButton.disabled = !busy;
    progress.value = run && state.kind !== "waiting" && state.kind !== "asking" && state.kind !== "starting" ? (run.steps.at(-1)?.step ?? 0) / run.all : 0;
    const shown = { ...state, ...(run ? { beta: said(run.beta), seed: run.seed, done: run.steps.at(-1)?.step ?? 0, all: run.all, n: number(run.learned, 0), scale: number(run.scale, 0), seconds: number(state.seconds ?? 0, 1) } : {}) };
    const key = state.kind === "waiting" ? (state.before > 0 ? (state.before > 1 ? "waiting" : "waiting_one") : "asking") : state.kind;
    status.textContent = key in text.states ? fill(text.states[key], shown) : "";
    host.dataset.state = state.kind;
    host.setAttribute("aria-busy", String(busy));
  }

  function showBeta() {
    const { beta } = ctx.settings();
    const near = STOPS.reduce((best, one, i) => (Math.abs(Math.sqrt(one) - Math.sqrt(beta)) < Math.abs(Math.sqrt(STOPS[best]) - Math.sqrt(beta)) ? i : best), 0);
    if (Number(slider.value) !== near) slider.value = near;
    slider.setAttribute("aria-valuetext", `β = ${said(beta)}`);
    slider.style.setProperty("--at", `${(100 * near) / (STOPS.length - 1)}%`);
    value.textContent = `β = ${said(beta)}`;
    tell(state);
  }

  // --- Runs ------------------------------------------------------------------------------------------------------------------

  const calm = () => matchMedia("(prefers-reduced-motion: reduce)").matches;
  const label = (frame) => fill(text.frame, { step: run?.steps[frame]?.step ?? 0, all: run?.all ?? 0 });

  function keep(one) {
    points = [...points.filter((other) => other.beta !== one.beta || other.seed !== one.seed), one].slice(-KEPT);
  }

  /** The end of a run as a point. */
  function pointOf(one, kind) {
    const { kl, reconstruction, active } = one.steps.at(-1);
    return { beta: one.beta, seed: one.seed, kl, reconstruction, active, kind, run: one };
  }

  function begin() {
    stop(null);
    const mine = (asking = new AbortController());
    const { beta, seed } = ctx.settings();
    ctx.fine();
    tell({ kind: "asking" });
    follow(mine, { beta, seed }).catch((error) => {
      if (asking !== mine) return; // another took its place, or it was stopped
      asking = null;
      line?.set({ more: false });
      tell({ kind: "broken" });
      ctx.fail(error instanceof Refusal ? error : new Refusal(text.broken));
    });
  }

  async function follow(mine, query) {
    const response = await ask("latents/train", { query, signal: mine.signal });
    let ended = false;
    await lines(response, (said) => {
      if (asking !== mine) return;
      if (said.kind === "error") throw new Refusal(said.error);
      if (said.kind === "head") open(said);
      else if (said.kind === "step") more(said);
      else if (said.kind === "end") {
        ended = true;
        finish(said.seconds);
      } else tell(said);
    });
    if (asking === mine && !ended) throw new Refusal(text.broken);
  }

  /** A run begins to come. */
  function open(head) {
    if (run?.steps.length) former = run;
    run = { ...unpacked(head), all: head.steps, kind: "live" };
    run.steps = [];
    at = 0;
    ctx.badge("live");
  }

  function more(step) {
    add(run, step);
    line?.set({ frames: run.steps.length, more: true, label });
    if (run.steps.length === 1) {
      line?.go(0, { quiet: true });
      if (!calm()) line?.play();
    }
    tell({ kind: "training" });
    draw();
  }

  function finish(seconds) {
    asking = null;
    run.done = true;
    keep(pointOf(run, "live"));
    line?.set({ frames: run.steps.length, more: false, label });
    if (calm()) line?.go(run.steps.length - 1);
    tell({ kind: "done", seconds });
    ctx.took(seconds);
    const end = run.steps.at(-1);
    aloud.textContent = fill(text.summary, { beta: said(run.beta), seed: run.seed, kl: number(end.kl), reconstruction: number(end.reconstruction, 1) });
    draw();
  }

  /** Ends the run that comes; what has come of it stays. */
  function stop(next) {
    if (!asking) return;
    asking.abort();
    asking = null;
    line?.set({ more: false });
    if (next) tell({ kind: run && !run.done && run.steps.length ? next : "idle" });
  }

  /** The stored run: until there is one of now. */
  function recorded({ head, steps, others }) {
    run = { ...unpacked(head), all: head.steps, kind: "recorded" };
    run.steps = [];
    for (const step of steps) add(run, step);
    run.done = true;
    for (const one of others) keep({ ...one, kind: "recorded", run: null });
    keep(pointOf(run, "recorded"));
    at = run.steps.length - 1;
    state = { kind: "recorded" };
  }

  if (ctx.recordings?.live) recorded(ctx.recordings.live);
  onTheme(draw);
  new ResizeObserver(draw).observe(host);

  return {
    show() {
      visible = true;
      line = timeline(bar, { text: text.timeline, speeds: SPEEDS, speed: 20, change: (frame) => {
        at = frame;
        draw();
      } });
      line.keys(host);
      if (run?.steps.length) {
        line.set({ frames: run.steps.length, label });
        line.go(at, { quiet: true });
      }
      bar.hidden = false;
      ctx.badge(run?.kind ?? "live");
      showBeta();
      draw();
      const { beta, seed } = ctx.settings();
      if (!run || (run.kind === "recorded" && (beta !== run.beta || seed !== run.seed))) begin(); // a link says what is to be seen
    },
    /** A run that is left ends. */
    hide() {
      stop("stopped");
      visible = false;
      line?.destroy();
      line = null;
      bar.hidden = true;
    },
    settings(changed) {
      if (changed.has("beta")) showBeta();
      if (changed.has("seed") && visible) begin();
    },
    again: begin,
    json: () => ({
      live: run && {
        beta: run.beta, seed: run.seed, steps: run.all, scale: run.scale, without_code: run.without_code, kind: run.kind,
        snapshots: run.steps.map(({ step, reconstruction, kl, kl_by_dimension, active }) => ({ step, reconstruction, kl, kl_by_dimension, active })),
        runs: points.map(({ run: _, ...one }) => one),
      },
    }),
    async png(name) {
      const blob = await new Promise((done) => map.toBlob(done, "image/png"));
      ctx.download(`${name}.png`, blob);
    },
  };
}
