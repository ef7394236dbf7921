/**
 * Comma-separated values (RFC 4180) that a spreadsheet may open without running anything: text that begins like a formula gets an
 * apostrophe before it, since a file's name is whatever a stranger called it. Numbers stay numbers: a minus sign is no formula.
 */

const FORMULA = /^[\s\0]*[=+\-@\uff0b\uff0d\uff1d\uff20]|^[\t\r\n]/; // the full-width ones are read as their narrow twins
const QUOTED = /[",;\r\n\t']|^\s|\s$/;

/** One value: a finite number as it is, what is missing as nothing, text made harmless and quoted where it must be. */
export function cell(value) {
  if (value === null || value === undefined) return "";
  if (typeof value === "number") return Number.isFinite(value) ? String(value) : "";
  const text = String(value);
  const harmless = FORMULA.test(text) ? `'${text}` : text;
  return QUOTED.test(harmless) ? `"${harmless.replaceAll('"', '""')}"` : harmless;
}

/** Rows of values, the names of the columns first, each line ended as the standard says. */
export function csv(names, rows) {
  return [names, ...rows].map((row) => `${row.map(cell).join(",")}\r\n`).join("");
}
