/**
 * From data to pixels and back. A frame is an affine map: X(x) = w/2 + s (x − c₀), Y(y) = h/2 − s (y − c₁), one scale s for
 * both axes, so that circles stay circles and a K-means border stands upright on the line between two means. Pixels are CSS
 * pixels.
 */
import { number } from "../lib/dom.js";

const MARGIN = 0.06; // of the span of the points, on each side
const EMPTY = 4; // an empty cloud shows −4 … 4

/** The smallest and the largest coordinate of each of the `d` axes; `{ low, high }`, each of d numbers. */
export function extent({ points, d }) {
  const low = new Array(d).fill(Infinity);
  const high = new Array(d).fill(-Infinity);
  for (let i = 0; i < points.length; i++) {
    const j = i % d;
    if (points[i] < low[j]) low[j] = points[i];
    if (points[i] > high[j]) high[j] = points[i];
  }
  for (let j = 0; j < d; j++) if (!(low[j] <= high[j])) [low[j], high[j]] = [-EMPTY, EMPTY];
  return { low, high };
}

/** Points that all lie in one place still need a span to be drawn in. */
const spanOf = (low, high) => high - low || Math.max(1, Math.abs(low) * 1e-6);

/** What a plot of this cloud shows: the bounds that were asked for, or those of the points with a margin. */
export function shown(cloud) {
  if (cloud.bounds) return { low: [...cloud.bounds.low], high: [...cloud.bounds.high] };
  const { low, high } = extent(cloud);
  const empty = cloud.points.length === 0;
  low.forEach((a, j) => {
    const span = spanOf(a, high[j]);
    const margin = cloud.d === 3 ? 0 : MARGIN; // in space a box is drawn around the points
    const pad = empty ? 0 : span * (high[j] > a ? margin : 0.5);
    [low[j], high[j]] = [a - pad, high[j] + pad];
  });
  return { low, high };
}

/** The frame of a plane in a box of `width` × `height` pixels around the centre, `scale` pixels a unit. */
export function planeFrame(centre, scale, width, height) {
  const [cx, cy] = centre;
  return {
    width,
    height,
    scale,
    X: (x) => width / 2 + (x - cx) * scale,
    Y: (y) => height / 2 - (y - cy) * scale,
    x: (px) => cx + (px - width / 2) / scale,
    y: (py) => cy - (py - height / 2) / scale,
  };
}

/** The frame that shows all of `{ low, high }` with equal scales. */
export function fitPlane({ low, high }, width, height) {
  const scale = Math.min(width / spanOf(low[0], high[0]), height / spanOf(low[1], high[1]));
  return planeFrame([(low[0] + high[0]) / 2, (low[1] + high[1]) / 2], scale, width, height);
}

/** 1, 2 or 5 times a power of ten, the nearest of them to `span / count`. */
export function niceStep(span, count) {
  const raw = span / count;
  const power = 10 ** Math.floor(Math.log10(raw));
  return power * ([1, 2, 5].find((f, i) => raw / power <= [1.4, 3.2, 7.1][i]) ?? 10);
}

const RAISED = { "-": "⁻", 0: "⁰", 1: "¹", 2: "²", 3: "³", 4: "⁴", 5: "⁵", 6: "⁶", 7: "⁷", 8: "⁸", 9: "⁹" };
const power10 = (e) => `10${String(e).replace(/[-\d]/g, (digit) => RAISED[digit])}`;

/** As many decimals as a multiple of `step` needs. */
const decimals = (step) => Math.min(12, Math.max(0, -Math.floor(Math.log10(step) + 1e-9)));

/**
 * Ticks at nice numbers between low and high, about `count` of them: `{ ticks: [{ at, words }], name(name) }`. Where plain
 * numbers would be long (a million and a little, or billionths), the ticks show (x − offset) / 10ᵉ, and `name("x")` says so: "x
 * − 1 000 000, in 10⁻³".
 */
export function axisTicks(low, high, count) {
  const span = high - low;
  const step = niceStep(span, count);
  let offset = 0;
  if (Math.max(Math.abs(low), Math.abs(high)) / step > 9999) {
    const round = 10 ** Math.ceil(Math.log10(span) + 1e-9);
    offset = Math.round((low + high) / 2 / round) * round;
  }
  const largest = Math.max(Math.abs(low - offset), Math.abs(high - offset));
  const exponent = largest >= 1e5 || largest < 1e-2 ? Math.floor(Math.log10(largest)) : 0;
  const unit = 10 ** exponent;
  const digits = decimals(step / unit);
  const ticks = [];
  for (let i = Math.ceil((low - offset) / step - 1e-9); i * step + offset <= high + step * 1e-9; i++)
    ticks.push({ at: offset + i * step, words: number((i * step) / unit, digits) });
  const sign = offset < 0 ? "+" : "−";
  const places = Number.isInteger(offset) ? 0 : decimals(10 ** Math.ceil(Math.log10(span) + 1e-9));
  const shift = offset ? ` ${sign} ${number(Math.abs(offset), places)}` : "";
  return { ticks, step, name: (name) => `${name}${shift}${exponent ? `, in ${power10(exponent)}` : ""}` };
}
