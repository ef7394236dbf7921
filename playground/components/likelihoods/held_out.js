/**
 * A number among others of its kind: the histogram of a model's surprise at held-out images, with the picture's own marked in it. The
 * histogram is drawn from quantiles at equal steps: between two of them lies the same share of the images, so that a narrow gap is
 * a high bar. Gaps too narrow to be seen are joined, which keeps their share.
 */
import { h, number } from "../lib/dom.js";
import { svg, ticks } from "../latents/rate_plot.js";

const HEIGHT = 168; // CSS pixels
const LEGS = { left: 8, right: 8, top: 40, bottom: 40 };
const BARS = 48; // at most, across the drawing
const REACH = 6; // interquartile ranges from the middle: what lies beyond is cut off, so that one image does not squash the rest

/** What is drawn of the axis, [low, high]: the held-out images, and room beside them. */
export function span(quantiles) {
  const at = (share) => quantiles[Math.round(share * (quantiles.length - 1))];
  const wide = REACH * (at(0.75) - at(0.25)) || 1e-6;
  const [low, high] = [Math.max(quantiles[0], at(0.5) - wide), Math.min(quantiles.at(-1), at(0.5) + wide)];
  const room = 0.08 * (high - low);
  return [low - room, high + room];
}

/** Bars between quantiles, none narrower than `least`: [{ from, to, share, density }]. The shares add up to 1. */
export function bars(quantiles, least) {
  const found = [];
  const one = 1 / (quantiles.length - 1);
  let [from, share] = [quantiles[0], 0];
  for (let i = 1; i < quantiles.length; i++) {
    share += one;
    if (quantiles[i] - from < least && i < quantiles.length - 1) continue;
    found.push({ from, to: quantiles[i], share });
    [from, share] = [quantiles[i], 0];
  }
  const last = found.at(-1);
  if (found.length > 1 && last.to - last.from < least) {
    found.pop();
    Object.assign(found.at(-1), { to: last.to, share: found.at(-1).share + last.share });
  }
  return found.map((bar) => ({ ...bar, density: bar.share / Math.max(bar.to - bar.from, least) }));
}

/** Where a value stands on the axis: within the frame, or at its edge with `out` -1 (left of it) or 1. */
export function placed(value, [low, high]) {
  const out = value < low ? -1 : value > high ? 1 : 0;
  return { share: out ? (out + 1) / 2 : (value - low) / (high - low), out };
}

/** draw({ quantiles, value, said, held, label, unit }): `said` stands at the marker, `held` at the held-out middle, `label` for ears. */
export function heldOut(host) {
  const drawing = svg("svg", { role: "img", class: "held-out" });
  host.append(h("div", { class: "held-out-box" }, drawing));
  let state = null;

  function paint() {
    const width = Math.round(drawing.clientWidth);
    if (!state || !width) return;
    const { quantiles, value, said, label, unit, held } = state;
    const range = span(quantiles);
    const X = (v) => LEGS.left + ((v - range[0]) / (range[1] - range[0])) * (width - LEGS.left - LEGS.right);
    const floor = HEIGHT - LEGS.bottom;
    const all = bars(quantiles, (range[1] - range[0]) / BARS);
    const top = Math.max(...all.map((bar) => bar.density));
    const parts = all.filter(({ from, to }) => to > range[0] && from < range[1]).map(({ from, to, density, share }) => {
      const [x0, x1] = [X(Math.max(from, range[0])), X(Math.min(to, range[1]))];
      const tall = (density / top) * (floor - LEGS.top);
      return svg("rect", { class: "bar", x: x0, y: floor - tall, width: Math.max(1, x1 - x0 - 0.5), height: tall, "data-share": share });
    });
    parts.push(svg("line", { class: "axis", x1: LEGS.left, x2: width - LEGS.right, y1: floor, y2: floor }));
    const marks = ticks(range[0], range[1], width < 400 ? 4 : 6);
    const digits = Math.max(0, -Math.floor(Math.log10(marks[1] - marks[0])));
    for (const tick of marks) parts.push(svg("text", { class: "tick", x: X(tick), y: floor + 15, "text-anchor": "middle" }, number(tick, digits)));
    parts.push(svg("text", { class: "tick", x: width - LEGS.right, y: HEIGHT - 6, "text-anchor": "end" }, unit),
      svg("text", { class: "tick", x: LEGS.left, y: HEIGHT - 6 }, held));
    if (Number.isFinite(value)) {
      const { share, out } = placed(value, range);
      const x = LEGS.left + share * (width - LEGS.left - LEGS.right);
      const anchor = share > 0.7 ? "end" : share < 0.3 ? "start" : "middle";
      parts.push(svg("line", { class: "marker", x1: x, x2: x, y1: 24, y2: floor }));
      if (out) parts.push(svg("path", { class: "marker out", "data-out": out, d: `M${x - 12 * out} 32 L${x} 38 L${x - 12 * out} 44` }));
      else parts.push(svg("circle", { class: "marker", cx: x, cy: floor, r: 4.5 }));
      parts.push(svg("text", { class: "said", x, y: 16, "text-anchor": anchor }, said));
    }
    drawing.setAttribute("viewBox", `0 0 ${width} ${HEIGHT}`);
    drawing.setAttribute("height", HEIGHT);
    drawing.setAttribute("aria-label", label);
    drawing.replaceChildren(...parts);
  }

  new ResizeObserver(paint).observe(drawing);
  return {
    draw(next) {
      state = next;
      paint();
    },
  };
}
