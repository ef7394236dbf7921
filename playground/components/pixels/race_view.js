/**
 * "Why so slow, why so fast": what the chain rule saves and what it costs. Three parts, top to bottom: a table of all images,
 * counted against the network; the order of writing, on a tiny image; and a race between two ways to draw one image from one
 * network, measured on the server (`racing` in playground/pixel_play.py), beside one pass over the finished image.
 */
import { Refusal, ask, lines } from "../lib/api.js";
import { fill, h, m, number, oncePerFrame } from "../lib/dom.js";

const ATOMS = 80; // powers of ten: atoms in the observable universe, about
const LIMIT = 12; // seconds of computing after which the naive one is stopped: RACE_SECONDS of pixel_play.py
const SILENCE = 60; // seconds without a line after which a race is given up
const PHOTO = 1024; // pixels a side
const [COLUMNS, ROWS, CELL, RING] = [4, 3, 60, 26]; // the tiny image, and the padding around it, in units of its SVG
const TOY = { most: 16, first: 4 };

/** ctx: see the stage, pixels.js. */
export function raceView(host, ctx) {
  const parts = [tablePart(ctx), orderPart(ctx), racePart(ctx)];
  let shown = null; // the model that the words are about
  host.append(h("div", { class: "race" }, ...parts.map((part) => part.element)));
  const update = () => {
    if (shown === ctx.model().name) return;
    shown = ctx.model().name;
    for (const part of parts) part.model(ctx.model());
  };
  const hide = () => parts.forEach((part) => part.hide?.());
  return {
    show() {
      update();
      ctx.badge("live");
    },
    hide,
    settings: update,
    destroy: hide,
  };
}

// --- Help for all parts --------------------------------------------------------------------------------------------------

const dims = ({ shape: [c, height, width] }) => c * height * width;
const area = ({ shape: [, height, width] }) => height * width;
const unit = (text, model, count = "many") => text[`${model.shape[0] === 1 ? "grey" : "colour"}_${count}`];
const power = (base, exponent) => h("span", { class: "race-power" }, String(base), h("sup", {}, String(exponent)));

/** Seconds as people say them, with the digits they deserve. */
function duration(text, seconds) {
  const { ms, s, min, h: hours, d, y } = text.units;
  if (seconds < 0.0995) return `${number(1000 * seconds, seconds < 0.00995 ? 1 : 0)}\u00a0${ms}`;
  if (seconds < 120) return `${number(seconds, seconds < 9.95 ? 2 : 1)}\u00a0${s}`;
  const [size, name] = [[60, min], [3600, hours], [86_400, d], [31_557_600, y]].findLast(([one]) => seconds >= 2 * one);
  return `${number(seconds / size, seconds / size < 9.95 ? 1 : 0)}\u00a0${name}`;
}

/** A number with its name, a bar of `share` (0 to 1), and what is to be said of it. */
function bar(symbol, name) {
  const [value, fillIn, note] = [h("b", {}), h("i", { class: `race-fill ${symbol}` }), h("span", { class: "soft" })];
  const element = h("div", { class: "race-bar" }, h("span", {}, name), value, h("div", { class: "race-track" }, fillIn), note);
  return { element, set(shown, share, said) {
    value.replaceChildren(...[shown].flat());
    fillIn.style.width = `${100 * share}%`;
    note.textContent = said;
  } };
}

/** p(x_t | what came before), in MathML. `before`: the indices, and "…" for those left out. */
function conditional(t, before, symbol = "symbol-x") {
  const x = (index, colour) => m("msub", [m("mi", "x", colour), index]);
  const named = before.map((index) => (index === "…" ? m("mo", "…") : x(index, "symbol-x")));
  const past = named.flatMap((one, i) => (i ? [m("mo", ","), one] : [one]));
  const given = past.length ? [m("mo", "|"), ...past] : [];
  return [m("mi", "p", "symbol-p"), m("mo", "("), x(t, symbol), ...given, m("mo", ")")];
}

// --- 1. The table ----------------------------------------------------------------------------------------------------------

