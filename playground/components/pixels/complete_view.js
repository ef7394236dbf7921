/**
 * Half a picture, completed: several wholes for one part, and their mean.
 *
 * A PixelCNN that is given the beginning of an image, in the order of writing, goes on from there: p(rest | beginning), exactly.
 * Any other part is seen too late by the pixels written before it. Then completions are no draws from p(whole | part), and each
 * has a weight, w(x) = Π p(x_t | x_<t) over the known pixels that came later (models/completion.py). The view says which it is.
 */
import { Refusal, bytes, newest } from "../lib/api.js";
import { colour, download, fill, h, number, oncePerFrame, onTheme } from "../lib/dom.js";
import { pictureSource } from "./picture_source.js";
import { paintPicture, toPlanes, write } from "./stream.js";

const KEEPS = ["top", "left", "hole"];
const COUNTS = [8, 16];
const NEW_SEEDS = 10_000; // short enough to read aloud, as the rail's are
const COLDEST = 1e-6; // the temperature that stands for 0, as models.pixel_writer has it: at 0 itself nothing can be weighed
const PACE = 150; // ms between two requests while a hand is dragging
const GRACE = 1000; // ms until a request that is overtaken is dropped before its first row: a busy machine is not asked faster
const PATIENCE = 30; // seconds without a row, until a request is given up
const FEW = 2; // effective samples: below, one completion has more than half of the weight

/** As Python rounds, halves to even: so that "show the code" knows the same pixels. */
function round(x) {
  const whole = Math.round(x);
  return whole - x === 0.5 && whole % 2 ? whole - 1 : whole;
}

/** The unknown rectangle { x, y, w, h } in pixels. `share` (percent): of rows or columns known, or of the hole's side. */
export function gapOf(keep, share, [, height, width]) {
  const part = share / 100;
  if (keep === "top") return { x: 0, y: round(part * height), w: width, h: height - round(part * height) };
  if (keep === "left") return { x: round(part * width), y: 0, w: width - round(part * width), h: height };
  const start = (side) => Math.floor(side / 2) - round((part * side) / 2);
  return { x: start(width), y: start(height), w: round(part * width), h: round(part * height) };
}

/** One byte a pixel: 1 where it is known. */
export function maskOf(gap, [, height, width]) {
  const mask = new Uint8Array(height * width).fill(1);
  for (let y = gap.y; y < gap.y + gap.h; y++) mask.fill(0, y * width + gap.x, y * width + gap.x + gap.w);
  return mask;
}

/** exp(log w), made to sum to 1. */
export function shares(logWeights) {
  const top = Math.max(...logWeights);
  const weights = logWeights.map((one) => Math.exp(one - top));
  const sum = weights.reduce((a, b) => a + b, 0);
  return weights.map((one) => one / sum);
}

/** On how many completions the weight lies: on "one", on "two" (95 % of it), or "most" of it on one. */
function heaviest(weights) {
  const [first, second] = [...weights].sort((a, b) => b - a);
  return first > 0.95 ? "one" : first + second > 0.95 ? "two" : "most";
}

