/** The index of the pages: a card each, with a picture that the page's own model makes now, and the question it answers. */
import { ask, bytes, latentsAndPictures } from "../lib/api.js";
import { h } from "../lib/dom.js";
import { paint } from "../lib/pixels.js";

const SHOWN = 24;
const EVERY = 2500; // ms between two pictures that change

export function mount(element, { props }) {
  const { cards, text } = props.value;
  const box = h("div", { class: "cards" });
  for (const card of cards) {
    const badge = h("span", { class: "badge", "data-kind": "recorded" }, text.recorded);
    const strip = h("div", { class: "strip", role: "img", "aria-label": card.picture_label });
    const canvases = Array.from({ length: SHOWN }, () => h("canvas", { width: 28, height: 28 }));
    strip.append(...canvases);
    box.append(h("a", { class: "gmp-card", href: card.path }, h("span", { class: "name" }, h("span", {}, card.name), badge), h("h3", {}, card.question), strip, h("span", { class: "soft" }, card.caption)));
    show(bytes(card.recording.pixels));
    live();

    function show(pixels) {
      canvases.forEach((canvas, i) => paint(canvas, pixels.subarray(i * 784, (i + 1) * 784)));
    }

    async function live() {
      let seed = card.recording.seed;
      const fetchOne = async () => {
        const response = await ask("sample", { query: { model: card.model, n: SHOWN, seed } });
        show(latentsAndPictures(await response.arrayBuffer(), card.latent, 784).pixels);
        badge.dataset.kind = "live";
        badge.textContent = text.live;
        seed = (seed + 1) % 100; // a hundred pictures, which the server keeps: sixty people cost as much as one
      };
      const still = matchMedia("(prefers-reduced-motion: reduce)").matches;
      await fetchOne().catch(() => {}); // the recorded picture stays, and says so
      if (still) return;
      const timer = setInterval(() => {
        if (!element.isConnected) clearInterval(timer);
        else if (!document.hidden) fetchOne().catch(() => {});
      }, EVERY);
    }
  }
  element.replaceChildren(h("div", { class: "gmp" }, box));
}
