/**
 * What is read off the numbers of a picture under a model: the score that is asked for, the order that it gives, and how that order
 * differs from plain surprise. High is outlying, under every score.
 *
 * A reading is what POST likelihoods/score says of one picture: { models: { [name]: { bits, nats, error, rank, deviation, two_sided,
 * space, kind, method, samples } }, order: [names], complexity: { compressor, bits }, background: { name, bits } | null,
 * binary: Uint8Array(784) of 0 and 1 | null, recorded }.
 */
import { bytes } from "../lib/api.js";

const PIXELS = 28 * 28;
const NATS = Math.LN2 * PIXELS; // in one bit/dim

/** The answer's pictures, one reading each. */
export function readings(answer, { recorded = false } = {}) {
  const binary = answer.binary ? bytes(answer.binary) : null;
  return Array.from({ length: answer.images }, (_, i) => ({
    order: answer.models.map(({ name }) => name),
    models: Object.fromEntries(answer.models.map(({ name, space, kind, method, samples, bits, nats, error, rank, deviation, two_sided }) =>
      [name, { space, kind, method, samples, bits: bits[i], nats: nats[i], error: error ? error[i] : null, rank: rank[i], deviation: deviation[i], two_sided: two_sided?.[i] ?? null }])),
    complexity: answer.complexity ? { compressor: answer.complexity.compressor, bits: answer.complexity.bits[i] } : null,
    background: answer.background ? { name: answer.background.name, bits: answer.background.bits[i] } : null,
    binary: binary && binary.slice(i * PIXELS, (i + 1) * PIXELS),
    recorded,
  }));
}

/** Why a score cannot be had, as a key of the text ("no_binary", "no_background"), or null where it can. */
export function missing(score, { space, data }) {
  if (score !== "complexity" && score !== "ratio") return null;
  if (space === "binary") return "no_binary";
  return score === "ratio" && data !== "fashion" ? "no_background" : null;
}

/** The score of a picture under a model: higher is more outlying. NaN where it is not known. */
export function scoreOf(reading, name, score) {
  const one = reading?.models[name];
  if (!one) return NaN;
  const less = (other) => (other ? one.bits - other.bits : NaN);
  const found = {
    surprise: () => one.bits, rank: () => 1 - one.rank, typicality: () => one.deviation,
    complexity: () => less(reading.complexity), ratio: () => less(reading.background),
  }[score]();
  return Number.isFinite(found) && Number.isFinite(one.bits) ? found : NaN;
}

/** Surprise in nats and its standard error. Log p of a probability mass is never above 0. */
export function inNats(one) {
  return { value: Math.abs(one.nats), error: one.error === null ? null : one.error * NATS };
}

/** What kind of number the score is of a number of that `kind`: a difference with what is exact keeps it; others are themselves. */
export function kindOf(kind, score) {
  return score === "rank" || score === "typicality" ? "" : kind;
}

/** Digits after the point so that a standard error shows its first digit, at least `least` and at most 4. */
export function digitsFor(error, least = 2) {
  if (!(error >= 5e-5)) return least; // no digit of a smaller one is shown
  return Math.min(4, Math.max(least, Math.ceil(-Math.log10(error))));
}

/** Indices of `keys` (numbers or strings) in order, upwards or `down`; equal ones as they stand, what is no number always last. */
export function ordered(keys, down = false) {
  const none = (key) => typeof key === "number" && !Number.isFinite(key);
  const compare = (a, b) => (typeof a === "string" ? a.localeCompare(b, undefined, { numeric: true }) : a - b);
  return [...keys.keys()].sort((i, j) => none(keys[i]) - none(keys[j]) || (none(keys[i]) ? 0 : (down ? -1 : 1) * compare(keys[i], keys[j])) || i - j);
}

/**
 * How many places each picture moves when `scores` order them in place of `surprise`: above 0 more outlying than it was. Pictures
 * that the score does not tell apart stand as surprise has them, so that a tie is never a move. Null where a number is not known.
 */
export function moves(surprise, scores) {
  const known = [...surprise.keys()].filter((i) => Number.isFinite(surprise[i]) && Number.isFinite(scores[i]));
  const before = [...known].sort((i, j) => surprise[j] - surprise[i] || i - j);
  const after = [...before].sort((i, j) => scores[j] - scores[i]); // stable
  const place = (order) => new Map(order.map((i, at) => [i, at]));
  const [was, is] = [place(before), place(after)];
  return Array.from(surprise, (_, i) => (was.has(i) ? was.get(i) - is.get(i) : null));
}

/** The places of the least and the greatest of `values`, or null where none is known. */
export function extremes(values) {
  const order = ordered(values).filter((i) => Number.isFinite(values[i]));
  return order.length ? { least: order[0], most: order.at(-1) } : null;
}

/** Lengths of bars, 0 to 1, of one column: from 0 where no value lies below it, else from the least. */
export function lengths(values) {
  const known = values.filter(Number.isFinite);
  const low = Math.min(0, ...known);
  const from = low < 0 ? low : 0;
  const span = Math.max(...known, 0) - from || 1;
  return values.map((value) => (Number.isFinite(value) ? (value - from) / span : 0));
}
