/**
 * Three answers to one question, log p(x), against the number of draws they were made of: lines with bands of ± one standard error.
 *
 * Draws from the prior may begin thousands of nats below all else. So the vertical axis has two parts: a fine one that holds what
 * converges, and below a break a coarse one that reaches down to the lowest value. Both are linear, both have their ticks, and how
 * much coarser the lower one is stands in it: where the lines jump can be seen, and so can the few nats between those that agree.
 */
import { spread } from "../latents/probe_plot.js";
import { svg, ticks } from "../latents/rate_plot.js";
import { fill, h, number, within } from "../lib/dom.js";

export const WAYS = ["prior", "elbo", "importance"];
export const FEW = 10; // effective draws below which a standard error, itself made of them, cannot be believed
const LEAST = 2; // nats: the fine part spans that, at least
const SHARE = 0.36; // of the height: the coarse part
const BREAK = 14; // CSS pixels between the two
const LABEL = 34; // CSS pixels between the names of two lines

/** What one line of the stream says of a way: its value, standard error (null where there is none), and what they rest on. */
export function reading(line, way) {
  if (way === "elbo") {
    const known = line.samples > 1 && Number.isFinite(line.elbo_error);
    return { nats: line.elbo, error: known ? line.elbo_error : null, effective: line.samples, largest: 1 / line.samples, trusted: line.samples >= FEW };
  }
  const { nats, error, effective, largest } = line[way];
  return { nats, error: line.samples > 1 && Number.isFinite(error) ? error : null, effective, largest, trusted: effective >= FEW };
}

/** The places after the point that a number with this standard error deserves. */
export function decimals(error) {
  if (!(error > 0)) return 1;
  return Math.max(0, Math.min(4, Math.ceil(-Math.log10(error))));
}

/**
 * The two parts of the axis, in nats: { fine: [low, high], coarse: [low, high] or null }. The fine one holds the bound and the
 * importance weighting as they end, and whatever is higher. `reference`: { nats, error } that belongs in it, or null.
 */
export function parts(lines, reference = null) {
  const all = lines.flatMap((line) => WAYS.map((way) => reading(line, way))).filter(({ nats }) => Number.isFinite(nats));
  const late = lines.slice(Math.floor(lines.length / 2)).flatMap((line) => [reading(line, "elbo"), reading(line, "importance")]);
  const ends = [...late, ...(reference ? [reference] : [])];
  const high = Math.max(...all.map(({ nats, error }) => nats + (error ?? 0)), ...ends.map(({ nats, error }) => nats + (error ?? 0)));
  const low = Math.min(...ends.map(({ nats, error }) => nats - (error ?? 0)));
  const lowest = Math.min(...all.map(({ nats }) => nats));
  const room = Math.max(0.1 * (high - low), (LEAST - (high - low)) / 2, 0.2);
  const fine = [low - room, high + room];
  const below = fine[0] - lowest;
  // What is but a little lower needs no break: the fine part reaches down to it.
  if (below <= (SHARE / (1 - SHARE)) * (fine[1] - fine[0])) return { fine: [Math.min(fine[0], lowest - room), fine[1]], coarse: null };
  return { fine, coarse: [lowest - 0.08 * below, fine[0]] };
}

/** The axis in CSS pixels between `top` and `bottom`: Y(nats), where the parts meet, and how much coarser the lower one is. */
export function axis({ fine, coarse }, top, bottom) {
  const middle = coarse ? bottom - SHARE * (bottom - top) : bottom;
  const along = ([low, high], from, to) => (nats) => from + ((high - nats) / (high - low)) * (to - from);
  const upper = along(fine, top, middle);
  if (!coarse) return { Y: upper, middle, factor: 1 };
  const lower = along(coarse, middle + BREAK, bottom);
  const unit = (span, height) => (span[1] - span[0]) / height; // nats a pixel
  return { Y: (nats) => (nats >= fine[0] ? upper(nats) : lower(nats)), middle, factor: unit(coarse, bottom - middle - BREAK) / unit(fine, middle - top) };
}

/** Round numbers of draws for the axis, from `first` (a power of ten), and its end; none nearer to it than `apart` (their ratio). */
export function draws(most, apart = 2, first = 1) {
  const found = [];
  for (let one = first; apart * one <= most; one *= 10) found.push(one);
  return [...found, most];
}

/**
 * text: plot, x_axis, y_axis, coarser, short (names), signs. choose(i or null): a column is pointed at, null the newest.
 * `set` takes { lines, draws (all that are to come), at (index), reference: { nats, error } or null, said (of a column) }.
 */
