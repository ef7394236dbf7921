/**
 * An image being written, and its companions: other seeds beside it, and the branches that grow where somebody changed a pixel.
 *
 * Rows come from the server as fast as it writes them; the timeline plays them at the chosen speed. What is drawn is never
 * computed twice: stepping back is free.
 */
import { ask, bytes } from "../lib/api.js";
import { colour, download, fill, h, number, subscript } from "../lib/dom.js";
import { timeline } from "../timeline/timeline.js";
import { inspector, total } from "./inspector.js";
import { fromHalf, rgba, toPlanes, write } from "./stream.js";

const SPEEDS = [1, 5, 20, 60, 200, Infinity]; // sub-pixels a second
// Settings where something is to be seen: where sampling fails, and where the network does.
const TRIES = { cold: { temperature: 0 }, hot: { temperature: 1.4 }, blind: { model: "mnist-plain", seen: true, surprise: false, temperature: 1 }, normal: { temperature: 1 } };
const MOST_CHANGES = 8;
const MOST_BRANCHES = 5;

/** "462:0,500:255" as [[462, 0], [500, 255]]. */
export function changesOf(text) {
  return text ? text.split(",").map((one) => one.split(":").map(Number)) : [];
}

/** What the settings' image is written with: "seed:class:temperature". */
export const writtenAs = ({ wrote, seed, label, temperature }) => wrote || [seed, label, temperature].join(":");

/** Images of one request, as they come. */
function newRun(model, n, about) {
  const size = model.shape.reduce((a, b) => a * b);
  return {
    ...about, model, n, size, ready: 0, seconds: null, labels: null,
    values: Array.from({ length: n }, () => new Uint8Array(size)),
    logp: Array.from({ length: n }, () => new Float32Array(size)),
    logits: Array(n).fill(null), // float16 bits, a sub-pixel a row
  };
}

