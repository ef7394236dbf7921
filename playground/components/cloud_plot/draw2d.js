/**
 * A cloud on the plane, and what a model makes of it. Everything here is drawn from a scene: a frame, the model's mixture and
 * axes as they lie on that plane (for d = 3 their exact projections: see turntable.js), and the page's colours.
 */
import { ellipse } from "../lib/gaussians.js";
import { voronoi } from "./cells.js";
import { paintContours, paintHeat } from "./density.js";
import { axisTicks } from "./frame.js";
import { circle, disc, DISC, ellipsePath, line, sampleDot, warning, words } from "./marks.js";
import { paintAxes } from "./principal.js";

/** Whether a kind of model says how dense it is. */
export const hasDensity = (kind) => kind !== "kmeans";

/** What stands in a component's label: its number, or the symbol where there is one mean. */
export const labelOf = (kind, k) => (kind === "gmm" || kind === "kmeans" ? String(k + 1) : "μ");

/**
 * Where the labels of the means go: `[{ component, x, y, away }]`; a mean outside of the box waits at its edge, `away` from its
 * place.
 */
export function labelPlaces(state, mixture, axes, frame) {
  const means = mixture
    ? Array.from({ length: mixture.k }, (_, k) => mixture.means.slice(2 * k, 2 * k + 2))
    : axes
      ? [axes.mean]
      : [];
  if (state.kind === "kde") return [];
  const edge = DISC + 9;
  return means
    .map(([mx, my], component) => {
      const [x, y] = [frame.X(mx), frame.Y(my)];
      const [cx, cy] = [Math.min(frame.width - edge, Math.max(edge, x)), Math.min(frame.height - edge, Math.max(edge, y))];
      return { component, x: cx, y: cy, away: Math.hypot(x - cx, y - cy) > DISC ? Math.atan2(y - cy, x - cx) : null };
    })
    .filter(({ x, y }) => Number.isFinite(x + y));
}

/** The ellipse of component k at one deviation, in the points' unit, with its middle. */
export function ellipseOf(mixture, k) {
  const [a, b, , d] = mixture.covariances.slice(4 * k, 4 * k + 4);
  return { ...ellipse(a, b, d), mean: mixture.means.slice(2 * k, 2 * k + 2) };
}

const pale = (chosen, k) => (chosen === null || chosen === k ? 1 : 0.28);

/** Beneath the points: light grid lines, heat, cells. */
export function paintGround(c, scene) {
  const { frame, colours, state, mixture, layers, flat } = scene;
  if (flat) {
    c.strokeStyle = colours.line;
    c.lineWidth = 1;
    c.globalAlpha = 0.75;
    c.beginPath();
    for (const { at } of scene.ticks.x.ticks)
      line(c, Math.round(frame.X(at)) + 0.5, 0, Math.round(frame.X(at)) + 0.5, frame.height);
    for (const { at } of scene.ticks.y.ticks)
      line(c, 0, Math.round(frame.Y(at)) + 0.5, frame.width, Math.round(frame.Y(at)) + 0.5);
    c.stroke();
    c.globalAlpha = 1;
  }
  if (!state) return;
  if (state.kind === "kmeans" && layers.cells && mixture && flat) paintCells(c, scene);
  if (layers.density === "heat" && scene.density) paintHeat(c, scene.density, frame, colours);
}

function paintCells(c, { frame, colours, mixture, chosen }) {
  const places = Array.from({ length: mixture.k }, (_, k) => [
    frame.X(mixture.means[2 * k]),
    frame.Y(mixture.means[2 * k + 1]),
  ]);
  const cells = voronoi(places, frame.width, frame.height);
  const trace = (cell) => {
    c.beginPath();
    cell.forEach(([x, y]) => c.lineTo(x, y));
    c.closePath();
  };
  cells.forEach((cell, k) => {
    trace(cell);
    c.globalAlpha = 0.13 * pale(chosen, k);
    c.fillStyle = colours.classes[k % 10];
    c.fill();
  });
  c.lineJoin = "round";
  for (const [width, colour, alpha] of [
    [3.5, colours.bg, 0.8],
    [1.4, colours.ink, 0.5],
  ]) {
    for (const cell of cells) {
      trace(cell);
      c.globalAlpha = alpha;
      c.lineWidth = width;
      c.strokeStyle = colour;
      c.stroke();
    }
  }
  c.globalAlpha = 1;
}

