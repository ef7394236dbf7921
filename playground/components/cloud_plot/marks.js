/**
 * The small signs of a plot, each legible over points in both themes: halos of the ground's colour, numbered discs, arrows,
 * ellipses.
 */

export const DISC = 11; // radius of a mean's label, CSS pixels

export const font = (size, weight = 400) => `${weight} ${size}px system-ui, sans-serif`;

/** Words with a rim of ground, so that points do not run through them. */
export function words(c, said, x, y, { fill, halo, size = 12, weight = 400, align = "center", baseline = "middle" }) {
  c.save();
  c.font = font(size, weight);
  c.textAlign = align;
  c.textBaseline = baseline;
  c.lineJoin = "round";
  c.lineWidth = 4;
  c.strokeStyle = halo;
  c.setLineDash([]);
  c.strokeText(said, x, y);
  c.fillStyle = fill;
  c.fillText(said, x, y);
  c.restore();
}

/** Adds a segment to the path. */
export function line(c, x0, y0, x1, y1) {
  c.moveTo(x0, y0);
  c.lineTo(x1, y1);
}

export function circle(c, x, y, radius) {
  c.beginPath();
  c.arc(x, y, radius, 0, 2 * Math.PI);
}

/** A mean's label: a round, numbered disc in the component's colour. `hollow` is that of a pinned run. */
export function disc(c, x, y, said, colour, { card, ink, hollow = false, strong = false }) {
  circle(c, x, y, DISC + (strong ? 4 : 2));
  c.fillStyle = strong ? ink : card;
  c.fill();
  if (strong) {
    circle(c, x, y, DISC + 2);
    c.fillStyle = card;
    c.fill();
  }
  circle(c, x, y, hollow ? DISC - 1 : DISC);
  c.fillStyle = hollow ? card : colour;
  c.fill();
  if (hollow) {
    c.setLineDash([4, 3]);
    c.lineWidth = 1.75;
    c.strokeStyle = colour;
    c.stroke();
    c.setLineDash([]);
  }
  c.font = font(said.length > 1 ? 11.5 : 13, 700);
  c.textAlign = "center";
  c.textBaseline = "middle";
  c.fillStyle = hollow ? colour : card;
  c.fillText(said, x, y + 0.75);
}

/** An amber triangle with an exclamation mark. */
export function warning(c, x, y, { kl, card }) {
  c.save();
  c.beginPath();
  c.moveTo(x, y - 8);
  c.lineTo(x + 9, y + 7.5);
  c.lineTo(x - 9, y + 7.5);
  c.closePath();
  c.lineJoin = "round";
  c.lineWidth = 6;
  c.strokeStyle = card;
  c.stroke();
  c.lineWidth = 2;
  c.strokeStyle = c.fillStyle = kl;
  c.stroke();
  c.fill();
  c.font = font(12, 800);
  c.textAlign = "center";
  c.textBaseline = "middle";
  c.fillStyle = card;
  c.fillText("!", x, y + 2);
  c.restore();
}

/** An arrow with a filled head, over a halo. */
export function arrow(c, x0, y0, x1, y1, { colour, halo, width = 2.5, head = 10 }) {
  const length = Math.hypot(x1 - x0, y1 - y0);
  if (length < 0.5) return;
  const [ux, uy] = [(x1 - x0) / length, (y1 - y0) / length];
  const tip = Math.min(head, length);
  const [bx, by] = [x1 - ux * tip, y1 - uy * tip];
  const draw = (extra) => {
    c.lineWidth = width + extra;
    c.beginPath();
    c.moveTo(x0, y0);
    c.lineTo(bx, by);
    c.stroke();
    c.beginPath();
    c.moveTo(x1, y1);
    c.lineTo(bx - uy * tip * 0.5, by + ux * tip * 0.5);
    c.lineTo(bx + uy * tip * 0.5, by - ux * tip * 0.5);
    c.closePath();
    if (extra) {
      c.lineWidth = extra;
      c.stroke();
    }
    c.fill();
  };
  c.save();
  c.lineCap = c.lineJoin = "round";
  c.strokeStyle = c.fillStyle = halo;
  draw(3);
  c.strokeStyle = c.fillStyle = colour;
  draw(0);
  c.restore();
}

/** The path of an ellipse given in pixels, `angle` counter-clockwise as people see it. Never thinner than a line can show. */
export function ellipsePath(c, x, y, { rx, ry, angle }, scale) {
  c.beginPath();
  c.ellipse(x, y, Math.max(1.5, rx * scale), Math.max(1.5, ry * scale), -angle, 0, 2 * Math.PI);
}

/** A drawn sample: an orange ring around a dot in the colour of the component it came from. */
export function sampleDot(c, x, y, fill, { z, card }, radius = 6.25) {
  for (const [r, colour] of [
    [radius + 1.5, card],
    [radius, z],
    [radius - 2.5, card],
    [radius - 3.5, fill],
  ]) {
    circle(c, x, y, r);
    c.fillStyle = colour;
    c.fill();
  }
}

/** Four short strokes around a place. */
export function crosshair(c, x, y, ink, halo) {
  for (const [width, colour] of [
    [5, halo],
    [2, ink],
  ]) {
    c.lineWidth = width;
    c.strokeStyle = colour;
    c.beginPath();
    for (const [dx, dy] of [
      [1, 0],
      [-1, 0],
      [0, 1],
      [0, -1],
    ]) {
      c.moveTo(x + 5 * dx, y + 5 * dy);
      c.lineTo(x + 15 * dx, y + 15 * dy);
    }
    c.stroke();
  }
}
