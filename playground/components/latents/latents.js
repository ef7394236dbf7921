/**
 * The stage of "Latents": six views of what a latent vector means. This module holds the page's settings and passes them on; each
 * view owns its pictures. What the rail's Gradio controls say arrives as props.value; what is done here stays here, in the address,
 * and in the rail.
 */
import { ask, newest } from "../lib/api.js";
import { download, fill, h, number } from "../lib/dom.js";
import { query, remember } from "../lib/lesson.js";
import { messages } from "../lib/messages.js";
import { viewTabs } from "../lib/views.js";
import { betaView } from "./beta_view.js";
import { boundView } from "./bound_view.js";
import { codesView } from "./codes_view.js";
import { labelsView } from "./labels_view.js";
import { liveView } from "./live_view.js";
import { slidersView } from "./sliders_view.js";

const VIEWS = { sliders: slidersView, beta: betaView, live: liveView, codes: codesView, labels: labelsView, bound: boundView };

export function mount(element, { props, trigger, watch }) {
  const page = { ...props.fixed, ...props.value };
  const { text, defaults, models, rail, recordings } = page;
  let settings = { ...page.settings };

  const { notice, problem, badge, failed, fine, setBadge, showNotices } = messages(text);
  const names = Object.keys(VIEWS);
  const tabs = viewTabs(names, { prefix: "lt", text: text.views, label: text.views_label, choose: (view) => change({ view }), end: badge });
  const question = h("p", { class: "lt-question" });
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
  const bar = h("div", { hidden: true });
  const panels = h("div", {});
  const stage = h("div", { class: "gmp gmp-card", "data-stage": "latents" }, notice, problem, tabs.list, question, panels, bar,
    h("details", { class: "glossary" }, h("summary", {}, text.words), h("dl", {}, ...Object.entries(text.glossary).flatMap(([word, meaning]) => [h("dt", {}, word), h("dd", {}, meaning)]))),
    h("div", { class: "facts" }, h("div", { class: "said" }, facts, time), h("div", { class: "exports" }, png, json, codeButton)), code);
  element.replaceChildren(stage);

  const showCode = newest(async () => {
    if (code.hidden) return;
    const wanted = new URLSearchParams(query(settings, defaults));
    const { code: lines } = await (await ask("latents/code", { query: Object.fromEntries(wanted) })).json();
    code.textContent = lines[settings.view];
  }, failed);

  const fileName = () => `latents-${settings.view}`;
  const views = {};
  for (const [view, make] of Object.entries(VIEWS)) {
    const host = h("div", { role: "tabpanel", id: `lt-view-${view}`, "aria-labelledby": `lt-tab-${view}`, class: `lt-view lt-view-${view}`, hidden: true });
    panels.append(host);
    const ctx = {
      words: text, text: text[`${view}_view`] ?? text[view], models, recordings, change, fine, download,
      settings: () => settings,
      // What a view says while another is shown is not heard.
      fail: (error) => settings.view === view && failed(error),
      badge: (kind) => settings.view === view && setBadge(kind),
      facts: (said) => settings.view === view && (facts.textContent = said),
      took: (seconds) => settings.view === view && (time.textContent = fill(text.took, { n: seconds < 1 ? `${number(1000 * seconds, 0)} ms` : `${number(seconds, 2)} s` })),
    };
    views[view] = make(host, ctx, { bar });
  }

  let visible = null;
  /** Shows what differs from `before` (null: everything). */
  function apply(before) {
    const changed = new Set(Object.keys(settings).filter((key) => !before || String(settings[key]) !== String(before[key])));
    showCode();
    tabs.mark(settings.view);
    stage.dataset.view = settings.view;
    document.body.dataset.latentsView = settings.view;
    if (visible !== settings.view) {
      if (visible) views[visible].hide();
      for (const panel of panels.children) panel.hidden = panel.id !== `lt-view-${settings.view}`;
      visible = settings.view;
      question.textContent = text.questions[visible];
      facts.textContent = time.textContent = "";
      bar.hidden = true;
      png.hidden = !views[visible].png;
      json.hidden = !views[visible].json;
      views[visible].show();
    } else if (changed.size) views[visible].settings(changed);
  }

  /** Settings made here, on the stage. `quiet`: nothing is to be shown anew. */
  function change(patch, { quiet = false } = {}) {
    const before = settings;
    settings = { ...settings, ...patch };
    if (!quiet) {
      fine();
      apply(before);
    }
    remember(settings, defaults, { step: "seed" in patch || "view" in patch });
    if (Object.keys(patch).some((key) => rail.includes(key))) trigger("input", Object.fromEntries(rail.map((key) => [key, settings[key]])));
  }

  function exportJson() {
    const whole = { settings, ...(views[settings.view].json?.() ?? {}) };
    download(`${fileName()}.json`, new Blob([JSON.stringify(whole, null, 2)], { type: "application/json" }));
  }

  // What the rail's controls, a link or Reset say.
  watch("value", () => {
    const next = props.value;
    const before = settings;
    Object.assign(page, next);
    settings = { ...settings, ...next.settings };
    if (!next.whole && settings.model !== before.model) Object.assign(settings, { z: [], turn: 0 });
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
