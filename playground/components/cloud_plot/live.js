/**
 * What follows the hand, above the kept picture: the point that is looked at and whose it is, handles, the brush, the
 * crosshair.
 */
import { fill } from "../lib/dom.js";
import { circle, crosshair, words } from "./marks.js";

/** Paints `live` (see gestures.js). `owned`: responsibilities from `shares`, or null. */
export function paintLive(c, scene, { live, owned, handles, held, text }) {
  const { colours } = scene;
  c.globalAlpha = 1;
  c.setLineDash([]);
  if (live.near !== null && 2 * live.near < scene.places.length) paintNear(c, scene, live.near, owned, text);
  if (handles) paintHandles(c, scene, handles, held);
  if (live.brush) paintBrush(c, scene, live.brush);
  if (live.cursor) crosshair(c, ...live.cursor, live.carried === null ? colours.ink : colours.x, colours.bg);
}

/** A ring around the point, parted by its responsibilities, and the largest three of them in numbers. */
function paintNear(c, scene, i, owned, text) {
  const { colours, frame } = scene;
  const [x, y] = [scene.places[2 * i], scene.places[2 * i + 1]];
  circle(c, x, y, 10);
  c.lineWidth = 7;
  c.strokeStyle = colours.bg;
  c.stroke();
  c.lineWidth = 4;
  if (!owned) {
    c.lineWidth = 2.5;
    c.strokeStyle = colours.ink;
    c.stroke();
    return;
  }
  const mine = Array.from({ length: owned.k }, (_, k) => ({ k, share: owned.share[i * owned.k + k] }));
  let from = -Math.PI / 2;
  for (const { k, share } of mine) {
    c.beginPath();
    c.arc(x, y, 10, from, from + 2 * Math.PI * share);
    c.strokeStyle = colours.classes[k % 10];
    if (share > 0.002) c.stroke();
    from += 2 * Math.PI * share;
  }
  const said = mine
    .sort((a, b) => b.share - a.share || a.k - b.k)
    .slice(0, 3)
    .filter(({ share }) => share >= 0.005)
    .map(({ k, share }) =>
      fill(scene.state.kind === "kmeans" ? "{k}" : text.share, { k: k + 1, percent: share > 0.995 && share < 1 ? "> 99" : Math.round(100 * share) }),
    )
    .join(" · ");
  const right = x < frame.width / 2;
  const look = { fill: colours.ink, halo: colours.bg, size: 13, weight: 600, align: right ? "left" : "right" };
  words(c, said, x + (right ? 18 : -18), y < 24 ? y + 18 : y - 14, look);
}

function paintHandles(c, scene, { component, handles, shape }, held) {
  const { colours, frame } = scene;
  const shade = colours.component(scene.state.kind, component);
  const mean = scene.d === 1 ? [frame.X(shape.mean), handles[0].y] : scene.toPixel(shape.mean);
  for (const { part, x, y } of handles) {
    const grabbed = held?.kind === "shape" && held.part === part;
    for (const [width, colour] of [
      [4, colours.bg],
      [1.75, shade],
    ]) {
      c.beginPath();
      c.moveTo(...mean);
      c.lineTo(x, y);
      c.lineWidth = width;
      c.strokeStyle = colour;
      c.stroke();
    }
    circle(c, x, y, grabbed ? 9 : 7);
    c.fillStyle = colours.card;
    c.fill();
    c.lineWidth = 3;
    c.strokeStyle = shade;
    c.stroke();
  }
}

function paintBrush(c, { frame, colours, d }, { at, radius }) {
  c.lineWidth = 1.5;
  c.strokeStyle = colours.ink;
  c.fillStyle = colours.ink;
  c.beginPath();
  if (d === 1) c.rect(at[0] - radius, 1, 2 * radius, frame.height - 2);
  else c.arc(...at, radius, 0, 2 * Math.PI);
  c.globalAlpha = 0.06;
  c.fill();
  c.globalAlpha = 0.6;
  c.stroke();
  c.globalAlpha = 1;
}
