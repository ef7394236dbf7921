/**
 * How likely does the model find any picture? Every pixel's surprise, the total, its place among held-out images, and, where the
 * model knows classes, which one explains the picture best (Bayes' rule). All of it comes from one pass over the picture.
 */
import { ask, bytes } from "../lib/api.js";
import { fill, h, number } from "../lib/dom.js";
import { inspector } from "./inspector.js";
import { pictureSource } from "./picture_source.js";
import { fromHalf, toPlanes } from "./stream.js";

export function surpriseView(host, ctx) {
  const { words, text } = ctx;
  let requests = new AbortController();
  let found = null; // the reading of the picture shown
  let stale = true;
  const sourceBox = h("div", {});
  const place = h("div", { class: "px-read" });
  const scaleBox = h("select", { class: "gmp-axis", "aria-label": words.scale, onchange: () => ctx.change({ scale: scaleBox.value }) },
    ...["global", "local"].map((one) => h("option", { value: one }, words.scales[one])));
  const mapBox = h("input", { type: "checkbox", checked: true, id: "px-map", onchange: () => draw() });
  const verdict = h("dl", { class: "px-total", "aria-live": "polite" });
  const rank = h("p", { class: "soft" });
  const bars = h("div", { class: "px-posterior" });
  host.append(sourceBox, place, h("div", { class: "px-show" }, h("label", {}, mapBox, text.map), h("span", { class: "px-scale" }, scaleBox)),
    bars);
  const glass = inspector(place, ctx);
  glass.side.append(h("div", { class: "px-whole" }, h("h2", {}, text.whole), verdict, rank));
  const source = pictureSource(sourceBox, ctx, { changed: read, drawPlace: false });

  /** One pass over the picture. */
  async function read() {
    const picture = source.picture();
    if (!picture) return;
    requests.abort();
    requests = new AbortController();
    const { signal } = requests;
    const model = ctx.model();
    const settings = ctx.settings();
    const label = settings.label < model.classes.length ? settings.label : -1;
    const query = { model: model.name, label };
    const body = toPlanes(picture, model.shape);
    host.setAttribute("aria-busy", "true");
    try {
      const reading = await (await ask("pixels/read", { query, body, signal })).json();
      stale = false;
      found = { model, picture, label, ...reading, logp: new Float32Array(bytes(reading.log_probs).buffer), logits: null };
      ctx.badge("live");
      ctx.took(reading.seconds);
      draw();
      const now = found;
      const halves = new Uint16Array(await (await ask("pixels/logits", { query, body, signal })).arrayBuffer());
      now.logits = (t) => fromHalf(halves.subarray(t * model.levels, (t + 1) * model.levels));
      draw();
    } catch (error) {
      ctx.fail(error);
    } finally {
      if (signal === requests.signal) host.removeAttribute("aria-busy");
    }
  }

  function draw() {
    if (!found) return;
    const { model, picture, label } = found;
    const settings = ctx.settings();
    scaleBox.value = settings.scale;
    scaleBox.disabled = !mapBox.checked;
    glass.draw({
      model, frame: picture.length, still: true, settings: { ...settings, surprise: mapBox.checked, temperature: settings.temperature },
      run: { shape: model.shape, levels: model.levels, values: picture, logp: found.logp, logits: found.logits, label: label < 0 ? null : label },
    });
    verdict.replaceChildren(
      h("dt", {}, text.total), h("dd", { class: "symbol-hot" }, fill(text.nats, { n: number(-found.nats, 1) })),
      h("dt", {}, text.bits), h("dd", { class: "symbol-hot" }, fill(text.bits_value, { n: number(found.bits_per_dim, 3) })),
      h("dt", {}, text.kind), h("dd", {}, label < 0 ? (model.classes.length ? text.marginal : text.exact) : fill(text.given, { y: model.classes[label] })));
    const [low, middle, high] = found.quantiles.map((q) => number(q));
    rank.textContent = found.rank === null ? text.no_rank : fill(text.rank, { share: number(100 * found.rank, found.rank < 0.01 ? 1 : 0), low, middle, high });
    bars.hidden = !found.posterior;
    if (!found.posterior) return;
    const order = [...found.posterior.keys()];
    bars.replaceChildren(h("h2", {}, text.posterior), h("ol", {}, ...order.map((y) => {
      const share = found.posterior[y];
      return h("li", { class: share === Math.max(...found.posterior) ? "best" : "" }, h("span", { class: "name" }, model.classes[y]),
        h("i", { style: `--share:${share}`, "aria-hidden": "true" }), h("span", { class: "value" }, share >= 0.0005 ? `${number(100 * share, 1)} %` : "< 0.1 %"),
        h("span", { class: "soft" }, fill(text.by_class, { n: number(found.by_class[y], 0) })));
    })), h("p", { class: "soft" }, text.bayes));
  }

  return {
    show() {
      source.refresh();
      if (stale || found?.model !== ctx.model()) read();
      else draw();
    },
    hide() {
      requests.abort();
      stale = true;
    },
    settings(changed) {
      if (["model", "source", "ref"].some((key) => changed.has(key))) source.refresh();
      if (changed.has("label") && !changed.has("model")) read();
      else draw();
    },
    png(name) {
      glass.canvas.element.toBlob?.((blob) => ctx.download(`${name}.png`, blob));
    },
    json: () => found && { picture: [...found.picture], log_p: [...found.logp].map((v) => Number(v.toFixed(5))), nats: found.nats, bits_per_dim: found.bits_per_dim, rank: found.rank, by_class: found.by_class, kind: "exact" },
  };
}
