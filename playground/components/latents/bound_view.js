/**
 * "log p(x) = reconstruction − KL + gap": one latent, one observation, everything exact (models/toy_bound.py, bound_math.js). q is
 * a hump that one drags; the bars move and end at log p(x) all the same, for log p(x) knows nothing of q.
 *
 * Settings: x, the observation; theta (θ), the bend of the decoder; m and s, mean and deviation of q. A q that was put at the
 * best, the encoder's or the prior's place stays there as x and θ move, until a hand moves it away.
 */
import { colour, fill, h, m as math, number, oncePerFrame, onTheme } from "../lib/dom.js";
import { figure, linear, makePlot, trace } from "../clouds/likelihood_plot.js";
import { density, standardDraws } from "../clouds/normal.js";
import { bars as barsOf, decode, logJoint, scene, SIGMA, SLOPE } from "./bound_math.js";

export const DEFAULTS = { x: 1, theta: 0.8, m: -0.5, s: 0.6 };
export const LIMITS = { x: [-3, 4], theta: [-1.5, 1.5], m: [-4, 4], s: [0.05, 2] };
const DIGITS = 3;
const [Z0, Z1] = [-4, 4];
const [X0, X1] = [-3.6, 4.6];
const DRAWS = 12;
const LENGTHS = [4, 5, 6, 8, 10, 12, 16, 20, 30]; // nats that the bars' axis may span
const BAR = { row: 62, top: 30, height: 22, bottom: 36 }; // CSS pixels
const ROLES = ["best", "encoder", "prior"];

const within = (value, [low, high]) => Math.min(high, Math.max(low, value));
const round = (value) => Math.round(value * 1e4) / 1e4; // what an address carries
const close = (a, b) => Math.abs(a.m - b.m) < 1.5e-4 && Math.abs(a.s - b.s) < 1.5e-4;
const still = () => matchMedia("(prefers-reduced-motion: reduce)").matches;

