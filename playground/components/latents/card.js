/** The card of "Latents" on the index: one latent number after the other swings, and below stands what it was measured to mean. */
import { ask, bytes } from "../lib/api.js";
import { h } from "../lib/dom.js";
import { paintPicture, toScan } from "../pixels/stream.js";

const FRAMES = 24; // from one end of a swing to the other
const PERIOD = 4000; // ms of a whole swing

/** host: the card; badge(kind). */
export function card(host, { model, shape, levels, latent, recording, names, picture_label: label }, { badge, connected }) {
  const { dims, limit } = recording;
  const size = shape.reduce((a, b) => a * b);
  const cut = (all, i) => toScan(all.subarray(i * size, (i + 1) * size), shape);
  const recorded = bytes(recording.pixels);
  const canvases = dims.map(() => h("canvas", {}));
  host.append(h("div", { class: "lt-strip", role: "img", "aria-label": label },
    ...canvases.map((canvas, i) => h("figure", {}, canvas, h("figcaption", {}, names[recording.factors[i]] ?? "")))));
  canvases.forEach((canvas, i) => paintPicture(canvas, cut(recorded, i), shape, levels));
  if (matchMedia("(prefers-reduced-motion: reduce)").matches) return;

  /** All frames of all swings, decoded at once. */
  async function fetchAll() {
    const z = new Float64Array(dims.length * FRAMES * latent);
    dims.forEach((dim, i) => {
      for (let f = 0; f < FRAMES; f++) z[(i * FRAMES + f) * latent + dim] = limit * Math.cos((Math.PI * f) / (FRAMES - 1));
    });
    const all = new Uint8Array(await (await ask("decode", { query: { model }, body: z })).arrayBuffer());
    badge("live");
    const began = performance.now();
    function tick(now) {
      if (!connected()) return;
      if (!document.hidden) {
        const there = ((now - began) % PERIOD) / PERIOD; // 0 to 1: there and back, beginning where the recorded pictures are
        const f = Math.round((there < 0.5 ? 2 * there : 2 - 2 * there) * (FRAMES - 1));
        canvases.forEach((canvas, i) => paintPicture(canvas, cut(all, i * FRAMES + f), shape, levels));
      }
      requestAnimationFrame(tick);
    }
    requestAnimationFrame(tick);
  }
  fetchAll().catch(() => {}); // the recorded pictures stay, and say so
}
