/**
 * A stage of several views, one at a time: their tabs, the page's settings, the link, what can be taken away and what is said of the
 * view in hand. What the rail's Gradio controls say arrives as props.value; what is done on the stage stays here, in the address, and
 * in the rail. Each view owns what it draws.
 */
import { ask, newest } from "./api.js";
import { download, fill, h, number } from "./dom.js";
import { query, remember } from "./lesson.js";
import { messages } from "./messages.js";
import { viewTabs } from "./views.js";

const EXPORTS = { png: "PNG", csv: "CSV", json: "JSON" };

/**
 * name: the page's, as in its routes and in `data-stage`; prefix: of the ids and classes of views. `views`: view -> make(host, ctx,
 * { bar }), which returns { show, hide, settings(changed), again?, json?, csv?(name), png?(name) }; `bar` is for a timeline.
 * `above(ctx)`: { element, settings(changed), part? } of what stands above all views; `part` goes into every view's ctx.
 * `adapted(settings, before)`: what else must change where the rail changed a setting.
 */
export function tabbedStage(element, { props, trigger, watch }, { name, prefix, views: makers, above = null, adapted = () => ({}) }) {
  const page = { ...props.fixed, ...props.value };
  const { text, defaults, models, rail, recordings } = page;
  let settings = { ...page.settings };

  const { notice, problem, badge, failed, fine, setBadge, showNotices } = messages(text);
  const tabs = viewTabs(Object.keys(makers), { prefix, text: text.views, label: text.views_label, choose: (view) => change({ view }), end: badge });
  const question = h("p", { class: `${prefix}-question` });
  const facts = h("span", {});
  const time = h("span", {});
  const code = h("pre", { class: "code", tabindex: 0, "aria-label": text.code, hidden: true });
  const codeButton = h("button", { type: "button", class: "ghost", "aria-expanded": "false", onclick: () => {
    code.hidden = !code.hidden;
    codeButton.setAttribute("aria-expanded", String(!code.hidden));
    showCode();
  } }, text.code);
  const buttons = Object.entries(EXPORTS).map(([way, words]) => [way, h("button", { type: "button", class: "ghost", onclick: () => take(way) }, words)]);
  const bar = h("div", { hidden: true });
  const panels = h("div", {});

  const showCode = newest(async () => {
    if (code.hidden) return;
    const wanted = new URLSearchParams(query(settings, defaults));
    const { code: lines } = await (await ask(`${name}/code`, { query: Object.fromEntries(wanted) })).json();
    code.textContent = lines[settings.view];
  }, failed);

  function take(way) {
    const view = views[settings.view];
    const file = `${name}-${settings.view}`;
    if (way !== "json") view[way](file);
    else download(`${file}.json`, new Blob([JSON.stringify({ settings, ...view.json() }, null, 2)], { type: "application/json" }));
  }

  let visible = null;
  const views = {};
  const shared = { words: text, models, recordings, defaults, change, fine, download, settings: () => settings, visible: () => visible };
  const top = above?.({ ...shared, text, fail: failed, tell: (changed) => visible && views[visible].settings(changed) }) ?? null;
  const stage = h("div", { class: "gmp gmp-card", "data-stage": name }, notice, problem, tabs.list, question, top?.element ?? null, panels, bar,
    h("details", { class: "glossary" }, h("summary", {}, text.words), h("dl", {}, ...Object.entries(text.glossary).flatMap(([word, meaning]) => [h("dt", {}, word), h("dd", {}, meaning)]))),
    h("div", { class: "facts" }, h("div", { class: "said" }, facts, time), h("div", { class: "exports" }, ...buttons.map(([, button]) => button), codeButton)), code);
  element.replaceChildren(stage);
  for (const [view, make] of Object.entries(makers)) {
    const host = h("div", { role: "tabpanel", id: `${prefix}-view-${view}`, "aria-labelledby": `${prefix}-tab-${view}`, class: `${prefix}-view ${prefix}-view-${view}`, hidden: true });
    panels.append(host);
    views[view] = make(host, {
      ...shared, ...top?.part, text: text[`${view}_view`] ?? text[view],
      // What a view says while another is shown is not heard.
      fail: (error) => settings.view === view && failed(error),
      badge: (kind) => settings.view === view && setBadge(kind),
      facts: (said) => settings.view === view && (facts.textContent = said),
      took: (seconds) => settings.view === view && (time.textContent = fill(text.took, { n: seconds < 1 ? `${number(1000 * seconds, 0)} ms` : `${number(seconds, 2)} s` })),
    }, { bar, stage });
  }

  /** Shows what differs from `before` (null: everything). */
  function apply(before) {
    const changed = new Set(Object.keys(settings).filter((key) => !before || String(settings[key]) !== String(before[key])));
    showCode();
    tabs.mark(settings.view);
    stage.dataset.view = settings.view;
    document.body.dataset[`${name}View`] = settings.view;
    if (page.opened) document.body.dataset.opened = "true";
    if (changed.size) top?.settings(changed);
    if (visible !== settings.view) {
      if (visible) views[visible].hide();
      for (const panel of panels.children) panel.hidden = panel.id !== `${prefix}-view-${settings.view}`;
      visible = settings.view;
      question.textContent = text.questions[visible];
      facts.textContent = time.textContent = "";
      bar.hidden = true;
      for (const [way, button] of buttons) button.hidden = !views[visible][way];
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

  // What the rail's controls, a link or Reset say.
  watch("value", () => {
    const next = props.value;
    const before = settings;
    Object.assign(page, next);
    settings = { ...settings, ...next.settings };
    if (!next.whole) Object.assign(settings, adapted(settings, before));
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
