/**
 * Pictures as they travel, and images as they are written: row by row, in frames (playground/pixel_play.py says how they look).
 *
 * Here a picture is a Uint8Array in the order of writing: row by row, pixel by pixel, colour by colour. Routes take and give
 * planes, (C, H, W).
 */
import { Refusal, ask } from "../lib/api.js";

/** (C, H, W) to the order of writing. */
export function toScan(planes, [c, h, w]) {
  const out = new Uint8Array(c * h * w);
  for (let k = 0; k < c; k++) for (let i = 0; i < h * w; i++) out[i * c + k] = planes[k * h * w + i];
  return out;
}

/** The order of writing to (C, H, W). */
export function toPlanes(scan, [c, h, w]) {
  const out = new Uint8Array(c * h * w);
  for (let k = 0; k < c; k++) for (let i = 0; i < h * w; i++) out[k * h * w + i] = scan[i * c + k];
  return out;
}

/** Four bytes a pixel, for ImageData. Levels become greys or colours of equal steps. */
export function rgba(scan, [c, h, w], levels) {
  const out = new Uint8ClampedArray(4 * h * w);
  const scale = 255 / (levels - 1);
  for (let i = 0; i < h * w; i++) {
    for (let k = 0; k < 3; k++) out[4 * i + k] = Math.round(scan[i * c + (c === 3 ? k : 0)] * scale);
    out[4 * i + 3] = 255;
  }
  return out;
}

/** Paints a picture onto a canvas, which takes its size. */
export function paintPicture(canvas, scan, shape, levels) {
  const [, h, w] = shape;
  if (canvas.width !== w) canvas.width = w;
  if (canvas.height !== h) canvas.height = h;
  canvas.getContext("2d").putImageData(new ImageData(rgba(scan, shape, levels), w, h), 0, 0);
}

let halves = null;

/** float16 as numbers. All 65,536 are worked out once. */
export function fromHalf(bits) {
  halves ??= Float32Array.from({ length: 65536 }, (_, b) => {
    const sign = b & 0x8000 ? -1 : 1;
    const exponent = (b >> 10) & 31;
    const fraction = b & 1023;
    if (exponent === 31) return fraction ? NaN : sign * Infinity;
    return exponent ? sign * 2 ** (exponent - 15) * (1 + fraction / 1024) : (sign * fraction) / 2 ** 24;
  });
  return Float32Array.from(bits, (b) => halves[b]);
}

/** The parts of a "R" frame: `row`, and for each image its values and log p; logits of the first image as float16 bits, or null. */
export function parseRow(bytes, sizes) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const [row, n] = [view.getUint16(0, true), view.getUint16(2, true)];
  const { width } = sizes; // sub-pixels in a row
  const values = Array.from({ length: n }, (_, i) => bytes.slice(4 + i * width, 4 + (i + 1) * width));
  let at = 4 + n * width;
  const logp = Array.from({ length: n }, (_, i) => new Float32Array(bytes.slice(at + 4 * i * width, at + 4 * (i + 1) * width).buffer));
  at += 4 * n * width;
  const logits = at < bytes.length ? new Uint16Array(bytes.slice(at).buffer) : null;
  return { row, n, values, logp, logits };
}

/**
 * Has images written. `query` as the route takes it, `body` planes and mask or undefined; calls head(json), row(parts) and
 * end(json) as they come. Throws a Refusal, or an AbortError.
 */
export async function write({ query, shape, body, signal, head = () => {}, row = () => {}, end = () => {} }) {
  const response = await ask("pixels/write", { query, body, signal });
  const reader = response.body.getReader();
  let kept = new Uint8Array(0);
  let first = true;
  let ended = false;
  for (;;) {
    const { done, value } = await reader.read();
    if (done) break;
    const joined = new Uint8Array(kept.length + value.length);
    joined.set(kept);
    joined.set(value, kept.length);
    let at = 0;
    while (joined.length - at >= 5) {
      const size = new DataView(joined.buffer, at, 4).getUint32(0, true);
      if (joined.length - at < 5 + size) break;
      const content = joined.subarray(at + 5, at + 5 + size);
      if (joined[at + 4] === 82) row(parseRow(content, { width: shape[0] * shape[2] }));
      else {
        const said = JSON.parse(new TextDecoder().decode(content));
        if (first) head(said);
        else {
          ended = true;
          end(said);
        }
        first = false;
      }
      at += 5 + size;
    }
    kept = joined.slice(at);
  }
  if (!ended) throw new Refusal("The image broke off before its last row. Try again.");
}
