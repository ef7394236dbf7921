/**
 * The tray: the pictures that all views look at. Those that are picked come from the server by their tokens, which stand in the
 * link; one's own come after them. What is shown follows from the settings and from answers kept under what was asked, so that a
 * late answer is never shown as another's.
 */
import { ask, bytes, newest } from "../lib/api.js";
import { fill, h } from "../lib/dom.js";
import { sketch } from "../sketch/sketch.js";
import { ownPictures } from "./own_pictures.js";
import { trayShelf } from "./tray_shelf.js";
import { trayStrip } from "./tray_strip.js";
import { webcam } from "./webcam.js";

const MOST = 60; // pictures
const NONE = "none"; // how the link says that nothing is picked

/**
 * ctx: as a view's, with changedPictures(), called when the pictures or the chosen one are others, and `defaults` ({ picks }).
 * `area`: where files may be dropped. Settings: data, seed, picks, at.
 */
export function tray(host, ctx, { area }) {
  const { text } = ctx;
  const answers = new Map(); // by data, seed and token: a picture, or null where it was refused
  let list = []; // of pictures
  let told = {}; // { list, chosen } as last told
  let chosenKey = null; // whose picture is looked at, wherever it stands; null: the one at `at`

  // --- What there is -----------------------------------------------------------------------------------------------------
  const inLink = () => [...new Set(ctx.settings().picks.split(",").map((token) => token.trim()).filter((token) => token && token !== NONE))];
  const tokens = () => inLink().slice(0, MOST);
  const nameOf = (token, { data, seed } = ctx.settings()) => `${data} ${seed} ${token}`;
  const accepted = () => tokens().filter((token) => picked(token) !== null);
  const written = (all) => all.join(",") || NONE;

  const picture = ({ pick, kind, title, why, pixels, steps = null, attack = null, by = null }, id) => ({ id, key: pick, pick, kind, title, why, pixels: bytes(pixels), steps, attack, by });

  /** The picture of a token; null: refused; undefined: not known yet. */
  function picked(token) {
    const name = nameOf(token);
    return answers.has(name) ? answers.get(name) : recorded(token, name)?.picture;
  }

  const starts = new Map();
  /** A picture that came with the page: it stands in until the server has answered. */
  function recorded(token, name) {
    const { data, seed } = ctx.settings();
    const start = ctx.recordings.start?.[data];
    if (!start || (start.seed ?? seed) !== seed) return undefined;
    if (!starts.has(name)) {
      const raw = start.pictures.find((one) => one.pick === token);
      starts.set(name, raw && { raw: JSON.stringify(raw), picture: picture(raw, `${name} recorded`) });
    }
    return starts.get(name);
  }

  const own = ownPictures({
    text, refuse, say, full,
    data: () => ctx.settings().data,
    room: () => MOST - count(),
    changed(key, tell) {
      chosenKey = key ?? chosenKey;
      sync(tell);
    },
    progress(i, n) {
      bar.hidden = n === 0;
      progress.textContent = n ? fill(text.progress, { i, n }) : "";
      bar.max = n || 1;
      bar.value = i - 1;
    },
    marked: () => markDrawing(),
  });
  const count = () => accepted().length + own.count();

  /** All tiles in their order: { key, picture }; an undefined picture is still to come. */
  const tiles = () => [...tokens().map((key) => ({ key, picture: picked(key) })), ...own.tiles()].filter((one) => one.picture !== null);

  /** The same array until a picture is another. */
  function pictures() {
    const now = tiles().flatMap((one) => one.picture ?? []);
    if (now.length !== list.length || now.some((one, i) => one !== list[i])) list = now;
    return list;
  }

  function chosen() {
    const now = pictures();
    return now.find(({ key }) => key === chosenKey) ?? now[Math.min(ctx.settings().at, now.length - 1)] ?? null;
  }

  /** Brings `at` and the tiles up to what there is; `tell`: says so where the pictures, or the chosen one, are others. */
  function sync(tell = true) {
    const now = pictures();
    let at = now.findIndex(({ key }) => key === chosenKey);
    if (at < 0 && now.length && tiles().every((one) => one.picture)) {
      at = Math.min(ctx.settings().at, now.length - 1);
      chosenKey = now[at].key;
    }
    if (at >= 0 && at !== ctx.settings().at) ctx.change({ at }, { quiet: true });
    render();
    if (!tell || (told.list === now && told.chosen === chosen())) return;
    told = { list: now, chosen: chosen() };
    ctx.changedPictures();
  }

  // --- Pictures that are picked ------------------------------------------------------------------------------------------
  let asked = null; // { data, seed, control } of the last question
  const askPicks = newest(async () => {
    const missing = tokens().filter((token) => !answers.has(nameOf(token)));
    if (!missing.length) return;
    const { data, seed } = ctx.settings();
    asked = { data, seed, control: new AbortController() };
    againButton.hidden = true;
    const response = await ask("likelihoods/pictures", { query: { data, picks: missing.join(","), seed }, signal: asked.control.signal });
    const found = await response.json();
    for (const one of found.pictures) {
      const name = nameOf(one.pick, { data, seed });
      const start = starts.get(name);
      answers.set(name, start?.raw === JSON.stringify(one) ? start.picture : picture(one, name)); // the same stays the same object
    }
    for (const name of missing.map((token) => nameOf(token, { data, seed }))) if (!answers.has(name)) answers.set(name, null);
    if (nameOf("") === nameOf("", { data, seed }) && missing.some((token) => tokens().includes(token))) refuse(...found.refused);
    sync();
  }, (error) => {
    if (error.name === "AbortError") return;
    againButton.hidden = false;
    ctx.fail(error);
  });

  function load() {
    if (asked && nameOf("", asked) !== nameOf("")) asked.control.abort(); // nobody waits for those any more
    askPicks();
  }

  function pick(token, face) {
    if (accepted().includes(token)) return takeOut(token);
    if (count() >= MOST) return full(1);
    if (answers.get(nameOf(token)) === null) answers.delete(nameOf(token)); // asked for again
    strip.known.set(token, face);
    chosenKey = token;
    ctx.change({ picks: written([...accepted().filter((one) => one !== token), token]) });
    update();
  }

  function takeOut(key) {
    const i = pictures().findIndex((one) => one.key === key);
    const rest = pictures().filter((one) => one.key !== key);
    if (chosen()?.key === key || chosenKey === key) chosenKey = rest[Math.max(0, Math.min(i, rest.length - 1))]?.key ?? null;
    if (own.has(key)) {
      own.takeOut(key);
      sync();
    } else {
      ctx.change({ picks: written(accepted().filter((one) => one !== key)), at: Math.max(0, rest.findIndex((one) => one.key === chosenKey)) });
      update();
    }
    say(fill(text.taken_out, { n: rest.length }));
  }

  function look(key) {
    const at = pictures().findIndex((one) => one.key === key);
    if (at < 0) return;
    chosenKey = key;
    told = { list: pictures(), chosen: chosen() }; // ctx.change() tells it
    if (at !== ctx.settings().at) ctx.change({ at });
    render();
  }

  function reset() {
    own.clear();
    dismiss();
    chosenKey = null;
    for (const [name, found] of answers) if (found === null) answers.delete(name);
    ctx.change({ picks: ctx.defaults.picks, at: 0 });
    update();
    say(text.was_reset);
  }

  // --- What stands where -------------------------------------------------------------------------------------------------
  const strip = trayStrip({ text, look, takeOut });
  const counted = h("span", { class: "soft" });
  const empty = h("p", { class: "soft", hidden: true }, text.empty);
  const againButton = h("button", { type: "button", class: "ghost", hidden: true, onclick: refresh }, text.again);
  const progress = h("span", { class: "soft" });
  const bar = h("progress", { hidden: true, "aria-label": text.preparing });
  const live = h("p", { class: "hidden-text", "aria-live": "polite" });
  const note = h("p", { class: "soft", hidden: true }, text.not_in_link);
  const refusedTitle = h("b", {});
  const refusedList = h("ul", {});
  const refusedBox = h("div", { class: "refused", role: "status", hidden: true },
    h("div", { class: "head" }, refusedTitle, h("button", { type: "button", class: "ghost", onclick: dismiss }, text.dismiss)), refusedList);
  const input = h("input", { type: "file", accept: "image/*", multiple: true, class: "hidden-text", onchange: () => {
    own.add(named(input.files));
    input.value = ""; // so that the same file can be chosen again
  } });

  const pad = h("div", { class: "pad" });
  const drawButton = h("button", { type: "button", class: "primary", onclick: own.addDrawing }, text.add_drawing);
  const drawSaid = h("p", { class: "soft" });
  const panels = { pick: h("div", { class: "shelf" }), draw: h("div", { class: "draw" }, pad, h("div", { class: "beside" }, drawButton, drawSaid)), webcam: h("div", { class: "webcam" }) };
  const openers = {};
  for (const [name, panel] of Object.entries(panels)) {
    openers[name] = h("button", { type: "button", "aria-expanded": "false", "aria-controls": `lk-tray-${name}`, onclick: () => open(panel.hidden ? name : null) }, text[name]);
    panel.id = `lk-tray-${name}`;
    panel.hidden = true;
    panel.addEventListener("keydown", (event) => {
      if (event.key !== "Escape" || event.target.closest(".sketch canvas")) return; // there it lifts the pen
      open(null);
      openers[name].focus();
    });
  }
  host.classList.add("lk-tray");
  host.append(
    h("div", { class: "head" }, h("h2", {}, text.label), counted, h("button", { type: "button", class: "ghost", onclick: reset }, text.reset)),
    strip.element, empty,
    h("div", { class: "ways", role: "group", "aria-label": text.ways }, openers.pick, openers.draw, h("label", { class: "file" }, input, text.upload), openers.webcam,
      againButton, h("span", { class: "progress" }, bar, progress), h("span", { class: "soft drop-here" }, text.drop)),
    ...Object.values(panels), refusedBox, note, live);
  const shelf = trayShelf(panels.pick, { text, pick, data: () => ctx.settings().data, shown: () => render(), failed(error) {
    open(null);
    ctx.fail(error);
  } });
  sketch(pad, { text: text.sketch, change: own.drawn });
  let photographs = 0;
  const camera = webcam(panels.webcam, { text: text.camera, taken: (blob) => own.add([{ title: fill(text.photograph_name, { n: ++photographs }), blob }]), closed() {
    open(null);
    openers.webcam.focus();
  } });

  function open(name) {
    for (const [one, panel] of Object.entries(panels)) {
      panel.hidden = one !== name;
      openers[one].setAttribute("aria-expanded", String(one === name));
    }
    if (name === "webcam") camera.start();
    else camera.stop();
    if (name === "pick") shelf.ask();
  }

  function markDrawing() {
    drawButton.disabled = !own.canAdd();
    drawSaid.textContent = own.follows() ? text.drawing_in : text.draw_hint;
  }

  function render() {
    const all = tiles();
    strip.show(all, chosen());
    shelf.mark(new Set(all.map((one) => one.key)));
    counted.textContent = fill(text.count, { n: count(), most: MOST });
    empty.hidden = all.length > 0;
    note.hidden = !own.count();
  }

  // --- What is said ------------------------------------------------------------------------------------------------------
  function say(sentence) {
    live.textContent = sentence;
  }

  /** Each sentence once, until they are dismissed. */
  function refuse(...sentences) {
    const there = new Set([...refusedList.children].map((one) => one.textContent));
    refusedList.append(...sentences.filter((one) => !there.has(one)).map((one) => h("li", {}, one)));
    const n = refusedList.children.length;
    refusedBox.hidden = n === 0;
    refusedTitle.textContent = n === 1 ? text.refused_one : fill(text.refused, { n });
  }

  function full(n) {
    refuse(fill(n > 1 ? text.full : text.full_one, { most: MOST, n }));
  }

  function dismiss() {
    refusedList.replaceChildren();
    refusedBox.hidden = true;
  }

  // --- Files that are dropped or pasted ----------------------------------------------------------------------------------
  const named = (files) => [...files].map((blob) => ({ title: blob.name || text.pasted, blob }));
  for (const type of ["dragover", "dragleave", "drop"]) area.addEventListener(type, (event) => {
    if (![...event.dataTransfer.types].includes("Files")) return;
    event.preventDefault(); // or the browser would leave the page for the file
    if (!host.checkVisibility() || (type === "dragleave" && area.contains(event.relatedTarget))) return;
    host.classList.toggle("drop", type === "dragover");
    if (type === "drop") own.add(named(event.dataTransfer.files));
  });
  document.addEventListener("paste", (event) => {
    const files = event.clipboardData?.files ?? [];
    if (!files.length || !host.isConnected || !host.checkVisibility() || event.target.closest?.("input, textarea")) return;
    event.preventDefault();
    own.add(named(files));
  });

  // --- From outside ------------------------------------------------------------------------------------------------------
  let overfull = ""; // the picks of which it was said
  function measureLink() {
    const { picks } = ctx.settings();
    const over = inLink().length - MOST;
    if (over > 0 && overfull !== picks) full(over);
    overfull = picks;
  }

  function update() {
    measureLink();
    sync();
    load();
    own.work();
    if (!panels.pick.hidden) shelf.ask();
  }

  function refresh() {
    ctx.fine();
    own.retry(ctx.settings().data);
    update();
  }

  // What came with the page is there at once, and nobody has to be told of it yet.
  told = { list: pictures(), chosen: chosen() };
  if (tiles().every((one) => one.picture)) chosenKey = told.chosen?.key ?? null;
  markDrawing();
  render();
  measureLink();
  load();

  return {
    pictures,
    /** The picture that is looked at; null while there is none. */
    chosen,
    settings(changed) {
      if (!["data", "seed", "picks", "at"].some((key) => changed.has(key))) return;
      if (changed.has("data")) own.retry(ctx.settings().data);
      if (changed.has("at") && pictures()[ctx.settings().at]?.key !== chosenKey) chosenKey = null;
      update();
    },
    /** Asks again for what is missing. */
    refresh,
  };
}
