/** The card of "Sample a VAE" on the index: pictures from its prior, new ones every few seconds. */
import { ask, bytes, latentsAndPictures } from "../lib/api.js";
import { h } from "../lib/dom.js";
import { paint } from "../lib/pixels.js";

const SHOWN = 24;
const EVERY = 2500; // ms between two pictures that change

/** host: the card; badge(kind). */
export function card(host, { model, latent, recording, picture_label: label }, { badge, connected }) {
  const strip = h("div", { class: "strip", role: "img", "aria-label": label });
  const canvases = Array.from({ length: SHOWN }, () => h("canvas", { width: 28, height: 28 }));
  strip.append(...canvases);
  host.append(strip);
  const show = (pixels) => canvases.forEach((canvas, i) => paint(canvas, pixels.subarray(i * 784, (i + 1) * 784)));
  show(bytes(recording.pixels));
  let seed = recording.seed;
  async function fetchOne() {
    const response = await ask("sample", { query: { model, n: SHOWN, seed } });
    show(latentsAndPictures(await response.arrayBuffer(), latent, 784).pixels);
    badge("live");
    seed = (seed + 1) % 100; // a hundred pictures, which the server keeps: sixty people cost as much as one
  }
  fetchOne().catch(() => {}); // the recorded picture stays, and says so
  if (matchMedia("(prefers-reduced-motion: reduce)").matches) return;
  const timer = setInterval(() => {
    if (!connected()) clearInterval(timer);
    else if (!document.hidden) fetchOne().catch(() => {});
  }, EVERY);
}
