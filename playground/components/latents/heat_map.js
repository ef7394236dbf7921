/**
 * What each latent dimension tells of each factor: a table, dimensions by their KL downwards, factors across. A cell's colour is
 * I(z_j; v) as a share of the factor's entropy H(v); below each factor stands its gap, how far the best dimension is ahead of the
 * second (Chen et al. 2018). One cell has the keyboard; arrows move it.
 */
import { fill, h, number, subscript } from "../lib/dom.js";

/** I(z_j; v_k) / H(v_k), each within 0 and 1: rows of dimensions in the vector's own order. */
export function shares({ information, entropies }) {
  return information.map((row) => row.map((nats, k) => Math.min(1, Math.max(0, nats / entropies[k]))));
}

/** One cell in words. */
export function cellWords(text, model, name, j, k) {
  return fill(text.cell, {
    name, z: `z${subscript(j + 1)}`, factor: text.factors[model.factors[k]] ?? model.factors[k],
    nats: number(model.information[j][k]), of: number(model.entropies[k]), chance: number(model.chance[j][k]),
    share: number(100 * shares(model)[j][k], 0),
  });
}

/**
 * model: see /play/latents/betas; `read(words or null)` for the cell that is pointed at or focused; `point`, `choose`: the model.
 * `name`, `short`: what it is called, and in little room.
 */
export function heatMap(model, { text, name, short, read, point, choose }) {
  const share = shares(model);
  const factor = (k) => text.factors[model.factors[k]] ?? model.factors[k];
  const cells = model.order.map((j) => model.factors.map((_, k) => {
    const words = cellWords(text, model, name, j, k);
    return h("td", {
      role: "gridcell", tabindex: -1, "data-j": j, "data-k": k, "data-share": share[j][k].toFixed(4), "aria-label": words, title: words,
      style: `--share:${share[j][k].toFixed(4)}`, class: k === bestOf(share[j]) && share[j][k] >= 0.1 ? "best" : null,
      onfocus: () => read(words), onclick: () => read(words),
      onpointerenter: (event) => event.pointerType === "mouse" && read(words),
    });
  }));
  const rows = model.order.map((j, i) => h("tr", { "data-asleep": model.active[j] ? null : true, role: "row" },
    h("th", { scope: "row", role: "rowheader", title: fill(text[model.active[j] ? "row" : "row_asleep"], { z: `z${subscript(j + 1)}`, kl: number(model.kl_by_dimension[j]) }) }, `z${subscript(j + 1)}`), ...cells[i]));
  const gaps = model.gaps.gap.map((gap, k) => h("td", { "data-gap": k, title: fill(text.gap, { factor: factor(k), gap: number(gap, 3), best: number(model.gaps.best[k]), second: number(model.gaps.second[k]), of: number(model.entropies[k]) }) }, number(100 * gap, 0)));
  const table = h("table", { role: "grid", "aria-label": fill(text.map_label, { name }) },
    h("thead", {}, h("tr", { role: "row" }, h("td", {}), ...model.factors.map((_, k) => h("th", { scope: "col", role: "columnheader" }, h("span", {}, factor(k)))))),
    h("tbody", {}, ...rows),
    h("tfoot", {}, h("tr", { role: "row" }, h("th", { scope: "row", title: text.gap_means }, text.gap_row), ...gaps)));
  cells[0][0].tabIndex = 0;

  table.addEventListener("keydown", (event) => {
    const by = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] }[event.key];
    const cell = event.target.closest("[data-j]");
    if (!by || !cell) return;
    event.preventDefault();
    event.stopPropagation();
    const [i, k] = [model.order.indexOf(Number(cell.dataset.j)) + by[0], Number(cell.dataset.k) + by[1]];
    cells[i]?.[k]?.focus();
  });
  table.addEventListener("focusin", (event) => {
    for (const one of cells.flat()) one.tabIndex = one === event.target ? 0 : -1;
    point(model.key);
  });
  table.addEventListener("focusout", () => {
    point(null);
    read(null);
  });
  const title = h("button", { type: "button", class: "ghost", "data-choose": model.key, "aria-label": name, onclick: () => choose(model.key) }, short);
  const element = h("figure", { class: "beta-map", "data-map": model.key,
    onpointerenter: (event) => event.pointerType === "mouse" && point(model.key),
    onpointerleave: () => {
      point(null);
      read(null);
    },
    onclick: () => choose(model.key) }, h("figcaption", {}, title), table);
  return {
    element,
    /** on: it is marked; chosen: it stays so when nothing is pointed at. */
    mark(on, chosen) {
      element.classList.toggle("on", on);
      title.setAttribute("aria-pressed", String(chosen));
    },
  };
}

/** The place of the largest number. */
function bestOf(values) {
  return values.indexOf(Math.max(...values));
}
