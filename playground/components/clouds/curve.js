/** The objective at every half step, of one run or two laid over each other, and the free-energy picture of the step shown. */
import { fill, h, number } from "../lib/dom.js";
import { plotlyView } from "../plotly_view/plotly_view.js";
import { objective, within } from "./runs.js";

/** Returns { draw(runs, pinned), mark(frame) }; go(frame) is called for a dot that is clicked. */
export function curve(host, { text, go }) {
  const title = h("h2", {}, text.curve);
  const figure = h("div", { class: "curve-figure" });
  const shadow = h("p", { class: "soft", hidden: true });
  const none = h("p", { class: "soft", hidden: true }, text.curve_none);
  host.append(title, figure, shadow, none);
  const view = plotlyView(figure, { label: text.curve_label, click: ({ customdata }) => go(customdata) });

  function trace(run, name, colour, axis, pinned) {
    const points = objective(run);
    return {
      type: "scatter", mode: pinned ? "lines" : "lines+markers", name, yaxis: axis,
      x: points.map(([frame]) => frame / 2), y: points.map(([, value]) => value), customdata: points.map(([frame]) => frame),
      line: { color: colour, width: pinned ? 1.5 : 2, dash: pinned ? "dash" : "solid" }, marker: { size: pinned ? 4 : 6, color: colour }, opacity: pinned ? 0.65 : 1,
      hovertemplate: `%{y:.5f}<extra>${name}</extra>`, showlegend: !pinned,
    };
  }

  function bound(run, pinned) {
    const points = run.free_energy.map((value, frame) => [frame, value]).filter(([frame]) => frame > 0); // with even shares F may lie far below
    return {
      type: "scatter", mode: "lines", name: text.curve_f, x: points.map(([frame]) => frame / 2), y: points.map(([, value]) => value), customdata: points.map(([frame]) => frame),
      line: { color: "token:q", width: 1.5, dash: "dot" }, visible: pinned ? false : true, hovertemplate: `%{y:.5f}<extra>${text.curve_f}</extra>`,
    };
  }

  return {
    /** `runs` and `pinned`: { kmeans, gmm }, each a run or nothing. */
    draw(runs, pinned, pinnedName) {
      const traces = [];
      const both = runs.kmeans && runs.gmm;
      for (const [set, old] of [[pinned ?? {}, true], [runs, false]]) {
        const name = (plain) => (old ? `${plain}, ${text.curve_pinned_short}` : plain);
        if (set.gmm && runs.gmm) traces.push(...(old ? [] : [bound(set.gmm, old)]), trace(set.gmm, name(text.curve_ll), "token:p", "y", old));
        if (set.kmeans && runs.kmeans) traces.push(trace(set.kmeans, name(text.curve_k), "token:x", both ? "y2" : "y", old));
      }
      shadow.hidden = !pinned;
      shadow.textContent = pinned ? fill(text.curve_pinned, { name: pinnedName }) : "";
      figure.hidden = !traces.length;
      none.hidden = traces.length > 0;
      if (!traces.length) return;
      const flat = (run) => Math.max(...run.log_likelihood) - Math.min(...run.log_likelihood) < 1e-9 * Math.max(1, Math.abs(run.log_likelihood[0]));
      const still = runs.gmm && flat(runs.gmm) ? { range: [runs.gmm.log_likelihood[0] - 0.5, runs.gmm.log_likelihood[0] + 0.5] } : {}; // rounding is no curve
      const longest = Math.max(...[runs, pinned ?? {}].flatMap((set) => [set.kmeans, set.gmm]).filter(Boolean).map((run) => (run.frames - 1) / 2));
      const step = [1, 2, 5, 10, 20, 50, 100].find((one) => longest / one <= 8) ?? 100; // whole iterations
      const side = { tickmode: "auto", showgrid: false, zeroline: false, nticks: 5 };
      view.draw(traces, {
        height: 240, margin: { l: 62, r: both ? 62 : 14, t: 30, b: 40 }, showlegend: true, legend: { orientation: "h", x: 0, y: 1, yanchor: "bottom" },
        xaxis: { title: { text: text.curve_x }, rangemode: "tozero", zeroline: false, tick0: 0, dtick: step },
        yaxis: { title: { text: runs.gmm ? text.curve_y : text.curve_inertia }, zeroline: false, nticks: 5, ...still },
        ...(both ? { yaxis2: { ...side, title: { text: text.curve_inertia }, overlaying: "y", side: "right" } } : {}),
      });
    },
    mark: (frame) => view.mark(frame / 2),
  };
}

/** The bound, the gap and log p as a bar: E closes the gap, M raises the bound. */
export function freeEnergy(host, { text }) {
  const bar = h("div", { class: "free-bar", "aria-hidden": "true" }, h("i", { class: "free-f" }), h("i", { class: "free-gap" }));
  const ends = h("p", { class: "free-ends soft", "aria-hidden": "true" });
  const words = h("p", { class: "free-words" });
  const meaning = h("p", { class: "free-meaning", "aria-live": "polite" });
  host.append(h("h2", {}, text.free), meaning, bar, ends, words);

  return {
    /** `run` of a mixture or null; `phase` names what is explained. */
    show(run, frame, phase) {
      meaning.textContent = text.phase_means[phase] ?? "";
      bar.hidden = ends.hidden = words.hidden = host.firstChild.hidden = !run;
      if (!run) return;
      const at = within(run, frame);
      const p = run.log_likelihood[at];
      const f = run.free_energy[at];
      const lows = run.free_energy.slice(1);
      const top = Math.max(...run.log_likelihood);
      const low = Math.min(...lows, run.log_likelihood[0]);
      const reach = top - low;
      const width = (value) => (reach > 1e-9 * Math.max(1, Math.abs(top)) ? 12 + (88 * Math.max(0, value - low)) / reach : 100);
      ends.replaceChildren(h("span", {}, number(low, 3)), h("span", {}, number(top, 3)));
      bar.style.setProperty("--f", `${width(f ?? low)}%`);
      bar.style.setProperty("--p", `${width(p)}%`);
      const gap = f === null ? null : p - f;
      words.replaceChildren(
        h("span", { class: "symbol-q" }, `${text.free_f} ${f === null ? "–" : number(f, 4)}`),
        h("span", { class: "symbol-kl" }, `${text.free_gap} ${gap === null ? text.numbers.no_gap_yet : number(Math.abs(gap) < 5e-8 ? 0 : gap, gap > 5e-8 && gap < 1e-4 ? 7 : 4)}`),
        h("span", { class: "symbol-p" }, `${text.free_p} ${number(p, 4)}`),
      );
    },
  };
}
