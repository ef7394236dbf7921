/**
 * The ground of this view's plots: a canvas with two axes, and handles to drag. A handle is painted on the canvas (so that a saved
 * picture has it) beneath a real element with the role of a slider, which takes the pointer, the finger and the arrow keys.
 */
import { colour, h, oncePerFrame, onTheme } from "../lib/dom.js";

const SUPERSCRIPTS = "⁰¹²³⁴⁵⁶⁷⁸⁹";

/** A number with `digits` significant ones, as people write it: 3.1 × 10⁻¹² where it is very small or very large. */
export function figure(value, digits = 3) {
  if (value === 0) return "0";
  if (Number.isNaN(value)) return "–";
  if (!Number.isFinite(value)) return value > 0 ? "∞" : "−∞";
  const sign = value < 0 ? "−" : "";
  const size = Math.abs(value);
  const [mantissa, power] = size.toExponential(digits - 1).split("e").map(Number);
  if (power < -3 || power > 5) {
    const raised = String(Math.abs(power)).replace(/\d/g, (d) => SUPERSCRIPTS[d]);
    return `${sign}${mantissa.toFixed(digits - 1)}\u00a0×\u00a010${power < 0 ? "⁻" : ""}${raised}`;
  }
  return sign + size.toFixed(Math.max(0, digits - 1 - power)).replace(/\B(?=(\d{3})+(?!\d)(?<!\.\d*))/g, "\u202f");
}

/** Round places between low and high, about `count` of them: { at: numbers, digits: how many after the point }. */
function ticks(low, high, count = 6) {
  const rough = (high - low) / count;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = power * ([1, 2, 5].find((s) => s * power >= rough) ?? 10);
  const at = [];
  for (let i = Math.ceil(low / step - 1e-9); i <= high / step + 1e-9; i++) at.push(i * step);
  return { at, digits: Math.max(0, -Math.floor(Math.log10(step) + 1e-9)) };
}

/** [place, words] for a linear axis. */
export function linear(low, high, count) {
  const { at, digits } = ticks(low, high, count);
  return at.map((v) => [v, v.toFixed(digits).replace("-", "−").replace(/^−(0(\.0*)?)$/, "$1")]);
}

/** [log of the place, words] for an axis of equal factors: 1, 2, 5 and their tens. */
export function factors(low, high) {
  const out = [];
  for (let power = Math.floor(Math.log10(low)); power <= Math.log10(high); power++)
    for (const one of [1, 2, 5]) {
      const value = one * 10 ** power;
      if (value >= low * 0.999 && value <= high * 1.001) out.push([Math.log(value), figure(value, 1)]);
    }
  return out;
}

/** The colours at t = 0 … 1 between two tokens, as bytes: 256 · 3. */
export function ramp(from, to, most = 1) {
  const c = new OffscreenCanvas(1, 1).getContext("2d", { willReadFrequently: true });
  const bytes = (fill) => {
    c.fillStyle = fill;
    c.fillRect(0, 0, 1, 1);
    return c.getImageData(0, 0, 1, 1).data;
  };
  const [a, b] = [[...bytes(from)], [...bytes(to)]];
  return Uint8ClampedArray.from({ length: 768 }, (_, i) => a[i % 3] + (b[i % 3] - a[i % 3]) * most * (Math.floor(i / 3) / 255));
}

/** A grid of t = 0 … 1, row 0 at the bottom, as a picture. */
export function heat(values, columns, rows, colours) {
  const image = new ImageData(columns, rows);
  for (let row = 0; row < rows; row++)
    for (let column = 0; column < columns; column++) {
      const at = 4 * ((rows - 1 - row) * columns + column);
      const t = 3 * Math.round(255 * values[row * columns + column]);
      image.data.set([colours[t], colours[t + 1], colours[t + 2], 255], at);
    }
  const canvas = new OffscreenCanvas(columns, rows);
  canvas.getContext("2d").putImageData(image, 0, 0);
  return canvas;
}

/** The path of a function over a plot's width, clipped at its top. */
export function trace(c, plot, f) {
  const { area, range } = plot;
  c.beginPath();
  for (let x = area.left; x <= area.right; x += 1) {
    const value = f(range.x0 + ((x - area.left) / (area.right - area.left)) * (range.x1 - range.x0));
    c.lineTo(x, plot.Y(Math.min(value, range.y1)));
  }
}

