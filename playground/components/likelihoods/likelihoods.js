/** The stage of "Likelihoods": a tray of pictures, and four views of what models make of them. */
import { h } from "../lib/dom.js";
import { tabbedStage } from "../lib/stage.js";
import { labelView } from "./label_view.js";
import { picturesView } from "./pictures_view.js";
import { trapView } from "./trap_view.js";
import { tray } from "./tray.js";
import { waysView } from "./ways_view.js";

const WITHOUT_TRAY = ["trap"];

/** The tray above the views, which all look at its pictures. */
function above(ctx) {
  const element = h("div", { class: "lk-tray" });
  let held = null;
  const changedPictures = () => !WITHOUT_TRAY.includes(ctx.visible()) && ctx.tell(new Set(["pictures", "at"]));
  const area = document; // a file may be dropped anywhere while the tray is to be seen
  held = tray(element, { ...ctx, text: ctx.text.tray, changedPictures }, { area });
  return {
    element,
    settings(changed) {
      element.hidden = WITHOUT_TRAY.includes(ctx.settings().view);
      held.settings(changed);
    },
    part: { pictures: () => held.pictures(), chosen: () => held.chosen() },
  };
}

export function mount(element, gradio) {
  tabbedStage(element, gradio, {
    name: "likelihoods",
    prefix: "lk",
    views: { pictures: picturesView, trap: trapView, label: labelView, ways: waysView },
    above,
    adapted: (settings, before) => (settings.data === before.data ? {} : { model: "", sort: "", bayes: "", ways: "" }),
  });
}
