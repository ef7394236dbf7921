/** The pictures of the tray in a row: pressing looks at one, × or Delete takes it out, arrow keys go from one to the next. */
import { fill, h } from "../lib/dom.js";
import { paint } from "../lib/pixels.js";

/** Returns { element, known, show(tiles, chosen) }. Calls look(key) and takeOut(key). `text`: of the tray. */
export function trayStrip({ text, look, takeOut }) {
  const element = h("div", { class: "strip", role: "group", "aria-label": `${text.label}. ${text.keys}`, onkeydown: keys });
  const shown = new Map(); // key -> { box, button, canvas, name, remove, face }
  const known = new Map(); // key -> { pixels, title, why }: what stands in, dimmed, until its picture comes
  let ready = []; // keys that can be looked at

  function tile(key) {
    const canvas = h("canvas", { width: 28, height: 28, "aria-hidden": "true" });
    const name = h("span", {});
    const button = h("button", { type: "button", class: "look", onclick: () => look(key) }, canvas, name);
    const remove = h("button", { type: "button", class: "remove", tabindex: -1, title: text.remove_key, onclick: () => takeOut(key) }, h("span", { "aria-hidden": "true" }, "×"));
    return { box: h("div", { class: "tile", "data-key": key }, button, remove), button, canvas, name, remove, face: null };
  }

  /** tiles: { key, picture } in their order; a picture may be undefined. */
  function show(tiles, chosen) {
    ready = tiles.filter((one) => one.picture).map((one) => one.key);
    const boxes = tiles.map(({ key, picture }) => {
      if (!shown.has(key)) shown.set(key, tile(key));
      const one = shown.get(key);
      if (picture) known.set(key, picture);
      const face = known.get(key);
      if (face && one.face !== face) {
        paint(one.canvas, face.pixels);
        one.name.textContent = face.title;
        one.button.title = face.why ?? "";
        one.remove.setAttribute("aria-label", fill(text.remove, { title: face.title }));
        one.face = face;
      }
      const here = picture !== undefined && picture === chosen;
      one.box.toggleAttribute("aria-busy", !picture);
      one.button.setAttribute("aria-pressed", String(here));
      one.button.tabIndex = here ? 0 : -1;
      return one.box;
    });
    place(boxes, new Set(tiles.map((one) => one.key)));
    const key = chosen?.key ?? "";
    if (key !== element.dataset.chosen && shown.has(key)) bringIntoView(shown.get(key).box);
    element.dataset.chosen = key;
  }

  /** The boxes in this order; the focus stays, or goes to what now stands in its place. */
  function place(boxes, keep) {
    if (boxes.length === element.children.length && boxes.every((box, i) => box === element.children[i])) return;
    const focused = document.activeElement?.closest(".tile");
    const at = [...element.children].indexOf(focused);
    element.replaceChildren(...boxes);
    for (const key of shown.keys()) if (!keep.has(key)) shown.delete(key);
    if (at >= 0) (boxes.includes(focused) ? focused : boxes[Math.min(at, boxes.length - 1)])?.firstChild.focus({ preventScroll: true });
  }

  /** Scrolls the strip alone: the page stays where it is. */
  function bringIntoView(box) {
    const [a, b] = [box.getBoundingClientRect(), element.getBoundingClientRect()];
    element.scrollBy({ left: Math.min(0, a.left - b.left - 8) + Math.max(0, a.right - b.right + 8), top: Math.min(0, a.top - b.top - 8) + Math.max(0, a.bottom - b.bottom + 8) });
  }

  function keys(event) {
    const key = event.target.closest(".tile")?.dataset.key;
    const i = ready.indexOf(key);
    if (i < 0 || event.altKey || event.ctrlKey || event.metaKey) return;
    const to = ready[{ ArrowLeft: i - 1, ArrowRight: i + 1, Home: 0, End: ready.length - 1 }[event.key]];
    if (to !== undefined) {
      look(to);
      shown.get(to).button.focus({ preventScroll: true });
    } else if (event.key === "Delete" || event.key === "Backspace") takeOut(key);
    else return;
    event.preventDefault();
  }

  return { element, known, show };
}
