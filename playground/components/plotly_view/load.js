/**
 * plotly.js, fetched from our own server when the first figure is drawn, once for all views of a page. It is a classic script that
 * puts itself at window.Plotly; views use what it put there, and what stood there before stands there again.
 */
import { h } from "../lib/dom.js";

const ADDRESS = new URL("../vendor/plotly.min.js", import.meta.url).href;
let loading = null;

/** Promises the library. A failure is not kept: the next call tries again. */
export function load() {
  loading ??= new Promise((resolve, reject) => {
    const others = window.Plotly;
    const script = h("script", {
      src: ADDRESS,
      onload: () => {
        const ours = window.Plotly;
        if (others) window.Plotly = others;
        if (ours && ours !== others) resolve(ours);
        else reject(new Error("plotly.js came, and brought nothing."));
      },
      onerror: () => reject(new Error("plotly.js did not come.")),
    });
    document.head.append(script);
  }).catch((error) => {
    loading = null;
    throw error;
  });
  return loading;
}
