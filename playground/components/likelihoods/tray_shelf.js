/** The shelf: all pictures that can be picked, in groups. Pressing one puts it into the tray, pressing it again takes it out. */
import { ask, bytes, newest } from "../lib/api.js";
import { fill, h } from "../lib/dom.js";
import { paint } from "../lib/pixels.js";

/** What is said of a picture, without its title and the full stop. */
const sentence = ({ why }) => why.replace(/[\s.]+$/, "");

/** Returns { ask(), mark(keys in the tray) }. Calls pick(token, { pixels, title, why }). `data()`: whose shelf. `text`: of the tray. */
export function trayShelf(element, { text, data, pick, shown, failed }) {
  const answers = new Map(); // by data

  const load = newest(async (wanted) => {
    if (!answers.has(wanted)) {
      element.setAttribute("aria-busy", "true");
      answers.set(wanted, await (await ask("likelihoods/shelf", { query: { data: wanted } })).json());
    }
    if (data() === wanted) show(wanted);
  }, (error) => {
    element.removeAttribute("aria-busy");
    failed(error);
  });

  function show(wanted) {
    element.removeAttribute("aria-busy");
    if (element.dataset.shown === wanted) return;
    element.dataset.shown = wanted;
    const { from, groups } = answers.get(wanted);
    element.replaceChildren(...groups.filter((group) => group.pictures.length).map((group) => {
      const [first, ...others] = group.pictures.map(sentence);
      const same = others.every((one) => one === first); // said once
      return h("section", { "data-group": group.key },
        h("h3", {}, fill(text.groups[group.key] ?? group.key, { from })),
        same && first ? h("p", { class: "soft" }, `${first}.`) : null,
        h("div", { class: same ? "cards small" : "cards" }, ...group.pictures.map((one) => card(one, same))));
    }));
    shown();
  }

  function card({ pick: token, title, why, pixels }, small) {
    const face = { pixels: bytes(pixels), title, why };
    const canvas = h("canvas", { "aria-hidden": "true" });
    paint(canvas, face.pixels);
    return h("button", { type: "button", "data-pick": token, "aria-pressed": "false", title: why, onclick: () => pick(token, face) },
      canvas, h("span", {}, h("b", {}, title), small ? null : h("small", {}, why)));
  }

  return {
    ask: () => load(data()),
    mark(keys) {
      for (const one of element.querySelectorAll("[data-pick]")) one.setAttribute("aria-pressed", String(keys.has(one.dataset.pick)));
    },
  };
}
