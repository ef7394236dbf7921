/** A stage of several views, one at a time: its tabs, and the keys that go from one to the next. */
import { h } from "./dom.js";

/**
 * names: the views; prefix: of the ids. `choose(view)` is called for a click or a key. Returns { tabs, list, mark(view) }: `list` is
 * the row of tabs, with `end` at its far side.
 */
export function viewTabs(names, { prefix, text, label, choose, end = "", className = "px-tabs" }) {
  const tabs = names.map((view) =>
    h("button", { type: "button", role: "tab", id: `${prefix}-tab-${view}`, "aria-controls": `${prefix}-view-${view}`, onclick: () => choose(view) }, text[view]));
  const list = h("div", { class: className, role: "tablist", "aria-label": label }, ...tabs, h("span", { class: "space" }), end);
  list.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    const now = tabs.indexOf(document.activeElement);
    if (!step || now < 0) return;
    event.preventDefault();
    const next = (now + step + names.length) % names.length;
    choose(names[next]);
    tabs[next].focus();
  });
  return {
    tabs,
    list,
    mark(view) {
      tabs.forEach((tab, i) => {
        tab.setAttribute("aria-selected", String(names[i] === view));
        tab.tabIndex = names[i] === view ? 0 : -1;
      });
    },
  };
}
