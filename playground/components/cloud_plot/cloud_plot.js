/**
 * The canvas on which a cloud of points lies, and what one model makes of it: a Gaussian, K-means, a mixture, a kernel density,
 * principal axes, on a line, on the plane, or in space. Here the pieces are put together: frame.js places, colours.js and
 * points.js paint the cloud, draw1d.js and draw2d.js the model, turntable.js turns, gestures.js listens, flight.js lets samples
 * fly.
 *
 * One still picture is kept (grounds, points, marks) and painted again only when something of it changes; what follows the hand
 * is painted above it. States are values: to show a change, hand over a new mixture, not the old one with other numbers in it.
 */
import { fill, h, oncePerFrame, onTheme } from "../lib/dom.js";
import { palette, pointColours, shares } from "./colours.js";
import { shown } from "./frame.js";
import { flight } from "./flight.js";
import { gestures } from "./gestures.js";
import { paintLive } from "./live.js";
import { opacityOf, pointLayer, radiusOf } from "./points.js";
import { sceneOf } from "./scene.js";
import { START, turned, viewOf } from "./turntable.js";

const DENSEST = 2; // device pixels for a CSS pixel at most
const LAYERS = { density: "none", ellipses: true, cells: true, points: true, trail: true };
const RIMMED = 1500; // up to so many points each has a rim

/** Remembers what was made from the same things, compared by identity: one memory a name. */
function memory() {
  const kept = new Map();
  return (name, keys, make) => {
    const old = kept.get(name);
    if (old && old.keys.length === keys.length && keys.every((key, i) => Object.is(key, old.keys[i]))) return old.value;
    const value = make();
    kept.set(name, { keys, value });
    return value;
  };
}

/**
 * Puts a plot into `host`. `text`: label, keys, keys3d, density, responsibility. `on`, all optional: add([[…], …]),
 * erase([index, …]), mean(k, place, done), shape(k, covariance, done), look({ place, point } or null), rotate(view of 6
 * numbers).
 */
