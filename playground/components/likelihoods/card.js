/** The card of "Likelihoods" on the index: pictures, and how surprised one model after the other is by each, in bits/dim. */
import { bytes } from "../lib/api.js";
import { brief, h, number } from "../lib/dom.js";
import { paint } from "../lib/pixels.js";

const EACH = 2500; // ms a model

/** host: the card. `rows`: { title, pixels }; `models`: { title, bits: one a row }; all recorded. */
export function card(host, { rows, models, picture_label: label, under }, { connected }) {
  const name = h("p", { class: "under" });
  const bars = rows.map(() => h("span", {}));
  const bits = rows.map(() => h("span", { class: "bits" }));
  host.append(h("div", { class: "lk-card", role: "img", "aria-label": `${label} ${models[0].title}: ${rows.map(({ title }, i) => `${title} ${number(models[0].bits[i], 2)}`).join("; ")}` }, name,
    ...rows.map(({ title, pixels }, i) => {
      const canvas = h("canvas", { width: 28, height: 28 });
      paint(canvas, bytes(pixels));
      return h("div", { class: "one" }, canvas, h("div", {}, h("div", {}, title), h("div", { class: "track" }, bars[i])), bits[i]);
    })));

  function show({ title, bits: found }) {
    const most = Math.max(...found);
    name.textContent = under.replace("{model}", title);
    found.forEach((one, i) => {
      bars[i].style.width = `${(100 * one) / most}%`;
      bits[i].textContent = brief(one, 2);
    });
  }

  let shown = 0;
  show(models[0]);
  if (matchMedia("(prefers-reduced-motion: reduce)").matches) return;
  const timer = setInterval(() => {
    if (!connected()) clearInterval(timer);
    else if (!document.hidden) show(models[++shown % models.length]);
  }, EACH);
}
