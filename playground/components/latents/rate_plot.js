/**
 * Rate and distortion: each model a point, its KL to the right and −E[log p(x|z)] upwards, in nats. ELBO = −(rate + distortion),
 * so all points of equal ELBO lie on a straight line of slope −1 (Alemi et al. 2018, "Fixing a broken ELBO"). A training
 * with β counts rate β-fold: what it holds for equally good lies on a line of slope −β.
 */
import { fill, h, number } from "../lib/dom.js";

const LEGS = { left: 58, right: 16, top: 16, bottom: 40 }; // CSS pixels around the frame
const AROUND = [[12, 0], [-12, 0], [0, -15], [0, 15], [11, -12], [11, 12], [-11, -12], [-11, 12], [24, -16], [-24, 16]]; // where a name may stand
const LETTER = 7.2; // CSS pixels, about
const PARALLELS = 4;
const REACH = 24; // CSS pixels within which a point is meant

export function svg(tag, attributes = {}, ...children) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value);
  }
  element.append(...children);
  return element;
}

/** Round numbers within [low, high], about `n` of them. */
export function ticks(low, high, n = 4) {
  const rough = (high - low) / n;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].find((one) => one * power >= rough) * power;
  const found = [];
  for (let at = Math.ceil(low / step); at * step <= high; at++) found.push(Number((at * step).toPrecision(12)));
  return found;
}

/** Axes that hold all `points` ({ rate, distortion }): the rate from 0, both linear, so that lines stay lines. */
export function frameOf(points, width, height) {
  const rates = points.map((one) => one.rate);
  const distortions = points.map((one) => one.distortion);
  const high = Math.max(...distortions);
  const low = Math.min(...distortions);
  const room = Math.max(0.12 * (high - low), 1);
  const frame = { rate: [0, 1.1 * Math.max(...rates, 1)], distortion: [low - room, high + room], width, height };
  const [wide, tall] = [width - LEGS.left - LEGS.right, height - LEGS.top - LEGS.bottom];
  frame.X = (rate) => LEGS.left + ((rate - frame.rate[0]) / (frame.rate[1] - frame.rate[0])) * wide;
  frame.Y = (distortion) => LEGS.top + ((frame.distortion[1] - distortion) / (frame.distortion[1] - frame.distortion[0])) * tall;
  return frame;
}

/** The line through a point ({ rate, distortion }) with a slope below 0, as far as the frame goes: two points, or null. */
export function lineThrough({ rate, distortion }, slope, frame) {
  const [low, high] = frame.distortion;
  const first = Math.max(frame.rate[0], rate + (high - distortion) / slope);
  const last = Math.min(frame.rate[1], rate + (low - distortion) / slope);
  if (!(last > first)) return null;
  return [first, last].map((r) => ({ rate: r, distortion: distortion + slope * (r - rate) }));
}

/** Where names stand, so that none covers a point or another name: an offset for each of `points` ({ x, y, name }). */
export function places(points, frame) {
  const taken = points.map(({ x, y }) => [x - 9, y - 9, x + 9, y + 9]);
  return points.map(({ x, y, name }) => {
    const long = LETTER * name.length;
    const boxes = AROUND.map(([dx, dy]) => {
      const left = dx > 0 ? x + dx : dx < 0 ? x + dx - long : x - long / 2;
      return [left, y + dy - 8, left + long, y + dy + 8];
    });
    const cost = (box) => taken.reduce((sum, other) => sum + overlap(box, other), 0)
      + (box[0] < LEGS.left || box[2] > frame.width || box[1] < 0 || box[3] > frame.height - LEGS.bottom ? 1000 : 0);
    const costs = boxes.map(cost);
    const best = costs.indexOf(Math.min(...costs));
    taken.push(boxes[best]);
    return AROUND[best];
  });
}

const overlap = (a, b) => Math.max(0, Math.min(a[2], b[2]) - Math.max(a[0], b[0])) * Math.max(0, Math.min(a[3], b[3]) - Math.max(a[1], b[1]));

