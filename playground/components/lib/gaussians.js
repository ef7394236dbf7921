/**
 * Gaussians and mixtures of them, in the browser: what is drawn while somebody drags must not wait for a server.
 *
 *   log N(x; μ, Σ) = −½ (d log 2π + log |Σ| + |L⁻¹(x − μ)|²),   Σ = L Lᵀ                      (Bishop 2006, §2.3)
 *   γ_k(x) = w_k N(x; μ_k, Σ_k) / Σ_j w_j N(x; μ_j, Σ_j)                                       (Bishop 2006, §9.2)
 *
 * A mixture is { d, k, weights: k, means: k·d, covariances: k·d·d }, row-major Float64Arrays; one Gaussian is a mixture of one.
 * Points are a Float64Array of n·d. Everything is done with differences from the mean and with logarithms (log-sum-exp), so that a
 * cloud far from the origin, and a component as narrow as floating point allows, keep their digits.
 */

const LOG_TWO_PI = Math.log(2 * Math.PI);
const EPSILON = Number.EPSILON;
const TINY = 1e-300;

/**
 * The Cholesky factor of a covariance, with the reciprocals of its diagonal in place of the diagonal, and log |Σ|.
 * A pivot that is lost in rounding (a singular matrix) is put at the rounding error itself: very narrow, yet finite.
 */
function factor(covariances, offset, d, into, at) {
  let logDeterminant = 0;
  for (let i = 0; i < d; i++) {
    for (let j = 0; j <= i; j++) {
      let rest = covariances[offset + i * d + j];
      for (let s = 0; s < j; s++) rest -= into[at + i * d + s] * into[at + j * d + s];
      if (i !== j) {
        into[at + i * d + j] = rest * into[at + j * d + j];
        continue;
      }
      const pivot = Math.max(rest, EPSILON * covariances[offset + i * d + i], TINY);
      logDeterminant += Math.log(pivot);
      into[at + i * d + i] = 1 / Math.sqrt(pivot);
    }
  }
  return logDeterminant;
}

/** What does not depend on the points: factors (k·d·d) and log w_k − ½ (d log 2π + log |Σ_k|). */
function prepare({ d, k, weights, covariances }) {
  const factors = new Float64Array(k * d * d);
  const constants = new Float64Array(k);
  for (let c = 0; c < k; c++) {
    const logDeterminant = factor(covariances, c * d * d, d, factors, c * d * d);
    constants[c] = Math.log(weights[c]) - 0.5 * (d * LOG_TWO_PI + logDeterminant);
  }
  return { factors, constants };
}

/** log w_k + log N(x_i; μ_k, Σ_k), nats: n·k. A weight of 0 gives −Infinity. */
export function logJoint(mixture, points, n) {
  const { d, k, means } = mixture;
  const { factors, constants } = prepare(mixture);
  const joint = new Float64Array(n * k);
  const solved = new Float64Array(d);
  for (let c = 0; c < k; c++) {
    const constant = constants[c];
    const f = c * d * d;
    if (constant === -Infinity) {
      for (let i = 0; i < n; i++) joint[i * k + c] = -Infinity;
    } else if (d === 1) {
      const mean = means[c];
      const inverse = factors[f];
      for (let i = 0; i < n; i++) {
        const u = (points[i] - mean) * inverse;
        joint[i * k + c] = constant - 0.5 * u * u;
      }
    } else if (d === 2) {
      const [m0, m1] = [means[2 * c], means[2 * c + 1]];
      const [i0, l10, i1] = [factors[f], factors[f + 2], factors[f + 3]];
      for (let i = 0; i < n; i++) {
        const u = (points[2 * i] - m0) * i0;
        const v = (points[2 * i + 1] - m1 - l10 * u) * i1;
        joint[i * k + c] = constant - 0.5 * (u * u + v * v);
      }
    } else if (d === 3) {
      const [m0, m1, m2] = [means[3 * c], means[3 * c + 1], means[3 * c + 2]];
      const [i0, l10, i1] = [factors[f], factors[f + 3], factors[f + 4]];
      const [l20, l21, i2] = [factors[f + 6], factors[f + 7], factors[f + 8]];
      for (let i = 0; i < n; i++) {
        const u = (points[3 * i] - m0) * i0;
        const v = (points[3 * i + 1] - m1 - l10 * u) * i1;
        const w = (points[3 * i + 2] - m2 - l20 * u - l21 * v) * i2;
        joint[i * k + c] = constant - 0.5 * (u * u + v * v + w * w);
      }
    } else {
      for (let i = 0; i < n; i++) {
        let square = 0;
        for (let row = 0; row < d; row++) {
          let rest = points[i * d + row] - means[c * d + row];
          for (let s = 0; s < row; s++) rest -= factors[f + row * d + s] * solved[s];
          solved[row] = rest * factors[f + row * d + row];
          square += solved[row] * solved[row];
        }
        joint[i * k + c] = constant - 0.5 * square;
      }
    }
  }
  return joint;
}

