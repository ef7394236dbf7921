/**
 * models/toy_bound.py, in the browser: what moves under a hand must not wait for a server. Equations, grids and their errors
 * stand there; a test holds every function against its twin.
 *
 *   z ~ N(0, 1),  x | z ~ N(f(z), σ²),  f(z) = a z + θ (z² − 1),  q(z) = N(m, s²)
 *   log p(x) = E_q[log p(x|z)] − KL(q(z) ‖ p(z)) + KL(q(z) ‖ p(z|x))
 *
 * q is { m, s }; all numbers are nats.
 */

export const SLOPE = 0.5;
export const SIGMA = 0.6;
const [LIMIT, STEP] = [12, 0.01];
const [DRAWN, DRAWN_STEP] = [10, 0.1];
const [SEARCH, SEARCH_STEP] = [8, 0.02];
const LOG_2PI = Math.log(2 * Math.PI);

/** `low` to `−low` in equal steps, 0 among them. */
function axis(limit, step) {
  return Float64Array.from({ length: Math.round((2 * limit) / step) + 1 }, (_, i) => step * (i - limit / step));
}

const GRID = axis(LIMIT, STEP);
const UNITS = axis(DRAWN, DRAWN_STEP);
const UNIT_LOGS = UNITS.map((u) => -0.5 * (u * u + LOG_2PI));

export function decode(theta, z) {
  return SLOPE * z + theta * (z * z - 1);
}

/** log p(z) + log p(x|z). */
export function logJoint(theta, x, z) {
  const residual = (x - decode(theta, z)) / SIGMA;
  return -0.5 * z * z - 0.5 * residual * residual - LOG_2PI - Math.log(SIGMA);
}

/** log p(x): trapezoid rule over z. */
export function logEvidence(theta, x) {
  const values = GRID.map((z) => logJoint(theta, x, z));
  const top = values.reduce((a, b) => Math.max(a, b), -Infinity);
  return top + Math.log(STEP * values.reduce((sum, v) => sum + Math.exp(v - top), 0));
}

/** E_q[log p(x|z)], closed form. */
export function reconstruction(theta, x, { m, s }) {
  const v = s * s;
  const slope = SLOPE + 2 * theta * m;
  const error = x - decode(theta, m) - theta * v;
  const square = error * error + slope * slope * v + 2 * theta * theta * v * v;
  return -0.5 * (LOG_2PI + square / (SIGMA * SIGMA)) - Math.log(SIGMA);
}

/** KL(q(z) ‖ p(z)), closed form. */
export function klToPrior({ m, s }) {
  return 0.5 * (m * m + s * s - 1) - Math.log(s);
}

export function elbo(theta, x, q) {
  return reconstruction(theta, x, q) - klToPrior(q);
}

/** KL(q(z) ‖ p(z|x)) by quadrature under q; `evidence` is log p(x). Not made from the other terms: that they add up is found. */
export function gap(theta, x, { m, s }, evidence) {
  let sum = 0;
  for (let i = 0; i < UNITS.length; i++) {
    const surplus = UNIT_LOGS[i] - Math.log(s) - (logJoint(theta, x, m + s * UNITS[i]) - evidence);
    sum += Math.exp(UNIT_LOGS[i]) * surplus;
  }
  return DRAWN_STEP * sum;
}

/** The positive root of quadratic v² + linear v = 1. */
function bestVariance(linear, quadratic) {
  const root = Math.sqrt(linear * linear + 4 * quadratic);
  return linear > 0 ? 2 / (root + linear) : (root - linear) / (2 * quadratic);
}

/** Where f falls through 0 within ±limit. */
function downwardRoots(f, limit, step) {
  const places = axis(limit, step);
  const values = places.map(f);
  const roots = [];
  for (let i = 0; i + 1 < places.length; i++) {
    if (!(values[i] > 0 && values[i + 1] <= 0)) continue;
    let [low, high] = [places[i], places[i + 1]];
    for (let k = 0; k < 60; k++) {
      const middle = 0.5 * (low + high);
      if (f(middle) > 0) low = middle;
      else high = middle;
    }
    roots.push(0.5 * (low + high));
  }
  return roots;
}

