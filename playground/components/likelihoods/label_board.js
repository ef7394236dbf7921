/**
 * One picture, ten labels: log p(x|y) as dots on one axis of nats, times the prior, gives p(y|x); beside it the classifier's softmax
 * of the same labels. Below the dots, on the same axis, the scores of held-out images: what lies left of the limit is turned away,
 * whatever its label.
 */
import { fill, h, m, number } from "../lib/dom.js";
import { percent } from "../level_histogram/level_histogram.js";
import { svg, ticks } from "../latents/rate_plot.js";
import { DIMS, histogram, limit, nats, priorOf, priorText, surprise, weightsOf } from "./bayes_math.js";

const BINS = 48;
const BEYOND = 1.5; // spans of held-out scores that the axis goes below them; dots further away are arrows at its edge
const EVEN = 0.5; // where the sliders of an even prior stand
const RARE = 1000; // times

/** The ends of the axis in nats: all labels' scores and all held-out ones, unless they lie very far apart. */
export function axisOf(byClass, quantiles) {
  const finite = byClass.filter(Number.isFinite);
  const held = quantiles ? [nats(quantiles.at(-1)), nats(quantiles[0])] : [];
  const [best, worst] = [Math.max(...finite, ...held), Math.min(...finite, ...held)];
  const span = quantiles ? held[1] - held[0] : best - worst;
  const low = Math.max(worst, Math.min(Math.max(...finite), ...held) - BEYOND * span);
  const room = 0.03 * Math.max(best - low, 1);
  return [low - room, best + room];
}

const math = (...inner) => m("math", inner);
const row = (...inner) => m("mrow", inner, "symbol-p");

