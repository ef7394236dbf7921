/**
 * The stage of "Clouds": the points and two views of them, models side by side (fit_view) and likelihood against probability on a line
 * (likelihood_view). This module holds the page's settings and the cloud, and keeps the address; what concerns the rail's controls is
 * handed back to them.
 */
import { ask, bytes } from "../lib/api.js";
import { download, fill, h, number } from "../lib/dom.js";
import { remember } from "../lib/lesson.js";
import { messages } from "../lib/messages.js";
import { editing } from "./editing.js";
import { pointsCsv, resultsCsv, whole } from "./exports.js";
import { fitView } from "./fit_view.js";
import { likelihoodView } from "./likelihood_view.js";
import { decode, encode, snapped } from "./link.js";
import { opened, STEPWISE } from "./runs.js";

const VIEWS = ["fit", "like"];
const DRAWN = 20_000; // points on a picture
const TOGETHER = 800; // ms within which changes are one step of the history
const OF_CLOUD = ["data", "n", "cloud", "points"];
const OF_RUN = ["k", "how", "seed", "covariance", "assignment", "weights", "hold", "reg", "tol", "steps", "axes", "bandwidth", "means", "shapes", "models"];
/** Settings with the digits that a link holds, so that what is shown is what a link shows. */
const rounded = (told) => Object.fromEntries(Object.entries(told).map(([key, value]) => [key, typeof value === "number" && !Number.isInteger(value) ? Number(value.toPrecision(6)) : value]));
const NAMES = { 1: ["x"], 2: ["x", "y"], 3: ["x", "y", "z"] };

