/** The decoded plane: a grid of points at equal steps of prior probability. */
import { ask, latentsAndPictures, newest } from "../lib/api.js";
import { fill, h } from "../lib/dom.js";
import { imageData, sheet } from "../lib/pixels.js";

export function manifoldView(host, reading, stage) {
  const { text } = stage;
  let shown = null;
  let at = -1; // none was pointed at yet
  const canvas = h("canvas", { width: 28, height: 28, tabindex: 0, role: "application", "aria-label": text.manifold_label, title: text.manifold_keys });
  const frame = h("i", {});
  const range = h("input", { type: "range", min: 6, max: 24, step: 1, id: "vae-side", oninput: () => stage.choose({ side: Number(range.value) }) });
  const output = h("output", { for: "vae-side" });
  host.className = "manifold";
  host.append(h("div", { class: "frame" }, canvas, frame), h("div", { class: "bar" }, h("label", { for: "vae-side" }, text.side), range, output));
  reading.className = "soft";

  const load = newest(async ({ name, latent, query }) => {
    const began = performance.now();
    const response = await ask("manifold", { query: { model: name, ...query } });
    const found = latentsAndPictures(await response.arrayBuffer(), latent, 784);
    if (name !== stage.model().name) return;
    stage.fine();
    stage.setBadge("live");
    stage.took(performance.now() - began);
    shown = { ...found, side: query.side, key: key() };
    canvas.width = canvas.height = 28 * query.side;
    const context = canvas.getContext("2d");
    for (let i = 0; i < found.n; i++) context.putImageData(imageData(found.pixels.subarray(i * 784, (i + 1) * 784), 28, 28), (i % query.side) * 28, Math.floor(i / query.side) * 28);
    canvas.dataset.painted = name;
    at = -1;
    mark();
    if (stage.settings().view === "manifold") stage.pad.frame(reach());
  }, stage.failed);

  function key() {
    const { side, across, down } = stage.settings();
    return `${stage.model().name} ${side} ${across} ${down}`;
  }

  /** How far the outermost pictures are from the middle. */
  const reach = () => (shown ? Math.abs(shown.z[0][stage.settings().across]) : null);

  function mark() {
    frame.hidden = at < 0;
    const share = 100 / shown.side;
    Object.assign(frame.style, { left: `${(at % shown.side) * share}%`, top: `${Math.floor(at / shown.side) * share}%`, width: `${share}%`, height: `${share}%` });
  }

  function point(i) {
    if (!shown || i < 0 || i >= shown.n) return;
    at = i;
    mark();
    stage.goTo(shown.z[i]);
  }

  function under(event) {
    const rect = canvas.getBoundingClientRect();
    const cell = (v, length) => Math.min(shown.side - 1, Math.max(0, Math.floor((v / length) * shown.side)));
    return cell(event.clientY - rect.top, rect.height) * shown.side + cell(event.clientX - rect.left, rect.width);
  }

  for (const type of ["pointermove", "pointerdown"]) canvas.addEventListener(type, (event) => {
    if (!shown || (event.pointerType === "touch" && type === "pointermove")) return;
    const i = under(event);
    if (i !== at || type === "pointerdown") point(i);
  });
  canvas.addEventListener("keydown", (event) => {
    if (!shown) return;
    const step = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -shown.side, ArrowDown: shown.side }[event.key];
    if (!step) return;
    event.preventDefault();
    point(at < 0 ? 0 : at + step);
  });

  return {
    reach,
    update() {
      const { side, across, down } = stage.settings();
      range.value = side;
      output.textContent = `${side} × ${side}`;
      const { latent, name } = stage.model();
      reading.textContent = latent === 2 ? text.manifold_note : fill(text.slice_note, { n: latent });
      if (shown?.key !== key()) load({ name, latent, query: { side, across, down } });
      else stage.setBadge("live");
    },
    json: () => ({ manifold: shown?.z ?? [] }),
    async png(save) {
      if (shown) save(`${stage.model().name}-manifold.png`, await sheet(shown.pixels, shown.n, { columns: shown.side, gap: 0, scale: 2 }).convertToBlob({ type: "image/png" }));
    },
  };
}