function tablePart({ text }) {
  const formula = h("div", { class: "formula" });
  const [table, atoms, network] = [bar("hot", text.all_images), bar("", text.atoms), bar("p", text.network)];
  const range = { type: "range", min: 1, max: TOY.most, value: TOY.first };
  const slider = h("input", { ...range, "aria-label": text.toy_slider, oninput: toy });
  const size = h("output", {});
  const squares = h("div", { class: "race-squares", "aria-hidden": "true" });
  const [whole, chain, shared] = [bar("hot", text.toy_table), bar("x", text.toy_chain), bar("p", text.toy_shared)];
  const lead = h("p", {});

  function toy() {
    const n = Number(slider.value);
    const [free, weights] = [2 ** n - 1, (n * (n + 1)) / 2];
    const pixels = n === 1 ? text.toy_pixels[1] : fill(text.toy_pixels.many, { n });
    const terms = Array.from({ length: n }, (_, t) => number(2 ** t, 0));
    const sum = n > 5 ? [...terms.slice(0, 3), "…", terms[n - 1]] : terms;
    lead.textContent = fill(text.toy_lead, { n: pixels });
    size.textContent = pixels;
    squares.replaceChildren(...Array.from({ length: TOY.most }, (_, i) => h("i", { class: i < n ? "on" : "" })));
    whole.set([power(2, n), ` − 1 = ${number(free, 0)}`], 1, fill(text.toy_table_note, { images: number(2 ** n, 0) }));
    chain.set(n === 1 ? "1" : `${sum.join(" + ")} = ${number(free, 0)}`, 1, text.toy_chain_note);
    shared.set(number(weights, 0), weights / free, text.toy_shared_note);
    slider.setAttribute("aria-valuetext", fill(text.toy_said, { n: pixels, table: free, chain: free, shared: weights }));
  }

  toy();
  const element = h("section", { class: "race-part race-table", "aria-labelledby": "race-table" },
    h("h2", { id: "race-table" }, text.table_title), h("p", { class: "race-words" }, text.table_lead), formula,
    h("div", { class: "race-two" },
      h("div", { "data-counts": "model" }, h("h2", {}, text.model_title), h("p", {}, text.model_lead),
        table.element, atoms.element, network.element),
      h("div", { "data-counts": "toy" }, h("h2", {}, text.toy_title), lead,
        h("div", { class: "race-slider" }, slider, size, squares), whole.element, chain.element, shared.element)),
    h("p", { class: "race-words" }, text.toy_honest));

  return { element, model(model) {
    const T = dims(model);
    const digits = T * Math.log10(model.levels);
    const named = { levels: model.levels, T: number(T, 0), unit: unit(text, model) };
    table.set([power(model.levels, T), " ≈ ", power(10, Math.round(digits))], 1, fill(text.counted, named));
    atoms.set(["≈ ", power(10, ATOMS)], ATOMS / digits, text.atoms_note);
    const size10 = Math.log10(model.parameters);
    network.set([number(model.parameters, 0), " ≈ ", power(10, number(size10, 1))], size10 / digits, text.network_note);
    const bounds = [m("mrow", [m("mi", "t"), m("mo", "="), m("mn", 1)]), m("mn", number(T, 0))];
    const math = m("math", [
      m("mi", "p", "symbol-p"), m("mo", "("), m("mi", "x", "symbol-x"), m("mo", ")"), m("mo", "="),
      m("munderover", [m("mo", "∏"), ...bounds]),
      ...conditional(m("mi", "t"), [m("mrow", [m("mo", "<"), m("mi", "t")])]),
    ]);
    math.setAttribute("aria-label", fill(text.table_formula, named));
    formula.replaceChildren(math);
  } };
}

// --- 2. The order ----------------------------------------------------------------------------------------------------------

function svg(tag, attributes = {}, ...children) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

