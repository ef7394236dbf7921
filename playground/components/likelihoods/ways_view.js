/**
 * One likelihood, three ways: log p(x) of the chosen picture under a VAE by draws from the prior, by its bound, and by importance
 * weighting, as they converge (models/measures/three_ways.py); then one q for this picture alone, and what the gap is made of
 * (models/measures/amortisation.py). Nothing is computed here but differences, bits, and where things stand.
 *
 * Settings: ways (the VAE), draws, seed, data. It opens on a recorded run, ctx.recordings.ways, where that is of the chosen picture.
 */
import { Refusal, ask, bytes, lines as each } from "../lib/api.js";
import { colour, fill, h, number, within } from "../lib/dom.js";
import { paint } from "../lib/pixels.js";
import { WAYS, convergePlot, decimals, pngOf, reading } from "./converge_plot.js";
import { csv } from "./csv.js";
import { climbPlot, gapBars, saidOfGap, withError } from "./gap_bars.js";
import { wayCard, wayFormula } from "./ways_cards.js";

const DRAWS = [100, 500, 1000, 5000];
const NEW_SEEDS = 10_000;
const AGREE = 2; // standard errors within which two estimates agree
const FAR = 3; // nats: beyond what any standard error of log of a mean can be
const COLUMNS = ["nats", "error", "effective", "largest"];

/**
 * What a line of the stream shows: `meeting`, how the prior's estimate stands to importance weighting ("agree", "below", "above" or
 * "open"), `apart` in nats and its error; `gap`, how far the bound stays below importance weighting, and its error (null: not known).
 */
export function compared(line) {
  const [prior, elbo, importance] = WAYS.map((way) => reading(line, way));
  const joint = (a, b) => (a.error === null || b.error === null ? null : Math.hypot(a.error, b.error));
  const [apart, error] = [importance.nats - prior.nats, joint(prior, importance)];
  const meeting = error !== null && Math.abs(apart) <= AGREE * error ? "agree" : apart > FAR ? "below" : apart < -FAR ? "above" : "open";
  return { meeting, apart, error, gap: importance.nats - elbo.nats, gap_error: joint(elbo, importance) };
}