export function mount(element, { props, trigger, watch }) {
  const page = { ...props.fixed, ...props.value };
  const { text, defaults, presets, limits } = page;
  let settings = { ...page.settings };
  let version = 0;
  let cloud = { d: 2, n: 0, points: new Float64Array(), names: NAMES[2], version };
  let drawn = cloud;
  let bounds = { low: [-5, -5], high: [5, 5] };

  // --- What stands where -----------------------------------------------------------------------------------------------
  const { notice, problem, badge, failed, fine, setBadge, showNotices } = messages(text);
  const said = h("p", { class: "notice", role: "status", hidden: true });
  const tabs = VIEWS.map((view) => h("button", { type: "button", role: "tab", id: `clouds-tab-${view}`, "aria-controls": `clouds-view-${view}`, onclick: () => choose({ view }) }, text.views[view]));
  const tabList = h("div", { class: "stage-tabs", role: "tablist", "aria-label": text.views_label }, ...tabs, h("span", { class: "space" }), badge);
  const hosts = Object.fromEntries(VIEWS.map((view) => [view, h("div", { role: "tabpanel", id: `clouds-view-${view}`, "aria-labelledby": `clouds-tab-${view}` })]));
  const tools = h("div", { class: "cloud-tools" });
  const options = h("div", { class: "cloud-tools options" });
  const shownNote = h("p", { class: "soft" });
  const facts = h("span", {});
  const linkNote = h("span", {});
  const time = h("span", {});
  const code = h("pre", { class: "code", tabindex: 0, "aria-label": text.exports.code, hidden: true });
  const codeButton = h("button", { type: "button", class: "ghost", "aria-expanded": "false", onclick: showCode }, text.exports.code);
  const summary = h("p", { class: "hidden-text", "aria-live": "polite" });
  const save = (name, content, type) => download(name, content instanceof Blob ? content : new Blob([content], { type }));
  const results = () => fit.results();
  const exported = {
    points: () => save("points.csv", pointsCsv(cloud), "text/csv"),
    results: () => save("results.csv", resultsCsv(cloud, results().runs, results().frame), "text/csv"),
    json: () => save("clouds.json", settings.view === "like" ? JSON.stringify({ settings, ...like.json() }, null, 1) : whole(settings, cloud, results().runs, results().frame), "application/json"),
    png: async () => save("clouds.png", await (settings.view === "like" ? like : fit).png()),
  };
  const exports = Object.entries(exported).map(([key, run]) => h("button", { type: "button", class: "ghost", onclick: () => Promise.resolve(run()).catch(failed) }, text.exports[key]));

  const box = h("div", { class: "gmp gmp-card", "data-stage": "clouds" }, notice, problem, tabList, tools, said, hosts.fit, hosts.like,
    h("details", { class: "glossary" }, h("summary", {}, text.words), h("dl", {}, ...Object.entries(text.glossary).flatMap(([word, meaning]) => [h("dt", {}, word), h("dd", {}, meaning)]))),
    h("div", { class: "facts" }, h("div", { class: "said" }, facts, linkNote, time), h("div", { class: "exports" }, ...exports, codeButton)), code, summary);
  element.replaceChildren(box);

  // --- Help for the views ----------------------------------------------------------------------------------------------
  function tell(words) {
    said.hidden = !words;
    said.textContent = words;
  }
  const stage = {
    text, page, failed, fine,
    settings: () => settings,
    cloud: () => cloud,
    drawn: () => drawn,
    bounds: () => bounds,
    choose,
    tell,
    say: (words) => (summary.textContent = words),
    live(times) {
      setBadge("live");
      time.textContent = times.map(([model, ms]) => fill(text.took, { model: text.models[model], ms: number(ms, ms < 10 ? 1 : 0) })).join(" · ");
    },
    tool: () => edit.tool(),
    remember: () => edit.remember(),
    add: (rows) => edit.add(rows),
    erase: (rows) => edit.erase(drawn.index ? rows.map((i) => drawn.index[i]) : rows),
  };
  const edit = editing(tools, {
    text, failed, fine, say: tell,
    cloud: () => cloud,
    snapshot: () => ({ cloud, settings: Object.fromEntries([...OF_CLOUD, "k", "how", "seed", "means", "shapes"].map((key) => [key, settings[key]])) }),
    restore: (before) => {
      wantedCloud++;
      settings = { ...settings, ...before.settings };
      place(before.cloud);
      refit();
      keep();
    },
    put(next) {
      wantedCloud++; // a preset that is still on its way comes too late
      const names = next.names?.length === next.d ? next.names : NAMES[next.d];
      if (next.file && next.file !== cloud.file) forgetStart();
      place({ ...next, names });
      settings = { ...settings, data: "own", points: encode(cloud, limits.link) };
      refit();
      keep();
    },
    tool: (name) => fit.tool(name),
  });
  const fit = fitView(hosts.fit, stage);
  const like = likelihoodView(hosts.like, {
    text: text.likelihood, failed,
    settings: () => settings,
    choose: (change, how) => choose(change, how),
    cloud: () => cloud,
    say: stage.say,
  });
  options.append(...fit.tools);
  tools.append(edit.help);
  hosts.fit.prepend(edit.columnBar, options, shownNote);
  tabList.addEventListener("keydown", (event) => {
    const by = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (!by || !tabs.includes(document.activeElement)) return;
    event.preventDefault();
    event.stopPropagation();
    const view = VIEWS[(VIEWS.indexOf(settings.view) + by + VIEWS.length) % VIEWS.length];
    choose({ view });
    tabs[VIEWS.indexOf(view)].focus();
  });
  // A file may be dropped anywhere on the stage.
  box.addEventListener("dragover", (event) => event.preventDefault());
  box.addEventListener("drop", (event) => {
    event.preventDefault();
    if (event.dataTransfer.files[0]) edit.upload(event.dataTransfer.files[0]);
  });

  // --- The cloud -------------------------------------------------------------------------------------------------------
  /** Takes a cloud: what is drawn of it, where, and what is said about it. */
  function place(next) {
    if (next.d !== cloud.d && version) forgetStart();
    cloud = { ...next, version: ++version };
    drawn = { ...sampleOf(cloud) };
    bounds = windowOf(cloud);
    drawn.bounds = cloud.d === 3 ? null : bounds;
    const outside = cloud.d < 3 ? countOutside() : 0;
    shownNote.textContent = [
      drawn.n < cloud.n ? fill(text.warn.shown, { shown: number(drawn.n, 0), n: number(cloud.n, 0) }) : "",
      outside ? fill(text.warn.outside, { n: number(outside, 0) }) : "",
      cloud.n === 0 ? text.no_points : "",
    ].filter(Boolean).join(" ");
    if (!cloud.file) tell("");
    const name = cloud.own ? cloud.file ?? text.data.own : text.data[settings.data];
    facts.textContent = fill(text.facts, { name, n: number(cloud.n, 0), d: cloud.d, seed: cloud.own ? "" : fill(text.facts_seed, { seed: settings.cloud }) });
    edit.offer(cloud.d);
    fit.cloud({ first: version === 1 });
    box.dataset.points = String(cloud.n);
    box.dataset.d = String(cloud.d);
  }

  /** A fair sample of many points, always the same. */
  function sampleOf(all) {
    if (all.n <= DRAWN) return all;
    let state = 12345;
    const random = () => ((state = (Math.imul(state, 1664525) + 1013904223) >>> 0) / 2 ** 32);
    const points = new Float64Array(DRAWN * all.d);
    const index = new Uint32Array(DRAWN); // which points of the cloud these are
    let taken = 0;
    for (let i = 0; i < all.n; i++) {
      if (random() >= (DRAWN - taken) / (all.n - i)) continue; // selection sampling: each subset is equally likely
      index[taken] = i;
      points.set(all.points.subarray(i * all.d, (i + 1) * all.d), taken++ * all.d);
    }
    return { ...all, n: taken, points: points.subarray(0, taken * all.d), index };
  }

  /** The ends of the picture: all points with a margin; where a few lie very far out, without those. Square on the plane. */
  function windowOf({ points, d, n, own, file }) {
    const low = [];
    const high = [];
    for (let j = 0; j < d; j++) {
      const column = new Float64Array(n);
      for (let i = 0; i < n; i++) column[i] = points[i * d + j];
      column.sort();
      let [a, b] = n ? [column[0], column[n - 1]] : [-5, 5];
      const [q1, q9] = n ? [column[Math.floor(0.02 * (n - 1))], column[Math.ceil(0.98 * (n - 1))]] : [a, b];
      if (b - a > 4 * (q9 - q1) && q9 > q1) [a, b] = [Math.max(a, q1 - (q9 - q1)), Math.min(b, q9 + (q9 - q1))];
      if (own && !file) [a, b] = [Math.min(a, -5), Math.max(b, 5)]; // room to draw
      const pad = 0.08 * (b - a) || Math.max(1, Math.abs(a) * 1e-6);
      low.push(a - pad);
      high.push(b + pad);
    }
    if (d === 2) {
      const span = Math.max(high[0] - low[0], high[1] - low[1]);
      for (let j = 0; j < 2; j++) {
        const middle = (low[j] + high[j]) / 2;
        [low[j], high[j]] = [middle - span / 2, middle + span / 2];
      }
    }
    return { low, high };
  }
  function countOutside() {
    let count = 0;
    for (let i = 0; i < cloud.n; i++) {
      let out = false;
      for (let j = 0; j < cloud.d; j++) out ||= cloud.points[i * cloud.d + j] < bounds.low[j] || cloud.points[i * cloud.d + j] > bounds.high[j];
      count += out;
    }
    return count;
  }

  /** Means put by hand belong to the cloud that they were put in. */
  function forgetStart() {
    settings = { ...settings, means: [], shapes: [], how: settings.how === "own" ? defaults.how : settings.how };
  }

  /** The points that are here become one's own: as a link holds them, where it can. */
  function adopt() {
    const mine = { ...cloud, points: snapped(cloud), own: true };
    const points = encode(mine, limits.link);
    settings = { ...settings, points };
    place(points ? mine : { ...cloud, own: true });
  }

  let wantedCloud = 0;
  /** The cloud that the settings name: from the link, or a preset from the server. */
  async function loadCloud({ opening }) {
    const mine = ++wantedCloud;
    if (settings.data === "own" && settings.points) {
      const found = decode(settings.points);
      if (found) return place({ ...found, names: NAMES[found.d], own: true });
    }
    if (settings.data === "own") {
      if (!opening) return adopt();
      showNotices([text.own_lost]);
      settings = { ...settings, data: defaults.data };
      tellRail();
    }
    const { data, n, cloud: seed } = settings;
    const told = await (await ask("cloud/points", { query: { data, n: Math.min(n, presets[data].most), seed } })).json();
    if (mine !== wantedCloud) return;
    place({ d: told.d, n: told.n, points: new Float64Array(bytes(told.points).buffer), names: NAMES[told.d], own: false });
  }

  function refit(options = {}) {
    fit.arrange();
    if (settings.view === "like") like.update(() => true, false);
    if (cloud.n < settings.k && cloud.n > 0 && settings.models.some((model) => STEPWISE.includes(model))) failed(new Error(fill(text.few, { n: cloud.n, k: settings.k })));
    fit.fit(options);
  }

  // --- Settings --------------------------------------------------------------------------------------------------------
  let writing = 0;
  let lastStep = 0;
  /**
   * Writes the address: soon, and no more often than browsers allow; or at once, as a step that Back returns from, where a person has
   * chosen something. What is chosen in quick succession (a slider on its way) is one step.
   */
  function write({ step = false } = {}) {
    const now = performance.now();
    if (step) {
      clearTimeout(writing);
      writing = 0;
      remember(linked(), defaults, { step: now - lastStep > TOGETHER });
      lastStep = now;
    } else
      writing ||= setTimeout(() => {
        writing = 0;
        remember(linked(), defaults);
      }, 200);
  }
  /** Writes the address, and tells the rail what it should show. */
  function keep({ step = false } = {}) {
    write({ step });
    linkNote.textContent = !cloud.own || !cloud.n ? "" : settings.points ? `${fill(text.own_in_link, { n: number(cloud.n, 0) })}${cloud.file ? ` ${text.own_rounded}` : ""}` : fill(text.own_not_in_link, { n: number(cloud.n, 0) });
    tellRail();
    if (!code.hidden) fetchCode();
  }
  /** What the link holds: nothing that does not matter for what is shown. */
  function linked() {
    const { data, points } = settings;
    return { ...settings, points: data === "own" ? points : "", means: settings.how === "own" ? settings.means : [], shapes: settings.how === "own" ? settings.shapes : [] };
  }
  let railKnows = {};
  function tellRail() {
    const of = Object.fromEntries(page.rail.map((key) => [key, settings[key]]));
    if (JSON.stringify(of) === JSON.stringify(railKnows)) return;
    railKnows = of;
    trigger("input", of);
  }

  /** Settings made here, on the stage. `quiet`: they follow from what is shown, and change nothing. */
  function choose(change, { quiet = false, play = false } = {}) {
    const before = settings;
    settings = { ...settings, ...change };
    if (quiet) {
      if (JSON.stringify(before) !== JSON.stringify(settings)) write();
      return Promise.resolve();
    }
    const applied = apply(before, { play });
    keep({ step: JSON.stringify(before) !== JSON.stringify(settings) });
    return applied;
  }

  /** Shows what differs from `before` (null: everything). */
  async function apply(before, { play = false } = {}) {
    const changed = (...keys) => !before || keys.some((key) => JSON.stringify(before[key]) !== JSON.stringify(settings[key]));
    VIEWS.forEach((view, i) => {
      const on = view === settings.view;
      tabs[i].setAttribute("aria-selected", String(on));
      tabs[i].tabIndex = on ? 0 : -1;
      hosts[view].hidden = !on;
    });
    document.body.dataset.cloudsView = settings.view;
    tools.hidden = time.hidden = settings.view === "like";
    try {
      if (changed(...OF_CLOUD)) {
        fine();
        if (before && settings.data !== "own") forgetStart();
        await loadCloud({ opening: !before });
        refit({ play });
        if (before) keep();
      } else if (changed(...OF_RUN)) {
        fine();
        refit({ play });
      } else if (changed("density")) fit.redraw();
      fit.refreshK();
    } catch (error) {
      failed(error);
    }
    like.update(changed, !before);
  }

  async function showCode() {
    code.hidden = !code.hidden;
    codeButton.setAttribute("aria-expanded", String(!code.hidden));
    if (!code.hidden) fetchCode();
  }
  async function fetchCode() {
    try {
      const query = Object.fromEntries(Object.entries(linked()).filter(([key, value]) => value !== null && JSON.stringify(value) !== JSON.stringify(defaults[key])).map(([key, value]) => [key, Array.isArray(value) ? value.join(",") : String(value)]));
      code.textContent = (await (await ask("cloud/code", { query: { ...query, points: "" } })).json()).code;
    } catch (error) {
      failed(error);
    }
  }

  // What the rail's controls, a link or Reset say.
  watch("value", () => {
    const next = props.value;
    const before = settings;
    Object.assign(page, next);
    settings = { ...settings, ...rounded(next.settings) };
    if (!next.whole && settings.k !== before.k && settings.means.length) forgetStart(); // another K: these means are too few, or too many
    if (settings.how === "own" && !settings.means.length) settings = { ...settings, ...ownStart() };
    if (before.data === "own" && settings.data !== "own") settings.points = "";
    railKnows = Object.fromEntries(page.rail.map((key) => [key, next.settings[key]]));
    showNotices(next.notices);
    if (next.whole) open().then(() => keep());
    else {
      const same = JSON.stringify(before) === JSON.stringify(settings);
      if (next.again) fit.again();
      else if (!same) apply(before, { play: next.rolled || before.seed !== settings.seed || before.how !== settings.how });
      keep({ step: !same });
    }
  });

  /** One's own start begins with the means that are shown. */
  function ownStart() {
    const { runs } = fit.results();
    const run = runs.gmm ?? runs.kmeans;
    return run && run.k === settings.k ? { means: Array.from(run.means.subarray(0, run.k * run.d), (v) => Number(v.toPrecision(6))), shapes: [] } : {};
  }

  /** Opens the page on its settings: on the recording, where they are its own. */
  async function open() {
    const { step, draws, draw_seed: seed } = settings;
    const { nonce } = page;
    const recording = page.recording;
    const recorded = recording && Object.entries(recording.settings).every(([key, value]) => JSON.stringify(settings[key]) === JSON.stringify(value)) && settings.models.every((model) => recording.runs[model]);
    if (!recorded) {
      await apply(null);
      await settled();
    } else {
      const { d, n, points } = recording.cloud;
      wantedCloud++;
      place({ d, n, points: new Float64Array(bytes(points).buffer), names: NAMES[d], own: false });
      fit.arrange();
      const runs = Object.fromEntries(settings.models.map((model) => [model, opened(recording.runs[model])]));
      fit.given(runs, step);
      setBadge("recorded");
      time.textContent = "";
      const before = { ...settings };
      apply(before);
      like.update(() => true, true);
    }
    fit.redraw();
    fit.go(step);
    if (draws) {
      fit.sample(draws, seed);
      settings = { ...settings, draws, draw_seed: seed };
    }
    fit.restorePin().catch(failed);
    element.dataset.ready = "true";
    element.dataset.opened = nonce; // what was said is what is shown
  }
  /** Until the runs that were asked for are shown. */
  function settled() {
    return new Promise((resolve) => {
      const before = hosts.fit.dataset.runs;
      const began = performance.now();
      const look = () => (hosts.fit.dataset.runs !== before || !problem.hidden || performance.now() - began > 20_000 || cloud.n === 0 ? resolve() : setTimeout(look, 16));
      look();
    });
  }

  railKnows = Object.fromEntries(page.rail.map((key) => [key, settings[key]]));
  showNotices(page.notices);
  open();
}
