/**
 * An image that is being written, pixel by pixel, on one canvas. Each pixel is a block of whole device pixels, so that edges are
 * crisp at every size; what is not written yet is paper with a dot for each pixel to come, which no grey can be mistaken for.
 *
 * Over it lies what is asked about: the pixel in hand and the one pointed at, what that one could see and what it was blind to
 * (van den Oord et al. 2016: masked convolutions never look at some of the pixels that came before), what was given, and what a
 * hand has changed. Or the picture shows, in place of its greys, how many bits each pixel has cost.
 *
 * The canvas holds no settings: it says where it is pointed at, and draws what it is told.
 */
import { colour, h, number, oncePerFrame, onTheme } from "../lib/dom.js";

const SLOP = 8; // css pixels that a finger goes sideways before it points instead of scrolling
const TINT = 76; // how much of 255 what could be seen is lightened, in the strongest of the three colours

// --- Heat --------------------------------------------------------------------------------------------------------------------
// From the ground of the page (its token --hover) through the red of surprise to the far end of lightness. Lightness only ever
// falls (or, in the dark, rises), and equal steps lie equally far apart in OKLab (Ottosson 2020).
const STOPS = {
  light: ["#f3f1ec", "#f5c6a0", "#e8836b", "#c23b4d", "#7a1f50", "#2b0f2e"],
  dark: ["#252a32", "#59294a", "#a53a5c", "#ff7b8a", "#ffc38f", "#fff6d8"],
};

const bytes = (hex) => (hex.length < 6 ? [...hex.slice(1)].map((d) => parseInt(d + d, 16)) : [1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16)));
const linear = (byte) => (byte > 10.31475 ? ((byte / 255 + 0.055) / 1.055) ** 2.4 : byte / 3294.6);
const encoded = (light) => Math.round(255 * Math.min(1, Math.max(0, light > 0.0031308 ? 1.055 * light ** (1 / 2.4) - 0.055 : 12.92 * light)));

function toOklab(rgb) {
  const [r, g, b] = rgb.map(linear);
  const l = Math.cbrt(0.4122214708 * r + 0.5363325363 * g + 0.0514459929 * b);
  const m = Math.cbrt(0.2119034982 * r + 0.6806995451 * g + 0.1073969566 * b);
  const s = Math.cbrt(0.0883024619 * r + 0.2817188376 * g + 0.6299787005 * b);
  return [0.2104542553 * l + 0.793617785 * m - 0.0040720468 * s, 1.9779984951 * l - 2.428592205 * m + 0.4505937099 * s, 0.0259040371 * l + 0.7827717662 * m - 0.808675766 * s];
}

function fromOklab([L, a, b]) {
  const l = (L + 0.3963377774 * a + 0.2158037573 * b) ** 3;
  const m = (L - 0.1055613458 * a - 0.0638541728 * b) ** 3;
  const s = (L - 0.0894841775 * a - 1.291485548 * b) ** 3;
  return [4.0767416621 * l - 3.3077115913 * m + 0.2309699292 * s, -1.2684380046 * l + 2.6097574011 * m - 0.3413193965 * s, -0.0041960863 * l - 0.7034186147 * m + 1.707614701 * s].map(encoded);
}

/** 256 colours along the stops, equally far apart. */
function scaleOf(stops) {
  const labs = stops.map((hex) => toOklab(bytes(hex)));
  const lengths = labs.slice(1).map((lab, k) => Math.hypot(...lab.map((v, i) => v - labs[k][i])));
  const whole = lengths.reduce((a, b) => a + b);
  return Array.from({ length: 256 }, (_, i) => {
    let along = (whole * i) / 255;
    let k = 0;
    while (k < lengths.length - 1 && along > lengths[k]) along -= lengths[k++];
    return fromOklab(labs[k].map((v, j) => v + (labs[k + 1][j] - v) * Math.min(1, along / lengths[k])));
  });
}

const HEAT = { light: scaleOf(STOPS.light), dark: scaleOf(STOPS.dark) };
const isDark = () => document.body.classList.contains("dark");

