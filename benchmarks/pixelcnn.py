"""Cached against naive sampling of the shipped 8-bit MNIST network: the same images, to the bit, from the same random numbers.

Naive is a pass of the whole network for each sub-pixel: its time is their number times the median of 20 passes, in the same
precision. That it gives the same images is checked by running it to its end, at batch 1 and 4. On a GPU, where there is one,
the same table with the sampler's rows as CUDA graphs.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

import torch

from benchmarks import Row
from models import zoo
from models.pixel_writer import naive, orders, sample
from models.pixelcnn import PixelCNN

NAME = "pixelcnn-mnist"
ASKED = {1: 40.0, 16: 200.0, 64: 400.0}
PASSES, RUNS = 20, 3
IDENTICAL = (1, 4)  # batches at which the naive one is run to its end


def _seconds(work: Callable[[], object], device: torch.device) -> float:
    began = time.perf_counter()
    work()
    if device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - began


@torch.inference_mode()
def ratio(model: PixelCNN, batch: int) -> tuple[float, float]:
    """Seconds of the cached sampler, and of the naive one."""
    device = next(model.parameters()).device
    labels = torch.arange(batch, device="cpu") % model.spec.classes
    x = sample(model, batch, noise=1, labels=labels)
    cached = min(_seconds(lambda: sample(model, batch, noise=1, labels=labels), device) for _ in range(RUNS))
    on_device = labels.to(device)
    one = statistics.median(_seconds(lambda: model.conditional_logits(x, on_device), device) for _ in range(PASSES))
    return cached, model.spec.dims * one


def same_images(model: PixelCNN, batch: int) -> bool:
    wanted = orders(model, batch, noise=1)
    return torch.equal(naive(model, wanted), sample(model, batch, noise=1))


def run() -> list[Row]:
    rows: list[Row] = []
    devices = ["cpu", "cuda"] if torch.cuda.is_available() else ["cpu"]
    for device in devices:
        double: PixelCNN = zoo.load(NAME, device)  # type: ignore[assignment]
        for batch in IDENTICAL:
            same = float(same_images(double, batch))
            rows.append(
                Row(f"{device}, batch {batch}: the images are identical (float64)", same, "", target=1, more_is_better=True)
            )
        for dtype in (torch.float32, torch.float64):
            model = double.to(dtype)
            for batch in (1, 16, 64, 256) if device == "cuda" else (1, 16, 64):
                cached, slow = ratio(model, batch)
                name = f"{device}, {str(dtype).removeprefix('torch.')}, batch {batch}"
                asked = ASKED.get(batch) if device == "cpu" and dtype == torch.float32 else None
                rows.append(Row(f"{name}: times as fast as naive", slow / cached, "×", target=asked, more_is_better=True))
                rows.append(Row(f"{name}: seconds", cached, "s", slow, "naive"))
            double = model
    return rows
