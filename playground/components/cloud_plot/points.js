/**
 * Thousands of discs in one picture. A disc is a small stamp of coverages (how much of each pixel it covers), made once for
 * each radius and each sixteenth of a pixel; stamping blends it into an ImageData by "over", α = a + b (1 − a). 20,000 discs
 * take a few milliseconds, where as many canvas paths would take a hundred.
 */
const PHASES = 4; // a stamp for each quarter of a pixel, both ways

/** The radius in CSS pixels of n points: 4.5 for up to 300, down to 1 for 20,000; a little less where the plot is small. */
export function radiusOf(n, width) {
  return Math.max(1, 4.5 * (300 / Math.max(300, n)) ** 0.358 * Math.min(1, Math.max(0.75, width / 460)));
}

/** How opaque n points are: where there are many, what lies on top of one another should show. */
export const opacityOf = (n) => (n <= 300 ? 0.92 : Math.max(0.6, 0.92 - 0.175 * Math.log10(n / 300)));

/**
 * Coverages of a disc of `radius` device pixels whose middle lies at each phase: `{ side, half, phases: [Float32Array(side²)]
 * }`.
 */
function makeStamp(radius) {
  const half = Math.ceil(radius + 1);
  const side = 2 * half + 1;
  const phases = [];
  for (let p = 0; p < PHASES * PHASES; p++) {
    const cx = half + ((p % PHASES) + 0.5) / PHASES;
    const cy = half + (Math.floor(p / PHASES) + 0.5) / PHASES;
    const coverage = new Float32Array(side * side);
    for (let i = 0; i < side * side; i++) {
      const distance = Math.hypot((i % side) + 0.5 - cx, Math.floor(i / side) + 0.5 - cy);
      coverage[i] = Math.min(1, Math.max(0, radius + 0.5 - distance));
    }
    phases.push(coverage);
  }
  return { side, half, phases };
}

/** A layer of discs that is kept until it is painted again. */
export function pointLayer() {
  const stamps = new Map();
  let canvas = new OffscreenCanvas(1, 1);
  let image = null;

  function stampOf(radius) {
    const key = Math.round(radius * 8);
    if (!stamps.has(key)) stamps.set(key, makeStamp(key / 8));
    return stamps.get(key);
  }

  function press(stamp, x, y, r, g, b, alpha) {
    const { width, height, data } = image;
    const [ix, iy] = [Math.floor(x), Math.floor(y)];
    const { side, half, phases } = stamp;
    const coverage = phases[Math.floor((y - iy) * PHASES) * PHASES + Math.floor((x - ix) * PHASES)];
    const [left, top] = [ix - half, iy - half];
    const [from, to] = [Math.max(0, -left), Math.min(side, width - left)];
    const bottom = Math.min(side, height - top);
    for (let row = Math.max(0, -top); row < bottom; row++) {
      let o = 4 * ((top + row) * width + left + from);
      for (let column = from; column < to; column++, o += 4) {
        const a = coverage[row * side + column] * alpha;
        if (a === 0) continue;
        const under = data[o + 3] / 255;
        const over = a + under * (1 - a);
        const part = a / over;
        data[o] += (r - data[o]) * part;
        data[o + 1] += (g - data[o + 1]) * part;
        data[o + 2] += (b - data[o + 2]) * part;
        data[o + 3] = over * 255;
      }
    }
  }

  return {
    /**
     * Paints discs at `places` (CSS pixels, 2n) in `rgb` (3n), and returns the canvas. `radius` in CSS pixels; `alpha(i)` and
     * `grow(i)` (a factor on the radius) may differ from point to point; `order` says what is painted first; `rim` (three
     * bytes) parts large discs.
     */
    paint({ width, height, ratio, places, rgb, radius, alpha, grow = null, order = null, rim = null }) {
      const [w, h] = [Math.max(1, Math.round(width * ratio)), Math.max(1, Math.round(height * ratio))];
      if (!image || image.width !== w || image.height !== h) {
        canvas = new OffscreenCanvas(w, h);
        image = new ImageData(w, h);
      } else new Uint32Array(image.data.buffer).fill(0);
      const n = places.length / 2;
      const plain = stampOf(radius * ratio);
      const wide = rim && stampOf((radius + 1) * ratio);
      for (let j = 0; j < n; j++) {
        const i = order ? order[j] : j;
        const [x, y] = [places[2 * i] * ratio, places[2 * i + 1] * ratio];
        if (!(x > -40 && y > -40 && x < w + 40 && y < h + 40)) continue;
        const a = alpha(i);
        const size = grow ? grow(i) : 1;
        if (rim) press(grow ? stampOf((radius * size + 1) * ratio) : wide, x, y, rim[0], rim[1], rim[2], a);
        press(grow ? stampOf(radius * size * ratio) : plain, x, y, rgb[3 * i], rgb[3 * i + 1], rgb[3 * i + 2], a);
      }
      canvas.getContext("2d").putImageData(image, 0, 0);
      return canvas;
    },
  };
}

/** The index of the place nearest to (x, y) within `reach` pixels, or null. */
export function pointAt(places, x, y, reach) {
  let best = null;
  let least = reach * reach;
  for (let i = 0; 2 * i < places.length; i++) {
    const distance = (places[2 * i] - x) ** 2 + (places[2 * i + 1] - y) ** 2;
    if (distance <= least) [best, least] = [i, distance];
  }
  return best;
}

/** The indices of the places within `reach` pixels of the segment from a to b; where `flat`, heights do not matter. */
export function pointsAlong(places, a, b, reach, flat = false) {
  const found = [];
  const [dx, dy] = [b[0] - a[0], flat ? 0 : b[1] - a[1]];
  const length = dx * dx + dy * dy;
  for (let i = 0; 2 * i < places.length; i++) {
    const [x, y] = [places[2 * i] - a[0], flat ? 0 : places[2 * i + 1] - a[1]];
    const t = length ? Math.min(1, Math.max(0, (x * dx + y * dy) / length)) : 0;
    if ((x - t * dx) ** 2 + (y - t * dy) ** 2 <= reach * reach) found.push(i);
  }
  return found;
}
