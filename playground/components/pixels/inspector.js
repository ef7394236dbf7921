/**
 * An image under the glass: the picture, the pixel in hand, and what that pixel was drawn from.
 *
 * Shows a `run` up to a frame: `frame` sub-pixels are written. The pixel in hand is the one pointed at, else the one that was
 * clicked, else the last one written. What the numbers are: log p(x_t | x_<t) as the model computed them, exact, at temperature 1.
 */
import { ask } from "../lib/api.js";
import { fill, h, m, number, subscript } from "../lib/dom.js";
import { levelHistogram } from "../level_histogram/level_histogram.js";
import { heatLegend, pixelCanvas } from "../pixel_canvas/pixel_canvas.js";

const GLOBAL = 8; // bits a sub-pixel at the top of the global scale: a uniform choice among 256
const COLOURS = ["red", "green", "blue"];

/** exp(logits / temperature), normalised. Temperature 0 is all on the likeliest. */
export function tempered(logits, temperature) {
  const t = Math.max(temperature, 1e-6);
  const top = logits.reduce((a, b) => Math.max(a, b), -Infinity);
  const weights = Float64Array.from(logits, (v) => Math.exp((v - top) / t));
  const sum = weights.reduce((a, b) => a + b, 0);
  return weights.map((w) => w / sum);
}

/** Surprise in bits, pixel by pixel, of log p in nats, sub-pixel by sub-pixel. */
export function bitsOf(logp, [c, height, width]) {
  const bits = new Float32Array(height * width);
  for (let t = 0; t < c * height * width; t++) bits[Math.floor(t / c)] -= logp[t] / Math.LN2;
  return bits;
}

/** Pixels before `pixel`, within the rectangle spanned by what it sees, that it does not see: 0 and 1. */
export function blindSpot(seen, pixel, width) {
  const there = [...seen.keys()].filter((i) => seen[i]);
  const blind = new Uint8Array(seen.length);
  if (!there.length) return blind;
  const columns = there.map((i) => i % width);
  const [top, left, right] = [Math.floor(there[0] / width), Math.min(...columns), Math.max(...columns)];
  for (let i = top * width; i < pixel; i++) blind[i] = !seen[i] && i % width >= left && i % width <= right ? 1 : 0;
  return blind;
}

const fields = new Map(); // by checkpoint: what each pixel sees, asked for once

/** For each pixel, which pixels it sees: a function of the pixel to 0s and 1s. */
async function receptiveField(name, pixels) {
  if (!fields.has(name)) {
    const asked = ask("pixels/seen", { query: { model: name } }).then(async (response) => new Uint8Array(await response.arrayBuffer()));
    asked.catch(() => fields.delete(name));
    fields.set(name, asked);
  }
  const packed = await fields.get(name);
  const row = Math.ceil(pixels / 8);
  return (pixel) => Uint8Array.from({ length: pixels }, (_, i) => (packed[pixel * row + (i >> 3)] >> (7 - (i & 7))) & 1);
}

/**
 * ctx as pixels.js gives it. pick(t, level): another level was chosen for sub-pixel t (absent: nothing can be changed).
 * Returns { draw(state), canvas, focus, pinned, png }.
 */
