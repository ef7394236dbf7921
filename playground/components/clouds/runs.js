/**
 * A run as the server sends it, and what it says at each frame. Frame 0 is the start; then a frame a half step. What a frame's colours
 * follow is the assignment of the step before, where a step has only moved the parameters.
 */
import { ask, bytes } from "../lib/api.js";

export const STEPWISE = ["kmeans", "gmm"];
export const DENSITIES = ["gaussian", "gmm", "kde", "pca"];
const MOVED = ["M", "move"]; // phases after which the points still wear the colours of the step before
const KEYS = { gaussian: [], kmeans: ["k", "how", "seed", "steps", "means"], pca: ["axes"], kde: ["bandwidth"] };
const OF_GMM = ["k", "how", "seed", "steps", "means", "shapes", "covariance", "assignment", "weights", "hold", "reg", "tol"];

const floats = (text) => new Float64Array(bytes(text).buffer);
const list = (numbers) => numbers.map((v) => Number(v.toPrecision(6))).join(",");

/** What is asked of the server for a model's run on a cloud of `d` coordinates; `window`: the ends of the picture, for kernels. */
export function asked(model, settings, d, window) {
  const query = { model, d };
  const own = settings.how === "own" && settings.means.length > 0;
  for (const key of KEYS[model] ?? OF_GMM) {
    if (key === "how") query.how = settings.how === "own" ? "plus" : settings.how;
    else if (key === "means" || key === "shapes") own && settings[key].length && (query[key] = list(settings[key]));
    else query[key === "hold" ? "sigma" : key] = settings[key];
  }
  if (model === "pca") query.axes = Math.min(settings.axes, d);
  if (model === "kde") Object.assign(query, { low: list(window.low), high: list(window.high) });
  return query;
}

/** Asks for a run. */
export async function fetchRun(query, points, signal) {
  const response = await ask("cloud/fit", { query, body: points, signal });
  return opened(await response.json());
}

/** A run from its JSON: numbers as arrays. */
export function opened(told) {
  const run = { ...told, frames: told.phases.length, made: new Map() };
  for (const key of ["weights", "means", "covariances"]) if (told[key]) run[key] = floats(told[key]);
  if (told.grid) run.grid = { ...told.grid, values: floats(told.grid.values) };
  return run;
}

/** The frame of this run that stands beside `frame` of a longer one. */
export const within = (run, frame) => Math.min(frame, run.frames - 1);

/** The parameters at a frame, always the same object: pictures are kept by identity. */
export function mixtureAt(run, frame) {
  if (!run.means) return null;
  if (!run.made.has(frame)) {
    const { d, k } = run;
    const part = (array, size) => array.subarray(frame * size, (frame + 1) * size);
    run.made.set(frame, { d, k, weights: part(run.weights, k), means: part(run.means, k * d), covariances: part(run.covariances, k * d * d) });
  }
  return run.made.get(frame);
}

/** What a plot is told of a run at a frame. */
export function stateAt(run, at, settings) {
  const frame = within(run, at);
  const phase = run.phases[frame];
  const mixture = mixtureAt(run, frame);
  const stepwise = STEPWISE.includes(run.model);
  const trail = [];
  if (stepwise) for (let i = 0; i < frame; i++) if (i === 0 || MOVED.includes(run.phases[i])) trail.push(mixtureAt(run, i).means);
  const coloured = MOVED.includes(phase) ? frame - 1 : frame;
  return {
    kind: run.model,
    assignment: settings.assignment,
    phase: stepwise ? phase : null,
    mixture,
    colours: stepwise && phase !== "start",
    assigned: mixture && mixtureAt(run, coloured),
    axes: run.axes ?? null,
    grid: run.grid ?? null,
    trail: trail.length ? trail : null,
    warn: [...new Set([...(run.collapsed?.[frame] ?? []), ...(run.empty?.[frame] ?? [])])],
  };
}

/** The steps at which the objective stands on a curve: [frame, value]. */
export const objective = (run) => (run.inertia ?? run.log_likelihood).map((value, frame) => [frame, value]).filter(([, value]) => value !== null);

/** Are all means the same? Then no assignment tells them apart. */
export function saddle(run) {
  const { k, d } = run;
  if (k < 2 || !run.means) return false;
  const scale = Math.max(1e-300, ...run.covariances.subarray(0, d * d).map(Math.abs)) ** 0.5;
  for (let i = d; i < k * d; i++) if (Math.abs(run.means[i] - run.means[i % d]) > 1e-9 * scale) return false;
  return true;
}

/** Covariances put by hand travel as upper triangles, row by row: where those numbers stand in a matrix of d rows. */
export const upper = (d) => Array.from({ length: d * d }, (_, i) => i).filter((i) => i % d >= Math.floor(i / d));

/** Upper triangles of one or more matrices of d rows as whole matrices. */
export function whole(triangles, d) {
  const places = upper(d);
  const full = new Float64Array((triangles.length / places.length) * d * d);
  triangles.forEach((value, n) => {
    const start = Math.floor(n / places.length) * d * d;
    const at = places[n % places.length];
    full[start + at] = full[start + (at % d) * d + Math.floor(at / d)] = value;
  });
  return full;
}
