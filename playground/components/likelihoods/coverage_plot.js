/**
 * Error against coverage: pictures are accepted from the most confident on, and the share of the accepted whose label is wrong is
 * drawn over the share accepted. One panel for each set of pictures; curves carry a letter at their end, and the table below says
 * which is which, with the area under each (the mean error over coverages; El-Yaniv and Wiener 2010).
 */
import { fill, h, number } from "../lib/dom.js";
import { spread } from "../latents/probe_plot.js";
import { svg, ticks } from "../latents/rate_plot.js";

const HEIGHT = 264; // CSS pixels
const EDGE = { left: 62, right: 28, top: 12, bottom: 46 };
const PANELS = ["alone", "mixed"];
const STEADY = 0.05; // coverage below which a curve rests on few pictures, and does not set the scale
const DASHES = { softmax: "", posterior: "7 4", joint: "2 3" };

const percents = (share) => number(100 * share, share < 0.0995 ? 2 : 1);

/** Letter, name and look of each curve. A model keeps its colour, a kind of confidence its dashes. */
export function looks(curves, models, text) {
  const names = [...new Set(curves.filter((one) => one.confidence !== "softmax").map((one) => one.name))];
  return curves.map((one, i) => ({
    letter: String.fromCharCode(65 + i),
    name: fill(text.confidence[one.confidence], { name: models[one.name]?.title ?? one.name }),
    colour: one.confidence === "softmax" ? "ink" : `m${names.indexOf(one.name) % 4}`,
    dash: DASHES[one.confidence],
  }));
}

/** The curves whose area, as it is written, is the smallest; their numbers in the list. */
export function smallest(curves, panel) {
  const least = Math.min(...curves.map((one) => one[panel].area));
  return curves.flatMap((one, i) => (percents(one[panel].area) === percents(least) ? [i] : []));
}

/** What the areas say, in words. */
export function verdict(curves, names, text) {
  const softmax = curves.findIndex((one) => one.confidence === "softmax");
  return PANELS.map((panel) => {
    const best = smallest(curves, panel);
    const values = { name: best.map((i) => names[i]).join(text.and), area: percents(curves[best[0]][panel].area) };
    const key = softmax < 0 || best.includes(softmax) ? panel : `${panel}_against`;
    return fill(text[key], softmax < 0 ? values : { ...values, other: names[softmax], theirs: percents(curves[softmax][panel].area) });
  }).join(" ");
}

/** recording: { images, outliers: { what, images }, curves }. models: titles by name. */
export function coveragePlot(host, { text, recording, models }) {
  const { curves, images, outliers } = recording;
  const look = looks(curves, models, text);
  const names = look.map((one) => one.name);
  let lit = null;

  const panels = PANELS.map((panel) => {
    const drawing = svg("svg", { height: HEIGHT, role: "img", "aria-label": text.panels[panel] });
    const title = h("figcaption", {}, h("b", {}, text.panels[panel]), h("span", { class: "soft" }, fill(text.of[panel], { n: number(images, 0), m: number(outliers.images, 0), what: outliers.what })));
    return { panel, drawing, element: h("figure", {}, title, drawing) };
  });
  const rows = curves.map((one, i) => h("tr", { tabindex: 0, "data-curve": i, onpointerenter: () => light(i), onpointerleave: () => light(null), onfocus: () => light(i), onblur: () => light(null) },
    h("th", { scope: "row" }, key(look[i]), h("b", {}, look[i].letter), ` ${names[i]}`),
    ...PANELS.map((panel) => h("td", {}, smallest(curves, panel).includes(i) ? h("small", {}, `${text.least} `) : null, fill(text.percent, { n: percents(one[panel].area) })))));
  const table = h("table", { "aria-label": text.areas }, h("thead", {}, h("tr", {}, h("th", { scope: "col" }, text.curve), ...PANELS.map((panel) => h("th", { scope: "col" }, text.panels[panel])))), h("tbody", {}, ...rows));
  host.append(h("div", { class: "panels" }, ...panels.map((one) => one.element)), h("p", {}, verdict(curves, names, text)), h("div", {}, h("p", { class: "soft" }, text.areas), h("div", { class: "areas" }, table)));

  function key({ colour, dash }) {
    return svg("svg", { class: `key ${colour}`, width: 32, height: 12, "aria-hidden": "true" }, svg("line", { class: "curve", x1: 1, x2: 31, y1: 6, y2: 6, "stroke-dasharray": dash }));
  }

  function light(i) {
    lit = i;
    for (const { drawing } of panels) {
      drawing.classList.toggle("pointed", i !== null);
      for (const group of drawing.querySelectorAll("[data-curve]")) group.classList.toggle("on", Number(group.dataset.curve) === i);
    }
  }

  function draw({ panel, drawing }) {
    const width = Math.round(drawing.clientWidth);
    if (!width) return;
    const steady = curves.flatMap((one) => one[panel].error.filter((_, i) => one[panel].coverage[i] >= STEADY));
    const high = Math.min(1, 1.08 * Math.max(...steady, 0.001));
    const [bottom, end] = [HEIGHT - EDGE.bottom, width - EDGE.right];
    const x = (share) => EDGE.left + share * (end - EDGE.left);
    const y = (share) => bottom - (share / high) * (bottom - EDGE.top);
    const id = `lk-coverage-${panel}`;
    const parts = [svg("clipPath", { id }, svg("rect", { x: EDGE.left, y: EDGE.top, width: end - EDGE.left, height: bottom - EDGE.top }))];
    for (const one of ticks(0, 100 * high)) parts.push(svg("line", { class: "grid", x1: EDGE.left, x2: end, y1: y(one / 100), y2: y(one / 100) }), svg("text", { class: "left", x: EDGE.left - 8, y: y(one / 100) }, fill(text.percent, { n: number(one, one % 1 ? 1 : 0) })));
    for (const one of [0, 0.25, 0.5, 0.75, 1]) parts.push(svg("text", { class: "middle", x: x(one), y: bottom + 14 }, fill(text.percent, { n: 100 * one })));
    parts.push(svg("text", { class: "middle", x: x(0.5), y: HEIGHT - 8 }, text.coverage));
    parts.push(svg("text", { class: "upright", transform: `translate(10 ${(EDGE.top + bottom) / 2}) rotate(-90)` }, text.error));
    const wished = spread(curves.map((one) => y(one[panel].error.at(-1))), 16);
    const heights = wished.map((one) => one + Math.max(0, EDGE.top - Math.min(...wished)) - Math.max(0, Math.max(...wished) - bottom));
    curves.forEach((one, i) => {
      const { coverage, error } = one[panel];
      const d = coverage.map((share, k) => `${k ? "L" : "M"}${x(share).toFixed(1)} ${y(error[k]).toFixed(1)}`).join("");
      parts.push(svg("g", { class: look[i].colour, "data-curve": i },
        svg("path", { class: "curve", d, "stroke-dasharray": look[i].dash, "clip-path": `url(#${id})` }),
        svg("text", { class: "letter", x: end + 8, y: heights[i] }, look[i].letter)));
    });
    drawing.setAttribute("viewBox", `0 0 ${width} ${HEIGHT}`);
    drawing.replaceChildren(...parts);
    light(lit);
  }

  const watching = new ResizeObserver(() => panels.forEach(draw));
  panels.forEach((one) => watching.observe(one.drawing));
  return { stop: () => watching.disconnect() };
}