/**
 * point(key or null): a model is pointed at; choose(key): one is chosen. `set` takes models, { key, name, rate, distortion, elbo,
 * slope (of its own loss's lines, or null), mig, seeds: [{ seed, rate, distortion, elbo, mig }] }; `mark(key)` shows one of them.
 */
export function ratePlot(host, { text, point, choose }) {
  const drawing = svg("svg", { role: "group", "aria-label": text.plot });
  const reading = h("p", { class: "soft", "data-reading": "point" });
  host.append(drawing, reading);
  let [models, marked, frame, over] = [[], null, null, null];

  function draw() {
    const width = Math.round(drawing.clientWidth);
    if (!width || !models.length) return;
    const height = Math.round(Math.max(260, Math.min(380, 0.8 * width)));
    const all = models.flatMap((one) => [one, ...one.seeds]);
    frame = frameOf(all, width, height);
    const { X, Y } = frame;
    const [bottom, end] = [height - LEGS.bottom, width - LEGS.right];
    const parts = [];
    for (const one of ticks(...frame.rate)) parts.push(svg("line", { class: "grid", x1: X(one), x2: X(one), y1: LEGS.top, y2: bottom }), svg("text", { class: "middle", x: X(one), y: bottom + 12 }, number(one, one % 1 ? 1 : 0)));
    for (const one of ticks(...frame.distortion)) parts.push(svg("line", { class: "grid", x1: LEGS.left, x2: end, y1: Y(one), y2: Y(one) }), svg("text", { class: "left", x: LEGS.left - 6, y: Y(one) }, number(one, one % 1 ? 1 : 0)));
    parts.push(svg("text", { class: "middle kl", x: (LEGS.left + end) / 2, y: height - 9 }, text.rate_axis), svg("text", { class: "p", x: 2, y: 7 }, text.distortion_axis));

    const best = all.reduce((a, b) => (b.elbo > a.elbo ? b : a));
    const step = (frame.distortion[1] - frame.distortion[0] + frame.rate[1]) / (PARALLELS + 1);
    for (let k = -PARALLELS; k <= PARALLELS; k++) {
      const ends = lineThrough({ rate: best.rate, distortion: best.distortion + k * step }, -1, frame);
      if (!ends) continue;
      const line = svg("line", { class: k ? "parallel" : "best", ...across(ends) });
      if (!k) line.dataset.line = "elbo";
      parts.push(line);
    }
    over = svg("g", { "aria-hidden": "true" });
    parts.push(over);
    for (const one of models)
      for (const other of one.seeds) parts.push(dot(one, other));
    const names = places(models.map((one) => ({ x: X(one.rate), y: Y(one.distortion), name: one.name })), frame);
    models.forEach((one, i) => parts.push(mark(one, names[i])));
    drawing.setAttribute("viewBox", `0 0 ${width} ${height}`);
    drawing.setAttribute("height", height);
    const focused = drawing.querySelector("[data-point]:focus")?.dataset.point;
    drawing.replaceChildren(...parts);
    if (focused) drawing.querySelector(`[data-point="${focused}"]`)?.focus();
    show();
  }

  const across = ([a, b]) => ({ x1: frame.X(a.rate), y1: frame.Y(a.distortion), x2: frame.X(b.rate), y2: frame.Y(b.distortion) });

  /** A model: circle, or diamond if its objective has no slope in this plane. */
  function mark(one, [dx, dy]) {
    const [x, y] = [frame.X(one.rate), frame.Y(one.distortion)];
    const shape = one.slope === null ? svg("path", { d: `M${x} ${y - 8}L${x + 8} ${y}L${x} ${y + 8}L${x - 8} ${y}Z` }) : svg("circle", { cx: x, cy: y, r: 6.5 });
    return svg("g", {
      class: "point", "data-point": one.key, tabindex: 0, role: "button", "aria-label": said(one),
      onfocus: () => found({ model: one }), onblur: () => found(null),
      onkeydown: (event) => {
        if (event.key !== "Enter" && event.key !== " ") return;
        event.preventDefault();
        event.stopPropagation();
        choose(one.key);
      },
    }, svg("circle", { class: "ring", cx: x, cy: y, r: 12 }), shape,
    svg("text", { class: `name ${dx > 0 ? "" : dx < 0 ? "left" : "middle"}`, x: x + dx, y: y + dy }, one.name));
  }

  /** Another seed of a model, joined to it. */
  function dot(model, seed) {
    const [x, y] = [frame.X(seed.rate), frame.Y(seed.distortion)];
    return svg("g", {
      class: "seed", "data-seed": `${model.key}-${seed.seed}`, tabindex: 0, role: "img", "aria-label": saidOfSeed(model, seed),
      onfocus: () => found({ model, seed }), onblur: () => found(null),
    }, svg("line", { x1: x, y1: y, x2: frame.X(model.rate), y2: frame.Y(model.distortion) }), svg("circle", { class: "ring", cx: x, cy: y, r: 9 }), svg("circle", { cx: x, cy: y, r: 4 }));
  }

  /** The nearest of all points within reach of a hand, for points may lie close together; else the one whose name is there. */
  function nearest(event) {
    if (!frame) return null;
    const box = drawing.getBoundingClientRect();
    const away = ({ rate, distortion }) => Math.hypot(frame.X(rate) - event.clientX + box.left, frame.Y(distortion) - event.clientY + box.top);
    const all = models.flatMap((model) => [{ model, far: away(model) }, ...model.seeds.map((seed) => ({ model, seed, far: away(seed) }))]);
    const best = all.reduce((a, b) => (b.far < a.far ? b : a), { far: REACH });
    if (best.model) return best;
    const named = event.target.closest("[data-point]")?.dataset.point;
    return named ? { model: models.find((model) => model.key === named) } : null;
  }

  function found(one) {
    point(one?.model.key ?? null);
    if (one) reading.textContent = one.seed ? saidOfSeed(one.model, one.seed) : said(one.model);
  }

  drawing.addEventListener("pointermove", (event) => event.pointerType === "mouse" && found(nearest(event)));
  drawing.addEventListener("pointerleave", (event) => event.pointerType === "mouse" && found(null));
  drawing.addEventListener("click", (event) => {
    const one = nearest(event);
    if (!one) return;
    choose(one.model.key);
    found(one);
    if (event.pointerType !== "mouse") point(null);
    if (one.seed) reading.textContent = saidOfSeed(one.model, one.seed);
  });

  const said = ({ name, rate, distortion, elbo }) => fill(text.point, { name, kl: number(rate, 1), distortion: number(distortion, 1), elbo: number(elbo, 1) });
  const saidOfSeed = (model, seed) => fill(text.point_seed, { seed: seed.seed, point: said({ ...seed, name: model.name }) });

  /** The marked model: lines to both axes, and the line of its own loss. */
  function show() {
    if (!frame) return;
    for (const group of drawing.querySelectorAll("[data-point]")) {
      const on = group.dataset.point === marked;
      group.classList.toggle("on", on);
      group.setAttribute("aria-pressed", String(on));
    }
    const one = models.find((model) => model.key === marked);
    reading.textContent = one ? said(one) : "";
    if (!one) return over.replaceChildren();
    const [x, y] = [frame.X(one.rate), frame.Y(one.distortion)];
    const parts = [
      svg("line", { class: "down", x1: x, x2: x, y1: y, y2: frame.height - LEGS.bottom }),
      svg("line", { class: "across", x1: LEGS.left, x2: x, y1: y, y2: y }),
    ];
    const own = one.slope === null || one.slope === -1 ? null : lineThrough(one, one.slope, frame);
    if (own) parts.push(svg("line", { class: "own", "data-line": "own", ...across(own) }));
    over.replaceChildren(...parts);
  }

  new ResizeObserver(draw).observe(drawing);
  return {
    drawing,
    set(next) {
      models = next;
      draw();
    },
    mark(key) {
      marked = key;
      show();
    },
  };
}
