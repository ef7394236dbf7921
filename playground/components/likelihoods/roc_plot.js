/**
 * ROC curves: of each score, the share of outliers caught (upwards) against the share of insiders thrown out with them (to the
 * right), as the threshold falls. A curve has a dash and a name of its own, beside it; one is marked, and one point of it shown.
 */
import { number } from "../lib/dom.js";
import { svg } from "../latents/rate_plot.js";

const LEGS = { left: 44, right: 14, top: 14, bottom: 44 }; // CSS pixels around the frame
const WIDEST = 440;
const LETTER = 7.8; // CSS pixels, about
const LINE = 16; // of a name
const STEP = 5; // CSS pixels from one place along a curve to the next
const REACH = 28; // CSS pixels within which a curve is meant
export const DASHES = { surprise: "", rank: "1 7", typicality: "12 5", complexity: "7 4", ratio: "12 4 2 4" };
const SIDES = [[10, 12], [-10, -12], [10, -12], [-10, 12], [0, 18], [0, -18]]; // where a name may stand beside a place of its curve

/** Places `STEP` apart along a line of corners ({ x, y }), both ends included. */
export function along(corners) {
  const found = [corners[0]];
  for (let i = 1; i < corners.length; i++) {
    const [from, to] = [corners[i - 1], corners[i]];
    const parts = Math.ceil(Math.hypot(to.x - from.x, to.y - from.y) / STEP);
    for (let k = 1; k <= parts; k++) found.push({ x: from.x + ((to.x - from.x) * k) / parts, y: from.y + ((to.y - from.y) * k) / parts });
  }
  return found;
}

/** Boxes for names, so that none lies on another, on any curve, or out of the frame. curves: [{ name, places }]. */
export function names(curves, frame) {
  const taken = [];
  return curves.map(({ name, places }) => {
    const long = LETTER * name.length;
    let best = { cost: Infinity };
    for (let i = 0; i < places.length; i += 4)
      for (const [dx, dy] of SIDES) {
        const { x, y } = places[i];
        const left = dx > 0 ? x + dx : dx < 0 ? x + dx - long : x - long / 2;
        const box = [left, y + dy - LINE / 2, left + long, y + dy + LINE / 2];
        const out = box[0] < frame[0] + 2 || box[1] < frame[1] + 2 || box[2] > frame[2] - 2 || box[3] > frame[3] - 2;
        const inside = (place) => place.x > box[0] - 3 && place.x < box[2] + 3 && place.y > box[1] - 1 && place.y < box[3] + 1;
        const crossed = curves.reduce((sum, other) => sum + other.places.filter(inside).length, 0);
        const covered = taken.filter((other) => box[0] < other[2] && other[0] < box[2] && box[1] < other[3] && other[1] < box[3]).length;
        const middle = Math.abs(i / places.length - 0.5); // all curves meet at their ends: a name there belongs to none
        const cost = 1000 * out + 200 * covered + 10 * crossed + 4 * middle;
        if (cost < best.cost) best = { cost, box };
      }
    taken.push(best.box);
    return best.box;
  });
}

/**
 * text: { x, y, coin }. point(key or null): a curve is pointed at; choose(key). set({ curves: [{ key, name (null: told elsewhere),
 * fp, tp }], label }); mark(key, { fp, tp }, live: another curve or null): the curve in hand, a point of it, and how it is now.
 */
