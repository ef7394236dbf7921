/**
 * A histogram zoomed in until it is a density. The share of the points in a bin goes to 0 with the bin's width w; share / w settles
 * on the density, as long as bins hold enough points: a count of n·P has a standard deviation of about √(n·P), a relative error of
 * 1 / √(n·P), which no narrowing repairs. (Bishop 2006, §2.5.1.)
 */
import { fill, h, number } from "../lib/dom.js";
import { figure, label, linear, makePlot, trace } from "./likelihood_plot.js";
import { counts, density, probability, standardDraws } from "./normal.js";

const FEW = 25; // points expected in a bin: below, chance is a fifth of the height or more
const SEED = 1;

export function histogramMode(host, view) {
  const { text, set } = view;
  let draws = new Float64Array(0); // from N(0, 1); N(μ, σ²) is the same ones moved and stretched
  let found = null;

  const title = h("h2", {});
  const zoomOut = h("button", { type: "button", "aria-label": text.zoom_out, title: text.zoom_out, "data-act": "zoom-out", onclick: () => set({ zoom: view.state().zoom / 2 }) }, "−");
  const zoomIn = h("button", { type: "button", "aria-label": text.zoom_in, title: text.zoom_in, "data-act": "zoom-in", onclick: () => set({ zoom: view.state().zoom * 2 }) }, "+");
  const zoomSays = h("output", {});
  const of = h("select", { "aria-label": text.of, "data-key": "of", onchange: () => set({ of: Number(of.value), bin: null, zoom: 1 }) });
  const whole = h("div", {}, h("div", { class: "likelihood-head" }, title, h("div", { class: "likelihood-buttons" }, zoomOut, zoomSays, zoomIn)));
  const reading = (key) => h("dd", { "data-reading": key });
  const rows = { bin: reading("bin"), count: reading("count"), share: reading("share"), height: reading("height"), limit: reading("limit") };
  const note = h("p", { "data-note": "histogram" });
  host.append(
    h("p", { class: "soft" }, text.histogram_lead),
    h("div", { class: "likelihood-controls" },
      h("label", { class: "likelihood-slider of" }, h("span", {}, text.of), of),
      h("div", {}, view.segments("scale", text.scale, [["share", text.scale_share], ["density", text.scale_density]]))),
    whole,
    h("div", { class: "likelihood-controls" },
      view.slider("bin", { name: text.bin, symbol: "w", token: "x", log: true, limits: () => [view.state().binLow, view.state().binHigh] }),
      view.slider("at", { name: text.look_at, symbol: "x", token: "x", limits: () => [view.state().low, view.state().high] })),
    h("dl", { class: "readings" }, ...Object.entries(rows).flatMap(([key, row]) => [h("dt", {}, text[`row_${key}`]), row])),
    note);

  const plot = makePlot(whole, {
    name: text.histogram_label, className: "wide", redraw: drawBars,
    press: (x, _y, done) => set({ at: x }, done),
    pinch: (factor, done) => set({ zoom: view.state().zoom * factor }, done),
  });
  plot.handle({
    name: text.look_at, id: "bin-at", token: "x", at: () => (view.state().at >= plot.range.x0 && view.state().at <= plot.range.x1 ? [view.state().at, 0] : null),
    drag: (x, _y, done) => set({ at: x }, done), step: (dx, dy, done) => set({ at: view.state().at + (dx + dy) * view.state().bin }, done),
    says: () => ({ now: view.state().at, min: view.state().low, max: view.state().high, text: rows.bin.textContent }),
  });

  /** The points that are counted, the Gaussian that stands beside them, and the bins. */
  function measure() {
    const state = view.state();
    const { mu, sigma, from, to, bin, at } = state;
    const stats = view.stats();
    const curve = state.of ? { mu, sigma } : { mu: stats.mean, sigma: Math.sqrt(stats.meanSquare) || state.sigmaLow };
    const n = state.of || state.n;
    const bins = Math.max(1, Math.ceil((to - from) / bin - 1e-9));
    const key = [state.of, mu, sigma, from, bin, n].join();
    if (state.of && draws.length !== state.of) draws = standardDraws(state.of, SEED);
    const points = view.points().subarray(0, state.n);
    const same = found && found.key === key && found.points === view.points();
    const heights = same ? found.heights : state.of ? counts(draws, (from - mu) / sigma, bin / sigma, bins) : counts(points, from, bin, bins);
    const chosen = Math.min(bins - 1, Math.max(0, Math.floor((at - from) / bin)));
    const [low, high] = [from + chosen * bin, from + (chosen + 1) * bin];
    const share = heights[chosen] / n;
    return { key, points: view.points(), curve, n, bins, heights, chosen, low, high, count: heights[chosen], share, height: share / bin, limit: density((low + high) / 2, curve.mu, curve.sigma), expected: n * probability(low, high, curve.mu, curve.sigma) };
  }

  function drawBars(c) {
    const { from, to, bin, zoom, at, scale } = view.state();
    const { curve, heights, chosen, n } = found;
    const half = (to - from) / 2 / zoom;
    const middle = Math.min(to - half, Math.max(from + half, at));
    const isDensity = scale === "density";
    const top = isDensity ? 1.5 * density(0, 0, curve.sigma) : 1;
    plot.frame(c, { x0: middle - half, x1: middle + half, y0: 0, y1: top, x: { name: "x", ticks: linear(middle - half, middle + half) }, y: { name: isDensity ? text.axis_density : text.axis_share, ticks: linear(0, top, 4) } });
    const { area, X, Y, ink } = plot;
    c.save();
    c.beginPath();
    c.rect(area.left, area.top - 1, area.right - area.left, area.bottom - area.top + 2);
    c.clip();
    const first = Math.max(0, Math.floor((middle - half - from) / bin));
    const last = Math.min(found.bins - 1, Math.ceil((middle + half - from) / bin));
    const wide = X(bin) - X(0);
    for (let i = first; i <= last; i++) {
      const height = heights[i] / n / (isDensity ? bin : 1);
      c.fillStyle = ink("x");
      c.globalAlpha = i === chosen ? 0.95 : 0.4;
      const x = X(from + i * bin);
      c.fillRect(x, Y(Math.min(top, height)), Math.max(1, wide - (wide > 5 ? 1 : 0)), area.bottom - Y(Math.min(top, height)));
    }
    c.globalAlpha = 1;
    c.strokeStyle = ink("p");
    c.lineWidth = 2.5;
    const expected = (x) => (isDensity ? density(x, curve.mu, curve.sigma) : probability(x - bin / 2, x + bin / 2, curve.mu, curve.sigma));
    trace(c, plot, expected);
    c.stroke();
    c.restore();
    const high = heights.slice(first, last + 1).some((count) => count / n / (isDensity ? bin : 1) > top * 1.0001);
    c.font = "600 12px system-ui, sans-serif";
    c.fillStyle = ink("p");
    c.textAlign = "right";
    c.textBaseline = "top";
    label(c, isDensity ? text.the_density : text.the_expected, area.right - 4, area.top + 4, ink("card"));
    c.fillStyle = ink("kl");
    if (high) label(c, text.beyond, area.right - 4, area.top + 22, ink("card"));
  }

  return {
    update(done) {
      found = measure();
      const state = view.state();
      if (of.options.length !== 3 || of.dataset.n !== String(state.n)) {
        of.replaceChildren(h("option", { value: 0 }, fill(text.of_points, { n: number(state.n, 0) })), ...[1000, 100000].map((n) => h("option", { value: n }, fill(text.of_draws, { n: number(n, 0) }))));
        of.dataset.n = String(state.n);
      }
      of.value = state.of;
      title.textContent = fill(state.of ? text.title_draws : text.title_points, { n: number(found.n, 0), mu: figure(state.mu), sigma: figure(state.sigma) });
      zoomSays.textContent = `× ${figure(state.zoom, 2)}`;
      zoomOut.disabled = state.zoom <= 1;
      zoomIn.disabled = state.zoom >= 200;
      rows.bin.textContent = `${figure(found.low, 4)} … ${figure(found.high, 4)}`;
      rows.count.textContent = fill(text.of_n, { count: number(found.count, 0), n: number(found.n, 0) });
      rows.share.replaceChildren(h("b", { class: "symbol-x" }, figure(found.share)));
      rows.height.replaceChildren(h("b", { class: "symbol-x" }, figure(found.height)), ` ${text.per_unit}`);
      rows.limit.replaceChildren(h("b", { class: "symbol-p" }, figure(found.limit)), ` ${text.per_unit}`);
      const peakCount = found.n * probability(-state.bin / 2, state.bin / 2, 0, found.curve.sigma); // in the fullest bin there could be
      const noisy = peakCount < FEW;
      const words = { count: figure(peakCount, 2), error: figure(100 / Math.sqrt(peakCount), 2) };
      note.className = noisy ? "notice" : "soft";
      note.textContent = fill(noisy ? text.noise : state.bin > found.curve.sigma ? text.coarse : text.settled, words);
      plot.schedule();
      if (done) view.say(fill(text.said_histogram, { bin: figure(state.bin), share: figure(found.share), height: figure(found.height), limit: figure(found.limit) }));
    },
    json: () => ({ of: view.state().of, n: found.n, bin: view.state().bin, at: view.state().at, low: found.low, high: found.high, count: found.count, share: found.share, share_per_width: found.height, density: found.limit, expected: found.expected, curve: found.curve, scale: view.state().scale, zoom: view.state().zoom }),
    canvases: () => [plot.canvas],
  };
}
