/** The stage of "Latents": six views of what a latent vector means. */
import { tabbedStage } from "../lib/stage.js";
import { betaView } from "./beta_view.js";
import { boundView } from "./bound_view.js";
import { codesView } from "./codes_view.js";
import { labelsView } from "./labels_view.js";
import { liveView } from "./live_view.js";
import { slidersView } from "./sliders_view.js";

export function mount(element, gradio) {
  tabbedStage(element, gradio, {
    name: "latents",
    prefix: "lt",
    views: { sliders: slidersView, beta: betaView, live: liveView, codes: codesView, labels: labelsView, bound: boundView },
    adapted: (settings, before) => (settings.model === before.model ? {} : { z: [], turn: 0 }),
  });
}
