/**
 * The timeline of everything that goes step by step: EM, K-means, sampling, training. Its frames were computed before; here they are
 * only shown, so stepping back is free. Frame 0 is the start. Where an iteration has two halves (E then M, assign then move), frames
 * 2k−1 and 2k are those of iteration k, and "one on" lands on whole iterations.
 *
 * Frames may come while others are shown already (`more`): playing then waits at the last one there is. Where frames have rows of
 * their own (the pixels of an image), `leap` steps from one row's start to the next.
 *
 * Playing counts time, not ticks: a slow drawing skips frames and keeps the speed. A tab that was hidden, or a page that was stuck,
 * goes on where it stood (no tick counts for more than LONGEST).
 *
 * `host` becomes the bar itself. It sticks to the bottom of the screen for as long as its parent is on the screen: let it be a
 * direct child of the stage.
 */
import { fill, h } from "../lib/dom.js";

const SPEEDS = [1, 2, 5, 10, 30]; // frames a second; Infinity is "at once"
const LONGEST = 250; // ms
const SVG = "http://www.w3.org/2000/svg";
const PLAY = "M5 3.2v13.6L17 10z";
const PAUSE = "M4.5 3h4v14h-4zM11.5 3h4v14h-4z";
// What has a use of its own for Space and the arrows.
const OWN = "input, select, textarea, button, summary, a[href], audio, video, [role=application], [contenteditable]:not([contenteditable=false])";

/** The frame that one step leads to: `by` is ±1 for a single frame, ±2 for a whole iteration of two halves. */
export function stepped(frame, by, last) {
  const towards = Math.abs(by) === 2 && frame % 2 ? Math.sign(by) : by; // from within an iteration, to its end or its start
  return Math.max(0, Math.min(last, frame + towards));
}

/** The multiple of `by` next to a frame, on (`towards` 1) or back (−1), or the end that comes before it. */
export function leapt(frame, by, towards, last) {
  const row = towards > 0 ? Math.floor(frame / by) + 1 : Math.ceil(frame / by) - 1;
  return Math.max(0, Math.min(last, row * by));
}

/** An icon that takes the colour of the words (the signs of Unicode come out as coloured pictures on some phones). */
function icon() {
  const svg = document.createElementNS(SVG, "svg");
  const path = document.createElementNS(SVG, "path");
  svg.setAttribute("viewBox", "0 0 20 20");
  svg.setAttribute("aria-hidden", "true");
  path.setAttribute("fill", "currentColor");
  svg.append(path);
  return { svg, path };
}

/**
 * text: { label, play, pause, back, back_half, on_half, on, scrub, speed, rate: "{n}/s", at_once }. change(frame) is called whenever
 * another frame is shown, unless that was asked for quietly; pace(n) when the person chooses another speed, one of `speeds`.
 * leap: { by: frames in a row, back, on: what its buttons do, sign: what they say after − and + }, or null for none.
 */
