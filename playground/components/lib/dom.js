/** Small help for building pages out of elements, numbers and colours. */

/** An element with attributes and children; attributes beginning with "on" are listeners. */
export function h(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value === true) element.setAttribute(name, "");
    else if (value !== false && value !== null && value !== undefined) element.setAttribute(name, value);
  }
  element.append(...children.filter((child) => child !== null));
  return element;
}

const MATHML = "http://www.w3.org/1998/Math/MathML";

/** A MathML element: `m("mi", "x", "symbol-x")`. */
export function m(tag, content = [], className = "") {
  const element = document.createElementNS(MATHML, tag);
  if (className) element.setAttribute("class", className);
  element.append(...(Array.isArray(content) ? content : [String(content)]));
  return element;
}

/** A number as people write it: a real minus sign, `digits` after the point. */
export function number(value, digits = 2) {
  if (!Number.isFinite(value)) return "–";
  const text = Math.abs(value).toFixed(digits).replace(/\B(?=(\d{3})+(?!\d)(?<!\.\d*))/g, "\u202f");
  return (value < 0 && Number(value.toFixed(digits)) !== 0 ? "−" : "") + text;
}

const RAISED = "⁰¹²³⁴⁵⁶⁷⁸⁹";

/** A number with no more digits than it deserves: those after the point only below a thousand, and 3.2·10⁷ for 32 031 560. */
export function brief(value, digits) {
  const size = Math.abs(value);
  if (!(size >= 1e6)) return number(value, size >= 1e3 ? 0 : size >= 100 ? Math.min(digits, 1) : digits);
  const power = Math.floor(Math.log10(size));
  return `${number(value / 10 ** power, 1)}·10${[...String(power)].map((one) => RAISED[one]).join("")}`;
}

/** `number`, but 3.2·10⁷ from a million on. */
export function within(value, digits) {
  return Math.abs(value) >= 1e6 ? brief(value, digits) : number(value, digits);
}

/** Fills "{name}" in a text. */
export function fill(text, values) {
  return text.replace(/\{(\w+)\}/g, (whole, key) => (key in values ? values[key] : whole));
}

/** The value of a colour token where `element` stands. */
export function colour(element, token) {
  return getComputedStyle(element).getPropertyValue(`--${token}`).trim();
}

/** Calls `redraw` whenever the page turns light or dark. */
export function onTheme(redraw) {
  const observer = new MutationObserver(redraw);
  observer.observe(document.body, { attributes: true, attributeFilter: ["class"] });
  return () => observer.disconnect();
}

/** A function that has `draw` called in the next frame of the screen, once, however often it is called until then. */
export function oncePerFrame(draw) {
  let scheduled = false;
  return () => {
    if (scheduled) return;
    scheduled = true;
    requestAnimationFrame(() => {
      scheduled = false;
      draw();
    });
  };
}

/** Hands a file to the person. */
export function download(name, blob) {
  const link = h("a", { href: URL.createObjectURL(blob), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}

const SUBSCRIPTS = "₀₁₂₃₄₅₆₇₈₉";

/** 12 as ₁₂. */
export function subscript(n) {
  return String(n).replace(/\d/g, (d) => SUBSCRIPTS[d]);
}
