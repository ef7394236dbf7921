/**
 * "β compared": the same sprite and the dimension of the same rank under the models of all β, a row each, so that one place of z
 * stands below the other; which factor each dimension carries; and what each training paid (rate) for what (distortion).
 *
 * Settings: sprite, its number; dim, the rank of the dimension by KL, from 0. Numbers of the sprite are computed now, those of the
 * models come from their cards (playground/latent_beta.py). Which model is marked stands in the settings.
 */
import { ask, bytes, newest } from "../lib/api.js";
import { fill, h, m, number, subscript } from "../lib/dom.js";
import { rgba, toScan } from "../pixels/stream.js";
import { heatMap } from "./heat_map.js";
import { ratePlot, svg } from "./rate_plot.js";

const SPRITES = 10_000; // FRESH of models/scoring.py
const TELLS = 0.05; // share of a factor's entropy below which a dimension is not named after it
const FIRST = "beta4"; // the model that is marked at first, if it is there
const SHEET = 4; // pixels of an exported sheet a pixel

function median(values) {
  const sorted = [...values].sort((a, b) => a - b);
  return (sorted[Math.floor((sorted.length - 1) / 2)] + sorted[Math.floor(sorted.length / 2)]) / 2;
}

/**
 * What a training did, against the one with β = 1: which sentence of `against` fits, and its numbers in nats. Both differences
 * are given without their sign, which the sentence has.
 */
export function against(model, plain) {
  const [kl, distortion] = [model.kl - plain.kl, plain.reconstruction - model.reconstruction];
  const which = kl > 0 ? (distortion > 0 ? "both_worse" : "spends") : distortion > 0 ? "saves" : "both_better";
  return { which, kl: Math.abs(kl), distortion: Math.abs(distortion) };
}