/** Above the points: the pinned run, curves, axes, ellipses, paths, samples, labels, ticks. */
export function paintMarks(c, scene) {
  const { frame, colours, state, mixture, axes, layers } = scene;
  if (scene.ghost) paintGhost(c, scene);
  if (state) {
    if (layers.density === "contours" && scene.density) paintContours(c, scene.density, frame, colours);
    if (axes) paintAxes(c, scene);
    if (layers.ellipses && mixture && (state.kind === "gmm" || state.kind === "gaussian")) paintEllipses(c, scene);
    if (layers.trail && scene.trail) paintTrail(c, scene);
  }
  for (const { place, component } of scene.samples)
    sampleDot(c, frame.X(place[0]), frame.Y(place[1]), scene.fillOf(component), colours);
  if (scene.flat) paintTicks(c, scene);
  if (state) paintLabels(c, scene);
}

function paintEllipses(c, { frame, colours, state, mixture, chosen }) {
  const heaviest = Math.max(...mixture.weights);
  for (let k = 0; k < mixture.k; k++) {
    const e = ellipseOf(mixture, k);
    const [x, y] = [frame.X(e.mean[0]), frame.Y(e.mean[1])];
    if (!Number.isFinite(x + y + e.rx + e.ry)) continue;
    const faint = pale(chosen, k);
    const shade = colours.component(state.kind, k);
    const weight = Math.sqrt(Math.max(0, mixture.weights[k]) / (heaviest || 1));
    ellipsePath(c, x, y, e, frame.scale);
    c.fillStyle = shade;
    c.globalAlpha = 0.1 * faint;
    c.fill();
    for (const [deviations, width, alpha] of [
      [2, 1.1, 0.8],
      [1, 1.5 + 1.5 * weight, 1],
    ]) {
      ellipsePath(c, x, y, { ...e, rx: deviations * e.rx, ry: deviations * e.ry }, frame.scale);
      for (const [extra, colour, strength] of [
        [2.5, colours.bg, 0.75],
        [0, shade, alpha],
      ]) {
        c.lineWidth = width + extra;
        c.strokeStyle = colour;
        c.globalAlpha = strength * faint;
        c.stroke();
      }
    }
  }
  c.globalAlpha = 1;
}

function paintTrail(c, { frame, colours, state, mixture, trail, chosen }) {
  c.lineJoin = c.lineCap = "round";
  for (let k = 0; k < mixture.k; k++) {
    const path = [...trail, mixture.means].map((means) => [frame.X(means[2 * k]), frame.Y(means[2 * k + 1])]);
    const sound = path.filter(([x, y]) => Number.isFinite(x + y));
    if (sound.length < 2) continue;
    for (const [width, colour, alpha] of [
      [4, colours.bg, 0.7],
      [1.75, colours.component(state.kind, k), 0.95],
    ]) {
      c.beginPath();
      sound.forEach(([x, y]) => c.lineTo(x, y));
      c.globalAlpha = alpha * pale(chosen, k);
      c.strokeStyle = colour;
      c.lineWidth = width;
      c.stroke();
    }
    c.fillStyle = colours.component(state.kind, k);
    if (sound.length <= 40)
      for (const [x, y] of sound.slice(1, -1)) {
        circle(c, x, y, 2.25);
        c.fill();
      }
    circle(c, ...sound[0], 3.5);
    c.lineWidth = 1.75;
    c.strokeStyle = c.fillStyle;
    c.fillStyle = colours.bg;
    c.fill();
    c.stroke();
  }
  c.globalAlpha = 1;
}

