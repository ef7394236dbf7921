/**
 * A latent plane to move over. Layers: the encoded test points by class (a glyph and a colour each), the prior's contours, the
 * holes; above them the samples' dots, a posterior, and the cursor. What moves is redrawn alone; the rest is one kept picture.
 */
import { colour, oncePerFrame, onTheme } from "../lib/dom.js";

const CONTOURS = [0.5, 0.9, 0.99]; // shares of the prior's mass inside

/** The radius of the disc that holds `share` of N(0, I) on the plane. */
export function radius(share) {
  return Math.sqrt(-2 * Math.log(1 - share));
}

/** The colour token of class `c`. */
export const classColour = (c) => `c${c % 10}`;

/**
 * Returns setters. Calls move([x, y]) with a place that is chosen, look([x, y]) with one that is only pointed at, and look(null) when
 * the pointer leaves; pick(i) where a dot is clicked, hover(i or null) where one is near.
 */
export function latentPad(host, { text, move, look, pick, hover = () => {} }) {
  const canvas = document.createElement("canvas");
  canvas.tabIndex = 0;
  canvas.setAttribute("role", "application");
  canvas.setAttribute("aria-label", text.label);
  canvas.title = text.keys;
  const box = document.createElement("div");
  box.className = "latent-pad";
  box.append(canvas);
  host.append(box);

  let plane = { extent: 3.5, points: null };
  let axes = ["z₁", "z₂"];
  let dots = [];
  let chosen = -1;
  let near = -1;
  let cursor = null;
  let posterior = null;
  let holes = false;
  let frame = null; // half the side of a square to draw
  let only = null; // the class shown alone
  let inset = null; // a canvas to show in the corner: what was decoded at the cursor
  let base = null; // the kept picture
  let size = 0; // device pixels

  const X = (x) => ((x / plane.extent + 1) / 2) * size;
  const Y = (y) => ((1 - y / plane.extent) / 2) * size;

  const schedule = oncePerFrame(draw);

  function fresh() {
    base = null;
    schedule();
  }

  function drawBase() {
    base = new OffscreenCanvas(size, size);
    const c = base.getContext("2d");
    const unit = size / 480;
    if (holes && plane.holes) hatch(c, unit);
    const classes = plane.classes?.map((_, k) => colour(canvas, classColour(k)));
    if (plane.points) {
      c.font = `600 ${9.5 * unit}px system-ui, sans-serif`;
      c.textAlign = "center";
      c.textBaseline = "middle";
      for (let i = 0; i < plane.labels.length; i++) {
        c.globalAlpha = only === null ? 0.62 : plane.labels[i] === only ? 0.95 : 0.07;
        c.fillStyle = classes[plane.labels[i]];
        c.fillText(plane.glyphs[plane.labels[i]], X(plane.points[2 * i]), Y(plane.points[2 * i + 1]));
      }
      c.globalAlpha = 1;
    }
    c.strokeStyle = c.fillStyle = colour(canvas, "p");
    c.lineWidth = 1.5 * unit;
    c.font = `600 ${12 * unit}px system-ui, sans-serif`;
    c.textAlign = "center";
    c.textBaseline = "bottom";
    for (const share of CONTOURS) {
      const r = (radius(share) / plane.extent / 2) * size;
      c.setLineDash([5 * unit, 4 * unit]);
      c.beginPath();
      c.arc(X(0), Y(0), r, 0, 2 * Math.PI);
      c.stroke();
      label(c, share === 0.99 ? `99 % ${text.ring}` : `${Math.round(share * 100)} %`, X(0), Y(0) - r - 2 * unit, unit);
    }
    c.setLineDash([]);
    c.fillStyle = colour(canvas, "soft");
    c.font = `${11 * unit}px system-ui, sans-serif`;
    c.textAlign = "center";
    for (const at of [-2, 0, 2]) {
      label(c, String(at).replace("-", "−"), X(at), size - 5 * unit, unit);
      if (at) label(c, String(at).replace("-", "−"), 10 * unit, Y(at) + 5 * unit, unit);
    }
    c.font = `600 ${12 * unit}px system-ui, sans-serif`;
    c.textAlign = "right";
    label(c, `${axes[0]} →`, size - 6 * unit, size - 5 * unit, unit);
    c.textAlign = "left";
    label(c, `↑ ${axes[1]}`, 6 * unit, 20 * unit, unit);
  }

  /** Words with a rim of ground, so that points do not run through them. */
  function label(c, words, x, y, unit) {
    c.save();
    c.setLineDash([]);
    c.lineWidth = 4 * unit;
    c.lineJoin = "round";
    c.strokeStyle = colour(canvas, "bg");
    c.strokeText(words, x, y);
    c.restore();
    c.fillText(words, x, y);
  }

  /** Amber stripes over the cells of the holes. */
  function hatch(c, unit) {
    const g = plane.grid;
    const mask = new OffscreenCanvas(g, g);
    const image = new ImageData(g, g);
    for (let row = 0; row < g; row++)
      for (let column = 0; column < g; column++) image.data[4 * ((g - 1 - row) * g + column) + 3] = plane.holes[row * g + column] ? 255 : 0;
    mask.getContext("2d").putImageData(image, 0, 0);
    const layer = new OffscreenCanvas(size, size);
    const l = layer.getContext("2d");
    l.drawImage(mask, 0, 0, size, size);
    l.globalCompositeOperation = "source-in";
    l.fillStyle = colour(canvas, "kl");
    l.globalAlpha = 0.22;
    const stripes = new OffscreenCanvas(size, size);
    const s = stripes.getContext("2d");
    s.fillStyle = s.strokeStyle = colour(canvas, "kl");
    s.globalAlpha = 0.16;
    s.fillRect(0, 0, size, size);
    s.globalAlpha = 0.75;
    s.lineWidth = 1.5 * unit;
    for (let at = -size; at < size; at += 8 * unit) {
      s.beginPath();
      s.moveTo(at, size);
      s.lineTo(at + size, 0);
      s.stroke();
    }
    l.globalAlpha = 1;
    l.drawImage(stripes, 0, 0);
    c.drawImage(layer, 0, 0);
    if (plane.deepest) {
      const [x, y] = [X(plane.deepest[0]), Y(plane.deepest[1])];
      c.strokeStyle = colour(canvas, "kl");
      c.lineWidth = 3 * unit;
      c.beginPath();
      c.moveTo(x - 7 * unit, y - 7 * unit);
      c.lineTo(x + 7 * unit, y + 7 * unit);
      c.moveTo(x + 7 * unit, y - 7 * unit);
      c.lineTo(x - 7 * unit, y + 7 * unit);
      c.stroke();
    }
  }

  function draw() {
    const wanted = Math.round(canvas.clientWidth * Math.min(2, devicePixelRatio || 1));
    if (!wanted) return;
    if (wanted !== size) {
      size = canvas.width = canvas.height = wanted;
      base = null;
    }
    if (!base) drawBase();
    const c = canvas.getContext("2d");
    const unit = size / 480;
    c.clearRect(0, 0, size, size);
    c.drawImage(base, 0, 0);
    const z = colour(canvas, "z");
    if (frame) {
      c.strokeStyle = z;
      c.lineWidth = 1.5 * unit;
      c.strokeRect(X(-frame), Y(frame), X(frame) - X(-frame), Y(-frame) - Y(frame));
    }
    const ground = colour(canvas, "ink");
    dots.forEach(([x, y], i) => {
      c.beginPath();
      c.arc(X(x), Y(y), (i === near ? 8 : 5) * unit, 0, 2 * Math.PI);
      c.fillStyle = z;
      c.strokeStyle = i === near ? colour(canvas, "x") : ground;
      c.lineWidth = (i === near ? 3 : 1.5) * unit;
      c.fill();
      c.stroke();
      if (i === chosen) {
        c.strokeStyle = z;
        c.lineWidth = 2 * unit;
        c.beginPath();
        c.arc(X(x), Y(y), 10 * unit, 0, 2 * Math.PI);
        c.stroke();
      }
    });
    if (posterior) drawPosterior(c, unit);
    if (cursor) {
      const [x, y] = [X(cursor[0]), Y(cursor[1])];
      c.strokeStyle = colour(canvas, "ink");
      c.lineWidth = 2 * unit;
      for (const [dx, dy] of [[1, 0], [-1, 0], [0, 1], [0, -1]]) {
        c.beginPath();
        c.moveTo(x + 4 * dx * unit, y + 4 * dy * unit);
        c.lineTo(x + 14 * dx * unit, y + 14 * dy * unit);
        c.stroke();
      }
    }
    if (inset) {
      const side = 92 * unit;
      const edge = 8 * unit;
      c.imageSmoothingEnabled = false;
      c.drawImage(inset, size - side - edge, edge, side, side);
      c.strokeStyle = colour(canvas, "line");
      c.lineWidth = 1.5 * unit;
      c.strokeRect(size - side - edge, edge, side, side);
    }
    canvas.dataset.drawn = String(performance.now());
  }

  /** q(z|x): a cross at its mean, ellipses at one and two deviations, a diamond at the draw z. */
  function drawPosterior(c, unit) {
    const q = colour(canvas, "q");
    const [mx, my] = posterior.mean;
    c.strokeStyle = c.fillStyle = q;
    for (const [deviations, alpha] of [[2, 0.15], [1, 0.3]]) {
      const rx = Math.max(3 * unit, (deviations * posterior.std[0] * size) / plane.extent / 2);
      const ry = Math.max(3 * unit, (deviations * posterior.std[1] * size) / plane.extent / 2);
      c.beginPath();
      c.ellipse(X(mx), Y(my), rx, ry, 0, 0, 2 * Math.PI);
      c.globalAlpha = alpha;
      c.fill();
      c.globalAlpha = 1;
      c.lineWidth = 2 * unit;
      c.stroke();
    }
    if (posterior.z) {
      const [x, y] = [X(posterior.z[0]), Y(posterior.z[1])];
      c.fillStyle = colour(canvas, "z");
      c.strokeStyle = colour(canvas, "card");
      c.beginPath();
      for (const [dx, dy] of [[0, -7], [7, 0], [0, 7], [-7, 0]]) c.lineTo(x + dx * unit, y + dy * unit);
      c.closePath();
      c.fill();
      c.stroke();
    }
  }

  function place(event) {
    const rect = canvas.getBoundingClientRect();
    const x = (((event.clientX - rect.left) / rect.width) * 2 - 1) * plane.extent;
    const y = (1 - ((event.clientY - rect.top) / rect.height) * 2) * plane.extent;
    return [x, y].map((v) => Math.max(-plane.extent, Math.min(plane.extent, v)));
  }

  /** The dot under a pointer, or -1. */
  function under(event) {
    const rect = canvas.getBoundingClientRect();
    const reach = event.pointerType === "touch" ? 16 : 9;
    let best = -1;
    let distance = reach;
    dots.forEach(([x, y], i) => {
      const px = ((x / plane.extent + 1) / 2) * rect.width + rect.left;
      const py = ((1 - y / plane.extent) / 2) * rect.height + rect.top;
      const d = Math.hypot(px - event.clientX, py - event.clientY);
      if (d < distance) [best, distance] = [i, d];
    });
    return best;
  }

  function want(place) {
    cursor = place;
    move(place);
    schedule();
  }

  function point(place) {
    cursor = place;
    look(place);
    schedule();
  }

  function setNear(i) {
    if (i === near) return;
    near = i;
    hover(i < 0 ? null : i);
    schedule();
  }

  canvas.addEventListener("pointerdown", (event) => {
    if (event.button > 0) return;
    canvas.setPointerCapture(event.pointerId);
    const dot = under(event);
    if (dot >= 0) pick(dot);
    else want(place(event));
  });
  canvas.addEventListener("pointermove", (event) => {
    if (event.pointerType === "touch" && !event.buttons) return;
    const dot = event.buttons ? -1 : under(event);
    setNear(dot);
    if (event.buttons) want(place(event));
    else point(dot >= 0 ? [...dots[dot]] : place(event));
  });
  canvas.addEventListener("pointerleave", (event) => {
    setNear(-1);
    if (!event.buttons) look(null);
  });
  canvas.addEventListener("keydown", (event) => {
    const step = (event.shiftKey ? 0.5 : 0.1) * 1;
    const by = { ArrowLeft: [-step, 0], ArrowRight: [step, 0], ArrowUp: [0, step], ArrowDown: [0, -step] }[event.key];
    if (event.key === "Home") want([0, 0]);
    else if (by) want((cursor ?? [0, 0]).map((v, k) => Math.max(-plane.extent, Math.min(plane.extent, v + by[k]))));
    else return;
    event.preventDefault();
  });
  new ResizeObserver(schedule).observe(canvas);
  onTheme(fresh);

  return {
    plane(next) {
      plane = next;
      fresh();
    },
    axes(names) {
      axes = names;
      fresh();
    },
    holes(on) {
      holes = on;
      fresh();
    },
    dots(places, pickedOne) {
      dots = places;
      chosen = pickedOne;
      near = -1;
      schedule();
    },
    near(i) {
      near = i ?? -1;
      schedule();
    },
    cursor(place) {
      cursor = place;
      schedule();
    },
    posterior(found) {
      posterior = found;
      schedule();
    },
    /** A square of half the side `half` around the middle, or none. */
    frame(half) {
      frame = half;
      schedule();
    },
    /** Shows a canvas in the corner, as it is now. */
    inset(picture) {
      inset = picture;
      schedule();
    },
    /** One class alone, or all (null). */
    only(c) {
      only = c;
      fresh();
    },
    inside: ([x, y]) => Math.max(Math.abs(x), Math.abs(y)) <= plane.extent,
    /** Is this place within a hole? */
    inHole([x, y]) {
      if (!plane.holes || Math.max(Math.abs(x), Math.abs(y)) >= plane.extent) return false;
      const g = plane.grid;
      const column = Math.floor(((x / plane.extent + 1) / 2) * g);
      const row = Math.floor(((y / plane.extent + 1) / 2) * g);
      return Boolean(plane.holes[row * g + column]);
    },
  };
}
