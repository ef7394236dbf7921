/**
 * An autoencoder beside a VAE, three sections, top to bottom: both latent maps of the same held-out digits, drawn from in three ways;
 * three straight lines between two pictures; and what a few labels are worth on the codes. What is measured comes from
 * playground/latent_codes.py, and from the recording of playground/latent_probe.py.
 *
 * Settings: fit, seed; a, b, t.
 */
import { ask, bytes, newest } from "../lib/api.js";
import { fill, h, number } from "../lib/dom.js";
import { paint } from "../lib/pixels.js";
import { codeMap } from "./code_map.js";
import { probePlot } from "./probe_plot.js";

const FITS = ["prior", "gaussian", "mixture"];
const MAPS = { ae: "ae-mnist-2d", vae: "vae-mnist-2d" };
const LINES = ["pixels", "ae", "vae"];
const SAMPLES = 16;
const FRAMES = 33; // of an interpolation: the slider's places
const EVERY = 4; // of them stands in the strip
const PIXELS = 28 * 28;
const DIGITS = [..."0123456789"];

const picture = (pixels, i) => pixels.subarray(i * PIXELS, (i + 1) * PIXELS);
const percent = (share) => (share > 0 && share < 0.1 ? number(100 * share, 1) : number(100 * share, 0));
const float64 = (text) => new Float64Array(bytes(text).buffer);
const float32 = (text) => new Float32Array(bytes(text).buffer);

/** ctx: see the stage, latents.js; here also recordings: { probe }. */
export function codesView(host, ctx) {
  const parts = { maps: mapsPart(ctx), between: betweenPart(ctx), probe: probePart(ctx) };
  host.append(...Object.values(parts).map(({ element }) => element));
  return {
    show() {
      ctx.badge("live");
      parts.maps.show();
      parts.between.show();
    },
    hide() {},
    settings(changed) {
      if (["fit", "seed"].some((key) => changed.has(key))) parts.maps.show();
      if (["a", "b", "t"].some((key) => changed.has(key))) parts.between.show();
    },
    again: () => parts.maps.again(),
    json: () => ({ ...parts.maps.json(), between: parts.between.json(), probe: ctx.recordings.probe }),
    png: (name) => parts.maps.png(name),
  };
}

function section(name, text, ...children) {
  const id = `lt-codes-${name}`;
  return h("section", { "aria-labelledby": id, "data-part": name }, h("h2", { id }, text[`${name}_title`]), ...children);
}

// --- 1. Two maps -----------------------------------------------------------------------------------------------------------

