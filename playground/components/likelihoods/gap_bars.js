/**
 * Refining q for one picture: the ELBO as it climbs from the encoder's answer, and what the gap to log p(x) is then made of.
 *
 *   ELBO(encoder's q)  + amortisation gap  =  ELBO(best diagonal Gaussian found),   + approximation gap  =  log p(x)
 *
 * (models/measures/amortisation.py.) All in nats, on one axis that does not begin at 0: sums stand as marks, gaps as bars between.
 */
import { svg, ticks } from "../latents/rate_plot.js";
import { fill, h, number, within } from "../lib/dom.js";
import { decimals } from "./converge_plot.js";

const ROW = 46; // CSS pixels
const SURE = 2; // standard errors that a gap must be away from 0
const ROWS = ["elbo_amortised", "amortisation", "elbo_refined", "approximation", "log_prob"];

/** Whether a gap differs from 0 by more than its error explains. */
export function distinguishable(value, error) {
  return Math.abs(value) > SURE * error;
}

/** A number and its standard error, as many places as it deserves. */
export function withError(value, error) {
  const places = decimals(error);
  return `${within(value, places)}\u00a0±\u00a0${within(error, places)}`;
}

/** The sentences on a split gap. */
export function saidOfGap(gap, text) {
  return ["amortisation", "approximation"].map((part) => {
    const [value, error] = [gap[part], gap[`${part}_error`]];
    return fill(distinguishable(value, error) ? text[`${part}_is`] : text[`${part}_none`], { gap: withError(value, error) });
  });
}

/** text: bars (names of the rows), bars_label. `set(gap or null)`. */
export function gapBars(host, { text }) {
  const drawing = svg("svg", { role: "img", class: "ways-gap" });
  host.append(drawing);
  let gap = null;

  function draw() {
    drawing.toggleAttribute("hidden", !gap);
    const width = Math.round(drawing.clientWidth);
    if (!gap || !width) return;
    const height = ROWS.length * ROW + 30;
    const bottom = ROWS.length * ROW + 4;
    const sums = [gap.elbo_amortised, gap.elbo_refined, gap.log_prob, gap.log_prob + gap.log_prob_error, gap.log_prob - gap.log_prob_error];
    const [low, high] = [Math.min(...sums), Math.max(...sums)];
    const room = Math.max(0.06 * (high - low), 0.05);
    const X = (nats) => 8 + ((nats - low + room) / (high - low + 2 * room)) * (width - 16);
    const values = {
      elbo_amortised: `≥ ${within(gap.elbo_amortised, decimals(gap.amortisation_error))}`,
      amortisation: `+ ${withError(gap.amortisation, gap.amortisation_error)}`.replace("+ −", "−"),
      elbo_refined: `≥ ${within(gap.elbo_refined, decimals(gap.amortisation_error))}`,
      approximation: `+ ${withError(gap.approximation, gap.approximation_error)}`.replace("+ −", "−"),
      log_prob: `≈ ${withError(gap.log_prob, gap.log_prob_error)}`,
    };
    const parts = [hatch()];
    for (const one of ticks(low - room, high + room, Math.max(2, Math.min(5, width / 110)))) parts.push(svg("line", { class: "grid", x1: X(one), x2: X(one), y1: 0, y2: bottom }), svg("text", { class: "middle", x: X(one), y: bottom + 14 }, within(one, high - low < 4 ? 1 : 0)));
    const middle = (row) => row * ROW + 32;
    const drop = (nats, from, to) => svg("line", { class: "drop", x1: X(nats), x2: X(nats), y1: middle(from), y2: middle(to) });
    parts.push(drop(gap.elbo_amortised, 0, 1), drop(gap.elbo_refined, 1, 3), drop(gap.log_prob, 3, 4));
    ROWS.forEach((key, row) => {
      const y = middle(row);
      const group = svg("g", { class: key, "data-row": key });
      if (key in { amortisation: 0, approximation: 0 }) {
        const [from, to] = key === "amortisation" ? [gap.elbo_amortised, gap.elbo_refined] : [gap.elbo_refined, gap.log_prob];
        group.append(svg("rect", { class: "gap", x: Math.min(X(from), X(to)), width: Math.max(1, Math.abs(X(to) - X(from))), y: y - 8, height: 16 }), whisker(to, gap[`${key}_error`], y));
      } else {
        group.append(svg("path", { class: "sum", d: `M${X(gap[key])} ${y - 8}l7 8l-7 8l-7 -8Z` }));
        if (key === "log_prob") group.append(whisker(gap.log_prob, gap.log_prob_error, y));
      }
      group.append(svg("text", { class: "name", x: 0, y: row * ROW + 11 }, text.bars[key]), svg("text", { class: "left value", x: width, y: row * ROW + 11 }, values[key]));
      parts.push(group);
    });

    function whisker(nats, error, y) {
      const [a, b] = [X(nats - error), X(nats + error)];
      return svg("path", { class: "whisker", d: `M${a} ${y - 4}v8M${a} ${y}H${b}M${b} ${y - 4}v8` });
    }

    drawing.setAttribute("viewBox", `0 0 ${width} ${height}`);
    drawing.setAttribute("height", height);
    drawing.setAttribute("aria-label", fill(text.bars_label, { parts: ROWS.map((key) => `${text.bars[key]} ${values[key]}`).join("; ") }));
    drawing.replaceChildren(...parts);
  }

  /** What a diagonal Gaussian cannot reach is hatched, as in the picture of the bound (bound_view.js). */
  function hatch() {
    return svg("defs", {}, svg("pattern", { id: "ways-hatch", width: 6, height: 6, patternUnits: "userSpaceOnUse", patternTransform: "rotate(45)" },
      svg("rect", { class: "pale", width: 6, height: 6 }), svg("rect", { class: "gap", width: 3, height: 6 })));
  }

  new ResizeObserver(draw).observe(drawing);
  return {
    set(next) {
      gap = next;
      draw();
    },
  };
}

