/** A picture of one's own: prepared as the data set was, encoded, decoded again, and the bound taken apart. */
import { ask, bytes, latentsAndPictures, newest } from "../lib/api.js";
import { fill, h, m, number, subscript } from "../lib/dom.js";
import { paint, sheet } from "../lib/pixels.js";
import { sketch } from "../sketch/sketch.js";

export function pictureView(host, reading, stage) {
  const { text } = stage;
  let source = null; // {file} to be prepared, or {pixels} that are a model's input already
  let prepared = null; // {pixels, key}
  let found = null; // the bound
  let estimate = null;
  let references = {};

  const file = h("input", { type: "file", accept: "image/*", class: "hidden-text", onchange: () => {
    if (!file.files[0]) return;
    pad.clear();
    use({ file: file.files[0] });
    file.value = "";
  } });
  const examples = h("div", { class: "references", role: "group", "aria-label": text.references });
  const examplesNote = h("p", { class: "soft" });
  const ownNote = h("p", { class: "soft", hidden: true }, text.own);
  const stepsBox = h("div", { class: "steps", role: "img", "aria-label": text.steps_label });
  const input = h("canvas", { width: 28, height: 28, role: "img", "aria-label": text.seen });
  const output = h("canvas", { width: 28, height: 28, role: "img", "aria-label": text.reconstruction });
  const pair = h("div", { class: "pair" },
    h("figure", {}, input, h("figcaption", {}, text.seen)),
    h("figure", {}, output, h("figcaption", {}, text.reconstruction)));
  const left = h("div", {});

  /** The picture was taken away: what is known of it pales, until the next. */
  function stale(on) {
    for (const part of [stepsBox, pair, reading]) part.classList.toggle("stale", on);
  }
  const reroll = h("button", { type: "button", onclick: () => stage.choose({ roll: stage.settings().roll + 1 }) }, text.reroll);
  const fromSample = h("button", { type: "button", onclick: () => {
    pad.clear();
    use({ pixels: stage.sample() });
  } }, text.from_sample);
  host.append(
    h("div", { class: "picture-input" }, left,
      h("div", { class: "picture-side" },
        h("div", { class: "buttons" }, h("label", { class: "file" }, file, text.upload), fromSample),
        examples, examplesNote, ownNote)),
    stepsBox, pair,
  );
  const pad = sketch(left, { text: text.sketch, change: (blob) => (blob ? use({ file: blob }) : stale(true)) });
  for (const type of ["dragover", "drop"]) host.addEventListener(type, (event) => {
    event.preventDefault();
    if (type === "drop" && event.dataTransfer.files[0]) use({ file: event.dataTransfer.files[0] });
  });

  function use(next) {
    source = next;
    ownNote.hidden = Boolean(next.reference);
    prepare({ source, data: stage.settings().data });
  }

  const prepare = newest(async ({ source: wanted, data }) => {
    if (wanted.pixels) {
      stepsBox.replaceChildren();
      accept(wanted.pixels);
      return;
    }
    const response = await ask("prepare", { query: { data }, body: wanted.file }).catch((error) => {
      if (prepared) error.message += ` ${text.kept}`;
      throw error;
    });
    const { steps } = await response.json();
    stepsBox.replaceChildren(...steps.map((step) => {
      const canvas = h("canvas", {});
      paint(canvas, bytes(step.pixels), step.width, step.height);
      return h("figure", {}, h("div", {}, canvas), h("figcaption", {}, text.steps[step.name]));
    }));
    accept(bytes(steps.at(-1).pixels));
  }, stage.failed);

  function accept(pixels) {
    prepared = { pixels };
    stale(false);
    paint(input, pixels);
    stage.fine();
    explain();
  }

  function explain() {
    if (!prepared) return;
    const { seed, roll } = stage.settings();
    elbo({ name: stage.model().name, seed, roll, pixels: prepared.pixels });
  }

  const elbo = newest(async ({ name, seed, roll, pixels }) => {
    const began = performance.now();
    const response = await ask("elbo", { query: { model: name, seed, roll }, body: pixels });
    const answer = await response.json();
    if (name !== stage.model().name) return;
    found = { ...answer, name };
    paint(output, bytes(found.image));
    output.dataset.z = found.z.join(",");
    stage.setBadge("live");
    stage.took(performance.now() - began);
    stage.fine();
    place();
    clearTimeout(waiting);
    estimate = null;
    waiting = setTimeout(() => importance({ name, seed, pixels }), 400); // when the hand rests
    read();
  }, stage.failed);
  let waiting = 0;

  const importance = newest(async ({ name, seed, pixels }) => {
    const answer = await ask("importance", { query: { model: name, seed }, body: pixels }).then((response) => response.json()).catch(() => ({ failed: true }));
    if (name !== stage.model().name || pixels !== prepared.pixels) return;
    estimate = answer;
    read();
  }, stage.failed);

  /** The posterior on the map, and the cursor on its draw: while this view is the one that is looked at. */
  function place() {
    if (stage.settings().view !== "picture" || !posterior()) return;
    stage.pad.posterior(posterior());
    stage.goTo(found.z, { quiet: true });
  }

  function posterior() {
    if (!found || found.name !== stage.model().name) return null;
    return { mean: stage.plane2(found.mean), std: stage.plane2(found.std), z: stage.plane2(found.z) };
  }

  function bar(token, label, nats, longest) {
    return h("div", { class: "bar" }, h("span", {}, label), h("i", { style: `background:var(--${token});width:${Math.max(0.5, (100 * Math.abs(nats)) / longest)}%` }), h("span", { class: `symbol-${token}` }, `${number(nats, 1)} ${text.nats}`));
  }

  /** z = μ + σ ⊙ ε with this roll's numbers. */
  function roll() {
    const { mean, std, epsilon, z } = found;
    const vector = (values, className) => m("mrow", [m("mo", "("), ...values.slice(0, 2).flatMap((v, k) => [...(k ? [m("mo", ",")] : []), m("mn", number(v, 3), className)]), ...(values.length > 2 ? [m("mo", ","), m("mo", "…")] : []), m("mo", ")")]);
    return h("div", { class: "formula", tabindex: 0 }, m("math", [
      m("mi", "z", "symbol-z"), m("mo", "="), m("mi", "μ", "symbol-q"), m("mo", "+"), m("mi", "σ", "symbol-q"), m("mo", "⊙"), m("mi", "ε"), m("mo", "="),
      vector(mean, "symbol-q"), m("mo", "+"), vector(std, "symbol-q"), m("mo", "⊙"), vector(epsilon, ""), m("mo", "="), vector(z, "symbol-z"),
    ]));
  }

  function bound() {
    const term = (letter, className) => m("mi", letter, className);
    return h("div", { class: "formula", tabindex: 0 }, m("math", [
      m("mi", "log"), term("p", "symbol-p"), m("mo", "("), term("x", "symbol-x"), m("mo", ")"), m("mo", "≥"),
      m("munder", [m("mrow", [m("msub", [m("mi", "E"), term("q", "symbol-q")]), m("mo", "["), m("mi", "log"), term("p", "symbol-p"), m("mo", "("), term("x", "symbol-x"), m("mo", "|"), term("z", "symbol-z"), m("mo", ")"), m("mo", "]")]), m("mn", number(found.reconstruction, 1), "symbol-p")]),
      m("mo", "−"),
      m("munder", [m("mrow", [m("mtext", "KL", "symbol-kl"), m("mo", "("), term("q", "symbol-q"), m("mo", "("), term("z", "symbol-z"), m("mo", "|"), term("x", "symbol-x"), m("mo", ")"), m("mtext", "\u00a0‖\u00a0"), term("p", "symbol-p"), m("mo", "("), term("z", "symbol-z"), m("mo", ")"), m("mo", ")")]), m("mn", number(found.kl, 1), "symbol-kl")]),
      m("mo", "="), m("mn", number(found.elbo, 1)), m("mtext", `\u00a0${text.nats}`),
    ]));
  }

  function dimensions() {
    const rows = found.kl_by_dimension.map((kl, k) => h("tr", {}, h("td", { class: "symbol-z" }, `z${subscript(k + 1)}`), h("td", { class: "symbol-q" }, number(found.mean[k], 3)), h("td", { class: "symbol-q" }, number(found.std[k], 3)), h("td", {}, number(found.epsilon[k], 3)), h("td", { class: "symbol-z" }, number(found.z[k], 3)), h("td", { class: "symbol-kl" }, number(kl))));
    return h("details", { open: dimensionsOpen, ontoggle: (event) => (dimensionsOpen = event.target.open) }, h("summary", {}, text.dimensions), h("div", { class: "table-wrap" }, h("table", { class: "dimensions" }, h("thead", {}, h("tr", {}, h("th", {}, ""), ...["μ", "σ", "ε", "z", text.kl_nats].map((name) => h("th", { scope: "col" }, name)))), h("tbody", {}, ...rows))));
  }
  let dimensionsOpen = false;

  function read() {
    const { bought, kl } = found;
    const longest = Math.max(Math.abs(bought ?? 0), kl);
    const lines = [h("dt", {}, text.this_roll), h("dd", {}, `${number(found.reconstruction_of_roll, 1)} ${text.nats}`)];
    lines.push(h("dt", {}, text.elbo), h("dd", {}, `${number(found.elbo_bits_per_dim, 3)} ${text.bits}`, found.rank === null ? "" : h("span", { class: "soft" }, ` · ${fill(text.rank, { share: number(100 * found.rank, 0) })}`)));
    lines.push(h("dt", {}, text.estimate), h("dd", {}, estimate?.failed ? text.no_answer : estimate ? fill(text.estimate_value, { nats: number(estimate.nats, 1), error: number(estimate.standard_error, 2), samples: estimate.samples }) : text.counting));
    reading.replaceChildren(
      h("div", { class: "map-head" }, roll(), reroll),
      bound(),
      h("p", { class: "verdict" }, bought > 0 ? fill(text.verdict, { kl: number(kl, 1), bought: number(bought, 0) }) : fill(text.bad_deal, { kl: number(kl, 1), lost: number(-bought, 0) })),
      h("div", { class: "paid" }, bar("kl", text.paid, kl, longest), bought > 0 ? bar("p", text.bought, bought, longest) : bar("hot", text.lost, -bought, longest)),
      h("p", { class: "soft" }, fill(text.constant_note, { constant: number(found.constant, 1) })),
      h("dl", { class: "readings" }, ...lines),
      dimensions(),
    );
    stage.say(fill(text.picture_summary, { elbo: number(found.elbo, 1), kl: number(kl, 1) }));
  }
  reading.className = "vae-below";

  async function showReferences() {
    const { data } = stage.settings();
    references[data] ??= ask("reference", { query: { data } }).then((response) => response.json());
    const { from, pictures, names } = await references[data];
    if (data !== stage.settings().data) return;
    examples.replaceChildren(...pictures.map((picture, i) => {
      const pixels = bytes(picture);
      const canvas = h("canvas", {});
      paint(canvas, pixels);
      return h("button", { type: "button", "aria-label": fill(text.take, { name: names[i] }), title: names[i], onclick: () => {
        stage.choose({ ref: i });
        pad.clear();
        use({ pixels, reference: data });
      } }, canvas);
    }));
    examplesNote.textContent = from ? fill(text.references_from, { from }) : text.no_references;
    if (source && !source.reference) return;
    const pixels = pictures.length ? bytes(pictures[Math.min(stage.settings().ref, pictures.length - 1)]) : await oneSample();
    use({ pixels, reference: data }); // something to look at, until the person brings a picture
  }

  /** The first sample of the page's own model and seed: where there are no pictures to start from. */
  async function oneSample() {
    const { name, latent } = stage.model();
    const response = await ask("sample", { query: { model: name, n: 1, seed: stage.settings().seed } });
    return latentsAndPictures(await response.arrayBuffer(), latent, 784).pixels;
  }

  /** The stored run, until the live one is there. */
  function recorded({ settings, picture }) {
    if (found || ["data", "latent", "seed"].some((key) => settings[key] !== stage.settings()[key])) return;
    if (stage.settings().roll || stage.settings().ref !== stage.page.defaults.ref) return;
    const pixels = bytes(picture.pixels);
    paint(input, pixels);
    found = { ...picture.bound, name: stage.model().name };
    paint(output, bytes(found.image));
    stage.setBadge("recorded");
    read();
    place();
  }

  return {
    update(changed) {
      if (!found && stage.page.recording) recorded(stage.page.recording);
      if (changed("data")) {
        showReferences().catch(stage.failed);
        if (source && !source.reference) use(source);
      } else if (!source) showReferences().catch(stage.failed);
      else if (changed("latent", "roll", "seed")) explain();
      if (changed("view")) place();
    },
    posterior,
    json: () => ({ picture: prepared ? Array.from(prepared.pixels) : null, bound: found, estimate }),
    async png(save) {
      if (!prepared || !found) return;
      const both = new Uint8Array(1568);
      both.set(prepared.pixels);
      both.set(bytes(found.image), 784);
      save(`${stage.model().name}-reconstruction.png`, await sheet(both, 2, { columns: 2, scale: 8 }).convertToBlob({ type: "image/png" }));
    },
  };
}