export function timeline(host, { text, change = () => {}, pace = () => {}, speeds = SPEEDS, speed = 5, leap = null }) {
  const over = new AbortController(); // ends all listeners at once
  let frames = 1;
  let halves = false;
  let more = false; // frames are still to come
  let label = (at) => `${at} / ${frames - 1}`;
  let frame = 0;
  let ticking = 0; // the request of the next tick; 0: not playing
  let before = null; // when the last tick was
  let due = 0; // frames that time has earned and that are not shown yet, less than one between ticks
  const last = () => frames - 1;

  const { svg, path } = icon();
  const stepButton = (name, words, sign, to) => h("button", { type: "button", "data-step": name, "aria-label": words, title: words, onclick: () => take(to()) }, sign);
  const button = (name, sign, by) => stepButton(name, text[name], sign, () => stepped(frame, by(), last()));
  const playButton = h("button", { type: "button", class: "primary", "data-step": "play", "aria-keyshortcuts": "Space", onclick: toggle }, svg);
  const back = button("back", "−1", () => (halves ? -2 : -1));
  const backHalf = button("back_half", "−½", () => -1);
  const onHalf = button("on_half", "+½", () => 1);
  const on = button("on", "+1", () => (halves ? 2 : 1));
  const leapBack = stepButton("leap_back", leap?.back, `−${leap?.sign}`, () => leapt(frame, leap.by, -1, last()));
  const leapOn = stepButton("leap_on", leap?.on, `+${leap?.sign}`, () => leapt(frame, leap.by, 1, last()));
  const scrub = h("input", { type: "range", min: 0, step: 1, value: 0, "aria-label": text.scrub, onpointerdown: pause, oninput: () => take(Number(scrub.value)) });
  const words = h("output", { "aria-live": "polite" });
  const said = h("span", { class: "timeline-label" }, words);
  const rate = h("select", { "aria-label": text.speed, title: text.speed }, ...speeds.map((n) => h("option", { value: n }, Number.isFinite(n) ? fill(text.rate, { n }) : text.at_once)));
  const rateBox = h("span", { class: "timeline-speed" }, rate); // where the words of the choice do not fit, CSS writes "5/s" over it
  const abbreviate = () => (rateBox.dataset.short = Number.isFinite(Number(rate.value)) ? `${rate.value}/s` : "∞");
  rate.addEventListener("change", () => {
    abbreviate();
    pace(Number(rate.value));
  });
  setSpeed(speed);
  host.classList.add("timeline");
  host.setAttribute("role", "group");
  host.setAttribute("aria-label", text.label);
  host.replaceChildren(h("div", { class: "timeline-bar" }, h("div", { class: "timeline-buttons" }, playButton, leapBack, back, backHalf, onHalf, on, leapOn), h("div", { class: "timeline-scrub" }, scrub, said), rateBox));

  /** Shows where we are; says it aloud unless the frames run by. The range speaks for itself while it has the focus. */
  function show() {
    const here = label(frame);
    scrub.max = last();
    scrub.value = frame;
    scrub.setAttribute("aria-valuetext", here);
    scrub.style.setProperty("--at", `${last() ? (100 * frame) / last() : 0}%`);
    words.setAttribute("aria-live", ticking || document.activeElement === scrub ? "off" : "polite");
    words.textContent = here;
    if (here.length > (said.dataset.widest ?? "").length) said.dataset.widest = here;
    playButton.setAttribute("aria-label", ticking ? text.pause : text.play);
    playButton.title = ticking ? text.pause : text.play;
    path.setAttribute("d", ticking ? PAUSE : PLAY);
    for (const one of [back, backHalf, leapBack]) one.setAttribute("aria-disabled", String(frame === 0)); // a truly disabled one would lose the focus
    for (const one of [on, onHalf, leapOn]) one.setAttribute("aria-disabled", String(frame === last()));
    playButton.setAttribute("aria-disabled", String(last() === 0 && !more));
    host.dataset.frame = frame;
    host.dataset.playing = String(Boolean(ticking));
  }

  function go(wanted, { quiet = false } = {}) {
    const at = Math.max(0, Math.min(last(), Math.round(wanted) || 0));
    const moved = at !== frame;
    frame = at;
    show();
    if (moved && !quiet) change(frame);
  }

  /** A step of the person's own: whoever takes the wheel drives. */
  function take(wanted) {
    pause();
    go(wanted);
  }

  function tick(now) {
    ticking = requestAnimationFrame(tick); // asked for first, so that change() may pause
    const elapsed = Math.min(now - (before ?? now), LONGEST);
    before = now;
    const n = Number(rate.value);
    const left = last() - frame;
    if (Number.isFinite(n)) due += (elapsed * n) / 1000;
    const steps = Number.isFinite(n) ? Math.min(Math.floor(due), left) : left;
    due = Math.min(due - steps, 1); // while it waits for frames, it earns no more than the next
    if (steps === left && !more) pause();
    if (steps) go(frame + steps);
  }

  function play({ from } = {}) {
    if (over.signal.aborted) return;
    if (from !== undefined) go(from);
    else if (frame === last() && !more) go(0);
    if (ticking || (frame === last() && !more)) return;
    due = 0;
    before = null;
    ticking = requestAnimationFrame(tick);
    show();
  }

  function pause() {
    if (!ticking) return;
    cancelAnimationFrame(ticking);
    ticking = 0;
    words.textContent = ""; // so that where it stopped is said, now that it may be
    show();
  }

  function toggle() {
    if (ticking) pause();
    else play();
  }

  function key(event) {
    if (event.defaultPrevented || event.ctrlKey || event.altKey || event.metaKey) return;
    const target = event.target.closest?.(OWN);
    const ours = target && host.contains(target);
    if (target && (!ours || target === rate)) return;
    if (event.key === " ") {
      if (event.shiftKey || target?.tagName === "BUTTON") return; // a button's Space is a press of that button
      if (!event.repeat) toggle();
    } else {
      const step = (towards) => {
        if (event.shiftKey && leap && !halves) return leapt(frame, leap.by, towards, last());
        return stepped(frame, towards * (event.shiftKey && halves ? 2 : 1), last());
      };
      const to = { ArrowLeft: step(-1), ArrowRight: step(1), Home: 0, End: last() }[event.key];
      if (to === undefined) return;
      take(to);
    }
    event.preventDefault(); // the page does not scroll, and an element around this one does not step again
  }

  /** The keys work on `element` too. Text fields, buttons and pictures with keys of their own within it keep theirs. */
  function keys(element) {
    element.addEventListener("keydown", key, { signal: over.signal });
  }

  function setSpeed(n) {
    if (!speeds.includes(n)) throw new RangeError(`The speed is ${n}: this timeline has ${speeds.join(", ")}.`);
    rate.value = String(n);
    abbreviate();
  }

  function arrange() {
    backHalf.hidden = onHalf.hidden = !halves;
    leapBack.hidden = leapOn.hidden = !leap;
  }

  for (const event of ["focus", "blur"]) scrub.addEventListener(event, show);
  keys(host);
  arrange();
  show();

  return {
    /**
     * Another run, or more of this one: { frames, halves, label, more, leap: { by } }; what is left out stays. Beyond its last frame,
     * the last is shown, and change() told. `more`: frames are still to come, and playing waits for them.
     */
    set(next) {
      const count = next.frames ?? frames;
      if (!Number.isInteger(count) || count < 1) throw new RangeError(`frames is ${count}: a timeline has a whole number of them, at least 1.`);
      frames = count;
      halves = next.halves ?? halves;
      label = next.label ?? label;
      more = next.more ?? more;
      if (leap && next.leap) leap = { ...leap, ...next.leap };
      arrange();
      // The longest words that may come keep their room, so that nothing moves about while it plays.
      const some = Array.from({ length: Math.min(frames, 64) }, (_, i) => label(Math.round((i * last()) / Math.max(1, Math.min(frames, 64) - 1))));
      said.dataset.widest = some.reduce((a, b) => (b.length > a.length ? b : a), "");
      if (ticking && frame >= last() && !more) pause();
      go(frame);
    },
    go,
    play,
    pause,
    keys,
    frame: () => frame,
    playing: () => ticking !== 0,
    last,
    /** Frames a second. */
    speed: () => Number(rate.value),
    setSpeed,
    /** Stops, lets go of all keys, and leaves the host empty. */
    destroy() {
      pause();
      over.abort();
      host.replaceChildren();
      host.classList.remove("timeline");
      for (const name of ["role", "aria-label", "data-frame", "data-playing"]) host.removeAttribute(name);
    },
  };
}
