/**
 * What the trap's recording says, in numbers: who is fooled, what a threshold catches, which ROC curves are one and the same. No
 * drawing here. The positive class is the outlier (a digit), and a high score says "outlier"; see models/measures/outliers.py.
 */

export const SCORES = ["surprise", "rank", "typicality", "complexity", "ratio"];
const SAME = 0.01; // two ROC curves that are nowhere further apart are one on the screen
const ALARM = 0.05; // share of insiders that a threshold throws out before anybody has moved it

const total = (counts) => counts.reduce((sum, one) => sum + one, 0);

/** Fooled: it finds the outlier less surprising in more than half of all pairs. `gap`: by how many bits/dim it does on average. */
export function verdict({ scores, mean }) {
  const { auroc } = scores.surprise;
  return { fooled: auroc < 0.5, less: 1 - auroc, gap: mean.insiders - mean.outliers };
}

/** Who scores at least the lower edge of bin `at` (the number of bins: nobody): counts of both, and their shares. */
export function tally({ insiders, outliers }, at) {
  const [thrown, caught] = [total(insiders.slice(at)), total(outliers.slice(at))];
  const [clothes, digits] = [total(insiders), total(outliers)];
  return { thrown, caught, insiders: clothes, outliers: digits, fp: thrown / clothes, tp: caught / digits };
}

/** The lowest edge that at most one insider in twenty reaches. */
export function cautious(histogram) {
  let at = histogram.insiders.length;
  while (at > 0 && tally(histogram, at - 1).fp <= ALARM) at--;
  return at;
}

/** Heights of a histogram of area 1, so that sets of any size, in bins of any width, can stand in one picture. */
export function density(counts, edges) {
  const all = total(counts) || 1;
  return counts.map((one, i) => one / all / (edges[i + 1] - edges[i]));
}

/** The largest distance of a corner of one ROC curve from the other, in shares. */
export function apart(one, other) {
  const far = (from, to) => Math.max(...from.fp.map((x, i) => nearest(x, from.tp[i], to)));
  return Math.max(far(one, other), far(other, one));
}

function nearest(x, y, { fp, tp }) {
  let least = Math.hypot(fp[0] - x, tp[0] - y);
  for (let i = 1; i < fp.length; i++) {
    const [dx, dy] = [fp[i] - fp[i - 1], tp[i] - tp[i - 1]];
    const along = ((x - fp[i - 1]) * dx + (y - tp[i - 1]) * dy) / (dx * dx + dy * dy || 1);
    const t = Math.min(1, Math.max(0, along));
    least = Math.min(least, Math.hypot(fp[i - 1] + t * dx - x, tp[i - 1] + t * dy - y));
  }
  return least;
}

export const same = (one, other) => apart(one, other) <= SAME;

/** Models in the order of a column: a score's AUROC, or "name" by `title`. Those without the score come last either way. */
export function sorted(models, { key, down }, title) {
  const value = (model) => (key === "name" ? title(model) : model.scores[key]?.auroc);
  const order = (a, b) => (typeof a === "string" ? a.localeCompare(b) : a - b);
  return [...models].sort((one, other) => {
    const [a, b] = [value(one), value(other)];
    if (a === undefined || b === undefined) return (a === undefined) - (b === undefined);
    return down ? order(b, a) : order(a, b);
  });
}

/** A cell of a CSV file: quoted where it must be, and harmless where a spreadsheet would take it for a formula. */
function cell(value) {
  if (typeof value === "number") return String(value);
  const safe = /^[=+\-@\t\r]/.test(value) ? `'${value}` : value;
  return /[",\r\n]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
}

/** All AUROCs, a row for each model and score; then those computed now. `live`: { name, answer } or null. */
export function aurocCsv(recording, title, live) {
  const rows = [["model", "title", "kind", "score", "auroc", "standard_error", "insiders", "outliers", "source"]];
  const add = (model, scores, insiders, outliers, source) => {
    for (const score of SCORES) {
      const found = scores[score];
      if (found) rows.push([model.name, title(model), model.kind, score, found.auroc, found.error, insiders, outliers, source]);
    }
  };
  for (const model of recording.models) add(model, model.scores, recording.images.insiders, recording.images.outliers, "recorded");
  if (live) {
    const model = recording.models.find(({ name }) => name === live.name);
    add(model, live.answer.scores, live.answer.insiders.images, live.answer.outliers.images, "live");
  }
  return `${rows.map((row) => row.map(cell).join(",")).join("\r\n")}\r\n`;
}
