/**
 * A VAE that was told the label: z is left with all that the label does not say. A matrix of pictures, a row for each z and a column
 * for each label: along a row z is kept, down a column the label. Below, a picture of one's own: its z, decoded with all labels.
 *
 * Settings: label, hold, seed, row (which z of the matrix is in hand).
 */
import { ask, bytes, newest } from "../lib/api.js";
import { fill, h, m, number } from "../lib/dom.js";
import { paint } from "../lib/pixels.js";
import { sketch } from "../sketch/sketch.js";

const ROWS = 6; // z in the matrix
const MORE = 16; // z for one label; the first are those of the matrix
const LABELS = 10;
const PIXELS = 28 * 28;
const MODES = ["z", "label"];

const picture = (pixels, i) => pixels.subarray(i * PIXELS, (i + 1) * PIXELS);
const small = (attributes = {}) => h("canvas", { width: 28, height: 28, "aria-hidden": "true", ...attributes });

/** ctx: see the stage, latents.js. */
export function labelsView(host, ctx) {
  const matrix = matrixPart(ctx);
  const hand = handPart(ctx);
  host.append(matrix.element, hand.element);
  return {
    show() {
      ctx.badge("live");
      matrix.show();
      hand.show();
    },
    hide() {},
    settings: () => matrix.show(),
    again: () => matrix.again(),
    json: () => ({ ...matrix.json(), hand: hand.json() }),
    png: (name) => matrix.png(name),
  };
}

// --- Rows of z, columns of labels ------------------------------------------------------------------------------------------

