/**
 * Figures in the page's own colours and type. A colour may be written "token:x" wherever Plotly takes one, or "token:x/0.2" for one
 * that lets shine through; `read(name)` gives the token's value where the figure stands (#rgb or #rrggbb). What a caller does not
 * say comes from a Plotly template, which reaches every axis and every scene, however many there are.
 */

const TOKEN = /^token:([\w-]+)(?:\/(0|1|0?\.\d+))?$/;
const FONT = "system-ui, sans-serif";

/** "token:x" or "token:x/0.2" as a colour that Plotly knows; anything else as it is. */
export function resolved(value, read) {
  const [, name, alpha] = TOKEN.exec(value) ?? [];
  if (!name) return value;
  const colour = read(name);
  if (!colour) throw new Error(`There is no colour token “${name}”.`);
  if (alpha === undefined) return colour;
  const digits = colour.length === 4 ? [...colour.slice(1)].map((d) => d + d) : colour.slice(1).match(/../g);
  return `rgba(${digits.map((d) => parseInt(d, 16)).join(",")},${alpha})`;
}

/** A copy with its tokens resolved. Arrays of numbers are the same arrays: a trace may hold many, and Plotly does not write there. */
export function coloured(value, read) {
  if (typeof value === "string") return value.startsWith("token:") ? resolved(value, read) : value;
  if (Array.isArray(value)) return value.some((one) => typeof one === "string" || (typeof one === "object" && one !== null)) ? value.map((one) => coloured(one, read)) : value;
  if (Object.getPrototypeOf(value ?? 0) !== Object.prototype) return value; // typed arrays, dates, numbers
  return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, coloured(inner, read)]));
}

/** The look of every figure. `zoom`: by how much the page is enlarged (1.3 on a projector); the figure undoes it and grows its type. */
function template(zoom) {
  const size = 13 * zoom;
  const axis = {
    color: "token:soft", gridcolor: "token:line", zerolinecolor: "token:line", linecolor: "token:line", ticks: "", zeroline: false, automargin: true,
    tickfont: { color: "token:soft", size: 12 * zoom }, title: { font: { color: "token:soft", size }, standoff: 8 * zoom },
  };
  const space = { color: "token:soft", gridcolor: "token:line", zerolinecolor: "token:soft", linecolor: "token:line", showbackground: false, showspikes: false };
  const bar = { outlinewidth: 0, thickness: 12 * zoom, tickfont: { color: "token:soft", size: 12 * zoom }, title: { font: { color: "token:soft", size } } };
  const colours = Array.from({ length: 10 }, (_, i) => `token:c${i}`);
  const scale = [[0, "token:card"], [1, "token:x"]];
  return {
    layout: {
      paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", colorway: colours,
      font: { family: FONT, size, color: "token:ink" },
      title: { font: { size: 14 * zoom, color: "token:soft" } },
      colorscale: { sequential: scale, sequentialminus: scale, diverging: [[0, "token:x"], [0.5, "token:card"], [1, "token:z"]] },
      coloraxis: { colorbar: bar },
      xaxis: axis, yaxis: axis,
      scene: { xaxis: space, yaxis: space, zaxis: space },
      legend: { orientation: "h", x: 0, xanchor: "left", y: 1, yanchor: "bottom", bgcolor: "rgba(0,0,0,0)", font: { size, color: "token:ink" } },
      hoverlabel: { bgcolor: "token:card", bordercolor: "token:line", align: "left", font: { family: FONT, size, color: "token:ink" } },
      modebar: { bgcolor: "rgba(0,0,0,0)", color: "token:soft", activecolor: "token:ink" },
      hovermode: "closest",
      separators: ".\u202f",
      margin: { l: 44 * zoom, r: 12 * zoom, t: 28 * zoom, b: 40 * zoom, pad: 0 },
    },
    data: Object.fromEntries(["heatmap", "contour", "surface", "histogram2d"].map((type) => [type, [{ colorbar: bar }]])),
  };
}

/** Traces and layout as Plotly is to have them: { traces, layout }. */
export function themed(traces, layout, { read, width, height, zoom = 1, touch = false }) {
  const whole = { uirevision: "kept", template: template(zoom), dragmode: touch ? false : undefined, ...layout, width, height, autosize: false };
  if (whole.dragmode === undefined) delete whole.dragmode;
  return { traces: coloured(traces, read), layout: coloured(structuredClone(whole), read) }; // a zoom is written into the ranges of a layout
}
