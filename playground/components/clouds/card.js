/** The card of "Clouds" on the index: a mixture being fitted, from start to end and again, each time from another start. */
import { bytes } from "../lib/api.js";
import { h } from "../lib/dom.js";
import { cloudPlot } from "../cloud_plot/cloud_plot.js";
import { asked, fetchRun, opened, stateAt } from "./runs.js";

const EVERY = 260; // ms a half step
const REST = 10; // steps at the end

/** host: the card; badge(kind). */
export function card(host, { recording, picture_label: label }, { badge, connected }) {
  const { settings, cloud, runs } = recording;
  const points = new Float64Array(bytes(cloud.points).buffer);
  const box = h("div", { class: "cloud-card", role: "img", "aria-label": label });
  host.append(box);
  const plot = cloudPlot(box, { text: { label, keys: "", keys3d: "", density: "", models: {} } });
  plot.canvas.tabIndex = -1;
  plot.canvas.style.pointerEvents = "none";
  plot.cloud({ d: cloud.d, n: cloud.n, points, names: ["", ""], bounds: null });
  let run = opened(runs.gmm);
  let frame = 0;
  let seed = settings.seed;
  const show = () => plot.state(stateAt(run, frame, settings));
  const still = matchMedia("(prefers-reduced-motion: reduce)").matches;
  if (still) {
    frame = run.frames - 1;
    show();
    return;
  }
  show();
  const timer = setInterval(async () => {
    if (!connected()) return clearInterval(timer);
    if (document.hidden) return;
    frame += 1;
    if (frame < run.frames) show();
    else if (frame === run.frames + REST) {
      frame = 0;
      seed = (seed + 1) % 50; // fifty starts, then again
      try {
        run = await fetchRun(asked("gmm", { ...settings, seed }, cloud.d), points);
        badge("live");
      } catch {
        badge("recorded"); // the recorded run goes on, and says so
        run = opened(runs.gmm);
      }
    }
  }, EVERY);
}
