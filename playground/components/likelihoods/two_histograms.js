/**
 * Two sets of pictures on the axis of one score, both with area 1: insiders hatched, outliers filled, each named where it stands.
 * A threshold may stand between them: it is dragged, or moved by the arrow keys, from one edge of the bins to the next, where
 * the counts on both sides are known exactly.
 */
import { number } from "../lib/dom.js";
import { svg, ticks } from "../latents/rate_plot.js";
import { density } from "./trap_scores.js";

const LEGS = { left: 12, right: 12, bottom: 42 }; // CSS pixels around the frame
const HEIGHT = 252;
const ROWS = { insiders: 12, outliers: 32, thrown: 52 }; // names stand on lines of their own, so that close ones do not hide each other
const LETTER = 7.4; // CSS pixels, about
const BIG = 4; // bins that PageUp and PageDown go
const SIDES = ["insiders", "outliers"];

let made = 0; // for names of patterns, which a page shares

/**
 * text: { label, thrown, threshold }; move(at): the threshold was moved to the lower edge of bin `at`. set({ histogram: { edges,
 * insiders, outliers }, live: another or null, labels: { insiders, outliers }, means: { insiders, outliers } or null, axis, at: bin
 * or null, said: what the threshold does, in words }, { animate }).
 */
export function twoHistograms(host, { text, move }) {
  const hatch = `lk-hatch-${++made}`;
  const top = move ? ROWS.thrown + 14 : ROWS.thrown;
  const drawing = svg("svg", { class: "lk-histograms", height: HEIGHT, role: move ? "group" : "img" });
  host.append(drawing);
  let [shown, X, handle, drawn] = [null, null, null, 0];

  const line = (x, from, to, kind) => svg("line", { class: kind, x1: x, x2: x, y1: from, y2: to });

  function draw() {
    const width = Math.round(drawing.clientWidth);
    if (!width || !shown) return;
    const { histogram, live, labels, means, axis } = shown;
    const all = live ? [histogram, live] : [histogram];
    const [low, high] = [Math.min(...all.map(({ edges }) => edges[0])), Math.max(...all.map(({ edges }) => edges.at(-1)))];
    const [bottom, end] = [HEIGHT - LEGS.bottom, width - LEGS.right];
    X = (value) => LEGS.left + Math.max(0, Math.min(1, (value - low) / (high - low || 1))) * (end - LEGS.left); // a mean may lie beyond a cut tail
    const heights = all.map((one) => Object.fromEntries(SIDES.map((side) => [side, density(one[side], one.edges)])));
    const most = Math.max(...heights.flatMap((one) => [...one.insiders, ...one.outliers]));
    const Y = (value) => bottom - (value / most) * (bottom - top);
    const outline = (side, i) => {
      const { edges } = all[i];
      const steps = heights[i][side].map((value, k) => `V${Y(value).toFixed(1)}H${X(edges[k + 1]).toFixed(1)}`);
      return `M${X(edges[0]).toFixed(1)} ${bottom}${steps.join("")}V${bottom}`;
    };

    const pattern = svg("pattern", { id: hatch, width: 6, height: 6, patternUnits: "userSpaceOnUse", patternTransform: "rotate(45)" },
      svg("line", { class: "hatch", x1: 0, x2: 0, y1: 0, y2: 6 }));
    const bars = svg("g", { class: "bars", style: `transform-origin: 0 ${bottom}px` });
    bars.append(svg("path", { class: "insiders", d: outline("insiders", 0), fill: `url(#${hatch})` }), svg("path", { class: "outliers", d: outline("outliers", 0) }));
    if (live) for (const side of SIDES) bars.append(svg("path", { class: `live ${side}`, d: outline(side, 1) }));
    const parts = [svg("defs", {}, pattern), bars, svg("line", { class: "axis", x1: LEGS.left, x2: end, y1: bottom, y2: bottom })];
    for (const at of ticks(low, high, width < 420 ? 4 : 7)) {
      const digits = (String(at).split(".")[1] ?? "").length;
      parts.push(line(X(at), bottom, bottom + 4, "axis"), svg("text", { class: "middle", x: X(at), y: bottom + 14 }, number(at, digits)));
    }
    parts.push(svg("text", { class: "middle axis-name", x: width / 2, y: HEIGHT - 8 }, axis));
    for (const side of SIDES) {
      const values = heights[0][side];
      const peak = values.indexOf(Math.max(...values));
      const x = X(means ? means[side] : (histogram.edges[peak] + histogram.edges[peak + 1]) / 2);
      const half = (LETTER * labels[side].length) / 2;
      const middle = Math.max(half + 2, Math.min(width - half - 2, x)); // a name stays in the picture
      parts.push(line(x, ROWS[side] + 9, means ? bottom : Math.max(ROWS[side] + 9, Y(values[peak]) - 2), `mean ${side}`));
      parts.push(svg("text", { class: `middle name ${side}`, x: middle, y: ROWS[side] }, labels[side]));
    }
    const focused = handle && document.activeElement === handle;
    handle = move ? slider(bottom, end) : null;
    if (handle) parts.push(handle);
    drawn = width;
    drawing.setAttribute("viewBox", `0 0 ${width} ${HEIGHT}`);
    drawing.replaceChildren(...parts);
    if (focused) handle.focus({ preventScroll: true });
  }

  /** The threshold, and all that lies beyond it. */
  function slider(bottom, end) {
    const { edges } = shown.histogram;
    const { at } = shown;
    const x = X(edges[at]);
    const left = end - x < LETTER * text.thrown.length + 16;
    return svg("g", {
      class: "threshold", role: "slider", tabindex: 0, "aria-label": text.threshold, "aria-orientation": "horizontal",
      "aria-valuemin": 0, "aria-valuemax": edges.length - 1, "aria-valuenow": at, "aria-valuetext": shown.said, onkeydown: keys,
    }, svg("rect", { class: "beyond", x, y: ROWS.thrown - 8, width: Math.max(0, end - x), height: bottom - ROWS.thrown + 8 }),
    svg("line", { x1: x, x2: x, y1: ROWS.thrown - 8, y2: bottom }),
    svg("text", { class: left ? "left" : "right", x: left ? x - 8 : x + 8, y: ROWS.thrown }, left ? `${text.thrown} ▸` : `▸ ${text.thrown}`),
    svg("circle", { cx: x, cy: bottom, r: 11 }), svg("path", { class: "grip", d: `M${x - 3} ${bottom - 4}l-4 4 4 4M${x + 3} ${bottom - 4}l4 4-4 4` }));
  }

  const put = (at) => {
    const last = shown.histogram.edges.length - 1;
    const within = Math.max(0, Math.min(last, at));
    if (within !== shown.at) move(within);
  };

  function keys(event) {
    const last = shown.histogram.edges.length - 1;
    const to = { ArrowLeft: shown.at - 1, ArrowDown: shown.at - 1, ArrowRight: shown.at + 1, ArrowUp: shown.at + 1, PageDown: shown.at - BIG, PageUp: shown.at + BIG, Home: 0, End: last }[event.key];
    if (to === undefined || event.ctrlKey || event.altKey || event.metaKey) return;
    event.preventDefault();
    put(to);
  }

  /** To the edge nearest to the pointer. */
  function follow(event) {
    if (!X) return;
    const x = event.clientX - drawing.getBoundingClientRect().left;
    const away = shown.histogram.edges.map((edge) => Math.abs(X(edge) - x));
    put(away.indexOf(Math.min(...away)));
  }

  if (move) {
    let held = null;
    drawing.addEventListener("pointerdown", (event) => {
      if (!shown || event.button) return;
      held = event.pointerId;
      drawing.setPointerCapture(held);
      follow(event);
      handle?.focus({ preventScroll: true });
      event.preventDefault();
    });
    drawing.addEventListener("pointermove", (event) => event.pointerId === held && follow(event));
    for (const end of ["pointerup", "pointercancel"]) drawing.addEventListener(end, () => (held = null));
  }

  new ResizeObserver(() => Math.round(drawing.clientWidth) !== drawn && draw()).observe(drawing); // drawing anew would end what grows
  return {
    drawing,
    set(next, { animate = false } = {}) {
      shown = next;
      drawing.setAttribute("aria-label", next.label);
      draw();
      if (animate && !matchMedia("(prefers-reduced-motion: reduce)").matches)
        drawing.querySelector(".bars")?.animate([{ transform: "scaleY(0)" }, { transform: "scaleY(1)" }], { duration: 180, easing: "ease-out" });
    },
  };
}
