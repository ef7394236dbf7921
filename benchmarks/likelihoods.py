"""Likelihoods of pictures: ten under all models, importance weighting beside a loop that encodes again, outliers, a binary VAE.

1. Ten pictures, all models of a data set, as the page asks them: seconds, the median of nine, one torch thread as in the app.
2. 5,000 importance samples: encoded once, against the same network in a loop that encodes anew for every chunk, as pythae's
   likelihood does. A ratio, in one run, with equal results, on a network with equally heavy encoder and decoder.
3. AUROC of clothes against digits, from the recording: the positive class is the digit; which score, which model.
4. `vae-mnist-binary`: its stored score, and anew on the first images where MNIST is at hand.
"""

from __future__ import annotations

import math
import statistics
import time
from typing import Any

import torch

from benchmarks import Row
from models import zoo
from models.data import images
from models.noise import Noise
from models.vae import VAE
from playground import likelihood_lesson as lesson
from playground import likelihood_scores, recordings
from playground.inference import Inference

RUNS = 9
PICTURES = 10  # of the importance samples
SAMPLES = 5_000
CHUNK = 100  # copies in one pass of the peer's loop
FEW = 100  # images scored anew
BEST = "pixelcnn-fashion"  # the model whose ratio and complexity are asked for


def run() -> list[Row]:
    torch.set_num_threads(1)
    return [*_ten(), *_importance(), *_outliers(), *_binary()]


def _ten() -> list[Row]:
    x, rows = images.load("digits", "test").pixels[:10], []
    for data in lesson.DATA:
        inference, seconds = Inference(), []
        for _ in range(RUNS + 1):
            began = time.perf_counter()
            found = inference.stream(likelihood_scores.scored(inference, data, x, 0)).result()
            seconds.append(time.perf_counter() - began)
        asked = len(found["models"]) + (found["background"] is not None)
        rows.append(Row(f"ten pictures under {asked} models of {data}", statistics.median(seconds[1:]), "s", target=2.0))
    return rows


def _importance() -> list[Row]:
    """On `vae-mnist-binary`, whose encoder is as heavy as its decoder; the two take turns, and their medians are compared."""
    model: Any = zoo.load("vae-mnist-binary").float()
    grey = images.load("digits", "test").pixels[:PICTURES]
    x = images.binarise(grey, torch.arange(PICTURES), 0)
    ours, peers = [], []
    with torch.inference_mode():
        for _ in range(RUNS + 1):
            once, again = _timed(lambda: _once(model, x)), _timed(lambda: _again(model, x))
            assert torch.allclose(once[1], again[1], atol=1e-3)
            ours.append(once[0])
            peers.append(again[0])
    seconds, peer = statistics.median(ours[1:]), statistics.median(peers[1:])
    what = f"{SAMPLES:,} importance samples of {PICTURES} pictures: {peer:.2f} s for the peer, {seconds:.2f} s for ours"
    row = Row(what, peer / seconds, "×", 1.0, "a loop that encodes every copy again", target=1.7, more_is_better=True)
    return [row]


def _once(model: VAE, x: torch.Tensor) -> torch.Tensor:
    """As the library does it: every picture encoded once, draws of all pictures in one pass."""
    return model.log_prob(x, method="importance", samples=SAMPLES, noise=0).nats


def _again(model: VAE, x: torch.Tensor) -> torch.Tensor:
    """As pythae's `get_nll` goes: picture by picture, `CHUNK` copies of it at a time, each encoded again. The same draws."""
    found = []
    for i, picture in enumerate(x.split(1)):
        parts = []
        for first in range(0, SAMPLES, CHUNK):
            model.encode(picture.repeat_interleave(CHUNK, 0))
            parts.append(model.log_weights(picture, noise=Noise(0, first=i))(first, CHUNK))
        found.append(torch.cat(parts).double().logsumexp(0) - math.log(SAMPLES))
    return torch.cat(found)


def _timed(work: Any) -> tuple[float, torch.Tensor]:
    began = time.perf_counter()
    found = work()
    return time.perf_counter() - began, found


def _outliers() -> list[Row]:
    recorded, rows = recordings.load("likelihoods_trap"), []
    for model in recorded["models"]:
        for key, one in model["scores"].items():
            what = (
                f"AUROC of clothes against digits (positive: the digit), {model['name']}, {key}, ± {one['error']:.4f}, recorded"
            )
            target = 0.98 if model["name"] == BEST and key in ("ratio", "complexity") else None
            rows.append(Row(what, one["auroc"], "", target=target, more_is_better=True))
    return rows


def _binary() -> list[Row]:
    stored = zoo.card("vae-mnist-binary").scores["scores"]["importance"]
    error = f"± {stored['nats_standard_error']:.2f}, {stored['images']:,} images, recorded"
    rows = [Row(f"vae-mnist-binary, {stored['samples']:,} samples {error}", -stored["nats"], "nats", target=87.0)]
    try:
        test = images.load("mnist-binary", "test")
    except images.DataMissing:
        return rows
    model: Any = zoo.load("vae-mnist-binary").float()
    step = len(test) // FEW
    with torch.inference_mode():
        nats = model.log_prob(test.pixels[::step], method="importance", samples=SAMPLES, noise=Noise(0)).nats
    error = f"± {float(nats.std()) / math.sqrt(len(nats)):.2f}, every {step}th test image"
    return [*rows, Row(f"vae-mnist-binary, {SAMPLES:,} samples anew {error}", -float(nats.mean()), "nats")]
