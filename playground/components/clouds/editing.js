/**
 * The points under the hand: tools, undo, clear, and tables from a file. Whatever changes them makes the cloud one's own; the ones before
 * are kept, so that nothing is lost.
 */
import { ask, bytes } from "../lib/api.js";
import { fill, h } from "../lib/dom.js";
import { snapped } from "./link.js";

const TOOLS = ["look", "add", "spray", "erase", "move"];
const KEPT = 40; // clouds to go back to
const STROKE = 500; // ms: what comes sooner after the last is of the same stroke of the spray or the rubber
const APART = 4; // columns whose deviations differ by more are of different kinds

/** stage: { text, cloud(), put(cloud), tool(name), failed(error), fine(), say(words) } */
export function editing(host, stage) {
  const { text } = stage;
  const past = [];
  let tool = "look";
  let table = null; // the file whose columns are shown
  let stroke = { tool: "", at: 0 }; // what was changed last, and when
  const tools = TOOLS.map((name) => h("button", { type: "button", role: "radio", "aria-checked": String(name === tool), title: text.tools_help[name], "data-tool": name, onclick: () => take(name) }, text.tools[name]));
  const group = h("div", { class: "tools-group", role: "radiogroup", "aria-label": text.tools_label }, ...tools);
  const undo = h("button", { type: "button", class: "ghost", disabled: true, onclick: back }, text.undo);
  const clear = h("button", { type: "button", class: "ghost", onclick: () => { change([]); take("add"); } }, text.clear);
  const file = h("input", { type: "file", class: "hidden-text", accept: ".csv,.tsv,.txt,.json,text/csv", onchange: () => file.files[0] && upload(file.files[0]) });
  const pick = h("label", { class: "file ghost" }, text.upload, file);
  const standard = h("input", { type: "checkbox", onchange: () => show() });
  const selects = ["x", "y", "z"].map((axis) => h("select", { "aria-label": text[`column_${axis}`], onchange: () => columns() }));
  const columnBar = h("div", { class: "column-bar", hidden: true }, h("span", { class: "soft" }, text.columns), ...selects, h("label", {}, standard, ` ${text.standardise}`));
  const help = h("p", { class: "soft tool-help" }, text.tools_help.look);
  host.append(group, undo, clear, pick);

  function take(name) {
    tool = name;
    for (const one of tools) {
      one.setAttribute("aria-checked", String(one.dataset.tool === name));
      one.tabIndex = one.dataset.tool === name ? 0 : -1;
    }
    help.textContent = text.tools_help[name];
    stage.tool(name);
  }
  group.addEventListener("keydown", (event) => {
    const by = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
    if (!by) return;
    event.preventDefault();
    event.stopPropagation();
    const next = TOOLS[(TOOLS.indexOf(tool) + by + TOOLS.length) % TOOLS.length];
    take(next);
    tools[TOOLS.indexOf(next)].focus();
  });

  /** Another set of points of the same kind: rows of numbers. */
  function change(rows, { d = stage.cloud().d, names = stage.cloud().names } = {}) {
    const next = { d, n: rows.length, points: Float64Array.from(rows.flat()), names, own: true, file: rows.length ? stage.cloud().file : null };
    const now = performance.now();
    const same = rows.length > 0 && ["spray", "erase"].includes(tool) && stroke.tool === tool && now - stroke.at < STROKE;
    if (!same) remember(); // a stroke is undone as one
    stroke = { tool, at: now };
    if (!next.file) next.points = snapped(next); // what came from a file keeps its digits
    stage.put(next);
  }
  function remember() {
    past.push(stage.snapshot());
    if (past.length > KEPT) past.shift();
    undo.disabled = false;
  }
  function back() {
    const before = past.pop();
    stroke = { tool: "", at: 0 };
    undo.disabled = past.length === 0;
    if (before) stage.restore(before);
  }
  const rows = () => {
    const { points, d, n } = stage.cloud();
    return Array.from({ length: n }, (_, i) => Array.from(points.subarray(i * d, (i + 1) * d)));
  };

  async function upload(one) {
    try {
      stage.fine();
      stage.say("");
      const body = await one.arrayBuffer();
      await load(one.name, body, "");
    } catch (error) {
      stage.failed(error);
    }
    file.value = "";
  }
  async function load(name, body, wanted) {
    const told = await (await ask("cloud/table", { query: { columns: wanted }, body })).json();
    const points = new Float64Array(bytes(told.points).buffer);
    const first = !table || table.body !== body;
    table = { name, body, ...told, points };
    selects.forEach((select, i) => {
      const none = i > 0 ? [h("option", { value: "" }, text.column_none)] : [];
      select.replaceChildren(...none, ...told.names.map((title, j) => h("option", { value: j }, title)));
      select.value = told.chosen[i] ?? "";
      select.hidden = i > told.names.length - 1;
    });
    columnBar.hidden = false;
    if (first) {
      const s = scales();
      standard.checked = told.d > 1 && Math.max(...s) > APART * Math.min(...s.filter((v) => v > 0));
    }
    show(first);
  }
  /** The deviation of each chosen column. */
  function scales() {
    const { points, d, n } = table;
    return Array.from({ length: d }, (_, j) => {
      let [mean, square] = [0, 0];
      for (let i = 0; i < n; i++) mean += points[i * d + j] / n;
      for (let i = 0; i < n; i++) square += (points[i * d + j] - mean) ** 2 / n;
      return Math.sqrt(square);
    });
  }
  function show() {
    const { d, n, names, chosen, notices } = table;
    const s = scales();
    const means = Array.from({ length: d }, (_, j) => table.points.reduce((sum, v, i) => (i % d === j ? sum + v / n : sum), 0));
    const points = standard.checked ? table.points.map((v, i) => (v - means[i % d]) / (s[i % d] || 1)) : table.points.slice();
    remember();
    stage.put({ d, n, points, names: chosen.map((j) => names[j]), own: true, file: table.name });
    stage.say([table.name, ...notices, standard.checked ? text.standardised : ""].filter(Boolean).join(" "));
  }
  function columns() {
    const wanted = [...new Set(selects.map((select) => select.value).filter((value) => value !== ""))].join(",");
    load(table.name, table.body, wanted).catch(stage.failed);
  }

  return {
    remember,
    columnBar,
    help,
    tool: () => tool,
    add: (more) => change([...rows(), ...more]),
    erase: (gone) => {
      const away = new Set(gone);
      change(rows().filter((_, i) => !away.has(i)));
    },
    upload,
    /** In space, and where no points can be put, the tools make no sense. */
    offer(d) {
      group.hidden = help.hidden = clear.hidden = d > 2;
      if (d > 2 && tool !== "look") take("look");
      columnBar.hidden = !table || !stage.cloud().file;
    },
  };
}
