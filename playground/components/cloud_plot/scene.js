/**
 * A scene is all that painting and gestures need to know of one moment: a frame, each point's place in pixels, the model as it
 * lies on the plane, labels and handles, and the way back from pixels to data. One for the line (d = 1), one for the plane and
 * for space.
 */
import { covarianceOf, project, projectPoints } from "../lib/gaussians.js";
import { densityOf } from "./density.js";
import { ellipseOf, hasDensity, labelPlaces, paintGround, paintMarks, planeTicks } from "./draw2d.js";
import {
  curves,
  histogram,
  jitter,
  lineFrame,
  lineLabels,
  lineTicks,
  paintLineGround,
  paintLineMarks,
  topOf,
} from "./draw1d.js";
import { fitPlane, planeFrame } from "./frame.js";
import { depths, flatten, paintBox, paintTriad, sphere, viewOf } from "./turntable.js";

const CLEAR = 27; // pixels from a mean to its handles at least, so that they stand free of the label
const LEAST = 1.5; // pixels: no ellipse is dragged narrower

/** Means with numbers in them all: a mixture that cannot be drawn is none. */
const sound = (mixture, d) => (mixture && mixture.d === d && mixture.k > 0 ? mixture : null);

/**
 * The scene of `plot` ({ cloud, state, layers, ghost, samples, chosen, turn, bounds }) in a box of `size`; `keep` remembers
 * costly parts.
 */
export function sceneOf(plot, size, colours, keep) {
  return plot.cloud.d === 1 ? lineScene(plot, size, colours, keep) : planeScene(plot, size, colours, keep);
}

function lineScene({ cloud, state, layers, ghost, samples, chosen, bounds }, { width, height }, colours, keep) {
  const bars = keep("bars", [cloud.points], () => histogram(cloud.points));
  const rough = keep("rough", [bounds, width, height], () => lineFrame(bounds, width, height, 1));
  const found = keep("curves", [state?.mixture, state?.grid, state?.kind, rough], () => curves(state, rough));
  const top = topOf(bars, found);
  const frame = keep("frame", [bounds, width, height, top], () => lineFrame(bounds, width, height, top));
  const places = keep("places", [cloud.points, frame], () => {
    const out = new Float64Array(2 * cloud.points.length);
    cloud.points.forEach((x, i) => ((out[2 * i] = frame.X(x)), (out[2 * i + 1] = jitter(frame, i))));
    return out;
  });
  const mixture = sound(state?.mixture, 1);
  const labels = state ? lineLabels(state, frame) : [];
  const sigma = (k) => Math.sqrt(mixture.covariances[k]);
  const bend = Math.exp(-0.5); // a bell turns from one bend to the other at μ ± σ, at this share of its height
  const turning = (k) => Math.max(16, frame.Y(bend * (labels.find(({ component }) => component === k)?.peak ?? 0)));
  return {
    flat: true,
    d: 1,
    names: [cloud.names?.[0] ?? "x", colours.density],
    frame,
    colours,
    state,
    layers,
    chosen,
    bars,
    places,
    mixture,
    labels,
    trail: state?.trail,
    curves: found,
    ticks: keep("ticks", [frame], () => lineTicks(frame)),
    ghost: ghost && { state: ghost, curves: keep("ghost curves", [ghost, rough], () => curves(ghost, rough)) },
    samples: samples.map((draw) => ({ component: draw.component, place: draw.x })),
    order: null,
    near: null,
    fillOf: fillOf(state, colours),
    toData: (px, py) => [frame.x(px), frame.y(py)],
    toPixel: ([x, y = 0]) => [frame.X(x), frame.Y(y)],
    landing: (draw, i) => [frame.X(draw.x[0]), jitter(frame, i)],
    meanOf: (k) => [mixture.means[k]],
    inside(k, px) {
      const deviations = Math.abs(frame.x(px) - mixture.means[k]) / sigma(k);
      return deviations <= 1 ? deviations : Infinity;
    },
    shapeOf: (k) => ({ rx: sigma(k), mean: mixture.means[k] }),
    handles: (k, shape) => [{ part: "rx", x: frame.X(shape.mean) + Math.max(CLEAR, shape.rx * frame.scale), y: turning(k) }],
    pull(shape, part, px) {
      const free = Math.max(0, CLEAR - shape.rx * frame.scale);
      const rx = Math.max(LEAST, px - frame.X(shape.mean) - (shape.free ?? free)) / frame.scale;
      return { shape: { ...shape, rx, free: shape.free ?? free }, covariance: [rx * rx] };
    },
    ground: paintLineGround,
    marks: paintLineMarks,
  };
}

/** The fill of a drawn sample: the colour of the component it came from, where there are several. */
const fillOf = (state, colours) => (component) =>
  ["gmm", "kmeans"].includes(state?.kind) && component >= 0 ? colours.classes[component % 10] : colours.card;

