/**
 * One's own pictures: files, photographs and drawings, kept as they came and prepared for whichever data set the models are of. They
 * leave this page only to be prepared: files in order and one at a time, a drawing beside them.
 */
import { ask, bytes, newest, Refusal } from "../lib/api.js";
import { fill } from "../lib/dom.js";

export const MAX_BYTES = 20_000_000; // of a file, as playground/uploads.py has it: what is larger is not even sent
const PAUSE = 200; // ms after a stroke, until a drawing that was added follows the pad
const TELLING = 500; // ms between two calls of changed() while many files are prepared

/**
 * `text`: of the tray. `data()`: whose preparation is wanted. `room()`: how many more pictures may be taken. `full(n)`: so many were
 * not. `changed(key, tell)`: other pictures; `key`: which is to be looked at, or null. `refuse(sentence)`, `say(sentence)`.
 * `progress(i, n)`: number i of n is being prepared; (0, 0): none is. `marked()`: the drawing was added, or is no more.
 */
export function ownPictures({ text, data, room, full, changed, refuse, say, progress, marked }) {
  const own = []; // { key, title, blob, results: data -> picture, or null where it was refused, gone }
  const waiting = []; // such as were not prepared yet, with their `batch`
  let made = 0;

  const entry = (title, blob, batch = null) => ({ key: `own ${++made}`, title, blob, batch, results: new Map(), gone: false });

  /** What the models of `where` would have been shown of a file. Raises a Refusal. */
  async function prepared({ key, title }, blob, where) {
    if (blob.size > MAX_BYTES) throw new Refusal(fill(text.too_large, { size: Math.ceil(blob.size / 1e5) / 10, limit: MAX_BYTES / 1e6 }));
    const body = await blob.arrayBuffer().catch(() => {
      throw new Refusal(text.unreadable);
    });
    const { steps } = await (await ask("prepare", { query: { data: where }, body })).json();
    return { id: `${where} ${key} ${++made}`, key, pick: null, kind: "own", title, why: text.own_why, pixels: bytes(steps.at(-1).pixels), steps, attack: null, by: null };
  }

  /** files: [{ title, blob }]. The first that can be prepared is to be looked at. */
  function add(files) {
    const batch = { looked: false };
    waiting.push(...files.map(({ title, blob }) => entry(title, blob, batch)));
    work();
  }

  let working = false;
  /** Prepares what is not prepared for the data of now: what is there already, then what waits. */
  async function work() {
    const todo = () => [...own.filter((one) => !one.results.has(data())), ...waiting];
    if (working || !todo().length) return;
    working = true;
    const count = { done: 0, taken: 0, refused: 0 };
    let last = -TELLING; // when it was told
    for (let left = todo(); left.length; left = todo()) {
      const [one] = left;
      const { blob } = one;
      const fresh = one === waiting[0];
      if (fresh && room() <= 0) {
        full(waiting.length);
        waiting.length = 0;
        break;
      }
      progress(count.done + 1, count.done + left.length);
      const where = data();
      const [found, error] = await prepared(one, blob, where).then((result) => [result, null], (reason) => [null, reason]);
      if (one.gone || one.blob !== blob) continue; // taken out, or drawn on, meanwhile
      if (error && where !== data()) continue; // asked again for the data of now
      count.done++;
      if (error) refuse(`${one.title}: ${error.message}`);
      if (fresh) {
        waiting.shift();
        count[error ? "refused" : "taken"]++;
        if (error) continue;
        own.push(one);
      }
      one.results.set(where, found);
      const tell = performance.now() - last > TELLING;
      if (tell) last = performance.now();
      changed(fresh && !one.batch.looked ? one.key : null, tell);
      if (fresh) one.batch.looked = true;
    }
    working = false;
    progress(0, 0);
    changed(null, true);
    if (count.taken + count.refused) say(fill(text.done, { n: count.taken, refused: count.refused }));
  }

  // --- The pad -----------------------------------------------------------------------------------------------------------
  let ink = null; // what is on it, as PNG
  let drawing = null; // the entry that follows it
  let drawings = 0;
  let pause = 0;
  const follow = newest(async ({ one, blob }) => {
    if (one.gone) return;
    const fresh = !own.includes(one);
    if (fresh && room() <= 0) {
      drawing = null;
      full(1);
      marked();
      return;
    }
    const where = data();
    try {
      const found = await prepared(one, blob, where);
      if (one.gone) return;
      one.blob = blob;
      one.results = new Map([[where, found]]);
      if (fresh) own.push(one);
      changed(fresh ? one.key : null, true);
      if (fresh) say(fill(text.done, { n: 1, refused: 0 }));
      work(); // the data may be others by now
    } catch (error) {
      if (one.gone) return;
      refuse(`${one.title}: ${error.message}`);
      if (fresh && drawing === one) drawing = null;
      marked();
    }
  });

  return {
    add,
    work,
    count: () => own.length,
    /** { key, picture }; undefined: still to come; null: refused. */
    tiles: () => own.map(({ key, results }) => ({ key, picture: results.get(data()) })),
    /** What `where` refused is tried again. */
    retry(where) {
      for (const { results } of own) if (results.get(where) === null) results.delete(where);
    },
    has: (key) => own.some((one) => one.key === key),
    takeOut(key) {
      const [one] = own.splice(own.findIndex((other) => other.key === key), 1);
      one.gone = true;
      if (one === drawing) drawing = null;
      marked();
    },
    clear() {
      for (const one of [...own, ...waiting, drawing]) if (one) one.gone = true;
      own.length = waiting.length = 0;
      drawing = null;
      marked();
    },
    /** What is on the pad; null: nothing, and what comes next is another drawing. */
    drawn(blob) {
      ink = blob;
      clearTimeout(pause);
      if (!blob) drawing = null;
      else if (drawing) pause = setTimeout((one) => follow({ one, blob }), PAUSE, drawing);
      marked();
    },
    addDrawing() {
      drawing = entry(fill(text.drawing_name, { n: ++drawings }), ink);
      follow({ one: drawing, blob: ink });
      marked();
    },
    canAdd: () => ink !== null && drawing === null,
    follows: () => drawing !== null,
  };
}
