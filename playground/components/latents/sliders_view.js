/**
 * "Sliders": one slider a latent dimension, ordered by KL. A slider's track is its filmstrip, the pictures that this slider alone
 * would make with all others as they are; its thumb is the frame around the place where it stands. What it means was measured.
 *
 * Settings: model; z, in the model's own order and in hundredths ([]: the middle); turn, the seed of a rotation (0: none), which
 * makes the sliders those of z′ = R z; goal, the number of the target that is to be matched (0: no game); seed, of a draw from
 * N(0, I) that the sliders go to. The picture is always that of z as it stands in the address.
 */
import { ask, latentsAndPictures, newest } from "../lib/api.js";
import { fill, h, number, subscript } from "../lib/dom.js";
import { paintPicture, rgba, toScan } from "../pixels/stream.js";
import { goalGame } from "./game.js";

export const LIMIT = 3; // of a slider, to either side
export const PLACES = 9; // pictures of a filmstrip: the first and the last stand at the limits
const NUDGE = 0.1; // an arrow key's; Page Up and Down go on by a picture
const AND = 0.1; // nats above chance from which a slider is said to tell of a second factor
const SAMPLES = 6; // shown before and after a rotation
const SVG = "http://www.w3.org/2000/svg";

const place = (k) => -LIMIT + (2 * LIMIT * k) / (PLACES - 1);
/** Hundredths, without a negative zero. */
export const rounded = (value) => Math.round(value * 100) / 100 + 0;
/** z′ = R z. */
export const turned = (matrix, z) => matrix.map((row) => row.reduce((sum, r, i) => sum + r * z[i], 0));
/** z = Rᵀ z′. */
export const turnedBack = (matrix, u) => matrix[0].map((_, i) => u.reduce((sum, v, j) => sum + matrix[j][i] * v, 0));

const still = () => matchMedia("(prefers-reduced-motion: reduce)").matches;