/** Returns { show, hide, settings, again, json, png, destroy }. */
export function completeView(host, ctx) {
  const { text } = ctx;
  let visible = false;
  let count = COUNTS[0];
  let resampled = false; // whether completions are shown as they were drawn again by weight
  let revision = 0; // of the given picture
  let asked = null; // the key of what is being written, or is there
  let shown = null; // the run on the screen
  let controller = new AbortController();

  // --- What stands where -----------------------------------------------------------------------------------------------
  const sourceBox = h("div", {});
  const padBox = h("div", { class: "px-part-pad" });
  const givenCanvas = h("canvas", { role: "img" });
  const keepButtons = KEEPS.map((keep) => h("button", { type: "button", onclick: () => ctx.change({ keep }) }, text.keeps[keep]));
  const shareName = h("span", {});
  const shareValue = h("output", {});
  const slider = h("input", { type: "range", min: 0, step: 1, oninput: () => ctx.change({ share: Math.round((100 * slider.value) / slider.max) }) });
  const told = h("span", {});
  const anyButton = h("button", { type: "button", class: "ghost", onclick: () => ctx.change({ label: -1 }) }, text.any);
  const againButton = h("button", { type: "button", class: "primary", title: text.again_help, onclick: () => ctx.change({ seed: Math.floor(NEW_SEEDS * Math.random()) }) }, text.again);
  const title = h("h2", {});
  const progress = h("span", { class: "soft" });
  const countButtons = COUNTS.map((n) => h("button", { type: "button", onclick: () => use(n) }, String(n)));
  const tiles = h("div", { class: "px-tiles" });
  const verdict = h("p", { class: "px-verdict" });
  const effective = h("b", {});
  const few = h("span", { class: "symbol-kl" });
  const useButton = h("button", { type: "button", class: "ghost", onclick: () => use(COUNTS[1]) }, fill(text.use, { n: COUNTS[1] }));
  const how = h("p", { class: "soft" });
  const showButtons = [text.as_written, text.resampled].map((name, i) => h("button", { type: "button", onclick: () => {
    resampled = i === 1;
    draw();
  } }, name));
  const resampledNote = h("p", { class: "soft" }, text.resampled_note);
  const weights = h("div", { class: "px-weights" }, how,
    h("p", {}, text.effective, " ", effective, " ", h("span", { class: "soft" }, `(${text.effective_note})`)),
    h("div", { class: "px-few" }, few, useButton),
    h("div", { class: "segments", role: "group", "aria-label": text.show }, ...showButtons), resampledNote);
  const blur = h("p", { class: "soft" });
  const summary = h("p", { class: "hidden-text", "aria-live": "polite" });
  const below = h("div", { class: "px-below" }, verdict, weights, blur);
  const root = h("div", { class: "px-complete" }, sourceBox,
    h("div", { class: "px-complete-body" },
      h("div", { class: "px-part" }, h("h2", {}, text.given), padBox, givenCanvas, h("p", { class: "soft" }, text.legend),
        h("div", { class: "segments", role: "group", "aria-label": text.keep }, ...keepButtons),
        h("label", { class: "px-share" }, shareName, shareValue, slider),
        h("p", { class: "soft px-told" }, told, " ", anyButton),
        againButton),
      h("div", { class: "px-wholes" },
        h("div", { class: "px-head" }, title, progress, h("div", { class: "segments", role: "group", "aria-label": text.count }, ...countButtons)),
        tiles, below)),
    summary);
  host.append(root);
  const givenSmall = h("canvas", {});
  const source = pictureSource(sourceBox, ctx, { drawPlace: true, pad: padBox, area: root, changed: () => {
    revision++;
    update();
  } });

  function use(n) {
    count = n;
    update();
  }

  // --- Having it written -----------------------------------------------------------------------------------------------
  /** All that the completions depend on. */
  function wanted() {
    const { keep, share, seed, temperature, label } = ctx.settings();
    const model = ctx.model();
    const want = { model, picture: source.picture(), gap: gapOf(keep, share, model.shape), seed, temperature, label: label < model.classes.length ? label : -1, n: count };
    return { ...want, key: JSON.stringify([model.name, revision, want.gap, seed, temperature, want.label, count]) };
  }

  let timer = 0;
  let last = -Infinity; // when the last request began, ms
  let rowless = false; // whether it has not brought a row yet
  /** Draws what follows from the settings alone, and has completions written if those there are of other settings. */
  function update() {
    const want = wanted();
    controls(want);
    draw();
    if (!visible || !want.picture || want.key === asked) return;
    clearTimeout(timer);
    timer = setTimeout(start, Math.max(0, last + (rowless ? GRACE : PACE) - performance.now()));
  }

  function start() {
    const want = wanted();
    if (!visible || !want.picture || want.key === asked) return;
    last = performance.now();
    rowless = true;
    asked = want.key;
    controller.abort();
    controller = new AbortController();
    writeNewest({ want, signal: controller.signal });
  }

  /** A request that nobody waits for any longer. */
  function giveUp() {
    clearTimeout(timer);
    controller.abort();
    rowless = false;
    if (!shown?.end || shown.key !== asked) asked = null;
  }

  const writeNewest = newest(async ({ want, signal }) => {
    if (signal.aborted) return;
    const run = newRun(want);
    const stopped = new AbortController(); // by the watch below, or with `signal`
    const stop = () => stopped.abort();
    signal.addEventListener("abort", stop);
    let watch = 0;
    let late = false;
    const alive = () => {
      clearTimeout(watch);
      watch = setTimeout(() => {
        late = true;
        stop();
      }, 1000 * PATIENCE);
    };
    if (!shown || shown.model.name !== run.model.name) put(run);
    tiles.setAttribute("aria-busy", "true");
    tiles.classList.toggle("stale", shown !== run);
    below.classList.toggle("stale", "exact" in verdict.dataset); // said of the run before
    progress.textContent = text.waiting;
    alive();
    try {
      await write({
        query: { model: run.model.name, n: run.n, seed: run.seed, label: run.label, temperature: Math.max(run.temperature, COLDEST), logits: false },
        shape: run.model.shape, body: bodyOf(run), signal: stopped.signal,
        head: ({ labels }) => (run.labels = labels),
        row: (one) => {
          if (stopped.signal.aborted) return;
          alive();
          run.take(one);
          if (shown !== run) put(run);
          answered(run);
          progress.textContent = fill(text.row, { row: run.upTo, all: run.model.shape[1] });
          draw();
        },
        end: (said) => {
          if (stopped.signal.aborted) return;
          run.finish(said);
          if (shown !== run) put(run);
          finished(run);
          answered(run);
        },
      });
    } catch (error) {
      if (signal.aborted) return; // overtaken, or left
      asked = null; // so that the same can be asked again
      answered(run);
      progress.textContent = text.stopped;
      tiles.classList.toggle("stale", shown !== run);
      if (late) throw new Refusal(fill(text.stalled, { s: PATIENCE }));
      throw error instanceof Refusal ? error : new Refusal(text.broken_off);
    } finally {
      clearTimeout(watch);
      signal.removeEventListener("abort", stop);
      if (!signal.aborted) tiles.removeAttribute("aria-busy");
    }
  }, (error) => ctx.fail(error));

  /** A request has brought its first row, its end or its failure: if another was wanted meanwhile, it is that one's turn. */
  function answered(run) {
    if (!rowless) return;
    rowless = false;
    if (wanted().key !== run.key) update();
  }

  /** What is known as planes, then one byte a pixel that says where. */
  function bodyOf({ model, given, mask }) {
    const planes = toPlanes(given, model.shape);
    const body = new Uint8Array(planes.length + mask.length);
    body.set(planes);
    body.set(mask, planes.length);
    return body;
  }

  /** The new run takes the place of the one before: at its first row, or at once where there is nothing to keep. */
  function put(run) {
    shown = run;
    tiles.classList.remove("stale");
    if (run.model.name === ctx.model().name) ctx.badge("live");
    draw();
  }

  function finished(run) {
    progress.textContent = "";
    below.classList.remove("stale");
    ctx.took(run.end.seconds);
    say(run);
    draw();
    summary.textContent = fill(text.summary, { n: run.n, verdict: verdict.textContent });
  }

  // --- Drawing ---------------------------------------------------------------------------------------------------------
  function controls({ model, gap, label }) {
    const { keep } = ctx.settings();
    const [, height, width] = model.shape;
    const all = keep === "left" ? width : height;
    const n = { top: gap.y, left: gap.x, hole: gap.h }[keep];
    keepButtons.forEach((button, i) => button.setAttribute("aria-pressed", String(KEEPS[i] === keep)));
    countButtons.forEach((button, i) => button.setAttribute("aria-pressed", String(COUNTS[i] === count)));
    shareName.textContent = text.share[keep];
    shareValue.textContent = fill(text.shares[keep], { n, all });
    slider.max = all;
    slider.value = n;
    slider.style.setProperty("--at", `${(100 * n) / all}%`);
    slider.setAttribute("aria-label", text.share[keep]);
    slider.setAttribute("aria-valuetext", shareValue.textContent);
    told.textContent = !model.classes.length ? "" : label < 0 ? text.untold : fill(text.told, { name: model.classes[label] });
    anyButton.hidden = label < 0;
    title.textContent = fill(text.title, { n: count });
    for (const [name, value] of [["x", gap.x / width], ["y", gap.y / height], ["w", gap.w / width], ["h", gap.h / height]]) root.style.setProperty(`--gap-${name}`, `${100 * value}%`);
    givenCanvas.setAttribute("aria-label", fill(text.given_label, { known: fill(text.known[keep], { n, all }) }));
  }

  const draw = oncePerFrame(() => {
    if (!host.isConnected || !root.clientWidth) return;
    const inks = { ground: colour(root, "hover"), line: colour(root, "soft"), edge: colour(root, "q") };
    const want = wanted();
    if (want.picture) {
      paintPicture(givenSmall, want.picture, want.model.shape, want.model.levels);
      drawPart(givenCanvas, givenSmall, want.gap, want.gap.y, inks);
    }
    if (!shown) return;
    const { end, n, gap, upTo, model } = shown;
    const again = resampled && end?.weights;
    const which = (i) => (again ? end.resampled[i] : i);
    const means = end?.weights ? ["mean_weighted", "mean_plain"] : [end ? "mean" : "mean_so_far"];
    while (tiles.children.length > n + means.length) tiles.lastChild.remove();
    while (tiles.children.length < n + means.length) tiles.append(h("figure", {}, h("canvas", { role: "img" }), h("figcaption", {}, h("span", {}), h("i", {}), h("span", {}))));
    [...tiles.children].forEach((tile, i) => {
      const [canvas, caption] = tile.children;
      const one = i < n ? which(i) : null;
      tile.className = i < n ? "" : "mean";
      if (i < n) paintPicture(shown.small, shown.images[one], model.shape, model.levels);
      else paintPicture(shown.small, i > n ? shown.plainMean : shown.mean, model.shape, model.levels);
      drawPart(canvas, shown.small, gap, upTo, inks);
      name(tile, caption, canvas, one, means[i - n]);
    });
    say(shown);
  });

  /** What stands under a tile: which completion it is, and its share of the weight. */
  function name(tile, caption, canvas, one, mean) {
    const { labels, label, model, end, n } = shown;
    const [first, bar, last] = caption.children;
    const className = one !== null && labels && label < 0 ? model.classes[labels[one]] : null;
    const values = { i: one + 1, name: className };
    first.textContent = mean ? text[mean] : fill(className ? text.tile_class : text.tile, values);
    first.title = first.textContent;
    const weight = one === null || !end?.weights || resampled ? null : end.weights[one]; // drawn again, all count alike
    bar.hidden = last.hidden = weight === null;
    bar.style.setProperty("--share", `${100 * (weight ?? 0)}%`);
    const share = weight === null ? "" : weight < 0.001 ? text.share_small : `${number(100 * weight, weight < 0.0995 ? 1 : 0)} %`;
    last.textContent = share;
    const said = mean ? `${text[mean]}. ${fill(text.mean_label, { n })}` : fill(className ? text.tile_class_label : text.tile_label, values);
    canvas.setAttribute("aria-label", share ? `${said}, ${fill(text.tile_weight, { share })}` : said);
  }

  /** What the completions are: draws from p(whole | part), or not. */
  function say({ end, n, temperature, label, model }) {
    weights.hidden = !end?.weights;
    if (!end) {
      if (!verdict.textContent) verdict.textContent = text.writing;
      return;
    }
    const t = number(temperature, 2);
    const heated = temperature !== 1;
    if (end.known === "nothing") verdict.textContent = heated ? fill(text.nothing_known_heated, { t }) : text.nothing_known;
    else if (end.known === "all") verdict.textContent = text.all_known;
    else if (end.exact) verdict.textContent = label >= 0 && model.classes.length ? text.exact_told : text.exact;
    else if (end.prefix) verdict.textContent = fill(text.heated, { t });
    else verdict.textContent = `${text.not_exact}${heated ? ` ${fill(text.heated_too, { t })}` : ""}`;
    verdict.dataset.exact = String(end.exact);
    blur.hidden = end.known === "all";
    blur.textContent = fill(end.effective < FEW ? text.blur_one : text.blur, { n });
    if (!end.weights) return;
    how.textContent = end.prefix ? text.weight_heated : heated ? fill(text.weight_both, { t }) : text.weight;
    effective.textContent = fill(text.effective_of, { e: number(end.effective, 1), n });
    few.parentElement.hidden = end.effective >= FEW;
    few.textContent = fill(text.too_few[n], { where: text.where[heaviest(end.weights)] });
    useButton.hidden = n === COUNTS[1];
    showButtons.forEach((button, i) => button.setAttribute("aria-pressed", String(resampled === (i === 1))));
    resampledNote.hidden = !resampled;
  }

  const watcher = new ResizeObserver(draw);
  watcher.observe(root);
  const stopTheme = onTheme(draw);

  return {
    show() {
      visible = true;
      source.refresh();
      update();
    },
    hide() {
      visible = false;
      giveUp();
    },
    settings(changed) {
      if (["model", "source", "ref"].some((key) => changed.has(key))) source.refresh();
      update();
    },
    /** The same seed once more. */
    again() {
      asked = null;
      update();
    },
    json() {
      if (!shown) return null;
      const { given, gap, images, labels, label, seed, temperature, end, mean } = shown;
      return {
        given: [...given], unknown: gap, completions: images.map((one) => [...one]), labels, label, seed, temperature,
        exact: end?.exact ?? null, weights: end?.weights ?? null, effective_samples: end?.effective ?? null,
        resampled: end?.resampled ?? null, mean: [...mean].map((v) => Number(v.toFixed(3))),
      };
    },
    png(file) {
      if (!shown) return;
      const { model, images, mean, small } = shown;
      const [, height, width] = model.shape;
      const all = [...images, mean];
      const [columns, scale, gap] = [Math.ceil(Math.sqrt(all.length)), 6, 6];
      const rows = Math.ceil(all.length / columns);
      const large = h("canvas", { width: columns * (width * scale + gap) - gap, height: rows * (height * scale + gap) - gap });
      const pen = large.getContext("2d");
      pen.imageSmoothingEnabled = false;
      all.forEach((one, i) => {
        paintPicture(small, one, model.shape, model.levels);
        pen.drawImage(small, (i % columns) * (width * scale + gap), Math.floor(i / columns) * (height * scale + gap), width * scale, height * scale);
      });
      large.toBlob((blob) => download(`${file}.png`, blob));
    },
    destroy() {
      visible = false;
      giveUp();
      source.destroy();
      watcher.disconnect();
      stopTheme();
      root.remove();
    },
  };
}