/** set(patch): a setting is being dragged; done(patch): it has been chosen. */
export function labelBoard(host, ctx, { set, done }) {
  const { text } = ctx;
  let classes = [];
  let rows = [];
  const posteriorKind = h("small", {});
  const natsKind = h("small", {});
  const classifierName = h("small", {});
  const x = () => m("mi", "x", "symbol-x");
  const [p, open, close, bar, y] = ["p", "(", ")", "|", "y"].map((one, i) => () => m(i === 0 || i === 4 ? "mi" : "mo", one));
  const head = h("div", { class: "line head" },
    h("span", { class: "label" }, text.column_label),
    h("span", { class: "track" }, math(m("mi", "log"), row(p(), open(), x(), bar(), y(), close())), natsKind),
    h("span", { class: "nats" }, text.column_nats), h("span", { class: "bits" }, text.column_bits),
    h("span", { class: "prior" }, math(m("mo", "×"), m("mrow", [p(), open(), y(), close()], "symbol-kl")), h("small", {}, text.column_prior)),
    h("span", { class: "share p" }, math(m("mo", "→"), m("mrow", [p(), open(), y(), bar(), x(), close()])), posteriorKind),
    h("span", { class: "share softmax" }, math(m("mrow", [p(), open(), y(), bar(), x(), close()])), classifierName));
  const list = h("ol", { class: "lines", "aria-label": "" });
  const sums = { prior: h("span", { class: "prior" }), p: h("span", { class: "share p" }), softmax: h("span", { class: "share softmax" }) };
  const heldOut = svg("svg", { preserveAspectRatio: "none", viewBox: `0 0 ${BINS} 1`, "aria-hidden": "true" });
  const here = h("i", { class: "of-x" });
  const scale = h("span", { class: "scale", "aria-hidden": "true" });
  const zone = h("i", { class: "zone" });
  const foot = h("div", { class: "line foot" }, h("span", { class: "label" }), h("div", { class: "track" }, zone, heldOut, here, scale), sums.prior, sums.p, sums.softmax);
  const whole = h("p", { class: "soft" });
  const rank = h("p", {});
  const axis = h("p", { class: "soft axis", "aria-hidden": "true" }, text.axis);

  const alpha = slider({ key: "alpha", max: 0.5, step: 0.005, label: text.alpha, value: (v) => fill(text.alpha_value, { n: number(100 * v, (100 * v) % 1 ? 1 : 0) }) });
  const threshold = slider({ key: "threshold", max: 1, step: 0.01, label: text.threshold, value: (v) => (v ? fill(text.threshold_value, { n: number(100 * v, 0) }) : text.threshold_none) });
  const openButton = h("button", { type: "button", class: "ghost open", "aria-expanded": "false", onclick: () => {
    const wide = element.classList.toggle("priors");
    openButton.setAttribute("aria-expanded", String(wide));
  } }, text.prior_open);
  const evenButton = h("button", { type: "button", class: "ghost", onclick: () => done({ prior: "even" }) }, text.prior_even);
  const rareButton = h("button", { type: "button", class: "ghost", onclick: () => {
    const weights = Array(classes.length).fill(EVEN);
    weights[shown] = EVEN / RARE;
    done({ prior: priorText(weights) });
  } });
  const element = h("div", { class: "board" }, head, list, foot, axis,
    h("div", { class: "priors-bar" }, openButton, evenButton, rareButton),
    h("div", { class: "controls" }, h("div", {}, alpha.element, whole, rank), h("div", {}, threshold.element)));
  host.append(element);
  let shown = 0; // the label that the picture alone speaks for

  function slider({ key, max, step, label, value }) {
    const output = h("output", {});
    const input = h("input", { type: "range", min: 0, max, step, "data-key": key, oninput: () => set({ [key]: Number(input.value) }), onchange: () => done({ [key]: Number(input.value) }) });
    return {
      element: h("label", {}, h("span", {}, label), h("span", { class: "pull" }, input, output)),
      show(to) {
        if (Number(input.value) !== to) input.value = to;
        output.textContent = value(to);
        input.setAttribute("aria-valuetext", value(to));
      },
    };
  }

  function build(names) {
    classes = names;
    element.style.setProperty("--label", `${Math.min(92, Math.max(28, 8 * Math.max(...names.map((one) => one.length))))}px`);
    rows = names.map((name, k) => {
      const input = h("input", { type: "range", min: 0.01, max: 1, step: 0.01, "data-prior": k, "aria-label": fill(text.prior_slider, { y: name }),
        oninput: () => set({ prior: priorText(weights()) }), onchange: () => done({ prior: priorText(weights()) }) });
      const one = {
        zone: h("i", { class: "zone" }), dot: h("i", { class: "dot" }), nats: h("span", { class: "nats" }), bits: h("span", { class: "bits soft" }), input,
        prior: h("span", {}), posterior: share("p"), softmax: share("softmax"), said: h("span", { class: "hidden-text" }),
      };
      one.line = h("li", { class: "line", "data-label": k }, one.said, h("b", { class: "label", "aria-hidden": "true" }, name), h("div", { class: "track", "aria-hidden": "true" }, one.zone, one.dot),
        one.nats, one.bits, h("div", { class: "prior" }, input, one.prior), one.posterior.element, one.softmax.element);
      for (const part of [one.nats, one.bits, one.prior]) part.setAttribute("aria-hidden", "true");
      return one;
    });
    list.replaceChildren(...rows.map((one) => one.line));
  }

  function share(kind) {
    const filled = h("i", {});
    const value = h("span", {});
    return { element: h("div", { class: `share ${kind}`, "aria-hidden": "true" }, h("span", { class: "bar" }, filled, kind === "softmax" ? h("i", { class: "least" }) : null), value), filled, value };
  }

  /** The weights as the sliders stand; what a link made rarer than they reach stays, unless it is the one that moves. */
  let before = [];
  const weights = () => rows.map(({ input }, k) => (Number(input.value) === Number(input.min) && before[k] < Number(input.min) ? before[k] : Number(input.value)));

  /** picture: title. reading: { classes, softmax, classifier, model: { name, kind, byClass, bits, rank } }, verdicts of both. */
  function show(picture, reading, now, verdicts) {
    if (reading.classes.join() !== classes.join()) build(reading.classes);
    const { model, softmax } = reading;
    const quantiles = ctx.models[model.name]?.quantiles;
    const [low, high] = axisOf(model.byClass, quantiles);
    const place = (value) => `${100 * Math.max(0, Math.min(1, (value - low) / (high - low)))}%`;
    const prior = priorOf(now.prior, classes.length);
    before = weightsOf(now.prior, classes.length) ?? Array(classes.length).fill(EVEN);
    shown = model.byClass.indexOf(Math.max(...model.byClass));
    const edge = quantiles && now.alpha > 0 ? place(nats(limit(quantiles, now.alpha))) : "0%";
    list.setAttribute("aria-label", fill(text.board, { title: picture.title }));
    element.dataset.shown = `${picture.id} ${model.name}`;
    element.classList.toggle("refused", verdicts.bayes.refused);
    natsKind.textContent = text.kinds[model.kind];
    posteriorKind.textContent = text.column_posterior[model.kind === "exact" ? "exact" : "estimate"];
    classifierName.textContent = text.column_classifier;
    rows.forEach((one, k) => {
      const value = model.byClass[k];
      one.zone.style.width = edge;
      one.dot.style.left = place(value);
      one.dot.classList.toggle("off", value < low);
      one.nats.textContent = `${text.signs[model.kind]} ${number(value, 1)}`;
      one.bits.textContent = `${text.surprise_signs[model.kind]} ${number(surprise(value), 2)}`;
      if (Number(one.input.value) !== before[k]) one.input.value = before[k];
      one.prior.textContent = percent(prior[k]);
      one.input.setAttribute("aria-valuetext", percent(prior[k]));
      fillShare(one.posterior, verdicts.bayes.shares[k], k === verdicts.bayes.label);
      fillShare(one.softmax, softmax[k], k === verdicts.classifier.label);
      one.softmax.element.style.setProperty("--least", now.threshold);
      one.said.textContent = fill(text.row, { y: classes[k], sign: text.signs[model.kind], nats: number(value, 1), bits: number(surprise(value), 2), prior: percent(prior[k]), posterior: percent(verdicts.bayes.shares[k]), softmax: percent(softmax[k]) });
    });
    element.classList.toggle("threshold", now.threshold > 0);
    for (const [key, values] of [["prior", prior], ["p", verdicts.bayes.shares], ["softmax", softmax]]) sums[key].textContent = fill(text.sum, { n: number(values.reduce((sum, one) => sum + one, 0), 2) });

    zone.style.width = edge;
    heldOut.replaceChildren();
    if (quantiles) {
      const heights = histogram(quantiles, surprise(high), surprise(low), BINS).reverse();
      const most = Math.max(...heights);
      heldOut.append(svg("path", { d: `M0 1${heights.map((share, i) => `V${(1 - share / most).toFixed(4)}H${i + 1}`).join("")}V1Z` }));
    }
    const logProb = nats(model.bits);
    here.style.left = place(logProb);
    here.classList.toggle("off", logProb < low);
    scale.replaceChildren(...ticks(low, high, 3).map((one) => {
      const mark = h("span", {}, number(one, 0));
      mark.style.left = place(one);
      return mark;
    }));
    whole.textContent = fill(weightsOf(now.prior, classes.length) ? text.whole_even : text.whole, { sign: text.surprise_signs[model.kind], bits: number(model.bits, 3), nats: number(model.bits * Math.LN2 * DIMS, 1) });
    rank.textContent = model.rank === null ? text.rank_unknown : model.rank === 0 ? text.rank_none : fill(text.rank, { share: percent(model.rank) });
    alpha.show(now.alpha);
    threshold.show(now.threshold);
    evenButton.disabled = !weightsOf(now.prior, classes.length);
    rareButton.textContent = fill(text.prior_rare, { y: classes[shown] });
  }

  function fillShare({ element: cell, filled, value }, amount, best) {
    filled.style.width = `${100 * amount}%`;
    value.textContent = percent(amount);
    cell.classList.toggle("best", best);
  }

  return { element, show };
}
