/** A grid of raw pixels. Each tile is a button: one is chosen, arrow keys walk, hovering tells. */
import { h } from "../lib/dom.js";
import { paint } from "../lib/pixels.js";

/** Returns { show(pixels, n, names), choose(i), near(i) }; calls pick(i) and hover(i or null). */
export function imageGrid(host, { label, pick, hover = () => {} }) {
  const grid = h("div", { class: "image-grid", role: "group", "aria-label": label });
  host.append(grid);
  let tiles = [];
  let chosen = 0;

  function columns() {
    return tiles.length > 36 ? 8 : tiles.length > 16 ? 6 : tiles.length > 9 ? 4 : tiles.length > 4 ? 3 : 2;
  }

  grid.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -columns(), ArrowDown: columns() }[event.key];
    const at = tiles.indexOf(document.activeElement);
    if (step === undefined || at < 0) return;
    event.preventDefault();
    const to = at + step;
    if (to < 0 || to >= tiles.length) return;
    tiles[to].focus();
    pick(to);
  });

  function tile(i) {
    return h(
      "button",
      { type: "button", tabindex: -1, onclick: () => pick(i), onpointerenter: () => hover(i), onpointerleave: () => hover(null) },
      h("canvas", { width: 28, height: 28, "aria-hidden": "true" }),
    );
  }

  return {
    show(pixels, n, names) {
      while (tiles.length < n) {
        tiles.push(tile(tiles.length));
        grid.append(tiles.at(-1));
      }
      while (tiles.length > n) tiles.pop().remove();
      grid.style.setProperty("--columns", columns());
      const size = pixels.length / n;
      tiles.forEach((button, i) => {
        paint(button.firstChild, pixels.subarray(i * size, (i + 1) * size));
        button.setAttribute("aria-label", names(i));
      });
      grid.dataset.painted = String(performance.now());
    },
    /** A blink: the same pictures came again. */
    flash() {
      grid.classList.remove("flash");
      void grid.offsetWidth; // lets the animation begin anew
      grid.classList.add("flash");
    },
    choose(i) {
      chosen = i;
      tiles.forEach((button, k) => {
        button.setAttribute("aria-pressed", String(k === chosen));
        button.tabIndex = k === Math.max(0, chosen) ? 0 : -1;
      });
    },
    near(i) {
      tiles.forEach((button, k) => (button.dataset.near = String(k === i)));
    },
  };
}
