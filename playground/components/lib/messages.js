/** What a stage says of itself: notices from a link, an error in a sentence, and whether its pictures are live or recorded. */
import { h } from "./dom.js";

/** text: live, recorded, live_means, recorded_means. Put `notice`, `problem` and `badge` where they belong. */
export function messages(text) {
  const notice = h("p", { class: "notice", role: "status", hidden: true });
  const problem = h("p", { class: "notice error", role: "alert", hidden: true });
  const badge = h("span", { class: "badge", "data-kind": "recorded" }, text.recorded);
  return {
    notice,
    problem,
    badge,
    /** Shows an error's sentence; a request that was given up is none. */
    failed(error) {
      if (error.name === "AbortError") return;
      problem.hidden = false;
      problem.textContent = error.message;
    },
    fine() {
      problem.hidden = true;
      problem.textContent = "";
    },
    /** "live" or "recorded". */
    setBadge(kind) {
      badge.dataset.kind = kind;
      badge.textContent = text[kind];
      badge.title = text[`${kind}_means`];
    },
    showNotices(notices) {
      notice.hidden = !notices?.length;
      notice.textContent = (notices ?? []).join(" ");
    },
  };
}
