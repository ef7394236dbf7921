/**
 * One picture under one model: what the model really saw and how it came to that, how surprised it is and what kind of number that is,
 * where this stands among held-out images, and, of a PixelCNN, how many bits each pixel cost. Whether another model is proven more
 * surprised: verdict.js.
 */
import { ask, bytes, newest } from "../lib/api.js";
import { brief, fill, h, number } from "../lib/dom.js";
import { paint } from "../lib/pixels.js";
import { heatLegend, pixelCanvas } from "../pixel_canvas/pixel_canvas.js";
import { heldOut } from "./held_out.js";
import { digitsFor, inNats, missing, scoreOf } from "./scores.js";
import { winner } from "./verdict.js";

const SIDE = 28;
const EVEN = { "8-bit": 8, binary: 1 }; // bits a pixel of a uniform guess: the top of the scale that is the same for all pictures
const TINY = 0.01; // of a hundred quantiles the outermost are the end
const SCORES = ["rank", "typicality", "complexity", "ratio"];

/** Differences between two pictures around the middle grey, enlarged so that the largest reaches the end. */
export function magnified(pixels, original) {
  const largest = pixels.reduce((most, value, i) => Math.max(most, Math.abs(value - original[i])), 0);
  const times = largest ? Math.max(1, Math.floor(127 / largest)) : 1;
  return { times, largest, pixels: Uint8Array.from(pixels, (value, i) => 128 + times * (value - original[i])) };
}

/** A share as people read it, in percent: never rounded to all or to none. */
export function percent(share) {
  if (share > 0.9995 && share < 1) return `> ${number(99.9, 1)}`;
  if (share < 0.0005 && share > 0) return `< ${number(0.1, 1)}`;
  return number(100 * share, share !== Math.round(share) && (share > 0.99 || share < 0.01) ? 1 : 0);
}

/** The place of so many bits among the held-out images, in words. `rank`: the share of them at least as surprising. */
export function rankSaid({ bits, rank }, quantiles, text, what) {
  if (bits > quantiles.at(-1)) return fill(text.rank_all_below, { what });
  if (bits < quantiles[0]) return fill(text.rank_all_above, { what });
  const said = rank >= 0.5 ? fill(text.rank_low, { what, share: percent(rank) }) : fill(text.rank_high, { what, share: percent(1 - rank) });
  return rank < TINY || rank > 1 - TINY ? `${said} ${text.rank_tiny}` : said;
}

/** What is proven about the model with the lowest number, in sentences. `found` as verdict.winner gives it. */
export function verdictSaid(found, title, text) {
  if (!found) return "";
  const against = (test) => found.against.filter(test).map(({ name }) => title(name)).join("; ");
  const sentences = [fill(text.lowest, { model: title(found.name) })];
  const proven = against((one) => one.proven);
  if (found.proven) sentences.push(text.all_proven);
  else if (proven) sentences.push(fill(text.proven_against, { models: proven }));
  if (found.chance) sentences.push(text.by_chance);
  for (const why of ["bound", "estimate", "near", "above"]) {
    const models = against((one) => one.why === why);
    const many = found.against.filter((one) => one.why === why).length > 1;
    if (models) sentences.push(fill(text.not_proven[many ? `${why}_many` : why], { models }));
  }
  return sentences.join(" ");
}

