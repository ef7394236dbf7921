/**
 * Labels by Bayes' rule, in logarithms, and who turns a picture away.
 *
 *     p(y|x) = p(x|y) p(y) / Σ p(x|y′) p(y′)
 *
 * log p(x|y) is hundreds of nats below 0, so that p(x|y) itself is no number that a computer has: all is done on logarithms, with
 * the largest taken out first. The same as models/measures/bayes.py (labels), and tested against it.
 */

export const DIMS = 28 * 28; // pixels of a picture

/** log Σ exp(values), stably; −∞ where all are. */
export function logSumExp(values) {
  const most = Math.max(...values);
  if (!Number.isFinite(most)) return most;
  return most + Math.log(values.reduce((sum, value) => sum + Math.exp(value - most), 0));
}

/** Shares that sum to 1, from unnormalised logarithms. */
export function softmax(values) {
  const whole = logSumExp(values);
  return values.map((value) => (whole === -Infinity ? 0 : Math.exp(value - whole)));
}

/** log p(x|y) in nats and a prior that sums to 1 → p(y|x), and log p(x) in nats. */
export function posterior(byClass, prior) {
  const joint = byClass.map((nats, y) => nats + Math.log(prior[y]));
  return { shares: softmax(joint), logProb: logSumExp(joint) };
}

/** Relative weights of a setting: "even", or `k` positive numbers with commas. null for anything else, even included. */
export function weightsOf(setting, k) {
  const weights = String(setting ?? "").split(",").map((one) => (one.trim() ? Number(one) : NaN));
  return weights.length === k && weights.every((one) => Number.isFinite(one) && one > 0) ? weights : null;
}

/** The prior that a setting means: `k` probabilities that sum to 1. */
export function priorOf(setting, k) {
  const weights = weightsOf(setting, k) ?? Array(k).fill(1);
  const whole = weights.reduce((sum, one) => sum + one, 0);
  return weights.map((one) => one / whole);
}

/** Weights as a setting, three digits each and no exponents; "even" where all are alike. */
export function priorText(weights) {
  if (weights.every((one) => one === weights[0])) return "even";
  const plain = (one) => (one < 1e-6 ? one.toFixed(20).replace(/0+$/, "") : String(one));
  return weights.map((one) => plain(Number(one.toPrecision(3)))).join(",");
}

/** The number of the largest; the first of equals. */
export const largest = (values) => values.indexOf(Math.max(...values));

/** Log-odds of label `a` over `b` in nats: what the picture says, what the prior says, and their sum. */
export function logOdds(byClass, prior, a, b) {
  const evidence = byClass[a] - byClass[b];
  const before = Math.log(prior[a]) - Math.log(prior[b]);
  return { evidence, prior: before, total: evidence + before };
}

/** Nats to surprise in bits per dimension, and back (its own inverse but for the factor). */
export const surprise = (nats) => -nats / (Math.LN2 * DIMS);
export const nats = (bits) => -bits * Math.LN2 * DIMS;

/** The surprise from which on a picture is turned away: fewer than `alpha` of the held-out are as surprising (by 101 quantiles). */
export function limit(quantiles, alpha) {
  const at = (1 - alpha) * (quantiles.length - 1);
  const below = Math.min(quantiles.length - 2, Math.floor(at));
  return quantiles[below] + (at - below) * (quantiles[below + 1] - quantiles[below]);
}

/** The share of held-out pictures in each of `bins` equal bins over [low, high], by their quantiles: even between two of them. */
export function histogram(quantiles, low, high, bins) {
  const steps = quantiles.length - 1;
  const below = (value) => {
    if (value < quantiles[0]) return 0;
    if (value >= quantiles[steps]) return 1;
    let i = 0;
    while (quantiles[i + 1] <= value) i++; // of equal quantiles the last
    return (i + (value - quantiles[i]) / (quantiles[i + 1] - quantiles[i])) / steps;
  };
  const edges = Array.from({ length: bins + 1 }, (_, i) => below(low + ((high - low) * i) / bins));
  return Array.from({ length: bins }, (_, i) => edges[i + 1] - edges[i]);
}

/** Bayes: the likeliest label, and whether the picture is turned away. `rank` null: no held-out scores, so nothing is. */
export function bayesVerdict({ byClass, rank }, prior, alpha) {
  const { shares } = posterior(byClass, prior);
  const impossible = byClass.every((one) => one === -Infinity);
  const label = largest(shares);
  return { label, share: shares[label], shares, refused: impossible || (rank !== null && rank < alpha) };
}

/** The classifier: its likeliest label, turned away where that has less than `threshold`. */
export function classifierVerdict(probabilities, threshold) {
  const label = largest(probabilities);
  return { label, share: probabilities[label], refused: probabilities[label] < threshold };
}
