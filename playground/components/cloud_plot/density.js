/**
 * A model's density over the plane: as curves that hold half, nine tenths and 99 hundredths of the mass (highest-density
 * regions), or as heat. The grid covers only where the mass is within the frame, so a narrow model keeps smooth lines; the
 * levels are found on a grid that holds all of the mass, in the frame or not. Lines are sought in log p, which is nearly
 * quadratic: that draws them finer.
 */
import { contours, massLevels } from "../lib/contours.js";
import { densityGrid } from "../lib/gaussians.js";
import { bytesOf } from "./colours.js";
import { words } from "./marks.js";

export const SHARES = [0.5, 0.9, 0.99];
const ALL = [0.2, ...SHARES]; // heat is full where the densest fifth of the mass is
const CELL = 5; // pixels: chords this short look like a curve
const CELLS = [90, 150]; // along the longer side
const REACH = 4.5; // deviations beyond which a Gaussian has nothing to show

const linspace = (low, high, n) => Float64Array.from({ length: n }, (_, i) => low + ((high - low) * i) / (n - 1));

/** The box that holds the mass of a mixture with d = 2: [x low, x high, y low, y high], or null. */
function massBox({ k, weights, means, covariances }) {
  const box = [Infinity, -Infinity, Infinity, -Infinity];
  for (let j = 0; j < k; j++) {
    if (!(weights[j] > 0) || !Number.isFinite(means[2 * j] + means[2 * j + 1])) continue;
    for (let axis = 0; axis < 2; axis++) {
      const reach = REACH * Math.sqrt(Math.max(0, covariances[4 * j + 3 * axis]));
      box[2 * axis] = Math.min(box[2 * axis], means[2 * j + axis] - reach);
      box[2 * axis + 1] = Math.max(box[2 * axis + 1], means[2 * j + axis] + reach);
    }
  }
  return box[0] < box[1] && box[2] < box[3] ? box : null;
}

function evaluate(mixture, [x0, x1, y0, y1], pixels) {
  const cells = Math.min(CELLS[1], Math.max(CELLS[0], Math.round(pixels / CELL)));
  const side = Math.max(x1 - x0, y1 - y0) / (cells - 1);
  const width = Math.max(24, Math.ceil((x1 - x0) / side) + 1);
  const height = Math.max(24, Math.ceil((y1 - y0) / side) + 1);
  const values = densityGrid(mixture, linspace(x0, x1, width), linspace(y0, y1, height));
  return { values, width, height, low: [x0, y0], high: [x1, y1] };
}

const step = ({ width, height, low, high }) => [(high[0] - low[0]) / (width - 1), (high[1] - low[1]) / (height - 1)];

function levelsOf(grid) {
  const [dx, dy] = step(grid);
  return massLevels(grid.values, dx * dy, ALL);
}

/**
 * The density of a mixture (d = 2) within a frame, or of a grid that was computed elsewhere (`values`: height rows of width,
 * the row and the column of the smallest coordinates first, `low` and `high` the places of the first and the last value). Null:
 * nothing to show.
 */
export function densityOf(mixture, grid, frame) {
  if (grid) return { ...grid, levels: levelsOf(grid) };
  const box = mixture && massBox(mixture);
  if (!box) return null;
  const seen = [
    Math.max(box[0], frame.x(0)),
    Math.min(box[1], frame.x(frame.width)),
    Math.max(box[2], frame.y(frame.height)),
    Math.min(box[3], frame.y(0)),
  ];
  if (!(seen[0] < seen[1] && seen[2] < seen[3])) return null;
  const pixels = Math.max(seen[1] - seen[0], seen[3] - seen[2]) * frame.scale;
  const found = evaluate(mixture, seen, pixels);
  const all = seen.every((v, i) => v === box[i]) ? found : evaluate(mixture, box, pixels);
  return { ...found, levels: levelsOf(all) };
}

/** Purple, from clear to strong, as a small picture that is stretched smoothly over the plane. */
export function paintHeat(c, density, frame, colours) {
  const { values, width, height, low, high, levels } = density;
  const [r, g, b] = bytesOf(colours.p);
  const image = new ImageData(width, height);
  for (let row = 0; row < height; row++)
    for (let column = 0; column < width; column++) {
      const o = 4 * ((height - 1 - row) * width + column);
      const t = Math.min(1, values[row * width + column] / levels[0]);
      image.data.set([r, g, b, 190 * Math.sqrt(t)], o);
    }
  const small = new OffscreenCanvas(width, height);
  small.getContext("2d").putImageData(image, 0, 0);
  const [dx, dy] = step(density);
  const [x0, y0] = [frame.X(low[0] - dx / 2), frame.Y(high[1] + dy / 2)];
  c.imageSmoothingEnabled = true;
  c.imageSmoothingQuality = "high";
  c.drawImage(small, x0, y0, frame.X(high[0] + dx / 2) - x0, frame.Y(low[1] - dy / 2) - y0);
}

/** The three curves, each with its share written once where it is highest, or wherever else there is room. */
export function paintContours(c, density, frame, colours) {
  const { values, width, height, low, levels } = density;
  const [dx, dy] = step(density);
  const heights = Float64Array.from(values, Math.log);
  const taken = [];
  const notes = [];
  c.strokeStyle = colours.p;
  c.lineCap = "round";
  SHARES.forEach((share, s) => {
    const level = levels[s + 1];
    if (!(level > 0)) return;
    const lines = contours(heights, width, height, Math.log(level));
    const extremes = [null, null, null, null]; // top, right, bottom, left
    c.beginPath();
    for (let i = 0; i < lines.length; i += 4) {
      const [x0, y0] = [frame.X(low[0] + lines[i] * dx), frame.Y(low[1] + lines[i + 1] * dy)];
      c.moveTo(x0, y0);
      c.lineTo(frame.X(low[0] + lines[i + 2] * dx), frame.Y(low[1] + lines[i + 3] * dy));
      if (x0 < 24 || y0 < 30 || x0 > frame.width - 24 || y0 > frame.height - 34) continue;
      [-y0, x0, y0, -x0].forEach((score, e) => {
        if (!extremes[e] || score > extremes[e][2]) extremes[e] = [x0, y0, score];
      });
    }
    c.lineWidth = [2.25, 1.6, 1.1][s];
    c.globalAlpha = [1, 0.9, 0.75][s];
    c.stroke();
    const at = extremes.find((e) => e && taken.every(([x, y]) => Math.abs(x - e[0]) > 38 || Math.abs(y - e[1]) > 17));
    if (at) {
      taken.push(at);
      notes.push([`${Math.round(100 * share)} %`, at]);
    }
  });
  c.globalAlpha = 1;
  for (const [said, [x, y]] of notes) words(c, said, x, y, { fill: colours.p, halo: colours.bg, size: 12, weight: 700 });
}
