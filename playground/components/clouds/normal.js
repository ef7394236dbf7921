/**
 * The Gaussian on a line: its density, the probability of an interval, the product of many densities as floating point has it, and
 * seeded draws for histograms.
 *
 *   P(a < x < b) = ∫ p(x) dx = Φ((b − μ)/σ) − Φ((a − μ)/σ),   Φ(z) = ½ erfc(−z/√2)
 *
 * erf by its series of positive terms (Abramowitz and Stegun 1964, 7.1.6), erfc far out by its continued fraction (7.1.14): both to
 * within a few roundings. No difference is taken of two nearly equal numbers: in a tail erfc's are subtracted instead of erf's, and
 * over a narrow interval the density is integrated (Gauss and Legendre, five nodes), so that P / width has all its digits.
 */

const ROOT_TWO_PI = Math.sqrt(2 * Math.PI);
const ROOT_PI = Math.sqrt(Math.PI);
const NODES = [0, 0.5384693101056831, 0.906179845938664];
const WEIGHTS = [0.5688888888888889, 0.4786286704993665, 0.23692688505618908];

/** N(x; μ, σ²), 1 / unit of x. */
export function density(x, mu, sigma) {
  const u = (x - mu) / sigma;
  return Math.exp(-0.5 * u * u) / (sigma * ROOT_TWO_PI);
}

/** log N(x; μ, σ²), nats. */
export function logDensity(x, mu, sigma) {
  const u = (x - mu) / sigma;
  return -0.5 * u * u - Math.log(sigma * ROOT_TWO_PI);
}

export function erf(x) {
  const z = Math.abs(x);
  if (z > 2.5) return Math.sign(x) * (1 - erfc(z));
  let term = z;
  let sum = z;
  for (let k = 1; term > sum * 1e-17; k++) {
    term *= (2 * z * z) / (2 * k + 1);
    sum += term;
  }
  return Math.sign(x) * (2 / ROOT_PI) * Math.exp(-z * z) * sum;
}

/** 1 − erf(x), with its digits where that is tiny. */
export function erfc(x) {
  if (x < 1.5) return 1 - erf(x);
  let tail = x; // x + (1/2)/(x + 1/(x + (3/2)/(x + …))), from far enough in outwards
  for (let k = 120; k > 0; k--) tail = x + k / 2 / tail;
  return Math.exp(-x * x) / (ROOT_PI * tail);
}

/** The probability of a < x < b under N(μ, σ²). */
export function probability(a, b, mu, sigma) {
  if (!(b > a)) return 0;
  const low = (a - mu) / sigma;
  const high = (b - mu) / sigma;
  const half = (b - a) / sigma / 2;
  const middle = ((a - mu) / sigma + (b - mu) / sigma) / 2;
  if (half * (1 + Math.abs(middle)) < 0.25) {
    let sum = WEIGHTS[0] * density(middle, 0, 1);
    for (const i of [1, 2]) sum += WEIGHTS[i] * (density(middle - half * NODES[i], 0, 1) + density(middle + half * NODES[i], 0, 1));
    return half * sum;
  }
  if (low > 0) return (erfc(low / Math.SQRT2) - erfc(high / Math.SQRT2)) / 2;
  if (high < 0) return (erfc(-high / Math.SQRT2) - erfc(-low / Math.SQRT2)) / 2;
  return (erf(high / Math.SQRT2) + erf(-low / Math.SQRT2)) / 2;
}

/**
 * Π N(x_i; μ, σ²) over the first n points, multiplied as doubles are: { value, lost }. `lost`: how many factors it took to become 0
 * or infinite, null if it never did.
 */
export function product(points, n, mu, sigma) {
  let value = 1;
  let lost = null;
  for (let i = 0; i < n; i++) {
    value *= density(points[i], mu, sigma);
    if (lost === null && (value === 0 || value === Infinity)) lost = i + 1;
  }
  return { value, lost };
}

/** n draws from N(0, 1), the same for the same seed: Marsaglia's polar method on a 32-bit counter generator (mulberry32). */
export function standardDraws(n, seed) {
  let state = seed >>> 0;
  const uniform = () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return (((t ^ (t >>> 14)) >>> 0) + 0.5) / 4294967296;
  };
  const out = new Float64Array(n);
  for (let i = 0; i < n; i += 2) {
    let [u, v, s] = [0, 0, 0];
    do {
      u = 2 * uniform() - 1;
      v = 2 * uniform() - 1;
      s = u * u + v * v;
    } while (s >= 1 || s === 0);
    const stretch = Math.sqrt((-2 * Math.log(s)) / s);
    out[i] = u * stretch;
    if (i + 1 < n) out[i + 1] = v * stretch;
  }
  return out;
}

/** How many points fall into each bin [low + i·width, low + (i + 1)·width): a Float64Array of `bins`; others are left out. */
export function counts(points, low, width, bins) {
  const out = new Float64Array(bins);
  for (let i = 0; i < points.length; i++) {
    const bin = Math.floor((points[i] - low) / width);
    if (bin >= 0 && bin < bins) out[bin]++;
  }
  return out;
}
