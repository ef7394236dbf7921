/**
 * Ancestral sampling, visibly: first a component is chosen (its ellipse pulses), then x is drawn from it (a dot travels from
 * the mean to x), and stays. One after the other, and faster where there are many, so that the whole takes twelve seconds at
 * most.
 */
import { circle, ellipsePath, sampleDot } from "./marks.js";

const WHOLE = 11_500; // ms for all draws at most
const SLOWEST = 450; // ms between two draws at most
const PULSE = 150;
const TRAVEL = 200;

const ease = (t) => 1 - (1 - t) ** 3;

/**
 * Starts a flight. `land(draw, i)` is called as each lands, `wake()` to be painted again. Returns `{ done, stop, paint }`: a
 * promise of how many landed, a way to end early, and what paints the dots in the air.
 */
export function flight(draws, { land, wake, still }) {
  const n = draws.length;
  const gap = Math.min(SLOWEST, WHOLE / Math.max(1, n));
  const pulse = still ? 0 : Math.min(PULSE, gap * 0.45);
  const travel = still ? 0 : Math.min(TRAVEL, Math.max(90, gap * 0.55));
  const start = performance.now();
  let landed = 0;
  let settle;
  const done = new Promise((resolve) => (settle = resolve));
  let over = false;

  function finish() {
    over = true;
    settle(landed);
    wake();
  }

  function tick() {
    if (over) return;
    const elapsed = performance.now() - start;
    while (!over && landed < n && elapsed >= landed * gap + pulse + travel) {
      landed += 1;
      land(draws[landed - 1], landed - 1);
    }
    if (over) return;
    if (landed === n) return finish();
    wake();
    requestAnimationFrame(tick);
  }
  requestAnimationFrame(tick);

  return {
    done,
    stop: () => over || finish(),
    paint(c, scene, cloud) {
      if (over || still) return;
      const elapsed = performance.now() - start;
      for (let i = landed; i < n && i * gap <= elapsed; i++) {
        const since = elapsed - i * gap;
        const origin = originOf(draws[i], scene, cloud);
        const shade = scene.state ? scene.colours.component(scene.state.kind, draws[i].component ?? 0) : scene.colours.z;
        paintPulse(c, scene, origin, shade, Math.min(1, since / (pulse + travel)));
        const t = (since - pulse) / travel;
        if (t < 0) continue;
        const to = scene.landing(draws[i], scene.samples.length - landed + i);
        const e = ease(Math.min(1, t));
        const [x, y] = [origin.place[0] + (to[0] - origin.place[0]) * e, origin.place[1] + (to[1] - origin.place[1]) * e];
        c.strokeStyle = scene.colours.z;
        c.globalAlpha = 0.45;
        c.lineWidth = 2;
        c.beginPath();
        c.moveTo(...origin.place);
        c.lineTo(x, y);
        c.stroke();
        c.globalAlpha = 1;
        sampleDot(c, x, y, scene.fillOf(draws[i].component), scene.colours, 7);
      }
    },
  };
}

/**
 * From where a sample sets out: its component's mean, or for kernels the point nearest to it. `{ place, ellipse or null }`, in
 * pixels.
 */
function originOf(draw, scene, { points, d }) {
  if (scene.state?.kind !== "kde" && (scene.mixture || scene.axes)) {
    const k = Math.min(draw.component ?? 0, (scene.mixture?.k ?? 1) - 1);
    if (d === 1)
      return { place: [scene.labels.find((label) => label.component === k)?.x ?? 0, scene.frame.baseline], ellipse: null };
    return {
      place: scene.toPixel(scene.mixture ? scene.meanOf(k) : scene.axes.mean),
      ellipse: scene.mixture && scene.shapeOf(k),
    };
  }
  let [best, least] = [-1, Infinity];
  for (let i = 0; i < points.length; i += d) {
    let far = 0;
    for (let j = 0; j < d; j++) far += (points[i + j] - draw.x[j]) ** 2;
    if (far < least) [best, least] = [i / d, far];
  }
  const place = best < 0 ? scene.landing(draw, 0) : [scene.places[2 * best], scene.places[2 * best + 1]];
  return { place, ellipse: null };
}

/** The chosen component's ellipse swells and fades; where there is none, a ring around the place. */
function paintPulse(c, { frame }, { place, ellipse }, shade, t) {
  c.strokeStyle = shade;
  c.lineWidth = 5 * (1 - t) + 1;
  c.globalAlpha = 1 - 0.8 * t;
  const swell = 1 + 0.18 * t;
  if (ellipse) ellipsePath(c, ...place, { ...ellipse, rx: ellipse.rx * swell, ry: ellipse.ry * swell }, frame.scale);
  else circle(c, place[0], place[1], 12 + 10 * t);
  c.stroke();
  c.globalAlpha = 1;
}
