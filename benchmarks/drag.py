"""From a move on the latent map to the painted picture, on loopback, beside the same thing made of gr.Slider and gr.Image.

Both decode with the same model. A move is an input event sent from within the page; the picture counts as painted at the
frame after the one in which its pixels (gr.Image: its loaded source) were put on the screen. Each waits for its picture.
"""

from __future__ import annotations

import os
from typing import Any

import numpy as np

from benchmarks import Row
from benchmarks.serving import browsing, serve

MOVES = 120
WARM_UP = 10

OURS = """async ([moves]) => {
  const canvas = document.querySelector(".latent-pad canvas");
  const out = document.querySelector(".here canvas");
  const box = canvas.getBoundingClientRect();
  const frame = () => new Promise(requestAnimationFrame);
  const times = [];
  for (let i = 0; i < moves; i++) {
    const t = (i * 2 * Math.PI) / 47;
    const began = performance.now();
    canvas.dispatchEvent(new PointerEvent("pointermove", { pointerType: "mouse",
      clientX: box.left + box.width * (0.5 + 0.3 * Math.cos(t)), clientY: box.top + box.height * (0.5 + 0.3 * Math.sin(t)) }));
    const wanted = out.dataset.wanted;
    while (out.dataset.painted !== wanted) await new Promise((r) => setTimeout(r, 0));
    await frame();
    times.push(performance.now() - began);
    await new Promise((r) => setTimeout(r, 20 + (i % 7) * 5));
  }
  return times;
}"""

SLIDER = """async ([moves]) => {
  const range = document.querySelector(".sliders input");
  const out = document.querySelector(".here canvas");
  const times = [];
  for (let i = 0; i < moves; i++) {
    const began = performance.now();
    range.value = 2 * Math.sin((i * 2 * Math.PI) / 47);
    range.dispatchEvent(new Event("input", { bubbles: true }));
    const wanted = out.dataset.wanted;
    while (out.dataset.painted !== wanted) await new Promise((r) => setTimeout(r, 0));
    await new Promise(requestAnimationFrame);
    times.push(performance.now() - began);
    await new Promise((r) => setTimeout(r, 20 + (i % 7) * 5));
  }
  return times;
}"""

PEER = """async ([moves]) => {
  const range = document.querySelector("#z1 input[type=range]");
  const set = Object.getOwnPropertyDescriptor(HTMLInputElement.prototype, "value").set;
  const times = [];
  for (let i = 0; i < moves; i++) {
    const before = document.querySelector("#out img")?.src;
    const began = performance.now();
    set.call(range, String((2 * Math.sin((i * 2 * Math.PI) / 47)).toFixed(2)));
    range.dispatchEvent(new Event("input", { bubbles: true }));
    for (;;) {
      const image = document.querySelector("#out img");
      if (image && image.src !== before) { await image.decode().catch(() => {}); break; }
      if (performance.now() - began > 3000) break;
      await new Promise((r) => setTimeout(r, 0));
    }
    await new Promise(requestAnimationFrame);
    times.push(performance.now() - began);
    await new Promise((r) => setTimeout(r, 20 + (i % 7) * 5));
  }
  return times;
}"""


def peer() -> None:
    """The same picture by Gradio's own components: slider, queue, image."""
    import gradio as gr
    import torch

    from models import zoo

    model: Any = zoo.load("vae-mnist-2d")

    def decode(z1: float, z2: float) -> np.ndarray:
        with torch.inference_mode():
            return model.decode(torch.tensor([[z1, z2]], dtype=torch.float64))[0, 0].numpy()

    with gr.Blocks(analytics_enabled=False) as demo:
        z = [gr.Slider(-3, 3, value=0, step=0.01, elem_id=name) for name in ("z1", "z2")]
        out = gr.Image(elem_id="out")
        gr.on([one.input for one in z], decode, z, out, show_progress="hidden")
    demo.launch(server_name=os.environ["HOST"], server_port=int(os.environ["PORT"]), quiet=True, ssr_mode=False)


def run() -> list[Row]:
    with serve(["app.py"]) as ours, serve(["-m", "benchmarks.drag"], "/") as theirs, browsing() as page:
        measured: dict[str, np.ndarray] = {}
        page.goto(f"{ours.url}/vae")
        page.locator("[data-ready=true]").wait_for()
        page.wait_for_function("() => document.querySelector('.here canvas').dataset.painted")
        page.wait_for_timeout(3000)
        for name, script in (("pad", OURS), ("slider", SLIDER)):
            measured[name] = np.array(page.evaluate(script, [MOVES + WARM_UP]))[WARM_UP:]
        page.goto(theirs.url)
        page.locator("#z1 input[type=range]").wait_for()
        page.wait_for_timeout(3000)
        measured["peer"] = np.array(page.evaluate(PEER, [MOVES + WARM_UP]))[WARM_UP:]
    rows = []
    for name in ("pad", "slider"):
        for share, target in ((50, 35.0), (95, 60.0)):
            ours_ms, peer_ms = (float(np.percentile(measured[which], share)) for which in (name, "peer"))
            rows.append(
                Row(f"{name} to painted, {share}th percentile", ours_ms, "ms", peer_ms, "gr.Slider to gr.Image", target)
            )
    return rows


if __name__ == "__main__":
    peer()
