/** The card of "Pixels" on the index: digits that are being written, row by row, on this machine. */
import { bytes } from "../lib/api.js";
import { h } from "../lib/dom.js";
import { rgba, write } from "./stream.js";

const WIDE = 6;
const RATE = 180; // sub-pixels a second
const REST = 2500; // ms that a finished picture stays

/** host: the card; badge(kind). */
export function card(host, { model, shape, levels, recording, picture_label: label }, { badge, connected }) {
  const size = shape.reduce((a, b) => a * b);
  const values = bytes(recording.pixels);
  let images = Array.from({ length: values.length / size }, (_, i) => values.slice(i * size, (i + 1) * size));
  const canvases = images.map(() => h("canvas", { width: shape[2], height: shape[1] }));
  host.append(h("div", { class: "px-strip", role: "img", "aria-label": label, style: `--wide:${WIDE}` }, ...canvases));
  const still = matchMedia("(prefers-reduced-motion: reduce)").matches;

  function paint(written) {
    canvases.forEach((canvas, i) => {
      const data = rgba(images[i], shape, levels);
      for (let p = written; p < size; p++) data[4 * p + 3] = 0;
      canvas.getContext("2d").putImageData(new ImageData(data, shape[2], shape[1]), 0, 0);
    });
  }

  async function fetchOne(seed) {
    const next = images.map(() => new Uint8Array(size));
    await write({ query: { model, n: next.length, seed, logits: false }, shape, row: (one) => one.values.forEach((row, i) => next[i].set(row, one.row * row.length)) });
    images = next;
    badge("live");
  }

  if (still) {
    paint(size);
    return;
  }
  let began = performance.now() - (400 / RATE) * 1000; // half written, so that there is something to see
  let { seed } = recording;
  let asking = false;
  function tick(now) {
    if (!connected()) return;
    const written = Math.floor(((now - began) * RATE) / 1000);
    paint(Math.min(size, Math.max(0, written)));
    if (written > size + (REST * RATE) / 1000 && !asking && !document.hidden) {
      asking = true;
      seed = (seed + 1) % 100;
      fetchOne(seed).catch(() => {}).finally(() => {
        asking = false;
        began = performance.now();
      });
    }
    requestAnimationFrame(tick);
  }
  paint(0);
  requestAnimationFrame(tick);
}
