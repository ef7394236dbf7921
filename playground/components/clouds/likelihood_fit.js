/**
 * Likelihood: the points stay, θ = (μ, σ) moves. On the left the curve with a stem from each point, as long as its density; on the
 * right the log-likelihood of every θ, its contours so many nats below the best there is. Below, the product of the densities, as
 * doubles have it, beside the sum of their logarithms.
 */
import { contours } from "../lib/contours.js";
import { fill, h, m, number } from "../lib/dom.js";
import { normalLogLikelihood, sufficient } from "../lib/gaussians.js";
import { factors, figure, heat, label, linear, makePlot, ramp, trace } from "./likelihood_plot.js";
import { density, product } from "./normal.js";

const [COLUMNS, ROWS] = [96, 72];
const BELOW = [1, 3, 10, 30, 100, 300, 1000, 3000, 10000]; // nats below the best: where contours run

/** The log-likelihood on a grid of θ, nats: ROWS of log σ by COLUMNS of μ. */
function surface(stats, { low, high, sigmaLow, sigmaHigh }) {
  const out = new Float64Array(ROWS * COLUMNS);
  for (let row = 0; row < ROWS; row++) {
    const sigma = sigmaLow * (sigmaHigh / sigmaLow) ** (row / (ROWS - 1));
    for (let column = 0; column < COLUMNS; column++) out[row * COLUMNS + column] = normalLogLikelihood(stats, low + (column / (COLUMNS - 1)) * (high - low), sigma);
  }
  return out;
}

