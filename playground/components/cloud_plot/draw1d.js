/**
 * A cloud on a line: the points as a strip of dots below, above them a light histogram, each component's weighted density w_k
 * N(x; μ_k, σ_k²) and their sum. Heights are densities, from 0, so that each area says a probability. A curve that would leave
 * the top is cut there: a collapsed component must not press the others flat.
 */
import { densityCurve } from "../lib/gaussians.js";
import { axisTicks } from "./frame.js";
import { arrow, disc, DISC, sampleDot, warning, words } from "./marks.js";
import { labelOf, paintTicks } from "./draw2d.js";

const BELOW = 24; // pixels for the numbers of the axis
const ABOVE = 34; // pixels for labels above the highest curve
const TALLER = 4; // a curve may be so many times as high as the histogram before it is cut
const GOLDEN = 0.618033988749895;

/**
 * Densities of equal bins: `{ low, width, heights }`. The width is IQR n^(−1/3), half of what Freedman and Diaconis (1981)
 * have for one bump, because clouds here have several; within 5 to 80 bins. */
export function histogram(points) {
  const n = points.length;
  if (!n) return { low: 0, width: 1, heights: [] };
  const sorted = Float64Array.from(points).sort();
  const [low, high] = [sorted[0], sorted[n - 1]];
  const span = high - low || 1;
  const quartiles = sorted[Math.floor(0.75 * (n - 1))] - sorted[Math.floor(0.25 * (n - 1))];
  const bins = Math.round(Math.min(80, Math.max(5, span / (quartiles * n ** (-1 / 3) || span / 10))));
  const width = span / bins;
  const heights = new Array(bins).fill(0);
  for (const x of sorted) heights[Math.min(bins - 1, Math.floor((x - low) / width))] += 1 / (n * width);
  return { low: high > low ? low : low - span / 2, width, heights };
}

/**
 * Where to evaluate a mixture so that its curve is smooth and meets every peak: each 2 pixels, and closely around each mean.
 */
function places(mixture, frame) {
  const xs = [];
  for (let px = 0; px <= frame.width; px += 2) xs.push(frame.x(px));
  for (let k = 0; k < mixture.k; k++)
    for (let t = -4; t <= 4; t += 0.2) xs.push(mixture.means[k] + t * Math.sqrt(mixture.covariances[k]));
  return Float64Array.from(xs.filter(Number.isFinite)).sort();
}

/** `{ xs, parts: [Float64Array, …], total, top }`, or null for a model without a density. */
export function curves(state, frame) {
  if (!state || state.kind === "kmeans") return null;
  if (state.grid) {
    const { values, width, low, high } = state.grid;
    const xs = Float64Array.from(values, (_, i) => low[0] + ((high[0] - low[0]) * i) / (width - 1));
    return { xs, parts: [], total: values, top: Math.max(...values) };
  }
  if (!state.mixture) return null;
  const xs = places(state.mixture, frame);
  const flat = densityCurve(state.mixture, xs);
  const parts = Array.from({ length: state.mixture.k }, (_, k) => flat.subarray(k * xs.length, (k + 1) * xs.length));
  const total = xs.map((_, i) => parts.reduce((sum, part) => sum + part[i], 0));
  return { xs, parts, total, top: total.reduce((a, b) => Math.max(a, b), 0) };
}

/** The frame of a line: X for data, Y for densities up to `top`, the strip of points between `strip[0]` and `strip[1]`. */
export function lineFrame({ low, high }, width, height, top) {
  const depth = Math.min(70, Math.max(30, 0.17 * height));
  const baseline = height - BELOW - depth - 6;
  const scale = width / (high[0] - low[0]);
  const rise = (baseline - ABOVE) / top;
  return {
    width,
    height,
    scale,
    baseline,
    strip: [baseline + 8, height - BELOW - 4],
    top,
    X: (x) => (x - low[0]) * scale,
    x: (px) => low[0] + px / scale,
    Y: (y) => baseline - y * rise,
    y: (py) => (baseline - py) / rise,
  };
}

/** How high the axis of densities goes. */
export function topOf(bars, found) {
  const highest = Math.max(0, ...bars.heights);
  return 1.08 * (highest ? Math.max(highest, Math.min(found?.top ?? 0, TALLER * highest)) : found?.top || 1);
}

/** Where dot i lies in the strip: heights that spread evenly and are always the same. */
export const jitter = (frame, i) => frame.strip[0] + 4 + (frame.strip[1] - frame.strip[0] - 8) * ((0.5 + i * GOLDEN) % 1);