/** Words with a rim of ground, so that lines do not run through them. */
export function label(c, words, x, y, ground) {
  c.save();
  c.setLineDash([]);
  c.lineWidth = 4;
  c.lineJoin = "round";
  c.strokeStyle = ground;
  c.strokeText(words, x, y);
  c.restore();
  c.fillText(words, x, y);
}

/**
 * `redraw(c, plot)` paints, in CSS pixels, after calling plot.frame(…). `press(x, y, done)`: the pointer is down on the ground at a
 * place in the axes' units; `pinch(factor, done)`: two fingers. A finger that scrolls the page past a plot moves nothing.
 */
export function makePlot(host, { name, className = "", redraw, press = null, pinch = null }) {
  const canvas = h("canvas", { role: "img", "aria-label": name });
  const box = h("div", { class: `likelihood-plot ${className}` }, canvas);
  host.append(box);
  const handles = [];
  const schedule = oncePerFrame(draw);
  let [width, height] = [0, 0];
  let area = null; // left, right, top, bottom, in CSS pixels
  let range = null; // x0, x1, y0, y1, in the axes' units

  const plot = {
    canvas,
    box,
    get area() { return area; },
    get range() { return range; },
    X: (x) => area.left + ((x - range.x0) / (range.x1 - range.x0)) * (area.right - area.left),
    Y: (y) => area.bottom - ((y - range.y0) / (range.y1 - range.y0)) * (area.bottom - area.top),
    ink: (token) => colour(canvas, token),
    schedule,
    frame,
    handle,
    place,
  };

  function draw() {
    [width, height] = [canvas.clientWidth, canvas.clientHeight];
    if (!width || !height) return;
    const ratio = Math.min(2, devicePixelRatio || 1);
    if (canvas.width !== Math.round(width * ratio) || canvas.height !== Math.round(height * ratio)) {
      canvas.width = Math.round(width * ratio);
      canvas.height = Math.round(height * ratio);
    }
    const c = canvas.getContext("2d");
    c.setTransform(ratio, 0, 0, ratio, 0, 0);
    c.clearRect(0, 0, width, height);
    c.lineJoin = "round";
    redraw(c, plot);
    for (const one of handles) one.show(c);
    canvas.dataset.drawn = String(performance.now());
  }

  /** Axes over a range in the axes' units. `x`, `y`: { name, ticks: [[place, words]] }; `margin` may widen the room around. */
  function frame(c, { x0, x1, y0, y1, x, y, margin = {} }) {
    range = { x0, x1, y0, y1 };
    area = { left: 46, right: width - 10, top: 26, bottom: height - 42, ...margin };
    c.strokeStyle = plot.ink("line");
    c.fillStyle = plot.ink("soft");
    c.lineWidth = 1;
    c.font = "12px system-ui, sans-serif";
    c.textAlign = "right";
    c.textBaseline = "middle";
    for (const [at, words] of y.ticks) {
      c.beginPath();
      c.moveTo(area.left, plot.Y(at));
      c.lineTo(area.right, plot.Y(at));
      c.stroke();
      c.fillText(words, area.left - 6, plot.Y(at));
    }
    c.textAlign = "center";
    c.textBaseline = "top";
    let free = -Infinity; // words never run into each other
    for (const [at, words] of x.ticks) {
      const half = c.measureText(words).width / 2;
      const middle = Math.min(width - half - 1, Math.max(half + 1, plot.X(at)));
      c.beginPath();
      c.moveTo(plot.X(at), area.bottom);
      c.lineTo(plot.X(at), area.bottom + 4);
      c.stroke();
      if (middle - half < free) continue;
      free = middle + half + 6;
      c.fillText(words, middle, area.bottom + 9);
    }
    c.strokeStyle = plot.ink("soft");
    c.beginPath();
    c.moveTo(area.left, area.bottom);
    c.lineTo(area.right, area.bottom);
    c.stroke();
    c.font = "600 12px system-ui, sans-serif";
    c.textAlign = "right";
    c.textBaseline = "bottom";
    c.fillText(`${x.name} →`, area.right, height - 2);
    c.textAlign = "left";
    c.textBaseline = "top";
    c.fillText(`↑ ${y.name}`, 2, 4);
  }

  /** Where a pointer is, in the axes' units, kept within them. */
  function place(event) {
    const rect = canvas.getBoundingClientRect();
    const px = ((event.clientX - rect.left) / rect.width) * width;
    const py = ((event.clientY - rect.top) / rect.height) * height;
    const u = Math.min(1, Math.max(0, (px - area.left) / (area.right - area.left)));
    const v = Math.min(1, Math.max(0, (area.bottom - py) / (area.bottom - area.top)));
    return [range.x0 + u * (range.x1 - range.x0), range.y0 + v * (range.y1 - range.y0)];
  }

  /**
   * A handle. `at()`: its place in the axes' units, or null; `drag(x, y, done)`; `step(dx, dy, done)`: arrow keys, ±1 or ±10 with
   * Shift; `says()`: { now, min, max, text } for screen readers; `token`: its colour.
   */
  function handle({ name: words, id, at, drag, step, says, token = "p" }) {
    const knob = h("div", { class: "likelihood-handle", role: "slider", tabindex: 0, "aria-label": words, "data-handle": id, title: words });
    box.append(knob);
    let grip = null; // between the pointer and the handle's middle, in CSS pixels, when it was taken
    let moved = false; // a handle that is only touched stays where it is
    knob.addEventListener("pointerdown", (event) => {
      if (event.button > 0) return;
      knob.setPointerCapture(event.pointerId);
      const rect = knob.getBoundingClientRect();
      grip = [rect.left + rect.width / 2 - event.clientX, rect.top + rect.height / 2 - event.clientY];
      moved = false;
      event.stopPropagation();
    });
    knob.addEventListener("pointermove", (event) => {
      if (!grip) return;
      moved = true;
      drag(...place({ clientX: event.clientX + grip[0], clientY: event.clientY + grip[1] }), false);
    });
    for (const end of ["pointerup", "pointercancel"])
      knob.addEventListener(end, () => {
        if (grip && moved) step(0, 0, true); // what was reached stays
        grip = null;
      });
    knob.addEventListener("keydown", (event) => {
      const by = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] }[event.key];
      if (!by) return;
      event.preventDefault();
      event.stopPropagation();
      step(by[0] * (event.shiftKey ? 10 : 1), by[1] * (event.shiftKey ? 10 : 1), true);
    });
    handles.push({
      show(c) {
        const where = at();
        knob.hidden = !where;
        if (!where) return;
        const [x, y] = [plot.X(where[0]), plot.Y(where[1])];
        knob.style.left = `${x}px`;
        knob.style.top = `${y}px`;
        const { now, min, max, text } = says();
        for (const [key, value] of Object.entries({ valuenow: now, valuemin: min, valuemax: max, valuetext: text })) knob.setAttribute(`aria-${key}`, value);
        c.beginPath();
        c.arc(x, y, 8, 0, 2 * Math.PI);
        c.fillStyle = plot.ink(token);
        c.strokeStyle = plot.ink("card");
        c.lineWidth = 3;
        c.stroke();
        c.fill();
      },
    });
    return knob;
  }

  const fingers = new Map();
  const apart = () => {
    const [a, b] = [...fingers.values()];
    return Math.hypot(a.clientX - b.clientX, a.clientY - b.clientY);
  };
  let spread = 0;
  let pinched = false;
  let began = null; // where a finger came down: up or down from there it scrolls the page, sideways it drags
  let sideways = false;
  canvas.addEventListener("pointerdown", (event) => {
    if (event.button > 0 || (!press && !pinch) || !range) return;
    canvas.setPointerCapture(event.pointerId);
    fingers.set(event.pointerId, event);
    if (fingers.size === 1) [pinched, sideways, began] = [false, event.pointerType !== "touch", event];
    if (fingers.size === 2) [spread, pinched] = [apart(), true];
    else if (sideways) press?.(...place(event), false);
  });
  canvas.addEventListener("pointermove", (event) => {
    if (!fingers.has(event.pointerId)) return;
    fingers.set(event.pointerId, event);
    if (fingers.size === 2 && pinch) {
      const now = apart();
      if (spread > 0 && now > 0) pinch(now / spread, false);
      spread = now;
    } else if (!pinched) {
      const [dx, dy] = [Math.abs(event.clientX - began.clientX), Math.abs(event.clientY - began.clientY)];
      sideways ||= dx > 8 && dx > dy;
      if (sideways) press?.(...place(event), false);
    }
  });
  for (const end of ["pointerup", "pointercancel"])
    canvas.addEventListener(end, (event) => {
      const last = fingers.get(event.pointerId); // a cancelled pointer no longer says where it is
      if (!fingers.delete(event.pointerId)) return;
      if (fingers.size) return;
      if (pinched) pinch?.(1, true);
      else if (sideways || (end === "pointerup" && Math.abs(event.clientY - began.clientY) < 8)) press?.(...place(last), true);
    });
  new ResizeObserver(schedule).observe(canvas);
  onTheme(schedule);
  return plot;
}