function orderPart({ text }) {
  let [colours, t, timer, classes] = [1, 1, null, false];
  const last = () => COLUMNS * ROWS * colours;
  const figure = h("div", {
    class: "race-figure", role: "slider", tabindex: 0, "aria-label": text.order_label, "aria-valuemin": 1,
    onkeydown: keys, onpointerdown: point, onpointermove: point,
  });
  const play = h("button", { type: "button", onclick: () => (timer === null ? start() : pause()) }, text.play);
  const choices = [["grey", 1], ["colour", 3]].map(([name, c]) =>
    h("button", { type: "button", onclick: () => draw(c) }, text[`order_${name}`]));
  const [place, sees] = [h("b", {}), h("span", {})];
  const formula = h("div", { class: "formula", "aria-hidden": "true" });
  const key = h("p", { class: "soft race-key" }, ...["seen", "now", "later"].map((kind) =>
    h("span", {}, h("i", { "data-when": kind }), text[`key_${kind}`])));

  function point(event) {
    const sub = event.target.closest("[data-t]");
    if (!sub || (event.type === "pointermove" && timer !== null)) return;
    pause();
    go(Number(sub.dataset.t));
  }

  function keys(event) {
    const row = COLUMNS * colours;
    const by = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -row, ArrowDown: row, Home: -last(), End: last() }[event.key];
    if (by === undefined || event.ctrlKey || event.altKey || event.metaKey) return;
    event.preventDefault();
    event.stopPropagation(); // the stage's timeline has the same keys
    pause();
    go(t + by);
  }

  function start() {
    if (t >= last()) go(1);
    play.textContent = text.pause;
    const calm = matchMedia("(prefers-reduced-motion: reduce)").matches;
    timer = setInterval(() => {
      go(t + 1);
      if (t >= last()) pause();
    }, calm ? 1000 : 350);
  }

  function pause() {
    clearInterval(timer);
    timer = null;
    play.textContent = text.play;
  }

  /** The tiny image with `c` colours. */
  function draw(c) {
    pause();
    [t, colours] = [1 + Math.floor((t - 1) / colours) * c, c];
    const [width, height] = [COLUMNS * CELL + 2 * RING, ROWS * CELL + RING];
    const drawing = svg("svg", { viewBox: `0 0 ${width} ${height}`, "aria-hidden": "true", class: `race-colours-${c}` });
    drawing.append(svg("path", { class: "race-padding", d: `M1 ${height - 1} V1 H${width - 1} V${height - 1}` }));
    drawing.append(svg("text", { class: "race-padding", x: width / 2, y: RING / 2 + 1 }, text.padding));
    for (let i = 0; i < COLUMNS * ROWS; i++) {
      const [x, y] = [RING + (i % COLUMNS) * CELL, RING + Math.floor(i / COLUMNS) * CELL];
      const wide = CELL / c;
      for (let k = 0; k < c; k++) {
        const group = svg("g", { "data-t": i * c + k + 1, transform: `translate(${x + k * wide} ${y})` });
        group.append(svg("rect", { class: "race-sub", width: wide, height: CELL }));
        group.append(svg("text", { x: wide / 2, y: CELL / 2 - (c > 1 ? 4 : 0) }, String(i * c + k + 1)));
        if (c > 1) group.append(
          svg("text", { class: "race-letter", x: wide / 2, y: CELL - 20 }, text.letters[k]),
          svg("rect", { class: `race-stripe race-stripe-${k}`, x: 3, y: CELL - 10, width: wide - 6, height: 5 }));
        drawing.append(group);
      }
      drawing.append(svg("rect", { class: "race-cell", x, y, width: CELL, height: CELL }));
    }
    figure.replaceChildren(drawing);
    figure.setAttribute("aria-valuemax", String(last()));
    choices.forEach((button, i) => button.setAttribute("aria-pressed", String((i === 0) === (c === 1))));
    go(t);
  }

  function go(next) {
    t = Math.min(Math.max(next, 1), last());
    for (const group of figure.querySelectorAll("[data-t]")) {
      const other = Number(group.dataset.t);
      group.dataset.when = other < t ? "seen" : other === t ? "now" : "later";
    }
    const pixel = Math.floor((t - 1) / colours);
    const [row, column] = [1 + Math.floor(pixel / COLUMNS), 1 + (pixel % COLUMNS)];
    const where = { t, row, column, colour: text.colours[(t - 1) % colours] };
    place.textContent = fill(text[colours > 1 ? "order_at_colour" : "order_at_grey"], where);
    const none = classes ? text.sees_none_label : text.sees_none;
    sees.textContent = t === 1 ? none : t === 2 ? text.sees_one : fill(text.sees_many, { last: t - 1 });
    figure.setAttribute("aria-valuenow", String(t));
    figure.setAttribute("aria-valuetext", `${place.textContent} ${sees.textContent}`);
    const before = [1, 2, 3].filter((i) => i < t).map((i) => m("mn", i));
    if (t > 4) before.splice(1, 2, "…", m("mn", t - 1));
    formula.replaceChildren(m("math", conditional(m("mn", t), before, "symbol-hot")));
  }

  const element = h("section", { class: "race-part race-order", "aria-labelledby": "race-order" },
    h("h2", { id: "race-order" }, text.order_title), h("p", { class: "race-words" }, text.order_lead),
    h("div", { class: "race-two" }, figure,
      h("div", { class: "race-told" },
        h("div", { class: "race-buttons" }, play,
          h("div", { class: "race-segments", role: "group", "aria-label": text.order_choices }, ...choices)),
        formula, h("p", { class: "race-where" }, place, " ", sees), key, h("p", { class: "soft" }, text.order_may))));

  return { element, hide: pause, model(model) {
    classes = model.classes.length > 0;
    t = 1;
    draw(model.shape[0] === 1 ? 1 : 3);
  } };
}

