/**
 * Probability: θ = (μ, σ) stays, x moves. A density is not a probability; its integral over an interval is:
 *
 *   P(x − w/2 < X < x + w/2) = Φ((x + w/2 − μ)/σ) − Φ((x − w/2 − μ)/σ) → 0 as w → 0, while P / w → p(x).
 *
 * Beside it the one function p(x; θ) over x and one parameter: a row of it is a density (area 1), a column a likelihood (area
 * whatever it is).
 */
import { fill, h } from "../lib/dom.js";
import { factors, figure, heat, label, linear, makePlot, ramp, trace } from "./likelihood_plot.js";
import { density, probability } from "./normal.js";

const [COLUMNS, ROWS] = [96, 72];
const STRIP = 46; // px: the profiles along the map's edges

export function intervalMode(host, view) {
  const { text, set } = view;
  let map = { key: "", picture: null };

  const left = h("div", {}, h("h2", {}, text.interval_title));
  const right = h("div", {}, h("div", { class: "likelihood-head" }, h("h2", {}, text.views_title), view.segments("theta", text.theta_axis, [["mu", text.theta_mu], ["sigma", text.theta_sigma]])));
  const reading = (key) => h("dd", { "data-reading": key });
  const rows = { density: reading("density"), interval: reading("interval"), probability: reading("probability"), ratio: reading("ratio") };
  const note = h("p", { class: "soft", "data-note": "probability" });
  const viewsNote = h("p", { class: "soft likelihood-under" });
  const narrow = h("button", { type: "button", "data-act": "narrow", onclick: () => set({ width: view.state().width / 10 }) }, text.narrower);
  const wide = h("button", { type: "button", "data-act": "wide", onclick: () => set({ width: view.state().width * 10 }) }, text.wider);
  const unlock = h("button", { type: "button", class: "ghost", onclick: () => set({ mode: "likelihood" }) }, text.unlock);
  const readings = h("dl", { class: "readings" }, ...Object.entries(rows).flatMap(([key, row]) => [h("dt", {}, text[`row_${key}`]), row]));
  host.append(h("p", { class: "soft" }, text.probability_lead), h("div", { class: "likelihood-pair" }, left, right));
  const byX = (steps) => view.state().at + (steps * (view.state().high - view.state().low)) / 200;
  const curve = makePlot(left, { name: text.interval_label, redraw: drawCurve, press: (x, _y, done) => set({ at: x }, done) });
  left.append(
    h("div", { class: "likelihood-controls" },
      view.slider("at", { name: text.at, symbol: "x", token: "x", limits: () => [view.state().low, view.state().high] }),
      view.slider("width", { name: text.width, symbol: "w", token: "x", log: true, limits: () => [view.state().widthLow, view.state().widthHigh] }),
      h("div", { class: "likelihood-buttons" }, narrow, wide)),
    readings);
  const peak = () => density(0, 0, view.state().sigma);
  curve.handle({
    name: text.drag_at, id: "at", token: "x", at: () => [view.state().at, density(view.state().at, view.state().mu, view.state().sigma)],
    drag: (x, _y, done) => set({ at: x }, done), step: (dx, dy, done) => set({ at: byX(dx + dy) }, done),
    says: () => ({ now: view.state().at, min: view.state().low, max: view.state().high, text: `x = ${figure(view.state().at)}` }),
  });
  curve.handle({
    name: text.drag_width, id: "width", token: "x", at: () => [Math.min(curve.range.x1, view.state().at + view.state().width / 2), 0],
    drag: (x, _y, done) => set({ width: Math.max(view.state().widthLow, 2 * (x - view.state().at)) }, done),
    step: (dx, dy, done) => set({ width: view.state().width * 1.05 ** (dx + dy) }, done),
    says: () => ({ now: view.state().width, min: view.state().widthLow, max: view.state().widthHigh, text: `w = ${figure(view.state().width)}` }),
  });

  function drawCurve(c, plot) {
    const { mu, sigma, low, high, at, width } = view.state();
    const top = peak() / 0.9;
    const p = (x) => density(x, mu, sigma);
    plot.frame(c, { x0: low, x1: high, y0: 0, y1: top, x: { name: "x", ticks: linear(low, high) }, y: { name: text.density_axis, ticks: linear(0, top, 4) } });
    const { area, X, Y, ink } = plot;
    const [from, to] = [Math.max(area.left, X(at - width / 2)), Math.min(area.right, X(at + width / 2))];
    c.fillStyle = ink("x");
    c.globalAlpha = 0.3;
    c.beginPath();
    c.moveTo(from, area.bottom);
    for (let i = 0; i <= 200; i++) {
      const x = from + (i / 200) * (Math.max(to, from + 1) - from); // a pixel at least: an interval of any width is seen
      c.lineTo(x, Y(p(low + ((x - area.left) / (area.right - area.left)) * (high - low))));
    }
    c.lineTo(Math.max(to, from + 1), area.bottom);
    c.fill();
    c.globalAlpha = 1;
    c.strokeStyle = ink("x");
    c.lineWidth = 2;
    c.beginPath();
    c.moveTo(X(at), area.bottom);
    c.lineTo(X(at), Y(p(at)));
    c.moveTo(from, area.bottom);
    c.lineTo(Math.max(to, from + 1), area.bottom);
    c.lineWidth = 3;
    c.stroke();
    c.strokeStyle = ink("p");
    c.lineWidth = 2.5;
    trace(c, plot, p);
    c.stroke();
    c.font = "600 12px system-ui, sans-serif";
    if (top > 1) {
      c.strokeStyle = c.fillStyle = ink("kl");
      c.setLineDash([5, 4]);
      c.lineWidth = 1.5;
      c.beginPath();
      c.moveTo(area.left, Y(1));
      c.lineTo(area.right, Y(1));
      c.stroke();
      c.setLineDash([]);
      c.textAlign = mu > (low + high) / 2 ? "left" : "right";
      c.textBaseline = "bottom";
      label(c, text.one_line, mu > (low + high) / 2 ? area.left + 6 : area.right - 6, Y(1) - 3, ink("card"));
    }
    c.fillStyle = ink("x");
    c.textBaseline = "middle";
    const right = X(at) < (area.left + area.right) / 2 ? X(at) < X(mu) - 40 : X(at) < area.right - 110; // away from the curve
    c.textAlign = right && X(at) > X(mu) ? "left" : X(at) > area.left + 110 ? "right" : "left";
    label(c, `p(x) = ${figure(p(at))}`, X(at) + (c.textAlign === "left" ? 14 : -14), Math.max(area.top + 8, Y(p(at)) - 8), ink("card"));
  }

  // --- One surface, two views --------------------------------------------------------------------------------------------
  const plane = makePlot(right, { name: text.views_label, redraw: drawMap, press: (x, _y, done) => set({ at: x }, done) });
  right.append(
    viewsNote,
    h("div", { class: "likelihood-controls fixed" },
      view.slider("mu", { name: text.mu, symbol: "μ", locked: true, limits: () => [view.state().low, view.state().high] }),
      view.slider("sigma", { name: text.sigma, symbol: "σ", log: true, locked: true, limits: () => [view.state().sigmaLow, view.state().sigmaHigh] }),
      h("p", { class: "soft" }, h("span", { class: "likelihood-lock", "aria-hidden": "true" }), text.locked, " ", unlock)),
    note);

  function drawMap(c, plot) {
    const { mu, sigma, at, low, high, sigmaLow, sigmaHigh, theta } = view.state();
    const { X, Y, ink } = plot;
    const ofMu = theta === "mu";
    const [y0, y1] = ofMu ? [low, high] : [Math.log(sigmaLow), Math.log(sigmaHigh)];
    const p = (x, y) => (ofMu ? density(x, y, sigma) : density(x, mu, Math.exp(y)));
    const key = [theta, mu, sigma, low, high, ink("p"), ink("card")].join();
    if (map.key !== key) {
      const values = new Float64Array(COLUMNS * ROWS);
      for (let row = 0; row < ROWS; row++)
        for (let column = 0; column < COLUMNS; column++) values[row * COLUMNS + column] = p(low + ((column + 0.5) / COLUMNS) * (high - low), y0 + ((row + 0.5) / ROWS) * (y1 - y0));
      const top = ofMu ? peak() : 3 * peak(); // over σ the narrowest curves would leave nothing for the others
      map = { key, picture: heat(values.map((v) => Math.min(1, Math.sqrt(v / top))), COLUMNS, ROWS, ramp(ink("card"), ink("p"), 0.8)) };
    }
    plot.frame(c, {
      x0: low, x1: high, y0, y1, margin: { top: 26 + STRIP, right: plot.canvas.clientWidth - 10 - STRIP },
      x: { name: "x", ticks: linear(low, high, 5) }, y: { name: ofMu ? "μ" : text.sigma_axis, ticks: ofMu ? linear(low, high, 5) : factors(sigmaLow, sigmaHigh) },
    });
    const { area } = plot;
    const here = ofMu ? mu : Math.log(sigma);
    c.imageSmoothingEnabled = true;
    c.drawImage(map.picture, area.left, area.top, area.right - area.left, area.bottom - area.top);
    c.lineWidth = 2;
    c.strokeStyle = ink("x");
    line(c, area.left, Y(here), area.right, Y(here));
    c.strokeStyle = ink("p");
    line(c, X(at), area.top, X(at), area.bottom);
    // The row as a profile above, the column as a profile on the right, each as tall as its strip.
    const row = Array.from({ length: 121 }, (_, i) => p(low + (i / 120) * (high - low), here));
    const column = Array.from({ length: 121 }, (_, i) => p(at, y0 + (i / 120) * (y1 - y0)));
    const [rowTop, columnTop] = [Math.max(...row) || 1, Math.max(...column) || 1];
    profile(c, row.map((v, i) => [area.left + (i / 120) * (area.right - area.left), area.top - 4 - (v / rowTop) * (STRIP - 12)]), [area.right, area.top - 4], [area.left, area.top - 4], ink("x"));
    profile(c, column.map((v, i) => [area.right + 4 + (v / columnTop) * (STRIP - 10), area.bottom - (i / 120) * (area.bottom - area.top)]), [area.right + 4, area.top], [area.right + 4, area.bottom], ink("p"));
    c.beginPath();
    c.arc(X(at), Y(here), 5, 0, 2 * Math.PI);
    c.fillStyle = ink("ink");
    c.strokeStyle = ink("card");
    c.lineWidth = 3;
    c.stroke();
    c.fill();
    c.font = "600 12px system-ui, sans-serif";
    c.textBaseline = "bottom";
    c.fillStyle = ink("x");
    c.textAlign = X(at) > (area.left + area.right) / 2 ? "left" : "right";
    label(c, text.row_name, c.textAlign === "left" ? area.left + 6 : area.right - 6, Y(here) - 4, ink("card"));
    c.fillStyle = ink("p");
    c.textBaseline = "middle";
    c.save();
    c.translate(X(at), here > (y0 + y1) / 2 ? area.bottom - 6 : area.top + 6);
    c.rotate(-Math.PI / 2);
    c.textAlign = here > (y0 + y1) / 2 ? "left" : "right";
    label(c, text.column_name, 0, X(at) > area.right - 24 ? -11 : 11, ink("card"));
    c.restore();
  }

  function line(c, ...[x0, y0, x1, y1]) {
    c.beginPath();
    c.moveTo(x0, y0);
    c.lineTo(x1, y1);
    c.stroke();
  }

  function profile(c, places, ...rest) {
    const [end, start, token] = rest;
    c.strokeStyle = c.fillStyle = token;
    c.lineWidth = 1.5;
    c.beginPath();
    for (const [x, y] of places) c.lineTo(x, y);
    c.stroke();
    c.lineTo(...end);
    c.lineTo(...start);
    c.globalAlpha = 0.18;
    c.fill();
    c.globalAlpha = 1;
  }

  function measure() {
    const { mu, sigma, at, width } = view.state();
    const share = probability(at - width / 2, at + width / 2, mu, sigma);
    return { at, width, density: density(at, mu, sigma), probability: share, ratio: share / width };
  }

  return {
    update(done) {
      const found = measure();
      const { sigma, widthLow, widthHigh, width, theta } = view.state();
      rows.density.replaceChildren(h("b", { class: "symbol-p" }, figure(found.density)), ` ${text.per_unit}`);
      rows.interval.textContent = `${figure(found.at - width / 2, 4)} … ${figure(found.at + width / 2, 4)}`;
      rows.probability.replaceChildren(h("b", { class: "symbol-x" }, figure(found.probability)), ` ${text.exact}`);
      rows.ratio.replaceChildren(h("b", { class: "symbol-p" }, figure(found.ratio)), ` ${text.per_unit}`);
      note.textContent = peak() > 1 ? fill(text.above_one, { peak: figure(peak()), sigma: figure(sigma) }) : fill(text.below_one, { peak: figure(peak()) });
      viewsNote.textContent = theta === "mu" ? text.views_mu : text.views_sigma;
      narrow.disabled = width <= widthLow;
      wide.disabled = width >= widthHigh;
      curve.schedule();
      plane.schedule();
      if (done) view.say(fill(text.said_probability, { x: figure(found.at), density: figure(found.density), probability: figure(found.probability), width: figure(width) }));
    },
    json: measure,
    canvases: () => [curve.canvas, plane.canvas],
  };
}