function mapsPart(ctx) {
  const { text } = ctx;
  let found = null; // the maps, and what was fitted
  let wanted = ""; // the newest that was asked for
  let samples = {};

  const name = `lt-fit-${Math.random().toString(36).slice(2)}`;
  const radios = FITS.map((fit) => h("input", { type: "radio", name, value: fit, onchange: () => ctx.change({ fit }) }));
  const choice = h("fieldset", { class: "lt-choice" }, h("legend", {}, text.fit),
    ...radios.map((radio, i) => h("label", {}, radio, h("span", {}, text.fits[FITS[i]]))));
  const verdict = h("p", { class: "lt-verdict", "aria-live": "polite" });
  const note = h("p", { class: "soft" });
  const sides = Object.fromEntries(Object.keys(MAPS).map((key) => [key, side(key)]));
  const element = section("maps", text, h("p", {}, text.maps_lead), choice,
    h("div", { class: "lt-two" }, ...Object.values(sides).map((one) => one.element)), verdict, note);

  /** One model's map, its samples below, and what was measured of them. */
  function side(key) {
    const title = text.models[key];
    const pictures = Array.from({ length: SAMPLES }, (_, i) =>
      h("canvas", { width: 28, height: 28, onpointerenter: () => near(i), onpointerleave: () => near(null) }));
    const grid = h("div", { class: "lt-samples", role: "img", "aria-label": text.samples_none }, ...pictures);
    const density = h("p", { class: "soft" });
    const place = h("p", { class: "hidden-text", "aria-live": "polite" });
    const column = h("div", { class: "lt-side", "data-model": key }, h("h3", {}, title));
    const lens = document.createElement("canvas");
    const map = codeMap(column, {
      text: { label: fill(text.map_label, { model: title }), keys: text.map_keys, prior: text.prior_ring },
      look: (z) => look(z),
      hover: (i) => near(i),
    });
    column.append(density, grid, place);

    function near(i) {
      map.near(i);
      pictures.forEach((canvas, k) => canvas.classList.toggle("near", k === i));
    }

    const look = newest(async (z) => {
      if (!z) {
        map.inset(null);
        delete map.canvas.dataset.shown;
        return;
      }
      const pixels = new Uint8Array(await (await ask("decode", { query: { model: MAPS[key] }, body: new Float64Array(z) })).arrayBuffer());
      paint(lens, pixels);
      map.inset(lens);
      map.canvas.dataset.shown = z.join(",");
      place.textContent = fill(text.at, { x: number(z[0]), y: number(z[1]) });
    }, (error) => {
      map.inset(null);
      delete map.canvas.dataset.shown;
      ctx.fail(error);
    });

    return {
      element: column,
      map,
      /** The map's points. */
      set({ maps, classes, limit }) {
        const one = maps[MAPS[key]];
        map.set({ low: one.low, high: one.high, points: float32(one.points), labels: bytes(one.labels), glyphs: classes, limit });
      },
      fit(fit, one) {
        const { mixture: mix, gaussian } = one;
        if (fit === "gaussian") map.fit([{ mean: gaussian.mean, covariance: gaussian.covariance, weight: 1 }]);
        else if (fit === "mixture") map.fit(mix.weights.map((weight, k) => ({
          weight, mean: mix.means.slice(2 * k, 2 * k + 2), covariance: mix.covariances.slice(4 * k, 4 * k + 4),
        })));
        else map.fit(null);
        density.textContent = fill(text.density, { n: number(one.log_density[fit], 2) });
      },
      samples(answer) {
        const [z, pixels] = [float64(answer.z), bytes(answer.pictures)];
        map.draws(answer.far.map((far, i) => ({ z: [z[2 * i], z[2 * i + 1]], far })));
        pictures.forEach((canvas, i) => {
          paint(canvas, picture(pixels, i));
          canvas.classList.toggle("far", answer.far[i]);
        });
        grid.setAttribute("aria-label", fill(text.samples, { n: SAMPLES, model: title, far: answer.far.filter(Boolean).length }));
        grid.dataset.painted = String(performance.now());
      },
      flash() {
        grid.classList.remove("flash");
        void grid.offsetWidth; // lets the animation begin anew
        grid.classList.add("flash");
      },
    };
  }

  const load = newest(async ({ fit, seed }) => {
    const began = performance.now();
    if (!found) {
      found = await (await ask("latents/maps")).json();
      for (const one of Object.values(sides)) one.set(found);
    }
    for (const key of Object.keys(MAPS)) sides[key].fit(fit, found.maps[MAPS[key]]);
    const answers = await Promise.all(Object.values(MAPS).map(async (model) =>
      (await ask("latents/code_samples", { query: { model, fit, seed, n: SAMPLES } })).json()));
    samples = Object.fromEntries(Object.keys(MAPS).map((key, i) => [key, answers[i]]));
    for (const key of Object.keys(MAPS)) sides[key].samples(samples[key]);
    tell(fit);
    ctx.badge("live");
    ctx.took((performance.now() - began) / 1000);
    element.dataset.shown = `${fit} ${seed}`;
  }, (error) => {
    wanted = ""; // so that it can be asked for again
    ctx.fail(error);
  });

  function tell(fit) {
    const encoded = found.maps[MAPS.ae].encoded;
    verdict.replaceChildren(...sentence(text.verdict, {
      fit: text.from[fit], n: number(samples.ae.draws, 0),
      ae: h("b", {}, `${percent(samples.ae.share_far)} %`), vae: h("b", {}, `${percent(samples.vae.share_far)} %`),
      ae_reached: h("b", {}, `${percent(samples.ae.share_reached)} %`), vae_reached: h("b", {}, `${percent(samples.vae.share_reached)} %`),
    }));
    note.textContent = fill(text.measured, { codes: number(encoded, 0), near: number(100 * found.near, 0), rest: number(100 - 100 * found.near, 0) });
  }

  return {
    element,
    show() {
      const { fit, seed } = ctx.settings();
      for (const radio of radios) radio.checked = radio.value === fit;
      if (wanted === `${fit} ${seed}`) return;
      wanted = `${fit} ${seed}`;
      load({ fit, seed });
    },
    again() {
      for (const one of Object.values(sides)) one.flash();
    },
    json: () => ({ samples: Object.fromEntries(Object.entries(samples).map(([key, { z, far, share_far, draws }]) =>
      [key, { model: MAPS[key], z: [...float64(z)], far, share_far, draws }])) }),
    png(file) {
      const [one, other] = Object.values(sides).map(({ map }) => map.canvas);
      const both = new OffscreenCanvas(one.width + other.width + 16, one.height);
      const c = both.getContext("2d");
      c.fillStyle = getComputedStyle(one).backgroundColor;
      c.fillRect(0, 0, both.width, both.height);
      c.drawImage(one, 0, 0);
      c.drawImage(other, one.width + 16, 0);
      both.convertToBlob().then((blob) => ctx.download(`${file}.png`, blob));
    },
  };
}

/** "{name}" in a text filled with words or elements. */
function sentence(text, values) {
  return text.split(/(\{\w+\})/).map((part) => values[part.slice(1, -1)] ?? part);
}

// --- 2. Between two pictures -----------------------------------------------------------------------------------------------

