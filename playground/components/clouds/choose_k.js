/** Which K: BIC, AIC and the likelihood of points held out, for every K at once; a click takes one. */
import { ask } from "../lib/api.js";
import { fill, h, number } from "../lib/dom.js";
import { plotlyView } from "../plotly_view/plotly_view.js";

/** stage: { text, settings(), cloud(), failed(error), choose(change) } */
export function chooseK(host, stage) {
  const { text } = stage;
  const note = h("p", { class: "soft", "aria-live": "polite" });
  const best = h("p", { class: "verdict", "aria-live": "polite" });
  const figure = h("div", {});
  const close = h("button", { type: "button", class: "ghost", onclick: () => hide() }, text.close);
  const box = h("section", { class: "choose-k", hidden: true, "aria-label": text.choose }, h("div", { class: "panel-head" }, h("h2", {}, text.choose), h("span", { class: "space" }), close), best, figure, note);
  host.append(box);
  const view = plotlyView(figure, { label: text.choose_label, click: ({ x }) => stage.choose({ k: x, how: stage.settings().how === "own" ? "plus" : stage.settings().how, means: [], shapes: [] }) });
  let asked = "";

  const hide = () => {
    box.hidden = true;
    asked = "";
  };
  const key = () => {
    const { covariance, weights, reg, seed } = stage.settings();
    return { d: stage.cloud().d, covariance, weights, reg, seed };
  };

  async function open() {
    box.hidden = false;
    box.scrollIntoView({ block: "center", behavior: matchMedia("(prefers-reduced-motion: reduce)").matches ? "auto" : "smooth" });
    const query = key();
    const now = JSON.stringify(query);
    if (asked === now + stage.cloud().version) return;
    asked = now + stage.cloud().version;
    best.textContent = "";
    note.textContent = text.counting;
    try {
      const told = await (await ask("cloud/choose", { query, body: stage.cloud().points })).json();
      if (asked !== now + stage.cloud().version) return;
      draw(told, query);
    } catch (error) {
      hide();
      stage.failed(error);
    }
  }

  function draw({ rows, points, held, sampled, restarts }, query) {
    const xs = rows.map((row) => row.k);
    const line = (name, values, colour, axis, symbol) => ({
      type: "scatter", mode: "lines+markers", name, x: xs, y: values, yaxis: axis, connectgaps: false,
      line: { color: colour, width: 2 }, marker: { size: 10, symbol, color: colour }, hovertemplate: `K = %{x}: %{y:.4f}<extra>${name}</extra>`,
    });
    view.draw([
      line(text.choose_held, rows.map((row) => row.held_out), "token:q", "y", "circle"),
      line(text.choose_bic, rows.map((row) => row.bic), "token:kl", "y2", "diamond"),
      line(text.choose_aic, rows.map((row) => row.aic), "token:z", "y2", "square"),
    ], {
      height: 280, margin: { l: 62, r: 62, t: 30, b: 40 }, legend: { orientation: "h", x: 0, y: 1, yanchor: "bottom" },
      xaxis: { title: { text: "K" }, dtick: 1, zeroline: false }, yaxis: { title: { text: text.choose_y }, zeroline: false },
      yaxis2: { title: { text: text.choose_axis }, overlaying: "y", side: "right", tickmode: "auto", nticks: 6, showgrid: false, zeroline: false },
    });
    const lowest = (name, sign) => rows.filter((row) => row[name] !== null).sort((a, b) => sign * (a[name] - b[name]))[0]?.k ?? "–";
    best.textContent = fill(text.choose_best, { bic: lowest("bic", 1), aic: lowest("aic", 1), held: lowest("held_out", -1) });
    note.textContent = [
      fill(text.choose_note, { restarts, covariance: query.covariance.replace("_", " "), held: number(held, 0), n: number(points, 0) }),
      sampled ? fill(text.choose_sampled, { n: number(points, 0) }) : "",
      ...rows.filter((row) => row.refused).map((row) => fill(text.choose_refused, { k: row.k, why: row.refused })),
    ].filter(Boolean).join(" ");
  }

  return { open, hide, refresh: () => !box.hidden && open(), shown: () => !box.hidden };
}
