/**
 * A small cloud as text for the address: "2~-8,-8~8,8~AbCd…", the number of coordinates, the lower and the upper ends, and two letters
 * a number (4,096 levels). Points that are drawn here snap to these levels at once, so that the link holds exactly what is on the page.
 */
const LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
const LEVELS = 4095;
const CANVAS = 8; // drawn clouds live within ±8

/** The ends between which a cloud's numbers are written: the canvas's where it fits in, else its own. */
export function ends({ points, d, n }) {
  const low = new Array(d).fill(-CANVAS);
  const high = new Array(d).fill(CANVAS);
  for (let i = 0; i < n * d; i++) {
    if (Math.abs(points[i]) <= CANVAS) continue;
    low.fill(Infinity);
    high.fill(-Infinity);
    for (let k = 0; k < n * d; k++) {
      low[k % d] = Math.min(low[k % d], points[k]);
      high[k % d] = Math.max(high[k % d], points[k]);
    }
    return { low: low.map(short), high: high.map((v, j) => short(v > low[j] ? v : low[j] + 1)) };
  }
  return { low, high };
}

const short = (v) => Number(v.toPrecision(7));
const level = (v, low, high) => Math.max(0, Math.min(LEVELS, Math.round(((v - low) / (high - low)) * LEVELS)));
const value = (i, low, high) => low + ((high - low) * i) / LEVELS;

/** The nearest numbers that a link can hold. */
export function snapped(cloud) {
  const { low, high } = ends(cloud);
  return Float64Array.from(cloud.points, (v, i) => value(level(v, low[i % cloud.d], high[i % cloud.d]), low[i % cloud.d], high[i % cloud.d]));
}

/** The cloud as text; "" beyond `limit` characters. */
export function encode(cloud, limit) {
  const { low, high } = ends(cloud);
  const head = `${cloud.d}~${low.join(",")}~${high.join(",")}~`;
  if (head.length + 2 * cloud.points.length > limit || !cloud.n) return "";
  let text = head;
  for (let i = 0; i < cloud.points.length; i++) {
    const at = level(cloud.points[i], low[i % cloud.d], high[i % cloud.d]);
    text += LETTERS[at >> 6] + LETTERS[at & 63];
  }
  return text;
}

/** Text to { d, n, points }; null for what is none. */
export function decode(text) {
  const [d, lows, highs, letters] = text.split("~");
  const low = (lows ?? "").split(",").map(Number);
  const high = (highs ?? "").split(",").map(Number);
  const count = Number(d);
  if (!(count >= 1 && count <= 3) || low.length !== count || high.length !== count || !letters || letters.length % (2 * count)) return null;
  if (![...low, ...high].every(Number.isFinite)) return null;
  const points = new Float64Array(letters.length / 2);
  for (let i = 0; i < points.length; i++) {
    const at = LETTERS.indexOf(letters[2 * i]) * 64 + LETTERS.indexOf(letters[2 * i + 1]);
    points[i] = value(at, low[i % count], high[i % count]);
  }
  return { d: count, n: points.length / count, points };
}
