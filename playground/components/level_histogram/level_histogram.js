/**
 * The distribution over the levels that one value of an image was drawn from: a bar a level, the drawn one in full colour under
 * its number, and a ramp of the levels themselves as the axis. Where it was drawn at another temperature, the model's own
 * distribution runs behind as a line.
 *
 * It is a slider as well: a click, a tap, the end of a finger's drag, or Enter picks a level, which the page then writes there.
 * Linear heights are shares of the highest bar; the other scale is that of logarithms, DECADES of them below the highest.
 */
import { colour, fill, h, oncePerFrame, onTheme } from "../lib/dom.js";

const DECADES = 6;
const PAGE = 16; // levels that PageUp and PageDown go
const TOP = 20; // css pixels: the drawn level's number and its mark,
const STRIP = 10; // the ramp,
const FOOT = 18; // and the words under it
const GAP = 5;
const CHANNELS = ["c7", "c9", "c0"]; // red, green, blue that can be read on both grounds
const FONT = "system-ui, sans-serif";

/** A probability in percent, with as many digits as it deserves: 8.4 %, 0.03 %, < 0.01 %. */
export function percent(p) {
  if (p === 0 || p === 1) return `${100 * p}\u00a0%`;
  if (p < 0.0001) return "<\u00a00.01\u00a0%";
  if (p > 0.9999) return ">\u00a099.99\u00a0%";
  const digits = p < 0.00995 || p >= 0.9995 ? 2 : 1;
  return `${(100 * p).toFixed(digits)}\u00a0%`;
}

/** The height of a bar as a share of the highest, 0 … 1. */
export function height(p, most, log) {
  if (!(p > 0)) return 0;
  return log ? Math.max(0, 1 - Math.log10(most / p) / DECADES) : p / most;
}

/**
 * text: { label, log, level: "level {v}: {p}", pick }. pick(level) is called where a level is picked.
 *
 * draw(state): { probabilities (levels of them), value: the drawn level or null, picked: the level a hand put there or null,
 * colour: 0, 1, 2 for red, green, blue, or null, reference: the probabilities at temperature 1 or null }, or null for none.
 */
