/**
 * What hands do on a plot: mouse, touch and pen by pointer events, and the same by keyboard with a crosshair. Gestures know
 * scenes, not models: they say what is wanted (`on.add`, `on.mean`, …) and leave it to the page to bring it about.
 */
import { keyboard } from "./keyboard.js";
import { pointAt, pointsAlong } from "./points.js";

const BRUSH = { spray: 0.04, erase: 0.05 }; // radii, of the width
const RATE = 40; // sprayed points a second

/** Two independent draws of N(0, 1) (Box & Muller 1958). */
function bell() {
  const r = Math.sqrt(-2 * Math.log(1 - Math.random()));
  const angle = 2 * Math.PI * Math.random();
  return [r * Math.cos(angle), r * Math.sin(angle)];
}

/**
 * Brings `canvas` to life. `plot`: scene() now; tool(); chosen(); on; live, what is under the hand, which this writes and
 * painting reads; touch(), to be painted again; turn(right, up) in degrees; busy(flag) while something is held.
 */
export function gestures(canvas, plot) {
  const { live, on } = plot;
  let held = null; // { kind, id, … } while a pointer is down
  let wiped = new Set(); // of this cloud: erased already, though the page may not have said so yet

  const coarse = (event) => event.pointerType === "touch";
  const place = (event) => {
    const box = canvas.getBoundingClientRect();
    const { width, height } = plot.scene().frame;
    return [((event.clientX - box.left) / box.width) * width, ((event.clientY - box.top) / box.height) * height];
  };
  const tool = () => (plot.scene().d === 3 ? "look" : plot.tool());
  const data = ([px, py]) => plot.scene().toData(px, py).slice(0, plot.scene().d);
  const within = ([px, py]) => px >= 0 && py >= 0 && px <= plot.scene().frame.width && py <= plot.scene().frame.height;
  const clamp = ([px, py]) => {
    const { width, height } = plot.scene().frame;
    return [Math.min(width, Math.max(0, px)), Math.min(height, Math.max(0, py))];
  };
  const radius = (name) => BRUSH[name] * plot.scene().frame.width;
  const brush = (at) => (BRUSH[tool()] ? { at, radius: radius(tool()) } : null);

  /** The component whose label is under a place, or null. Those drawn last are found first. */
  function labelAt([x, y], reach) {
    let best = null;
    let least = reach;
    for (const label of plot.scene().labels) {
      const distance = Math.hypot(label.x - x, label.y - y);
      if (distance <= least) [best, least] = [label, distance];
    }
    return best && plot.scene().d < 3 && movable() ? best : null;
  }
  const movable = () => ["gaussian", "gmm", "kmeans"].includes(plot.scene().state?.kind) && Boolean(plot.scene().mixture);
  const shapely = () => movable() && plot.scene().state.kind !== "kmeans" && plot.scene().d < 3;

  /** The component that shows its handles. */
  function active() {
    if (tool() !== "move" || !shapely()) return null;
    const k = live.hovered ?? plot.chosen() ?? (plot.scene().mixture.k === 1 ? 0 : null);
    return k !== null && k < plot.scene().mixture.k ? k : null;
  }

  /** `{ component, handles }` of what is shown now, or null. */
  function handles() {
    const k = active();
    if (k === null) return null;
    const scene = plot.scene();
    const shape = held?.kind === "shape" ? held.shape : scene.shapeOf(k);
    return { component: k, handles: scene.handles(k, shape), shape };
  }

  function handleAt([x, y], reach) {
    const shown = handles();
    if (!shown) return null;
    const far = (handle) => Math.hypot(handle.x - x, handle.y - y);
    const [near] = [...shown.handles].sort((a, b) => far(a) - far(b));
    return far(near) <= reach ? { ...near, component: shown.component, shape: shown.shape } : null;
  }

  function look(at, reach) {
    const scene = plot.scene();
    live.near = at ? pointAt(scene.places, at[0], at[1], reach) : null;
    if (!at) on.look?.(null);
    else if (scene.d < 3) on.look?.({ place: data(at), point: live.near });
    else if (live.near === null) on.look?.(null);
    else on.look?.({ place: Array.from(plot.cloud().points.subarray(3 * live.near, 3 * live.near + 3)), point: live.near });
    plot.touch();
  }

  function spray(at, count) {
    const sigma = radius("spray") / 2;
    const found = [];
    while (found.length < count) {
      const [u, v] = bell();
      const there = [at[0] + sigma * u, at[1] + sigma * v];
      if (within(there) || !within(at)) found.push(data(clamp(there)));
    }
    if (found.length) on.add?.(found);
  }

  function erase(from, to) {
    const scene = plot.scene();
    const found = pointsAlong(scene.places, from, to, radius("erase"), scene.d === 1).filter((i) => !wiped.has(i));
    found.forEach((i) => wiped.add(i));
    if (found.length) on.erase?.(found);
  }

  function begin(event) {
    if (event.button > 0 || held) return;
    const at = place(event);
    const reach = coarse(event) ? 24 : 14;
    live.cursor = null;
    live.touch = coarse(event);
    const acts = { add: startAdd, spray: startSpray, erase: startErase, look: startLook, move: startMove };
    held = { id: event.pointerId, at, ...acts[tool()](at, reach, event) };
    try {
      canvas.setPointerCapture(event.pointerId);
    } catch {
      // a pointer that is gone already cannot be captured, and need not be
    }
    plot.busy(true);
    plot.touch();
  }

  function startAdd(at) {
    on.add?.([data(at)]);
    return { kind: "add" };
  }

  function startSpray(at) {
    spray(at, 1);
    live.brush = { at, radius: radius("spray") };
    const mine = { last: performance.now(), owed: 0 };
    const drip = (now) => {
      if (held?.stroke !== mine) return;
      mine.owed = Math.min(RATE / 4, mine.owed + (RATE * Math.max(0, now - mine.last)) / 1000);
      mine.last = now;
      const whole = Math.floor(mine.owed);
      mine.owed -= whole;
      if (whole) spray(held.at, whole);
      requestAnimationFrame(drip);
    };
    requestAnimationFrame(drip);
    return { kind: "spray", stroke: mine };
  }

  function startErase(at) {
    live.brush = { at, radius: radius("erase") };
    erase(at, at);
    return { kind: "erase" };
  }

  function startLook(at, reach, event) {
    const label = labelAt(at, reach);
    if (label) return carry(label, at);
    if (plot.scene().d === 3) return { kind: "turn" };
    if (coarse(event)) look(at, 22);
    return { kind: "look" };
  }

  function startMove(at, reach) {
    const handle = handleAt(at, reach);
    if (handle) return { kind: "shape", ...handle, offset: [at[0] - handle.x, at[1] - handle.y] };
    const label = labelAt(at, reach);
    if (label) {
      live.hovered = label.component;
      return carry(label, at);
    }
    return { kind: "none" };
  }

  function carry({ component, x, y }, at) {
    live.near = null;
    return { kind: "mean", component, offset: [at[0] - x, at[1] - y], moved: false };
  }

  /** Where the mean goes that is held by its label: for d = 1 the label's height says nothing. */
  function drag(at, done) {
    const [x, y] = [at[0] - held.offset[0], at[1] - held.offset[1]];
    if (held.kind === "mean") on.mean?.(held.component, data(clamp([x, y])), done);
    else {
      const { shape, covariance } = plot.scene().pull(held.shape, held.part, x, y);
      held.shape = shape;
      on.shape?.(held.component, covariance, done);
    }
  }

  function move(event) {
    const at = place(event);
    if (!held) return hover(event, at);
    if (event.pointerId !== held.id) return;
    const before = held.at;
    held.at = at;
    if (held.kind === "mean" || held.kind === "shape") {
      held.moved = true;
      drag(at, false);
    } else if (held.kind === "erase") erase(before, at);
    else if (held.kind === "turn") plot.turn((at[0] - before[0]) * 0.5, (at[1] - before[1]) * 0.5);
    else if (held.kind === "look") look(at, live.touch ? 22 : 9);
    if (live.brush) live.brush.at = at;
    plot.touch();
  }

  function hover(event, at) {
    if (coarse(event)) return;
    const now = tool();
    live.brush = brush(at);
    const label = now === "look" || now === "move" ? labelAt(at, 14) : null;
    const handle = handleAt(at, 14);
    if (now === "move" && shapely() && !handle) live.hovered = label ? label.component : (ellipseAt(at) ?? live.hovered);
    canvas.dataset.over = label || handle ? "mean" : "";
    if (now === "look" || now === "move") look(at, 9);
    else live.near = null;
    plot.touch();
  }

  /** The component within whose ellipse a place lies deepest. */
  function ellipseAt([x, y]) {
    const scene = plot.scene();
    let best = null;
    let least = Infinity;
    for (let k = 0; k < scene.mixture.k; k++) {
      const depth = scene.inside(k, x, y);
      if (depth < least) [best, least] = [k, depth];
    }
    return best;
  }

  function end(event) {
    if (!held || event.pointerId !== held.id) return;
    const was = held;
    if (was.moved) drag(event.type === "pointerup" ? place(event) : was.at, true);
    held = null;
    if (coarse(event)) live.brush = null;
    plot.busy(false);
    plot.touch();
  }

  canvas.addEventListener("pointerdown", begin);
  canvas.addEventListener("pointermove", move);
  for (const type of ["pointerup", "pointercancel", "lostpointercapture"]) canvas.addEventListener(type, end);
  canvas.addEventListener("pointerleave", (event) => {
    if (held || coarse(event)) return; // what a finger pointed at stays, until it points elsewhere
    live.brush = null;
    canvas.dataset.over = "";
    look(null);
  });
  canvas.addEventListener(
    "touchstart",
    (event) => {
      const [touch] = event.changedTouches;
      if (tool() === "look" && labelAt(place(touch), 24)) event.preventDefault(); // this finger drags a mean, not the page
    },
    { passive: false },
  );

  const keys = keyboard(canvas, plot, { tool, data, clamp, brush, movable, look, spray, erase });

  return {
    handles,
    held: () => held,
    /** Another cloud: its points have other indices. */
    fresh() {
      wiped = new Set();
      live.near = null;
    },
    /** Another tool: what the last one left is dropped. */
    drop() {
      keys.letGo();
      live.brush = live.hovered = null;
    },
  };
}