function matrixPart(ctx) {
  const { text } = ctx;
  let found = null; // { seed, z, pixels }: row after row
  let more = null; // { seed, label, pixels }
  let wanted = { matrix: null, more: null };

  const at = () => ({ row: Math.min(ROWS - 1, ctx.settings().row ?? 0), label: ctx.settings().label, hold: ctx.settings().hold });
  const modes = MODES.map((hold) => h("button", { type: "button", onclick: () => ctx.change({ hold }) }, text.modes[hold]));
  const heads = Array.from({ length: LABELS }, (_, y) =>
    h("button", { type: "button", class: "head", "aria-label": fill(text.label_button, { y }), onclick: () => ctx.change({ label: y }) }, String(y)));
  const sides = Array.from({ length: ROWS }, (_, i) =>
    h("button", { type: "button", class: "head z", "aria-label": fill(text.row_button, { n: i + 1 }), onclick: () => ctx.change({ row: i }) },
      h("i", {}, "z"), h("sup", {}, `(${i + 1})`)));
  const cells = Array.from({ length: ROWS }, (_, i) => Array.from({ length: LABELS }, (_, y) =>
    h("button", { type: "button", class: "cell", tabindex: -1, onclick: () => ctx.change({ row: i, label: y }) }, small())));
  const put = (element, row, column) => (element.style.gridArea = `${row} / ${column}`); // what frames them lies in the same grid
  heads.forEach((button, y) => put(button, 1, y + 2));
  sides.forEach((button, i) => put(button, i + 2, 1));
  cells.forEach((line, i) => line.forEach((cell, y) => put(cell, i + 2, y + 2)));
  const frame = h("div", { class: "frame", "aria-hidden": "true" });
  const arrow = h("div", { class: "arrow", "aria-hidden": "true" }, h("span", {}));
  const grid = h("div", { class: "matrix", role: "group", "aria-label": text.matrix, onkeydown: keys },
    ...heads, ...cells.flatMap((row, i) => [sides[i], ...row]), frame, arrow);
  const large = h("canvas", { width: 28, height: 28, role: "img" });
  const formula = h("div", { class: "formula" });
  const said = h("p", { "aria-live": "polite" });
  const strip = h("div", { class: "more", role: "img" }, ...Array.from({ length: MORE }, () => small()));
  const moreTitle = h("h3", {});
  const moreBox = h("div", { class: "more-box" }, moreTitle, strip);
  const element = h("section", { "data-part": "matrix" }, h("p", {}, text.lead),
    h("div", { class: "modes", role: "group", "aria-label": text.modes_label }, ...modes),
    h("div", { class: "board" }, grid, h("figure", {}, large, h("figcaption", {}, formula, said))), moreBox);

  function keys(event) {
    const by = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] }[event.key];
    if (!by || event.ctrlKey || event.altKey || event.metaKey) return;
    event.preventDefault();
    const { row, label } = at();
    const next = [Math.max(0, Math.min(ROWS - 1, row + by[0])), Math.max(0, Math.min(LABELS - 1, label + by[1]))];
    ctx.change({ row: next[0], label: next[1] });
    cells[next[0]][next[1]].focus();
  }

  const load = newest(async ({ seed }) => {
    const began = performance.now();
    const answer = await (await ask("latents/labels", { query: { seed, hold: "z", n: ROWS } })).json();
    found = { seed, z: new Float64Array(bytes(answer.z).buffer), pixels: bytes(answer.pictures) };
    cells.flat().forEach((cell, i) => paint(cell.firstChild, picture(found.pixels, i)));
    ctx.badge("live");
    ctx.took((performance.now() - began) / 1000);
    grid.dataset.shown = String(seed);
    draw();
  }, (error) => {
    wanted.matrix = null; // so that it can be asked for again
    ctx.fail(error);
  });

  const loadMore = newest(async ({ seed, label }) => {
    const answer = await (await ask("latents/labels", { query: { seed, hold: "label", label, n: MORE } })).json();
    more = { seed, label, pixels: bytes(answer.pictures) };
    [...strip.children].forEach((canvas, i) => paint(canvas, picture(more.pixels, i)));
    strip.dataset.shown = `${seed} ${label}`;
  }, (error) => {
    wanted.more = null;
    ctx.fail(error);
  });

  /** What is in hand, and which way changes lead. */
  function draw() {
    const { row, label, hold } = at();
    grid.dataset.hold = hold;
    modes.forEach((button, i) => button.setAttribute("aria-pressed", String(MODES[i] === hold)));
    heads.forEach((button, y) => button.setAttribute("aria-pressed", String(y === label)));
    sides.forEach((button, i) => button.setAttribute("aria-pressed", String(i === row)));
    cells.forEach((line, i) => line.forEach((cell, y) => {
      const chosen = i === row && y === label;
      cell.setAttribute("aria-pressed", String(chosen));
      cell.setAttribute("aria-label", fill(text.cell, { n: i + 1, y }));
      cell.tabIndex = chosen ? 0 : -1;
      cell.classList.toggle("held", hold === "z" ? i === row : y === label);
    }));
    frame.style.gridArea = arrow.style.gridArea = hold === "z" ? `${row + 2} / 2 / ${row + 3} / -1` : `2 / ${label + 2} / -1 / ${label + 3}`;
    const y = m("mn", label, "symbol-x");
    formula.replaceChildren(m("math", [m("mi", "E"), m("mo", "["), m("mi", "x", "symbol-x"), m("mo", "|"),
      m("msup", [m("mi", "z", "symbol-z"), m("mrow", [m("mo", "("), m("mn", row + 1), m("mo", ")")])]), m("mo", ","),
      m("mi", "y"), m("mo", "="), y, m("mo", "]")]));
    said.textContent = fill(text[`said_${hold}`], { n: row + 1, y: label });
    large.setAttribute("aria-label", fill(text.cell, { n: row + 1, y: label }));
    if (found) paint(large, picture(found.pixels, row * LABELS + label));
    moreBox.hidden = hold !== "label";
    moreTitle.textContent = fill(text.more, { n: MORE, y: label });
    strip.setAttribute("aria-label", moreTitle.textContent);
    element.dataset.shown = `${hold} ${row} ${label}`;
  }

  return {
    element,
    show() {
      const { seed, label, hold } = ctx.settings();
      if (wanted.matrix !== seed) {
        wanted.matrix = seed;
        load({ seed });
      }
      if (hold === "label" && wanted.more !== `${seed} ${label}`) {
        wanted.more = `${seed} ${label}`;
        loadMore({ seed, label });
      }
      draw();
    },
    again() {
      grid.classList.remove("flash");
      void grid.offsetWidth; // lets the animation begin anew
      grid.classList.add("flash");
    },
    json() {
      if (!found) return {};
      const latent = found.z.length / ROWS;
      return { model: "cvae-mnist", seed: found.seed, z: Array.from({ length: ROWS }, (_, i) => [...found.z.subarray(i * latent, (i + 1) * latent)]), ...at() };
    },
    png(name) {
      const [scale, gap] = [4, 1];
      const sheet = new OffscreenCanvas((LABELS * (28 + gap) - gap) * scale, (ROWS * (28 + gap) - gap) * scale);
      const c = sheet.getContext("2d");
      c.imageSmoothingEnabled = false;
      cells.forEach((line, i) => line.forEach((cell, y) => c.drawImage(cell.firstChild, y * (28 + gap) * scale, i * (28 + gap) * scale, 28 * scale, 28 * scale)));
      sheet.convertToBlob().then((blob) => ctx.download(`${name}.png`, blob));
    },
  };
}

// --- One's own hand ----------------------------------------------------------------------------------------------------------

