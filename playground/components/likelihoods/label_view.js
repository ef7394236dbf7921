/**
 * Which label? A model of p(x|y) answers by Bayes' rule, a classifier by its softmax; both of the picture that is looked at, and in
 * a strip of all pictures of the tray. The first can turn a picture away that is improbable under every label, the second only one
 * of which it is unsure. Below, recorded: error against coverage of both.
 *
 * Settings: bayes (the model of p(x|y)), prior ("even", or ten weights), alpha, threshold.
 */
import { ask, newest } from "../lib/api.js";
import { fill, h, number, oncePerFrame } from "../lib/dom.js";
import { percent } from "../level_histogram/level_histogram.js";
import { paint } from "../lib/pixels.js";
import { formula, oddsSaid } from "./bayes_formula.js";
import { DIMS, bayesVerdict, classifierVerdict, priorOf } from "./bayes_math.js";
import { csv } from "./csv.js";
import { coveragePlot } from "./coverage_plot.js";
import { labelBoard } from "./label_board.js";

const CHUNK = 10; // pictures a request: the first are there while the others are computed
const KEPT = 600; // readings

const small = (attributes = {}) => h("canvas", { width: 28, height: 28, "aria-hidden": "true", ...attributes });

/** ctx: see the stage, likelihoods.js. */
export function labelView(host, ctx) {
  const { text } = ctx;
  const readings = new Map(); // by data, seed and pixels: what the models said of a picture
  let held = {}; // settings under a hand that has not let go
  let shown = false;
  let broken = false; // the last request was refused
  let request = new AbortController();
  let wanted = []; // keys of what is being asked
  let compared = null; // the data set whose curves are drawn

  const now = () => ({ ...ctx.settings(), ...held });
  const redraw = oncePerFrame(() => shown && draw());
  const set = (patch) => {
    Object.assign(held, patch);
    redraw();
  };
  const done = (patch) => {
    held = {};
    ctx.change(patch);
  };

  const empty = h("p", { class: "empty" }, text.empty);
  const waiting = h("p", { class: "soft waiting", role: "status" });
  const againButton = h("button", { type: "button", class: "ghost", onclick: () => load() }, text.again);
  const models = h("div", { class: "models", role: "group", "aria-label": text.models });
  const large = small({ role: "img", "aria-hidden": null });
  const title = h("figcaption", {});
  const cards = { bayes: card(text.bayes, "bayes"), classifier: card(text.classifier, "classifier") };
  const told = h("div", { class: "told" }, h("figure", {}, large, title), h("div", { class: "judgements", "aria-live": "polite" }, cards.bayes.element, cards.classifier.element));
  const boardPlace = h("div", {});
  const board = labelBoard(boardPlace, ctx, { set, done });
  const equation = h("div", { class: "formula", role: "group", tabindex: 0, "aria-label": text.formula });
  const said = h("p", {});
  const answered = h("div", { class: "answered" }, told, boardPlace, equation, said);
  const strip = h("ul", { class: "strip", "aria-label": text.strip });
  const count = h("p", { "aria-live": "polite" });
  const asked = h("section", { "data-part": "picture" }, h("p", { class: "soft" }, text.lead), models, h("div", { class: "pending" }, waiting, againButton), answered,
    h("h3", {}, text.strip), strip, count);
  const plotPlace = h("div", { class: "coverage" });
  const fair = h("section", { "data-part": "coverage", "aria-labelledby": "lk-fair" },
    h("div", { class: "fair-head" }, h("h2", { id: "lk-fair" }, text.fair), h("span", { class: "badge", "data-kind": "recorded" }, text.recorded)), h("p", { class: "soft" }, text.fair_lead), plotPlace);
  host.append(empty, asked, fair);
  let plot = null;
  let tiles = [];

  function card(name, kind) {
    const [answer, value, why] = [h("strong", {}), h("span", { class: "value" }), h("p", { class: "soft" })];
    const element = h("div", { class: "judged", "data-verdict": kind }, h("h3", {}, name), h("p", { class: "answer" }, answer, value), why);
    return { element, answer, value, why };
  }

  // --- Asking ------------------------------------------------------------------------------------------------------------------

  const keyOf = ({ pixels }, { data, seed }) => `${data} ${seed} ${String.fromCharCode(...pixels)}`;
  const readingOf = (picture) => readings.get(keyOf(picture, ctx.settings()));

  /** Pictures of which nothing is known yet: the one that is looked at first, equal ones once. */
  function missing() {
    const all = [ctx.chosen(), ...ctx.pictures()].filter((one) => one && !readingOf(one));
    return [...new Map(all.map((one) => [keyOf(one, ctx.settings()), one])).values()];
  }

  const load = newest(async () => {
    let seconds = 0;
    const again = broken;
    for (let some = missing(); shown && some.length; some = missing()) {
      const { data, seed } = ctx.settings();
      const chunk = some.slice(0, CHUNK);
      const body = new Uint8Array(chunk.length * DIMS);
      chunk.forEach(({ pixels }, i) => body.set(pixels, i * DIMS));
      request = new AbortController();
      wanted = chunk.map((one) => keyOf(one, { data, seed }));
      broken = false;
      waits();
      const answer = await (await ask("likelihoods/labels", { query: { data, seed }, body, signal: request.signal })).json();
      if (!answer.classifier || !answer.models.length) throw new Error(text.missing);
      chunk.forEach((picture, i) => keep(keyOf(picture, { data, seed }), answer, i));
      seconds += answer.seconds ?? 0;
      if (again) ctx.fine(); // what had failed is there now
      if (!shown) return;
      ctx.badge("live");
      ctx.took(seconds);
      draw();
    }
  }, (error) => {
    if (error.name === "AbortError") return;
    broken = true;
    ctx.fail(error);
    waits();
  });

  /** An answer stands under what was asked, so that a late one is never another's. */
  function keep(key, answer, i) {
    readings.set(key, {
      classes: answer.classes, classifier: answer.classifier.name, softmax: answer.classifier.probabilities[i],
      models: answer.models.map(({ name, kind, method, by_class: byClass, bits, rank }) => ({
        name, kind, method, byClass: byClass[i].map((one) => one ?? -Infinity), bits: bits[i], rank: rank?.[i] ?? null,
      })),
    });
    if (readings.size > KEPT) readings.delete(readings.keys().next().value);
  }

  /** The same of one model: the chosen one, or the first. */
  function reading(picture) {
    const found = picture && readingOf(picture);
    if (!found) return null;
    return { ...found, model: found.models.find((one) => one.name === now().bayes) ?? found.models[0] };
  }

  function verdicts({ classes, softmax, model }) {
    const { prior, alpha, threshold } = now();
    return { bayes: bayesVerdict(model, priorOf(prior, classes.length), alpha), classifier: classifierVerdict(softmax, threshold) };
  }

  // --- Showing -----------------------------------------------------------------------------------------------------------------

  function draw() {
    const pictures = ctx.pictures();
    empty.hidden = pictures.length > 0;
    asked.hidden = !pictures.length;
    const chosen = ctx.chosen();
    const found = reading(chosen);
    if (chosen) {
      paint(large, chosen.pixels);
      large.setAttribute("aria-label", fill(text.picture, { title: chosen.title }));
    }
    answered.classList.toggle("without", !found);
    if (found) tell(chosen, found);
    waits();
    drawStrip(pictures, chosen);
    compare();
  }

  function waits() {
    const left = ctx.pictures().filter((one) => !readingOf(one)).length;
    waiting.textContent = left && !broken ? text.waiting : "";
    againButton.hidden = !broken;
    againButton.parentElement.hidden = !left;
    asked.toggleAttribute("aria-busy", left > 0 && !broken);
  }

  function tell(picture, found) {
    const { classes, model } = found;
    const { prior, threshold } = now();
    const both = verdicts(found);
    const names = found.models.map((one) => one.name);
    if (models.dataset.names !== names.join()) {
      models.dataset.names = names.join();
      models.replaceChildren(...found.models.map(({ name, kind }) => h("button", { type: "button", "data-model": name, onclick: () => ctx.change({ bayes: name }) }, titleOf(name), h("small", {}, text.kinds[kind]))));
    }
    for (const button of models.children) button.setAttribute("aria-pressed", String(button.dataset.model === model.name));
    title.replaceChildren(h("b", {}, picture.title), picture.why ? h("span", { class: "soft" }, ` ${picture.why}`) : "");
    const { bayes, classifier } = both;
    judge(cards.bayes, bayes, classes, fill(text.low, { y: classes[bayes.label], share: percent(bayes.share) }), text.accepted);
    judge(cards.classifier, classifier, classes, fill(text.unsure, { y: classes[classifier.label], share: percent(classifier.share), threshold: percent(threshold) }), threshold ? text.accepted : text.always);
    if (picture.attack) {
      const { label, became, changed } = picture.attack;
      cards.classifier.why.textContent += ` ${fill(text.was, { label: classes[label], became: classes[became], n: changed })}`;
    }
    board.show(picture, found, now(), both);
    const weights = priorOf(prior, classes.length);
    equation.replaceChildren(formula({ byClass: model.byClass, prior: weights, label: bayes.label, name: classes[bayes.label], exact: model.kind === "exact" }));
    said.textContent = oddsSaid({ byClass: model.byClass, prior: weights, names: classes }, text);
    const { held_out: bits, parameters } = ctx.models[model.name] ?? {};
    ctx.facts(bits === undefined ? titleOf(model.name) : fill(text.facts, { title: titleOf(model.name), sign: text.surprise_signs[model.kind], bits: number(bits, 2), parameters: number(parameters, 0) }));
  }

  function judge({ element, answer, value, why }, { label, share, refused }, classes, no, yes) {
    element.classList.toggle("refused", refused);
    answer.textContent = refused ? text.refuses : classes[label];
    value.textContent = refused ? "" : percent(share);
    why.textContent = refused ? no : yes;
  }

  const titleOf = (name) => ctx.models[name]?.title ?? name;

  /** A tile a picture, in the order of the tray; those that stay are kept, so that a finger's place and the focus are. */
  function drawStrip(pictures, chosen) {
    while (tiles.length > pictures.length) tiles.pop().item.remove();
    while (tiles.length < pictures.length) tiles.push(tile(tiles.length));
    const counted = { bayes: 0, classifier: 0, asked: 0 };
    pictures.forEach((picture, i) => {
      const found = reading(picture);
      const both = found && verdicts(found);
      const one = tiles[i];
      if (one.pixels !== picture.pixels) paint(one.canvas, picture.pixels);
      one.pixels = picture.pixels;
      one.title.textContent = picture.title;
      one.button.setAttribute("aria-pressed", String(picture === chosen || picture.id === chosen?.id));
      const words = {};
      for (const who of ["bayes", "classifier"]) {
        const verdict = both?.[who];
        words[who] = !verdict ? text.strip_none : verdict.refused ? text.strip_refuses : found.classes[verdict.label];
        one[who].textContent = words[who];
        one[who].classList.toggle("refused", Boolean(verdict?.refused));
        if (verdict?.refused) counted[who]++;
      }
      if (found) counted.asked++;
      one.button.setAttribute("aria-label", fill(text.strip_button, { title: picture.title, ...words }));
    });
    const n = pictures.length;
    count.textContent = counted.asked < n ? fill(text.count_waiting, { m: counted.asked, n }) : fill(text.count, { ...counted, n });
  }

  function tile(i) {
    const [canvas, name, bayes, classifier] = [small(), h("span", { class: "name" }), h("dd", {}), h("dd", {})];
    const button = h("button", { type: "button", onclick: () => ctx.change({ at: i }) }, canvas, name,
      h("dl", {}, h("dt", {}, text.strip_bayes), bayes, h("dt", {}, text.strip_classifier), classifier));
    const item = h("li", {}, button);
    strip.append(item);
    return { item, button, canvas, title: name, bayes, classifier, pixels: null };
  }

  function compare() {
    const { data } = ctx.settings();
    if (compared === data) return;
    compared = data;
    plot?.stop();
    plotPlace.replaceChildren();
    const recording = ctx.recordings.labels?.[data];
    fair.hidden = !recording;
    plot = recording ? coveragePlot(plotPlace, { text: text.plot, recording, models: ctx.models }) : null;
  }

  return {
    show() {
      shown = true;
      ctx.badge("live");
      draw();
      load();
    },
    hide() {
      shown = false;
      held = {};
      request.abort();
    },
    settings(changed) {
      for (const key of changed) delete held[key];
      const there = new Set(ctx.pictures().map((one) => keyOf(one, ctx.settings())));
      if (!wanted.some((key) => there.has(key))) request.abort(); // nobody waits for it any more
      draw();
      load();
    },
    again: () => load(),
    json() {
      const { data, seed, alpha, threshold } = now();
      return { data, seed, alpha, threshold, pictures: whole() };
    },
    /** A row for each picture and label. */
    csv(name) {
      const { data, seed } = now();
      const columns = Object.keys(text.csv);
      const rows = whole().flatMap((one) => one.classes.map((label, y) => ({ ...one, data, seed, label, log_p_x_given_y: one.log_p_x_given_y[y], prior: one.prior[y], posterior: one.posterior[y], softmax: one.softmax[y] })));
      ctx.download(`${name}.csv`, new Blob([csv(columns.map((key) => text.csv[key]), rows.map((row) => columns.map((key) => row[key])))], { type: "text/csv;charset=utf-8" }));
    },
  };

  /** What both say of each picture that was answered. */
  function whole() {
    const { prior } = now();
    return ctx.pictures().flatMap((picture) => {
      const found = reading(picture);
      if (!found) return [];
      const { classes, model, softmax } = found;
      const { bayes, classifier } = verdicts(found);
      return [{
        title: picture.title, kind: picture.kind, classes, prior: priorOf(prior, classes.length), model: model.name, density: model.kind, method: model.method,
        log_p_x_given_y: model.byClass, posterior: bayes.shares, posterior_kind: model.kind === "exact" ? "exact" : "estimate",
        bits_per_dim: model.bits, rank: model.rank, bayes_refuses: bayes.refused, softmax, classifier: found.classifier, classifier_refuses: classifier.refused,
      }];
    });
  }
}