export function convergePlot(host, { text, choose }) {
  const drawing = svg("svg", { "aria-hidden": "true" });
  const figure = h("div", {
    class: "ways-plot", role: "slider", tabindex: 0, "aria-label": text.plot, "aria-valuemin": 0,
    onkeydown: (event) => {
      const last = now.lines.length - 1;
      const to = { ArrowLeft: now.at - 1, ArrowDown: now.at - 1, ArrowRight: now.at + 1, ArrowUp: now.at + 1, Home: 0, End: last }[event.key];
      if (to === undefined || event.ctrlKey || event.altKey || event.metaKey) return;
      event.preventDefault();
      choose(to >= last ? null : Math.max(0, to));
    },
    onpointermove: point,
    onpointerdown: point,
    onpointerleave: (event) => event.pointerType === "mouse" && choose(null),
  });
  figure.append(drawing);
  host.append(figure);
  let now = { lines: [], draws: 100, at: 0, reference: null, said: () => "" };
  let X = null;

  function point(event) {
    if (!now.lines.length || !X) return;
    const px = event.clientX - drawing.getBoundingClientRect().left;
    const away = (i) => Math.abs(X(now.lines[i].samples) - px);
    const nearest = now.lines.reduce((best, _, i) => (away(i) < away(best) ? i : best), 0);
    choose(nearest === now.lines.length - 1 ? null : nearest);
  }

  function draw() {
    const width = Math.round(figure.clientWidth);
    if (!width) return;
    const small = width < 520;
    const height = small ? 320 : Math.round(Math.max(320, Math.min(420, 0.42 * width)));
    const [left, right, top, bottom] = [56, width - (small ? 98 : 124), 30, height - 40];
    const first = Math.min(10 ** Math.floor(Math.log10(now.lines[0]?.samples ?? 1)), now.draws / 10); // before it nothing is known
    const decades = Math.log(now.draws / first);
    X = (k) => left + (Math.log(k / first) / decades) * (right - left);
    drawing.setAttribute("viewBox", `0 0 ${width} ${height}`);
    drawing.setAttribute("height", height);
    const pieces = [svg("text", { class: "ink", x: 0, y: 9 }, text.y_axis), svg("text", { class: "middle", x: (left + right) / 2, y: height - 8 }, text.x_axis)];
    const ground = [];
    for (const k of draws(now.draws, Math.exp(Math.min(0.5, 44 / (right - left)) * decades), first)) ground.push(svg("line", { class: "grid", x1: X(k), x2: X(k), y1: top, y2: bottom }), svg("text", { class: "middle", x: X(k), y: bottom + 13 }, number(k, 0)));
    if (now.lines.length) {
      const both = parts(now.lines, now.reference);
      const { Y, middle, factor } = axis(both, top, bottom);
      for (const [part, low, high, n] of [["fine", middle, top, 5], ["coarse", bottom, middle + BREAK, 3]]) {
        if (!both[part]) continue;
        for (const one of ticks(...both[part], n)) {
          if (part === "coarse" && Math.abs(Y(one) - high) < 10) continue; // else it touches the ticks above the break
          if (part === "fine" && both.coarse && Math.abs(Y(one) - low) < 6) continue;
          ground.push(svg("line", { class: "grid", x1: left, x2: right, y1: Y(one), y2: Y(one) }), svg("text", { class: "left", x: left - 6, y: Y(one) }, within(one, one % 1 ? 1 : 0)));
        }
      }
      if (both.coarse) pieces.unshift(...broken(left, right, middle, bottom));
      pieces.push(...ground);
      if (both.coarse) pieces.push(svg("text", { class: "coarser", style: "text-anchor: end", x: right - 6, y: bottom - 8 }, fill(text.coarser, { n: within(factor, factor < 10 ? 1 : 0) })));
      if (now.reference) pieces.push(...referenceLine(now.reference, Y, left, right));
      for (const way of WAYS) pieces.push(curve(way, Y));
      const { samples } = now.lines[now.at];
      if (now.at < now.lines.length - 1) pieces.push(svg("line", { class: "pointed", x1: X(samples), x2: X(samples), y1: top, y2: bottom }));
      pieces.push(...names(Y, right, top, bottom));
      drawing.dataset.shown = String(now.lines.at(-1).samples);
    } else {
      pieces.push(...ground);
      drawing.dataset.shown = "";
    }
    drawing.replaceChildren(...pieces);
    figure.setAttribute("aria-valuemax", String(Math.max(0, now.lines.length - 1)));
    figure.setAttribute("aria-valuenow", String(now.at));
    figure.setAttribute("aria-valuetext", now.lines.length ? now.said(now.at) : "");
  }

  /** The ground of the coarse part, and the break above it. */
  function broken(left, right, middle, bottom) {
    const teeth = Math.max(6, Math.round((right - left) / 18));
    const step = (right - left) / teeth;
    const zigzag = (y) => `M${left} ${y}` + Array.from({ length: teeth }, () => `l${step / 2} -4l${step / 2} 4`).join("");
    return [
      svg("rect", { class: "ground", x: left, y: middle + BREAK - 3, width: right - left, height: bottom - middle - BREAK + 3 }),
      svg("path", { class: "break", "data-part": "break", d: zigzag(middle + 3) }), svg("path", { class: "break", d: zigzag(middle + BREAK - 3) }),
    ];
  }

  function referenceLine({ nats, error }, Y, left, right) {
    const spot = Y(nats);
    return [
      svg("rect", { class: "reference-band", x: left, width: right - left, y: Y(nats + error), height: Math.max(1, Y(nats - error) - Y(nats + error)) }),
      svg("line", { class: "reference", x1: left, x2: right, y1: spot, y2: spot }),
    ];
  }

  /** A line, its band where the standard error may be believed, and thin edges where it may not. */
  function curve(way, Y) {
    const places = now.lines.map((line) => ({ x: X(line.samples), ...reading(line, way) })).filter(({ nats }) => Number.isFinite(nats));
    const path = (list, value) => list.map((one, i) => `${i ? "L" : "M"}${one.x.toFixed(1)} ${Y(value(one)).toFixed(1)}`).join("");
    const group = svg("g", { class: way });
    const [above, below] = [(one) => one.nats + one.error, (one) => one.nats - one.error];
    for (let i = 1; i < places.length; i++) {
      const pair = places.slice(i - 1, i + 1);
      if (pair.some(({ error }) => error === null)) continue;
      if (pair.every(({ trusted }) => trusted)) group.append(svg("path", { class: "band", d: `${path(pair, above)}${path(pair.toReversed(), below).replace("M", "L")}Z` }));
      else for (const edge of [above, below]) group.append(svg("path", { class: "edge", d: path(pair, edge) }));
    }
    const here = reading(now.lines[now.at], way);
    group.append(svg("path", { class: "curve", d: path(places, (one) => one.nats) }));
    if (Number.isFinite(here.nats)) group.append(svg("circle", { cx: X(now.lines[now.at].samples), cy: Y(here.nats), r: 4.5 }));
    return group;
  }

  /** Each line's name and value at the right, joined to its end. */
  function names(Y, right, top, bottom) {
    const last = now.lines.at(-1);
    const shown = WAYS.map((way) => ({ way, ...reading(last, way), from: X(last.samples) + 6 })).filter(({ nats }) => Number.isFinite(nats));
    if (now.reference) shown.push({ way: "refined", nats: now.reference.nats, from: right });
    const wanted = spread(shown.map(({ nats }) => Y(nats)), LABEL);
    const over = Math.max(0, Math.max(...wanted) - (bottom - 8)) || Math.min(0, Math.min(...wanted) - (top + 4));
    return shown.map(({ way, nats, from }, i) => {
      const y = wanted[i] - over;
      return svg("g", { class: way }, svg("path", { class: "lead", d: `M${from} ${Y(nats)}L${right + 4} ${Y(nats)}L${right + 14} ${y}` }),
        svg("text", { class: "name", x: right + 18, y: y - 8 }, text.short[way]), svg("text", { class: "value", x: right + 18, y: y + 8 }, `${text.signs[way]} ${within(nats, 1)}`));
    });
  }

  new ResizeObserver(draw).observe(figure);
  return {
    drawing,
    set(next) {
      now = next;
      draw();
    },
  };
}