/** The whole of it. ctx as the stage gives it. Returns { element, draw(state or null), map() }. */
export function detail(ctx) {
  const { text } = ctx;
  const title = h("h2", {});
  const why = h("p", { class: "why" });
  const seen = h("canvas", { width: SIDE, height: SIDE, role: "img" });
  const seenSaid = h("figcaption", {});
  const mapPlace = h("div", {});
  const legendPlace = h("div", {});
  const scaleBox = h("select", { class: "gmp-axis", "aria-label": text.scale, onchange: () => paintMap() },
    ...["global", "local"].map((one) => h("option", { value: one }, text.scales[one])));
  const pointed = h("p", { class: "soft pointed" });
  const mapBox = h("figure", { class: "map", hidden: true }, mapPlace, h("figcaption", {}, text.map), legendPlace, scaleBox, pointed);
  const big = h("p", { class: "big" });
  const kind = h("p", { class: "soft" });
  const plot = h("div", {});
  const rank = h("p", { class: "rank" });
  const others = h("dl", { class: "scores" });
  const verdict = h("p", { class: "proof" });
  const strip = h("div", { class: "steps", role: "group", "aria-label": text.steps_label });
  const attack = h("p", {});
  const aloud = h("p", { class: "hidden-text", "aria-live": "polite" });
  const element = h("section", { class: "detail", "aria-labelledby": "lk-detail-title" }, h("header", {}, title, why),
    h("div", { class: "board" },
      h("div", { class: "pictures" }, h("figure", {}, seen, seenSaid), mapBox),
      h("div", { class: "numbers" }, h("div", {}, big, kind), plot, rank, verdict, others)),
    h("div", { class: "prepared" }, h("h3", {}, text.steps_label), strip, attack), aloud);
  title.id = "lk-detail-title";
  const histogram = heldOut(plot);
  const glass = pixelCanvas(mapPlace, { label: text.map_label, description: text.map_kind, point: (pixel) => {
    at = pixel;
    paintMap();
  } });
  let [state, at, legend, map] = [null, null, null, null]; // map: { key, bits }
  let asked = null; // the key of the map that is wanted

  /** Bits of every pixel, from the model that wrote log p as a sum over them. */
  const read = newest(async ({ key, name, body }) => {
    if (asked !== key) return;
    const answer = await (await ask("pixels/read", { query: { model: name, label: -1 }, body })).json();
    const logp = new Float32Array(bytes(answer.log_probs).buffer);
    if (asked !== key) return; // by now another picture or model is looked at
    map = { key, bits: logp.map((v) => -v / Math.LN2) };
    paintMap();
  }, (error) => {
    asked = null;
    ctx.fail(error);
  });

  function paintMap() {
    const there = state && map?.key === asked && asked !== null;
    mapBox.classList.toggle("waiting", !there);
    mapBox.dataset.shown = there ? state.mapOf : "";
    const scale = there && scaleBox.value === "local" ? Math.max(0.01, ...map.bits) : EVEN[state?.one.space] ?? 8;
    if (state?.body) {
      glass.draw({ shape: [1, SIDE, SIDE], levels: state.one.space === "binary" ? 2 : 256, values: state.body, written: there ? SIDE * SIDE : 0, at: null,
        pointed: at, seen: null, blind: null, surprise: there ? map.bits : null, scale, known: null, changed: [] });
    }
    legend ??= heatLegend(legendPlace, { scale, unit: text.bits_a_pixel });
    legend.draw({ scale, unit: text.bits_a_pixel });
    pointed.textContent = there && at !== null ? fill(text.pixel, { row: Math.floor(at / SIDE) + 1, column: (at % SIDE) + 1, n: number(map.bits[at], 2) }) : text.point;
  }

  /** state: { picture, reading, name, one (its numbers), rivals (all models of its space), data, nats }, or null. */
  function draw(next) {
    element.hidden = !next;
    if (!next) {
      asked = state = null;
      return;
    }
    const { picture, reading, name, one, data } = state = next;
    const model = ctx.models[name] ?? { title: name };
    title.textContent = fill(text.under, { picture: picture.title, model: model.title });
    why.textContent = picture.why ?? "";
    why.hidden = !picture.why;
    state.body = one.space === "binary" ? reading.binary : picture.pixels;
    const shown = one.space === "binary" && reading.binary ? reading.binary.map((v) => 255 * v) : picture.pixels;
    paint(seen, shown);
    seenSaid.textContent = text.seen[one.space];
    seen.setAttribute("aria-label", `${picture.title}: ${text.seen[one.space]}`);
    drawNumbers(model);
    drawSteps();
    const mapped = name.startsWith("pixelcnn") && state.body;
    mapBox.hidden = !mapped;
    if (mapped) {
      state.mapOf = `${name} ${picture.id}`;
      const key = `${name} ${data} ${String.fromCharCode(...state.body)}`;
      if (asked !== key) {
        asked = key;
        at = null;
        if (map?.key !== key) read({ key, name, body: state.body });
      }
      paintMap();
    } else asked = null;
    element.dataset.shown = `${picture.id} ${name}`;
  }

  function drawNumbers(model) {
    const { reading, name, one, rivals, data, nats } = state;
    const sign = text.signs[one.kind];
    const digits = digitsFor(one.error, 3);
    const whole = inNats(one);
    const wide = digitsFor(whole.error, 0);
    const inBits = `${brief(one.bits, digits)}${one.error >= 5e-5 ? ` ± ${brief(one.error, digits)}` : ""}`;
    const natsSaid = `${brief(whole.value, wide)}${whole.error >= 5e-5 ? ` ± ${brief(whole.error, wide)}` : ""}`;
    const [first, unit] = nats ? [natsSaid, text.units.nats] : [inBits, text.units.bits];
    big.replaceChildren(h("span", { class: "sign" }, sign), ` ${first} `, h("small", {}, unit));
    kind.textContent = fill(text.kind_said[one.kind], { nats: natsSaid, bits: inBits, method: text.methods[one.method] ?? one.method, n: one.samples });
    const what = text.held_out[data];
    const place = model.quantiles ? rankSaid(one, model.quantiles, text, what) : "";
    rank.textContent = place;
    plot.hidden = !model.quantiles;
    if (model.quantiles) {
      histogram.draw({ quantiles: model.quantiles, value: one.bits, said: `${sign} ${brief(one.bits, digits)}`, unit: text.axis, held: fill(text.histogram, { what }),
        label: fill(text.histogram_label, { what, model: model.title, rank: place }) });
    }
    others.replaceChildren(...SCORES.flatMap((score) => {
      const value = scoreOf(reading, name, score);
      const lacking = missing(score, { space: one.space, data });
      if (lacking) return [];
      return [h("dt", {}, text.scores[score]), h("dd", {}, score === "rank" ? fill(text.percent, { n: percent(value) }) : fill(text.bits, { n: brief(value, 2) }))];
    }));
    const title = (other) => ctx.models[other]?.title ?? other;
    verdict.textContent = verdictSaid(winner(rivals), title, text);
    verdict.hidden = !verdict.textContent;
    aloud.textContent = `${state.picture.title}, ${model.title}: ${sign} ${first} ${unit}. ${place}`;
  }

  function drawSteps() {
    const { picture, reading, one, data } = state;
    const steps = [];
    const give = (pixels, width, height, name) => {
      const canvas = h("canvas", { "aria-hidden": "true" });
      paint(canvas, pixels, width, height);
      steps.push(h("figure", {}, canvas, h("figcaption", {}, name)));
    };
    attack.hidden = !picture.attack;
    if (picture.attack) {
      const { label, became, before, after, changed } = picture.attack;
      const original = bytes(picture.attack.original);
      const difference = magnified(picture.pixels, original);
      const name = (y) => text.classes[data]?.[y] ?? String(y);
      give(original, SIDE, SIDE, fill(text.attack_original, { label: name(label), share: percent(before[label]) }));
      give(difference.pixels, SIDE, SIDE, fill(text.attack_difference, { times: difference.times }));
      give(picture.pixels, SIDE, SIDE, fill(text.attack_after, { label: name(became), share: percent(after[became]) }));
      attack.textContent = fill(text.attack_said, { changed, before: name(label), after: name(became) });
    } else if (picture.steps?.length) {
      for (const step of picture.steps) give(bytes(step.pixels), step.width, step.height, text.steps[step.name] ?? step.name);
    } else give(picture.pixels, SIDE, SIDE, text.no_steps);
    if (one.space === "binary" && reading.binary) give(reading.binary.map((v) => 255 * v), SIDE, SIDE, text.binarised);
    strip.replaceChildren(...steps.flatMap((step, i) => (i ? [h("span", { class: "then", "aria-hidden": "true" }, "→"), step] : [step])));
  }

  return { element, draw, map: () => (map && map.key === asked ? map.bits : null) };
}
