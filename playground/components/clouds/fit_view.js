/**
 * Models side by side on the same points, under one timeline. Runs are asked of the server, whole, and kept by what they depend on;
 * everything after that (play, scrub, step back) happens here.
 */
import { newest } from "../lib/api.js";
import { colour, fill, h } from "../lib/dom.js";
import { timeline } from "../timeline/timeline.js";
import { chooseK } from "./choose_k.js";
import { curve, freeEnergy } from "./curve.js";
import { panel } from "./panel.js";
import { asked, fetchRun, mixtureAt, saddle, STEPWISE, upper, whole, within } from "./runs.js";

const ORDER = ["gaussian", "kmeans", "gmm", "kde", "pca"];
const short = (v) => Number(v.toPrecision(6));

export function fitView(host, stage) {
  const { text } = stage;
  const grid = h("div", { class: "cloud-panels" });
  const feet = h("div", { class: "cloud-panels cloud-feet" });
  const addButton = h("button", { type: "button", class: "ghost", onclick: () => stage.choose({ models: [...stage.settings().models, ORDER.find((model) => !stage.settings().models.includes(model))].slice(0, 4) }) }, text.add_model);
  const fourButton = h("button", { type: "button", class: "ghost", onclick: () => stage.choose({ models: stage.settings().models.length < 4 ? ["gaussian", "kmeans", "gmm", "kde"] : ["kmeans", "gmm"] }) }, text.four);
  const pinButton = h("button", { type: "button", class: "ghost", title: text.pin_help, "aria-pressed": "false", onclick: () => (pinned ? unpin() : pin()) }, text.pin);
  const chooseButton = h("button", { type: "button", class: "ghost", onclick: () => (choosing.shown() ? choosing.hide() : choosing.open()) }, text.choose_k);
  const restart = h("button", { type: "button", class: "ghost", onclick: () => stage.choose({ seed: Math.floor(Math.random() * 10000), ...(stage.settings().how === "own" ? { how: "random", means: [], shapes: [] } : {}) }, { play: true }) }, text.restart);
  const experiment = h("select", { "aria-label": text.try, class: "experiments", onchange: () => tryOut(experiment.value) }, h("option", { value: "" }, text.try), ...Object.entries(text.experiments).map(([key, one]) => h("option", { value: key }, one.name)));
  const density = h("select", { "aria-label": text.density_label, onchange: () => stage.choose({ density: density.value }) }, ...Object.entries(text.densities).map(([key, name]) => h("option", { value: key }, name)));
  const bar = h("div", {});
  const status = h("p", { class: "run-status", "aria-live": "polite" });
  const free = h("div", { class: "free" });
  const curveBox = h("div", { class: "curve" });
  const below = h("div", { class: "cloud-below" }, curveBox, free);
  const chooseBox = h("div", {});
  host.append(grid, bar, status, feet, below, chooseBox);

  let panels = [];
  let runs = {}; // by model: what is shown
  let pinned = null; // { runs, name }
  const kept = new Map(); // runs by what they depend on
  const line = timeline(bar, { text: text.timeline, change: (frame) => showFrame(frame) });
  line.keys(host);
  const picture = curve(curveBox, { text, go: (frame) => { line.pause(); line.go(frame); } });
  const energy = freeEnergy(free, { text });
  const choosing = chooseK(chooseBox, stage);

  // --- Panels ----------------------------------------------------------------------------------------------------------
  function arrange() {
    const { models } = stage.settings();
    if (panels.map((one) => one.model).join() === models.join()) return;
    for (const one of panels) one.remove();
    panels = models.map((model, i) => panel(grid, feet, model, i, {
      ...stage, models, bounds: () => stage.bounds(),
      change: (other) => stage.choose({ models: models.map((name, j) => (j === i ? other : name)) }),
      remove: () => stage.choose({ models: models.filter((_, j) => j !== i) }),
      look: (at) => panels.forEach((one) => one.ask(at)),
      drew: (n, seed) => {
        stage.choose({ draws: n, draw_seed: seed }, { quiet: true });
        stage.say(fill(text.drew, { n, model: text.models[model], seed }));
      },
      on: { add: stage.add, erase: stage.erase, mean: moveMean, shape: moveShape, rotate: (_, turn) => panels.forEach((one) => one.plot.turn(turn)) },
    }));
    grid.dataset.count = feet.dataset.count = String(panels.length);
    for (const one of panels) {
      one.cloud(stage.drawn());
      one.tool(stage.tool());
    }
    ghosts(); // a pinned run is kept for panels that come later, too
    addButton.hidden = models.length >= 4;
    fourButton.textContent = models.length < 4 ? text.four : text.two;
  }

  // --- Runs ------------------------------------------------------------------------------------------------------------
  const fetchAll = newest(async ({ play }) => {
    const settings = stage.settings();
    const cloud = stage.cloud();
    if (!cloud.n) {
      runs = {};
      stage.live([]);
      return present();
    }
    const possible = (model) => (STEPWISE.includes(model) ? cloud.n >= settings.k : model !== "kde" || cloud.d < 3);
    const wanted = settings.models.filter(possible).map((model) => [model, asked(model, settings, cloud.d, stage.bounds())]);
    const found = await Promise.all(wanted.map(async ([model, query]) => {
      const key = cloud.version + JSON.stringify(query);
      if (!kept.has(key)) kept.set(key, fetchRun(query, cloud.points));
      if (kept.size > 24) kept.delete(kept.keys().next().value);
      try {
        return [model, await kept.get(key)];
      } catch (error) {
        kept.delete(key);
        stage.failed(error);
        return [model, null];
      }
    }));
    if (cloud.version !== stage.cloud().version) return;
    runs = Object.fromEntries(found);
    if (found.every(([, run]) => run) && settings.models.every(possible)) stage.fine();
    stage.live(found.filter(([, run]) => run).map(([model, run]) => [model, run.ms]));
    present({ play });
  }, stage.failed);

  /** Gives the runs to the panels and the timeline. */
  function present({ play = false, frame = null } = {}) {
    const stepwise = Object.values(runs).filter((run) => run && STEPWISE.includes(run.model));
    const frames = Math.max(1, ...stepwise.map((run) => run.frames));
    line.pause();
    if (panels.some((one) => one.run() !== (runs[one.model] ?? null))) stage.choose({ draws: 0 }, { quiet: true }); // samples were from other runs
    bar.hidden = frames === 1; // what has no steps needs no timeline
    line.set({ frames, halves: true, label: labelOf });
    const wanted = play ? 0 : frame ?? -1; // what was set on the way is shown at its end
    const target = wanted < 0 ? frames - 1 : Math.min(wanted, frames - 1);
    line.go(target, { quiet: true });
    picture.draw(runs, pinned?.runs, pinned?.name);
    showFrame(target);
    const still = matchMedia("(prefers-reduced-motion: reduce)").matches;
    if (play && !still) line.play({ from: 0 });
    else if (play) line.go(frames - 1);
    host.dataset.runs = String(Number(host.dataset.runs ?? 0) + 1);
  }

  /** The run that the words are about: the longest. */
  const leading = () => Object.values(runs).filter((run) => run && STEPWISE.includes(run.model)).sort((a, b) => b.frames - a.frames)[0] ?? null;

  function labelOf(frame) {
    const run = leading();
    if (!run) return text.frame_one;
    const last = (run.frames - 1) / 2;
    if (frame === 0) return fill(text.frame_start, { last });
    const names = ["kmeans", "gmm"].map((model) => runs[model]).filter(Boolean).map((one) => text.phases[one.phases[within(one, frame)]]);
    const phase = run.phases[within(run, frame)];
    const both = names.length === 2 && runs.kmeans.frames > frame && runs.gmm.frames > frame;
    return fill(text.frame, { phase: both ? names.join(" | ") : text.phases[phase], i: Math.ceil(frame / 2), last });
  }

  function showFrame(frame) {
    for (const one of panels) one.show(runs[one.model] ?? null, frame);
    picture.mark(frame);
    const main = runs.gmm ?? runs.kmeans ?? null;
    const phase = main ? main.phases[within(main, frame)] : "";
    const stays = phase === "M" && runs.gmm && saddle(runs.gmm);
    energy.show(runs.gmm ?? null, frame, stays ? "saddle" : phase === "E" && stage.settings().assignment === "hard" ? "hardE" : phase);
    status.replaceChildren(...["kmeans", "gmm"].map((model) => runs[model]).filter((one) => one && frame >= one.frames - 1).map((one) => {
      const stuck = one.model === "gmm" && saddle(one);
      const words = fill(stuck ? text.stuck : one.converged ? text.converged : text.limit, { n: (one.frames - 1) / 2 });
      return h("span", { class: one.converged && !stuck ? "converged" : "symbol-kl" }, `${text.models[one.model]}: ${words}`);
    }));
    const atEnd = frame === line.last();
    stage.choose({ step: atEnd ? -1 : frame }, { quiet: true });
    if (!line.playing()) stage.say(`${labelOf(frame)}. ${panels.map((one) => `${text.models[one.model]}: ${one.box.querySelector(".panel-numbers").textContent}`).join(". ")}`);
    host.dataset.frame = String(frame);
  }

  /** Everything that an experiment does not set is as the page begins. */
  async function tryOut(key) {
    const one = text.experiments[key];
    experiment.value = "";
    if (!one) return;
    const { view, pin: none, ...begin } = stage.page.defaults;
    await stage.choose({ ...stage.settings(), ...begin, pin: none, view, ...one.set, n: one.set.n ?? begin.n, points: "" }, { play: true });
    stage.tell(one.say);
  }

  // --- One's own start -------------------------------------------------------------------------------------------------
  /** A mean was dragged in a panel that shows `mixture`: the run starts from there. */
  function moveMean(mixture, k, at, done) {
    const means = Array.from(mixture.means, short);
    at.slice(0, mixture.d).forEach((v, j) => (means[k * mixture.d + j] = short(v)));
    own(mixture, { means, shapes: runs.gmm ? shapesOf(mixtureAt(runs.gmm, within(runs.gmm, line.frame()))) : [] }, done);
  }
  function moveShape(mixture, k, triangle, done) {
    const shapes = shapesOf(mixture);
    shapes.splice(k * triangle.length, triangle.length, ...triangle.map(short));
    own(mixture, { means: Array.from(mixture.means, short), shapes }, done);
  }
  const shapesOf = (mixture) => Array.from({ length: mixture.k }, (_, k) => upper(mixture.d).map((i) => short(mixture.covariances[k * mixture.d ** 2 + i]))).flat();

  /** While it is dragged, the run follows; when it is let go, it plays from there. */
  function own(mixture, { means, shapes }, done) {
    line.pause();
    if (!done) {
      const moved = { ...mixture, means: Float64Array.from(means), covariances: mixture.covariances };
      for (const one of panels) if (STEPWISE.includes(one.model) && runs[one.model]?.k === mixture.k) one.plot.state({ kind: one.model, assignment: "soft", phase: "start", mixture: one.model === "gmm" && shapes.length ? { ...moved, covariances: whole(shapes, mixture.d) } : moved, colours: false, assigned: moved, axes: null, grid: null, trail: null, warn: [] });
      return;
    }
    stage.remember();
    stage.choose({ how: "own", means, shapes, k: mixture.k }, { play: true });
  }
  // --- A pinned run ----------------------------------------------------------------------------------------------------
  function setting() {
    const { k, covariance, assignment, weights, how, seed, hold } = stage.settings();
    return how === "own" ? "" : [k, covariance, assignment, weights, how, seed, Number(hold.toPrecision(6))].join(".");
  }
  function pin() {
    const { how, seed, k } = stage.settings();
    pinned = { runs: { ...runs }, name: `${text.how[how]}, K = ${k}${how === "own" ? "" : `, ${seed}`}` };
    stage.choose({ pin: setting() }, { quiet: true });
    showPin();
  }
  function unpin() {
    pinned = null;
    stage.choose({ pin: "" }, { quiet: true });
    showPin();
  }
  function ghosts() {
    for (const one of panels) one.ghost(pinned?.runs[one.model] ?? null);
  }
  function showPin() {
    pinButton.setAttribute("aria-pressed", String(Boolean(pinned)));
    pinButton.textContent = pinned ? text.unpin : text.pin;
    ghosts();
    picture.draw(runs, pinned?.runs, pinned?.name);
    picture.mark(line.frame());
  }
  /** The pinned run of a link. */
  async function restorePin() {
    const { pin: wanted } = stage.settings();
    if (!wanted) return;
    const [k, covariance, assignment, weights, how, seed, ...hold] = wanted.split(".");
    const then = { ...stage.settings(), k: Number(k), covariance, assignment, weights, how, seed: Number(seed), hold: Number(hold.join(".")), means: [], shapes: [] };
    const cloud = stage.cloud();
    const found = await Promise.all(then.models.filter((model) => STEPWISE.includes(model)).map(async (model) => [model, await fetchRun(asked(model, then, cloud.d, stage.bounds()), cloud.points)]));
    pinned = { runs: Object.fromEntries(found), name: `${text.how[how]}, K = ${k}, ${seed}` };
    showPin();
  }

  return {
    tools: [experiment, density, addButton, fourButton, chooseButton, pinButton, restart],
    /** Other points: what was pinned was about others. */
    cloud({ first = false } = {}) {
      if (!first && pinned) unpin();
      if (!stage.cloud().n || Object.values(runs).some((run) => run && run.d !== stage.cloud().d)) {
        runs = {};
        for (const one of panels) one.show(null, 0);
      }
      for (const one of panels) one.cloud(stage.drawn());
      choosing.refresh();
    },
    arrange,
    /** Runs that are here already: a recording; −1 is the end. */
    given(recorded, frame) {
      runs = recorded;
      present({ frame });
    },
    fit: (options = {}) => fetchAll(options),
    restorePin,
    again: () => {
      kept.clear();
      fetchAll({ play: true });
    },
    go: (frame) => line.go(frame < 0 ? line.last() : frame),
    redraw() {
      density.value = stage.settings().density;
      for (const one of panels) one.show(runs[one.model] ?? null, line.frame());
    },
    tool: (name) => panels.forEach((one) => one.tool(name)),
    ghost: showPin,
    sample: (n, seed) => panels.forEach((one) => one.sample({ quiet: true, n, seed })),
    refreshK: () => choosing.refresh(),
    results: () => ({ frame: line.frame(), runs: Object.fromEntries(panels.map((one) => [one.model, one.run()]).filter(([, run]) => run)) }),
    /** The panels side by side as on the page, each under its name and above its numbers. */
    async png() {
      const pictures = await Promise.all(panels.map(async (one) => createImageBitmap(await one.png())));
      const gap = 24;
      const unit = Math.min(2, Math.max(1, devicePixelRatio || 1));
      const [head, foot] = [34 * unit, 56 * unit];
      const width = pictures.reduce((sum, one) => sum + one.width + gap, gap);
      const sheet = new OffscreenCanvas(width, Math.max(...pictures.map((one) => one.height)) + head + foot);
      const c = sheet.getContext("2d");
      c.fillStyle = colour(host, "card");
      c.fillRect(0, 0, sheet.width, sheet.height);
      let x = gap;
      pictures.forEach((one, i) => {
        const { model, box } = panels[i];
        c.fillStyle = colour(host, "ink");
        c.font = `600 ${17 * unit}px system-ui, sans-serif`;
        c.fillText(text.models[model], x, head - 11 * unit);
        c.drawImage(one, x, head);
        c.font = `${14 * unit}px system-ui, sans-serif`;
        c.fillText(box.querySelector(".panel-numbers").innerText.replaceAll("\n", " · "), x, head + one.height + 22 * unit, one.width);
        c.fillStyle = colour(host, "soft");
        c.fillText(STEPWISE.includes(model) ? labelOf(line.frame()) : text.frame_one, x, head + one.height + 44 * unit, one.width);
        x += one.width + gap;
      });
      return sheet.convertToBlob({ type: "image/png" });
    },
  };
}
