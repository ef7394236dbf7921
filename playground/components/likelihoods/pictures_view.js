/**
 * Pictures × models: how surprised is each model by each picture? 8-bit and binary models have a table each, since a probability over
 * 256 levels a pixel and one over two are of different things. The score (the rail's) settles what the numbers are and how they order
 * the pictures; what a number is, exact, bound or estimate, stands at each. Below the table that holds it: the cell in hand.
 *
 * Settings: data, score, seed, at, model, sort, down. The pictures are the tray's.
 */
import { bytes } from "../lib/api.js";
import { brief, fill, h, number } from "../lib/dom.js";
import { csv } from "./csv.js";
import { detail, percent } from "./detail.js";
import { scoreCache } from "./score_cache.js";
import { scoreTable } from "./score_table.js";
import { digitsFor, extremes, inNats, kindOf, lengths, missing, moves, ordered, scoreOf } from "./scores.js";
import { winner } from "./verdict.js";

const SPACES = ["8-bit", "binary"];
const COMPARED = ["surprise", "complexity", "ratio"]; // what is taken away is the same for all models: the lowest stays the lowest

/** Differences of numbers of five digits have no more. */
const rounded = (value) => (Number.isFinite(value) ? Number(value.toFixed(5)) : null);

export function picturesView(host, ctx) {
  const { text } = ctx;
  let [shown, nats, unscored] = [false, false, false];
  const line = h("p", { class: "score-line" });
  const units = ["bits", "nats"].map((unit) => h("button", { type: "button", class: "ghost", onclick: () => {
    nats = unit === "nats";
    draw();
  } }, text.units[unit]));
  const unitBox = h("div", { class: "units", role: "group", "aria-label": text.units_label }, ...units);
  const bar = h("progress", { "aria-label": text.progress_label });
  const done = h("span", {});
  const progress = h("p", { class: "progress", role: "status", hidden: true }, done, bar);
  const rest = h("button", { type: "button", class: "ghost rest", hidden: true, onclick: () => want() }, text.score_rest);
  const empty = h("p", { class: "empty", hidden: true }, text.empty);
  const legend = h("p", { class: "soft legend" });
  const one = detail(ctx);
  const parts = SPACES.map((space) => {
    const note = h("p", { class: "soft note" });
    const changed = h("p", { class: "soft changed" });
    const section = h("section", { class: "models", "data-space": space, hidden: true }, h("h2", {}, text.spaces[space]), note);
    const table = scoreTable(section, { text: text.table, look: (at) => ctx.change({ at }), pick, sort });
    section.append(changed);
    return { space, section, table, note, changed };
  });
  host.append(h("div", { class: "top" }, line, unitBox), h("div", { class: "scoring" }, progress, rest), empty, ...parts.map(({ section }) => section), legend, one.element);

  const cache = scoreCache({
    found() {
      if (!shown) return;
      unscored = false;
      ctx.fine();
      draw();
    },
    progress(n, of) {
      progress.hidden = of <= 10;
      done.textContent = of > 10 ? fill(text.progress, { n, of }) : "";
      bar.max = of || 1;
      bar.value = n;
      host.setAttribute("aria-busy", String(of > 0));
    },
    took: (seconds) => ctx.took(seconds),
    failed(error) {
      unscored = true;
      ctx.fail(error);
      draw();
    },
  });

  const where = () => ({ data: ctx.settings().data, seed: ctx.settings().seed });
  const reading = (picture) => cache.get(picture.pixels, where());
  const title = (name) => ctx.models[name]?.title ?? name;

  /** Numbers that were recorded for these pictures are there at once. */
  function recorded() {
    const found = ctx.recordings?.start?.[ctx.settings().data];
    if (!found?.scores || String(found.seed ?? ctx.settings().seed) !== String(ctx.settings().seed)) return;
    cache.record(found.pictures.map(({ pixels }) => (typeof pixels === "string" ? bytes(pixels) : pixels)), found.scores, where());
  }

  function want(options) {
    unscored = false;
    recorded();
    cache.want(ctx.pictures().map(({ pixels }) => pixels), where(), options);
  }

  function pick(at, model, event) {
    ctx.change({ at, model });
    if (event.detail > 0) one.element.scrollIntoView({ block: "nearest", behavior: matchMedia("(prefers-reduced-motion: reduce)").matches ? "auto" : "smooth" });
  }

  /** Numbers begin with the most outlying, names with A; pressed again, the other way. */
  function sort(key) {
    const now = ctx.settings();
    ctx.change({ sort: key, down: now.sort === key ? !now.down : key !== "" && key !== "title" });
  }

  // --- What is drawn -----------------------------------------------------------------------------------------------------------
  /** The models of a space, in the order of the answer, and the numbers of the tray's pictures under them. */
  function tables() {
    const pictures = ctx.pictures();
    const { data } = ctx.settings();
    const found = pictures.map(reading);
    const any = found.find(Boolean);
    const names = any ? any.order : Object.keys(ctx.models).filter((name) => ctx.models[name].data === data);
    const info = (name) => any?.models[name] ?? ctx.models[name];
    return SPACES.map((space) => ({ space, pictures, found, columns: names.filter((name) => info(name).space === space).map((name) => ({ name, kind: info(name).kind })) }));
  }

  /** The model in hand: the one that was chosen, if it is there, else the first. */
  function inHand(all) {
    const names = all.flatMap(({ columns }) => columns.map(({ name }) => name));
    const { model } = ctx.settings();
    return names.includes(model) ? model : names[0] ?? null;
  }

  function draw() {
    const { score, data, sort: by, down } = ctx.settings();
    const all = tables();
    const model = inHand(all);
    const chosen = ctx.chosen();
    const at = ctx.pictures().indexOf(chosen);
    const none = !ctx.pictures().length;
    const live = all[0].found.filter(Boolean);
    empty.hidden = !none;
    legend.hidden = none || !COMPARED.includes(score);
    legend.textContent = text.legend;
    rest.hidden = none || !unscored || live.length === all[0].found.length;
    line.hidden = none;
    line.textContent = fill(text.score_lines[score], { what: text.held_out[data], background: title(live.find((r) => r.background)?.background.name ?? "") || text.background, compressor: (live[0]?.complexity?.compressor ?? "png").toUpperCase() });
    if (missing(score, { space: "8-bit", data })) line.textContent = text[missing(score, { space: "8-bit", data })]; // plain surprise is shown
    unitBox.hidden = none || !plain(score, data);
    units.forEach((button, i) => button.setAttribute("aria-pressed", String((i === 1) === nats)));
    for (const [i, part] of parts.entries()) drawTable(part, all[i], { score, data, by, down, model, at });
    const home = parts.find(({ space }, i) => all[i].columns.some(({ name }) => name === model) && space);
    if (home && home.section.nextElementSibling !== one.element) home.section.after(one.element);
    const there = chosen && model ? reading(chosen) : null;
    const numbers = there?.models[model];
    one.draw(numbers ? { picture: chosen, reading: there, name: model, one: numbers, data, nats: nats && plain(score, data), rivals: rivals(there, numbers.space) } : null);
    host.dataset.scored = String(live.length);
    if (none) ctx.facts("");
    if (live.length) {
      ctx.badge(live.some((r) => r.recorded) ? "recorded" : "live");
      ctx.facts(fill(text.facts, { n: live.length, models: all[0].columns.length + all[1].columns.length, from: text.from[data] }));
    }
  }

  /** Whether the 8-bit models show plain surprise: because it is asked for, or because the score is none for this data. */
  const plain = (score, data) => score === "surprise" || Boolean(missing(score, { space: "8-bit", data }));
  const rivals = (there, space) => Object.entries(there.models).filter(([, found]) => found.space === space).map(([name, found]) => ({ name, ...found }));

  function drawTable({ section, table, note, changed, space }, { columns, pictures, found }, { score, data, by, down, model, at }) {
    section.hidden = !pictures.length || !columns.length;
    if (section.hidden) return;
    const lacking = missing(score, { space, data });
    const used = lacking ? "surprise" : score;
    note.textContent = [text.space_notes[space], lacking ? text[lacking] : ""].filter(Boolean).join(" ");
    const values = columns.map(({ name }) => found.map((r) => scoreOf(r, name, used)));
    const long = values.map(used === "rank" ? (column) => column.map((v) => v || 0) : lengths);
    const best = found.map((r) => (r && COMPARED.includes(used) ? winner(rivals(r, space)) : null));
    const judge = Math.max(0, columns.findIndex(({ name }) => name === model)); // whose order is spoken of
    const steps = used === "surprise" ? null : moves(found.map((r) => scoreOf(r, columns[judge].name, "surprise")), values[judge]);
    const sorted = columns.findIndex(({ name }) => name === by);
    const order = by === "title" ? ordered(pictures.map((p) => p.title), down) : sorted >= 0 ? ordered(values[sorted], down) : pictures.map((_, i) => (down && by === "" ? pictures.length - 1 - i : i));
    const thumb = (i) => (space === "binary" && found[i]?.binary ? found[i].binary.map((v) => 255 * v) : pictures[i].pixels);
    const ends = columns.map((_, c) => extremes(values[c]));
    table.draw({
      label: fill(text.table.label, { space: text.spaces[space], score: text.scores[used] }), at, model, sort: sorted >= 0 || by === "title" || by === "" ? by : null, down,
      columns: columns.map(({ name, kind }, c) => ({ name, kind, title: title(name), sign: text.signs[kind], chosen: c === judge && name === model })),
      rows: order.map((i) => ({
        at: i, title: pictures[i].title, kind: pictures[i].kind, thumb: thumb(i), ...moved(steps?.[i]),
        cells: columns.map(({ name, kind }, c) => (Number.isFinite(values[c][i]) ? { share: long[c][i], ...said(found[i], name, kind, used, values[c][i], best[i], pictures[i]) } : endless(found[i], name, kind, pictures[i]))),
      })),
      foot: ["least", "most"].map((end) => ({ title: text.table[end], cells: ends.map((one) => one && { at: one[end], title: pictures[one[end]].title, thumb: thumb(one[end]) }) })),
    });
    const many = steps?.filter(Boolean).length ?? 0;
    changed.hidden = !steps || steps.every((step) => step === null);
    changed.textContent = fill(many ? text.order_changed : text.order_kept, { n: many, of: steps?.filter((step) => step !== null).length ?? 0, model: title(columns[judge].name), score: text.scores[used] });
  }

  /** A bound that says nothing: at most infinity. Null where the picture is not scored yet. */
  function endless(there, name, kind, picture) {
    if (!there?.models[name]) return null;
    return { share: 1, text: "∞", sign: text.signs[kind] ?? "", error: "", mark: "", said: fill(text.table.cell, { picture: picture.title, model: title(name), value: `${text.signs[kind] ?? ""} ∞` }) };
  }

  function moved(step) {
    if (!step) return { move: "", moved: "" };
    return { move: `${step > 0 ? "▲" : "▼"}${Math.abs(step)}`, moved: fill(step > 0 ? text.moved_up : text.moved_down, { n: Math.abs(step) }) };
  }

  /** What stands in a cell, and what is said of it. */
  function said(there, name, kind, score, value, best, picture) {
    const numbers = there.models[name];
    const whole = score === "surprise" && nats ? inNats(numbers) : { value, error: kindOf(kind, score) ? numbers.error : null };
    const digits = score === "surprise" && nats ? digitsFor(whole.error, 0) : digitsFor(whole.error);
    const sign = text.signs[kindOf(kind, score)] ?? "";
    const shownAs = score === "rank" ? fill(text.percent, { n: percent(value) }) : brief(whole.value, digits);
    const error = whole.error >= 5e-5 ? `± ${brief(whole.error, digits)}` : "";
    const mark = best?.name === name ? (best.proven ? "proven" : "open") : "";
    const unit = score === "rank" ? "" : score === "surprise" && nats ? text.units.nats : text.units.bits;
    return { text: shownAs, sign, error, mark, said: [fill(text.table.cell, { picture: picture.title, model: title(name), value: [sign, shownAs, error, unit].filter(Boolean).join(" ") }), mark ? text.table.marks[mark] : ""].join(" ").trim() };
  }

  // --- What is taken away ------------------------------------------------------------------------------------------------------
  /** A row for each picture and model that is scored. */
  function rows() {
    const { data, seed } = ctx.settings();
    return ctx.pictures().flatMap((picture) => {
      const there = reading(picture);
      if (!there) return [];
      return there.order.map((name) => {
        const { space, kind, method, samples, bits, error, rank, deviation } = there.models[name];
        const score = (which) => (missing(which, { space, data }) ? null : scoreOf(there, name, which));
        return { picture: picture.title, picture_kind: picture.kind, model: name, data, seed, space, kind, method, samples, bits, nats: inNats(there.models[name]).value,
          error, rank, deviation, complexity: rounded(score("complexity")), ratio: rounded(score("ratio")), computed: there.recorded ? "recorded" : "live" };
      });
    });
  }

  return {
    show() {
      shown = true;
      want();
      draw();
    },
    hide() {
      shown = false;
      cache.stop();
    },
    settings(changed) {
      if (["pictures", "data", "seed"].some((key) => changed.has(key))) want();
      draw();
    },
    again: () => want({ fresh: true }),
    json() {
      const { score, data, seed } = ctx.settings();
      const map = one.map();
      return { data, seed, score, numbers: rows().map(({ rank, ...row }) => ({ ...row, share_at_least_as_surprising: rank })), surprise_map: map && [...map].map((v) => Number(v.toFixed(4))) };
    },
    csv(name) {
      const columns = Object.keys(text.csv);
      const file = csv(columns.map((key) => text.csv[key]), rows().map((row) => columns.map((key) => row[key])));
      ctx.download(`${name}.csv`, new Blob([file], { type: "text/csv;charset=utf-8" }));
    },
  };
}