export function rocPlot(host, { text, point, choose }) {
  const drawing = svg("svg", { class: "lk-roc", role: "img" });
  host.append(drawing);
  let [shown, X, Y, lines, boxes, over, hand] = [null, null, null, [], [], null, null];

  const path = ({ fp, tp }) => fp.map((x, i) => `${i ? "L" : "M"}${X(x).toFixed(1)} ${Y(tp[i]).toFixed(1)}`).join("");

  function draw() {
    const width = Math.min(WIDEST, Math.round(host.clientWidth));
    if (!width || !shown) return;
    const height = width - LEGS.left - LEGS.right + LEGS.top + LEGS.bottom; // one share is as long to the right as upwards
    const [bottom, end] = [height - LEGS.bottom, width - LEGS.right];
    X = (share) => LEGS.left + share * (end - LEGS.left);
    Y = (share) => bottom - share * (bottom - LEGS.top);
    const parts = [];
    for (const share of [0, 0.25, 0.5, 0.75, 1]) {
      parts.push(svg("line", { class: "grid", x1: X(share), x2: X(share), y1: LEGS.top, y2: bottom }), svg("line", { class: "grid", x1: LEGS.left, x2: end, y1: Y(share), y2: Y(share) }));
      parts.push(svg("text", { class: "middle", x: X(share), y: bottom + 14 }, number(100 * share, 0)), svg("text", { class: "left", x: LEGS.left - 6, y: Y(share) }, number(100 * share, 0)));
    }
    parts.push(svg("text", { class: "middle axis-name", x: (LEGS.left + end) / 2, y: height - 8 }, text.x),
      svg("text", { class: "middle axis-name", transform: `translate(8 ${(bottom + LEGS.top) / 2}) rotate(-90)` }, text.y),
      svg("line", { class: "coin", x1: X(0), x2: X(1), y1: Y(0), y2: Y(1) }));
    lines = shown.curves.map((curve) => {
      const corners = curve.fp.map((x, i) => ({ x: X(x), y: Y(curve.tp[i]) }));
      return { ...curve, places: along(corners) };
    });
    const coin = { name: text.coin, places: along([{ x: X(0), y: Y(0) }, { x: X(1), y: Y(1) }]) };
    const labelled = [...lines.filter(({ name }) => name), coin];
    boxes = names(labelled, [LEGS.left, LEGS.top, end, bottom]).map((box, i) => ({ key: labelled[i].key, box }));
    for (const curve of lines) parts.push(svg("path", { class: `curve ${curve.key}`, "data-curve": curve.key, "stroke-dasharray": DASHES[curve.key], d: path(curve) }));
    over = svg("g", {});
    parts.push(over);
    labelled.forEach(({ key, name }, i) =>
      parts.push(svg("text", { class: `name ${key ?? "coin-name"}`, x: boxes[i].box[0], y: (boxes[i].box[1] + boxes[i].box[3]) / 2, ...(key ? { "data-name": key } : {}) }, name)));
    drawing.setAttribute("viewBox", `0 0 ${width} ${height}`);
    drawing.setAttribute("width", width);
    drawing.setAttribute("height", height);
    drawing.replaceChildren(...parts);
    show();
  }

  function show() {
    if (!over || !hand) return;
    const { key, at, live } = hand;
    for (const one of drawing.querySelectorAll("[data-curve], [data-name]")) one.classList.toggle("on", (one.dataset.curve ?? one.dataset.name) === key);
    const line = drawing.querySelector(`[data-curve="${key}"]`);
    if (line) over.before(line); // on top of the others
    const [x, y] = [X(at.fp), Y(at.tp)];
    over.replaceChildren(...(live ? [svg("path", { class: "curve live", d: path(live) })] : []), svg("line", { class: "drop", x1: x, x2: x, y1: y, y2: Y(0) }),
      svg("line", { class: "drop", x1: X(0), x2: x, y1: y, y2: y }), svg("circle", { cx: x, cy: y, r: 7, "data-point": "threshold" }));
  }

  /** The curve whose name is there, or the nearest within reach of a hand, or null. */
  function nearest(event) {
    if (!X) return null;
    const frame = drawing.getBoundingClientRect();
    const [x, y] = [event.clientX - frame.left, event.clientY - frame.top];
    const named = boxes.find(({ key, box }) => key && x >= box[0] && x <= box[2] && y >= box[1] && y <= box[3]);
    if (named) return named.key;
    const far = lines.map(({ places }) => Math.min(...places.map((place) => Math.hypot(place.x - x, place.y - y))));
    const least = Math.min(...far);
    return least <= REACH ? lines[far.indexOf(least)].key : null;
  }

  drawing.addEventListener("pointermove", (event) => event.pointerType === "mouse" && point(nearest(event)));
  drawing.addEventListener("pointerleave", (event) => event.pointerType === "mouse" && point(null));
  drawing.addEventListener("click", (event) => {
    const key = nearest(event);
    if (key) choose(key);
  });

  new ResizeObserver(() => Math.min(WIDEST, Math.round(host.clientWidth)) !== Number(drawing.getAttribute("width")) && draw()).observe(host);
  return {
    drawing,
    set(next) {
      shown = next;
      drawing.setAttribute("aria-label", next.label);
      draw();
    },
    mark(key, at, live = null) {
      hand = { key, at, live };
      show();
    },
  };
}

const STYLES = ["fill", "stroke", "stroke-width", "stroke-dasharray", "opacity", "font", "text-anchor", "dominant-baseline", "paint-order", "stroke-linejoin", "stroke-linecap"];

/** An SVG as it looks on the page, on the colour `ground`, twice as large: a PNG. */
export async function svgPng(drawing, ground) {
  const copy = drawing.cloneNode(true);
  const [from, to] = [drawing, copy].map((one) => [one, ...one.querySelectorAll("*")]);
  from.forEach((one, i) => {
    const style = getComputedStyle(one);
    for (const name of STYLES) to[i].style.setProperty(name, style.getPropertyValue(name));
  });
  copy.setAttribute("xmlns", "http://www.w3.org/2000/svg");
  const [width, height] = ["width", "height"].map((side) => 2 * Number(drawing.getAttribute(side)));
  copy.setAttribute("width", width);
  copy.setAttribute("height", height);
  const image = new Image();
  image.src = `data:image/svg+xml;charset=utf-8,${encodeURIComponent(new XMLSerializer().serializeToString(copy))}`;
  await image.decode();
  const canvas = new OffscreenCanvas(width, height);
  const c = canvas.getContext("2d");
  c.fillStyle = ground;
  c.fillRect(0, 0, width, height);
  c.drawImage(image, 0, 0);
  return canvas.convertToBlob({ type: "image/png" });
}