// --- 3. The race -----------------------------------------------------------------------------------------------------------

/** One way to compute: its name, a bar, and three numbers. */
function lane(text, who, symbol) {
  const means = h("span", { class: "soft" });
  const fillIn = h("i", { class: `race-fill ${symbol}` });
  const scale = { role: "progressbar", "aria-valuemin": 0, "aria-valuemax": 100 };
  const track = h("div", { class: "race-track", ...scale, "aria-label": text[who] }, fillIn);
  const names = [who === "parallel" ? text.terms : text.written, text.time, text.evaluations];
  const [done, time, count] = [h("dd", {}), h("dd", {}), h("dd", {})];
  const readings = h("dl", {}, ...[done, time, count].map((value, i) => h("div", {}, h("dt", {}, names[i]), value)));
  const title = h("p", {}, h("b", {}, text[who]), " ", means);
  const element = h("div", { class: "race-lane", "data-lane": who }, title, track, readings);
  const put = (cell, [value, below]) =>
    cell.replaceChildren(h("b", {}, value), ...(below ? [h("small", {}, ...[below].flat())] : []));
  return { element, means, set(share, values) {
    fillIn.style.width = `${100 * share}%`;
    track.setAttribute("aria-valuenow", String(Math.floor(100 * share)));
    [done, time, count].forEach((cell, i) => put(cell, values[i]));
  } };
}