/** The ELBO, with its band, against steps of the climb. text: climb, climb_x, climb_y. `set(lines)`. */
export function climbPlot(host, { text }) {
  const title = h("h3", {}, text.climb);
  const drawing = svg("svg", { role: "img", class: "ways-climb" });
  host.append(title, drawing);
  let lines = [];

  function draw() {
    title.hidden = !lines.length;
    drawing.toggleAttribute("hidden", !lines.length);
    const width = Math.round(drawing.clientWidth);
    if (!lines.length || !width) return;
    const height = 260;
    const [left, right, top, bottom] = [56, width - 12, 12, height - 40];
    const error = (line) => (Number.isFinite(line.elbo_error) ? line.elbo_error : 0);
    const [low, high] = [Math.min(...lines.map((one) => one.elbo - error(one))), Math.max(...lines.map((one) => one.elbo + error(one)))];
    const room = Math.max(0.08 * (high - low), 0.2);
    const last = Math.max(4, lines.at(-1).step);
    const X = (step) => left + (step / last) * (right - left);
    const Y = (nats) => top + ((high + room - nats) / (high - low + 2 * room)) * (bottom - top);
    const path = (list, value) => list.map((one, i) => `${i ? "L" : "M"}${X(one.step).toFixed(1)} ${Y(value(one)).toFixed(1)}`).join("");
    const parts = [];
    for (const one of ticks(low - room, high + room, 4)) parts.push(svg("line", { class: "grid", x1: left, x2: right, y1: Y(one), y2: Y(one) }), svg("text", { class: "left", x: left - 6, y: Y(one) }, within(one, one % 1 ? 1 : 0)));
    for (const one of ticks(0, last, 4)) if (Number.isInteger(one)) parts.push(svg("text", { class: "middle", x: X(one), y: bottom + 13 }, number(one, 0)));
    parts.push(svg("text", { class: "middle", x: (left + right) / 2, y: height - 8 }, text.climb_x));
    const end = lines.at(-1);
    parts.push(svg("g", { class: "elbo" },
      svg("path", { class: "band", d: `${path(lines, (one) => one.elbo + error(one))}${path(lines.toReversed(), (one) => one.elbo - error(one)).replace("M", "L")}Z` }),
      svg("path", { class: "climb", d: path(lines, (one) => one.elbo) }),
      svg("circle", { cx: X(lines[0].step), cy: Y(lines[0].elbo), r: 4 }), svg("circle", { cx: X(end.step), cy: Y(end.elbo), r: 4.5 })));
    drawing.setAttribute("viewBox", `0 0 ${width} ${height}`);
    drawing.setAttribute("height", height);
    drawing.setAttribute("aria-label", fill(text.climb_label, { from: number(lines[0].elbo, 1), to: number(end.elbo, 1), n: end.step }));
    drawing.dataset.shown = String(end.step);
    drawing.replaceChildren(...parts);
  }

  new ResizeObserver(draw).observe(drawing);
  return {
    set(next) {
      lines = next;
      draw();
    },
  };
}
