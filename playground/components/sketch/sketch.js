/** A pad to draw on: white ink on black, by mouse, finger, pen or keyboard. It reports the drawing as a PNG blob. */
import { h } from "../lib/dom.js";

const SIDE = 280; // ten times a picture of 28
const PEN = 20; // width: what a pen of MNIST measures there
const STEP = 8; // of the keyboard's pen

/** Returns { clear() }; calls change(blob or null). `text`: label, undo, clear, keys. */
export function sketch(host, { text, change }) {
  const canvas = h("canvas", { width: SIDE, height: SIDE, tabindex: 0, role: "application", "aria-label": `${text.label}. ${text.keys}`, title: text.keys });
  const hint = h("span", { "aria-hidden": "true" }, text.label);
  const undoButton = h("button", { type: "button", onclick: undo }, text.undo);
  const clearButton = h("button", { type: "button", onclick: () => erase(true) }, text.clear);
  host.append(h("div", { class: "sketch" }, h("div", { class: "paper" }, canvas, hint), h("div", { class: "tools" }, undoButton, clearButton)));
  const context = canvas.getContext("2d");
  let strokes = [];
  let stroke = null; // being drawn
  let pen = null; // the keyboard's: {x, y, down}

  function redraw() {
    context.fillStyle = "#000";
    context.fillRect(0, 0, SIDE, SIDE);
    context.strokeStyle = context.fillStyle = "#fff";
    context.lineWidth = PEN;
    context.lineCap = context.lineJoin = "round";
    for (const points of strokes) {
      context.beginPath();
      context.arc(...points[0], PEN / 2, 0, 2 * Math.PI); // a stroke without length leaves a dot
      context.fill();
      context.beginPath();
      context.moveTo(...points[0]);
      for (let i = 1; i < points.length; i++) {
        const [x, y] = points[i];
        const [px, py] = points[i - 1];
        context.quadraticCurveTo(px, py, (px + x) / 2, (py + y) / 2);
      }
      context.lineTo(...points.at(-1));
      context.stroke();
    }
    hint.hidden = strokes.length > 0;
    undoButton.disabled = clearButton.disabled = !strokes.length;
  }

  function report() {
    if (!strokes.length) change(null);
    else canvas.toBlob((blob) => blob && change(blob), "image/png");
  }

  function marker() {
    if (!pen || document.activeElement !== canvas) return;
    context.lineWidth = 2;
    context.strokeStyle = pen.down ? "#ff9552" : "#5eb3ee";
    context.beginPath();
    context.arc(pen.x, pen.y, PEN / 2 + 2, 0, 7);
    context.stroke();
  }

  function undo() {
    strokes.pop();
    redraw();
    report();
  }

  function erase(tell) {
    strokes = [];
    redraw();
    if (tell) report();
  }

  function place(event) {
    const box = canvas.getBoundingClientRect();
    return [((event.clientX - box.left) / box.width) * SIDE, ((event.clientY - box.top) / box.height) * SIDE];
  }

  canvas.addEventListener("pointerdown", (event) => {
    if (event.button > 0) return;
    canvas.setPointerCapture(event.pointerId);
    stroke = [place(event)];
    strokes.push(stroke);
    pen = null;
    redraw();
  });
  canvas.addEventListener("pointermove", (event) => {
    if (!stroke) return;
    for (const one of event.getCoalescedEvents?.() ?? [event]) stroke.push(place(one));
    redraw();
    report();
  });
  const end = () => {
    if (!stroke) return;
    stroke = null;
    report();
  };
  canvas.addEventListener("pointerup", end);
  canvas.addEventListener("pointercancel", end);

  canvas.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: [-STEP, 0], ArrowRight: [STEP, 0], ArrowUp: [0, -STEP], ArrowDown: [0, STEP] }[event.key];
    if (!step && ![" ", "Backspace", "Escape"].includes(event.key)) return;
    event.preventDefault();
    pen ??= { x: SIDE / 2, y: SIDE / 4, down: false };
    if (event.key === " ") {
      pen.down = !pen.down;
      if (pen.down) strokes.push([[pen.x, pen.y]]);
    } else if (event.key === "Backspace") {
      strokes.pop();
      pen.down = false;
    } else if (event.key === "Escape") {
      pen.down = false;
    } else {
      pen.x = Math.min(SIDE - 1, Math.max(0, pen.x + step[0]));
      pen.y = Math.min(SIDE - 1, Math.max(0, pen.y + step[1]));
      if (pen.down) strokes.at(-1)?.push([pen.x, pen.y]);
    }
    redraw();
    report(); // before the marker, which is not ink
    marker();
  });
  canvas.addEventListener("blur", redraw);
  redraw();
  return { clear: () => erase(false) };
}