/** log Σ_k exp(joint_k) of the k numbers from `at` on. */
function logSumExp(joint, at, k) {
  let top = -Infinity;
  for (let c = 0; c < k; c++) if (joint[at + c] > top) top = joint[at + c];
  if (top === -Infinity) return top;
  let sum = 0;
  for (let c = 0; c < k; c++) sum += Math.exp(joint[at + c] - top);
  return top + Math.log(sum);
}

/** log p(x_i), nats: n. */
export function logProb(mixture, points, n) {
  const { k } = mixture;
  const joint = logJoint(mixture, points, n);
  const out = new Float64Array(n);
  for (let i = 0; i < n; i++) out[i] = logSumExp(joint, i * k, k);
  return out;
}

/** γ_k(x_i), each row of k summing to 1: n·k. A point that no component reaches at all is shared evenly. */
export function responsibilities(mixture, points, n) {
  const { k } = mixture;
  const out = logJoint(mixture, points, n);
  for (let i = 0; i < n; i++) {
    const at = i * k;
    let top = -Infinity;
    for (let c = 0; c < k; c++) if (out[at + c] > top) top = out[at + c];
    let sum = 0;
    for (let c = 0; c < k; c++) sum += out[at + c] = top === -Infinity ? 1 : Math.exp(out[at + c] - top);
    for (let c = 0; c < k; c++) out[at + c] /= sum;
  }
  return out;
}

/** One-hot rows at the largest of k numbers: n·k; among equals the lowest index wins. */
export function hard(joint, n, k) {
  const out = new Float64Array(n * k);
  for (let i = 0; i < n; i++) {
    let best = 0;
    for (let c = 1; c < k; c++) if (joint[i * k + c] > joint[i * k + best]) best = c;
    out[i * k + best] = 1;
  }
  return out;
}

/** The index of the nearest of k ≤ 256 means (k·d) to each point: n; among equals the lowest index wins. */
export function nearest(means, k, d, points, n) {
  const out = new Uint8Array(n);
  for (let i = 0; i < n; i++) {
    let least = Infinity;
    for (let c = 0; c < k; c++) {
      let square = 0;
      for (let s = 0; s < d; s++) {
        const difference = points[i * d + s] - means[c * d + s];
        square += difference * difference;
      }
      if (square < least) {
        least = square;
        out[i] = c;
      }
    }
  }
  return out;
}

/** p(x, y) on a grid, 1 / (unit of x · unit of y): ys.length rows of xs.length; row r is ys[r]. d = 2. */
export function densityGrid(mixture, xs, ys) {
  const { k, means } = mixture;
  const { factors, constants } = prepare(mixture);
  const width = xs.length;
  const out = new Float64Array(ys.length * width);
  for (let c = 0; c < k; c++) {
    const constant = constants[c];
    if (constant === -Infinity) continue;
    const [m0, m1] = [means[2 * c], means[2 * c + 1]];
    const [i0, l10, i1] = [factors[4 * c], factors[4 * c + 2], factors[4 * c + 3]];
    for (let row = 0; row < ys.length; row++) {
      const dy = ys[row] - m1;
      for (let column = 0; column < width; column++) {
        const u = (xs[column] - m0) * i0;
        const v = (dy - l10 * u) * i1;
        const log = constant - 0.5 * (u * u + v * v);
        if (log > -746) out[row * width + column] += Math.exp(log);
      }
    }
  }
  return out;
}

