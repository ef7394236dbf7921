/** The header of every page: where one is, the lesson's link, light or dark, and larger type for a projector. */
import { h } from "../lib/dom.js";

const DARK = "gmp-dark";
const PROJECTOR = "gmp-projector";

function kept(key) {
  try {
    return localStorage.getItem(key);
  } catch {
    return null;
  }
}

function keep(key, value) {
  try {
    localStorage.setItem(key, value);
  } catch {
    // a browser that forbids storage forgets the choice, no more
  }
}

function turn(dark) {
  document.body.classList.toggle("dark", dark);
}

export function mount(element, { props }) {
  const { title, pages, text, here } = props.value;
  const asked = new URLSearchParams(location.search).get("__theme");
  if (kept(DARK) !== null && !asked) turn(kept(DARK) === "1");
  if (kept(PROJECTOR) === "1") document.body.classList.add(PROJECTOR);
  document.title = here === "/" ? title : `${pages.find((page) => page.path === here)?.name} · ${title}`;
  document.documentElement.lang = "en";

  const copy = h("button", { type: "button", class: "ghost", onclick: copyLink }, text.copy);
  async function copyLink() {
    try {
      await navigator.clipboard.writeText(location.href);
      copy.textContent = text.copied;
    } catch {
      window.prompt(text.copy_by_hand, location.href);
    }
    setTimeout(() => (copy.textContent = text.copy), 2000);
  }

  const theme = h("button", {
    type: "button",
    class: "ghost",
    "aria-label": text.theme,
    title: text.theme,
    onclick: () => {
      const dark = !document.body.classList.contains("dark");
      turn(dark);
      keep(DARK, dark ? "1" : "0");
    },
  }, "◐");
  const projector = h("button", {
    type: "button",
    class: "ghost",
    title: text.projector_help,
    "aria-pressed": String(document.body.classList.contains(PROJECTOR)),
    onclick: () => {
      const on = document.body.classList.toggle(PROJECTOR);
      keep(PROJECTOR, on ? "1" : "0");
      projector.setAttribute("aria-pressed", String(on));
      window.dispatchEvent(new Event("resize"));
    },
  }, text.projector);

  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && document.body.classList.contains(PROJECTOR)) projector.click();
  });
  window.addEventListener("popstate", () => location.reload());

  const links = pages.map((page) => h("a", { href: page.path, "aria-current": page.path === here ? "page" : null }, page.name));
  element.replaceChildren(
    h("header", { class: "gmp gmp-header" },
      h("a", { href: "/" }, title),
      h("nav", { "aria-label": text.pages }, ...links),
      h("span", { class: "space" }),
      h("div", { class: "tools" }, copy, theme, projector),
    ),
  );
}