export function writeView(host, ctx, { bar }) {
  const { words, text } = ctx;
  let base = null; // the run with all seeds
  let branches = []; // { changes (text), run }, the newest last
  let main = null; // { run, i }: what stands large
  let frame = 0;
  let requests = new AbortController();
  let count = 0; // of runs begun
  let growing = 0; // the number of the branch asked for last: whoever answers later than another was asked for is not shown
  const seedsTitle = h("h2", {}, text.seeds);
  const seeds = h("div", { class: "px-seeds" });
  const branchTitle = h("h2", {}, text.branches);
  const branchBox = h("div", { class: "px-seeds" });
  const seenBox = box("seen", text.seen);
  const surpriseBox = box("surprise", text.surprise_map);
  const scaleBox = h("select", { class: "gmp-axis", "aria-label": words.scale, onchange: () => ctx.change({ scale: scaleBox.value }) },
    ...["global", "local"].map((one) => h("option", { value: one }, words.scales[one])));
  const scaleLabel = h("span", { class: "px-scale" }, scaleBox);
  const heat = h("p", { class: "soft px-typical" });
  const summary = h("p", { class: "hidden-text", "aria-live": "polite" });
  const place = h("div", {});
  const tries = h("div", { class: "px-tries", role: "group", "aria-label": text.tries }, h("span", { class: "soft" }, text.tries), ...Object.entries(TRIES).map(([name, patch]) =>
    h("button", { type: "button", class: "ghost", title: text.tries_mean[name], onclick: () => attempt(patch) }, text.tries_of[name])));
  host.append(place, heat, tries, branchTitle, branchBox, summary);
  const glass = inspector(place, ctx, { pick: put, moved: () => line.pause() });
  glass.left.append(h("div", { class: "px-show" }, seenBox, surpriseBox, scaleLabel), seedsTitle, seeds);

  /** What to write with; label −1 where the model has no such class. */
  function wanted() {
    const [seed, label, temperature] = writtenAs(ctx.settings()).split(":").map(Number);
    return { seed, label: label < ctx.model().classes.length ? label : -1, temperature };
  }

  function box(key, label) {
    const input = h("input", { type: "checkbox", id: `px-${key}`, onchange: () => ctx.change({ [key]: input.checked }) });
    return h("label", {}, input, label);
  }

  const line = timeline(bar, {
    text: words.timeline,
    speeds: SPEEDS,
    speed: ctx.settings().speed || Infinity,
    leap: { by: ctx.model().shape[0] * ctx.model().shape[2], back: words.timeline.row_back, on: words.timeline.row_on, sign: words.timeline.row_sign },
    pace: (n) => ctx.change({ speed: n === Infinity ? 0 : n }),
    change: (at) => {
      frame = at;
      draw();
      if (!line.playing() || at === main.run.size) note();
    },
  });
  line.keys(host);

  /** The boxes say what the settings say. */
  function controls() {
    for (const [input, key] of [[seenBox, "seen"], [surpriseBox, "surprise"]]) input.firstChild.checked = ctx.settings()[key];
    scaleBox.value = ctx.settings().scale;
    scaleLabel.hidden = !ctx.settings().surprise;
    line.setSpeed(ctx.settings().speed || Infinity);
  }

  let noting = 0;
  /** The frame goes into the address once it rests. */
  function note() {
    clearTimeout(noting);
    noting = setTimeout(() => {
      if (main && !line.playing()) ctx.change({ frame: frame === main.run.size ? -1 : frame }, { quiet: true });
    }, 300);
  }

  /** What is large, told to the timeline. */
  function show(run, i, { play = null, at = null } = {}) {
    main = { run, i };
    const [c, , w] = run.model.shape;
    line.set({ frames: run.ready + 1, more: run.ready < run.size, leap: { by: c * w }, label: (f) => fill(words.at, { t: f, of: run.size }) });
    if (at !== null) line.go(at);
    frame = line.frame();
    if (play !== null) line.play({ from: play });
    draw();
    if (!run.logits[i] && run.ready === run.size && run.live) readLogits(run, i).catch(ctx.fail);
  }

  /** Of an image that was not the first of its request: one pass over it gives all of its logits. */
  async function readLogits(run, i) {
    const label = run.labels ? run.labels[i] : -1;
    const response = await ask("pixels/logits", { query: { model: run.model.name, label }, body: toPlanes(run.values[i], run.model.shape), signal: requests.signal });
    run.logits[i] = new Uint16Array(await response.arrayBuffer());
    draw();
  }

  function draw() {
    if (!main) return;
    const { run, i } = main;
    host.dataset.frame = frame; // what is shown, and of which request: for whoever watches
    host.dataset.ready = run.ready;
    host.dataset.requests = count;
    const { levels } = run.model;
    const logits = run.logits[i];
    glass.draw({
      model: run.model, frame, settings: ctx.settings(),
      run: {
        shape: run.model.shape, levels, values: run.values[i], logp: run.logp[i], temperature: run.temperature,
        label: run.labels?.[i] ?? null,
        said: run.labels ? [words.class_of, fill(run.label < 0 ? words.class_drawn : words.class_chosen, { y: run.model.classes[run.labels[i]] })] : null, changes: changesOf(run.changes),
        logits: logits ? (t) => fromHalf(logits.subarray(t * levels, (t + 1) * levels)) : null,
      },
    });
    tiles(seeds, base ? base.values.map((_, j) => ({ run: base, i: j, caption: "", pick: () => choose(j) })) : []);
    seeds.hidden = seedsTitle.hidden = !base || base.n < 2;
    const mine = branches.filter((one) => one.which === ctx.settings().which);
    const kept = mine.length ? [{ changes: "", run: base, i: ctx.settings().which }, ...mine.map((one) => ({ ...one, i: 0 }))] : [];
    tiles(branchBox, kept.map((one) => ({ ...one, caption: branchName(one), pick: () => ctx.change({ changes: one.changes }) })));
    branchBox.hidden = branchTitle.hidden = !kept.length;
    if (frame === run.size) {
      const bits = -total({ logp: run.logp[i] }, run.size) / Math.LN2 / run.size;
      const [low, middle, high] = run.model.quantiles;
      heat.textContent = fill(bits < low ? text.too_likely : bits > high ? text.too_surprising : text.typical, { bits: number(bits), low: number(low), middle: number(middle), high: number(high) });
      if (!line.playing()) summary.textContent = fill(text.summary, { model: run.model.title, bits: number(bits), seed: run.seed });
    } else heat.textContent = fill(text.range, { low: number(run.model.quantiles[0]), high: number(run.model.quantiles[2]) });
  }

  /** "x₄₆₂ = 0, −801 nats" of a branch. */
  function branchName({ changes, run, i }) {
    const nats = run && run.ready === run.size ? fill(text.nats, { n: number(total({ logp: run.logp[i] }, run.size), 0) }) : "…";
    const last = changesOf(changes).at(-1);
    return `${last ? fill(words.x_is, { t: subscript(last[0] + 1), v: last[1] }) : text.as_written}, ${nats}`;
  }

  /** Small pictures that can be chosen. Buttons are kept, so that focus is. */
  function tiles(list, wanted) {
    while (list.children.length > wanted.length) list.lastChild.remove();
    wanted.forEach((one, j) => {
      let button = list.children[j];
      if (!button) {
        button = h("button", { type: "button" }, h("canvas", {}), h("span", {}));
        list.append(button);
      }
      button.onclick = one.pick;
      const chosen = main && main.run === one.run && main.i === one.i;
      button.setAttribute("aria-pressed", String(chosen));
      button.setAttribute("aria-label", one.caption || fill(text.seed_tile, { n: j + 1 }));
      button.lastChild.textContent = one.caption;
      if (one.run) part(button.firstChild, one.run, one.i);
    });
  }

  /** The written part of an image; what is not yet there shows the ground. */
  function part(canvas, run, i) {
    const [c, height, width] = run.model.shape;
    const data = rgba(run.values[i], run.model.shape, run.model.levels);
    for (let p = Math.floor(Math.min(frame, run.ready) / c); p < height * width; p++) data[4 * p + 3] = 0;
    if (canvas.width !== width || canvas.height !== height) [canvas.width, canvas.height] = [width, height];
    canvas.getContext("2d").putImageData(new ImageData(data, width, height), 0, 0);
  }

  /** An experiment: the settings, and an image written with them. */
  function attempt(patch) {
    const other = patch.model && patch.model !== ctx.settings().model;
    ctx.change({ ...patch, changes: "", frame: -1, ...(other ? { which: 0 } : {}) });
    if (!other) start({ play: true });
  }

  /** Another seed becomes the large one. */
  function choose(i) {
    ctx.change({ which: i, changes: "" });
  }

  /** A level put by hand: all that comes after is written anew. */
  function put(t, level) {
    if (!main || t >= main.run.ready || main.run.values[main.i][t] === level) return;
    const before = changesOf(main.run.changes).filter(([place]) => place < t);
    if (before.length >= MOST_CHANGES) return ctx.fail(new Error(fill(text.too_many, { n: MOST_CHANGES })));
    ctx.change({ changes: [...before, [t, level]].map((one) => one.join(":")).join(","), frame: -1 });
  }

  /** Has `run` written; calls first() when its first row is there. */
  async function request(run, query, first) {
    const { signal } = requests;
    let begun = false;
    await write({
      query: { model: run.model.name, seed: run.seed, label: run.label, temperature: run.temperature, ...query }, shape: run.model.shape, signal,
      head: ({ labels }) => (run.labels = labels),
      row: (one) => {
        const width = run.size / run.model.shape[1];
        const from = one.row * width;
        for (let i = 0; i < run.n; i++) {
          run.values[i].set(one.values[i], from);
          run.logp[i].set(one.logp[i], from);
        }
        if (one.logits) {
          run.logits[0] ??= new Uint16Array(run.size * run.model.levels);
          run.logits[0].set(one.logits, from * run.model.levels);
        }
        run.ready = from + width;
        if (!begun) {
          count++;
          first();
        }
        begun = true;
        if (main?.run === run) line.set({ frames: run.ready + 1, more: run.ready < run.size });
      },
      end: ({ seconds }) => {
        run.seconds = seconds;
        ctx.took(seconds);
      },
    });
    draw();
  }

  /** Writes what the settings say. `play`: from its beginning, before the eyes. */
  async function start({ play }) {
    requests.abort();
    requests = new AbortController();
    growing++;
    const settings = ctx.settings();
    const model = ctx.model();
    const about = { ...wanted(), changes: "", live: true };
    const run = newRun(model, settings.n, about);
    const which = Math.min(settings.which, settings.n - 1);
    host.setAttribute("aria-busy", "true");
    try {
      await request(run, { n: settings.n }, () => {
        base = run;
        branches = [];
        ctx.badge("live");
        glass.unpin();
        if (settings.changes) return;
        if (play) show(run, which, { play: 0 });
        else show(run, which, { at: settings.frame < 0 ? run.size : settings.frame });
      });
      if (settings.changes) await grow({ play });
      else if (main.run === run) {
        if (!play) line.go(settings.frame < 0 ? run.size : settings.frame);
        if (!run.logits[main.i]) await readLogits(run, main.i);
      }
    } catch (error) {
      ctx.fail(error);
    } finally {
      host.removeAttribute("aria-busy");
    }
  }

  /** The branch that the settings name: shown if it is there, written if not. */
  async function grow({ play = true } = {}) {
    const { changes, n } = ctx.settings();
    const which = Math.min(ctx.settings().which, n - 1);
    const mine = ++growing;
    if (!base) return;
    if (!changes) return show(base, which, { at: line.frame() });
    const there = branches.find((one) => one.changes === changes && one.which === which);
    if (there) return show(there.run, 0, { at: line.frame() });
    const run = newRun(base.model, 1, { ...base, changes, ready: 0 });
    run.label = base.labels ? base.labels[which] : -1;
    branches = [...branches.slice(branches.length >= MOST_BRANCHES ? 1 : 0), { changes, which, run }];
    const from = changesOf(changes).at(-1)[0];
    const width = run.size / base.model.shape[1];
    try {
      await request(run, { n: 1, first: which, changes }, () => ctx.badge("live"));
      if (mine !== growing) return draw();
      glass.unpin();
      const rest = ctx.settings().frame;
      if (play && main) show(run, 0, { play: Math.min(from, run.size - width) });
      else show(run, 0, { at: rest < 0 ? run.size : rest });
    } catch (error) {
      branches = branches.filter((one) => one.run !== run);
      ctx.fail(error);
      const shown = main && (main.run === base || branches.some((one) => one.run === main.run));
      if (shown) draw();
      else show(base, which, { at: base.size });
    }
  }

  /** What the page opens on, before anything was asked. */
  function recorded(recording) {
    const model = ctx.model();
    const n = recording.labels.length;
    const run = newRun(model, n, { ...recording.settings, changes: "", live: false });
    const values = bytes(recording.pixels);
    const logp = new Float64Array(bytes(recording.logp).buffer);
    for (let i = 0; i < n; i++) {
      run.values[i].set(values.subarray(i * run.size, (i + 1) * run.size));
      run.logp[i].set(logp.subarray(i * run.size, (i + 1) * run.size));
    }
    run.labels = recording.labels;
    run.ready = run.size;
    base = run;
    ctx.badge("recorded");
    const still = matchMedia("(prefers-reduced-motion: reduce)").matches;
    show(run, 0, still ? { at: run.size } : { play: 0 });
  }

  /** The same images with their logits: the recorded run becomes live under the player's feet. */
  async function enliven() {
    const run = newRun(base.model, base.n, { ...base, live: true, ready: 0, logits: null });
    const was = base;
    try {
      await request(run, { n: run.n }, () => {});
      if (base !== was) return;
      const playing = line.playing();
      const large = main.run === was;
      base = run;
      if (!large) draw(); // a branch has grown meanwhile, and stays
      else show(run, main.i, playing ? { at: line.frame(), play: line.frame() } : { at: line.frame() });
      ctx.badge("live");
    } catch (error) {
      ctx.fail(error);
    }
  }

  return {
    /** The stage's first words: the recorded run where the settings are its own, else a live one. */
    open(recording) {
      const settings = ctx.settings();
      const same = Object.entries(recording.settings).every(([key, value]) => settings[key] === value);
      if (same && !settings.changes && settings.frame < 0 && settings.which === 0) {
        recorded(recording);
        enliven();
      } else start({ play: false });
    },
    show() {
      bar.hidden = false;
      controls();
      const { seed, label } = wanted();
      if (!base || base.model !== ctx.model() || base.seed !== seed || base.n !== ctx.settings().n || base.label !== label) start({ play: false });
      else grow();
    },
    hide() {
      line.pause();
      bar.hidden = true;
    },
    settings(changed) {
      controls();
      if (["model", "label", "n", "seed"].some((key) => changed.has(key))) start({ play: ctx.settings().frame < 0 });
      else if (changed.has("changes") || changed.has("which")) grow({ play: ctx.settings().frame < 0 });
      else draw();
      if (changed.has("frame") && main && ctx.settings().frame >= 0) {
        line.pause();
        line.go(ctx.settings().frame);
      }
    },
    again: () => start({ play: true }),
    /** The finished image that the settings name, or null. */
    sample() {
      const settings = ctx.settings();
      const { seed, label } = wanted();
      if (!base || base.model !== ctx.model() || base.seed !== seed || base.label !== label) return null;
      const which = Math.min(settings.which, settings.n - 1);
      const branch = branches.find((one) => one.changes === settings.changes && one.which === which);
      const [run, i] = settings.changes ? [branch?.run, 0] : [base, which];
      return run && i < run.n && run.ready === run.size ? { values: run.values[i], key: run.model.key } : null;
    },
    /** Has it written where it is not there, unseen. */
    prepare: () => start({ play: false }),
    png(name) {
      if (!main) return;
      const [, height, width] = main.run.model.shape;
      const [small, large] = [h("canvas", { width, height }), h("canvas", { width: width * 16, height: height * 16 })];
      part(small, main.run, main.i);
      const pen = large.getContext("2d");
      pen.fillStyle = colour(host, "line");
      pen.fillRect(0, 0, large.width, large.height);
      pen.imageSmoothingEnabled = false;
      pen.drawImage(small, 0, 0, large.width, large.height);
      large.toBlob((blob) => download(`${name}.png`, blob));
    },
    json: () => main && { values: [...main.run.values[main.i]], log_p: [...main.run.logp[main.i]].map((v) => Number(v.toFixed(5))), label: main.run.labels?.[main.i] ?? null, written: frame, unit: "nats" },
  };
}