function betweenPart(ctx) {
  const { text } = ctx;
  let found = null; // { a, b, strips }
  let wanted = "";

  const selects = Object.fromEntries(["a", "b"].map((end) => [end,
    h("select", { class: "gmp-axis", "aria-label": text[`end_${end}`], onchange: (event) => ctx.change({ [end]: Number(event.target.value) }) },
      ...DIGITS.map((digit) => h("option", { value: digit }, digit)))]));
  const slider = h("input", { type: "range", min: 0, max: FRAMES - 1, step: 1, "aria-label": text.slider, oninput: () => {
    ctx.change({ t: Number(slider.value) / (FRAMES - 1) });
  } });
  const output = h("output", {});
  const rows = LINES.map((line) => {
    const now = h("canvas", { width: 28, height: 28, role: "img", class: "now" });
    const strip = h("div", { class: "lt-frames", "aria-hidden": "true" }, ...Array.from({ length: (FRAMES - 1) / EVERY + 1 }, (_, i) =>
      h("canvas", { width: 28, height: 28, onclick: () => ctx.change({ t: (i * EVERY) / (FRAMES - 1) }) })));
    return { line, now, strip, element: h("div", { class: "lt-line", "data-line": line }, now,
      h("div", {}, h("p", {}, h("b", {}, text.lines[line]), " ", h("span", { class: "soft" }, text.line_notes[line])), strip)) };
  });
  const from = h("p", { class: "soft" });
  const summary = h("p", { class: "hidden-text", "aria-live": "polite" });
  const element = section("between", text, h("p", {}, text.between_lead),
    h("div", { class: "lt-ends" }, h("label", {}, text.from_digit, selects.a), h("label", {}, text.to_digit, selects.b),
      h("label", { class: "lt-t" }, h("span", {}, "t"), slider, output)),
    h("div", { class: "lt-lines" }, ...rows.map((row) => row.element)), from, summary);

  const load = newest(async ({ a, b }) => {
    const { from: source, strips } = await (await ask("latents/interpolate", { query: { a, b, steps: FRAMES } })).json();
    found = { a, b, strips: Object.fromEntries(LINES.map((line) => [line, bytes(strips[line])])) };
    from.textContent = fill(text.pictures_from, { from: source });
    for (const { line, strip } of rows) [...strip.children].forEach((canvas, i) => paint(canvas, picture(found.strips[line], i * EVERY)));
    move();
  }, (error) => {
    wanted = "";
    ctx.fail(error);
  });

  /** The frame at t of what is there. */
  function move() {
    const frame = Math.round(ctx.settings().t * (FRAMES - 1));
    const t = number(frame / (FRAMES - 1));
    slider.value = String(frame);
    slider.style.setProperty("--at", `${(100 * frame) / (FRAMES - 1)}%`);
    output.textContent = t;
    slider.setAttribute("aria-valuetext", t);
    if (!found) return;
    for (const { line, now, strip } of rows) {
      paint(now, picture(found.strips[line], frame));
      now.setAttribute("aria-label", fill(text.frame, { line: text.lines[line], t, a: found.a, b: found.b }));
      [...strip.children].forEach((canvas, i) => canvas.classList.toggle("now", i === Math.round(frame / EVERY)));
    }
    element.dataset.shown = `${found.a} ${found.b} ${frame}`;
    summary.textContent = fill(text.between_summary, { a: found.a, b: found.b, t });
  }

  return {
    element,
    show() {
      const { a, b } = ctx.settings();
      [selects.a.value, selects.b.value] = [String(a), String(b)];
      if (wanted !== `${a} ${b}`) {
        wanted = `${a} ${b}`;
        load({ a, b });
      }
      move();
    },
    json: () => found && { a: found.a, b: found.b, t: ctx.settings().t },
  };
}

// --- 3. The probe ------------------------------------------------------------------------------------------------------------

function probePart(ctx) {
  const { text, words } = ctx;
  const recording = ctx.recordings.probe;
  const verdict = h("p", { class: "lt-verdict", "aria-live": "polite" });
  const values = h("dl", { class: "lt-values" });
  const plot = h("div", {});
  const element = section("probe", text, h("p", {}, text.probe_lead), verdict, plot, values,
    h("p", { class: "soft" }, h("span", { class: "badge", "data-kind": "recorded", title: words.recorded_means }, words.recorded), " ",
      fill(text.probe_note, { train: number(recording.train, 0), test: number(recording.test, 0), repeats: recording.repeats })));
  probePlot(plot, { text: text.probe, recording, choose }).go(Math.max(0, recording.per_class.indexOf(10)));

  function choose(i) {
    const { per_class: counts, curves } = recording;
    values.replaceChildren(...curves.map(({ features, dims, mean, std }) =>
      h("div", { class: features }, h("dt", {}, text.probe.features[features], " ", h("small", {}, fill(text.dims, { n: dims }))),
        h("dd", {}, `${number(100 * mean[i], 1)} ± ${number(100 * std[i], 1)} %`))));
    const order = [...curves].sort((one, other) => other.mean[i] - one.mean[i]);
    const told = { n: counts[i] === 1 ? text.label_one : fill(text.label_many, { n: counts[i] }) };
    for (const [k, curve] of order.entries()) Object.assign(told, { [`name${k}`]: text.probe.features[curve.features], [`mean${k}`]: number(100 * curve.mean[i], 0) });
    const behind = order.findIndex(({ features }) => features === "ae") > order.findIndex(({ features }) => features === "pixels");
    verdict.textContent = [fill(text.probe_verdict, told), behind ? text.probe_behind : ""].filter(Boolean).join(" ");
  }

  return { element };
}