export function fitMode(host, view) {
  const { text, set } = view;
  let found = null; // what `measure` says of the present state
  let map = { key: "", values: null, picture: null, top: 0 };

  const left = h("div", {}, h("h2", {}, text.curve_title));
  const right = h("div", {}, h("h2", {}, text.surface_title));
  const best = h("button", { type: "button", class: "primary", "data-act": "best", onclick: () => view.goTo(found.best.mu, found.best.sigma) }, text.to_best);
  const reading = (key) => h("dd", { "data-reading": key });
  const rows = { product: reading("product"), sum: reading("sum"), mean: reading("mean"), best: reading("best"), gain: reading("gain") };
  const formula = h("div", { class: "formula", tabindex: 0, role: "group", "aria-label": text.formula });
  const note = h("p", { class: "soft", "data-note": "likelihood" });
  const readings = h("dl", { class: "readings" }, ...Object.entries(rows).flatMap(([key, row]) => [h("dt", {}, text[`row_${key}`]), row]));
  host.append(
    h("p", { class: "soft" }, text.likelihood_lead),
    h("div", { class: "likelihood-pair" }, left, right),
    h("div", { class: "likelihood-controls" },
      view.slider("mu", { name: text.mu, symbol: "μ", limits: () => [view.state().low, view.state().high] }),
      view.slider("sigma", { name: text.sigma, symbol: "σ", log: true, limits: () => [view.state().sigmaLow, view.state().sigmaHigh] }),
      view.slider("used", { name: text.used, symbol: "n", token: "x", whole: true, log: true, limits: () => [1, view.state().n] }),
      best),
    h("div", { class: "likelihood-pair" }, readings, h("div", {}, formula, note)));

  const muSays = () => {
    const { mu, low, high } = view.state();
    return { now: mu, min: low, max: high, text: `μ = ${figure(mu)}` };
  };
  const sigmaSays = () => {
    const { sigma, sigmaLow, sigmaHigh } = view.state();
    return { now: sigma, min: sigmaLow, max: sigmaHigh, text: `σ = ${figure(sigma)}` };
  };
  const byMu = (steps) => view.state().mu + (steps * (view.state().high - view.state().low)) / 200;
  const bySigma = (steps) => view.state().sigma * 1.02 ** steps;

  // --- The curve ---------------------------------------------------------------------------------------------------------
  const curve = makePlot(left, { name: text.curve_label, redraw: drawCurve });
  curve.handle({ name: text.drag_mu, id: "mu", at: () => [view.state().mu, density(0, 0, view.state().sigma)], drag: (x, _y, done) => set({ mu: x }, done), step: (dx, dy, done) => set({ mu: byMu(dx + dy) }, done), says: muSays });
  curve.handle({
    name: text.drag_sigma, id: "sigma",
    at: () => [Math.min(view.state().mu + view.state().sigma, curve.range.x1), density(1, 0, 1) / view.state().sigma],
    drag: (x, _y, done) => set({ sigma: Math.max(view.state().sigmaLow, x - view.state().mu) }, done),
    step: (dx, dy, done) => set({ sigma: bySigma(dx + dy) }, done),
    says: sigmaSays,
  });

  function drawCurve(c, plot) {
    const { mu, sigma, low, high, used, n, deviation } = view.state();
    const points = view.points();
    const top = Math.max(density(0, 0, sigma), 1.3 * density(0, 0, deviation)) / 0.94;
    plot.frame(c, { x0: low, x1: high, y0: 0, y1: top, x: { name: "x", ticks: linear(low, high) }, y: { name: text.density_axis, ticks: linear(0, top, 4) } });
    const { area, X, Y, ink } = plot;
    c.strokeStyle = ink("x");
    c.fillStyle = ink("soft");
    c.globalAlpha = used > 60 ? Math.max(0.12, 12 / used) : 0.8;
    c.lineWidth = used > 60 ? 1 : 2;
    for (let i = 0; i < used; i++) {
      c.beginPath();
      c.moveTo(X(points[i]), area.bottom);
      c.lineTo(X(points[i]), Y(density(points[i], mu, sigma)));
      c.stroke();
    }
    c.globalAlpha = 0.45; // those that are not used
    for (let i = used; i < Math.min(n, used + 4000); i++) c.fillRect(X(points[i]) - 0.5, area.bottom - 4, 1, 4);
    c.globalAlpha = 1;
    c.strokeStyle = c.fillStyle = ink("p");
    c.lineWidth = 2.5;
    trace(c, plot, (x) => density(x, mu, sigma));
    c.stroke();
    c.lineTo(area.right, area.bottom);
    c.lineTo(area.left, area.bottom);
    c.globalAlpha = 0.08;
    c.fill();
    c.globalAlpha = 1;
    c.fillStyle = ink("x");
    for (let i = 0; i < used; i++) {
      c.beginPath();
      c.arc(X(points[i]), area.bottom, used > 60 ? 2 : 4, 0, 2 * Math.PI);
      c.fill();
    }
    c.font = "italic 600 15px system-ui, sans-serif";
    c.fillStyle = ink("p");
    c.textBaseline = "middle";
    c.textAlign = "left";
    label(c, "μ", X(mu) + 13, Y(density(0, 0, sigma)), ink("card"));
    const beyond = X(mu + sigma) > area.right - 44;
    c.textAlign = beyond ? "right" : "left";
    label(c, "μ + σ", Math.min(X(mu + sigma), area.right) + (beyond ? -13 : 13), Y(density(1, 0, 1) / sigma), ink("card"));
  }

  // --- The surface -------------------------------------------------------------------------------------------------------
  const place = (mu, logSigma, done) => set({ mu, sigma: Math.exp(logSigma) }, done);
  const plane = makePlot(right, { name: text.surface_label, redraw: drawSurface, press: place });
  plane.handle({
    name: text.drag_theta, id: "theta", at: () => [view.state().mu, Math.log(view.state().sigma)], drag: place,
    step: (dx, dy, done) => set({ mu: byMu(dx), sigma: bySigma(dy) }, done),
    says: () => ({ ...muSays(), text: `${muSays().text}, ${sigmaSays().text}` }),
  });

  function drawSurface(c, plot) {
    const state = view.state();
    const { mu, sigma, low, high, sigmaLow, sigmaHigh, used } = state;
    const { X, Y, ink } = plot;
    const key = [found.stats.n, found.stats.mean, found.stats.meanSquare, low, high, sigmaLow, ink("p"), ink("card")].join();
    if (map.key !== key) {
      const values = surface(found.stats, state);
      const top = Math.max(found.best.logLikelihood, ...values);
      map = { key, values, top, picture: heat(values.map((v) => Math.exp((v - top) / used)), COLUMNS, ROWS, ramp(ink("card"), ink("p"), 0.75)) };
    }
    plot.frame(c, { x0: low, x1: high, y0: Math.log(sigmaLow), y1: Math.log(sigmaHigh), x: { name: "μ", ticks: linear(low, high) }, y: { name: text.sigma_axis, ticks: factors(sigmaLow, sigmaHigh) } });
    const now = plot.area;
    c.save();
    c.beginPath();
    c.rect(now.left, now.top, now.right - now.left, now.bottom - now.top);
    c.clip();
    c.imageSmoothingEnabled = true;
    c.drawImage(map.picture, 0.5, 0.5, COLUMNS - 1, ROWS - 1, now.left, now.top, now.right - now.left, now.bottom - now.top);
    c.lineWidth = 1;
    c.font = "11px system-ui, sans-serif";
    c.textAlign = "center";
    c.textBaseline = "middle";
    let free = Y(Math.log(found.best.sigma)) + 6; // a label stands where its line is lowest, below the one before
    for (const nats of BELOW) {
      const lines = contours(map.values, COLUMNS, ROWS, map.top - nats);
      c.strokeStyle = ink("ink");
      c.globalAlpha = 0.45;
      c.beginPath();
      let [atX, atY] = [0, -Infinity];
      for (let i = 0; i < lines.length; i += 2) {
        const [x, y] = [now.left + (lines[i] / (COLUMNS - 1)) * (now.right - now.left), now.bottom - (lines[i + 1] / (ROWS - 1)) * (now.bottom - now.top)];
        if (i % 4) c.lineTo(x, y);
        else c.moveTo(x, y);
        if (y > atY) [atX, atY] = [x, y];
      }
      c.stroke();
      c.globalAlpha = 1;
      if (atY > free + 15 && atY < now.bottom - 8) {
        c.fillStyle = ink("ink");
        label(c, number(-nats, 0), atX, atY, ink("card"));
        free = atY;
      }
    }
    c.strokeStyle = ink("p");
    c.lineWidth = 1;
    c.setLineDash([4, 4]);
    c.beginPath();
    c.moveTo(now.left, Y(Math.log(sigma)));
    c.lineTo(now.right, Y(Math.log(sigma)));
    c.moveTo(X(mu), now.top);
    c.lineTo(X(mu), now.bottom);
    c.stroke();
    c.setLineDash([]);
    c.restore();
    const [x, y] = [X(found.best.mu), Y(Math.log(found.best.sigma))];
    c.strokeStyle = c.fillStyle = ink("ink");
    c.lineWidth = 2.5;
    c.beginPath();
    c.moveTo(x - 6, y - 6);
    c.lineTo(x + 6, y + 6);
    c.moveTo(x + 6, y - 6);
    c.lineTo(x - 6, y + 6);
    c.stroke();
    c.font = "600 12px system-ui, sans-serif";
    const words = found.unbounded ? text.no_best : text.best;
    const half = c.measureText(words).width / 2;
    c.textAlign = "center";
    c.textBaseline = "middle";
    label(c, words, Math.min(now.right - half - 4, Math.max(now.left + half + 4, x)), y + (y < now.top + 34 ? 20 : -20), ink("card"));
  }

  // --- Numbers -----------------------------------------------------------------------------------------------------------
  /** Everything the rows and the pictures need, of the points in use. */
  function measure() {
    const { mu, sigma, used, sigmaLow, sigmaHigh } = view.state();
    const stats = sufficient(view.points().subarray(0, used));
    const exact = Math.sqrt(stats.meanSquare); // divided by N: the maximum of the likelihood
    const best = { mu: stats.mean, sigma: Math.min(sigmaHigh, Math.max(sigmaLow, exact)) };
    best.logLikelihood = normalLogLikelihood(stats, best.mu, best.sigma);
    return { stats, best, unbounded: exact === 0, sum: normalLogLikelihood(stats, mu, sigma), product: product(view.points(), used, mu, sigma) };
  }

  function writeRows() {
    const { mu, sigma, used } = view.state();
    const points = view.points();
    const few = Array.from({ length: Math.min(3, used) }, (_, i) => figure(density(points[i], mu, sigma), 2));
    const { value, lost } = found.product;
    rows.product.replaceChildren(h("span", { class: "soft" }, `${few.join(" × ")}${used > 3 ? " × …" : ""} = `), h("b", { class: lost ? "symbol-kl" : "symbol-p" }, figure(value, 2)), ` ${text.double}`);
    if (lost) rows.product.append(h("span", { class: "symbol-kl" }, ` ${fill(value === 0 ? text.underflow : text.overflow, { i: lost })}`));
    rows.product.dataset.value = String(value);
    rows.sum.textContent = `${figure(found.sum, 4)} ${text.nats} ${text.exact}`;
    rows.mean.textContent = `${figure(found.sum / used, 4)} ${text.nats_a_point}`;
    rows.best.textContent = found.unbounded ? text.without_end : `${figure(found.best.logLikelihood, 4)} ${text.nats}`;
    const gain = found.best.logLikelihood - found.sum;
    rows.gain.textContent = found.unbounded ? "–" : gain < 5e-7 * Math.max(1, used) ? text.at_best : `${figure(gain)} ${text.nats} (${fill(text.times, { times: figure(Math.exp(gain), 2) })})`;
    best.disabled = found.unbounded || gain === 0;
    note.textContent = found.unbounded ? text.unbounded_note : fill(text.best_note, { n: number(used, 0), mu: figure(found.best.mu), sigma: figure(found.best.sigma) });
  }

  /** −n log(σ√(2π)) − Σ(x − μ)² / 2σ², in letters and in numbers. */
  function writeFormula() {
    const { mu, sigma, used } = view.state();
    const squares = used * (found.stats.meanSquare + (found.stats.mean - mu) ** 2);
    const mi = (name, of = "") => m("mi", name, of);
    const mo = (sign) => m("mo", sign);
    const mn = (value, of = "") => m("mn", value, of);
    const squared = (inner) => m("msup", [inner, mn(2)]);
    const root = () => m("msqrt", [m("mrow", [mn(2), mi("π")])]);
    const xi = () => m("msub", [mi("x", "symbol-x"), mi("i")]);
    const sum = () => m("munderover", [mo("∑"), m("mrow", [mi("i"), mo("="), mn(1)]), mn(number(used, 0), "symbol-x")]);
    const line = (...parts) => m("math", [m("mrow", parts)]);
    const log = () => mi("log\u2009");
    formula.replaceChildren(
      line(log(), mi("L"), mo("("), mi("μ", "symbol-p"), mo(","), mi("σ", "symbol-p"), mo(")"), mo("="), sum(), log(), mi("p", "symbol-p"), mo("("), xi(), mo(")")),
      line(mo("="), mo("−"), mi("n", "symbol-x"), log(), mo("("), mi("σ", "symbol-p"), root(), mo(")"), mo("−"),
        m("mfrac", [m("mrow", [sum(), squared(m("mrow", [mo("("), xi(), mo("−"), mi("μ", "symbol-p"), mo(")")]))]), m("mrow", [mn(2), squared(mi("σ", "symbol-p"))])])),
      line(mo("="), mo("−"), mn(number(used, 0), "symbol-x"), mo("·"), log(), mo("("), mn(figure(sigma), "symbol-p"), mo("·"), mn("2.507"), mo(")"), mo("−"),
        m("mfrac", [mn(figure(squares), "symbol-x"), m("mrow", [mn(2), mo("·"), squared(mn(figure(sigma), "symbol-p"))])]), mo("="), mn(figure(found.sum, 4))));
  }

  return {
    update(done) {
      found = measure();
      writeRows();
      writeFormula();
      curve.schedule();
      plane.schedule();
      if (done) view.say(fill(text.said_likelihood, { mu: figure(view.state().mu), sigma: figure(view.state().sigma), sum: figure(found.sum, 4), best: figure(found.best.logLikelihood, 4) }));
    },
    json: () => ({ used: view.state().used, product: found.product.value, product_lost_at: found.product.lost, log_likelihood: found.sum, best: found.best, unbounded: found.unbounded }),
    canvases: () => [curve.canvas, plane.canvas],
  };
}
