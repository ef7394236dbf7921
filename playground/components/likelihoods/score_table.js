/**
 * Pictures down, models across, a number in each cell: a grid that sorts by any column and is walked with the arrow keys. It holds no
 * settings: it draws what it is told, and says what was pressed.
 */
import { fill, h } from "../lib/dom.js";
import { paint } from "../lib/pixels.js";

/**
 * look(at): a picture's name was pressed; pick(at, model, event): a cell; sort(key): a column's head, "title" or "" (as in the tray).
 *
 * draw({ label, columns: [{ name, title, kind, sign, chosen }], rows: [{ at, title, kind, thumb: Uint8Array(784), move: text or "",
 * moved: what it says or "", cells: [{ text, sign, error, share, mark: "" | "proven" | "open", said } | null] }], foot: [{ title, cells:
 * [{ title, thumb, at } | null] }], sort, down, at, model }). `rows` stand in the order in which they are shown.
 */
export function scoreTable(host, { text, look, pick, sort }) {
  const table = h("table", { role: "grid", onkeydown: keys, onpointerover: (event) => cross(event.target), onpointerleave: () => cross(document.activeElement), onfocusin: (event) => cross(event.target) });
  const box = h("div", { class: "scroll" }, table);
  host.append(box);
  /** Whether there are columns to the right of what is seen: the edge fades there. */
  const edge = () => box.toggleAttribute("data-more", box.scrollLeft + box.clientWidth < box.scrollWidth - 2);
  box.addEventListener("scroll", edge, { passive: true });
  new ResizeObserver(edge).observe(box);
  let focus = null; // the cell that Tab comes to: "at model"
  let revealed = null;

  const thumbnail = (pixels) => {
    const canvas = h("canvas", { width: 28, height: 28, "aria-hidden": "true" });
    paint(canvas, pixels);
    return canvas;
  };

  function head(key, state, title, ...more) {
    const sorted = state.sort === key;
    const arrow = sorted ? (state.down ? "▼" : "▲") : "";
    return h("button", { type: "button", class: "sort", "data-sort": key, title: text.sort_means, onclick: () => sort(key) },
      h("span", { class: "name" }, title, h("span", { class: "arrow", "aria-hidden": "true" }, arrow)), ...more);
  }

  const direction = (state, key) => (state.sort === key ? (state.down ? "descending" : "ascending") : "none");

  function draw(state) {
    const inside = table.contains(document.activeElement) ? document.activeElement.dataset : null;
    const back = inside && (inside.key ? `[data-key="${CSS.escape(inside.key)}"]` : `[data-sort="${CSS.escape(inside.sort ?? "")}"]`);
    const chosen = `${state.at} ${state.model}`;
    focus = state.rows.length && state.columns.some(({ name }) => name === state.model) && state.rows.some(({ at }) => at === state.at) ? chosen : null;
    focus ??= state.rows.length && state.columns.length ? `${state.rows[0].at} ${state.columns[0].name}` : null;
    table.setAttribute("aria-label", state.label);
    table.replaceChildren(
      h("thead", {}, h("tr", {},
        h("th", { scope: "col", class: "first", "aria-sort": direction(state, "title") }, h("div", {}, head("title", state, text.picture), head("", state, text.as_added))),
        ...state.columns.map((one) => h("th", { scope: "col", "aria-sort": direction(state, one.name), "data-column": one.name, class: one.chosen ? "chosen" : "" },
          head(one.name, state, one.title, h("span", { class: "kind", "data-kind": one.kind }, `${one.sign} ${text.kinds[one.kind] ?? one.kind}`)))))),
      h("tbody", {}, ...state.rows.map((row) => h("tr", { "data-at": row.at, class: row.at === state.at ? "chosen" : "" },
        h("th", { scope: "row", class: "first" },
          h("button", { type: "button", class: "look", "data-key": `row ${row.at}`, "aria-pressed": String(row.at === state.at), onclick: () => look(row.at) }, thumbnail(row.thumb),
            h("span", { class: "title" }, row.title, row.move ? h("small", { class: "move", "aria-label": row.moved }, row.move) : null))),
        ...row.cells.map((one, i) => body(row, one, state.columns[i], state))))),
      h("tfoot", {}, ...state.foot.map((line) => h("tr", {}, h("th", { scope: "row", class: "first" }, line.title),
        ...line.cells.map((one, i) => h("td", { "data-column": state.columns[i].name }, one ? h("button", { type: "button", class: "end", "data-key": `${line.title} ${i}`, tabindex: -1,
          "aria-label": fill(text.end, { model: state.columns[i].title, which: line.title, picture: one.title }), onclick: (event) => pick(one.at, state.columns[i].name, event) },
        thumbnail(one.thumb), h("span", {}, one.title)) : "–"))))));
    reveal(state.model);
    edge();
    if (back) table.querySelector(back)?.focus({ preventScroll: true });
    else cross(null);
  }

  function body(row, one, column, state) {
    const key = `${row.at} ${column.name}`;
    const chosen = row.at === state.at && column.name === state.model;
    const attributes = { type: "button", class: "cell", "data-key": key, tabindex: key === focus ? 0 : -1, "aria-pressed": String(chosen), onclick: (event) => pick(row.at, column.name, event) };
    if (!one) return h("td", { "data-column": column.name }, h("button", { ...attributes, "aria-label": text.unscored }, h("span", { class: "soft" }, "…")));
    return h("td", { "data-column": column.name, class: one.mark ? `mark ${one.mark}` : "" },
      h("button", { ...attributes, "aria-label": one.said, style: `--share:${one.share.toFixed(4)}` },
        h("i", { "aria-hidden": "true" }),
        h("span", { class: "value" }, one.sign ? h("span", { class: "sign" }, `${one.sign} `) : null, h("b", {}, one.text), one.mark ? h("span", { class: "star" }, ` ${text.stars[one.mark]}`) : null),
        one.error ? h("small", {}, one.error) : null));
  }

  /** Brings the column of a newly chosen model into sight where the table scrolls. */
  function reveal(model) {
    const column = table.querySelector("thead th.chosen");
    if (!column || revealed === model) return;
    revealed = model;
    const pinned = table.querySelector(".first").offsetWidth;
    const [left, right] = [column.offsetLeft - pinned, column.offsetLeft + column.offsetWidth - box.clientWidth];
    if (box.scrollLeft > left) box.scrollLeft = left;
    else if (box.scrollLeft < right) box.scrollLeft = Math.min(right, left);
  }

  /** Row and column of what is pointed at or has the focus. */
  function cross(target) {
    const at = target?.closest?.("td[data-column], tr[data-at], th[data-column]");
    const column = at && table.contains(at) ? target.closest("[data-column]")?.dataset.column : null;
    for (const one of table.querySelectorAll("[data-column]")) one.classList.toggle("over", one.dataset.column === column);
  }

  function keys(event) {
    const by = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0], Home: [0, -99], End: [0, 99] }[event.key];
    const cell = event.target.closest("tbody td, tbody th");
    if (!by || !cell || event.ctrlKey || event.altKey || event.metaKey) return;
    event.preventDefault();
    const rows = [...table.tBodies[0].rows];
    const row = rows[Math.max(0, Math.min(rows.length - 1, rows.indexOf(cell.parentElement) + by[0]))];
    const next = row.cells[Math.max(0, Math.min(row.cells.length - 1, cell.cellIndex + by[1]))].querySelector("button");
    if (next.dataset.key.startsWith("row ") === false) {
      for (const one of table.querySelectorAll(".cell")) one.tabIndex = one === next ? 0 : -1;
    }
    next.focus();
  }

  return { element: box, draw };
}
