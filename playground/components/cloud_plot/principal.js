/**
 * Principal axes: arrows of one deviation from the mean, and what PCA keeps of each point, its foot x̂ = μ + Σ_j u_j (u_j · (x
 * − μ)) on the first axis, or in space on the plane of the first two. The dropped lines are what it gives up: their squares add
 * up to the loss.
 */
import { arrow, circle, line, words } from "./marks.js";

const DROPPED = 300; // lines at most

/** Principal axes: the first as a line with points dropped onto it, each as an arrow of one deviation. */
export function paintAxes(c, scene) {
  const { frame, colours, axes, plane } = scene;
  const [mx, my] = [frame.X(axes.mean[0]), frame.Y(axes.mean[1])];
  const reach = 2 * (frame.width + frame.height);
  const [first] = axes.directions;
  if (plane) paintPlane(c, scene);
  else if (first) {
    const [ux, uy] = [first[0], -first[1]];
    c.setLineDash([7, 6]);
    c.lineWidth = 1.4;
    c.strokeStyle = colours.p;
    c.globalAlpha = 0.75;
    c.beginPath();
    line(c, mx - ux * reach, my - uy * reach, mx + ux * reach, my + uy * reach);
    c.stroke();
    c.setLineDash([]);
  }
  c.strokeStyle = c.fillStyle = colours.p;
  c.lineWidth = 0.9;
  c.globalAlpha = 0.42;
  c.beginPath();
  for (const [x0, y0, x1, y1] of scene.drops(DROPPED)) line(c, x0, y0, x1, y1);
  c.stroke();
  c.globalAlpha = 0.8;
  for (const [, , x1, y1] of scene.drops(DROPPED)) {
    circle(c, x1, y1, 1.6);
    c.fill();
  }
  c.globalAlpha = 1;
  axes.directions.forEach((direction, j) => {
    const length = axes.deviations[j] * frame.scale;
    const [x, y] = [mx + direction[0] * length, my - direction[1] * length];
    if (Math.hypot(x - mx, y - my) < 4) return;
    arrow(c, mx, my, x, y, { colour: colours.p, halo: colours.bg, width: j ? 2.5 : 3.5, head: j ? 10 : 12 });
    const off = 14 / Math.hypot(x - mx, y - my);
    words(c, `${j + 1}`, x + (x - mx) * off, y + (y - my) * off, { fill: colours.p, halo: colours.bg, size: 13, weight: 700 });
  });
}

/** The plane of the first two axes, out to two deviations each way. */
function paintPlane(c, { frame, colours, plane }) {
  c.beginPath();
  for (const [x, y] of plane) c.lineTo(frame.X(x), frame.Y(y));
  c.closePath();
  c.fillStyle = c.strokeStyle = colours.p;
  c.globalAlpha = 0.16;
  c.fill();
  c.globalAlpha = 0.7;
  c.lineWidth = 1.4;
  c.stroke();
  c.globalAlpha = 1;
}