/** ctx: see the stage, likelihoods.js. */
export function waysView(host, ctx) {
  const { text } = ctx;
  let run = null; // { key, model, title, seed, draws, kind, lines, seconds }
  let refined = null; // { key, kind, lines, gap, seconds }
  let [asking, climbing] = [null, null]; // AbortControllers of the streams under way
  let at = null; // the column that is pointed at; null: the newest
  let visible = false;
  const firstSeed = ctx.settings().seed;

  // --- What is asked for -----------------------------------------------------------------------------------------------------

  /** The VAEs of this data set whose space is the 784 grey levels, from few latents to many. */
  const offered = () => Object.values(ctx.models)
    .filter((one) => one.name.startsWith("vae-") && one.latent > 0 && !one.classes && one.space === "8-bit" && one.data === ctx.settings().data)
    .sort((a, b) => a.latent - b.latent);

  /** The settings as they stand: { model, picture, seed, draws, key, climbKey }, or null where there is no model or no picture. */
  function wanted() {
    const { ways, draws, seed } = ctx.settings();
    const models = offered();
    const model = models.find(({ name }) => name === ways) ?? models.at(-1); // by default the one that shows what goes wrong
    const entry = ctx.recordings?.ways?.[model?.name];
    const picture = ctx.chosen() ?? (entry ? { title: entry.picture, pixels: bytes(entry.pixels) } : null);
    if (!model || !picture) return null;
    const climbKey = [model.name, seed, picture.pixels].join();
    return { model: model.name, picture, seed, draws, key: `${draws},${climbKey}`, climbKey };
  }

  /** The recorded run, where it is of what is wanted: its first draws are those of a shorter run. */
  function recording({ model, picture, seed, draws }) {
    const entry = ctx.recordings?.ways?.[model];
    if (!entry || seed !== (entry.seed ?? firstSeed) || draws > entry.steps.at(-1).samples) return null;
    return bytes(entry.pixels).every((value, i) => value === picture.pixels[i]) ? entry : null;
  }

  // --- Elements --------------------------------------------------------------------------------------------------------------

  const canvas = h("canvas", { width: 28, height: 28, "aria-hidden": "true" });
  const caption = h("p", {});
  const models = h("div", { class: "ways-models", role: "group", "aria-label": text.model });
  const select = h("select", { onchange: () => ctx.change({ draws: Number(select.value) }) });
  const again = h("button", { type: "button", class: "primary", "data-action": "again", onclick: () => begin() }, text.again);
  const fresh = h("button", { type: "button", "data-action": "fresh", onclick: () => ctx.change({ seed: Math.floor(NEW_SEEDS * Math.random()) }) }, text.fresh);
  const status = h("p", { class: "soft", "data-reading": "status" });
  const plotPlace = h("div", {});
  const cards = Object.fromEntries(WAYS.map((way) => [way, wayCard(way, text)]));
  const verdict = h("p", { class: "ways-verdict" });
  const formulas = Object.fromEntries(WAYS.map((way) => [way, wayFormula(way, text)]));
  const refineButton = h("button", { type: "button", "data-action": "refine", onclick: () => climb() }, text.refine);
  const climbStatus = h("p", { class: "soft", "data-reading": "climb" });
  const climbPlace = h("div", {});
  const barsPlace = h("div", {});
  const gapWords = h("p", { class: "ways-gap-words" });
  const aloud = h("p", { class: "hidden-text", "aria-live": "polite" });
  const results = h("div", { class: "ways-refined" }, climbPlace, barsPlace);

  host.classList.add("lk-view-ways");
  host.append(
    h("div", { class: "ways-controls" }, h("div", { class: "ways-picture" }, canvas, caption), models,
      h("label", { class: "ways-draws" }, h("span", { class: "soft" }, text.draws), select), again, fresh),
    plotPlace, status,
    h("div", { class: "ways-cards" }, ...WAYS.map((way) => cards[way].element)), verdict,
    h("details", { class: "ways-formulas", open: true }, h("summary", {}, text.formulas), ...WAYS.map((way) => formulas[way].element)),
    h("section", { class: "ways-refine", "aria-labelledby": "ways-refine-title" }, h("h2", { id: "ways-refine-title" }, text.refine_title), h("p", {}, text.refine_lead),
      h("div", { class: "ways-controls" }, refineButton, climbStatus), results, gapWords),
    aloud,
  );
  const plot = convergePlot(plotPlace, { text, choose: (i) => {
    at = i;
    showRun();
  } });
  const climbCurve = climbPlot(climbPlace, { text });
  const bars = gapBars(barsPlace, { text });

  // --- What is shown ---------------------------------------------------------------------------------------------------------

  function showControls() {
    const now = wanted();
    const found = offered();
    models.replaceChildren(...found.map((one) => h("button", { type: "button", "data-model": one.name, "aria-pressed": String(one.name === now?.model), title: one.title, onclick: () => ctx.change({ ways: one.name }) },
      fill(text.latent, { n: one.latent }))));
    const { draws } = ctx.settings();
    const options = [...new Set([...DRAWS, draws])].sort((a, b) => a - b);
    select.replaceChildren(...options.map((n) => h("option", { value: n }, number(n, 0))));
    select.value = String(draws);
    for (const button of [again, fresh, refineButton]) button.disabled = !now;
    caption.textContent = now ? now.picture.title : found.length ? text.no_picture : text.no_model;
    canvas.hidden = !now;
    if (!now) return;
    paint(canvas, now.picture.pixels);
    const model = ctx.models[now.model];
    ctx.facts(fill(text.facts, { model: model.title, parameters: number(model.parameters, 0), held_out: number(model.held_out, 3) }));
  }

  /** The run as far as it has come; in the cards and formulas, the column that is pointed at. */
  function showRun() {
    const list = run?.lines ?? [];
    const index = Math.min(at ?? Infinity, list.length - 1);
    const reference = refined?.gap ? { nats: refined.gap.log_prob, error: refined.gap.log_prob_error } : null;
    plot.set({ lines: list, draws: run?.draws ?? ctx.settings().draws, at: Math.max(0, index), reference, said: (i) => saidOfColumn(list[i]) });
    for (const way of WAYS) {
      cards[way].set(list[index]);
      formulas[way].set(list[index]);
    }
    verdict.textContent = list.length ? saidOfLine(list.at(-1)).join(" ") : "";
    const k = number(list[index]?.samples ?? 0, 0);
    if (asking) status.textContent = list.length ? fill(text.running, { k, all: number(run.draws, 0) }) : text.waiting;
    else if (!list.length) status.textContent = run ? text.none_came : "";
    else if (index < list.length - 1) status.textContent = fill(text.pointed, { k });
    else status.textContent = fill(run.kind === "recorded" ? text.done_recorded : run.seconds === null ? text.broken_at : text.done, { k, seed: run.seed, seconds: number(run.seconds ?? 0, 1) });
    host.dataset.state = asking ? "running" : (run?.kind ?? "empty");
  }

  function saidOfColumn(line) {
    const value = (way) => {
      const { nats, error } = reading(line, way);
      return `${text.signs[way]} ${error === null ? within(nats, 1) : withError(nats, error)}`;
    };
    return fill(text.at, { k: number(line.samples, 0), prior: value("prior"), elbo: value("elbo"), importance: value("importance") });
  }

  /** What follows from a line, in sentences. */
  function saidOfLine(line) {
    const found = compared(line);
    const [prior, , importance] = WAYS.map((way) => reading(line, way));
    const effective = (one) => number(one.effective, one.effective < 100 ? 1 : 0);
    const numbers = { k: number(line.samples, 0), apart: within(Math.abs(found.apart), 1), error: found.error === null ? "–" : number(found.error, decimals(found.error)), prior: effective(prior), importance: effective(importance) };
    const said = [fill(text.meeting[found.meeting], numbers)];
    if (found.gap_error !== null) said.push(fill(text[found.gap > AGREE * found.gap_error ? "gap_is" : "gap_none"], { gap: withError(found.gap, found.gap_error) }));
    if (!importance.trusted) said.push(fill(text.importance_weak, numbers));
    return said;
  }

  function showClimb() {
    const list = refined?.lines ?? [];
    climbCurve.set(list);
    bars.set(refined?.gap ?? null);
    results.hidden = !list.length;
    gapWords.textContent = refined?.gap ? saidOfGap(refined.gap, text).join(" ") : "";
    if (climbing) climbStatus.textContent = list.length ? fill(text.climbing, { n: list.at(-1).step, elbo: number(list.at(-1).elbo, 1) }) : text.waiting;
    else if (refined?.gap) climbStatus.textContent = fill(refined.kind === "recorded" ? text.climbed_recorded : text.climbed, { n: list.at(-1).step, seconds: number(refined.seconds ?? 0, 1) });
    else climbStatus.textContent = list.length ? text.climb_broken : "";
    climbPlace.parentElement.dataset.state = climbing ? "running" : refined?.gap ? "done" : "empty";
  }

  // --- Runs ------------------------------------------------------------------------------------------------------------------

  /** Sends the picture, and calls take(line) for each line that comes; `done` is the last. What broke off is refused. */
  async function follow(path, query, { pixels }, signal, take) {
    const response = await ask(path, { query, body: pixels, signal });
    let ended = false;
    try {
      await each(response, (line) => {
        if (signal.aborted) return;
        if (line.error) throw new Refusal(line.error);
        ended ||= Boolean(line.done);
        take(line);
      });
    } catch (error) {
      throw error instanceof Refusal || error.name === "AbortError" ? error : new Refusal(text.broken);
    }
    if (!ended && !signal.aborted) throw new Refusal(text.broken);
  }

  function stop() {
    if (asking) run = null; // so that it begins anew when it is looked at again
    asking?.abort();
    climbing?.abort();
    asking = climbing = null;
  }

  /** Another picture, model, seed or number of draws: what was shown is gone; what is recorded is shown, else a run begins. */
  function change() {
    const now = wanted();
    showControls();
    if (now?.climbKey !== refined?.key) {
      climbing?.abort();
      climbing = refined = null;
    }
    if (now?.key !== run?.key) {
      asking?.abort();
      asking = run = at = null;
      const stored = now && recording(now);
      if (stored) {
        const shown = stored.steps.filter(({ samples }) => samples <= now.draws);
        run = { ...now, title: now.picture.title, kind: "recorded", lines: shown, seconds: stored.seconds };
        if (stored.gap) refined ??= { key: now.climbKey, kind: "recorded", lines: stored.refine, gap: stored.gap, seconds: null };
        ctx.badge("recorded");
        tell();
      } else if (now) return begin();
    }
    showRun();
    showClimb();
  }

  /** A run with the settings as they are. */
  function begin() {
    const now = wanted();
    if (!now) return;
    asking?.abort();
    const mine = (asking = new AbortController());
    run = { ...now, title: now.picture.title, kind: "live", lines: [], seconds: null };
    at = null;
    ctx.fine();
    ctx.badge("live");
    showRun();
    showClimb();
    follow("likelihoods/ways", { model: now.model, samples: now.draws, seed: now.seed }, now.picture, mine.signal, (line) => {
      if (line.done) run.seconds = line.seconds;
      else run.lines.push(line);
      if (!line.done) showRun();
    }).then(() => ended(mine), (error) => ended(mine, error));
  }

  function ended(mine, error) {
    if (asking !== mine) return; // another took its place
    asking = null;
    if (error) ctx.fail(error);
    else {
      ctx.took(run.seconds);
      tell();
    }
    showRun();
  }

  const tell = () => (aloud.textContent = [saidOfColumn(run.lines.at(-1)), ...saidOfLine(run.lines.at(-1))].join(" "));

  /** One q for this picture: only when somebody asks. */
  function climb() {
    const now = wanted();
    if (!now) return;
    climbing?.abort();
    const mine = (climbing = new AbortController());
    refined = { key: now.climbKey, kind: "live", lines: [], gap: null, seconds: null };
    ctx.fine();
    showClimb();
    follow("likelihoods/refine", { model: now.model, seed: now.seed }, now.picture, mine.signal, (line) => {
      if (line.done) Object.assign(refined, { gap: line.gap, seconds: line.seconds });
      else refined.lines.push(line);
      if (!line.done) showClimb();
    }).catch((error) => climbing === mine && ctx.fail(error)).finally(() => {
      if (climbing !== mine) return;
      climbing = null;
      if (refined.gap) aloud.textContent = saidOfGap(refined.gap, text).join(" ");
      showClimb();
      showRun(); // with log p(x) as the refined q finds it
    });
  }

  return {
    show() {
      visible = true;
      if (run) ctx.badge(run.kind);
      change();
    },
    hide() {
      visible = false;
      stop();
    },
    settings: () => visible && change(),
    again: () => visible && begin(),
    json: () => run && {
      model: run.model, picture: run.title, seed: run.seed, draws: run.draws, kind: run.kind, steps: run.lines,
      refine: refined?.lines ?? null, gap: refined?.gap ?? null, unit: "nats",
    },
    csv(name) {
      const names = ["samples", ...WAYS.flatMap((way) => COLUMNS.map((column) => `${way}_${column}`))];
      const rows = (run?.lines ?? []).map((line) => [line.samples, ...WAYS.flatMap((way) => COLUMNS.map((column) => reading(line, way)[column]))]);
      ctx.download(`${name}.csv`, new Blob([csv(names, rows)], { type: "text/csv" }));
    },
    async png(name) {
      ctx.download(`${name}.png`, await pngOf(plot.drawing, colour(host, "card") || "#fff"));
    },
  };
}