/** The pinned run: hollow numbered means and dashed ellipses, pale. */
function paintGhost(c, { frame, colours, ghost }) {
  const { state, mixture, axes } = ghost;
  c.save();
  c.setLineDash([5, 4]);
  c.lineWidth = 1.6;
  if (mixture && (state.kind === "gmm" || state.kind === "gaussian"))
    for (let k = 0; k < mixture.k; k++) {
      const e = ellipseOf(mixture, k);
      ellipsePath(c, frame.X(e.mean[0]), frame.Y(e.mean[1]), e, frame.scale);
      c.strokeStyle = colours.bg;
      c.globalAlpha = 0.6;
      c.lineWidth = 4;
      c.stroke();
      c.strokeStyle = colours.ink;
      c.globalAlpha = 0.55;
      c.lineWidth = 1.6;
      c.stroke();
    }
  c.globalAlpha = 0.6;
  if (axes)
    axes.directions.forEach((u, j) => {
      const length = axes.deviations[j];
      c.strokeStyle = colours.ink;
      c.beginPath();
      line(
        c,
        frame.X(axes.mean[0]),
        frame.Y(axes.mean[1]),
        frame.X(axes.mean[0] + u[0] * length),
        frame.Y(axes.mean[1] + u[1] * length),
      );
      c.stroke();
    });
  c.restore();
  c.globalAlpha = 0.8;
  for (const { component, x, y } of labelPlaces(state, mixture, axes, frame))
    disc(c, x, y, labelOf(state.kind, component), colours.soft, { card: colours.bg, ink: colours.ink, hollow: true });
  c.globalAlpha = 1;
}

function paintLabels(c, scene) {
  const { colours, state, labels, chosen } = scene;
  const warned = new Set(state.warn ?? []);
  const order = [...labels].sort((a, b) => (a.component === chosen) - (b.component === chosen));
  for (const { component, x, y, away } of order) {
    c.globalAlpha = chosen === null || chosen === component ? 1 : 0.5;
    const shade = colours.component(state.kind, component);
    if (away !== null) {
      const [ux, uy] = [Math.cos(away), Math.sin(away)];
      c.beginPath();
      c.moveTo(x + ux * (DISC + 7), y + uy * (DISC + 7));
      c.lineTo(x - uy * 8 + ux * 5, y + ux * 8 + uy * 5);
      c.lineTo(x + uy * 8 + ux * 5, y - ux * 8 + uy * 5);
      c.fillStyle = shade;
      c.fill();
    }
    disc(c, x, y, labelOf(state.kind, component), shade, { ...colours, strong: chosen === component });
    c.globalAlpha = 1;
    if (warned.has(component)) warning(c, x > scene.frame.width - 40 ? x - DISC - 14 : x + DISC + 14, y, colours);
  }
}

/** Quiet numbers along the lower and the left edge, names at the ends. */
export function paintTicks(c, { frame, colours, ticks, names }) {
  const look = { fill: colours.soft, halo: colours.bg, size: 11.5 };
  const nameX = `${ticks.x.name(names[0])} →`;
  const nameY = `↑ ${ticks.y.name(names[1])}`;
  c.font = "600 12px system-ui, sans-serif";
  const roomX = frame.width - c.measureText(nameX).width - 22;
  for (const { at, words: said } of ticks.x.ticks) {
    const x = frame.X(at);
    if (x > 36 && x < roomX) words(c, said, x, frame.height - 10, look);
  }
  for (const { at, words: said } of ticks.y.ticks) {
    const y = frame.Y(at);
    const above = y === frame.baseline ? 9 : 0; // on a line the curves run along zero
    if (y > 34 && y < frame.height - 22) words(c, said, 7, y - above, { ...look, align: "left" });
  }
  words(c, nameX, frame.width - 8, frame.height - 10, { ...look, size: 12, weight: 600, align: "right" });
  words(c, nameY, 8, 13, { ...look, size: 12, weight: 600, align: "left" });
}

/** The ticks of both axes, about one every 80 pixels. */
export function planeTicks(frame) {
  const count = (pixels) => Math.min(8, Math.max(3, pixels / 80));
  const x = axisTicks(frame.x(0), frame.x(frame.width), count(frame.width));
  return { x, y: axisTicks(frame.y(frame.height), frame.y(0), count(frame.height)) };
}
