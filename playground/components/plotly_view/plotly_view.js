/**
 * A Plotly figure that keeps its zoom when it is drawn again, follows the page's colours and the size of its box, and says what is
 * clicked and pointed at. What moves many times a second is not Plotly's: `mark(x)` shifts one thin line over the figure.
 *
 * Its height is the layout's, if that says one, or else that of its box (CSS).
 */
import { newest } from "../lib/api.js";
import { colour, h, onTheme } from "../lib/dom.js";
import { load } from "./load.js";
import { themed } from "./theming.js";

const CONFIG = {
  displaylogo: false, responsive: false, scrollZoom: false, showTips: false,
  showSendToCloud: false, plotlyServerURL: "", topojsonURL: "/", // nothing is asked of, or sent to, another host
  modeBarButtonsToRemove: ["select2d", "lasso2d", "autoScale2d"],
};
const SAID = { loading: "The figure is on its way.", failed: "The figure cannot be drawn: its library did not load. Reload the page to try again." };

/** The point of an event, in plain words: index is a number, or [row, column] where z is a grid. */
export function point({ curveNumber, pointNumber, x, y, z, customdata }) {
  return { curve: curveNumber, index: pointNumber, x, y, z, customdata };
}

/** Draws into `host`. `label`: what the figure shows, for those who do not see it. */
export function plotlyView(host, { label, click = () => {}, hover = () => {}, text = {} }) {
  const says = { ...SAID, ...text };
  const figure = h("div", { class: "plotly-figure", role: "img", "aria-label": label });
  const line = h("i", { class: "plotly-mark", "aria-hidden": "true", hidden: true });
  const notice = h("p", { class: "plotly-notice soft", role: "status" });
  const box = h("div", { class: "plotly-view" }, figure, line, notice);
  const coarse = matchMedia("(pointer: coarse)");
  host.append(box);
  let wanted = null; // what draw() was told last
  let marked = null; // where the line is to stand
  let drawn = false;
  let pending = 0; // the frame of the screen in which it is drawn next
  let working = false;
  let removed = false;
  let hovering = false;
  let gone = false; // is the mouse elsewhere?
  let size = ""; // of what is drawn

  const paint = newest(async () => {
    working = true;
    try {
      await react();
    } finally {
      working = false;
    }
  });

  async function react() {
    if (!box.clientWidth) return; // not on the screen: drawn when it comes there
    if (!drawn) notice.textContent = says.loading;
    let Plotly;
    try {
      Plotly = await load();
    } catch (error) {
      notice.textContent = says.failed;
      box.dataset.failed = error.message;
      return;
    }
    if (removed || !box.clientWidth) return;
    const zoom = box.currentCSSZoom ?? 1;
    const [traces, layout] = wanted;
    box.style.height = layout.height ? `${layout.height}px` : "";
    const [width, height] = [box.clientWidth, box.clientHeight].map((side) => Math.floor(side * zoom));
    figure.style.zoom = 1 / zoom; // Plotly reads the pointer in pixels of the screen, so a figure within an enlarged page is not
    size = `${box.clientWidth} ${box.clientHeight} ${zoom}`;
    const made = themed(traces, layout, { read: (name) => colour(box, name), width, height, zoom, touch: coarse.matches });
    const touch = { displayModeBar: false, doubleClick: false }; // where a finger scrolls, there is no zoom to undo
    await Plotly.react(figure, made.traces, made.layout, coarse.matches ? { ...CONFIG, ...touch } : CONFIG);
    if (removed) return Plotly.purge(figure);
    if (!drawn) listen();
    drawn = true;
    notice.hidden = true;
    delete box.dataset.failed;
    box.dataset.drawn = performance.now();
    place();
  }

  /** Says what is pointed at; that it is nothing any more, once. */
  function tell(found) {
    if (found || hovering) hover(found);
    hovering = Boolean(found);
  }
  // Plotly looks for points some milliseconds late, and may find one that a quick mouse has left.
  box.addEventListener("pointerenter", () => (gone = false));
  box.addEventListener("pointerleave", (event) => {
    gone = event.pointerType === "mouse";
    if (gone) tell(null);
  });

  function listen() {
    figure.on("plotly_click", ({ points }) => click(point(points[0])));
    figure.on("plotly_hover", ({ points }) => !gone && tell(point(points[0])));
    figure.on("plotly_unhover", () => tell(null));
    for (const event of ["plotly_afterplot", "plotly_relayouting", "plotly_relayout"]) figure.on(event, place);
  }

  /** Puts the line at its place on the first subplot as it is now, zoomed or not. */
  function place() {
    const { xaxis, yaxis } = figure._fullLayout ?? {};
    const at = xaxis && marked !== null ? xaxis.d2p(marked) : NaN;
    line.hidden = !(at >= 0 && at <= xaxis._length); // also where there is no such number
    if (line.hidden) return;
    const zoom = Number(figure.style.zoom) || 1;
    line.style.transform = `translate(${(xaxis._offset + at) * zoom}px, ${yaxis._offset * zoom}px) translateX(-50%)`;
    line.style.height = `${yaxis._length * zoom}px`;
  }

  function schedule() {
    if (!wanted || removed) return;
    pending ||= requestAnimationFrame(() => {
      pending = 0;
      paint();
    });
  }

  const sizes = new ResizeObserver(() => {
    if (size !== `${box.clientWidth} ${box.clientHeight} ${box.currentCSSZoom ?? 1}`) schedule();
  });
  sizes.observe(box);
  const forgetTheme = onTheme(schedule);
  coarse.addEventListener("change", schedule);

  return {
    /** Draws, or draws again. Only the newest figure counts where they come faster than they can be drawn. */
    draw(traces, layout = {}) {
      wanted = [traces, layout];
      schedule();
    },
    /** A thin line at x on the first subplot; null: none. Cheap enough for every frame. */
    mark(x) {
      marked = x;
      place();
    },
    /** As on the screen. */
    async png() {
      const Plotly = await load();
      return (await fetch(await Plotly.toImage(figure, { format: "png", width: box.clientWidth, height: box.clientHeight }))).blob();
    },
    /** Is something still to be drawn? */
    busy: () => pending !== 0 || working,
    remove() {
      removed = true;
      cancelAnimationFrame(pending);
      pending = 0;
      sizes.disconnect();
      forgetTheme();
      coarse.removeEventListener("change", schedule);
      if (drawn) load().then((Plotly) => Plotly.purge(figure), () => {});
      box.remove();
    },
  };
}
