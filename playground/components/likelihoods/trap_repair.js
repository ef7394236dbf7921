/**
 * What repairs the trap: the suspect's ROC curve under each score, the two histograms of one of them with a threshold to drag, and
 * the areas of all models that have been revealed. A score is looked at by pointer or focus, and chosen by a press.
 */
import { fill, h, number } from "../lib/dom.js";
import { svg } from "../latents/rate_plot.js";
import { DASHES, rocPlot } from "./roc_plot.js";
import { SCORES, cautious, same, sorted, tally } from "./trap_scores.js";
import { twoHistograms } from "./two_histograms.js";

/** A share in percent: with a digit more at its ends, where it matters. */
export const percent = (share) => number(100 * share, share > 0 && share < 1 && (share < 0.1 || share > 0.9) ? 1 : 0);

/** An area and its standard error. */
export function auroc({ auroc: area, error }) {
  const off = error && error < 0.0005 ? "<\u20090.001" : number(error, error ? 3 : 0);
  return [number(area, 3), `±\u2009${off}`];
}

/**
 * recording: ctx.recordings.trap; suspect(), the model; open(), those revealed; title(model); live: trap_live.js; reveal(): all of
 * them are to be.
 */
export function trapRepair(host, ctx, { recording, suspect, open, title, live, reveal }) {
  const { text } = ctx;
  const thresholds = new Map(); // "model score": the bin where the threshold was put
  let looked = null; // the score under the pointer, or in focus
  let order = null; // { key, down }: null until a heading is pressed

  const has = (score) => Boolean(suspect().scores[score]);
  const chosen = () => (has(ctx.settings().score) ? ctx.settings().score : "surprise");
  const now = () => (looked && has(looked) ? looked : chosen());

  // --- What stands where -----------------------------------------------------------------------------------------------------
  const chips = new Map(SCORES.map((score) => [score, chip(score)]));
  const means = h("p", { "data-reading": "score-means" });
  const histogramBox = h("div", {});
  const reading = h("p", { class: "trap-reading", "data-reading": "threshold", "aria-live": "polite" });
  const rocBox = h("div", { class: "trap-roc" });
  const rank = h("p", { class: "soft", "data-reading": "rank" });
  const table = h("table", {});
  const caption = h("p", { class: "soft" });
  const rest = h("p", { class: "soft" }, h("span", {}), " ", h("button", { type: "button", class: "ghost", onclick: reveal }, text.reveal_all));
  const best = h("p", { class: "trap-best", "data-reading": "best" });
  host.append(
    h("section", { "data-part": "repair" }, h("h2", {}, text.repair_title), best,
      h("div", { class: "trap-scores", role: "group", "aria-label": text.scores_label }, ...[...chips.values()].map(({ button }) => button)), means,
      h("div", { class: "trap-pair" }, h("div", {}, histogramBox, reading), h("div", {}, rocBox, rank))),
    live.element,
    h("section", { "data-part": "table" }, h("h2", {}, text.table_title), h("div", { class: "trap-table", tabindex: 0, role: "region", "aria-label": text.table_title }, table), caption, rest),
    h("section", { "data-part": "why" }, h("h2", {}, text.why_title), h("p", {}, text.why)), measured());
  const histograms = twoHistograms(histogramBox, { text, move: (at) => {
    thresholds.set(`${suspect().name} ${now()}`, at);
    threshold();
  } });
  const roc = rocPlot(rocBox, { text: text.roc, point: look, choose: (score) => ctx.change({ score }) });

  function chip(score) {
    const area = h("span", { class: "trap-area" });
    const dash = svg("svg", { class: `dash ${score}`, width: 26, height: 8, "aria-hidden": "true" }, svg("line", { x1: 2, x2: 26, y1: 4, y2: 4, "stroke-dasharray": DASHES[score] }));
    const button = h("button", { type: "button", class: "trap-score", "data-score": score, onclick: () => ctx.change({ score }),
      onpointerenter: (event) => event.pointerType === "mouse" && look(score), onpointerleave: (event) => event.pointerType === "mouse" && look(null),
      onfocus: () => look(score), onblur: () => look(null) }, h("span", { class: "trap-name" }, dash, h("b", {}, text.scores[score])), area);
    return { button, area };
  }

  function look(score) {
    if (looked === score) return;
    looked = score;
    show();
  }

  // --- What is shown ---------------------------------------------------------------------------------------------------------
  const place = () => {
    const { histogram } = suspect().scores[now()];
    return Math.min(histogram.edges.length - 1, thresholds.get(`${suspect().name} ${now()}`) ?? cautious(histogram));
  };

  /** The whole part, for the suspect. */
  function draw() {
    const { scores } = suspect();
    for (const [score, { button, area }] of chips) {
      button.disabled = !scores[score];
      area.textContent = scores[score] ? auroc(scores[score]).join(" ") : text.no_score;
      button.setAttribute("aria-label", scores[score] ? fill(text.score_label, { name: text.scores[score], area: area.textContent }) : `${text.scores[score]}: ${text.no_score}`);
    }
    const twins = scores.rank && same(scores.surprise, scores.rank);
    rank.textContent = !scores.rank ? "" : twins ? text.rank_same : fill(text.rank_differs, { rank: number(scores.rank.auroc, 3), surprise: number(scores.surprise.auroc, 3) });
    const top = SCORES.filter(has).reduce((a, b) => (scores[b].auroc > scores[a].auroc ? b : a));
    const [area, error] = auroc(scores[top]);
    best.textContent = fill(text.best, { name: text.scores[top], area, error });
    const name = (key) => (twins && key === "rank" ? null : twins && key === "surprise" ? text.twins : text.scores[key]);
    const found = SCORES.filter(has);
    roc.set({ curves: found.map((key) => ({ key, name: name(key), ...scores[key] })),
      label: fill(text.roc_label, { name: title(suspect()), areas: found.map((key) => `${text.scores[key]} ${number(scores[key].auroc, 3)}`).join(", ") }) });
    grid();
    show();
  }

  /** What depends on the score in hand. */
  function show() {
    const score = now();
    for (const [key, { button }] of chips) {
      button.setAttribute("aria-pressed", String(key === chosen()));
      button.classList.toggle("looked", key === score);
    }
    means.textContent = fill(text.means[score], { compressor: recording.compressor.toUpperCase(), rate: number(100 * recording.rate, 0) });
    threshold();
  }

  function threshold() {
    const score = now();
    const { histogram } = suspect().scores[score];
    const at = place();
    const counts = tally(histogram, at);
    const end = at === 0 ? "reading_all" : at === histogram.edges.length - 1 ? "reading_none" : "reading"; // tails lie in the bins at the ends
    reading.textContent = fill(text[end], { at: number(histogram.edges[at]), tp: percent(counts.tp), fp: percent(counts.fp),
      caught: number(counts.caught, 0), outliers: number(counts.outliers, 0), thrown: number(counts.thrown, 0), insiders: number(counts.insiders, 0) });
    const axis = fill(text.axes[score], { compressor: recording.compressor.toUpperCase() });
    histograms.set({ histogram, live: live.of(score)?.histogram ?? null, means: null, at, said: reading.textContent, labels: { insiders: text.insiders, outliers: text.outliers },
      axis, label: fill(text.pair_label, { axis }) });
    roc.mark(score, counts, live.of(score));
  }

  // --- All models ------------------------------------------------------------------------------------------------------------
  function grid() {
    const by = order ?? { key: chosen(), down: true };
    const head = (key, name) => {
      const on = by.key === key;
      return h("th", { scope: "col", "aria-sort": on ? (by.down ? "descending" : "ascending") : "none" },
        h("button", { type: "button", class: "ghost", "data-sort": key, onclick: () => {
          order = { key, down: on ? !by.down : key !== "name" };
          grid();
          table.querySelector(`[data-sort="${key}"]`).focus();
        } }, name, h("span", { "aria-hidden": "true" }, on ? (by.down ? " ↓" : " ↑") : "")));
    };
    const rows = sorted(open(), by, title).flatMap((model) => [row(model, model.scores, h("th", { scope: "row" }, title(model))), ...liveRow(model)]);
    table.replaceChildren(h("thead", {}, h("tr", {}, head("name", text.model), ...SCORES.map((score) => head(score, text.scores[score])))), h("tbody", {}, ...rows));
    caption.textContent = text.table_caption;
    const left = recording.models.length - open().length;
    rest.hidden = !left;
    rest.firstChild.textContent = fill(text.table_rest[left === 1 ? "one" : "many"], { n: left });
  }

  function row(model, scores, first) {
    const areas = SCORES.map((score) => scores[score]?.auroc ?? -1);
    const most = Math.max(...areas);
    return h("tr", { "data-model": model.name, class: model === suspect() ? "on" : null }, first, ...SCORES.map((score, i) => {
      if (!scores[score]) return h("td", { class: "soft" }, "–");
      const [area, error] = auroc(scores[score]);
      const share = Math.min(1, Math.abs(2 * areas[i] - 1));
      const worse = areas[i] < 0.5;
      return h("td", { class: `${worse ? "worse" : "better"}${areas[i] === most ? " best" : ""}`, style: `--share:${share}` },
        h("span", {}, `${worse ? "▾\u2009" : ""}${area}`), h("small", {}, error));
    }));
  }

  /** What has been computed now stands below what was recorded. */
  function liveRow(model) {
    const found = live.answer();
    if (!found || found.name !== model.name) return [];
    const { insiders, outliers, scores } = found.answer;
    const first = h("th", { scope: "row", class: "live" }, h("span", { class: "badge", "data-kind": "live" }, ctx.words.live ?? text.live),
      h("small", {}, fill(text.live_images, { outliers: number(outliers.images, 0), insiders: number(insiders.images, 0) })));
    return [row(model, scores, first)];
  }

  // --- How it was measured ---------------------------------------------------------------------------------------------------
  function measured() {
    const { insiders, outliers, calibration, compressor, rate, images, selection, kolmogorov } = recording;
    const list = (rows, first, name) => h("table", {}, h("thead", {}, h("tr", {}, ...[first, "Omniglot", "KMNIST"].map((one) => h("th", { scope: "col" }, one)))),
      h("tbody", {}, ...rows.map((one) => h("tr", {}, h("th", { scope: "row" }, name(one)), ...["omniglot", "kmnist"].map((key) => h("td", {}, number(one[key], 3)))))));
    const uniform = Object.entries(kolmogorov ?? {}).map(([name, distance]) => fill(text.uniform_one, { name: title({ name }), distance: number(distance, 3) }));
    const shared = { insiders, outliers, calibration, compressor: compressor.toUpperCase(), rate: number(100 * rate, 0), n: number(images.insiders, 0), m: number(images.outliers, 0) };
    return h("details", { class: "trap-measured" }, h("summary", {}, text.measured_title), ...text.measured.map((one) => h("p", {}, fill(one, shared))),
      selection ? h("div", { class: "trap-selection" },
        h("div", {}, h("h3", {}, text.selection_ratio), list(selection.ratio, text.rate, (one) => `${number(100 * one.rate, 0)}\u00a0%${one.rate === rate ? ` ${text.taken}` : ""}`)),
        h("div", {}, h("h3", {}, text.selection_complexity), list(selection.complexity, text.compressor, (one) => `${one.compressor}${one.compressor === compressor ? ` ${text.taken}` : ""}`))) : "",
      uniform.length ? h("p", { "data-reading": "uniform" }, fill(text.uniform, { models: uniform.join("; ") })) : "");
  }

  return { draw, curves: roc.drawing, threshold: () => (host.hidden ? null : { score: now(), at: suspect().scores[now()].histogram.edges[place()], ...tally(suspect().scores[now()].histogram, place()) }) };
}