function planeScene({ cloud, state, layers, ghost, samples, chosen, bounds, turn }, { width, height }, colours, keep) {
  const space = cloud.d === 3;
  const n = cloud.points.length / cloud.d;
  const looking = space ? keep("view", [turn], () => viewOf(turn)) : null;
  const view = looking?.view;
  const ball = space ? keep("ball", [bounds, width, height], () => sphere(bounds, width, height)) : null;
  const frame = keep("frame", [bounds, ball, view, width, height], () =>
    space ? planeFrame(flatten(view, ball.centre), ball.scale, width, height) : fitPlane(bounds, width, height),
  );
  const onto = (x) => (space ? flatten(view, x) : x);
  const lie = (name, mixture) => (mixture && space ? keep(name, [mixture, view], () => project(mixture, view)) : mixture);
  const lieAxes = (axes) =>
    axes && { mean: onto(axes.mean), directions: axes.directions.map(onto), deviations: axes.deviations };
  const flatPoints = keep("flat points", [cloud.points, view], () =>
    space ? projectPoints(cloud.points, n, 3, view) : cloud.points,
  );
  const places = keep("places", [flatPoints, frame], () => {
    const out = new Float64Array(2 * n);
    for (let i = 0; i < n; i++) ((out[2 * i] = frame.X(flatPoints[2 * i])), (out[2 * i + 1] = frame.Y(flatPoints[2 * i + 1])));
    return out;
  });
  const sorted = space ? keep("depths", [cloud.points, looking, ball], () => depths(cloud.points, looking.toward, ball)) : null;
  const mixture = lie("mixture", sound(state?.mixture, cloud.d));
  const axes = lieAxes(state?.axes);
  const grid = space ? null : state?.grid;
  const scene = {
    flat: !space,
    d: cloud.d,
    names: cloud.names ?? ["x", "y", "z"],
    frame,
    colours,
    state,
    layers,
    chosen,
    places,
    mixture,
    axes,
    order: sorted?.order,
    near: sorted?.near,
    view,
    toward: looking?.toward,
    box: bounds,
    ticks: space ? null : keep("ticks", [frame], () => planeTicks(frame)),
    labels: state ? labelPlaces(state, mixture, axes, frame) : [],
    trail: state?.trail?.map((means) => (space ? projectPoints(means, means.length / 3, 3, view) : means)),
    plane: space && state?.axes?.directions.length > 1 ? corners(state.axes).map(onto) : null,
    ghost: ghost && { state: ghost, mixture: lie("ghost", sound(ghost.mixture, cloud.d)), axes: lieAxes(ghost.axes) },
    samples: samples.map((draw) => ({ component: draw.component, place: onto(draw.x) })),
    fillOf: fillOf(state, colours),
    drops: (limit) =>
      keep("drops", [cloud.points, state.axes, frame], () =>
        drops(cloud, state.axes, limit, space ? 2 : 1).map((ends) => ends.flatMap((x) => pixel(onto(x)))),
      ),
    toData: (px, py) => [frame.x(px), frame.y(py)],
    toPixel: (x) => pixel(x.length > 2 ? onto(x) : x),
    landing: (draw) => pixel(onto(draw.x)),
    meanOf: (k) => Array.from(mixture.means.slice(2 * k, 2 * k + 2)),
    inside(k, px, py) {
      const { rx, ry, angle, mean } = ellipseOf(mixture, k);
      const [dx, dy] = [frame.x(px) - mean[0], frame.y(py) - mean[1]];
      const u = (dx * Math.cos(angle) + dy * Math.sin(angle)) / rx;
      const v = (dy * Math.cos(angle) - dx * Math.sin(angle)) / ry;
      return Math.hypot(u, v) <= 1 ? Math.hypot(u, v) : Infinity;
    },
    shapeOf: (k) => ellipseOf(mixture, k),
    handles(k, { rx, ry, angle, mean }) {
      const [x, y] = pixel(mean);
      const at = (part, radius, turnBy) => {
        const reach = Math.max(CLEAR, radius * frame.scale);
        return { part, x: x + reach * Math.cos(angle + turnBy), y: y - reach * Math.sin(angle + turnBy) };
      };
      return [at("rx", rx, 0), at("ry", ry, Math.PI / 2)];
    },
    pull(shape, part, px, py) {
      const [x, y] = pixel(shape.mean);
      const [u, v] = [px - x, y - py];
      const free = shape.free ?? Math.max(0, CLEAR - shape[part] * frame.scale);
      const next = { ...shape, free };
      if (part === "rx") next.angle = Math.atan2(v, u);
      const along = part === "rx" ? Math.hypot(u, v) : Math.abs(v * Math.cos(shape.angle) - u * Math.sin(shape.angle));
      next[part] = Math.max(LEAST, along - free) / frame.scale;
      return { shape: next, covariance: covarianceOf(next) };
    },
    ground(c, s) {
      if (space) paintBox(c, s);
      paintGround(c, s);
    },
    marks(c, s) {
      paintMarks(c, s);
      if (space) paintTriad(c, s);
    },
  };
  const pixel = ([x, y]) => [frame.X(x), frame.Y(y)];
  const wanted = state && layers.density !== "none" && hasDensity(state.kind) && (grid || mixture);
  scene.density = wanted ? keep("density", [mixture, grid, frame], () => densityOf(mixture, grid, frame)) : null;
  return scene;
}

/** The corners of the plane of the first two principal axes, two deviations each way. */
function corners({ mean, directions: [u, v], deviations: [a, b] }) {
  return [
    [1, 1],
    [-1, 1],
    [-1, -1],
    [1, -1],
  ].map(([s, t]) => mean.map((m, j) => m + 2 * (s * a * u[j] + t * b * v[j])));
}

/**
 * At most `limit` points, evenly chosen, each with its foot on the span of the first `dims` axes: x̂ = μ + Σ u (u · (x − μ)).
 */
function drops({ points, d }, { mean, directions }, limit, dims) {
  const n = points.length / d;
  const stride = Math.max(1, n / limit);
  const found = [];
  for (let s = 0; Math.floor(s) < n; s += stride) {
    const x = Array.from(points.subarray(Math.floor(s) * d, Math.floor(s) * d + d));
    const foot = [...mean];
    for (const u of directions.slice(0, dims)) {
      const score = u.reduce((sum, w, j) => sum + w * (x[j] - mean[j]), 0);
      u.forEach((w, j) => (foot[j] += score * w));
    }
    found.push([x, foot]);
  }
  return found;
}