/** Completions as they come: what is known stands in each from the start. */
function newRun(want) {
  const { model, picture, gap, n } = want;
  const [c, height, width] = model.shape;
  const mask = maskOf(gap, model.shape);
  const given = picture.map((value, t) => (mask[Math.floor(t / c)] ? value : 0));
  const run = {
    ...want, mask, given, small: h("canvas", {}), labels: null, end: null,
    upTo: gap.w && gap.h ? gap.y : height, // rows that are there
    images: Array.from({ length: n }, () => Uint8Array.from(given)),
    mean: Float32Array.from(given),
    plainMean: null,
    /** A row of each image. */
    take({ row, values }) {
      const from = row * width * c;
      values.forEach((one, i) => run.images[i].set(one, from));
      for (let t = from; t < from + width * c; t++) run.mean[t] = run.images.reduce((sum, image) => sum + image[t], 0) / n;
      run.upTo = Math.max(run.upTo, row + 1);
    },
    /** What is said of them at the end; of whole images (nothing was known) that is nothing but the time. */
    finish(said) {
      const known = !gap.w || !gap.h ? "all" : mask.some(Boolean) ? "part" : "nothing";
      const weighted = known === "part" && said.exact === false;
      run.upTo = height;
      run.end = {
        known, seconds: said.seconds, exact: weighted ? false : known === "nothing" ? want.temperature === 1 : true, prefix: said.prefix ?? true,
        weights: weighted ? shares(said.log_weights) : null,
        effective: weighted ? said.effective_samples : n,
        resampled: weighted ? said.resampled : null,
      };
      if (!weighted) return;
      run.plainMean = new Float32Array(bytes(said.plain_mean).buffer);
      run.mean = new Float32Array(bytes(said.mean).buffer);
    },
  };
  return run;
}

