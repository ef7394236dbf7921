/** The index of the pages: a card each, with a live picture that the page's own module draws, and the question it answers. */
import { h } from "../lib/dom.js";

export function mount(element, { props }) {
  const { cards, text } = props.value;
  const box = h("div", { class: "cards" });
  for (const one of cards) {
    const badge = h("span", { class: "badge", "data-kind": "recorded" }, text.recorded);
    const picture = h("div", { class: "picture" });
    box.append(h("a", { class: "gmp-card", href: one.path }, h("span", { class: "name" }, h("span", {}, one.name), badge), h("h3", {}, one.question), picture, h("span", { class: "soft" }, one.caption)));
    const says = (kind) => {
      badge.dataset.kind = kind;
      badge.textContent = text[kind];
    };
    import(`../${one.module}`).then((module) => module.card(picture, one, { badge: says, connected: () => element.isConnected }));
  }
  element.replaceChildren(h("div", { class: "gmp" }, box));
}