export function inspector(host, ctx, { pick = null, moved = () => {} } = {}) {
  const { words } = ctx;
  let state = null;
  let pointed = null;
  let pinned = null;
  let field = null; // of the model in hand
  const picture = h("div", { class: "px-picture" });
  const legend = h("div", { class: "px-legend", hidden: true });
  const where = h("span", { class: "soft px-where" });
  const title = h("h2", {});
  const charts = h("div", { class: "px-charts" });
  const numbers = h("dl", { class: "px-numbers" });
  const note = h("p", { class: "soft px-note" });
  const formula = h("div", { class: "px-formula" });
  const side = h("div", { class: "px-side" }, h("div", { class: "px-head" }, title, where), charts, numbers, note, formula);
  const left = h("div", { class: "px-left" }, picture, legend);
  host.append(h("div", { class: "px-inspect" }, left, side));

  const canvas = pixelCanvas(picture, {
    label: words.canvas,
    description: words.canvas_kind,
    point: (pixel) => {
      pointed = pixel;
      render();
    },
    choose: (pixel) => {
      pinned = pinned === pixel ? null : pixel;
      moved(pinned);
      render();
    },
  });
  let histograms = [];
  let scale = null;

  /** As many charts as there are colours. */
  function prepare(c) {
    if (histograms.length === c) return;
    for (const one of histograms) one.destroy();
    charts.replaceChildren();
    histograms = Array.from({ length: c }, (_, k) => {
      const box = h("div", {});
      charts.append(box);
      const label = c > 1 ? fill(words.histogram_of, { colour: words.colours[COLOURS[k]] }) : words.histogram.label;
      return levelHistogram(box, { text: { ...words.histogram, label }, pick: (level) => pick?.(focus() * c + k, level) });
    });
    charts.dataset.colours = c;
  }

  /** The pixel in hand, or null before the first. */
  function focus() {
    if (pointed !== null) return pointed;
    if (pinned !== null) return pinned;
    return state && state.frame > 0 ? Math.ceil(state.frame / state.run.shape[0]) - 1 : null;
  }

  function draw(next) {
    const other = !state || state.model.name !== next.model.name;
    state = next;
    if (other) {
      pointed = pinned = field = null;
      const { name, shape } = next.model;
      receptiveField(name, shape[1] * shape[2]).then((found) => {
        if (state.model.name !== name) return;
        field = found;
        render();
      }).catch(ctx.fail);
    }
    prepare(next.run.shape[0]);
    render();
  }

  function render() {
    if (!state) return;
    const { run, frame, model, settings } = state;
    const [c, height, width] = run.shape;
    const pixel = focus();
    const there = pixel !== null && pixel * c < frame; // at least one colour of it is written
    const looking = pointed !== null || pinned !== null || frame < run.values.length; // a finished image is shown as it is
    const seen = settings.seen && looking && field && pixel !== null && !settings.surprise ? field(pixel) : null;
    const bits = settings.surprise && run.logp ? bitsOf(run.logp, run.shape) : null;
    const top = bits ? (settings.scale === "local" ? Math.max(0.01, ...bits.subarray(0, Math.ceil(frame / c))) : GLOBAL * c) : 0;
    canvas.draw({
      shape: run.shape, levels: run.levels, values: run.values, written: frame,
      at: state.still || frame === 0 || frame === c * height * width ? null : Math.ceil(frame / c) - 1,
      pointed: pointed ?? pinned, seen, blind: seen && !model.gated ? blindSpot(seen, pixel, width) : null,
      surprise: bits, scale: top, known: run.known ?? null, changed: run.changes?.map(([t]) => Math.floor(t / c)) ?? [],
    });
    legend.hidden = !bits;
    if (bits) {
      scale ??= heatLegend(legend, { scale: top, unit: words.bits_a_pixel });
      scale.draw({ scale: top, unit: words.bits_a_pixel });
    }
    describe(pixel, there, c, width);
    formulate(pixel, there, c);
  }

  function describe(pixel, there, c, width) {
    const { run, frame, settings } = state;
    title.textContent = state.still ? words.would : words.drawn_from;
    where.textContent = pixel === null ? words.nothing_yet : fill(words.where, { row: Math.floor(pixel / width) + 1, column: (pixel % width) + 1 });
    const t = pixel === null ? 0 : settings.temperature;
    let surprise = 0;
    const drawn = [];
    for (let k = 0; k < c; k++) {
      const place = pixel * c + k;
      const logits = there && place < frame ? run.logits?.(place) : null;
      histograms[k].draw(logits ? {
        probabilities: tempered(logits, t), reference: t === 1 ? null : tempered(logits, 1),
        value: run.values[place], picked: null, colour: c > 1 ? k : null,
      } : null);
      if (there && place < frame) {
        surprise -= run.logp[place] / Math.LN2;
        drawn.push(run.values[place]);
      }
    }
    const last = (pixel + 1) * c;
    const here = there ? Math.min(frame, last) : frame; // up to the pixel in hand
    const sum = total(run, here);
    const rows = there ? [
      [state.still ? words.its_value : words.value, h("b", { class: "symbol-x" }, fill(words.x_is, { t: subscript(c === 1 ? last : fill(words.span, { from: pixel * c + 1 })), v: drawn.join(", ") }))],
      [words.probability, h("span", { class: "symbol-p" }, probability(drawn.reduce((a, _, k) => a + run.logp[pixel * c + k], 0)))],
      [words.surprise_of, h("span", { class: "symbol-hot" }, fill(words.bits, { n: number(surprise, surprise < 1 ? 3 : 2) }))],
    ] : [[words.value, "–"], [words.probability, "–"], [words.surprise_of, "–"]];
    if (run.said) rows.unshift(run.said);
    rows.push([words.up_to_here, here ? fill(words.so_far_is, { nats: number(sum, 1), bits: number(-sum / Math.LN2 / here, 3) }) : "–"]);
    numbers.replaceChildren(...rows.flatMap(([name, value]) => [h("dt", {}, name), h("dd", {}, value)]));
    note.textContent = remark(there);
  }

  /** What is to be said of the pixel in hand. */
  function remark(there) {
    const { run, settings } = state;
    if (!run.logits) return state.still ? "" : words.no_logits;
    if (there && run.temperature !== undefined && settings.temperature !== run.temperature) return fill(words.reshaped, { now: number(settings.temperature), then: number(run.temperature) });
    if (pick && pinned !== null) return words.pick;
    return pick ? words.click : "";
  }

  /** log p = Σ …, with the terms around the pixel in hand. */
  function formulate(pixel, there, c) {
    const { run, frame } = state;
    const told = run.label !== undefined && run.label !== null;
    const x = (sub) => (sub ? m("msub", [m("mi", "x", "symbol-x"), sub]) : m("mi", "x", "symbol-x"));
    const bar = () => m("mo", "|");
    const y = told ? [m("mo", ","), m("mi", "y")] : [];
    const defined = [m("mi", "log"), m("mi", "p", "symbol-p"), m("mo", "("), x(), ...(told ? [bar(), m("mi", "y")] : []), m("mo", ")"), m("mo", "="),
      m("munderover", [m("mo", "∑"), m("mrow", [m("mi", "t"), m("mo", "="), m("mn", 1)]), m("mn", run.values.length)]),
      m("mi", "log"), m("mi", "p", "symbol-p"), m("mo", "("), x(m("mi", "t")), bar(), x(m("mrow", [m("mo", "<"), m("mi", "t")])), ...y, m("mo", ")")];
    const terms = [];
    if (there) {
      const last = Math.min(frame, (pixel + 1) * c) - 1;
      const first = Math.max(0, last - 2);
      if (first > 0) terms.push(m("mo", "…"));
      for (let t = first; t <= last; t++) terms.push(m("mo", "−"), m("mn", number(-run.logp[t], 2), Math.floor(t / c) === pixel ? "symbol-hot" : ""));
      if (last + 1 < run.values.length) terms.push(m("mo", "…"));
    }
    const sum = total(run, frame);
    const whole = frame === run.values.length;
    const right = frame ? [m("mo", "="), ...terms, m("mo", whole ? "=" : "→"), m("mn", number(sum, 1)), m("mtext", fill(words.nats_here, { what: whole ? "" : words.so_far }))] : [];
    formula.replaceChildren(...[defined, right].filter((part) => part.length).map((part) => h("div", { class: "formula" }, m("math", [m("mrow", part)]))));
    formula.title = fill(words.formula, { sum: number(sum, 1), t: frame, of: run.values.length });
  }

  return {
    draw,
    canvas,
    side,
    left,
    focus,
    pinned: () => pinned,
    unpin() {
      pinned = null;
      render();
    },
    element: picture,
  };
}

/** Σ log p of the first `frame` sub-pixels, nats. */
export function total(run, frame) {
  let sum = 0;
  for (let t = 0; t < frame; t++) sum += run.logp[t];
  return sum;
}

/** A probability of log p, with the digits that it deserves. */
function probability(logp) {
  const p = Math.exp(logp);
  return p >= 0.0005 ? number(p, 3) : `10^${number(logp / Math.LN10, 1)}`;
}
