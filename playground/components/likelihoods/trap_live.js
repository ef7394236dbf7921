/**
 * The same areas, computed now: some digits and some clothes, drawn by the seed, under the suspect. It asks
 * GET /play/likelihoods/trap/live; an answer belongs to one model and one seed, and is forgotten where these change.
 */
import { ask } from "../lib/api.js";
import { fill, h, number } from "../lib/dom.js";
import { auroc } from "./trap_repair.js";

const COUNTS = [100, 200, 500, 1000];
const FIRST = 100;

/** suspect(): the model; changed(): there is an answer, or there is none any more. */
export function trapLive(ctx, { suspect, changed }) {
  const { text } = ctx;
  let found = null; // { name, seed, answer }
  let request = null; // { key, abort }: what is being computed

  const count = h("select", { "aria-label": text.live_count }, ...COUNTS.map((n) => h("option", { value: n, selected: n === FIRST }, number(n, 0))));
  const button = h("button", { type: "button", class: "primary", onclick: () => (request ? stop() : run()) });
  const said = h("p", { role: "status", "data-reading": "live" });
  const badge = h("span", { class: "badge", "data-kind": "live", hidden: true }, ctx.words.live ?? text.live);
  const element = h("section", { "data-part": "live" }, h("div", { class: "trap-head" }, h("h2", {}, text.live_title), badge),
    h("div", { class: "trap-live" }, h("label", {}, h("span", {}, text.live_count), count), button), said);
  show();

  const key = () => `${suspect().name} ${ctx.settings().seed}`;

  async function run() {
    const name = suspect().name;
    const { seed } = ctx.settings();
    const mine = { key: key(), abort: new AbortController(), n: Number(count.value) };
    request = mine;
    show();
    try {
      const answer = await (await ask("likelihoods/trap/live", { query: { model: name, n: mine.n, seed }, signal: mine.abort.signal })).json();
      if (request !== mine) return; // stopped, or no longer what is looked at
      found = { name, seed, answer };
      ctx.fine();
      ctx.took(answer.seconds);
    } catch (error) {
      if (request === mine) ctx.fail(error);
    } finally {
      if (request === mine) {
        request = null;
        show();
        changed();
      }
    }
  }

  function stop() {
    request?.abort.abort();
    request = null;
    show();
  }

  /** Another model or seed: what was asked for the one before is nobody's. */
  function heed() {
    if (request && request.key !== key()) stop();
    if (found && `${found.name} ${found.seed}` !== key()) found = null;
    show();
  }

  function show() {
    button.textContent = request ? text.live_stop : text.live_run;
    element.setAttribute("aria-busy", String(Boolean(request)));
    badge.hidden = !found;
    if (request) said.textContent = fill(text.live_busy, { n: number(request.n, 0) });
    else said.textContent = found ? sentence(found.answer) : text.live_lead;
  }

  function sentence({ insiders, outliers, scores, seconds }) {
    const [area, error] = auroc(scores.surprise);
    return fill(text[insiders.live ? "live_both" : "live_one"], {
      area, error, insiders: insiders.what, outliers: outliers.what, n: number(outliers.images, 0), m: number(insiders.images, 0), seconds: number(seconds, 1),
    });
  }

  return { element, stop, heed, answer: () => found, of: (score) => found?.answer.scores[score] ?? null };
}