/** The place of each mean's label, at the head of its drop line above its curve, and the density at that `peak`. */
export function lineLabels(state, frame) {
  const { mixture } = state;
  if (state.kind === "kde" || !(mixture || state.axes)) return [];
  const means = mixture ? mixture.means : Float64Array.from(state.axes.mean);
  const peaks = mixture && state.kind !== "kmeans" ? densityCurve(mixture, means) : null;
  const edge = DISC + 9;
  return Array.from(means, (mean, component) => {
    const x = frame.X(mean);
    const peak = peaks ? peaks[component * means.length + component] : null;
    const y = peaks ? frame.Y(peak) - DISC - 5 : ABOVE + 14;
    const at = Math.min(frame.width - edge, Math.max(edge, x));
    const away = Math.abs(at - x) > DISC ? (x < at ? Math.PI : 0) : null;
    return { component, x: at, y: Math.max(edge, Number.isFinite(y) ? y : edge), away, peak };
  }).filter(({ x }) => Number.isFinite(x));
}

function trace(c, xs, ys, frame) {
  c.beginPath();
  for (let i = 0; i < xs.length; i++) c.lineTo(frame.X(xs[i]), Math.max(-20, frame.Y(ys[i])));
}

/** Beneath the points: cells or nothing, the histogram, the axis. */
export function paintLineGround(c, { frame, colours, state, bars, layers, chosen }) {
  if (state?.kind === "kmeans" && layers.cells && state.mixture) {
    const order = Array.from(state.mixture.means, (mean, k) => ({ mean, k })).filter(({ mean }) => Number.isFinite(mean));
    order.sort((a, b) => a.mean - b.mean || a.k - b.k);
    const cells = order.filter(({ mean }, i) => !i || mean !== order[i - 1].mean);
    let left = 0;
    cells.forEach(({ mean, k }, i) => {
      const right = i + 1 < cells.length ? frame.X((mean + cells[i + 1].mean) / 2) : frame.width;
      c.globalAlpha = chosen === null || chosen === k ? 0.13 : 0.05;
      c.fillStyle = colours.classes[k % 10];
      c.fillRect(left, 0, right - left, frame.height);
      left = right;
      if (i + 1 === cells.length) return;
      c.globalAlpha = 0.55;
      c.fillStyle = colours.ink;
      c.fillRect(right - 0.7, 0, 1.4, frame.height);
    });
  }
  c.globalAlpha = 1;
  c.fillStyle = colours.line;
  c.strokeStyle = colours.bg;
  c.lineWidth = 1;
  bars.heights.forEach((height, i) => {
    const x = frame.X(bars.low + i * bars.width);
    c.fillRect(x, frame.Y(height), bars.width * frame.scale, frame.baseline - frame.Y(height));
    c.strokeRect(x, frame.Y(height), bars.width * frame.scale, frame.baseline - frame.Y(height));
  });
  c.fillStyle = colours.soft;
  c.fillRect(0, frame.baseline - 0.5, frame.width, 1);
}

/** Above the points: the pinned run, densities, drop lines, samples, labels, numbers. */
export function paintLineMarks(c, scene) {
  const { frame, colours, state, layers, ghost } = scene;
  if (ghost) {
    c.setLineDash([5, 4]);
    c.lineWidth = 1.75;
    c.strokeStyle = colours.ink;
    c.globalAlpha = 0.55;
    if (ghost.curves) {
      trace(c, ghost.curves.xs, ghost.curves.total, frame);
      c.stroke();
    }
    c.setLineDash([]);
    c.globalAlpha = 0.8;
    for (const { component, x } of lineLabels(ghost.state, frame))
      disc(c, x, frame.baseline, labelOf(ghost.state.kind, component), colours.soft, {
        card: colours.bg,
        ink: colours.ink,
        hollow: true,
      });
    c.globalAlpha = 1;
  }
  if (state && scene.curves) paintCurves(c, scene, layers);
  if (state?.axes) paintDeviation(c, scene);
  if (state) paintDrops(c, scene);
  if (state && layers.trail && scene.trail) paintLineTrail(c, scene);
  scene.samples.forEach((draw, i) =>
    sampleDot(c, frame.X(draw.place[0]), jitter(frame, i), scene.fillOf(draw.component), colours),
  );
  paintTicks(c, scene);
  if (state) paintHeads(c, scene);
}

