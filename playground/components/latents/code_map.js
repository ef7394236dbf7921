/**
 * A latent map with a window of its own: an autoencoder's codes lie where they like, so the middle of the picture is not 0 as on the
 * latent pad. Below: the codes by class (a glyph and a colour each), the prior's circles, and what was fitted to the codes, drawn where
 * it holds 50, 90 and 99 % of its mass. Above, redrawn alone: draws (a cross for one that lands where nothing is), the cursor, and
 * what is decoded there.
 */
import { colour, oncePerFrame, onTheme } from "../lib/dom.js";
import { ellipse } from "../lib/gaussians.js";
import { classColour, radius } from "../latent_pad/latent_pad.js";

const SHARES = [0.5, 0.9, 0.99]; // of the mass inside
const STEP = 0.02; // of the window, by an arrow key; with Shift five times that
const REACH = 14; // CSS pixels around a draw

/** Round numbers within [low, high], about `n` of them. */
export function ticks(low, high, n = 5) {
  const rough = (high - low) / n;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].find((one) => one * power >= rough) * power;
  const found = [];
  for (let k = Math.ceil(low / step); k * step <= high; k++) found.push(Number((k * step).toPrecision(6)));
  return found;
}

/** text: label, keys, prior. Calls look([x, y]) with the place that is pointed at, look(null) with none; hover(i or null) over a draw. */
export function codeMap(host, { text, look, hover = () => {} }) {
  const canvas = document.createElement("canvas");
  canvas.tabIndex = 0;
  canvas.setAttribute("role", "application");
  canvas.setAttribute("aria-label", text.label);
  canvas.title = text.keys;
  const box = document.createElement("div");
  box.className = "lt-map";
  box.append(canvas);
  host.append(box);

  let map = null; // { low, high, points, labels, glyphs, limit }
  let shape = null; // the fit that is drawn: [{ mean, covariance, weight }], or null for the prior itself
  let draws = []; // { z, far }
  let near = -1;
  let cursor = null;
  let inset = null;
  let base = null; // what does not move
  let size = 0;

  const X = (x) => ((x - map.low[0]) / (map.high[0] - map.low[0])) * size;
  const Y = (y) => ((map.high[1] - y) / (map.high[1] - map.low[1])) * size;
  const perUnit = () => size / (map.high[0] - map.low[0]);
  const schedule = oncePerFrame(draw);
  const fresh = () => {
    base = null;
    schedule();
  };

  /** Words with a rim of ground, so that points do not run through them. */
  function word(c, said, x, y, unit) {
    c.save();
    c.setLineDash([]);
    c.lineWidth = 4 * unit;
    c.lineJoin = "round";
    c.strokeStyle = colour(canvas, "bg");
    c.strokeText(said, x, y);
    c.restore();
    c.fillText(said, x, y);
  }

  function ring(c, mean, covariance, share) {
    const { rx, ry, angle } = ellipse(covariance[0], covariance[1], covariance[3]);
    const scale = radius(share) * perUnit();
    c.beginPath();
    c.ellipse(X(mean[0]), Y(mean[1]), rx * scale, ry * scale, -angle, 0, 2 * Math.PI);
  }

  function drawBase() {
    base = new OffscreenCanvas(size, size);
    const c = base.getContext("2d");
    const unit = size / 400;
    const colours = map.glyphs.map((_, k) => colour(canvas, classColour(k)));
    c.font = `600 ${9 * unit}px system-ui, sans-serif`;
    c.textAlign = "center";
    c.textBaseline = "middle";
    c.globalAlpha = 0.6;
    for (let i = 0; i < map.labels.length; i++) {
      c.fillStyle = colours[map.labels[i]];
      c.fillText(map.glyphs[map.labels[i]], X(map.points[2 * i]), Y(map.points[2 * i + 1]));
    }
    c.globalAlpha = 1;
    // The prior is always there, for comparison: dashed where something else is drawn from.
    c.strokeStyle = c.fillStyle = colour(canvas, "p");
    c.setLineDash(shape ? [4 * unit, 4 * unit] : []);
    c.lineWidth = (shape ? 1.25 : 2.25) * unit;
    c.globalAlpha = shape ? 0.75 : 1;
    for (const share of SHARES) {
      ring(c, [0, 0], [1, 0, 0, 1], share);
      c.stroke();
    }
    c.globalAlpha = 1;
    c.setLineDash([]);
    for (const one of shape ?? []) {
      c.lineWidth = (shape.length > 1 ? 1 + 8 * one.weight : 2.25) * unit;
      for (const share of shape.length > 1 ? [0.9] : SHARES) {
        ring(c, one.mean, one.covariance, share);
        c.stroke();
      }
    }
    c.font = `600 ${12 * unit}px system-ui, sans-serif`;
    const [top, half] = [Y(radius(0.99)), c.measureText(text.prior).width / 2 + 4 * unit];
    const above = top > 36 * unit; // else below the circles: the window ends there
    c.textBaseline = above ? "bottom" : "top";
    word(c, text.prior, Math.max(half, Math.min(size - half, X(0))), above ? top - 2 * unit : Y(-radius(0.99)) + 3 * unit, unit);
    c.textBaseline = "bottom";
    c.fillStyle = colour(canvas, "soft");
    c.font = `${11 * unit}px system-ui, sans-serif`;
    const inner = (v, k) => v > map.low[k] + 0.06 * (map.high[k] - map.low[k]) && v < map.high[k] - 0.1 * (map.high[k] - map.low[k]);
    for (const at of ticks(map.low[0], map.high[0])) if (inner(at, 0)) word(c, String(at).replace("-", "−"), X(at), size - 4 * unit, unit);
    c.textAlign = "left";
    for (const at of ticks(map.low[1], map.high[1])) if (inner(at, 1)) word(c, String(at).replace("-", "−"), 5 * unit, Y(at) + 6 * unit, unit);
    c.font = `600 ${12 * unit}px system-ui, sans-serif`;
    word(c, "↑ z₂", 5 * unit, 18 * unit, unit);
    c.textAlign = "right";
    word(c, "z₁ →", size - 5 * unit, size - 4 * unit, unit);
  }

  function draw() {
    const wanted = Math.round(canvas.clientWidth * Math.min(2, devicePixelRatio || 1));
    if (!wanted || !map) return;
    if (wanted !== size) {
      size = canvas.width = canvas.height = wanted;
      base = null;
    }
    if (!base) drawBase();
    const c = canvas.getContext("2d");
    const unit = size / 400;
    c.clearRect(0, 0, size, size);
    c.drawImage(base, 0, 0);
    draws.forEach(({ z, far }, i) => {
      // One outside the window stands at its edge.
      const [x, y] = [X(z[0]), Y(z[1])].map((v) => Math.max(6 * unit, Math.min(size - 6 * unit, v)));
      const r = (i === near ? 8 : 5) * unit;
      c.beginPath();
      if (far) {
        for (const [a, b] of [[-1, -1], [-1, 1]]) {
          c.moveTo(x + a * r, y + b * r);
          c.lineTo(x - a * r, y - b * r);
        }
        for (const [width, token] of [[5, "bg"], [2.75, "hot"]]) {
          c.lineWidth = width * unit;
          c.strokeStyle = colour(canvas, token);
          c.stroke();
        }
      } else {
        c.arc(x, y, r, 0, 2 * Math.PI);
        c.fillStyle = colour(canvas, "z");
        c.strokeStyle = colour(canvas, "ink");
        c.lineWidth = 1.5 * unit;
        c.fill();
        c.stroke();
      }
    });
    if (cursor) {
      const [x, y] = [X(cursor[0]), Y(cursor[1])];
      c.strokeStyle = colour(canvas, "ink");
      c.lineWidth = 2 * unit;
      c.beginPath();
      for (const [dx, dy] of [[1, 0], [-1, 0], [0, 1], [0, -1]]) {
        c.moveTo(x + 4 * dx * unit, y + 4 * dy * unit);
        c.lineTo(x + 13 * dx * unit, y + 13 * dy * unit);
      }
      c.stroke();
      if (inset) {
        const [side, edge] = [104 * unit, 8 * unit];
        const left = x > size / 2 && y < size / 2 ? edge : size - side - edge; // never under the pointer
        c.imageSmoothingEnabled = false;
        c.drawImage(inset, left, edge, side, side);
        c.strokeStyle = colour(canvas, "z");
        c.lineWidth = 2 * unit;
        c.strokeRect(left, edge, side, side);
      }
    }
    canvas.dataset.drawn = String(performance.now());
  }

  const bounded = (place) => place.map((v, k) => Math.max(Math.max(map.low[k], -map.limit), Math.min(Math.min(map.high[k], map.limit), v)));

  function place(event) {
    const rect = canvas.getBoundingClientRect();
    const [x, y] = [(event.clientX - rect.left) / rect.width, (event.clientY - rect.top) / rect.height];
    return bounded([map.low[0] + x * (map.high[0] - map.low[0]), map.high[1] - y * (map.high[1] - map.low[1])]);
  }

  function under(event) {
    const rect = canvas.getBoundingClientRect();
    let [best, least] = [-1, REACH];
    draws.forEach(({ z }, i) => {
      const distance = Math.hypot((X(z[0]) / size) * rect.width + rect.left - event.clientX, (Y(z[1]) / size) * rect.height + rect.top - event.clientY);
      if (distance < least) [best, least] = [i, distance];
    });
    return best;
  }

  function setNear(i) {
    if (i === near) return;
    near = i;
    hover(i < 0 ? null : i);
    schedule();
  }

  function go(next) {
    cursor = next;
    if (!next) inset = null;
    look(next);
    schedule();
  }

  const point = (event) => {
    if (!map || (event.type === "pointerdown" && event.button > 0)) return;
    setNear(under(event));
    go(place(event));
  };
  canvas.addEventListener("pointerdown", point);
  canvas.addEventListener("pointermove", point);
  canvas.addEventListener("pointerleave", (event) => {
    if (event.pointerType === "touch") return; // a finger that left: what it asked for stays to be looked at
    setNear(-1);
    go(null);
  });
  canvas.addEventListener("keydown", (event) => {
    if (!map) return;
    const step = (event.shiftKey ? 5 : 1) * STEP * (map.high[0] - map.low[0]);
    const by = { ArrowLeft: [-step, 0], ArrowRight: [step, 0], ArrowUp: [0, step], ArrowDown: [0, -step] }[event.key];
    if (event.key === "Home") go([0, 0]);
    else if (event.key === "Escape" && cursor) go(null);
    else if (by) go(bounded((cursor ?? [0, 0]).map((v, k) => v + by[k])));
    else return;
    event.preventDefault();
    event.stopPropagation();
  });
  new ResizeObserver(schedule).observe(canvas);
  onTheme(fresh);

  return {
    canvas,
    set(next) {
      map = next;
      fresh();
    },
    /** The distribution that is drawn from, null: the prior. */
    fit(components) {
      shape = components;
      fresh();
    },
    draws(next) {
      draws = next;
      near = -1;
      schedule();
    },
    near(i) {
      near = i ?? -1;
      schedule();
    },
    /** What was decoded at the cursor: a canvas. */
    inset(picture) {
      inset = picture;
      schedule();
    },
  };
}