/** w_k N(x; μ_k, σ_k²) of each component on xs, 1 / unit of x: k rows of xs.length. d = 1. */
export function densityCurve(mixture, xs) {
  const { k } = mixture;
  const n = xs.length;
  const joint = logJoint(mixture, xs, n);
  const out = new Float64Array(k * n);
  for (let c = 0; c < k; c++) for (let i = 0; i < n; i++) out[c * n + i] = Math.exp(joint[i * k + c]);
  return out;
}

/**
 * The ellipse of the covariance [[a, b], [b, c]] at one standard deviation: { rx, ry, angle }, rx ≥ ry, in the points' unit.
 * `angle`: of rx, radians counter-clockwise from the x axis. The smaller eigenvalue comes from the determinant: the difference of
 * the two halves of the quadratic formula would lose a narrow ellipse's digits.
 */
export function ellipse(a, b, c) {
  const large = (a + c) / 2 + Math.hypot((a - c) / 2, b);
  const small = large > 0 ? Math.max(0, (a * c - b * b) / large) : 0;
  return { rx: Math.sqrt(Math.max(0, large)), ry: Math.sqrt(small), angle: Math.atan2(2 * b, a - c) / 2 };
}

/** [a, b, c] of the covariance whose ellipse at one standard deviation this is: the inverse of `ellipse`. */
export function covarianceOf({ rx, ry, angle }) {
  const [cos, sin] = [Math.cos(angle), Math.sin(angle)];
  const [x, y] = [rx * rx, ry * ry];
  return [x * cos * cos + y * sin * sin, (rx - ry) * (rx + ry) * sin * cos, x * sin * sin + y * cos * cos];
}

/** The mixture of V x, where `view` holds the rows of V: means V μ, covariances V Σ Vᵀ. The shadow of a Gaussian is a Gaussian. */
export function project(mixture, view) {
  const { d, k, weights, means, covariances } = mixture;
  const rows = view.length / d;
  const out = { d: rows, k, weights: Float64Array.from(weights), means: projectPoints(means, k, d, view), covariances: new Float64Array(k * rows * rows) };
  const half = new Float64Array(rows * d); // V Σ
  for (let c = 0; c < k; c++) {
    for (let r = 0; r < rows; r++)
      for (let j = 0; j < d; j++) {
        let sum = 0;
        for (let i = 0; i < d; i++) sum += view[r * d + i] * covariances[c * d * d + i * d + j];
        half[r * d + j] = sum;
      }
    for (let r = 0; r < rows; r++)
      for (let s = 0; s <= r; s++) {
        let sum = 0;
        for (let j = 0; j < d; j++) sum += half[r * d + j] * view[s * d + j];
        out.covariances[c * rows * rows + r * rows + s] = out.covariances[c * rows * rows + s * rows + r] = sum;
      }
  }
  return out;
}

/** V x of each point, where `view` holds the rows of V: n·(view.length / d). */
export function projectPoints(points, n, d, view) {
  const rows = view.length / d;
  const out = new Float64Array(n * rows);
  for (let i = 0; i < n; i++)
    for (let r = 0; r < rows; r++) {
      let sum = 0;
      for (let s = 0; s < d; s++) sum += view[r * d + s] * points[i * d + s];
      out[i * rows + r] = sum;
    }
  return out;
}

/** What a Gaussian's likelihood needs of points on a line: { n, mean, meanSquare }, the last of them the mean of (x − mean)². */
export function sufficient(points) {
  const n = points.length;
  let sum = 0;
  for (let i = 0; i < n; i++) sum += points[i] - points[0];
  let mean = n ? points[0] + sum / n : NaN;
  let left = 0;
  for (let i = 0; i < n; i++) left += points[i] - mean;
  if (n) mean += left / n; // what the first sum's rounding left
  let square = 0;
  for (let i = 0; i < n; i++) square += (points[i] - mean) * (points[i] - mean);
  return { n, mean, meanSquare: square / n };
}

/** Σ_i log N(x_i; μ, σ²), nats, from what `sufficient` says of the points. */
export function normalLogLikelihood({ n, mean, meanSquare }, mu, sigma) {
  const u = (mean - mu) / sigma;
  return -n * (Math.log(sigma) + 0.5 * (LOG_TWO_PI + meanSquare / sigma / sigma + u * u));
}