/**
 * Draws a picture (`small`, a canvas of its own size) onto a canvas at the screen's resolution: the rows of the `gap` from `upTo`
 * on are hatched, and a line runs where known and unknown meet.
 */
function drawPart(canvas, small, gap, upTo, { ground, line, edge }) {
  const ratio = Math.min(2, devicePixelRatio || 1);
  canvas.style.aspectRatio = `${small.width} / ${small.height}`;
  const width = Math.max(small.width, Math.round(canvas.clientWidth * ratio));
  const height = Math.round((width * small.height) / small.width);
  if (canvas.width !== width || canvas.height !== height) [canvas.width, canvas.height] = [width, height];
  const pen = canvas.getContext("2d");
  pen.imageSmoothingEnabled = false;
  pen.drawImage(small, 0, 0, width, height);
  const x = (column) => Math.round((column * width) / small.width);
  const y = (row) => Math.round((row * height) / small.height);
  if (!gap.w || !gap.h) return;
  const [left, right, top, bottom] = [x(gap.x), x(gap.x + gap.w), y(gap.y), y(gap.y + gap.h)];
  const from = y(Math.max(gap.y, upTo));
  if (from < bottom) {
    pen.save();
    pen.beginPath();
    pen.rect(left, from, right - left, bottom - from);
    pen.clip();
    pen.fillStyle = ground;
    pen.fillRect(left, from, right - left, bottom - from);
    pen.strokeStyle = line;
    pen.globalAlpha = 0.45;
    pen.lineWidth = ratio;
    pen.beginPath();
    for (let d = 0; d < width + height; d += 7 * ratio) {
      pen.moveTo(d, 0);
      pen.lineTo(d - height, height);
    }
    pen.stroke();
    pen.restore();
  }
  pen.fillStyle = edge;
  const thick = Math.round(2 * ratio);
  const half = Math.round(thick / 2);
  if (gap.y > 0) pen.fillRect(left - half, top - half, right - left + thick, thick);
  if (gap.x > 0) pen.fillRect(left - half, top - half, thick, bottom - top + thick);
  if (gap.y + gap.h < small.height) pen.fillRect(left - half, bottom - half, right - left + thick, thick);
  if (gap.x + gap.w < small.width) pen.fillRect(right - half, top - half, thick, bottom - top + thick);
}
