/**
 * A picture from the camera: a live preview, and the square in its middle as a PNG. Nothing is recorded, and no camera runs unseen:
 * it stops when it is told to, when the preview is hidden or removed, and when the page is.
 */
import { h } from "../lib/dom.js";

const SIDE = 480; // pixels of the picture that is taken: the models see 28
const WHY = { NotAllowedError: "forbidden", SecurityError: "forbidden", NotFoundError: "none", OverconstrainedError: "none", NotReadableError: "busy" };

/** `text`: label, hint, take, stop, start, hidden, ended, forbidden, none, busy, insecure, failed. Calls taken(blob); closed() on Stop. */
export function webcam(host, { text, taken, closed }) {
  const video = h("video", { muted: true, playsinline: true, autoplay: true, "aria-label": text.label });
  video.muted = true; // the attribute alone does not mute what a script starts
  const said = h("p", { role: "status" });
  const takeButton = h("button", { type: "button", class: "primary", disabled: true, onclick: take }, text.take);
  const startButton = h("button", { type: "button", hidden: true, onclick: start }, text.start);
  const stopButton = h("button", { type: "button", onclick: () => {
    stop();
    closed();
  } }, text.stop);
  const frame = h("div", { class: "lens" }, video);
  host.append(frame, h("div", { class: "beside" }, h("div", { class: "tools" }, takeButton, startButton, stopButton), said, h("p", { class: "soft" }, text.hint)));
  let stream = null;
  let asked = 0; // counts starts and stops: a camera that is granted after a stop is stopped at once

  async function start() {
    stop();
    const turn = ++asked;
    startButton.hidden = true;
    frame.hidden = false;
    let granted;
    try {
      if (!navigator.mediaDevices?.getUserMedia) throw new DOMException("", isSecureContext ? "NotFoundError" : "Insecure");
      granted = await navigator.mediaDevices.getUserMedia({ video: { facingMode: { ideal: "environment" }, width: { ideal: 640 } }, audio: false });
    } catch (error) {
      if (turn === asked) stop(error.name === "Insecure" ? text.insecure : text[WHY[error.name]] ?? `${text.failed} (${error.name})`);
      return;
    }
    if (turn !== asked || document.hidden || !host.isConnected || host.hidden) {
      granted.getTracks().forEach((track) => track.stop());
      return;
    }
    stream = granted;
    stream.getVideoTracks()[0]?.addEventListener("ended", () => stream === granted && stop(text.ended)); // unplugged
    video.srcObject = stream;
    await video.play().catch(() => {}); // it was stopped meanwhile
    takeButton.disabled = stream === null;
  }

  function stop(why = "") {
    asked++;
    stream?.getTracks().forEach((track) => track.stop());
    stream = null;
    video.srcObject = null;
    takeButton.disabled = true;
    startButton.hidden = why === "";
    frame.hidden = why !== "";
    said.textContent = why;
  }

  function take() {
    const [width, height] = [video.videoWidth, video.videoHeight];
    if (!stream || !width) return;
    const side = Math.min(width, height);
    const canvas = h("canvas", { width: SIDE, height: SIDE });
    canvas.getContext("2d").drawImage(video, (width - side) / 2, (height - side) / 2, side, side, 0, 0, SIDE, SIDE);
    canvas.toBlob((blob) => blob && taken(blob), "image/png");
  }

  new ResizeObserver(([{ contentRect }]) => stream && !contentRect.width && stop(text.hidden)).observe(frame); // hidden or removed
  document.addEventListener("visibilitychange", () => document.hidden && stream && stop(text.hidden));
  addEventListener("pagehide", () => stop());
  return { start, stop };
}