/** ctx: see the stage, latents.js. */
export function betaView(host, ctx) {
  const { text } = ctx;
  let cards = null; // what /play/latents/betas told
  let shown = null; // what /play/latents/compare told
  let [chosen, pointed] = [FIRST, null];
  let rows = new Map();
  let maps = new Map();

  // --- What stands where -----------------------------------------------------------------------------------------------------
  host.classList.add("lt-view-beta");
  const step = (by) => ctx.change({ sprite: (ctx.settings().sprite + by + SPRITES) % SPRITES });
  const sprite = h("output", {});
  const rank = h("input", { type: "range", min: 1, step: 1, "aria-label": text.rank, oninput: () => ctx.change({ dim: Number(rank.value) - 1 }) });
  const rankSaid = h("output", {});
  const controls = h("div", { class: "beta-controls" },
    h("div", { class: "beta-sprite", role: "group", "aria-label": text.sprite_label },
      h("button", { type: "button", "data-act": "previous", "aria-label": text.previous, title: text.previous, onclick: () => step(-1) }, "‹"), sprite,
      h("button", { type: "button", "data-act": "next", "aria-label": text.next, title: text.next, onclick: () => step(1) }, "›")),
    h("label", { class: "beta-rank" }, h("span", { class: "soft" }, text.rank), rank, rankSaid));
  const places = h("div", { class: "beta-places", "aria-hidden": "true" });
  const head = h("div", { class: "beta-head" }, h("h2", {}, text.this_sprite), h("div", { class: "beta-pair-head", "aria-hidden": "true" }, ...text.pair.map((one) => h("span", {}, one))), places);
  const list = h("div", { class: "beta-rows" });
  const mapsBox = h("div", { class: "beta-maps" });
  const cell = h("p", { class: "soft beta-cell", "data-reading": "cell" });
  const formula = h("div", { class: "formula", tabindex: 0 });
  const verdict = h("p", { class: "beta-verdict", "data-reading": "verdict" });
  const bound = h("p", { class: "soft", "data-reading": "bound" });
  const seeds = h("div", { class: "beta-seeds" });
  const plotBox = h("div", { class: "beta-plot" });
  const line = h("p", { "data-reading": "equal" });
  const measured = h("p", { class: "soft" });
  const said = h("p", { class: "hidden-text", role: "status" });
  const none = h("p", { class: "notice", hidden: true }, text.none);
  const whole = h("div", { class: "beta-whole", hidden: true },
    controls,
    h("section", {}, head, list, h("p", { class: "soft beta-key" }, text.film_key)),
    h("section", {}, h("h2", {}, text.maps_title), mapsBox, cell),
    h("div", { class: "beta-below" },
      h("section", {}, h("h2", {}, text.plot_title), plotBox, line, measured),
      h("section", { class: "beta-said" }, h("h2", {}, text.loss_title), formula, verdict, bound, seeds)));
  host.append(none, whole, said);
  const plot = ratePlot(plotBox, { text, point, choose });

  const nameOf = ({ objective, beta }) => fill(text.names[objective], { beta: String(beta) });
  const shortOf = ({ objective, beta }) => fill(text.short_names[objective], { beta: String(beta) });
  const byKey = (key) => cards?.models.find((model) => model.key === key);
  const factorName = (name) => text.factors[name] ?? name;

  // --- What is asked ---------------------------------------------------------------------------------------------------------
  const want = newest(async ({ sprite: which, dim }) => {
    if (!cards) await load();
    if (!cards.models.length) return;
    const query = { sprite: which, dim: Math.min(dim, cards.models[0].latent - 1) };
    if (shown?.sprite === query.sprite && shown.dim === query.dim) return;
    const began = performance.now();
    list.setAttribute("aria-busy", "true");
    try {
      shown = await (await ask("latents/compare", { query })).json();
    } finally {
      list.setAttribute("aria-busy", "false");
    }
    ctx.badge("live");
    ctx.took((performance.now() - began) / 1000);
    ctx.fine();
    pictures();
    tell();
  }, ctx.fail);

  async function load() {
    cards = await (await ask("latents/betas")).json();
    none.hidden = cards.models.length > 0;
    whole.hidden = !cards.models.length;
    if (!cards.models.length) return;
    if (!byKey(chosen)) chosen = cards.models[0].key;
    rows = new Map(cards.models.map((model) => [model.key, row(model)]));
    list.replaceChildren(...[...rows.values()].map((one) => one.element));
    maps = new Map(cards.models.map((model) => [model.key, heatMap(model, { text, name: nameOf(model), short: shortOf(model), read, point, choose })]));
    mapsBox.style.setProperty("--maps", cards.models.length);
    mapsBox.replaceChildren(...[...maps.values()].map((one) => one.element));
    plot.set(cards.models.map((model) => ({ ...asPoint(model), key: model.key, name: shortOf(model), slope: model.objective === "elbo" ? -model.beta : null,
      seeds: model.seeds.filter(({ seed }) => seed !== model.seed).map((one) => ({ ...asPoint(one), seed: one.seed })) })));
    threeSeeds();
    const best = cards.models.flatMap((model) => [model, ...model.seeds]).reduce((a, b) => (b.elbo.nats > a.elbo.nats ? b : a));
    line.textContent = fill(text.equal, { elbo: number(best.elbo.nats, 1) });
    const { images, samples } = cards.models[0].elbo;
    measured.textContent = fill(text.measured, { images: number(images, 0), draws: fill(text.draws[samples === 1 ? 1 : "many"], { n: samples }) });
    controlsShow();
    mark();
    facts();
  }

  const asPoint = ({ kl, reconstruction, elbo, mig_without }) => ({ rate: kl, distortion: -reconstruction, elbo: elbo.nats, mig: mig_without });

  function facts() {
    if (!cards?.models.length) return;
    const every = (value) => [...new Set(cards.models.map(value))].join(", ");
    ctx.facts?.(fill(text.facts, { scale: every((model) => number(model.scale, 1).replace(/\.0$/, "")), fresh: every((model) => number(model.fresh, 0)),
      parameters: every((model) => number(model.parameters, 0)), steps: every((model) => number(model.steps, 0)) }));
  }

  // --- Rows: a model each ------------------------------------------------------------------------------------------------------
  function row(model) {
    const name = nameOf(model);
    const value = (token) => h("b", { class: `symbol-${token}` }, "–");
    const values = { reconstruction: value("p"), kl: value("kl"), elbo: h("b", {}, "–") };
    const [pair, film] = [h("canvas", { role: "img", class: "beta-pair" }), h("canvas", { role: "img" })];
    const [where, caption] = [h("div", { class: "beta-where", "aria-hidden": "true" }, h("i", {}), h("b", {})), h("p", { class: "beta-caption" })];
    const active = model.active.filter(Boolean).length;
    const button = h("button", { type: "button", class: "ghost", "data-choose": model.key, onclick: (event) => {
      event.stopPropagation();
      choose(model.key);
    } }, name);
    const mig = h("dd", { "data-number": "mig" }, h("b", {}, number(model.mig_without)), " ", h("small", {}, fill(text.with_shape, { mig: number(model.mig) })));
    const numbers = Object.entries(values).flatMap(([key, cell_]) => {
      cell_.dataset.number = key;
      return [h("dt", { title: text.means[key] }, text[key]), h("dd", {}, cell_)];
    });
    const element = h("article", { class: "beta-row", "data-model": model.key, "aria-label": name,
      onpointerenter: (event) => event.pointerType === "mouse" && point(model.key), onpointerleave: () => point(null), onclick: () => choose(model.key) },
      h("div", { class: "beta-about" },
        h("div", { class: "beta-name" }, button, h("span", { class: "soft", "data-number": "active" }, fill(text.active, { n: active, of: model.latent }))),
        h("dl", {}, ...numbers, h("dt", { title: fill(text.means.mig, { fresh: number(model.fresh, 0) }) }, text.mig), mig)),
      pair,
      h("div", { class: "beta-film" }, film, where, caption));
    return { element, button, pair, film, values, where, caption, name };
  }

  /** Pictures `(C, H, W)` side by side, a pixel apart. */
  function tiles(canvas, planes) {
    const { shape, levels } = shown;
    const [c, height, width] = shape;
    const [dims, n] = [c * height * width, planes.length / (c * height * width)];
    if (canvas.width !== n * (width + 1) - 1 || canvas.height !== height) Object.assign(canvas, { width: n * (width + 1) - 1, height });
    const context = canvas.getContext("2d");
    context.clearRect(0, 0, canvas.width, canvas.height);
    for (let i = 0; i < n; i++)
      context.putImageData(new ImageData(rgba(toScan(planes.subarray(i * dims, (i + 1) * dims), shape), shape, levels), width, height), i * (width + 1), 0);
  }

  /** Where the place z stands on a filmstrip, in percent of its width. */
  function across(z) {
    const [first, last] = [shown.places[0], shown.places.at(-1)];
    const width = shown.shape[2];
    const at = ((z - first) / (last - first)) * (shown.places.length - 1) * (width + 1) + width / 2;
    return Math.min(100, Math.max(0, (100 * at) / (shown.places.length * (width + 1) - 1)));
  }

  /** What came of this sprite and this dimension. */
  function pictures() {
    places.replaceChildren(...shown.places.map((z) => h("span", { style: `left:${across(z)}%` }, number(z, 0))));
    const original = bytes(shown.original);
    for (const one of shown.models) {
      const { pair, film, values, where, caption, name, element } = rows.get(one.key);
      const both = new Uint8Array(2 * original.length);
      both.set(original);
      both.set(bytes(one.picture), original.length);
      tiles(pair, both);
      tiles(film, bytes(one.film));
      const z = `z${subscript(one.dimension + 1)}`;
      pair.setAttribute("aria-label", fill(text.pair_label, { name, n: shown.sprite }));
      film.setAttribute("aria-label", fill(text.film_label, { name, z, first: number(shown.places[0], 0), last: number(shown.places.at(-1), 0), caption: meaning(one) }));
      for (const key of ["reconstruction", "kl", "elbo"]) values[key].textContent = `${{ reconstruction: "≈", kl: "", elbo: "≥" }[key]}\u2009${number(one[key], 1)}`.trim();
      values.reconstruction.title = fill(text.error, { error: number(one.reconstruction_error, 1), samples: shown.samples });
      const [low, high] = [across(one.mean - one.std), across(one.mean + one.std)];
      where.children[0].style.cssText = `left:${low}%;width:${high - low}%`;
      where.children[1].style.cssText = `left:${across(one.mean)}%`;
      where.dataset.mean = one.mean;
      where.title = fill(text.where, { z, mean: number(one.mean), std: number(one.std) });
      caption.replaceChildren(h("b", { class: "symbol-z" }, z), " ", meaning(one));
      element.dataset.dimension = one.dimension;
    }
    host.dataset.sprite = shown.sprite;
    host.dataset.dim = shown.dim;
    controlsShow();
  }

  /** What a dimension was measured to carry. */
  function meaning({ key, dimension, caption: { factor, nats, of } }) {
    const model = byKey(key);
    const values = { factor: factorName(factor), nats: number(nats), of: number(of), kl: number(model.kl_by_dimension[dimension]) };
    return fill(text[!model.active[dimension] ? "asleep" : nats / of < TELLS ? "no_factor" : "carries"], values);
  }

  function controlsShow() {
    const { sprite: which, dim } = ctx.settings();
    const latent = cards?.models[0]?.latent ?? 1;
    sprite.textContent = fill(text.sprite, { n: number(which, 0) });
    rank.max = latent;
    if (Number(rank.value) !== dim + 1) rank.value = dim + 1;
    rankSaid.textContent = fill(text.rank_of, { n: Math.min(dim + 1, latent), of: latent });
    rank.setAttribute("aria-valuetext", rankSaid.textContent);
  }

  function tell() {
    const each = shown.models.map((one) => fill(text.summary_model, { name: rows.get(one.key).name, z: `z${subscript(one.dimension + 1)}`, caption: meaning(one), reconstruction: number(one.reconstruction, 1), kl: number(one.kl, 1) }));
    said.textContent = `${fill(text.summary, { sprite: shown.sprite, rank: shown.dim + 1 })} ${each.join(" ")}`;
  }

  // --- One model is marked, everywhere ----------------------------------------------------------------------------------------
  function point(key) {
    if (pointed === key) return;
    pointed = key;
    mark();
  }

  function choose(key) {
    chosen = key;
    ctx.change({ marked: key }, { quiet: true });
    mark();
    said.textContent = verdict.textContent;
  }

  /** The settings' model is the marked one. */
  function adopt() {
    chosen = ctx.settings().marked ?? FIRST;
    if (cards && byKey(chosen)) mark();
  }

  function read(words) {
    cell.textContent = words ?? text.cell_none;
  }

  function mark() {
    const key = pointed ?? chosen;
    const model = byKey(key);
    if (!model) return;
    host.dataset.marked = key;
    for (const [name, { element, button }] of rows) {
      element.classList.toggle("on", name === key);
      button.setAttribute("aria-pressed", String(name === chosen));
    }
    for (const [name, one] of maps) one.mark(name === key, name === chosen);
    plot.mark(key);
    formula.replaceChildren(loss(model));
    const plain = byKey("beta1");
    const asleep = model.active.filter((one) => !one).length;
    const parts = [fill(text.asleep_count[asleep === 0 ? "none" : asleep === 1 ? "one" : "many"], { name: nameOf(model), n: asleep, of: model.latent, kl: number(model.kl, 1) })];
    if (plain && plain !== model) {
      const { which, kl, distortion } = against(model, plain);
      parts.push(fill(text.against[which], { kl: number(kl, 1), distortion: number(distortion, 1) }));
    }
    verdict.textContent = parts.join(" ");
    const kind = model.objective !== "elbo" ? "tc" : model.beta === 1 ? "one" : model.beta < 1 ? "below" : "above";
    bound.textContent = `${text.bounds[kind]} ${fill(text.elbo_is, { elbo: number(model.elbo.nats, 1) })}`;
    if (!cell.textContent) read(null);
  }

  /** The training's loss with this model's means over the test sprites. */
  function loss(model) {
    const { beta, kl, reconstruction, objective } = model;
    const under = (above, value, token, name) => {
      const below = m("mn", value, token);
      below.dataset.value = name;
      return m("munder", [above, below]);
    };
    const [p, q, x, z] = [["p", "p"], ["q", "q"], ["x", "x"], ["z", "z"]].map(([letter, token]) => () => m("mi", letter, `symbol-${token}`));
    const o = (sign) => m("mo", sign);
    const expected = m("mrow", [o("−"), m("msub", [m("mi", "E"), q()]), o("["), m("mi", "log"), p(), o("("), x(), o("|"), z(), o(")"), o("]")]);
    const priced = () => under(m("mtext", "KL", "symbol-kl"), number(kl, 1), "symbol-kl", "kl");
    const first = [m("mtext", text.loss), o("="), under(expected, number(-reconstruction, 1), "symbol-p", "distortion"), o("+")];
    const math = objective === "elbo"
      ? m("math", [...first, under(m("mi", "β"), String(beta), "", "beta"), o("×"), priced(), o("="), under(m("mtext", text.loss_in_all), number(beta * kl - reconstruction, 1), "", "loss")])
      : m("math", [...first, priced(), o("+"), under(m("mrow", [o("("), m("mi", "β"), o("−"), m("mn", 1), o(")")]), String(beta - 1), "", "beta"), o("×"), m("mtext", text.tc_name, "symbol-hot")]);
    math.setAttribute("aria-label", fill(text.loss_label[objective], { beta, kl: number(kl, 1), distortion: number(-reconstruction, 1) }));
    return math;
  }

  /** MIG of the models that were trained thrice: a dot a seed, and their median. */
  function threeSeeds() {
    const trained = cards.models.filter((model) => model.seeds.length > 1);
    const [width, pad] = [200, 8];
    const X = (mig) => pad + mig * (width - 2 * pad);
    seeds.replaceChildren(...(trained.length ? [h("h2", {}, text.seeds_title)] : []), ...trained.map((model) => {
      const values = model.seeds.map((one) => one.mig_without);
      const [middle, whole_] = [median(values), median(model.seeds.map((one) => one.mig))];
      const words = fill(text.seeds, { all: values.map((one) => number(one)).join(", "), median: number(middle) });
      const drawing = svg("svg", { viewBox: `0 0 ${width} 26`, role: "img", "aria-label": `${nameOf(model)}: ${words}`, "data-seeds": model.key },
        svg("line", { class: "axis", x1: X(0), x2: X(1), y1: 13, y2: 13 }), svg("line", { class: "median", x1: X(middle), x2: X(middle), y1: 3, y2: 23 }),
        ...model.seeds.map((one) => svg("circle", { cx: X(one.mig_without), cy: 13, r: 4.5 }, svg("title", {}, fill(text.seed, { seed: one.seed, mig: number(one.mig_without) })))));
      return h("div", { class: "beta-seed", onpointerenter: (event) => event.pointerType === "mouse" && point(model.key), onpointerleave: () => point(null) },
        h("b", {}, nameOf(model)), drawing, h("span", {}, words, " ", h("small", { class: "soft" }, fill(text.seeds_with_shape, { median: number(whole_) }))));
    }), ...(trained.length ? [h("p", { class: "soft" }, text.seeds_note)] : []));
  }

  return {
    show() {
      ctx.badge(shown ? "live" : "recorded");
      controlsShow();
      adopt();
      want(ctx.settings());
      facts();
    },
    hide() {},
    settings(changed) {
      if (changed.has("marked")) adopt();
      if (!changed.has("sprite") && !changed.has("dim")) return;
      controlsShow();
      want(ctx.settings());
    },
    json: () => ({
      models: cards?.models ?? [],
      sprite: shown && { ...shown, original: undefined, models: shown.models.map(({ picture: _, film: __, ...one }) => one) },
    }),
    async png(name) {
      if (!shown) return;
      const [width, height] = [[...rows.values()][0].pair.width + 8 + [...rows.values()][0].film.width, shown.shape[1] + 4];
      const sheet = new OffscreenCanvas(SHEET * width, SHEET * (rows.size * height - 4));
      const context = sheet.getContext("2d");
      context.imageSmoothingEnabled = false;
      [...rows.values()].forEach(({ pair, film }, i) => {
        context.drawImage(pair, 0, SHEET * i * height, SHEET * pair.width, SHEET * pair.height);
        context.drawImage(film, SHEET * (pair.width + 8), SHEET * i * height, SHEET * film.width, SHEET * film.height);
      });
      ctx.download(`${name}.png`, await sheet.convertToBlob({ type: "image/png" }));
    },
  };
}