export function boundView(host, ctx) {
  const { text } = ctx;
  const show = (value) => number(value, DIGITS);
  let state = read(); // { x, theta, m, s }
  let at = scene(state.theta, state.x);
  let now = null; // the bars
  let role = null; // where q was put: best, encoder, prior; null: by hand
  let seed = 1;
  let epsilon = standardDraws(DRAWS, seed);
  let frames = 0; // of an animation in progress
  let gesture = null; // what is being moved: "q", "x" or "theta"
  const tally = { moves: 0, worst: 0, from: null }; // since x and θ last moved; `from`: what they and log p(x) were before

  // --- What stands where -------------------------------------------------------------------------------------------------
  host.classList.add("lt-view-bound");
  const picture = h("div", { class: "bound-picture" });
  const svg = element("svg", { class: "bound-bars", role: "img" });
  const verdict = h("p", { class: "bound-verdict", "data-reading": "verdict" });
  const parts = h("p", { class: "soft", "data-reading": "parts" });
  const drawn = h("span", { class: "soft", "data-reading": "draws" });
  const redraw = h("button", { type: "button", class: "ghost", "data-act": "redraw", onclick: () => {
    epsilon = standardDraws(DRAWS, ++seed);
    refresh();
  } }, text.redraw);
  const button = (name) => h("button", { type: "button", "data-act": name, onclick: () => put(name) }, text[name]);
  const buttons = Object.fromEntries(ROLES.map((name) => [name, button(name)]));
  const encoderIs = h("p", { class: "soft", "data-reading": "encoder" });
  const said = h("p", { class: "hidden-text", role: "status" });
  const sliders = [slider("m", "m", "q"), slider("s", "s", "q"), slider("x", "x", "x"), slider("theta", "θ", "p")];
  const formula = formulas();
  host.append(
    h("p", { class: "bound-lead" }, text.lead),
    h("div", { class: "bound-top" },
      picture,
      h("div", { class: "bound-side" },
        h("h2", {}, text.bars_title), svg, verdict, parts,
        h("div", { class: "bound-buttons", role: "group", "aria-label": text.buttons }, ...Object.values(buttons)), encoderIs,
        h("div", { class: "bound-draws" }, drawn, redraw)),
      h("div", { class: "bound-sliders" }, ...sliders.map((one) => one.element))),
    formula.element,
    said,
  );

  const decoder = makePlot(picture, { name: text.decoder_picture, className: "bound-decoder", redraw: drawDecoder });
  const pinch = (factor, done) => {
    move({ s: state.s * factor });
    if (done) finish();
  };
  const densities = makePlot(picture, {
    name: text.density_picture, className: "bound-density", redraw: drawDensities, press: grab, pinch,
  });
  decoder.handle({
    name: text.handle_x, id: "x", token: "x", at: () => [Z1 - 0.25, state.x],
    drag: (_, y) => move({ x: y }),
    step: (dx, dy, done) => nudge("x", dx + dy, done),
    says: () => says("x"),
  });
  densities.handle({
    name: text.handle_m, id: "m", token: "q", at: () => [state.m, Math.min(density(state.m, state.m, state.s), densities.range.y1 * 0.97)],
    drag: (z) => move({ m: z }),
    step: (dx, dy, done) => nudge("m", dx + dy, done),
    says: () => says("m"),
  });
  densities.handle({
    name: text.handle_s, id: "s", token: "q", at: () => [state.m + side() * state.s, Math.min(density(state.s, 0, state.s), densities.range.y1 * 0.58)],
    drag: (z) => move({ s: side() * (z - state.m) }),
    step: (dx, dy, done) => nudge("s", side() * dx + dy, done),
    says: () => says("s"),
  });

  /** On which side of the mean the width's handle stands: where there is room. */
  function side() {
    return state.m > 1.5 ? -1 : 1;
  }

  function says(key) {
    const [min, max] = LIMITS[key];
    return { now: state[key], min, max, text: number(state[key], 2) };
  }

  function slider(key, symbol, token) {
    const [min, max] = LIMITS[key];
    const input = h("input", { type: "range", min, max, step: 0.01, "aria-label": text[`slider_${key}`], "data-key": key,
      oninput: () => move({ [key]: Number(input.value) }), onchange: () => finish() });
    const output = h("output", {});
    return {
      element: h("label", { class: "bound-slider" },
        h("span", {}, h("i", { class: `symbol-${token}` }, symbol), ` ${text[`slider_${key}`]}`), input, output),
      set() {
        if (Math.abs(Number(input.value) - state[key]) > 0.00501) input.value = state[key];
        output.textContent = number(state[key], 2);
        input.setAttribute("aria-valuetext", number(state[key], 2));
      },
    };
  }

  // --- What moves ---------------------------------------------------------------------------------------------------------

  /** The page's settings, each within its limits. */
  function read() {
    const given = ctx.settings();
    return Object.fromEntries(Object.entries(DEFAULTS).map(([key, otherwise]) => {
      const value = given[key];
      return [key, within(typeof value === "number" && Number.isFinite(value) ? value : otherwise, LIMITS[key])];
    }));
  }

  const place = (name) => (name === "best" ? at.best : name === "encoder" ? at.encoded : { m: 0, s: 1 });
  const rounded = ({ m, s }) => ({ m: within(round(m), LIMITS.m), s: within(round(s), LIMITS.s) });

  /** Where q stands, if it is one of the known places; the one where it was put goes first. */
  function whereIs(q) {
    return [role, ...ROLES].find((name) => name && close(q, place(name))) ?? null;
  }

  /** Part of the settings moves, by hand; goes on until `finish`. */
  function move(change) {
    cancelAnimationFrame(frames);
    const key = "x" in change ? "x" : "theta" in change ? "theta" : "q";
    if (key !== gesture) begin(key);
    for (const [name, value] of Object.entries(change)) state[name] = within(round(value), LIMITS[name]);
    if (key === "q") role = null;
    else follow();
    refresh();
  }

  function begin(key) {
    if (gesture) finish();
    gesture = key;
    if (key === "q") tally.moves += 1;
    else Object.assign(tally, { moves: 0, worst: 0, from: { ...at } });
  }

  /** x or θ is another: so is what the bars are measured by, and so is q where it was put. */
  function follow() {
    at = scene(state.theta, state.x);
    if (role) Object.assign(state, rounded(place(role)));
  }

  /** A hand lets go: the address is written, and what was reached is said. */
  function finish() {
    if (!gesture) return;
    gesture = null;
    role = whereIs(state);
    ctx.change({ ...state });
    refresh();
    announce();
  }

  function nudge(key, by, done) {
    if (by) move({ [key]: state[key] + 0.05 * by });
    if (done) finish();
  }

  let grip = null;
  /** The hump is taken where the hand is; beside it, it comes to the hand. */
  function grab(z, _, done) {
    grip ??= Math.abs(z - state.m) < 1.6 * state.s ? state.m - z : 0;
    if (z + grip !== state.m) move({ m: z + grip });
    if (done) {
      grip = null;
      finish();
    }
  }

  /** q glides to a known place within a fifth of a second; at once where people want no motion. */
  function put(name) {
    cancelAnimationFrame(frames);
    begin("q");
    const to = rounded(place(name));
    const from = { m: state.m, s: state.s };
    const began = performance.now();
    const step = (time) => {
      const t = still() ? 1 : within((time - began) / 180, [0, 1]);
      const eased = t * t * (3 - 2 * t);
      Object.assign(state, t === 1 ? to : { m: from.m + eased * (to.m - from.m), s: from.s * (to.s / from.s) ** eased });
      if (t < 1) {
        refresh();
        frames = requestAnimationFrame(step);
        return;
      }
      role = name;
      finish();
    };
    step(began);
  }

  // --- What is shown --------------------------------------------------------------------------------------------------------

  const paint = oncePerFrame(() => {
    drawBars();
    decoder.schedule();
    densities.schedule();
  });

  function refresh() {
    now = barsOf(at, state);
    tally.worst = Math.max(tally.worst, Math.abs(now.reconstruction - now.kl + now.gap - now.evidence));
    const moving = gesture ? null : whereIs(state);
    for (const [name, one] of Object.entries(buttons)) one.setAttribute("aria-pressed", String(name === moving));
    for (const one of sliders) one.set();
    formula.set();
    verdict.replaceChildren(...told());
    parts.textContent = partsOf(moving);
    encoderIs.textContent = fill(text.encoder_is, { alpha: number(at.encoder.alpha, 2), s: number(at.encoder.s, 2) });
    drawn.textContent = ofDraws();
    paint();
  }

  function told() {
    const evidence = show(now.evidence);
    if (tally.moves) {
      const times = tally.moves === 1 ? text.times[1] : fill(text.times.many, { n: tally.moves });
      const error = `${figure(tally.worst < 1e-15 ? 1e-15 : tally.worst, 1)} ${text.nats}`;
      const mark = h("span", { class: "symbol-q", "aria-hidden": "true" }, "✓ ");
      return [h("b", {}, mark, fill(text.stayed, { times, evidence })), " ", h("span", { class: "soft" }, fill(text.sums, { error }))];
    }
    if (!tally.from) return [fill(text.untouched, { evidence })];
    const { from } = tally;
    const values = { before: show(from.evidence), after: evidence };
    const what = ["theta", "x"].filter((key) => from[key] !== state[key]);
    if (what.length !== 1) return [fill(what.length ? text.changed_both : text.untouched, { ...values, evidence })];
    const one = { what: text.names[what[0]], from: number(from[what[0]], 2), to: number(state[what[0]], 2) };
    return [h("b", {}, fill(text.changed, { ...values, ...one }))];
  }

  function partsOf(where) {
    const values = { approximation: show(now.approximation), own: show(Math.max(0, now.own)) };
    if (now.gap < 5e-4) return state.theta === 0 ? text.no_gap : text.hardly_a_gap;
    if (where === "best") return fill(text.at_best, values);
    const some = now.approximation < 5e-4 ? "_all" : "";
    return fill(text[(where === "encoder" ? "at_encoder" : "elsewhere") + some], values);
  }

  /** The reconstruction term from a few draws: its mean and standard error. */
  function ofDraws() {
    const logs = Array.from(epsilon, (e) => {
      const z = state.m + state.s * e;
      const residual = (state.x - decode(state.theta, z)) / SIGMA;
      return -0.5 * (residual * residual + Math.log(2 * Math.PI)) - Math.log(SIGMA);
    });
    const mean = logs.reduce((a, b) => a + b, 0) / DRAWS;
    const spread = Math.sqrt(logs.reduce((a, b) => a + (b - mean) ** 2, 0) / (DRAWS - 1) / DRAWS);
    return fill(text.draws, { n: DRAWS, mean: number(mean, 2), error: number(spread, 2), exact: show(now.reconstruction) });
  }

  function summary() {
    const values = { m: number(state.m, 2), s: number(state.s, 2), x: number(state.x, 2), theta: number(state.theta, 2) };
    for (const key of ["reconstruction", "kl", "elbo", "gap", "evidence"]) values[key] = show(now[key]);
    return fill(text.summary, values);
  }

  function announce() {
    said.textContent = `${verdict.textContent} ${summary()}`;
  }

  /** The numbers in the formulas are elements of their own: only they change. */
  function formulas() {
    const [p, q, x, z] = [["p", "p"], ["q", "q"], ["x", "x"], ["z", "z"]].map(([letter, token]) => () => math("mi", letter, `symbol-${token}`));
    const o = (sign) => math("mo", sign);
    const infix = (sign) => {
      const one = o(sign);
      one.setAttribute("form", "infix"); // although it begins a piece
      return one;
    };
    const given = (...of) => [o("("), ...of, o(")")];
    const log = () => math("mtext", "log\u2009");
    const numbers = {};
    const value = (key, className = "") => {
      numbers[key] = math("mn", "", className);
      numbers[key].dataset.reading = key;
      return numbers[key];
    };
    const over = (key, className, ...row) => math("munder", [math("mrow", row), value(key, className)]);
    const piece = (...row) => h("span", {}, math("math", [math("mrow", row)]));
    const kl = (token, ...of) => [math("mtext", "KL", `symbol-${token}`), o("("), q(), ...given(z()), math("mtext", "\u00a0‖\u00a0"), ...of, o(")")];
    const normal = () => math("mi", "N");
    const identity = h("div", { class: "bound-formula" },
      piece(over("evidence", "bound-total", log(), p(), ...given(x())), o("=")),
      piece(over("reconstruction", "symbol-p", math("msub", [math("mi", "E"), q()]), o("["), log(), p(), ...given(x(), o("|"), z()), o("]"))),
      piece(infix("−"), over("kl", "symbol-kl", ...kl("kl", p(), ...given(z())))),
      piece(infix("+"), over("gap", "symbol-hot", ...kl("hot", p(), ...given(z(), o("|"), x())))),
    );
    const square = (inner) => math("msup", [inner, math("mn", 2)]);
    const model = h("div", { class: "bound-formula bound-model" },
      piece(p(), ...given(z()), o("="), normal(), ...given(math("mn", 0), o(","), math("mn", 1))),
      piece(p(), ...given(x(), o("|"), z()), o("="), normal(), o("("),
        math("mn", number(SLOPE, 1)), z(), o("+"), value("theta", "symbol-p"), o("("), square(z()), o("−"), math("mn", 1), o(")"),
        o(","), square(math("mn", number(SIGMA, 1))), o(")")),
      piece(q(), ...given(z()), o("="), normal(), ...given(value("m", "symbol-q"), o(","), square(value("s", "symbol-q")))),
    );
    return {
      element: h("div", { class: "bound-formulas" }, identity, model),
      set() {
        for (const key of ["evidence", "reconstruction", "kl", "gap"]) numbers[key].textContent = show(now[key]);
        for (const key of ["m", "s", "theta"]) numbers[key].textContent = number(state[key], 2);
        if (state.theta < 0) numbers.theta.textContent = `(${numbers.theta.textContent})`; // it follows a plus
      },
    };
  }

  // --- The pictures ---------------------------------------------------------------------------------------------------------

  /** [words, token, kind] for the line at the top right of a plot. */
  function key(c, plot, entries) {
    let right = plot.area.right;
    c.font = "600 12px system-ui, sans-serif";
    c.textAlign = "right";
    c.textBaseline = "middle";
    for (const [words, token, kind] of entries.toReversed()) {
      c.fillStyle = c.strokeStyle = plot.ink(token);
      c.fillText(words, right, 11);
      right -= c.measureText(words).width + 6;
      c.beginPath();
      c.setLineDash(kind === "dashed" ? [4, 3] : []);
      c.lineWidth = 2.5;
      if (kind === "dot") {
        c.arc(right - 4, 11, 4, 0, 2 * Math.PI);
        c.fill();
        right -= 22;
        continue;
      }
      c.moveTo(right - 16, 11);
      c.lineTo(right, 11);
      c.stroke();
      right -= 30;
    }
    c.setLineDash([]);
  }

  /** The strip m ± s of q, through a plot. */
  function strip(c, plot) {
    const { area } = plot;
    c.globalAlpha = 0.09;
    c.fillStyle = plot.ink("q");
    const [left, right] = [plot.X(Math.max(Z0, state.m - state.s)), plot.X(Math.min(Z1, state.m + state.s))];
    c.fillRect(left, area.top, right - left, area.bottom - area.top);
    c.globalAlpha = 1;
  }

  function drawDecoder(c, plot) {
    const y = { name: text.decoder_axis, ticks: linear(X0, X1, 5) };
    plot.frame(c, { x0: Z0, x1: Z1, y0: X0, y1: X1, x: { name: text.z, ticks: linear(Z0, Z1, 8) }, y });
    const { area } = plot;
    strip(c, plot);
    c.save();
    c.beginPath();
    c.rect(area.left, area.top, area.right - area.left, area.bottom - area.top);
    c.clip();
    const places = Array.from({ length: 161 }, (_, i) => Z0 + ((Z1 - Z0) * i) / 160);
    const curve = (shift, list) => list.forEach((z) => c.lineTo(plot.X(z), plot.Y(decode(state.theta, z) + shift)));
    c.fillStyle = c.strokeStyle = plot.ink("p");
    c.globalAlpha = 0.12;
    c.beginPath();
    curve(SIGMA, places);
    curve(-SIGMA, places.toReversed());
    c.fill();
    const weights = places.map((z) => logJoint(state.theta, state.x, z));
    const most = Math.max(...weights);
    c.lineWidth = 11;
    for (let i = 0; i + 1 < places.length; i++) {
      c.globalAlpha = 0.55 * Math.exp(0.5 * (weights[i] + weights[i + 1]) - most); // the z that explain x glow
      if (c.globalAlpha < 0.01) continue;
      c.beginPath();
      curve(0, [places[i], places[i + 1]]);
      c.stroke();
    }
    c.globalAlpha = 1;
    c.lineWidth = 2.5;
    c.beginPath();
    curve(0, places);
    c.stroke();
    c.strokeStyle = plot.ink("x");
    c.lineWidth = 2;
    c.beginPath();
    c.moveTo(area.left, plot.Y(state.x));
    c.lineTo(area.right, plot.Y(state.x));
    c.stroke();
    c.strokeStyle = c.fillStyle = plot.ink("q");
    c.lineWidth = 1.5;
    for (const e of epsilon) {
      const z = state.m + state.s * e;
      const [left, top] = [plot.X(z), plot.Y(decode(state.theta, z))];
      c.globalAlpha = 0.45;
      c.beginPath();
      c.moveTo(left, top);
      c.lineTo(left, plot.Y(state.x));
      c.stroke();
      c.globalAlpha = 1;
      c.beginPath();
      c.arc(left, top, 4, 0, 2 * Math.PI);
      c.fill();
    }
    c.restore();
    key(c, plot, [[text.key_curve, "p"], [text.key_observed, "x"], [text.key_draws, "q", "dot"]]);
  }

  function drawDensities(c, plot) {
    const posterior = (z) => Math.exp(logJoint(state.theta, state.x, z) - at.evidence);
    let peak = 0.45;
    for (let i = 0; i <= 400; i++) peak = Math.max(peak, posterior(Z0 + ((Z1 - Z0) * i) / 400));
    const top = 1.15 * Math.max(peak, Math.min(density(0, 0, state.s), 1.7 * peak));
    const y = { name: text.density_axis, ticks: linear(0, top, 4) };
    plot.frame(c, { x0: Z0, x1: Z1, y0: 0, y1: top, x: { name: text.z, ticks: linear(Z0, Z1, 8) }, y });
    const { area } = plot;
    strip(c, plot);
    const filled = (f, token, alpha, width) => {
      c.fillStyle = c.strokeStyle = plot.ink(token);
      c.lineWidth = width;
      trace(c, plot, f);
      c.stroke();
      c.lineTo(area.right, area.bottom);
      c.lineTo(area.left, area.bottom);
      c.globalAlpha = alpha;
      c.fill();
      c.globalAlpha = 1;
    };
    c.setLineDash([5, 4]);
    filled((z) => density(z, 0, 1), "z", 0, 2);
    c.setLineDash([]);
    filled(posterior, "p", 0.25, 2.5);
    filled((z) => density(z, state.m, state.s), "q", 0.2, 2.5);
    c.strokeStyle = plot.ink("q");
    for (const e of epsilon) {
      const left = plot.X(state.m + state.s * e);
      if (left < area.left || left > area.right) continue;
      c.beginPath();
      c.moveTo(left, area.bottom);
      c.lineTo(left, area.bottom - 7);
      c.stroke();
    }
    key(c, plot, [[text.key_q, "q"], [text.key_posterior, "p"], [text.key_prior, "z", "dashed"]]);
  }

  /** The bars, as a fall from 0 and a rise to log p(x), along an axis that depends on x and θ alone. */
  function drawBars() {
    const width = svg.clientWidth;
    if (!width) return;
    const height = BAR.top + 3 * BAR.row + BAR.bottom;
    const wanted = 3.5 - 1.2 * at.evidence;
    const length = LENGTHS.find((one) => one >= wanted) ?? LENGTHS.at(-1);
    const [left, right] = [2, width - 2];
    const X = (nats) => right + (nats / length) * (right - left); // 0 at the right
    const seen = (nats) => Math.max(left, X(nats));
    const ink = (token) => colour(host, token);
    const type = { "font-family": "system-ui, sans-serif", "font-size": 14, fill: ink("ink") };
    const rim = { stroke: ink("card"), "stroke-width": 4, "paint-order": "stroke" }; // lines do not run through words
    const words = (content, x, y, attributes) => element("text", { x, y, ...type, ...rim, ...attributes }, content);
    const bar = (name, row, from, to, fillIn) => {
      const [a, b] = [seen(Math.min(from, to)), seen(Math.max(from, to))];
      const size = { x: a, y: BAR.top + row * BAR.row + 26, width: Math.max(0, b - a), height: BAR.height };
      return element("rect", { "data-bar": name, fill: fillIn, ...size });
    };
    const head = (row, label, value, token) => [
      words(label, left, BAR.top + row * BAR.row + 18, { fill: ink("soft") }),
      words(value, right, BAR.top + row * BAR.row + 18, { "text-anchor": "end", "font-weight": 700, fill: ink(token), "data-number": row }),
    ];
    const split = now.evidence - Math.max(0, now.approximation); // the best q's ELBO
    const tile = { id: "bound-hatch", width: 6, height: 6, patternUnits: "userSpaceOnUse", patternTransform: "rotate(45)" };
    const hatch = element("pattern", tile,
      element("rect", { width: 6, height: 6, fill: ink("hot"), "fill-opacity": 0.25 }),
      element("rect", { width: 3, height: 6, fill: ink("hot") }));
    const beyond = (row, nats) => {
      if (X(nats) >= left) return [];
      const d = `M${left + 13},${BAR.top + row * BAR.row + 31}l-8,6l8,6`; // the bar goes on
      return [element("path", { d, fill: "none", stroke: ink("card"), "stroke-width": 2.5, "data-beyond": row })];
    };
    const elboX = seen(now.elbo);
    const evidenceX = X(now.evidence);
    const bottom = BAR.top + 3 * BAR.row - 8;
    const where = gesture ? null : whereIs(state);
    const tag = fill(text.bar_elbo, { n: show(now.elbo) });
    svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
    svg.setAttribute("height", height);
    svg.setAttribute("aria-label", summary());
    const thin = { stroke: ink("soft"), fill: "none" };
    const mark = (name, d, attributes) => element("path", { d, "data-mark": name, stroke: ink("ink"), ...attributes });
    const drop = (row, x) => `M${x},${BAR.top + row * BAR.row + 26 + BAR.height}V${BAR.top + (row + 1) * BAR.row + 26}`;
    svg.replaceChildren(
      element("defs", {}, hatch),
      bar("reconstruction", 0, 0, now.reconstruction, ink("p")),
      bar("kl", 1, now.reconstruction, now.elbo, ink("kl")),
      bar("own", 2, now.elbo, split, ink("hot")),
      bar("approximation", 2, split, now.evidence, "url(#bound-hatch)"),
      element("path", { d: drop(0, seen(now.reconstruction)) + drop(1, elboX), ...thin }),
      ...beyond(0, now.reconstruction), ...beyond(1, now.elbo), ...beyond(2, now.elbo),
      mark("elbo", `M${elboX},${BAR.top + BAR.row + 22}v${BAR.height + 8}`, { "stroke-width": 3 }),
      mark("evidence", `M${evidenceX},${BAR.top - 8}V${bottom}`, { "stroke-width": 2, "stroke-dasharray": "5 4" }),
      ...head(0, text.bar_reconstruction, show(now.reconstruction), "p"),
      ...head(1, text.bar_kl, `−${show(now.kl)}`, "kl"),
      ...head(2, text.bar_gap, `+${show(now.gap)}`, "hot"),
      words(tag, 0, BAR.top + BAR.row + 26 + BAR.height / 2 + 5, { "font-size": 13, "font-weight": 600, ...beside() }),
      words(fill(text.bar_evidence, { n: show(now.evidence) }), within(evidenceX, [left + 76, right - 76]), 16, {
        "text-anchor": "middle", "font-weight": 700,
      }),
      ...legend(),
    );

    /** The ELBO's words stand left of its mark; where there is no room, right of the bar, else on it. */
    function beside() {
      const needed = 8.4 * tag.length + 8;
      const end = seen(now.reconstruction);
      if (elboX - left > needed) return { x: elboX - 7, "text-anchor": "end" };
      if (right - end > needed) return { x: end + 8 };
      return { x: (elboX + end) / 2, "text-anchor": "middle", fill: ink("card"), stroke: "none" };
    }

    /** The two parts of the gap, named, with their numbers. */
    function legend() {
      const own = fill(text.part, { name: where === "encoder" ? text.gap_amortisation : text.gap_own, n: show(Math.max(0, now.own)) });
      const rest = fill(text.part, { name: text.gap_approximation, n: show(now.approximation) });
      const [y, small] = [height - 8, { "font-size": 13 }];
      const half = Math.max(left + 30 + 6.8 * own.length, right - 22 - 6.8 * rest.length);
      const square = (x, paint) => element("rect", { x, y: y - 11, width: 12, height: 12, fill: paint });
      return [square(left, ink("hot")), words(own, left + 18, y, small), square(half, "url(#bound-hatch)"), words(rest, half + 18, y, small)];
    }
  }

  new ResizeObserver(paint).observe(svg);
  onTheme(paint);
  role = whereIs(state);
  refresh();

  return {
    show() {
      ctx.badge("live");
      this.settings(new Set(["x", "theta", "m", "s"])); // a link may have said more since
      refresh();
    },
    hide() {
      cancelAnimationFrame(frames);
      finish();
    },
    settings(changed) {
      const next = read();
      const different = Object.keys(next).filter((key) => next[key] !== state[key]);
      if (gesture || !different.length) return;
      cancelAnimationFrame(frames);
      if (different.some((key) => key === "x" || key === "theta")) {
        begin("x");
        Object.assign(state, { x: next.x, theta: next.theta });
        follow();
      } else begin("q");
      gesture = null;
      if (!role || changed.has("m") || changed.has("s")) Object.assign(state, { m: next.m, s: next.s });
      role = whereIs(state);
      if (state.m !== next.m || state.s !== next.s) ctx.change({ m: state.m, s: state.s }, { quiet: true });
      refresh();
      announce();
    },
    json: () => ({ ...state, ...now, best: at.best, encoder: at.encoder, moves: tally.moves, at: whereIs(state), slope: SLOPE, sigma: SIGMA }),
    png,
  };

  /** Both plots and the bars on the card's ground. */
  async function png(name = "log-p-x-bound") {
    drawBars();
    const plots = [decoder.canvas, densities.canvas];
    const ratio = plots[0].width / plots[0].clientWidth;
    const copy = svg.cloneNode(true);
    copy.setAttribute("xmlns", "http://www.w3.org/2000/svg");
    const [width, height] = [svg.clientWidth * ratio, Number(svg.getAttribute("height")) * ratio];
    copy.setAttribute("width", width);
    copy.setAttribute("height", height);
    const image = new Image();
    image.src = `data:image/svg+xml;charset=utf-8,${encodeURIComponent(new XMLSerializer().serializeToString(copy))}`;
    await image.decode();
    const gap = 24 * ratio;
    const stacked = plots[0].height + gap + plots[1].height;
    const whole = new OffscreenCanvas(Math.ceil(3 * gap + plots[0].width + width), Math.ceil(2 * gap + Math.max(stacked, height)));
    const c = whole.getContext("2d");
    c.fillStyle = colour(host, "card") || "#fff";
    c.fillRect(0, 0, whole.width, whole.height);
    c.drawImage(plots[0], gap, gap);
    c.drawImage(plots[1], gap, 2 * gap + plots[0].height);
    c.drawImage(image, 2 * gap + plots[0].width, gap);
    ctx.download(`${name}.png`, await whole.convertToBlob({ type: "image/png" }));
  }
}

function element(tag, attributes = {}, ...children) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children);
  return made;
}
