/**
 * The trap: models that have only ever seen clothes, and how surprising they find digits. First one guesses, then one sees; then
 * what repairs it. Source: Nalisnick, Matsukawa, Teh, Gorur, Lakshminarayanan (2019), "Do deep generative models know what they
 * don't know?". All numbers are recorded, except for those computed on demand (trap_live.js).
 *
 * Settings: suspect, the model; guess, "" | "fooled" | "not"; shown, whether its verdict is; score (trap_repair.js).
 */
import { bytes } from "../lib/api.js";
import { colour, fill, h, number } from "../lib/dom.js";
import { paint } from "../lib/pixels.js";
import { svgPng } from "./roc_plot.js";
import { trapLive } from "./trap_live.js";
import { trapRepair } from "./trap_repair.js";
import { aurocCsv, cautious, tally, verdict } from "./trap_scores.js";
import { twoHistograms } from "./two_histograms.js";

const GUESSES = { not: "fashion", fooled: "mnist" }; // what is less surprising, and whose pictures show it
const PICTURES = 4; // beside each guess

/** ctx: see the stage, likelihoods.js. */
export function trapView(host, ctx) {
  const { text } = ctx;
  const recording = ctx.recordings.trap;
  host.classList.add("lk-view-trap");
  if (!recording?.models?.length) {
    host.append(h("p", { class: "notice" }, text.none));
    return { show: () => ctx.badge("recorded"), hide() {}, settings() {} };
  }

  // --- Who is suspected, and what has been seen of whom ---------------------------------------------------------------------
  const { models, images } = recording;
  const seen = new Map(); // name: the guess, "" where there was none
  let told = null; // the settings that this view made or last saw, by which it knows those that came from elsewhere
  const title = ({ name }) => ctx.models[name]?.title ?? name;
  const suspect = () => models.find(({ name }) => name === ctx.settings().suspect) ?? models[0];
  const state = () => ({ suspect: suspect().name, guess: ctx.settings().guess, shown: Boolean(ctx.settings().shown) });
  const alike = (one, other) => one && Object.keys(one).every((key) => one[key] === other[key]);
  const open = () => models.filter(({ name }) => seen.has(name));

  function put(patch) {
    told = { ...state(), ...patch };
    ctx.change(told);
  }
  const turnTo = (name) => put({ suspect: name, guess: seen.get(name) ?? "", shown: seen.has(name) });

  function reveal(guess) {
    const { name } = suspect();
    seen.set(name, guess);
    put({ guess, shown: true });
    const next = models.some((model) => !seen.has(model.name));
    (next ? nextButton : cards.get(name).button).focus({ preventScroll: true });
  }

  function revealAll() {
    for (const { name } of models) if (!seen.has(name)) seen.set(name, "");
    put({ shown: true });
    draw(); // where the suspect was revealed before, no setting has changed
  }

  function following() {
    const at = models.indexOf(suspect());
    return [...models.slice(at + 1), ...models.slice(0, at)].find(({ name }) => !seen.has(name));
  }

  /** What came from a link, from Reset or from the rail: a suspect that is hidden again begins the game anew. */
  function heed() {
    const now = state();
    if (alike(told, now)) return;
    if (!now.shown) seen.clear();
    else seen.set(now.suspect, now.guess);
    told = now;
  }

  // --- What stands where -----------------------------------------------------------------------------------------------------
  const cards = new Map(models.map((model) => [model.name, card(model)]));
  const allButton = h("button", { type: "button", class: "ghost", onclick: revealAll }, text.reveal_all);
  const score = h("span", { class: "soft", "data-reading": "score", role: "status" });
  const question = h("p", { class: "trap-question" });
  const guesses = Object.entries(GUESSES).map(([guess, data]) =>
    h("button", { type: "button", class: "trap-guess", "data-guess": guess, onclick: () => reveal(guess) }, pictures(data), h("b", {}, text.guesses[guess]), h("span", { class: "soft" }, text.guesses_mean[guess])));
  const asked = h("div", { class: "trap-asked" }, question, h("div", { class: "trap-guesses" }, ...guesses),
    h("button", { type: "button", class: "ghost", onclick: () => reveal("") }, text.reveal));
  const said = h("p", { class: "trap-verdict", role: "status" });
  const pairs = h("p", { "data-reading": "pairs" });
  const kind = h("p", { class: "soft", "data-reading": "kind" });
  const nextButton = h("button", { type: "button", onclick: () => turnTo(following().name) }, text.next);
  const plotBox = h("div", { class: "trap-plot" });
  const answer = h("div", { class: "trap-answer", hidden: true }, said, plotBox, pairs, kind, nextButton);
  const after = h("div", { class: "trap-after", hidden: true });
  host.append(
    h("section", { "data-part": "game" }, h("div", { class: "trap-head" }, h("h2", {}, text.suspects), score, allButton),
      h("div", { class: "trap-suspects", role: "group", "aria-label": text.suspects }, ...[...cards.values()].map(({ button }) => button)), asked, answer),
    after);
  const plot = twoHistograms(plotBox, { text });
  const live = trapLive(ctx, { suspect, changed: draw });
  const repair = trapRepair(after, ctx, { recording, suspect, open, title, live, reveal: revealAll });

  function card(model) {
    const status = h("span", { class: "trap-status" });
    const button = h("button", { type: "button", class: "trap-suspect", "data-suspect": model.name, onclick: () => turnTo(model.name) },
      h("b", {}, title(model)), h("span", { class: "trap-tags" }, h("span", { class: "trap-kind", title: text.kinds_mean[model.kind] }, text.kinds[model.kind]), status));
    return { button, status };
  }

  /** A few pictures of a data set, as far as the page opened with them. */
  function pictures(data) {
    const found = (ctx.recordings.start?.[data]?.pictures ?? []).filter((one) => one.kind === "reference").slice(0, PICTURES);
    return h("span", { class: "trap-pictures", "aria-hidden": "true" }, ...found.map(({ pixels }) => {
      const canvas = h("canvas", { width: 28, height: 28 });
      paint(canvas, typeof pixels === "string" ? bytes(pixels) : pixels);
      return canvas;
    }));
  }

  // --- What is shown ---------------------------------------------------------------------------------------------------------
  let pictured = ""; // the suspect whose histograms are drawn

  function draw() {
    const model = suspect();
    const { shown, guess } = state();
    for (const one of models) scoreboard(one);
    const [rest, found] = [models.length - seen.size, open()];
    score.textContent = seen.size ? fill(text.score, { n: found.length, all: models.length, fooled: found.filter((one) => verdict(one).fooled).length }) + guessed(found) : text.score_none;
    allButton.hidden = nextButton.hidden = !rest;
    asked.hidden = shown;
    answer.hidden = after.hidden = !shown;
    question.textContent = fill(text.question, { name: title(model) });
    host.dataset.suspect = model.name;
    host.dataset.shown = String(shown);
    if (!shown) {
      pictured = "";
      return;
    }
    tell(model, guess);
    repair.draw();
  }

  function scoreboard(model) {
    const { button, status } = cards.get(model.name);
    const known = seen.has(model.name) ? (verdict(model).fooled ? "fooled" : "not") : "hidden";
    button.setAttribute("aria-pressed", String(model === suspect()));
    button.dataset.known = known;
    const guess = seen.get(model.name);
    status.textContent = `${text.status[known]}${guess ? ` ${guess === known ? "✓" : "✗"}` : ""}`;
    status.title = guess ? text[guess === known ? "right" : "wrong"] : "";
    button.setAttribute("aria-label", [title(model), text.kinds[model.kind], text.status_spoken[known], status.title].filter(Boolean).join(", "));
  }

  function guessed(found) {
    const own = found.filter(({ name }) => seen.get(name));
    const right = own.filter((one) => (seen.get(one.name) === "fooled") === verdict(one).fooled);
    return own.length ? ` ${fill(text.score_guesses, { right: right.length, n: own.length })}` : "";
  }

  function tell(model, guess) {
    const { fooled, less, gap } = verdict(model);
    const sign = text.signs[model.kind];
    const mean = Object.fromEntries(Object.entries(model.mean).map(([side, bits]) => [side, `${sign}${number(bits)}`]));
    const own = guess ? text[(guess === "fooled") === fooled ? "right" : "wrong"] : "";
    const sentence = fill(text.verdicts[`${fooled ? "fooled" : "not"}_${gap > 0 ? "less" : "more"}`], { gap: number(Math.abs(gap)), ...mean });
    said.replaceChildren(h("b", { "data-fooled": String(fooled) }, text[fooled ? "fooled" : "not_fooled"]), ` ${sentence} `, h("span", { class: "soft" }, own));
    pairs.textContent = fill(text.pairs, { share: number(100 * less, less < 0.1 || less > 0.9 ? 1 : 0) });
    kind.textContent = fill(text.kinds_said[model.kind], { samples: model.samples, draws: text.draws[model.samples === 1 ? "one" : "many"] });
    const now = live.of("surprise");
    plot.set({
      histogram: model.scores.surprise.histogram, live: now?.histogram ?? null, means: model.mean, axis: text.axes.surprise,
      labels: { insiders: fill(text.mean_label, { what: text.insiders, bits: mean.insiders }), outliers: fill(text.mean_label, { what: text.outliers, bits: mean.outliers }) },
      label: fill(text.histograms_label, { ...mean, axis: text.axes.surprise }),
    }, { animate: pictured !== model.name });
    pictured = model.name;
  }

  function facts() {
    ctx.facts?.(fill(text.facts, { insiders: number(images.insiders, 0), outliers: number(images.outliers, 0) }));
  }

  return {
    show() {
      ctx.badge("recorded");
      facts();
      heed();
      draw();
    },
    hide: () => live.stop(),
    settings() {
      heed();
      live.heed();
      draw();
    },
    json() {
      const model = suspect();
      const { histogram } = model.scores.surprise;
      return { suspect: model.name, guess: state().guess, shown: state().shown, positive: "outlier", recorded: model, selection: recording.selection,
        threshold: repair.threshold() ?? tally(histogram, cautious(histogram)), live: live.answer() };
    },
    csv: (name) => ctx.download(`${name}.csv`, new Blob([aurocCsv(recording, title, live.answer())], { type: "text/csv" })),
    async png(name) {
      if (!state().shown) return ctx.fail(new Error(text.no_curves));
      ctx.download(`${name}.png`, await svgPng(repair.curves, colour(host, "card") || "#fff"));
    },
  };
}