/** The colour [r, g, b] of so many bits: 0 is the ground, `scale` bits or more (a value that was impossible: ∞) the far end. */
export function heat(bits, scale, dark) {
  const share = Math.min(1, Math.max(0, bits / scale)) || 0; // what is not a number has no surprise to show
  return HEAT[dark ? "dark" : "light"][Math.round(255 * share)];
}

/** What the colours mean: a bar with three ticks. Returns { draw({ scale, unit }), element, destroy() }. */
export function heatLegend(host, { scale, unit }) {
  const bar = h("i", {});
  const ticks = [0, 1, 2].map(() => h("span", {}));
  const element = h("div", { class: "heat-legend", role: "img" }, bar, ...ticks);
  host.append(element);

  function paint() {
    const colours = Array.from({ length: 33 }, (_, i) => `rgb(${heat(i, 32, isDark())})`);
    bar.style.background = `linear-gradient(to right, ${colours})`;
  }

  function draw(next) {
    ({ scale, unit } = { scale, unit, ...next });
    const words = [0, scale / 2, scale].map((v) => number(v, Number.isInteger(v) ? 0 : v < 1 ? 2 : 1));
    words[2] += `\u00a0${unit}`;
    ticks.forEach((tick, i) => (tick.textContent = words[i]));
    element.setAttribute("aria-label", `${words[0]} – ${words[2]}`);
    paint();
  }

  const off = onTheme(paint);
  draw();
  return {
    draw,
    element,
    destroy() {
      off();
      element.remove();
    },
  };
}

// --- The canvas --------------------------------------------------------------------------------------------------------------
/**
 * `description` says what kind of thing it is (aria-roledescription). point(i or null) is called once a frame at most, when another
 * pixel is pointed at; choose(i) where one is clicked, tapped, or Enter or Space pressed. A pixel is row * W + column.
 *
 * draw(state): { shape: [C, H, W], levels, values: Uint8Array(C·H·W) in the order of writing (row by row, pixel by pixel, colour by
 * colour), written: how many of them are, at, pointed: pixels or null, seen, blind, known: Uint8Array(H·W) of 0 and 1 or null,
 * surprise: Float32Array(H·W) in bits or null, scale: the bits of the far end (what a uniform guess costs, if not said),
 * changed: pixels }. What is left out is null.
 */
