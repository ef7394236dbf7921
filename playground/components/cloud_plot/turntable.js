/**
 * Looking at a cloud in space. The view is orthographic: two rows V = (right, up) of a rotation, so a picture is V x, and a
 * Gaussian's shadow is exactly N(V μ, V Σ Vᵀ). The table turns by `azimuth` about the third axis and tips by `elevation`, as in
 * most 3-D plots.
 */
import { arrow, words } from "./marks.js";

const STEEPEST = (89 * Math.PI) / 180;
const MARGIN = 0.94; // the corners of the box seldom point straight to a side
const LEVELS = 256;

export const START = { azimuth: -0.62, elevation: 0.42 };

/** A turned table. */
export function turned({ azimuth, elevation }, right, up) {
  return { azimuth: azimuth - right, elevation: Math.max(-STEEPEST, Math.min(STEEPEST, elevation + up)) };
}

/** The rows right and up of the view, flat (6 numbers), and `toward`, the direction to the eye. */
export function viewOf({ azimuth, elevation }) {
  const [ca, sa, ce, se] = [Math.cos(azimuth), Math.sin(azimuth), Math.cos(elevation), Math.sin(elevation)];
  return { view: Float64Array.of(ca, sa, 0, -sa * se, ca * se, ce), toward: [sa * ce, -ca * ce, se] };
}

/** What the sphere around a box needs: its middle, its radius, and the scale that shows it whole at every angle. */
export function sphere({ low, high }, width, height) {
  const centre = low.map((a, j) => (a + high[j]) / 2);
  const radius = Math.hypot(...low.map((a, j) => (high[j] - a) / 2)) || 1;
  return { centre, radius, scale: Math.min(width, height) / 2 / (radius * MARGIN) };
}

/** V x for one place. */
export const flatten = (view, x) => [
  view[0] * x[0] + view[1] * x[1] + view[2] * x[2],
  view[3] * x[0] + view[4] * x[1] + view[5] * x[2],
];

/**
 * Far to near: `{ order: Uint32Array, near: Float32Array }`, near from 0 (far) to 1; sorted into 256 shelves, in linear time.
 */
export function depths(points, toward, { centre, radius }) {
  const n = points.length / 3;
  const near = new Float32Array(n);
  const counts = new Uint32Array(LEVELS + 1);
  for (let i = 0; i < n; i++) {
    let z = 0;
    for (let j = 0; j < 3; j++) z += (points[3 * i + j] - centre[j]) * toward[j];
    near[i] = Math.min(1, Math.max(0, 0.5 + z / (2 * radius)));
    counts[Math.floor(near[i] * (LEVELS - 1)) + 1]++;
  }
  for (let s = 0; s < LEVELS; s++) counts[s + 1] += counts[s];
  const order = new Uint32Array(n);
  for (let i = 0; i < n; i++) order[counts[Math.floor(near[i] * (LEVELS - 1))]++] = i;
  return { order, near };
}

/** The edges of the box around the points; those behind are fainter. */
export function paintBox(c, { frame, colours, view, toward, box: { low, high } }) {
  const corner = (bits) => [0, 1, 2].map((j) => ((bits >> j) & 1 ? high[j] : low[j]));
  const behind = toward.reduce((bits, t, j) => bits | (t > 0 ? 0 : 1 << j), 0); // the corner that is farthest away
  c.strokeStyle = colours.soft;
  c.lineWidth = 1;
  for (let bits = 0; bits < 8; bits++)
    for (let j = 0; j < 3; j++) {
      if ((bits >> j) & 1) continue;
      const other = bits | (1 << j);
      const hidden = bits === behind || other === behind;
      const [a, b] = [flatten(view, corner(bits)), flatten(view, corner(other))];
      c.globalAlpha = hidden ? 0.55 : 0.25;
      c.setLineDash(hidden ? [] : [3, 5]);
      c.beginPath();
      c.moveTo(frame.X(a[0]), frame.Y(a[1]));
      c.lineTo(frame.X(b[0]), frame.Y(b[1]));
      c.stroke();
    }
  c.setLineDash([]);
  c.globalAlpha = 1;
}

/** Three small labelled axes in the lower left corner. */
export function paintTriad(c, { frame, colours, view, names }) {
  const [x, y, length] = [48, frame.height - 48, 28];
  names.forEach((name, j) => {
    const [right, up] = [view[j] * length, view[3 + j] * length];
    if (Math.hypot(right, up) > 3)
      arrow(c, x, y, x + right, y - up, { colour: colours.soft, halo: colours.bg, width: 1.75, head: 6 });
    const far = Math.hypot(right, up) || 1;
    const reach = (far + 11) / far;
    words(c, name, x + right * reach, y - up * reach, { fill: colours.ink, halo: colours.bg, size: 12, weight: 600 });
  });
}