export function cloudPlot(host, { text, on = {} }) {
  const canvas = h("canvas", { tabindex: 0, role: "application", "aria-label": text.label });
  const help = h("p", { class: "keys", "aria-hidden": "true" }, text.keys);
  const box = h("div", { class: "cloud-plot" }, canvas, help);
  host.append(box);

  let cloud = { d: 2, n: 0, points: new Float64Array(0), names: ["x", "y"], bounds: null };
  let bounds = shown(cloud);
  let [state, ghost, chosen, tool, samples, turn] = [null, null, null, "look", [], START];
  let layers = LAYERS;
  let flying = null;
  let busy = false; // something is held: the frame stands still
  let [size, ratio] = [{ width: 0, height: 0 }, 1];
  let colours = null;
  let scene = null;
  let still = null; // the kept picture, an OffscreenCanvas
  let stale = true;
  const keep = memory();
  const layer = pointLayer();
  const live = { cursor: null, near: null, brush: null, hovered: null, carried: null, touch: false };

  const touch = oncePerFrame(draw);

  function fresh() {
    scene = null;
    stale = true;
    touch();
  }

  function now() {
    if (!scene) {
      colours ??= { ...palette(canvas), density: text.density };
      const plot = { cloud, state, layers, ghost, samples, chosen, turn, bounds };
      scene = sceneOf(plot, size, colours, keep);
    }
    return scene;
  }

  function owned() {
    const keys = [cloud.points, state?.colours, state?.kind, state?.assignment, state?.assigned ?? state?.mixture];
    return keep("shares", keys, () => shares(cloud, state));
  }

  /** Points wear x's blue under a model of one piece, and are grey before anything is assigned. */
  const plain = () => (state && ["gaussian", "kde", "pca"].includes(state.kind) ? "x" : "soft");

  function paintPoints(c) {
    const n = cloud.points.length / cloud.d;
    const mine = owned();
    const rgb = keep("rgb", [cloud.points, mine, colours, plain()], () =>
      pointColours(n, mine, colours, colours.bytes(plain())),
    );
    const opacity = opacityOf(n);
    const { order, near, places } = scene;
    const share = chosen !== null && mine && chosen < mine.k ? (i) => 0.1 + 0.9 * mine.share[i * mine.k + chosen] : () => 1;
    const picture = keep("points", [places, rgb, chosen, ratio, size], () =>
      layer.paint({
        ...size,
        ratio,
        places,
        rgb,
        radius: radiusOf(n, size.width),
        alpha: near ? (i) => opacity * share(i) * (0.45 + 0.55 * near[i]) : (i) => opacity * share(i),
        grow: near ? (i) => 0.75 + 0.5 * near[i] : null,
        order,
        rim: n <= RIMMED ? colours.bytes("bg") : null,
      }),
    );
    c.drawImage(picture, 0, 0, size.width, size.height);
  }

  function paintStill() {
    const [w, hgt] = [Math.round(size.width * ratio), Math.round(size.height * ratio)];
    if (!still || still.width !== w || still.height !== hgt) still = new OffscreenCanvas(w, hgt);
    const c = still.getContext("2d");
    c.setTransform(ratio, 0, 0, ratio, 0, 0);
    c.globalAlpha = 1;
    c.fillStyle = colours.bg;
    c.fillRect(0, 0, size.width, size.height);
    scene.ground(c, scene);
    if (layers.points) paintPoints(c);
    scene.marks(c, scene);
  }

  function draw() {
    if (!size.width || !size.height) return;
    now();
    const [w, hgt] = [Math.round(size.width * ratio), Math.round(size.height * ratio)];
    if (canvas.width !== w || canvas.height !== hgt) [canvas.width, canvas.height] = [w, hgt];
    if (stale) {
      stale = false;
      paintStill();
    }
    const c = canvas.getContext("2d");
    c.setTransform(1, 0, 0, 1, 0, 0);
    c.drawImage(still, 0, 0);
    c.setTransform(ratio, 0, 0, ratio, 0, 0);
    flying?.paint(c, scene, cloud);
    paintLive(c, scene, { live, owned: owned(), handles: hands.handles(), held: hands.held(), text });
    canvas.dataset.drawn = String(performance.now());
    canvas.dataset.points = String(layers.points ? cloud.points.length / cloud.d : 0);
    canvas.dataset.kind = state?.kind ?? "";
  }

  const hands = gestures(canvas, {
    live,
    on,
    touch,
    scene: now,
    cloud: () => cloud,
    tool: () => tool,
    chosen: () => chosen,
    turn(right, up) {
      turn = turned(turn, (right * Math.PI) / 180, (up * Math.PI) / 180);
      fresh();
      on.rotate?.(viewOf(turn).view, turn);
    },
    busy(flag) {
      busy = flag;
      if (!busy) reframe();
    },
  });

  /** The frame follows the cloud, though never under a hand that is at work. */
  function reframe() {
    if (busy) return;
    const next = shown(cloud);
    if (String([next.low, next.high]) === String([bounds.low, bounds.high])) return;
    bounds = next;
    fresh();
  }

  function name() {
    const space = cloud.d === 3;
    box.dataset.d = String(cloud.d);
    canvas.dataset.tool = space ? "turn" : tool;
    help.textContent = space ? text.keys3d : text.keys;
    const model = state ? fill(text.models?.[state.kind] ?? "", { k: state.mixture?.k ?? "" }) : "";
    const label = fill(text.label, { n: cloud.n ?? cloud.points.length / cloud.d, d: cloud.d });
    canvas.setAttribute("aria-label", [label, model, help.textContent].filter(Boolean).join(" "));
  }

  const observer = new ResizeObserver(([entry]) => {
    size = { width: entry.contentRect.width, height: entry.contentRect.height };
    ratio = Math.min(DENSEST, Math.max(1, devicePixelRatio));
    fresh();
  });
  observer.observe(canvas);
  const unthemed = onTheme(() => {
    colours = null;
    fresh();
  });

  function stopFlying() {
    flying?.stop();
    flying = null;
  }

  name();
  return {
    canvas,
    /** Another cloud: { d, n, points: Float64Array(rows·d), names, bounds: { low, high } or null (fitted) }. */
    cloud(next) {
      const other = next.d !== cloud.d;
      cloud = next;
      hands.fresh();
      if (other) {
        busy = false;
        bounds = shown(cloud);
        live.cursor = live.hovered = live.carried = null;
      }
      reframe();
      name();
      fresh();
    },
    /** What the model says now, or null. */
    state(next) {
      state = next;
      name();
      fresh();
    },
    layers(next) {
      layers = { ...LAYERS, ...next };
      fresh();
    },
    tool(next) {
      if (next === tool) return;
      hands.drop();
      tool = next;
      name();
      touch();
    },
    ghost(next) {
      ghost = next;
      fresh();
    },
    /** Samples that stay: [{ component, x }], or null. Ends a flight. */
    samples(draws) {
      stopFlying();
      samples = draws ? [...draws] : [];
      fresh();
    },
    /** In space: seen from where another plot was turned to. */
    turn(next) {
      if (next === turn) return;
      turn = next;
      fresh();
    },
    choose(component) {
      chosen = component ?? null;
      fresh();
    },
    /** Draws `draws` one by one, visibly; `each(i)` as each lands. The promise gives how many landed. */
    fly(draws, { each = () => {} } = {}) {
      stopFlying();
      flying = flight(draws, {
        still: matchMedia("(prefers-reduced-motion: reduce)").matches,
        wake: touch,
        land(one, i) {
          samples = [...samples, one];
          fresh();
          each(i);
        },
      });
      return flying.done;
    },
    stopFlying,
    /** Data under a place on the screen: [x, y], or [x, density] where d = 1. */
    toData(clientX, clientY) {
      const rect = canvas.getBoundingClientRect();
      const [u, v] = [(clientX - rect.left) / rect.width, (clientY - rect.top) / rect.height];
      return now().toData(u * size.width, v * size.height);
    },
    toClient(place) {
      const rect = canvas.getBoundingClientRect();
      const [x, y] = now().toPixel(place);
      return [rect.left + (x / size.width) * rect.width, rect.top + (y / size.height) * rect.height];
    },
    /** As on the screen. */
    png() {
      stale = true;
      draw();
      return new Promise((resolve) => canvas.toBlob(resolve, "image/png"));
    },
    remove() {
      stopFlying();
      observer.disconnect();
      unthemed();
      box.remove();
    },
  };
}