export function slidersView(host, ctx) {
  const { text } = ctx;
  const current = () => ctx.models[ctx.settings().model] ?? Object.values(ctx.models)[0];
  let model = current();
  let z = middle(); // as it stands in the address
  let u = z; // where the sliders stand: z, or R z
  let found = null; // what was measured of the sliders: the answer of /play/latents/space or rotated
  let of = ""; // of which model and turn
  let rows = new Map(); // by dimension
  let last = null; // the picture on the screen: { z, planes }
  let byHand = false; // whether z was last moved here
  let visible = false;
  let frames = 0; // of animations, so far

  // --- What stands where -------------------------------------------------------------------------------------------------
  host.classList.add("lt-view-sliders");
  const canvas = h("canvas", { width: 1, height: 1, role: "img", "aria-label": text.here_label });
  const target = h("canvas", { width: 1, height: 1, role: "img", "aria-label": text.target_label });
  const targetFigure = h("figure", { hidden: true }, target, h("figcaption", { class: "soft symbol-x" }, text.target));
  const scores = h("div", { class: "ls-now", hidden: true });
  const pictures = h("div", { class: "ls-pictures" }, h("figure", {}, canvas, h("figcaption", { class: "soft" }, text.here)), targetFigure, scores);
  const reading = h("p", { class: "ls-z symbol-z", "data-reading": "z" });
  const length = h("p", { class: "soft", "data-reading": "length" });
  const act = (name, onclick, className = "") => h("button", { type: "button", "data-act": name, class: className, onclick }, text[name]);
  const turn = act("turn", () => ctx.change({ turn: (ctx.settings().turn % 9999) + 1 }), "primary");
  const undo = act("undo", () => ctx.change({ turn: 0 }));
  const gameButton = act("game", () => ctx.change({ goal: 1 + Math.floor(9999 * Math.random()) }));
  const buttons = h("div", { class: "ls-buttons" },
    act("zero", () => jump(middle(), true)), act("surprise", () => ctx.change({ seed: Math.floor(10_000 * Math.random()) })), gameButton, turn, undo);
  const gamePanel = h("div", { class: "ls-game", hidden: true });
  const rotation = h("div", { class: "ls-turned", hidden: true });
  const axisPicture = document.createElementNS(SVG, "svg");
  const glyphs = h("span", { class: "ls-bars ls-glyphs", "aria-hidden": "true" });
  const axis = h("div", { class: "ls-axis", hidden: true }, h("div", { class: "ls-head" }, h("span", { class: "soft" }, text.prior), glyphs), axisPicture);
  axisPicture.setAttribute("role", "img");
  axisPicture.setAttribute("aria-label", text.prior_label);
  const list = h("div", { class: "ls-list" }, h("p", { class: "soft" }, text.loading));
  const foldedList = h("div", { class: "ls-list" });
  const foldedWords = h("summary", { class: "soft" });
  const folded = h("details", { class: "ls-folded", hidden: true, ontoggle: () => folded.open && strips() }, foldedWords, foldedList);
  const measured = h("p", { class: "soft", "data-reading": "measured" });
  const said = h("p", { class: "hidden-text", role: "status" });
  host.append(h("div", { class: "ls-main" },
    h("div", { class: "ls-left" }, pictures, gamePanel, reading, length, buttons, rotation),
    h("div", { class: "ls-right" }, axis, list, folded, measured)), said);

  const game = goalGame({ panel: gamePanel, canvas: target, scores }, {
    text,
    hooks: {
      model: () => model,
      decode: (latents) => decoded(model, latents),
      rounded, still,
      goTo: (to) => jump(to, false),
      show: (to, planes) => {
        frames += 1;
        stand(to);
        canvas.dataset.wanted = z.join(",");
        paintHere(z, planes);
      },
      ready: () => last && game.painted(last.z, last.planes, false),
      change: (patch) => ctx.change(patch),
      fail: ctx.fail,
    },
  });

  // --- The picture ---------------------------------------------------------------------------------------------------------

  /** Planes of the pictures of latents, all in one request. */
  async function decoded(one, latents) {
    const response = await ask("decode", { query: { model: one.name }, body: new Float64Array(latents.flat()) });
    const pixels = new Uint8Array(await response.arrayBuffer());
    const dims = pixels.length / latents.length;
    return latents.map((_, i) => pixels.subarray(i * dims, (i + 1) * dims));
  }

  function paintHere(at, planes) {
    paintPicture(canvas, toScan(planes, model.shape), model.shape, model.levels);
    canvas.dataset.painted = at.join(",");
    for (const row of rows.values()) row.paint(canvas);
    last = { z: at, planes };
    game.painted(at, planes, byHand);
  }

  const decodeHere = newest(async ({ one, at }) => {
    const [began, before] = [performance.now(), frames];
    const [planes] = await decoded(one, [at]);
    if (one !== model || frames !== before) return; // an animation has shown what is newer
    paintHere(at, planes);
    ctx.took((performance.now() - began) / 1000);
    ctx.badge("live");
    ctx.fine();
  }, ctx.fail);

  /** The picture of z is wanted. */
  function see() {
    canvas.dataset.wanted = z.join(",");
    decodeHere({ one: model, at: z });
  }

  // --- Where the sliders stand -----------------------------------------------------------------------------------------------

  function middle() {
    return Array(current()?.latent ?? 0).fill(0);
  }

  function read() {
    const given = ctx.settings().z ?? [];
    return given.length === current().latent ? given.map(rounded) : middle();
  }

  /** The sliders, and what is said of them, are those of `next`. */
  function stand(next) {
    z = next.map(rounded);
    u = found ? turned(found.matrix, z) : z;
    for (const row of rows.values()) row.set();
    tell();
  }

  function tell() {
    reading.textContent = fill(text.z, { values: z.map((v) => number(v)).join(", ") });
    const turnedNow = ctx.settings().turn > 0;
    length.textContent = fill(turnedNow ? text.length_turned : text.length, { n: number(Math.hypot(...z)), typical: number(Math.sqrt(model.latent), 1) });
  }

  /** To a place that no hand led to. */
  function jump(next, own) {
    game.touched();
    byHand = own;
    stand(next);
    see();
    strips();
    ctx.change({ z: z.some((v) => v) ? z : [] }, { quiet: true });
    said.textContent = fill(text.summary_z, { values: z.map((v) => number(v)).join(", ") });
  }

  /** One slider moves. */
  function move(j, value) {
    game.touched();
    byHand = true;
    u = u.with(j, value);
    z = turnedBack(found.matrix, u).map(rounded);
    rows.get(j).set();
    tell();
    see();
  }

  let leaving = 0;
  /** A hand lets go, or rests: strips and address follow. */
  function finish(j) {
    clearTimeout(leaving);
    leaving = setTimeout(() => {
      game.moved();
      strips();
      ctx.change({ z: z.some((v) => v) ? z : [] }, { quiet: true });
      said.textContent = fill(text.summary, { name: rows.get(j)?.name ?? "z", value: number(u[j]) });
    }, 80);
  }

  // --- A slider --------------------------------------------------------------------------------------------------------------

  const factorName = (k) => {
    const name = found.factors.names[k];
    return name === "hue" && model.shape[0] === 1 ? "brightness" : name;
  };

  /** What was measured of dimension j, in words. */
  function caption(j) {
    const n = number(found.kl[j]);
    if (!found.factors) return fill(text.kl, { n });
    const klToo = fill(text.also_kl, { n });
    const { entropies, information, chance } = found.factors;
    const order = [...entropies.keys()].sort((a, b) => information[j][b] - information[j][a]);
    const beyond = (k) => information[j][k] - chance[j][k];
    const [first, second] = order;
    if (beyond(first) <= found.threshold) return `${fill(text.nothing, { n: number(information[j][first]) })} · ${klToo}`;
    const words = fill(text.tells, { factor: text.factors[factorName(first)], n: number(information[j][first], 1), of: number(entropies[first], 1) });
    const also = beyond(second) > AND ? fill(text.and, { factor: text.factors[factorName(second)], n: number(information[j][second], 1) }) : "";
    return `${words}${also} · ${klToo}`;
  }

  function bars(j) {
    if (!found.factors) return "";
    const { entropies, information } = found.factors;
    return h("span", { class: "ls-bars", "aria-hidden": "true" }, ...[...entropies.keys()].map((k) =>
      h("i", { style: `--share:${Math.min(1, information[j][k] / entropies[k]).toFixed(3)}`, title: fill(text.bar, { factor: text.factors[factorName(k)], n: number(information[j][k]), of: number(entropies[k], 1) }) })));
  }

  function slider(j) {
    const name = `z${ctx.settings().turn ? "′" : ""}${subscript(j + 1)}`;
    const words = caption(j);
    const output = h("output", {});
    const here = h("canvas", { width: 1, height: 1, class: "ls-here", "aria-hidden": "true" }); // within the frame: the picture as it is
    const film = h("canvas", { width: 1, height: 1, role: "img", "aria-label": fill(text.strip_label, { name }) });
    const input = h("input", { type: "range", min: -LIMIT, max: LIMIT, step: 0.01, "aria-label": fill(text.slider, { name, caption: words }), "data-dim": j });
    input.addEventListener("input", () => move(j, Number(input.value)));
    input.addEventListener("change", () => finish(j));
    input.addEventListener("keydown", (event) => {
      const by = { ArrowLeft: -NUDGE, ArrowDown: -NUDGE, ArrowRight: NUDGE, ArrowUp: NUDGE, PageDown: place(0) - place(1), PageUp: place(1) - place(0) }[event.key];
      if (!by) return;
      event.preventDefault();
      move(j, Math.max(-LIMIT, Math.min(LIMIT, rounded(u[j] + by))));
      finish(j);
    });
    // A press that does not become a drag chooses the picture under it.
    let pressed = null;
    input.addEventListener("pointerdown", (event) => (pressed = event.clientX));
    input.addEventListener("click", (event) => {
      if (pressed === null || Math.abs(event.clientX - pressed) > 4) return;
      pressed = null;
      const box = film.getBoundingClientRect();
      move(j, place(Math.max(0, Math.min(PLACES - 1, Math.floor(((event.clientX - box.left) / box.width) * PLACES)))));
      finish(j);
    });
    const ticks = [-2, -1, 0, 1, 2].map((v) => h("i", { style: `--at:${v}` }));
    const element = h("div", { class: "ls-row", "data-dim": j },
      h("div", { class: "ls-head" }, h("b", { class: "symbol-z" }, name), h("span", { class: "ls-caption" }, words), bars(j), output),
      h("div", { class: "ls-strip" }, film, here, input), h("div", { class: "ls-ticks", "aria-hidden": "true" }, ...ticks));
    return {
      name, element, film,
      paint(picture) {
        if (here.width !== picture.width || here.height !== picture.height) Object.assign(here, { width: picture.width, height: picture.height });
        here.getContext("2d").drawImage(picture, 0, 0);
      },
      set() {
        here.style.setProperty("--at", Math.max(-LIMIT, Math.min(LIMIT, u[j])));
        if (Math.abs(Number(input.value) - u[j]) > 0.0051) input.value = u[j];
        output.textContent = number(u[j]);
        input.setAttribute("aria-valuetext", number(u[j]));
      },
    };
  }

  // --- What each slider alone would do -----------------------------------------------------------------------------------------

  const shown = () => found.order.filter((j) => folded.open || !found.collapsed.includes(j));

  const decodeStrips = newest(async () => {
    if (!found || !visible) return;
    const [one, mine, dims, key] = [model, rows, shown(), `${of} ${u.join(",")}`];
    const latents = dims.flatMap((j) => Array.from({ length: PLACES }, (_, k) => turnedBack(found.matrix, u.with(j, place(k)))));
    const planes = await decoded(one, latents);
    if (mine !== rows) return; // the sliders are others by now
    const [, height, width] = one.shape;
    dims.forEach((j, i) => {
      const { film } = rows.get(j);
      if (film.width !== width * PLACES || film.height !== height) Object.assign(film, { width: width * PLACES, height });
      for (let k = 0; k < PLACES; k++) {
        const bytes = rgba(toScan(planes[i * PLACES + k], one.shape), one.shape, one.levels);
        film.getContext("2d").putImageData(new ImageData(bytes, width, height), k * width, 0);
      }
    });
    list.dataset.strips = key;
  }, ctx.fail);

  function strips() {
    if (found) list.dataset.stripsWanted = `${of} ${u.join(",")}`;
    decodeStrips();
  }

  // --- What was measured -------------------------------------------------------------------------------------------------------

  const answers = new Map();
  const asked = (path, query) => {
    const key = JSON.stringify([path, query]);
    if (!answers.has(key)) {
      const answer = ask(path, { query }).then((response) => response.json());
      answers.set(key, answer);
      answer.catch(() => answers.delete(key)); // asked again at the next occasion
    }
    return answers.get(key);
  };

  const load = newest(async () => {
    const { turn: wanted } = ctx.settings();
    const [one, key] = [model, `${model.name} ${wanted}`];
    if (of === key) return;
    host.setAttribute("aria-busy", "true");
    try {
      const answer = wanted ? await asked("latents/rotated", { model: one.name, turn: wanted }) : await asked("latents/space", { model: one.name });
      if (one !== model || ctx.settings().turn !== wanted) return;
      found = answer;
      of = key;
      build();
    } finally {
      if (one === model) host.removeAttribute("aria-busy");
    }
  }, ctx.fail);

  function build() {
    const { collapsed, order } = found;
    rows = new Map(order.map((j) => [j, slider(j)]));
    list.replaceChildren(...order.filter((j) => !collapsed.includes(j)).map((j) => rows.get(j).element));
    foldedList.replaceChildren(...collapsed.map((j) => rows.get(j).element));
    folded.hidden = !collapsed.length;
    const most = Math.max(0, ...collapsed.map((j) => found.moves[j]));
    foldedWords.textContent = fill(text.collapsed[collapsed.length] ?? text.collapsed.many, {
      n: collapsed.length, threshold: found.threshold, nothing: most ? text.next_to_nothing : text.quite_nothing,
      moves: most ? fill(text.moves_little, { n: most, levels: model.levels }) : text.moves_nothing,
    });
    const { factors } = found;
    const [what, n] = [text.of[found.kl_of], number(found.kl_images, 0)];
    measured.textContent = factors ? fill(text.measured, { images: number(factors.images, 0), n, of: what }) : fill(text.measured_kl, { n, of: what });
    axis.hidden = false;
    glyphs.replaceChildren(...(factors ? factors.names.map((_, k) => h("i", { title: text.factors[factorName(k)] }, text.glyphs[factorName(k)])) : []));
    host.dataset.shown = of;
    if (last) for (const row of rows.values()) row.paint(canvas);
    stand(z);
    fit();
    strips();
    tellTurn().catch(ctx.fail);
  }

  /** What a rotation left, and what it took. */
  async function tellTurn() {
    const { turn: now, seed } = ctx.settings();
    rotation.hidden = !now;
    turn.textContent = now ? text.turn_again : text.turn;
    undo.hidden = !now;
    if (!now) return;
    const one = model;
    const [samplesBefore, samplesAfter] = [h("canvas", { role: "img", "aria-label": text.samples_before }), h("canvas", { role: "img", "aria-label": text.samples_after })];
    rotation.replaceChildren(h("p", {}, h("b", {}, text.turned)), h("p", { "data-reading": "before_after" }, beforeAfter()),
      h("h2", {}, text.samples_before), samplesBefore, h("h2", {}, text.samples_after), samplesAfter);
    const { matrix } = found;
    const drawn = latentsAndPictures(await (await ask("sample", { query: { model: one.name, n: SAMPLES, seed } })).arrayBuffer(), one.latent, one.shape.reduce((a, b) => a * b));
    const dims = drawn.pixels.length / SAMPLES;
    row(samplesBefore, drawn.z.map((_, i) => drawn.pixels.subarray(i * dims, (i + 1) * dims)), one);
    row(samplesAfter, await decoded(one, drawn.z.map((latent) => turnedBack(matrix, latent))), one);
    rotation.dataset.shown = of;
  }

  function beforeAfter() {
    const highest = (kl) => number(Math.max(...kl), 2);
    if (!found.factors) return fill(text.turned_kl, { before: highest(found.before.kl), after: highest(found.kl) });
    const [{ information: before, entropies }, { information: after }] = [found.before.factors, found.factors];
    const all = before.flatMap((known, j) => known.map((nats, k) => ({ j, k, nats })));
    const best = all.reduce((a, b) => (b.nats > a.nats ? b : a));
    return fill(text.before_after, {
      factor: text.factors[factorName(best.k)], name: `z${subscript(best.j + 1)}`, before: number(best.nats, 1), of: number(entropies[best.k], 1),
      after: number(Math.max(...after.map((known) => known[best.k])), 1),
    });
  }

  function row(one, planes, { shape, levels }) {
    const [, height, width] = shape;
    Object.assign(one, { width: planes.length * (width + 2) - 2, height });
    planes.forEach((picture, i) => one.getContext("2d").putImageData(new ImageData(rgba(toScan(picture, shape), shape, levels), width, height), i * (width + 2), 0));
  }

  // --- Sizes ---------------------------------------------------------------------------------------------------------------------

  /** A filmstrip's picture is a whole number of CSS pixels wide, and the thumb as wide as it. */
  function fit() {
    const wide = host.querySelector(".ls-right").clientWidth;
    if (!wide) return;
    const cell = Math.floor(wide / PLACES);
    host.style.setProperty("--cell", `${cell}px`);
    drawAxis(cell);
  }

  function drawAxis(cell) {
    const [width, height] = [cell * PLACES, 40];
    const X = (v) => cell * (0.5 + ((v + LIMIT) / (2 * LIMIT)) * (PLACES - 1));
    const bell = Array.from({ length: 61 }, (_, i) => -LIMIT + i / 10).map((v) => `${X(v).toFixed(1)} ${(22 - 20 * Math.exp(-0.5 * v * v)).toFixed(2)}`);
    const element = (tag, attributes, words = "") => {
      const one = document.createElementNS(SVG, tag);
      for (const [name, value] of Object.entries(attributes)) one.setAttribute(name, value);
      one.textContent = words;
      return one;
    };
    axisPicture.setAttribute("viewBox", `0 0 ${width} ${height}`);
    axisPicture.setAttribute("width", width);
    axisPicture.setAttribute("height", height);
    axisPicture.replaceChildren(
      element("path", { class: "bell", d: `M${X(-LIMIT)} 22L${bell.join("L")}L${X(LIMIT)} 22Z` }),
      ...[-2, -1, 0, 1, 2].flatMap((v) => [element("line", { x1: X(v), x2: X(v), y1: 20, y2: 26 }), element("text", { x: X(v), y: 38 }, v ? fill(text.sigma, { n: number(v, 0) }) : "0")]));
  }
  new ResizeObserver(fit).observe(host);

  // --- What the stage asks for ---------------------------------------------------------------------------------------------------

  const toSeed = newest(async () => {
    const one = model;
    const response = await ask("sample", { query: { model: one.name, n: 1, seed: ctx.settings().seed } });
    const [drawn] = latentsAndPictures(await response.arrayBuffer(), one.latent, one.shape.reduce((a, b) => a * b)).z;
    if (one === model) jump(drawn, true);
  }, ctx.fail);

  /** All that the settings say. */
  function follow() {
    const before = model;
    model = current();
    if (!model) return;
    if (model !== before) {
      found = null;
      last = null;
      of = "";
      rows = new Map();
      list.replaceChildren(h("p", { class: "soft" }, text.loading));
      folded.hidden = axis.hidden = true;
      measured.textContent = "";
    }
    const goal = ctx.settings().goal ?? 0;
    targetFigure.hidden = !goal;
    gameButton.hidden = goal > 0;
    pictures.dataset.game = String(goal > 0);
    undo.hidden = !ctx.settings().turn;
    ctx.facts?.(model.facts);
    byHand = false;
    stand(read());
    see();
    strips();
    game.start(goal).catch(ctx.fail);
    load();
  }

  return {
    show() {
      visible = true;
      follow();
    },
    hide() {
      visible = false;
      game.touched();
    },
    settings(changed) {
      const own = ["model", "z", "turn", "goal"].some((key) => changed.has(key));
      if (own) follow();
      if (changed.has("seed")) {
        if (ctx.settings().turn && found) tellTurn().catch(ctx.fail);
        if (!changed.has("z") && !changed.has("model")) toSeed();
      }
    },
    again: () => toSeed(),
    json: () => ({ model: model.name, z, sliders: u, turn: ctx.settings().turn, measured: found && { kl: found.kl, factors: found.factors }, game: game.json() }),
    png(name) {
      if (!last) return;
      const scale = Math.ceil(320 / model.shape[2]);
      const large = new OffscreenCanvas(canvas.width * scale, canvas.height * scale);
      const context = large.getContext("2d");
      context.imageSmoothingEnabled = false;
      context.drawImage(canvas, 0, 0, large.width, large.height);
      large.convertToBlob({ type: "image/png" }).then((blob) => ctx.download(`${name}.png`, blob));
    },
  };
}