const INKED = ["fill", "fill-opacity", "stroke", "stroke-width", "stroke-dasharray", "stroke-linejoin", "opacity", "font", "text-anchor", "dominant-baseline", "paint-order"];

/** A drawing as a PNG, twice as large as it stands, on the ground colour. Its styles come from the page: they are written into a copy. */
export async function pngOf(drawing, ground) {
  const copy = drawing.cloneNode(true);
  const [from, to] = [drawing.querySelectorAll("*"), copy.querySelectorAll("*")];
  from.forEach((element, i) => {
    const style = getComputedStyle(element);
    to[i].setAttribute("style", INKED.map((name) => `${name}:${style.getPropertyValue(name)}`).join(";"));
  });
  const { width, height } = drawing.getBoundingClientRect();
  copy.setAttribute("xmlns", "http://www.w3.org/2000/svg");
  copy.setAttribute("width", 2 * width);
  copy.setAttribute("height", 2 * height);
  const image = new Image();
  image.src = `data:image/svg+xml;charset=utf-8,${encodeURIComponent(new XMLSerializer().serializeToString(copy))}`;
  await image.decode();
  const sheet = new OffscreenCanvas(Math.ceil(2 * width) + 48, Math.ceil(2 * height) + 48);
  const c = sheet.getContext("2d");
  c.fillStyle = ground;
  c.fillRect(0, 0, sheet.width, sheet.height);
  c.drawImage(image, 24, 24);
  return sheet.convertToBlob({ type: "image/png" });
}