export function pixelCanvas(host, { label, description = "image of pixels", point = () => {}, choose = () => {} }) {
  const over = new AbortController(); // ends all listeners at once
  const canvas = h("canvas", { class: "pixel-canvas", tabindex: 0, role: "application", "aria-label": label, "aria-roledescription": description });
  const c = canvas.getContext("2d");
  host.append(canvas);

  let state = null;
  let device = null; // the canvas in whole device pixels, where the browser knows: [width, height]
  let image = null; // what is put there, kept for the next time
  let edgeX = []; // W + 1 and H + 1 places in device pixels
  let edgeY = [];
  let unit = 1; // device pixels in a css pixel

  const columns = () => state.shape[2];
  const count = () => state.shape[1] * state.shape[2];

  // --- Drawing -------------------------------------------------------------------------------------------------------------
  const schedule = oncePerFrame(paint);

  function paint() {
    if (!state || over.signal.aborted) return;
    const [width, height] = deviceSize();
    if (!width || !height) return;
    if (canvas.width !== width || canvas.height !== height) [canvas.width, canvas.height] = [width, height];
    const [, rows] = state.shape;
    unit = width / canvas.clientWidth;
    edgeX = Array.from({ length: columns() + 1 }, (_, i) => Math.round((i * width) / columns()));
    edgeY = Array.from({ length: rows + 1 }, (_, i) => Math.round((i * height) / rows));
    const ink = Object.fromEntries(["x", "z", "q", "kl", "hot", "card", "soft", "not-yet"].map((token) => [token, colour(canvas, token)]));
    blocks(ink);
    if (state.blind) hatch(state.blind, ink);
    if (state.seen) rim(state.seen, Math.max(1, Math.round(unit * (state.surprise ? 2 : 1))), ink.x, ink.card);
    if (state.known) rim(state.known, Math.max(1, Math.round(1.5 * unit)), ink.q, ink.card);
    for (const i of state.changed ?? []) diamond(i, ink);
    const both = state.pointed === state.at ? 1 : 0;
    if (marked(state.at)) ring(state.at, ink.hot, ink.card, 0, 1 + both);
    if (marked(state.pointed)) ring(state.pointed, ink.x, ink.card, both, 1 + both);
  }

  /** The canvas in device pixels: as the browser counts them, unless that is no longer, or in an emulated screen, what it should be. */
  function deviceSize() {
    const box = canvas.getBoundingClientRect();
    const wanted = [box.width, box.height].map((side) => side * devicePixelRatio);
    return device?.every((side, k) => Math.abs(side - wanted[k]) < 1) ? device : wanted.map(Math.round);
  }

  const marked = (i) => i !== null && i !== undefined && i >= 0 && i < count();
  const cell = (i) => [edgeX[i % columns()], edgeY[Math.floor(i / columns())], edgeX[(i % columns()) + 1], edgeY[Math.floor(i / columns()) + 1]];

  /** Every pixel as a block, every one to come as a dot on the ground. */
  function blocks(ink) {
    const { width, height } = canvas;
    if (image?.width !== width || image.height !== height) image = new ImageData(width, height);
    const out = new Uint32Array(image.data.buffer);
    const paints = colours(ink);
    const dot = packed(mixed(bytes(ink["not-yet"]), bytes(ink.soft), 0.5));
    const size = Math.max(1, Math.round(Math.min(2 * unit, (0.16 * width) / columns())));
    for (let row = 0; row + 1 < edgeY.length; row++) {
      const [top, bottom] = [edgeY[row], edgeY[row + 1]];
      if (top === bottom) continue;
      for (let column = 0; column < columns(); column++) out.fill(paints[row * columns() + column], top * width + edgeX[column], top * width + edgeX[column + 1]);
      for (let y = top + 1; y < bottom; y++) out.copyWithin(y * width, top * width, (top + 1) * width);
    }
    for (let i = Math.ceil(state.written / state.shape[0]); i < count(); i++) {
      const [x0, y0, x1, y1] = cell(i);
      const left = (x0 + x1 - size) >> 1;
      const top = (y0 + y1 - size) >> 1;
      for (let y = top; y < top + size; y++) out.fill(dot, y * width + left, y * width + left + size);
    }
    c.putImageData(image, 0, 0);
  }

  /** The colour of each pixel, Uint32Array(H·W). A pixel whose colours are only partly written shows those it has. */
  function colours(ink) {
    const { shape, levels, values, written, surprise, seen } = state;
    const [C] = shape;
    const scale = state.scale ?? C * Math.log2(levels);
    const dark = isDark();
    const ground = bytes(ink["not-yet"]);
    const x = bytes(ink.x);
    const light = x.map((v) => (TINT * v) / Math.max(...x, 1));
    const found = new Uint32Array(count());
    for (let i = 0; i < found.length; i++) {
      const has = Math.min(C, written - i * C); // of its colours
      let rgb = ground;
      if (has > 0 && surprise) rgb = heat(surprise[i], scale, dark);
      else if (has > 0) {
        const grey = (k) => (k < has ? (255 * values[i * C + k]) / (levels - 1) : 0);
        rgb = C === 3 ? [grey(0), grey(1), grey(2)] : [grey(0), grey(0), grey(0)];
        if (seen?.[i]) rgb = rgb.map((v, k) => Math.min(255, 0.8 * v + light[k]));
      } else if (seen?.[i]) rgb = mixed(ground, x, 0.18);
      found[i] = packed(rgb);
    }
    return found;
  }

  /** Diagonal stripes, each beside one of the opposite lightness: they stand on black and on white. */
  function hatch(mask, ink) {
    const side = Math.max(4, Math.round(7 * unit));
    const tile = new OffscreenCanvas(side, side);
    const t = tile.getContext("2d");
    const stripe = (style, width, shift) => {
      t.strokeStyle = style;
      t.lineWidth = width;
      t.beginPath();
      for (const at of [-side, 0, side]) {
        t.moveTo(at + shift - 1, side + 1);
        t.lineTo(at + shift + side + 1, -1);
      }
      t.stroke();
    };
    t.globalAlpha = 0.16;
    t.fillStyle = ink.kl;
    t.fillRect(0, 0, side, side);
    t.globalAlpha = 0.75;
    stripe(ink.card, 1.5 * unit, 1.5 * unit);
    t.globalAlpha = 1;
    stripe(ink.kl, 1.75 * unit, 0);
    c.fillStyle = c.createPattern(tile, "repeat");
    c.beginPath();
    for (let i = 0; i < mask.length; i++) {
      if (!mask[i]) continue;
      const [x0, y0, x1, y1] = cell(i);
      c.rect(x0, y0, x1 - x0, y1 - y0);
    }
    c.fill();
  }

  /** The boundary of a region, drawn within it: a line, and inside that a hair of the opposite lightness. */
  function rim(mask, width, style, halo) {
    const W = columns();
    const inside = (row, column) => row >= 0 && row + 1 < edgeY.length && column >= 0 && column < W && Boolean(mask[row * W + column]);
    for (const [line, paint] of [[width + Math.max(1, Math.round(0.75 * unit)), halo], [width, style]]) {
      c.fillStyle = paint;
      c.globalAlpha = paint === halo ? 0.45 : 1;
      c.beginPath();
      for (let i = 0; i < mask.length; i++) {
        if (!mask[i]) continue;
        const [x0, y0, x1, y1] = cell(i);
        const [row, column] = [Math.floor(i / W), i % W];
        for (const [dy, dx] of [[-1, 0], [1, 0], [0, -1], [0, 1], [-1, -1], [-1, 1], [1, -1], [1, 1]]) {
          if (inside(row + dy, column + dx)) continue;
          if (dx && dy && !(inside(row + dy, column) && inside(row, column + dx))) continue; // a corner of its own only where it is concave
          const left = dx > 0 ? x1 - line : x0;
          const top = dy > 0 ? y1 - line : y0;
          c.rect(left, top, dx ? line : x1 - x0, dy ? line : y1 - y0);
        }
      }
      c.fill();
    }
    c.globalAlpha = 1;
  }

  /**
   * Two pixels of colour around a cell, between two hairs of the opposite lightness: the `k`th from inside of `all` rings. What
   * would lie beyond the image's border lies within it.
   */
  function ring(i, style, halo, k = 0, all = 1) {
    const hair = Math.max(1, Math.round(unit));
    const line = Math.max(2, Math.round(2 * unit));
    const room = all * (line + hair);
    const [x0, y0, x1, y1] = cell(i);
    let by = (k + 1) * (line + hair); // how far beyond the cell
    const roomy = x1 - x0 >= 8 * unit; // a small cell keeps its colour: no hair within
    for (const [width, paint] of [[hair, halo], [line, style], ...(roomy ? [[hair, halo]] : [])]) {
      const [left, top] = [x0, y0].map((v) => Math.max(room, v) - by);
      const [right, bottom] = [Math.min(canvas.width - room, x1) + by, Math.min(canvas.height - room, y1) + by];
      c.strokeStyle = paint;
      c.lineWidth = width;
      c.strokeRect(left + width / 2, top + width / 2, right - left - width, bottom - top - width);
      by -= width;
    }
  }

  function diamond(i, ink) {
    const [x0, y0, x1, y1] = cell(i);
    const [x, y] = [(x0 + x1) / 2, (y0 + y1) / 2];
    const r = Math.min(6 * unit, Math.max(3 * unit, 0.32 * (x1 - x0)));
    c.fillStyle = ink.z;
    c.strokeStyle = ink.card;
    c.lineWidth = 1.5 * unit;
    c.beginPath();
    for (const [dx, dy] of [[0, -r], [r, 0], [0, r], [-r, 0]]) c.lineTo(x + dx, y + dy);
    c.closePath();
    c.stroke();
    c.fill();
  }

  // --- Pointing --------------------------------------------------------------------------------------------------------------
  let told = null; // the pixel that was last pointed at, as the page knows
  let wanted; // what it is to be told in the next frame; undefined: nothing new
  let finger = null; // { id, x, sideways } while one is down
  let released = null; // the pixel where the pointer was let go: a click's own place is rounded, to a neighbour at times

  function under(event) {
    const box = canvas.getBoundingClientRect();
    const [, H, W] = state.shape;
    const column = Math.floor(((event.clientX - box.left) / box.width) * W);
    const row = Math.floor(((event.clientY - box.top) / box.height) * H);
    return Math.min(H - 1, Math.max(0, row)) * W + Math.min(W - 1, Math.max(0, column));
  }

  function tell(i) {
    wanted = undefined;
    if (i === told || over.signal.aborted) return;
    told = i;
    point(i);
  }

  const tellLater = oncePerFrame(() => {
    if (wanted !== undefined) tell(wanted);
  });

  function aim(i) {
    wanted = i;
    tellLater();
  }

  const listen = (type, work) => canvas.addEventListener(type, (event) => state && work(event), { signal: over.signal });

  listen("pointerdown", (event) => {
    if (event.pointerType === "touch") finger = { id: event.pointerId, x: event.clientX, sideways: false };
  });
  listen("pointermove", (event) => {
    if (event.pointerType === "touch") {
      if (finger?.id !== event.pointerId) return;
      finger.sideways ||= Math.abs(event.clientX - finger.x) >= SLOP; // up and down is the page's
      if (!finger.sideways) return;
    }
    aim(under(event));
  });
  for (const type of ["pointerup", "pointercancel"])
    listen(type, (event) => {
      finger = null;
      released = under(event);
    });
  listen("pointerleave", (event) => {
    if (event.pointerType !== "touch") aim(null); // what a finger pointed at stays, until it points elsewhere
  });
  listen("click", (event) => {
    const i = event.detail && released !== null ? released : under(event); // what is no press of a pointer has detail 0
    tell(i); // a tap points, too
    choose(i);
  });
  listen("keydown", (event) => {
    if (event.ctrlKey || event.altKey || event.metaKey) return;
    const here = wanted ?? told ?? state.at ?? null;
    const [, H, W] = state.shape;
    const [row, column] = [Math.floor((here ?? 0) / W), (here ?? 0) % W];
    const to = {
      ArrowLeft: [row, column - 1], ArrowRight: [row, column + 1], ArrowUp: [row - 1, column], ArrowDown: [row + 1, column],
      Home: [row, 0], End: [row, W - 1],
    }[event.key];
    if (to) tell(Math.min(H - 1, Math.max(0, to[0])) * W + Math.min(W - 1, Math.max(0, to[1])));
    else if (event.key === "Escape") tell(null);
    else if (event.key === "Enter" || event.key === " ") {
      if (here !== null && !event.repeat) choose(here);
    } else return;
    event.preventDefault(); // the page does not scroll, and a timeline around this does not step
  });

  const observer = new ResizeObserver(([entry]) => {
    const [exact] = entry.devicePixelContentBoxSize ?? [];
    device = exact ? [exact.inlineSize, exact.blockSize] : null;
    schedule();
  });
  try {
    observer.observe(canvas, { box: "device-pixel-content-box" }); // speaks up when the window moves to a finer screen, too
  } catch {
    observer.observe(canvas); // Safari does not know it
  }
  const offTheme = onTheme(schedule);

  return {
    draw(next) {
      const [, H, W] = next.shape;
      if (state?.shape[1] !== H || state.shape[2] !== W) canvas.style.aspectRatio = `${W} / ${H}`;
      if ((next.pointed ?? null) !== (state?.pointed ?? null)) told = next.pointed ?? null;
      state = next;
      schedule();
    },
    focus: () => canvas.focus(),
    element: canvas,
    /** Lets go of everything, and takes the canvas away. */
    destroy() {
      over.abort();
      observer.disconnect();
      offTheme();
      canvas.remove();
    },
  };
}

const mixed = (a, b, share) => a.map((v, k) => v + (b[k] - v) * share);
const packed = ([r, g, b]) => (0xff000000 | (Math.round(b) << 16) | (Math.round(g) << 8) | Math.round(r)) >>> 0;