export function levelHistogram(host, { text, pick = () => {} }) {
  const over = new AbortController(); // ends all listeners at once
  const words = h("output", { "aria-live": "off" }, "\u00a0"); // the slider says the same by its value
  const hint = h("span", { class: "level-hint", "aria-hidden": "true" }, text.pick);
  const logButton = h("button", { type: "button", "aria-pressed": "false", onclick: toggle }, text.log);
  const canvas = h("canvas", { tabindex: 0, role: "slider", "aria-label": text.label, "aria-description": text.pick, "aria-valuemin": 0 });
  const element = h("div", { class: "level-histogram" }, h("div", { class: "level-head" }, words, hint, logButton), canvas);
  const c = canvas.getContext("2d");
  host.append(element);

  let state = null;
  let log = false;
  let hovered = null; // the level under the mouse or the finger
  let candidate = null; // the level the arrow keys have come to
  let finger = null; // { id, x, sideways }
  let released = null; // the level where the pointer was let go: a click's own place is rounded, to a neighbour at times
  const levels = () => state.probabilities.length;
  const given = (v) => v !== null && v !== undefined;

  function toggle() {
    log = !log;
    logButton.setAttribute("aria-pressed", String(log));
    schedule();
  }

  /** The level that the words and the slider's value are about. */
  const spoken = () => hovered ?? candidate ?? state.picked ?? state.value ?? null;

  const say = (v) => fill(text.level, { v, p: percent(state.probabilities[v]) });

  function show() {
    const v = state && spoken();
    words.textContent = given(v) ? say(v) : "\u00a0";
    words.dataset.of = !given(v) ? "" : v === state.value ? "drawn" : "other";
    element.dataset.looking = String(Boolean(state) && (hovered !== null || candidate !== null));
    canvas.setAttribute("aria-disabled", String(!state));
    if (state) canvas.setAttribute("aria-valuemax", levels() - 1);
    const now = state && (candidate ?? state.picked ?? state.value ?? null); // the mouse does not move the slider
    canvas.setAttribute("aria-valuenow", now ?? 0);
    canvas.setAttribute("aria-valuetext", given(now) ? say(now) : "–");
    schedule();
  }

  // --- Drawing -------------------------------------------------------------------------------------------------------------
  const schedule = oncePerFrame(paint);

  function paint() {
    if (over.signal.aborted) return;
    const box = canvas.getBoundingClientRect();
    const [width, tall] = [box.width, box.height].map((side) => Math.round(side * devicePixelRatio));
    if (!width || !tall) return;
    if (canvas.width !== width || canvas.height !== tall) [canvas.width, canvas.height] = [width, tall];
    c.clearRect(0, 0, width, tall);
    if (!state) return;
    const ink = Object.fromEntries(["x", "z", "ink", "soft", "line", "card", ...CHANNELS].map((token) => [token, colour(canvas, token)]));
    const unit = width / canvas.clientWidth; // device pixels in a css pixel
    const place = { width, unit, top: Math.round(TOP * unit), floor: Math.round(tall - (FOOT + STRIP + GAP) * unit) };
    const peak = bars(place, ink);
    ramp(place, ink);
    if (given(state.value)) mark(place, peak, ink);
    const chosen = candidate ?? state.picked;
    if (given(chosen)) diamond(place, chosen, ink);
  }

  /** Left and right of a level's bar, `least` css pixels wide or more, never beyond the border. Wide bars stand a little apart. */
  function span({ width, unit }, v, least = 1) {
    const each = width / levels();
    const apart = each >= 5 * unit ? Math.min(each * 0.12, 4 * unit) / 2 : 0;
    const wide = Math.max(each - 2 * apart, least * unit);
    const left = Math.min(width - wide, Math.max(0, (v + 0.5) * each - wide / 2));
    return each >= 5 * unit ? [Math.round(left), Math.round(left + wide)] : [left, left + wide];
  }

  /** Returns where the top of the drawn level's bar lies. */
  function bars(place, ink) {
    const { width, unit, top, floor } = place;
    const { probabilities, value, reference } = state;
    let most = 0;
    for (const p of probabilities) most = Math.max(most, p);
    for (const p of reference ?? []) most = Math.max(most, p);
    most ||= 1;
    const up = (p, least = 0) => Math.max(height(p, most, log) * (floor - top), p > 0 && (log || least) ? Math.max(unit, least) : 0);
    if (log) decades(place, most, ink);

    const all = new Path2D();
    for (let v = 0; v < levels(); v++) {
      if (v === value) continue;
      const [left, right] = span(place, v);
      const high = up(probabilities[v]);
      if (high) all.rect(left, floor - high, right - left, high);
    }
    c.fillStyle = given(state.colour) ? ink[CHANNELS[state.colour]] : ink.x;
    c.globalAlpha = 0.35;
    c.fill(all);
    if (hovered !== null && hovered !== value) {
      const [left, right] = span(place, hovered, 2);
      c.globalAlpha = 0.1;
      c.fillRect(left, top, right - left, floor - top);
      c.globalAlpha = 0.8;
      c.fillRect(left, floor - up(probabilities[hovered], 2 * unit), right - left, up(probabilities[hovered], 2 * unit));
    }
    c.globalAlpha = 1;
    if (reference) {
      c.strokeStyle = ink.soft;
      c.lineWidth = 1.25 * unit;
      c.lineJoin = "miter";
      c.beginPath();
      for (let v = 0; v < levels(); v++) {
        const y = Math.max(top + 0.6 * unit, floor - up(reference[v]));
        c.lineTo((v * width) / levels(), y);
        c.lineTo(((v + 1) * width) / levels(), y);
      }
      c.stroke();
    }
    let peak = floor;
    if (given(value)) {
      const [left, right] = span(place, value, 2);
      peak = floor - up(probabilities[value], 2 * unit);
      c.fillStyle = ink.x;
      c.fillRect(left, peak, right - left, floor - peak);
    }
    c.fillStyle = ink.line;
    c.fillRect(0, floor, width, Math.max(1, Math.round(unit)));
    return peak;
  }

  /** Faint lines at powers of a hundredth, which say where a logarithm stands. */
  function decades({ width, unit, top, floor }, most, ink) {
    c.font = `${11 * unit}px ${FONT}`;
    c.textAlign = "left";
    c.textBaseline = "bottom";
    for (let power = 0; power >= -8; power -= 2) {
      const at = height(10 ** power, most, true);
      if (at > 1 || at <= 0.02) continue;
      const y = Math.round(floor - at * (floor - top));
      c.fillStyle = ink.line;
      c.fillRect(0, y, width, Math.max(1, Math.round(unit)));
      c.fillStyle = ink.soft;
      const digits = Math.max(0, -power - 2);
      if (y - top > 11 * unit) c.fillText(`${(100 * 10 ** power).toFixed(digits)} %`, Math.min(8 * unit, width), y);
    }
  }

  /** The levels as they look, from the lowest to the highest, and their numbers. */
  function ramp({ width, unit, floor }, ink) {
    const [y, tall] = [floor + Math.round(GAP * unit), Math.round(STRIP * unit)];
    for (let v = 0; v < levels(); v++) {
      const [left, right] = [Math.round((v * width) / levels()), Math.round(((v + 1) * width) / levels())];
      const byte = Math.round((255 * v) / (levels() - 1));
      c.fillStyle = `rgb(${[0, 1, 2].map((k) => (!given(state.colour) || state.colour === k ? byte : 0))})`;
      c.fillRect(left, y, right - left, tall);
    }
    c.strokeStyle = ink.line;
    c.lineWidth = Math.max(1, Math.round(unit));
    c.strokeRect(c.lineWidth / 2, y + c.lineWidth / 2, width - c.lineWidth, tall - c.lineWidth);
    c.fillStyle = ink.soft;
    c.font = `${12 * unit}px ${FONT}`;
    c.textBaseline = "top";
    const every = width / levels() >= 17 * unit; // there is room for all numbers
    for (let v = 0; v < levels(); v += every ? 1 : levels() - 1) {
      c.textAlign = every ? "center" : v ? "right" : "left";
      c.fillText(String(v), every ? ((v + 0.5) * width) / levels() : v ? width : 0, y + tall + 3 * unit);
    }
  }

  /** The number of the drawn level over its bar. */
  function mark({ width, unit, top }, peak, ink) {
    const x = ((state.value + 0.5) * width) / levels();
    const near = Math.min(width - 4.5 * unit, Math.max(4.5 * unit, x)); // the triangle stays whole at the borders
    c.fillStyle = ink.x;
    c.beginPath();
    c.moveTo(near - 4.5 * unit, top - 6 * unit);
    c.lineTo(near + 4.5 * unit, top - 6 * unit);
    c.lineTo(Math.min(width - unit, Math.max(unit, x)), top - unit);
    c.fill();
    if (peak - top > 3 * unit) {
      c.globalAlpha = 0.5;
      const left = Math.round(Math.min(width - unit, Math.max(0, x - unit / 2)));
      for (let y = top; y < peak; y += 5 * unit) c.fillRect(left, y, Math.max(1, Math.round(unit)), 1.5 * unit); // dots: a line would look like a bar
      c.globalAlpha = 1;
    }
    c.font = `700 ${12.5 * unit}px ${FONT}`;
    c.textAlign = "left";
    c.textBaseline = "alphabetic";
    const wide = c.measureText(String(state.value)).width;
    c.fillText(String(state.value), Math.min(width - wide, Math.max(0, x - wide / 2)), top - 8.5 * unit);
  }

  /** On the ramp: the level that a hand has put there, or that the keys have come to. */
  function diamond({ width, unit, floor }, v, ink) {
    const r = 6 * unit;
    const x = Math.min(width - r - unit, Math.max(r + unit, ((v + 0.5) * width) / levels()));
    const y = floor + (GAP + STRIP / 2) * unit;
    c.fillStyle = ink.z;
    c.strokeStyle = ink.card;
    c.lineWidth = 2 * unit;
    c.beginPath();
    for (const [dx, dy] of [[0, -r], [r, 0], [0, r], [-r, 0]]) c.lineTo(x + dx, y + dy);
    c.closePath();
    c.stroke();
    c.fill();
  }

  // --- Hands ---------------------------------------------------------------------------------------------------------------
  function under(event) {
    const box = canvas.getBoundingClientRect();
    return Math.min(levels() - 1, Math.max(0, Math.floor(((event.clientX - box.left) / box.width) * levels())));
  }

  function look(v) {
    if (v === hovered) return;
    hovered = v;
    show();
  }

  const listen = (type, work) => canvas.addEventListener(type, (event) => state && work(event), { signal: over.signal });

  listen("pointerdown", (event) => {
    if (event.pointerType === "touch") finger = { id: event.pointerId, x: event.clientX, sideways: false };
  });
  listen("pointermove", (event) => {
    if (event.pointerType === "touch") {
      if (finger?.id !== event.pointerId) return;
      finger.sideways ||= Math.abs(event.clientX - finger.x) >= 8; // up and down is the page's
      if (!finger.sideways) return;
    }
    look(under(event));
  });
  listen("pointerup", (event) => {
    released = under(event);
    if (finger?.id !== event.pointerId) return;
    const dragged = finger.sideways; // a tap is a click
    finger = null;
    look(null);
    if (dragged) choose(released);
  });
  listen("pointercancel", () => {
    finger = null;
    look(null);
  });
  listen("pointerleave", () => look(null));
  listen("click", (event) => choose(event.detail && released !== null ? released : under(event))); // what is no press has detail 0
  listen("keydown", (event) => {
    if (event.ctrlKey || event.altKey || event.metaKey) return;
    const now = candidate ?? state.picked ?? state.value ?? 0;
    const last = levels() - 1;
    const to = {
      ArrowLeft: now - 1, ArrowDown: now - 1, ArrowRight: now + 1, ArrowUp: now + 1,
      PageDown: now - PAGE, PageUp: now + PAGE, Home: 0, End: last,
    }[event.key];
    if (to !== undefined) {
      candidate = Math.min(last, Math.max(0, to));
      show();
    } else if (event.key === "Enter") {
      if (!event.repeat) choose(now);
    } else if (event.key === "Escape" && candidate !== null) {
      candidate = null;
      show();
    } else return;
    event.preventDefault(); // the page does not scroll, and a timeline around this does not step
  });
  listen("blur", () => {
    candidate = null;
    show();
  });

  function choose(v) {
    candidate = null;
    show();
    pick(v);
  }

  const observer = new ResizeObserver(schedule);
  observer.observe(canvas);
  const offTheme = onTheme(schedule);
  show();

  const same = (a, b) => a === b || (a.length === b.length && a.every((p, v) => p === b[v]));

  return {
    draw(next) {
      const another = !state || !next || state.value !== next.value || state.picked !== next.picked || !same(state.probabilities, next.probabilities);
      if (another) candidate = null;
      if (hovered !== null && (!next || hovered >= next.probabilities.length)) hovered = null;
      state = next && { ...next, probabilities: Float64Array.from(next.probabilities) };
      show();
    },
    element,
    /** Lets go of everything, and takes it away. */
    destroy() {
      over.abort();
      observer.disconnect();
      offTheme();
      element.remove();
    },
  };
}
