/**
 * Accuracy against labels a class, on a logarithmic axis: a curve for each kind of features, with a bar of one standard deviation.
 * One column is pointed at, by the pointer or the arrow keys; its numbers are told by the caller.
 */
import { fill, h, number } from "../lib/dom.js";

const HEIGHT = 300; // CSS pixels
const EDGE = { left: 48, right: 68, top: 12, bottom: 44 };
const APART = 5; // between the bars of one column, so that they do not hide each other
const MARKS = {
  pixels: "M-4.5-4.5h9v9h-9z",
  pca: "M0-6 5.5 4.5h-11z",
  ae: "M0-6 6 0 0 6-6 0z",
  vae: "M5 0A5 5 0 1 1-5 0 5 5 0 0 1 5 0z",
};

function svg(tag, attributes = {}, ...children) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

/** Heights of labels, `gap` apart at least, as near to where they belong as that allows; in the order of `wanted`. */
export function spread(wanted, gap) {
  const order = wanted.map((_, i) => i).sort((a, b) => wanted[a] - wanted[b]);
  const groups = []; // neighbours that touch, moved together
  for (const i of order) {
    groups.push({ members: [i], middle: wanted[i] });
    for (;;) {
      const [one, other] = groups.slice(-2);
      if (!other || other.middle - ((other.members.length - 1) * gap) / 2 - (one.middle + ((one.members.length - 1) * gap) / 2) >= gap) break;
      const members = [...one.members, ...other.members];
      groups.splice(-2, 2, { members, middle: members.reduce((sum, k) => sum + wanted[k], 0) / members.length });
    }
  }
  const found = [];
  for (const { members, middle } of groups) members.forEach((k, j) => (found[k] = middle + (j - (members.length - 1) / 2) * gap));
  return found;
}

/** text: label, x_axis, features (names). recording: see playground/latent_probe.py. choose(i): a column is pointed at. */
export function probePlot(host, { text, recording, choose }) {
  const { per_class: counts, curves } = recording;
  const lowest = Math.min(...curves.flatMap(({ mean, std }) => mean.map((v, i) => v - std[i])));
  const low = Math.max(0, Math.floor(10 * lowest) / 10);
  const [first, last] = [Math.log(counts[0]), Math.log(counts.at(-1))];
  let width = 0; // CSS pixels: what is written keeps its size
  let at = 0;
  const x = (count) => EDGE.left + 20 + ((Math.log(count) - first) / Math.max(1e-9, last - first)) * (width - EDGE.left - EDGE.right - 32);
  const y = (share) => EDGE.top + ((1 - share) / (1 - low)) * (HEIGHT - EDGE.top - EDGE.bottom);

  const column = svg("rect", { class: "column", y: EDGE.top, height: HEIGHT - EDGE.top - EDGE.bottom, width: 36, rx: 4 });
  const drawing = svg("svg", { height: HEIGHT, "aria-hidden": "true" });
  const figure = h("div", {
    class: "lt-probe", role: "slider", tabindex: 0, "aria-label": text.label, "aria-valuemin": 0, "aria-valuemax": counts.length - 1,
    onkeydown: (event) => {
      const to = { ArrowLeft: at - 1, ArrowDown: at - 1, ArrowRight: at + 1, ArrowUp: at + 1, Home: 0, End: counts.length - 1 }[event.key];
      if (to === undefined) return;
      event.preventDefault();
      go(to);
    },
    onpointermove: point,
    onpointerdown: point,
  });
  figure.append(drawing);
  host.append(figure);
  new ResizeObserver(() => {
    if (!figure.clientWidth || figure.clientWidth === width) return;
    width = figure.clientWidth;
    draw();
  }).observe(figure);

  function draw() {
    drawing.setAttribute("viewBox", `0 0 ${width} ${HEIGHT}`);
    drawing.replaceChildren(column);
    for (let tenth = Math.round(10 * low); tenth <= 10; tenth++) {
      drawing.append(svg("line", { class: "grid", x1: EDGE.left, x2: width - EDGE.right, y1: y(tenth / 10), y2: y(tenth / 10) }));
      if (tenth % 2 === 0) drawing.append(svg("text", { class: "left", x: EDGE.left - 8, y: y(tenth / 10) }, `${10 * tenth} %`));
    }
    for (const count of counts) drawing.append(svg("text", { class: "middle", x: x(count), y: HEIGHT - EDGE.bottom + 14 }, String(count)));
    drawing.append(svg("text", { class: "middle", x: (EDGE.left + width - EDGE.right) / 2, y: HEIGHT - 8 }, text.x_axis));
    const heights = spread(curves.map(({ mean }) => y(mean.at(-1))), 17);
    const apart = width < 480 ? 3 : APART;
    curves.forEach(({ features, mean, std }, k) => {
      const places = counts.map((count, i) => [x(count) + (k - (curves.length - 1) / 2) * apart, mean[i], std[i]]);
      const group = svg("g", { class: features });
      for (const [px, value, error] of places) group.append(svg("line", { class: "error", x1: px, x2: px, y1: y(Math.min(1, value + error)), y2: y(value - error) }));
      group.append(svg("path", { class: "curve", d: places.map(([px, value], i) => `${i ? "L" : "M"}${px.toFixed(1)} ${y(value).toFixed(1)}`).join("") }));
      for (const [px, value] of places) group.append(svg("path", { class: "mark", d: MARKS[features], transform: `translate(${px} ${y(value)})` }));
      const [px, value] = places.at(-1);
      const edge = width - EDGE.right + 12;
      group.append(svg("path", { class: "lead", d: `M${px + 8} ${y(value)}L${edge} ${heights[k]}` }),
        svg("text", { class: "name", x: edge + 4, y: heights[k] }, text.features[features]));
      drawing.append(group);
    });
    go(at);
  }

  function point(event) {
    const px = event.clientX - drawing.getBoundingClientRect().left;
    go(counts.reduce((best, count, i) => (Math.abs(x(count) - px) < Math.abs(x(counts[best]) - px) ? i : best), 0));
  }

  function go(next) {
    at = Math.max(0, Math.min(counts.length - 1, next));
    if (width) column.setAttribute("x", x(counts[at]) - 18);
    figure.setAttribute("aria-valuenow", String(at));
    figure.setAttribute("aria-valuetext", said(at));
    choose(at);
  }

  /** All numbers of a column, in words. */
  function said(i) {
    const each = curves.map(({ features, mean, std }) => fill(text.value, { name: text.features[features], mean: number(100 * mean[i], 1), std: number(100 * std[i], 1) }));
    return fill(counts[i] === 1 ? text.column_one : text.column, { n: counts[i], values: each.join(", ") });
  }

  return { go };
}