function paintCurves(c, { frame, colours, state, curves: { xs, parts, total }, chosen }, layers) {
  c.lineJoin = "round";
  if (layers.ellipses)
    parts.forEach((part, k) => {
      const faint = chosen === null || chosen === k ? 1 : 0.28;
      c.strokeStyle = c.fillStyle = colours.component(state.kind, k);
      trace(c, xs, part, frame);
      c.globalAlpha = 0.95 * faint;
      c.lineWidth = 2;
      c.stroke();
      c.lineTo(frame.X(xs[xs.length - 1]), frame.baseline);
      c.lineTo(frame.X(xs[0]), frame.baseline);
      c.globalAlpha = 0.13 * faint;
      c.fill();
    });
  trace(c, xs, total, frame);
  c.strokeStyle = c.fillStyle = colours.p;
  c.globalAlpha = 1;
  c.lineWidth = 2.75;
  c.stroke();
  if (layers.density === "heat" || !parts.length) {
    c.lineTo(frame.X(xs[xs.length - 1]), frame.baseline);
    c.lineTo(frame.X(xs[0]), frame.baseline);
    c.globalAlpha = 0.16;
    c.fill();
  }
  c.globalAlpha = 1;
}

/** Principal axes of a line: one, one deviation long. */
function paintDeviation(c, { frame, colours, state: { axes } }) {
  const [mean, deviation] = [axes.mean[0], axes.deviations[0] * (axes.directions[0]?.[0] ?? 1)];
  arrow(c, frame.X(mean), frame.baseline, frame.X(mean + deviation), frame.baseline, {
    colour: colours.p,
    halo: colours.bg,
    width: 3.5,
    head: 12,
  });
}

function paintDrops(c, { frame, colours, state, labels, chosen }) {
  for (const { component, x, y, away } of labels) {
    if (away !== null) continue;
    c.strokeStyle = colours.component(state.kind, component);
    c.globalAlpha = chosen === null || chosen === component ? 0.9 : 0.3;
    c.lineWidth = 1.75;
    c.beginPath();
    c.moveTo(x, y + DISC);
    c.lineTo(x, state.kind === "kmeans" ? frame.strip[0] : frame.baseline);
    c.stroke();
  }
  c.globalAlpha = 1;
}

/** The means' earlier places, as rungs that rise to the present: the oldest lowest, within the strip. */
function paintLineTrail(c, { frame, colours, state, trail, chosen }) {
  const path = [...trail, state.mixture.means];
  const [bottom, top] = [frame.strip[1], frame.strip[0]];
  c.lineJoin = "round";
  for (let k = 0; k < state.mixture.k; k++) {
    for (const [width, colour, alpha] of [
      [4, colours.bg, 0.7],
      [1.75, colours.component(state.kind, k), 0.95],
    ]) {
      c.beginPath();
      path.forEach((means, i) => {
        if (Number.isFinite(means[k]))
          c.lineTo(frame.X(means[k]), bottom + ((top - bottom) * i) / Math.max(1, path.length - 1));
      });
      c.globalAlpha = alpha * (chosen === null || chosen === k ? 1 : 0.28);
      c.strokeStyle = colour;
      c.lineWidth = width;
      c.stroke();
    }
  }
  c.globalAlpha = 1;
}

function paintHeads(c, { frame, colours, state, labels, chosen }) {
  const warned = new Set(state.warn ?? []);
  for (const { component, x, y, away } of labels) {
    c.globalAlpha = chosen === null || chosen === component ? 1 : 0.5;
    disc(c, x, y, labelOf(state.kind, component), colours.component(state.kind, component), {
      ...colours,
      strong: chosen === component,
    });
    c.globalAlpha = 1;
    if (away !== null)
      words(c, away ? "←" : "→", x + (away ? 1 : -1) * 22, y, { fill: colours.ink, halo: colours.bg, size: 14, weight: 700 });
    if (warned.has(component)) warning(c, x > frame.width - 40 ? x - DISC - 14 : x + DISC + 14, y, colours);
  }
}

/** Ticks of a line: data below, densities on the left. */
export function lineTicks(frame) {
  const count = Math.min(8, Math.max(3, frame.width / 80));
  return {
    x: axisTicks(frame.x(0), frame.x(frame.width), count),
    y: axisTicks(0, frame.top, Math.max(2, frame.baseline / 80)),
  };
}
