/**
 * The strip from which a picture is chosen: a reference picture, the image being written, a drawing, or a file.
 *
 * A drawing and a file are kept as they came (`ctx.own.file`), so that another model, or another view, prepares them its own way.
 * They leave this page only to be prepared. Until a person brings a picture there is a reference picture: nothing is ever empty.
 */
import { ask, bytes, newest } from "../lib/api.js";
import { fill, h } from "../lib/dom.js";
import { sketch } from "../sketch/sketch.js";
import { paintPicture, toScan } from "./stream.js";

/**
 * changed(picture, origin): another picture, in the order of writing, and { source, ref, name } of it. `drawPlace`: a drawing
 * stays in its place (a half can be drawn); else it is centred as the data set is. `pad`: where the pad for drawing stands.
 * `area`: where a file may be dropped.
 * Returns { picture(), refresh(), destroy() }. Call refresh() where the model, `source`, `ref` or `ctx.own.sample` may be others.
 */
export function pictureSource(host, ctx, { changed, drawPlace, pad = host, area = host }) {
  const text = ctx.words.source;
  const references = (ctx.own.references ??= new Map()); // by checkpoint, promises: asked for once by all views
  let now = null; // { model, picture, origin }: by the checkpoint's name
  let shown = null; // { model, from }: whose reference pictures stand in the strip
  let intent = { kind: null }; // the last choice: an answer that comes later than another choice is dropped

  // --- What stands where -----------------------------------------------------------------------------------------------
  const examples = h("div", { class: "px-source-pictures", role: "group", "aria-label": text.pictures });
  const sampleButton = h("button", { type: "button", onclick: () => choose({ source: "sample" }) }, text.sample);
  const drawButton = h("button", { type: "button", "aria-expanded": "false", onclick: () => openPad(padBox.hidden) }, text.draw);
  const input = h("input", { type: "file", accept: "image/*", class: "hidden-text", onchange: () => {
    if (input.files[0]) upload(input.files[0]);
    input.value = ""; // so that the same file can be chosen again
  } });
  const ownCanvas = h("canvas", { width: 28, height: 28, "aria-hidden": "true" });
  const ownButton = h("button", { type: "button", class: "px-source-own", disabled: true, onclick: () => choose({ source: "own" }) }, ownCanvas, text.own_name);
  const note = h("p", { class: "soft", "aria-live": "polite" });
  const padPlace = h("div", { class: "px-source-sketch" });
  const padBox = h("div", { class: "px-source-pad", hidden: true }, padPlace,
    h("p", { class: "soft" }, drawPlace ? text.drawn_here : text.drawn_centred));
  host.classList.add("px-source");
  host.append(examples,
    h("div", { class: "px-source-ways" }, sampleButton, drawButton, h("label", { class: "file" }, input, text.upload), ownButton),
    note);
  pad.append(padBox);
  sketch(padPlace, { text: text.sketch, change: (blob) => {
    if (blob) bring({ blob, drawn: true });
    else if (ctx.settings().source === "own" && ctx.own.file?.drawn) note.textContent = text.cleared;
  } });

  function openPad(open) {
    padBox.hidden = !open;
    drawButton.setAttribute("aria-expanded", String(open));
  }

  // --- Choosing --------------------------------------------------------------------------------------------------------
  /** What a person chose among pictures that are there already. */
  function choose(patch) {
    intent = { kind: "chosen" };
    if (patch.source !== "own" || !ctx.own.file?.drawn) openPad(false);
    ctx.change(patch);
    refresh();
  }

  function upload(blob) {
    openPad(false);
    bring({ blob, drawn: false });
  }

  /** A picture of one's own: it becomes the chosen one when it could be prepared. */
  function bring(file) {
    if (!file.drawn || intent.kind !== "drawn") intent = { kind: file.drawn ? "drawn" : "file" };
    load({ source: "own", model: ctx.model(), file: { ...file, prepared: new Map() }, intent });
  }

  /** The settings' picture; a reference picture where there is none. */
  function wanted() {
    const { source, ref } = ctx.settings();
    const want = { model: ctx.model(), intent };
    if (source === "own" && ctx.own.file) return { ...want, source, file: ctx.own.file };
    if (source === "sample" && sample()) return { ...want, source, values: sample() };
    return { ...want, source: "reference", ref };
  }

  /** The image being written, if it is one of this model: in the order of writing. */
  function sample() {
    const { key, shape } = ctx.model();
    const one = ctx.own.sample;
    return one?.values && one.key === key && one.values.length === shape.reduce((a, b) => a * b) ? one.values : null;
  }

  const load = newest(async (want) => {
    let found;
    let failed = null;
    try {
      found = await pictureOf(want);
    } catch (error) {
      if (want.source !== "own" || !current(want)) throw error;
      failed = error;
      if (now?.model === want.model.name) {
        error.message += ` ${text.kept}`;
        throw error;
      }
      want = { model: want.model, intent: want.intent, source: "reference", ref: ctx.settings().ref };
      found = await pictureOf(want); // of a model that this picture could not be prepared for
    }
    if (current(want)) accept(want, found);
    else if (want.file && want.intent === intent) bring(want.file); // the model was changed meanwhile
    if (failed) throw failed;
  }, (error) => ctx.fail(error));

  const current = (want) => want.intent === intent && want.model.name === ctx.model().name;

  /** { picture, ref?, name }. Raises a Refusal. */
  async function pictureOf({ source, model, ref, values, file }) {
    if (source === "sample") return { picture: Uint8Array.from(values), name: text.sample };
    if (source === "own") return { picture: await prepared(file, model), name: text.own_name };
    const { pictures, names } = await referencesOf(model);
    const i = Math.min(ref, pictures.length - 1);
    return { picture: pictures[i], ref: i, name: names[i] };
  }

  /** A kept file as this model would have been shown it; asked for once. */
  async function prepared(file, model) {
    const place = file.drawn && drawPlace;
    const key = `${model.name} ${place}`;
    if (!file.prepared.has(key)) {
      const response = await ask("pixels/prepare", { query: { model: model.name, drawn: place }, body: file.blob });
      file.prepared.set(key, toScan(bytes((await response.json()).pixels), model.shape));
    }
    return file.prepared.get(key);
  }

  function referencesOf(model) {
    if (!references.has(model.name)) {
      const asked = ask("pixels/pictures", { query: { model: model.name } }).then((response) => response.json()).then((found) => ({
        from: found.from,
        pictures: found.pictures.map((one) => toScan(bytes(one), model.shape)),
        names: found.pictures.map((_, i) => found.names?.[i] ?? fill(text.picture, { n: i + 1 })),
      }));
      asked.catch(() => references.delete(model.name)); // asked again at the next turn
      references.set(model.name, asked);
    }
    return references.get(model.name);
  }

  function accept(want, { picture, ref, name }) {
    const fresh = want.file && want.file !== ctx.own.file;
    if (fresh) {
      ctx.own.file = want.file;
      ctx.fine();
    }
    if (want.file) {
      paintPicture(ownCanvas, picture, want.model.shape, want.model.levels);
      ownButton.disabled = false;
    }
    const before = now;
    now = { model: want.model.name, picture, origin: { source: want.source, ref, name } };
    if (fresh && ctx.settings().source !== "own") ctx.change({ source: "own" });
    mark();
    const same = before?.model === now.model && before.origin.source === want.source && before.origin.ref === ref && equal(before.picture, picture);
    if (!same) changed(picture, now.origin);
  }

  // --- Showing ---------------------------------------------------------------------------------------------------------
  /** Which is chosen, and what is to be said of it. */
  function mark() {
    const { source } = ctx.settings();
    const origin = now?.model === ctx.model().name ? now.origin : null;
    [...examples.children].forEach((button, i) => button.setAttribute("aria-pressed", String(origin?.source === "reference" && origin.ref === i)));
    for (const [button, one] of [[sampleButton, "sample"], [ownButton, "own"]]) button.setAttribute("aria-pressed", String(origin?.source === one));
    sampleButton.disabled = !sample();
    sampleButton.title = sample() ? "" : text.sample_none;
    const said = [];
    if (source === "own" && !ctx.own.file) said.push(text.own_missing);
    else if (source === "sample" && !sample()) said.push(text.sample_missing);
    if (origin?.source === "own") said.push(text.own);
    if (shown?.model === ctx.model().name) said.push(text.take_one, shown.from ? fill(text.from, { from: shown.from }) : text.from_model);
    if (note.textContent !== said.join(" ")) note.textContent = said.join(" ");
  }

  async function showReferences() {
    const model = ctx.model();
    if (shown?.model === model.name) return;
    const { from, pictures, names } = await referencesOf(model);
    if (model.name !== ctx.model().name || shown?.model === model.name) return;
    shown = { model: model.name, from };
    examples.replaceChildren(...pictures.map((picture, i) => {
      const canvas = h("canvas", {});
      paintPicture(canvas, picture, model.shape, model.levels);
      return h("button", { type: "button", "aria-label": fill(text.take, { name: names[i] }), title: names[i], onclick: () => choose({ source: "reference", ref: i }) }, canvas);
    }));
    mark();
  }

  /** Brings the strip up to the settings; calls changed() only if the picture is another. */
  function refresh() {
    showReferences().catch((error) => ctx.fail(error));
    load(wanted());
    mark();
  }

  // --- A file that is dropped ------------------------------------------------------------------------------------------
  const left = new AbortController();
  for (const type of ["dragover", "dragleave", "drop"]) area.addEventListener(type, (event) => {
    if (![...event.dataTransfer.types].includes("Files")) return;
    event.preventDefault(); // or the browser would leave the page for the file
    area.classList.toggle("px-source-drop", type === "dragover");
    if (type === "drop" && event.dataTransfer.files[0]) upload(event.dataTransfer.files[0]);
  }, { signal: left.signal });

  return {
    /** In the order of writing; null until there is one of the current model. */
    picture: () => (now?.model === ctx.model().name ? now.picture : null),
    refresh,
    destroy() {
      left.abort();
      intent = { kind: null };
      padBox.remove();
      host.replaceChildren();
    },
  };
}

function equal(a, b) {
  return a.length === b.length && a.every((value, i) => value === b[i]);
}
