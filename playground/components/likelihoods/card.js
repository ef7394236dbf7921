/** The card of "Likelihoods" on the index: pictures, and how surprised one model is by each, in bits/dim. */
import { bytes } from "../lib/api.js";
import { h, number } from "../lib/dom.js";
import { paint } from "../lib/pixels.js";

/** host: the card. `rows`: { title, pixels, bits }, recorded. */
export function card(host, { rows, picture_label: label }) {
  const most = Math.max(...rows.map(({ bits }) => bits));
  host.append(h("div", { class: "lk-card", role: "img", "aria-label": `${label} ${rows.map(({ title, bits }) => `${title}: ${number(bits, 2)}`).join("; ")}` },
    ...rows.map(({ title, pixels, bits }) => {
      const canvas = h("canvas", { width: 28, height: 28 });
      paint(canvas, bytes(pixels));
      return h("div", { class: "one" }, canvas, h("div", {}, h("div", {}, title), h("div", { class: "track" }, h("span", { style: `width: ${(100 * bits) / most}%` }))), h("span", { class: "bits" }, number(bits, 2)));
    })));
}
