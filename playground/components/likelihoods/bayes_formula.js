/** Bayes' rule with the numbers of one picture, and the odds of its label in nats: what the picture says, and what the prior does. */
import { fill, m, number } from "../lib/dom.js";
import { largest, logOdds, posterior } from "./bayes_math.js";

const RAISED = "⁰¹²³⁴⁵⁶⁷⁸⁹";
const CERTAIN = 20; // nats: odds of 5·10⁸, which no prior worth the name overturns

/** exp(nats) as people write it: 1.5, 320, 10¹⁴. */
export function odds(nats) {
  const value = Math.exp(nats);
  if (value < 1000) return number(value, value < 10 ? 1 : 0);
  return `10${String(Math.round(nats / Math.LN10)).replace(/\d/g, (digit) => RAISED[digit])}`;
}

/** Four digits where three would say that it is 0 or 1; beyond them it is, to any purpose here. */
const share = (value) => number(value, value < 0.0095 || (value > 0.9995 && value < 0.99995) ? 4 : 3);

const of = (name, ...inner) => m("mrow", [m("mi", name), m("mo", "("), ...inner, m("mo", ")")], "symbol-p");
const x = () => m("mi", "x", "symbol-x");
const bar = () => m("mo", "|");
const power = (nats) => m("msup", [m("mi", "e"), m("mn", number(nats, 2))], "symbol-p");

/** p(y|x) of label `label` (its `name`), as symbols and as numbers. exact: whether p(x|y) are values, not bounds or estimates. */
export function formula({ byClass, prior, label, name, exact }) {
  const { shares, logProb } = posterior(byClass, prior);
  const y = () => m("mrow", [m("mi", "y"), m("mo", "="), m(/^\d+$/.test(name) ? "mn" : "mtext", name)]);
  const other = () => m("msup", [m("mi", "y"), m("mo", "′")]);
  return m("math", [
    m("mrow", [m("mi", "p"), m("mo", "("), y(), bar(), x(), m("mo", ")")]), m("mo", "="),
    m("mfrac", [
      m("mrow", [of("p", x(), bar(), y()), m("mo", "·"), m("mrow", [m("mi", "p"), m("mo", "("), y(), m("mo", ")")], "symbol-kl")]),
      m("mrow", [m("munder", [m("mo", "∑"), other()]), of("p", x(), bar(), other()), m("mo", "·"), m("mrow", [m("mi", "p"), m("mo", "("), other(), m("mo", ")")], "symbol-kl")]),
    ]),
    m("mo", exact ? "=" : "≈"),
    m("mfrac", [m("mrow", [power(byClass[label]), m("mo", "·"), m("mn", share(prior[label]), "symbol-kl")]), power(logProb)]),
    m("mo", exact ? "=" : "≈"), m("mn", share(shares[label])),
  ]);
}

/** The odds of the likeliest label over the next, in words. names: of the labels. */
export function oddsSaid({ byClass, prior, names }, text) {
  const { shares } = posterior(byClass, prior);
  const label = largest(shares);
  const joint = byClass.map((nats, y) => (y === label ? -Infinity : nats + Math.log(prior[y])));
  const next = largest(joint);
  const found = logOdds(byClass, prior, label, next);
  if (!Number.isFinite(found.total)) return "";
  const said = [fill(text.odds, { a: names[label], b: names[next], evidence: signed(found.evidence), prior: signed(found.prior), odds: odds(found.total) })];
  const alone = largest(byClass);
  if (alone !== label) said.push(fill(text.odds_turned, { y: names[alone] }));
  else if (found.evidence > CERTAIN) said.push(text.odds_small);
  return said.join(" ");
}

const signed = (value) => `${Number(value.toFixed(1)) > 0 ? "+" : ""}${number(value, 1)}`;
