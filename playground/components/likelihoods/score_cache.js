/**
 * The scores of pictures, each asked for once. A reading is kept under what it is of (data, seed and the 784 pixels), so that a late
 * answer can only be shown as what it answers. Many pictures go in parts, so that the first are seen before the last are scored;
 * what was recorded is shown until the live numbers come.
 */
import { ask } from "../lib/api.js";
import { readings } from "./scores.js";

const PART = 10; // pictures a request
const KEPT = 600; // readings: ten trays
const PAUSE = 120; // ms in which settings may still change

const names = new WeakMap(); // pixels as text, made once
function key(pixels, { data, seed }) {
  if (!names.has(pixels)) names.set(pixels, String.fromCharCode(...pixels));
  return `${data} ${seed} ${names.get(pixels)}`;
}

/** found(): something new is there; progress(done, of); took(seconds) at the end; failed(error). */
export function scoreCache({ found, progress, took, failed }) {
  const kept = new Map();
  const renewed = new Set(); // keys that are asked for although they are scored
  let wanted = { pictures: [], data: null, seed: null };
  let requests = new AbortController();
  let timer = null;
  let busy = false;

  function keep(pixels, where, reading) {
    const name = key(pixels, where);
    if (reading.recorded && kept.has(name)) return; // what is live stays
    if (!reading.recorded) renewed.delete(name);
    kept.delete(name);
    kept.set(name, reading);
    if (kept.size > KEPT) kept.delete(kept.keys().next().value);
  }

  /** Pictures that are wanted and not scored live, each once. */
  function open() {
    const seen = new Set();
    return wanted.pictures.filter((pixels) => {
      const name = key(pixels, wanted);
      const more = !seen.has(name) && (renewed.has(name) || (kept.get(name)?.recorded ?? true));
      seen.add(name);
      return more;
    });
  }

  async function run() {
    if (busy) return;
    busy = true;
    let seconds = 0;
    try {
      for (let part = open().slice(0, PART); part.length; part = open().slice(0, PART)) {
        const where = { data: wanted.data, seed: wanted.seed };
        const all = new Set(wanted.pictures.map((pixels) => key(pixels, where))).size;
        progress(all - open().length, all);
        const body = new Uint8Array(part.length * 784);
        part.forEach((pixels, i) => body.set(pixels, i * 784));
        const { signal } = requests;
        try {
          const answer = await (await ask("likelihoods/score", { query: where, body, signal })).json();
          if (answer.images !== part.length) throw new Error(`${part.length} pictures were asked about, ${answer.images} came back.`);
          readings(answer).forEach((reading, i) => keep(part[i], where, reading));
          seconds += answer.seconds;
        } catch (error) {
          if (error.name !== "AbortError") throw error;
          seconds = 0; // what is wanted is another by now
          continue;
        }
        found();
      }
      if (seconds) took(seconds);
    } catch (error) {
      wanted = { ...wanted, pictures: [] }; // asked again with the next change, not for ever
      failed(error);
    } finally {
      busy = false;
      progress(0, 0);
    }
  }

  return {
    get: (pixels, where) => kept.get(key(pixels, where)) ?? null,
    /** Scores that were recorded, as the route would answer. */
    record(pictures, answer, where) {
      readings(answer, { recorded: true }).forEach((reading, i) => pictures[i] && keep(pictures[i], where, reading));
    },
    /** From now on these pictures (pixels) are wanted. `fresh`: even where they are scored. */
    want(pictures, { data, seed }, { fresh = false } = {}) {
      if (wanted.data !== data || wanted.seed !== seed) {
        requests.abort();
        requests = new AbortController();
      }
      wanted = { pictures, data, seed };
      renewed.clear();
      if (fresh) for (const pixels of pictures) renewed.add(key(pixels, wanted));
      clearTimeout(timer);
      timer = open().length ? setTimeout(run, PAUSE) : null;
    },
    stop() {
      clearTimeout(timer);
      wanted = { ...wanted, pictures: [] };
      requests.abort();
      requests = new AbortController();
    },
  };
}
