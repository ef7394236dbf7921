/**
 * The stage of "Sample a VAE": three views beside one latent map. This module holds the page's settings and passes them on; each
 * view owns its pictures. What the rail's Gradio controls say arrives as props.value; what is done here stays here, and in the address.
 */
import { ask, bytes, newest } from "../lib/api.js";
import { download, fill, h, number, subscript } from "../lib/dom.js";
import { remember } from "../lib/lesson.js";
import { messages } from "../lib/messages.js";
import { paint } from "../lib/pixels.js";
import { classColour, latentPad } from "../latent_pad/latent_pad.js";
import { sliders } from "../sliders/sliders.js";
import { manifoldView } from "./manifold_view.js";
import { pictureView } from "./picture_view.js";
import { sampleView } from "./sample_view.js";

const VIEWS = ["sample", "picture", "manifold"];

export function mount(element, { props, watch }) {
  const page = { ...props.fixed, ...props.value };
  const { text, defaults } = page;
  let settings = { ...page.settings };
  let z = null; // the place that was chosen; pointing at the map only looks
  let planes = {}; // by model
  const model = () => page.models[`${settings.data}-${settings.latent}`];

  // --- What stands where -----------------------------------------------------------------------------------------------
  const { notice, problem, badge, failed, fine, setBadge: paintBadge, showNotices } = messages(text);
  const tabs = VIEWS.map((view) =>
    h("button", { type: "button", role: "tab", id: `vae-tab-${view}`, "aria-controls": `vae-view-${view}`, onclick: () => choose({ view }) }, text.views[view]),
  );
  const tabList = h("div", { class: "vae-tabs", role: "tablist", "aria-label": text.views_label }, ...tabs, h("span", { class: "space" }), badge);
  const leftTitle = h("h2", {});
  const left = h("div", {}, h("div", { class: "map-head" }, leftTitle));
  const mapBox = h("div", {});
  const legend = h("div", { class: "legend" });
  const holesBox = h("input", { type: "checkbox", id: "vae-holes", onchange: () => choose({ holes: holesBox.checked }) });
  const holesLabel = h("label", {}, holesBox, text.holes);
  const across = h("select", { class: "gmp-axis", "aria-label": text.across, onchange: () => choose({ across: Number(across.value) }) });
  const down = h("select", { class: "gmp-axis", "aria-label": text.up, onchange: () => choose({ down: Number(down.value) }) });
  const axes = h("span", {}, across, " × ", down);
  const holesNote = h("p", { class: "soft", "aria-live": "polite" });
  const hereCanvas = h("canvas", { width: 28, height: 28, role: "img", "aria-label": text.here });
  const hereZ = h("dd", { class: "symbol-z" });
  const hereWhere = h("dd", {});
  const sliderBox = h("details", { class: "slider-box" }, h("summary", {}, ""));
  const below = h("div", { class: "vae-below" });
  const facts = h("span", {});
  const time = h("span", {});
  const whereName = h("dt", {}, text.where);
  const code = h("pre", { class: "code", tabindex: 0, "aria-label": text.code, hidden: true });
  const codeButton = h("button", { type: "button", class: "ghost", "aria-expanded": "false", onclick: () => {
    code.hidden = !code.hidden;
    codeButton.setAttribute("aria-expanded", String(!code.hidden));
  } }, text.code);
  const summary = h("p", { class: "hidden-text", "aria-live": "polite" });

  element.replaceChildren(h("div", { class: "gmp gmp-card", "data-stage": "vae" },
    notice, problem, tabList,
    h("div", { class: "vae-stage" }, left,
      h("div", {},
        h("div", { class: "map-head" }, h("h2", {}, text.map), holesLabel, axes),
        mapBox, legend, holesNote)),
    h("div", { class: "here" }, hereCanvas, h("div", {}, h("h2", {}, text.here), h("dl", {}, h("dt", {}, "z"), hereZ, whereName, hereWhere)), sliderBox),
    below,
    h("details", { class: "glossary" }, h("summary", {}, text.words), h("dl", {}, ...Object.entries(text.glossary).flatMap(([word, meaning]) => [h("dt", {}, word), h("dd", {}, meaning)]))),
    h("div", { class: "facts" }, h("div", { class: "said" }, facts, time),
      h("div", { class: "exports" },
        h("button", { type: "button", class: "ghost", onclick: () => views[settings.view].png(download) }, "PNG"),
        h("button", { type: "button", class: "ghost", onclick: exportJson }, "JSON"),
        codeButton)),
    code, summary));

  // --- Help for the views ----------------------------------------------------------------------------------------------
  function setBadge(kind) {
    paintBadge(kind);
    if (kind === "recorded") time.textContent = "";
  }
  const plane2 = (latent) => [latent[settings.across] ?? 0, latent[settings.down] ?? 0];
  const zText = (latent) => (latent.length <= 3 ? `(${latent.map((v) => number(v)).join(", ")})` : fill(text.long_z, { n: latent.length, length: number(Math.hypot(...latent)) }));
  const shared = {
    text, page, model, failed, fine, setBadge, plane2, zText,
    settings: () => settings,
    choose, goTo,
    say: (words) => (summary.textContent = words),
    took: (ms) => (time.textContent = fill(text.took, { ms: ms < 10 ? number(ms, 1) : number(ms, 0) })),
    get pad() { return pad; },
    sample: () => views.sample.picture(),
  };

  // --- The latent map, and the picture under the cursor ----------------------------------------------------------------
  const pad = latentPad(mapBox, {
    text: { label: text.map_label, keys: text.map_keys, ring: text.ring },
    move: (place) => goTo(moved(place)),
    look: (place) => (place ? show(moved(place)) : z && show(z)),
    pick: (i) => views.sample.pick(i),
    hover: (i) => views.sample.near(i),
  });
  const zSliders = sliders(sliderBox, { limit: 4, input: (values) => goTo(values) });

  function moved([x, y]) {
    const next = [...(z ?? Array(model().latent).fill(0))];
    next[settings.across] = x;
    next[settings.down] = y;
    return next;
  }

  const decodeHere = newest(async ({ name, latent }) => {
    const began = performance.now();
    const response = await ask("decode", { query: { model: name }, body: new Float64Array(latent) });
    const pixels = new Uint8Array(await response.arrayBuffer());
    if (name !== model().name) return;
    paint(hereCanvas, pixels);
    hereCanvas.dataset.painted = latent.join(",");
    pad.inset(hereCanvas);
    hereCanvas.dataset.ms = String(performance.now() - began);
    fine();
  }, failed);

  /** Decodes a place and says where it is. */
  function show(latent) {
    const at = latent.map((v) => Number(v.toFixed(4)));
    hereCanvas.dataset.wanted = at.join(",");
    decodeHere({ name: model().name, latent: at });
    pad.cursor(plane2(at));
    zSliders.set(at);
    hereZ.textContent = zText(at);
    const hole = pad.inHole(plane2(at));
    hereWhere.textContent = hole ? text.in_hole : pad.inside(plane2(at)) ? text.in_prior : text.off_map;
    hereWhere.className = hole ? "symbol-kl" : "";
    return at;
  }

  let writing = 0;
  /** Chooses a place. `quiet`: it follows from what was chosen elsewhere, and is not a setting of its own. */
  function goTo(latent, { quiet = false } = {}) {
    z = show(latent);
    if (quiet) return;
    settings.z = z;
    clearTimeout(writing);
    writing = setTimeout(() => remember(settings, defaults), 250);
  }

  async function loadPlane() {
    const name = model().name;
    planes[name] ??= ask("map", { query: { model: name } }).then((response) => response.json()).catch((error) => {
      delete planes[name]; // asked again at the next occasion
      throw error;
    });
    const found = await planes[name];
    if (name !== model().name) return;
    const glyphs = text.glyphs[settings.data];
    pad.plane(found.points ? {
      ...found,
      glyphs,
      points: new Float32Array(bytes(found.points).buffer),
      labels: bytes(found.labels),
      holes: bytes(found.holes),
    } : found);
    legend.replaceChildren(...(found.points ? found.classes.map((label, c) => classButton(label, c, glyphs[c])) : [h("span", {}, text.no_points)]));
    legend.append(...(found.points ? [h("p", { class: "soft" }, text.key)] : []));
    pad.only(null);
    page.plane = found;
    showHoles();
    if (z) goTo(z, { quiet: true });
  }

  /** A class of the legend: pressed, it is shown alone. */
  function classButton(label, c, glyph) {
    const button = h("button", { type: "button", "aria-pressed": "false", "aria-label": fill(text.only, { name: label }), title: label, onclick: () => {
      const alone = button.getAttribute("aria-pressed") === "false";
      for (const other of legend.querySelectorAll("button")) other.setAttribute("aria-pressed", "false");
      button.setAttribute("aria-pressed", String(alone));
      pad.only(alone ? c : null);
    } }, h("b", { style: `color:var(--${classColour(c)})` }, glyph), settings.data === "mnist" ? "" : ` ${label}`);
    return button;
  }

  function showHoles() {
    const found = page.plane;
    pad.holes(settings.holes);
    holesBox.checked = settings.holes;
    holesNote.replaceChildren();
    if (!settings.holes || !found?.points) return;
    holesNote.append(fill(text.holes_note, { share: number(100 * found.share_of_prior_in_holes, 1), n: found.encoded.toLocaleString("en").replace(",", "\u202f") }));
    if (found.deepest) holesNote.append(h("br"), h("button", { type: "button", class: "ghost", onclick: () => goTo(found.deepest) }, text.go_to_hole));
  }

  // --- The views -------------------------------------------------------------------------------------------------------
  const views = {};
  for (const [view, make] of [["sample", sampleView], ["picture", pictureView], ["manifold", manifoldView]]) {
    const host = h("div", { role: "tabpanel", id: `vae-view-${view}`, "aria-labelledby": `vae-tab-${view}` });
    const reading = h("div", {});
    left.append(host);
    below.append(reading);
    views[view] = { ...make(host, reading, shared), host, reading };
  }
  tabList.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (!step || !tabs.includes(document.activeElement)) return;
    event.preventDefault();
    const view = VIEWS[(VIEWS.indexOf(settings.view) + step + VIEWS.length) % VIEWS.length];
    choose({ view });
    tabs[VIEWS.indexOf(view)].focus();
  });

  /** Settings made here, on the stage. */
  function choose(change) {
    const before = settings;
    settings = { ...settings, ...change };
    apply(before);
    remember(settings, defaults);
  }

  /** Shows what differs from `before` (null: everything). */
  function apply(before) {
    const changed = (...keys) => !before || keys.some((key) => JSON.stringify(before[key]) !== JSON.stringify(settings[key]));
    const { latent } = model();
    VIEWS.forEach((view, i) => {
      const on = view === settings.view;
      tabs[i].setAttribute("aria-selected", String(on));
      tabs[i].tabIndex = on ? 0 : -1;
      views[view].host.hidden = views[view].reading.hidden = !on;
    });
    if (changed("data", "latent")) {
      if (before) [settings.across, settings.down] = [0, 1];
      z = settings.z.length === latent ? [...settings.z] : null;
      if (!z) settings.z = [];
      for (const select of [across, down]) select.replaceChildren(...Array.from({ length: latent }, (_, i) => h("option", { value: i }, `z${subscript(i + 1)}`)));
      axes.hidden = latent === 2;
      holesLabel.hidden = whereName.hidden = hereWhere.hidden = latent !== 2;
      sliderBox.open = latent === 2;
      sliderBox.firstChild.textContent = fill(text.sliders, { n: latent });
      loadPlane().catch(failed);
      facts.textContent = model().facts;
    }
    if (changed("data", "latent", "across", "down")) {
      if (settings.across === settings.down) settings.down = (settings.across + 1) % latent;
      across.value = settings.across;
      down.value = settings.down;
      pad.axes([`z${subscript(settings.across + 1)}`, `z${subscript(settings.down + 1)}`]);
      if (z) goTo(z, { quiet: true });
    }
    if (changed("holes")) showHoles();
    document.body.dataset.vaeView = settings.view;
    pad.frame(settings.view === "manifold" ? views.manifold.reach() : null);
    leftTitle.textContent = fill(text.titles[settings.view], settings);
    code.textContent = page.code[settings.view];
    for (const view of VIEWS) if (view === settings.view || view === "sample") views[view].update(changed, !before);
    pad.posterior(settings.view === "picture" ? views.picture.posterior() : null);
    views.sample.dots(settings.view !== "picture");
    time.hidden = settings.view === "picture";
  }

  function exportJson() {
    const whole = { settings, model: model().name, z, ...views[settings.view].json() };
    download(`${model().name}-${settings.view}.json`, new Blob([JSON.stringify(whole, null, 2)], { type: "application/json" }));
  }

  // What the rail's controls, a link or Reset say.
  watch("value", () => {
    const next = props.value;
    const before = settings;
    Object.assign(page, next);
    settings = { ...settings, ...next.settings };
    showNotices(next.notices);
    apply(next.whole ? null : before);
    if (next.again) views.sample.again();
    remember(settings, defaults, { step: !next.whole && before.seed !== settings.seed });
  });

  showNotices(page.notices);
  apply(null);
  element.dataset.ready = "true";
}