function racePart(ctx) {
  const { text } = ctx;
  let [model, running, phase, told] = [null, null, "idle", {}];
  const lanes = { cached: lane(text, "cached", "q"), naive: lane(text, "naive", "hot"), parallel: lane(text, "parallel", "p") };
  const badge = h("span", { class: "badge", "data-kind": "live", title: text.live_means, hidden: true }, text.live);
  const button = h("button", { type: "button", onclick: () => (running ? stop("stopped") : race()) }, text.start);
  const state = h("p", { class: "soft", role: "status" });
  const verdict = h("div", { class: "race-verdict", role: "status" });
  const why = h("p", { class: "race-words" });
  const chip = () => h("span", { class: "race-chip" }, text.estimate);
  const repaint = oncePerFrame(() => paint());

  /** What the slow one took, or would have at its rate. */
  function slow() {
    const { done, seconds } = told.naive;
    return { cut: done < dims(model), seconds: (seconds / done) * dims(model) };
  }

  function paint() {
    const [T, pixels] = [dims(model), area(model)];
    const blank = ["–"];
    for (const [who, one] of Object.entries(lanes)) {
      const at = told[who];
      const passes = at?.passes ?? 1;
      const counts = !at ? blank : who === "cached"
        ? [number((at.done / T) * pixels, 0)]
        : [number(passes * pixels, 0), fill(text.product, { passes: number(passes, 0), pixels: number(pixels, 0) })];
      const rate = who === "naive" && at && at.done >= 5 && slow().cut
        ? [fill(text.at_this_rate, { time: duration(text, slow().seconds) }), " ", chip()] : null;
      const done = [number(at?.done ?? 0, 0), fill(text.of, { T: number(T, 0), unit: unit(text, model) })];
      one.set((at?.done ?? 0) / T, [done, at ? [duration(text, at.seconds), rate] : blank, counts]);
    }
    badge.hidden = !told.cached;
    button.textContent = running ? text.stop : phase === "idle" ? text.start : text.again;
    button.classList.toggle("primary", !running);
    state.textContent = phase === "done" ? "" : fill(text[phase], { limit: LIMIT });
    const measured = told.parallel ? fill(text.why_measured, { time: duration(text, told.parallel.seconds) }) : "";
    why.textContent = fill(text.why, { T: number(T, 0), measured });
  }

  /** The end of a race, in words. */
  function conclude() {
    const [T, { cached, naive }, { cut, seconds }] = [dims(model), told, slow()];
    const ratio = seconds / cached.seconds;
    const words = {
      ratio: number(ratio, ratio < 9.95 ? 1 : 0), naive: duration(text, seconds), cached: duration(text, cached.seconds),
      spent: duration(text, naive.seconds), done: number(naive.done, 0), T: number(T, 0), unit: unit(text, model),
    };
    const photo = {
      n: number(3 * PHOTO * PHOTO, 0),
      cached: duration(text, (cached.seconds / T) * 3 * PHOTO * PHOTO),
      naive: duration(text, (seconds / T / area(model)) * PHOTO * PHOTO * (3 * PHOTO * PHOTO)),
    };
    const same = !naive.same ? "not_same" : cut ? "same_so_far" : "same";
    verdict.replaceChildren(
      h("p", {}, h("b", {}, fill(text[cut ? "ratio_cut" : "ratio"], words)), ...(cut ? [" ", chip()] : []), " ", text[same]),
      h("p", {}, fill(text.counts, words)),
      h("p", {}, fill(text.large, photo), " ", chip()));
  }

  function enter(next) {
    phase = next;
    paint();
  }

  function stop(next) {
    running?.abort();
    running = null;
    if (next) enter(next);
  }

  async function race() {
    const mine = (running = new AbortController());
    let watch = null;
    let silent = false;
    const heard = () => {
      clearTimeout(watch);
      watch = setTimeout(() => {
        silent = true;
        mine.abort();
      }, 1000 * SILENCE);
    };
    told = {};
    verdict.replaceChildren();
    enter("waiting");
    heard();
    try {
      const response = await ask("pixels/race", { query: { model: model.name }, signal: mine.signal });
      await lines(response, (line) => {
        heard();
        told[line.who] = line;
        const now = told.parallel ? "run_naive" : "run_cached";
        if (now === phase) repaint();
        else enter(now);
      });
      if (running !== mine) return;
      if (!told.cached || !told.parallel || !told.naive) throw new TypeError("The stream has ended too early.");
      running = null;
      conclude();
      enter("done");
    } catch (error) {
      if (running !== mine) return; // stopped by hand, or left
      running = null;
      enter("failed");
      const sentence = silent ? fill(text.silent, { seconds: SILENCE }) : text.broken;
      ctx.fail(error instanceof Refusal ? error : new Refusal(sentence));
    } finally {
      clearTimeout(watch);
    }
  }

  const element = h("section", { class: "race-part race-course", "aria-labelledby": "race-course" },
    h("div", { class: "race-head" }, h("h2", { id: "race-course" }, text.race_title), badge),
    h("p", { class: "race-words" }, text.race_lead),
    h("div", { class: "race-buttons" }, button, state),
    lanes.cached.element, lanes.naive.element, lanes.parallel.element,
    h("p", { class: "soft" }, text.evaluations_note, " ", text.live_means), verdict, why);

  return {
    element,
    model(next) {
      stop();
      [model, told] = [next, {}];
      const words = { T: number(dims(next), 0), one: unit(text, next, "one") };
      for (const [who, one] of Object.entries(lanes)) one.means.textContent = fill(text[`${who}_means`], words);
      verdict.replaceChildren();
      enter("idle");
    },
    /** A race that is left has no result. */
    hide() {
      if (running) stop("stopped");
    },
  };
}
