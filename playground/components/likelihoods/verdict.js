/**
 * Which model is less surprised by a picture, and is that proven? A lower bound on log p(x) is an upper bound on surprise: a model
 * whose upper bound lies below another's exact surprise is proven less surprised. Against a model that is itself only bounded
 * nothing is proven: its true surprise may be lower than its number. An estimate by importance weighting is in expectation a lower
 * bound on log p(x) (Burda et al. 2016), and an ELBO may itself be an average of draws: two standard errors above such a number
 * stands an upper bound on surprise, up to chance.
 *
 * A model is here { name, kind: "exact" | "lower bound" | "estimate", bits, error } with bits/dim and its standard error or null.
 * Only models of one space may be compared.
 */

/** What a model's true surprise is at most, bits/dim. */
export function upper({ bits, error }) {
  return bits + 2 * (error ?? 0);
}

/**
 * Is `a` proven less surprised than `b`? { proven, chance, why }: `chance` where it rests on a standard error; `why` not: "bound" or
 * "estimate" (what b's number is), "near" (a's number is lower, but within two standard errors), "above" (it is not lower).
 */
export function beats(a, b) {
  const no = (why) => ({ proven: false, chance: false, why });
  if (!(a.bits < b.bits)) return no("above");
  if (b.kind !== "exact") return no(b.kind === "estimate" ? "estimate" : "bound");
  if (!(upper(a) < b.bits)) return no("near");
  return { proven: true, chance: a.error > 0, why: null };
}

/**
 * The model with the lowest number (the first of equal ones), and what holds against each other one: { name, proven, chance,
 * against: [{ name, proven, chance, why }] }. Null where fewer than two models have a number.
 */
export function winner(models) {
  const there = models.filter(({ bits }) => Number.isFinite(bits));
  if (there.length < 2) return null;
  const best = there.reduce((least, one) => (one.bits < least.bits ? one : least));
  const against = there.filter((one) => one !== best).map((one) => ({ name: one.name, ...beats(best, one) }));
  return { name: best.name, proven: against.every((one) => one.proven), chance: against.some((one) => one.chance), against };
}