function handPart(ctx) {
  const { text } = ctx;
  let references = null;
  let source = { kind: "reference", digit: 3 };
  let found = null;
  let begun = false;

  const examples = h("div", { class: "examples", role: "group", "aria-label": text.examples });
  const drawButton = h("button", { type: "button", "aria-expanded": "false", onclick: () => openPad(padBox.hidden) }, text.draw);
  const input = h("input", { type: "file", accept: "image/*", class: "hidden-text", onchange: () => {
    if (input.files[0]) use({ kind: "file", blob: input.files[0] });
    input.value = ""; // so that the same file can be chosen again
  } });
  const padPlace = h("div", { class: "pad" });
  const padBox = h("div", { hidden: true }, padPlace);
  const own = small({ role: "img", "aria-hidden": null, "aria-label": text.given });
  const tiles = Array.from({ length: LABELS }, (_, y) => ({ canvas: small(), share: h("i", {}), value: h("small", {}), y }));
  const strip = h("div", { class: "restyled", role: "img", "aria-label": text.restyled_none },
    ...tiles.map(({ canvas, share, value, y }) => h("figure", {}, canvas, h("figcaption", {}, h("b", {}, String(y)), h("span", { class: "bar" }, share), value))));
  const said = h("p", { "aria-live": "polite" });
  const note = h("p", { class: "soft" });
  const from = h("p", { class: "soft" });
  const element = h("section", { "data-part": "hand", "aria-labelledby": "lt-hand" }, h("h2", { id: "lt-hand" }, text.hand_title), h("p", {}, text.hand_lead),
    h("div", { class: "sources" }, examples, drawButton, h("label", { class: "file" }, input, text.upload)), from, padBox,
    h("div", { class: "rewritten" }, h("figure", { class: "given" }, own, h("figcaption", {}, text.given)), strip), said, note);
  sketch(padPlace, { text: text.sketch, change: (blob) => blob && use({ kind: "drawing", blob }) });

  function openPad(open) {
    padBox.hidden = !open;
    drawButton.setAttribute("aria-expanded", String(open));
  }

  function use(next) {
    source = next;
    if (next.kind !== "drawing") openPad(false);
    rewrite(next);
  }

  /** A picture is chosen: prepared where it is one's own, then encoded and decoded with all labels. */
  const rewrite = newest(async (one) => {
    const began = performance.now();
    references ??= await referencesNow();
    const pixels = one.kind === "reference" ? references[one.digit] : await prepared(one.blob);
    const label = one.kind === "reference" ? one.digit : -1; // of a drawing nobody knows it
    const answer = await (await ask("latents/restyle", { query: { label }, body: pixels })).json();
    found = { ...answer, kind: one.kind };
    paint(own, pixels);
    tell(bytes(answer.pictures));
    ctx.fine();
    ctx.badge("live");
    ctx.took((performance.now() - began) / 1000);
  }, (error) => {
    if (found && source.kind !== "reference") error.message += ` ${text.kept}`;
    ctx.fail(error);
  });

  async function referencesNow() {
    const { from: whence, pictures } = await (await ask("reference", { query: { data: "mnist" } })).json();
    const all = pictures.map(bytes);
    examples.replaceChildren(...all.map((pixels, digit) => {
      const canvas = small();
      paint(canvas, pixels);
      return h("button", { type: "button", "aria-label": fill(text.take, { y: digit }), onclick: () => use({ kind: "reference", digit }) }, canvas);
    }));
    from.textContent = fill(text.pictures_from, { from: whence });
    return all;
  }

  async function prepared(blob) {
    const { steps } = await (await ask("prepare", { query: { data: "mnist" }, body: blob })).json();
    return bytes(steps.at(-1).pixels);
  }

  function tell(pixels) {
    const best = found.bounds.indexOf(Math.max(...found.bounds));
    [...examples.children].forEach((button, digit) => button.setAttribute("aria-pressed", String(source.kind === "reference" && source.digit === digit)));
    tiles.forEach(({ canvas, share, value, y }) => {
      paint(canvas, picture(pixels, y));
      canvas.parentElement.classList.toggle("own", y === found.label);
      canvas.parentElement.classList.toggle("best", y === best);
      share.style.width = `${100 * found.shares[y]}%`;
      value.textContent = found.shares[y] >= 0.005 ? `${number(100 * found.shares[y], 0)} %` : "< 1 %";
    });
    strip.setAttribute("aria-label", fill(text.restyled, { y: found.label }));
    strip.dataset.shown = `${source.kind} ${found.label}`;
    const second = found.bounds.map((nats, y) => [nats, y]).sort((one, other) => other[0] - one[0])[1];
    said.textContent = [found.kind === "reference" ? fill(text.known, { y: found.label }) : fill(text.guessed, { y: found.label }),
      fill(text.explains, { y: best, nats: number(found.bounds[best], 0), other: second[1], behind: number(found.bounds[best] - second[0], 0) })].join(" ");
    note.textContent = fill(text.bounds_note, { n: found.samples });
  }

  return {
    element,
    show() {
      if (begun) return;
      begun = true;
      rewrite(source);
    },
    json: () => found && { label: found.label, z: found.z, bounds: found.bounds, shares: found.shares, kind: "bounds" },
  };
}
