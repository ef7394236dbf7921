"""The recorded probe: what a few labels are worth on pixels, on their principal axes, and on the codes of an AE and of a VAE.

    PLAYGROUND_DATA=... python -m playground.latent_probe        # makes recordings/latents_probe.json anew

A logistic regression knows 1 to 100 labels a class (`models.measures.probe`). All features are made of the same pictures: the
first `TRAIN` training images of MNIST, from which the labelled ones are drawn and which scale and turn the axes without labels,
and the first `TEST` test images. The recording names the weights that it was made with.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from models import pca, zoo
from models.data import images
from models.measures.probe import few_label_probe
from models.scoring import encoded
from playground import recordings

NAME = "latents_probe"
PER_CLASS = (1, 3, 10, 30, 100)  # labels
TRAIN, TEST = 10_000, 5_000  # images
REPEATS, SEED = 10, 0  # choices of the labelled pictures
AXES = 16  # of PCA: as many as the codes have
CODES = {"ae": "ae-mnist", "vae": "vae-mnist-16d"}


def features(train: Tensor, test: Tensor) -> dict[str, tuple[Tensor, Tensor]]:
    """Of uint8 images `(N, 1, 28, 28)`: float32 or float64 `(N, D)` for each kind, of training and of test images."""
    flat = [one.flatten(1).double() for one in (train, test)]
    axes = pca.fit(flat[0], AXES)
    found = {"pixels": (flat[0], flat[1]), "pca": (pca.project(flat[0], axes), pca.project(flat[1], axes))}
    for key, name in CODES.items():
        model: Any = zoo.load(name).float()  # twice as quick; a probe does not see the seventh digit
        found[key] = (encoded(model, train).mean, encoded(model, test).mean)
    return found


def record(
    per_class: tuple[int, ...] = PER_CLASS, *, train: int = TRAIN, test: int = TEST, repeats: int = REPEATS
) -> dict[str, Any]:
    """The probe on every kind of features, for every number of labels. Raises `DataMissing`, or UnknownCheckpoint."""
    known, held_out = images.load("mnist", "train"), images.load("mnist", "test")
    labels, test_labels = known.labels[:train], held_out.labels[:test]
    curves = []
    for key, (learned, fresh) in features(known.pixels[:train], held_out.pixels[:test]).items():
        probes = [
            few_label_probe(
                learned,
                labels,
                per_class=few,
                classes=10,
                test_features=fresh,
                test_labels=test_labels,
                repeats=repeats,
                seed=SEED,
            )
            for few in per_class
        ]
        curves.append(
            {
                "features": key,
                "dims": learned.shape[1],
                "mean": [round(one.mean, 5) for one in probes],
                "std": [round(one.std, 5) for one in probes],
                "accuracies": [[round(share, 5) for share in one.accuracies] for one in probes],
            }
        )
    return {
        "data": "mnist",
        "train": train,
        "test": test,
        "per_class": list(per_class),
        "repeats": repeats,
        "seed": SEED,
        "checkpoints": {name: zoo.card(name).scores["weights_sha256"] for name in CODES.values()},
        "curves": curves,
    }


def main() -> None:
    torch.set_num_threads(1)
    try:
        recording = record()
    except (images.DataMissing, zoo.UnknownCheckpoint) as missing:
        raise SystemExit(str(missing)) from missing
    recordings.save(NAME, recording)
    print(
        f"{NAME}: 10 labels a class name",
        ", ".join(_said(curve, recording["per_class"].index(10)) for curve in recording["curves"]),
    )


def _said(curve: dict[str, Any], at: int) -> str:
    return f"{100 * curve['mean'][at]:.1f} ± {100 * curve['std'][at]:.1f} % ({curve['features']})"


if __name__ == "__main__":
    main()
