/** One slider a coordinate. Moves are reported as they come; `newest` (lib/api.js) on the other side skips what is overtaken. */
import { h, number, subscript } from "../lib/dom.js";

/** Returns { set(values) }; calls input(values) for each move. */
export function sliders(host, { limit = 4, input }) {
  const box = h("div", { class: "sliders" });
  host.append(box);
  let rows = [];

  function row(i) {
    const output = h("output");
    const range = h("input", { type: "range", min: -limit, max: limit, step: 0.01, "aria-label": `z${subscript(i + 1)}` });
    range.addEventListener("input", () => {
      output.textContent = number(Number(range.value));
      input(rows.map((one) => one.value()));
    });
    const label = h("label", {}, h("span", {}, `z${subscript(i + 1)}`), range, output);
    let exact = 0; // a slider rounds what it is given; what was not moved keeps its digits
    range.addEventListener("input", () => (exact = Number(range.value)));
    return {
      label,
      value: () => (Math.abs(exact - Number(range.value)) < 0.006 || Math.abs(exact) > limit ? exact : Number(range.value)),
      set(value) {
        exact = value;
        range.value = value;
        output.textContent = number(value);
      },
    };
  }

  return {
    set(values) {
      if (rows.length !== values.length) {
        rows = values.map((_, i) => row(i));
        box.replaceChildren(...rows.map((one) => one.label));
      }
      rows.forEach((one, i) => one.set(values[i]));
    },
  };
}
