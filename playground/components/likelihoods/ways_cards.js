/**
 * A way of computing log p(x) in a card (its value, what kind of number that is, how many of its draws count) and as an equation.
 */
import { brief, fill, h, m, number, within } from "../lib/dom.js";
import { decimals, reading } from "./converge_plot.js";

const DIMS = 784;
const SYMBOL = { prior: "symbol-kl", elbo: "symbol-q", importance: "symbol-p" };

/** Nats as surprise: bits a pixel. */
export function bitsPerDim(nats) {
  return -nats / (DIMS * Math.LN2);
}

/** A way's name, value, kind, and how many of its draws count. */
export function wayCard(way, text) {
  const [value, error, unit, kind] = [h("b", { class: SYMBOL[way] }), h("span", {}), h("span", { class: "soft" }, text.nats), h("p", { class: "soft" })];
  const [share, count] = [h("i", {}), h("p", {})];
  const element = h("section", { class: way, "data-way": way }, h("h3", {}, h("span", { class: "key", "aria-hidden": "true" }), text.names[way]),
    h("p", { class: "ways-value" }, value, " ", error, " ", unit), kind, h("div", { class: "bar", "aria-hidden": "true" }, share), count);
  return {
    element,
    set(line) {
      const one = line && reading(line, way);
      value.textContent = one ? `${text.signs[way]} ${within(one.nats, one.error === null ? 1 : decimals(one.error))}` : "–";
      error.textContent = !one || one.error === null ? "" : `± ${within(one.error, decimals(one.error))}`;
      error.title = one && !one.trusted ? text.untrusted : "";
      kind.textContent = one ? fill(text.kinds[way], { bits: brief(bitsPerDim(one.nats), 3) }) : "";
      // On an axis of factors, as the draws are: else a handful of thousands could not be seen.
      share.style.width = one ? `${(100 * Math.log(Math.max(1, one.effective))) / Math.log(Math.max(2, line.samples))}%` : "0";
      count.textContent = one ? counted(way, line, one, text) : "";
      element.dataset.trusted = String(Boolean(one?.trusted));
    },
  };
}

function counted(way, { samples }, { effective, largest, trusted }, text) {
  if (way === "elbo") return fill(text.counted_elbo, { k: number(samples, 0) });
  const share = largest >= 0.9995 && samples > 1 ? text.nearly_all : number(100 * largest, largest < 0.1 ? 1 : 0);
  const said = fill(text.counted, { effective: number(effective, effective < 100 ? 1 : 0), k: number(samples, 0), share });
  return trusted ? said : `${said} ${text.untrusted}`;
}

/** A way as an equation, with the number of draws and its value. */
export function wayFormula(way, text) {
  const [draws, value] = [m("mn", "K"), m("mn", "–", SYMBOL[way])];
  const [o, x] = [(sign) => m("mo", sign), () => m("mi", "x", "symbol-x")];
  const z = () => m("msub", [m("mi", "z", "symbol-z"), m("mi", "k")]);
  const of = (name, symbol, ...inside) => [m("mi", name, symbol), o("("), ...inside, o(")")];
  const decoded = () => of("p", "symbol-p", x(), o("|"), z());
  const log = () => [m("mi", "log"), thin()];
  const thin = () => {
    const space = m("mspace");
    space.setAttribute("width", "0.17em");
    return space;
  };
  const mean = (...terms) => [m("mfrac", [m("mn", 1), draws]), m("munder", [o("∑"), m("mi", "k")]), ...terms];
  const encoded = () => of("q", "symbol-q", z(), o("|"), x());
  const kl = [m("mtext", "KL"), o("("), m("mi", "q", "symbol-q"), o("‖"), m("mi", "p", "symbol-kl"), o(")")];
  const right = {
    prior: () => [...log(), o("["), ...mean(...decoded()), o("]")],
    elbo: () => [...mean(...log(), ...decoded()), o("−"), ...kl],
    importance: () => [...log(), o("["), ...mean(m("mfrac", [m("mrow", [...decoded(), thin(), ...of("p", "symbol-kl", z())]), m("mrow", encoded())])), o("]")],
  };
  const drawn = way === "prior" ? of("p", "symbol-kl", m("mi", "z", "symbol-z")) : of("q", "symbol-q", m("mi", "z", "symbol-z"), o("|"), x());
  const piece = (...row) => h("span", {}, m("math", [m("mrow", row)]));
  return {
    element: h("div", { class: "formula", tabindex: 0, role: "group", "aria-label": text.names[way] },
      piece(...log(), ...of("p", "symbol-p", x()), o(text.signs[way]), ...right[way]()), piece(o("="), value), piece(z(), o("∼"), ...drawn)),
    set(line) {
      draws.textContent = line ? number(line.samples, 0) : "K";
      value.textContent = line ? within(reading(line, way).nats, 1) : "–";
    },
  };
}
