/**
 * The stage of "Pixels": four views of one PixelCNN. This module holds the page's settings and passes them on; each view owns its
 * pictures. What the rail's Gradio controls say arrives as props.value; what is done here stays here, in the address, and in the rail.
 */
import { ask, newest } from "../lib/api.js";
import { download, fill, h, number } from "../lib/dom.js";
import { query, remember } from "../lib/lesson.js";
import { messages } from "../lib/messages.js";
import { viewTabs } from "../lib/views.js";
import { completeView } from "./complete_view.js";
import { raceView } from "./race_view.js";
import { surpriseView } from "./surprise_view.js";
import { writeView, writtenAs } from "./write_view.js";

const VIEWS = ["write", "complete", "surprise", "race"];

export function mount(element, { props, trigger, watch }) {
  const page = { ...props.fixed, ...props.value };
  const { text, defaults, models, rail } = page;
  let settings = { ...page.settings };
  const model = () => models[settings.model];

  const { notice, problem, badge, failed, fine, setBadge, showNotices } = messages(text);
  const tabs = viewTabs(VIEWS, { prefix: "px", text: text.views, label: text.views_label, choose: (view) => change({ view }), end: badge });
  const facts = h("span", {});
  const time = h("span", {});
  const code = h("pre", { class: "code", tabindex: 0, "aria-label": text.code, hidden: true });
  const codeButton = h("button", { type: "button", class: "ghost", "aria-expanded": "false", onclick: () => {
    code.hidden = !code.hidden;
    codeButton.setAttribute("aria-expanded", String(!code.hidden));
    showCode();
  } }, text.code);
  const png = h("button", { type: "button", class: "ghost", onclick: () => views[settings.view].png?.(fileName()) }, "PNG");
  const json = h("button", { type: "button", class: "ghost", onclick: exportJson }, "JSON");
  const bar = h("div", {});
  const panels = h("div", {});
  const stage = h("div", { class: "gmp gmp-card", "data-stage": "pixels" }, notice, problem, tabs.list, panels, bar,
    h("details", { class: "glossary" }, h("summary", {}, text.words), h("dl", {}, ...Object.entries(text.glossary).flatMap(([word, meaning]) => [h("dt", {}, word), h("dd", {}, meaning)]))),
    h("div", { class: "facts" }, h("div", { class: "said" }, facts, time), h("div", { class: "exports" }, png, json, codeButton)), code);
  element.replaceChildren(stage);

  /** The code of the settings as they are here: asked for once it is wanted. */
  const showCode = newest(async () => {
    if (code.hidden) return;
    const wanted = new URLSearchParams(query(settings, defaults));
    const { code: lines } = await (await ask("pixels/code", { query: Object.fromEntries(wanted) })).json();
    code.textContent = lines[settings.view];
  }, failed);

  const fileName = () => `${model().name}-${settings.view}-seed${settings.seed}`;
  const shared = {
    words: text, model, fail: failed, fine, badge: setBadge, download,
    settings: () => settings,
    change,
    took: (seconds) => (time.textContent = fill(text.took, { n: seconds < 1 ? `${number(1000 * seconds, 0)} ms` : `${number(seconds, 2)} s` })),
    own: { get sample() { return views.write?.sample() ?? null; } },
  };
  const views = {};
  for (const [view, make] of [["write", writeView], ["complete", completeView], ["surprise", surpriseView], ["race", raceView]]) {
    const host = h("div", { role: "tabpanel", id: `px-view-${view}`, "aria-labelledby": `px-tab-${view}`, class: `px-view px-view-${view}`, hidden: true });
    panels.append(host);
    views[view] = make(host, { ...shared, text: text[view] }, { bar });
  }
  bar.hidden = true;

  let visible = null;
  let preparing = "";
  /** A link may name an image that is yet to be written: another view's source. */
  function prepare() {
    const { model: key, which, changes } = settings;
    const named = [key, writtenAs(settings), which, changes].join();
    if (visible === "write" || settings.source !== "sample" || preparing === named || views.write.sample()) return;
    preparing = named;
    views.write.prepare().then(() => {
      if (visible !== "write") views[visible].settings(new Set(["source"]));
    });
  }

  /** Another class, or other completions, are questions about the same picture: the image is not written anew for them. */
  function keepPicture(before) {
    if (visible === "write" || before.source !== "sample" || settings.model !== before.model) return false;
    if (settings.n !== before.n || (visible === "surprise" && settings.seed !== before.seed)) return false;
    const { seed, label, temperature } = settings;
    const kept = before.wrote || writtenAs(before);
    settings.wrote = kept === writtenAs({ seed, label, temperature }) ? "" : kept;
    return true;
  }

  /** Shows what differs from `before` (null: everything). `quiet`: only the address is to know. */
  function apply(before) {
    const changed = new Set(Object.keys(settings).filter((key) => !before || settings[key] !== before[key]));
    if (!model()) {
      failed(new Error(fill(text.no_model, { model: settings.model })));
      settings.model = Object.keys(models)[0];
    }
    if (settings.view === "write" || settings.source !== "sample" || (before && before.model !== settings.model)) settings.wrote = "";
    facts.textContent = model().facts;
    showCode();
    png.hidden = json.hidden = !views[settings.view].png;
    tabs.mark(settings.view);
    stage.dataset.view = settings.view;
    document.body.dataset.pixelsView = settings.view;
    if (page.opened) document.body.dataset.opened = "true";
    document.body.dataset.pixelsModel = settings.model;
    if (visible !== settings.view) {
      if (visible) views[visible].hide();
      for (const panel of panels.children) panel.hidden = panel.id !== `px-view-${settings.view}`;
      const first = visible === null;
      visible = settings.view;
      if (first && visible === "write") {
        views.write.settings(new Set());
        bar.hidden = false;
        views.write.open(page.recording);
        return;
      }
      views[visible].show();
      prepare();
      return;
    }
    if (changed.size) views[visible].settings(changed);
    prepare();
  }
  /** Settings made here, on the stage. `quiet`: nothing is to be shown anew. */
  function change(patch, { quiet = false } = {}) {
    const before = settings;
    settings = { ...settings, ...patch };
    keepPicture(before);
    if (!quiet) {
      fine();
      apply(before);
    }
    remember(settings, defaults, { step: "seed" in patch });
    if (Object.keys(patch).some((key) => rail.includes(key))) trigger("input", Object.fromEntries(rail.map((key) => [key, settings[key]])));
  }

  function exportJson() {
    const whole = { settings, model: model().name, ...(views[settings.view].json?.() ?? {}) };
    download(`${fileName()}.json`, new Blob([JSON.stringify(whole, null, 2)], { type: "application/json" }));
  }

  // What the rail's controls, a link or Reset say.
  watch("value", () => {
    const next = props.value;
    const before = settings;
    Object.assign(page, next);
    settings = { ...settings, ...next.settings };
    if (!next.whole && !keepPicture(before) && ["model", "label", "seed", "n"].some((key) => settings[key] !== before[key])) {
      Object.assign(settings, { frame: -1, changes: "" });
      if (settings.which >= settings.n || settings.model !== before.model) settings.which = 0;
    }
    showNotices(next.notices);
    fine();
    apply(before);
    if (next.again) views[visible].again?.();
    remember(settings, defaults, { step: !next.whole && before.seed !== settings.seed });
  });

  showNotices(page.notices);
  apply(null);
  element.dataset.ready = "true";
}