const highest = (candidates, value) => candidates.reduce((a, b) => (value(b) > value(a) ? b : a));

/** The q of the largest ELBO. */
export function best(theta, x) {
  const variance = (m) => {
    const slope = SLOPE + 2 * theta * m;
    return bestVariance(1 + (slope * slope - 2 * theta * (x - decode(theta, m))) / SIGMA ** 2, (6 * theta ** 2) / SIGMA ** 2);
  };
  const rise = (m) => ((SLOPE + 2 * theta * m) * (x - decode(theta, m) - 3 * theta * variance(m))) / SIGMA ** 2 - m;
  const found = downwardRoots(rise, SEARCH, SEARCH_STEP).map((m) => ({ m, s: Math.sqrt(variance(m)) }));
  return highest(found, (q) => elbo(theta, x, q));
}

/** The encoder m = α x, s of the largest ELBO on average over x ~ p(x): { alpha, s }. */
export function trainEncoder(theta) {
  const [a, t, noise] = [SLOPE, theta, SIGMA ** 2];
  const second = a ** 2 + 2 * t ** 2;
  const m2 = second + noise;
  const m3 = 6 * a ** 2 * t + 8 * t ** 3;
  const m4 = 3 * a ** 4 + 60 * a ** 2 * t ** 2 + 60 * t ** 4 + 6 * second * noise + 3 * noise ** 2;
  const variance = (alpha) => bestVariance(1 + (a * a - 2 * t * t + 6 * t * t * alpha ** 2 * m2) / noise, (6 * t * t) / noise);
  const mean = ({ alpha, s }) => {
    const v = s * s;
    const c = 1 - a * alpha;
    let square = c * c * m2 + t * t * (alpha ** 4 * m4 + (1 - v) ** 2);
    square -= 2 * c * t * alpha ** 2 * m3 + 2 * t * t * alpha ** 2 * (1 - v) * m2;
    square += v * (a * a + 4 * t * t * alpha ** 2 * m2) + 2 * t * t * v * v;
    return -0.5 * (square / noise + alpha ** 2 * m2 + v - 1) + 0.5 * Math.log(v);
  };
  const rise = (alpha) => {
    const c = 1 - a * alpha;
    const v = variance(alpha);
    let square = -2 * a * c * m2 + 4 * t * t * alpha ** 3 * m4 + 2 * a * t * alpha ** 2 * m3 - 4 * c * t * alpha * m3;
    square += -4 * t * t * alpha * (1 - v) * m2 + 8 * t * t * v * alpha * m2;
    return (-0.5 * square) / noise - alpha * m2;
  };
  const found = downwardRoots(rise, 1, 0.005).map((alpha) => ({ alpha, s: Math.sqrt(variance(alpha)) }));
  return highest(found, mean);
}

/** What does not depend on q: the evidence, the best q, the encoder, and the encoder's q. */
export function scene(theta, x) {
  const evidence = logEvidence(theta, x);
  const top = best(theta, x);
  const encoder = trainEncoder(theta);
  const encoded = { m: encoder.alpha * x, s: encoder.s };
  return { theta, x, evidence, best: top, bestElbo: elbo(theta, x, top), encoder, encoded };
}

/** The bars of q in a scene; `approximation` + `own` = gap: what the best Gaussian leaves too, and what only this q leaves. */
export function bars(at, q) {
  const { theta, x, evidence } = at;
  const [expected, kl] = [reconstruction(theta, x, q), klToPrior(q)];
  const left = gap(theta, x, q, evidence);
  const approximation = Math.max(0, evidence - at.bestElbo);
  return { reconstruction: expected, kl, elbo: expected - kl, gap: left, evidence, approximation, own: at.bestElbo - (expected - kl) };
}
