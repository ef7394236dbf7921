/** A lesson is a link: settings that differ from the page's defaults stand in the address, in readable keys. */

const VERSION = 1;

function text(value) {
  if (typeof value === "boolean") return value ? "1" : "0";
  if (Array.isArray(value)) return value.map(text).join(",");
  if (Number.isInteger(value)) return String(value);
  if (typeof value === "number") return String(Number(value.toPrecision(6)));
  return String(value);
}

/** The query of `settings`: "" where nothing differs from `defaults`. */
export function query(settings, defaults) {
  const changed = Object.entries(settings).filter(([key, value]) => key in defaults && text(value) !== text(defaults[key]));
  if (!changed.length) return "";
  return `?v=${VERSION}&${changed.map(([key, value]) => `${key}=${encodeURIComponent(text(value)).replaceAll("%2C", ",")}`).join("&")}`;
}

/**
 * Writes the settings into the address; what begins with "__" there (Gradio's own) stays. `step` makes it a step of the browser's
 * history, so that Back returns to the settings before.
 */
export function remember(settings, defaults, { step = false } = {}) {
  const kept = [...new URLSearchParams(location.search)].filter(([key]) => key.startsWith("__"));
  const search = new URLSearchParams(kept).toString();
  const own = query(settings, defaults);
  const whole = own && search ? `${own}&${search}` : own || (search && `?${search}`);
  const target = `${location.pathname}${whole}${location.hash}`;
  if (target === location.pathname + location.search + location.hash) return;
  if (step) history.pushState(history.state, "", target);
  else history.replaceState(history.state, "", target);
}
