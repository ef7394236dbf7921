"""Runs a benchmark by name and prints its rows."""

from __future__ import annotations

import argparse
import importlib
import json
import os
import platform
from dataclasses import asdict

NAMES = {
    "drag": "from a move on the latent map to the painted picture, beside gr.Slider and gr.Image",
    "clouds": "from the click on a new start to the first painted frame, 10,000 points and 100 iterations of EM",
    "crowd": "40 people decoding 10 times a second, beside decoding one by one",
    "em": "an iteration of EM, beside scikit-learn's; memory at ten million points",
    "kmeans": "an iteration of K-means, beside scikit-learn's; memory at ten million points",
    "latents": "from a moved slider to the painted picture; sixty people dragging; how far the factors are kept apart",
    "likelihoods": "ten pictures under all models; importance weighting encoding once; outliers told apart; a binary VAE",
    "pixelcnn": "PixelCNN's cached sampling, beside a pass of the whole network for each sub-pixel",
    "pixels": "from the click on a new seed to the first painted pixels and the whole image; twenty people at once",
    "start": "from the start of the process to the served page, beside importing torch and gradio; first view; memory",
}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("name", nargs="?", choices=sorted(NAMES))
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    if options.name is None:
        print("\n".join(f"{name:8} {what}" for name, what in NAMES.items()))
        return
    rows = importlib.import_module(f"benchmarks.{options.name}").run()
    machine = f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}"
    if options.json:
        print(
            json.dumps(
                {
                    "name": options.name,
                    "machine": machine,
                    "rows": [asdict(r) | {"ratio": r.ratio, "holds": r.holds} for r in rows],
                }
            )
        )
        return
    print(f"{NAMES[options.name]}\n{machine}\n")
    for row in rows:
        peer = f"   {row.peer_name}: {row.peer:.3g} {row.unit} (ratio {row.ratio:.2f})" if row.peer else ""
        sign = "≥" if row.more_is_better else "≤"
        asked = f"   asked: {sign} {row.target:g}: {'held' if row.holds else 'MISSED'}" if row.target is not None else ""
        print(f"{row.what}: {row.ours:.4g} {row.unit}{peer}{asked}")


if __name__ == "__main__":
    main()
