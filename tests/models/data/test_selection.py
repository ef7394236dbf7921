"""The pictures that choose: read from files of the form in which they are given out, here made by hand."""

from __future__ import annotations

import gzip
import io
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from models.data import selection
from models.data.images import DataMissing


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Seven KMNIST pictures and, in two archives that share one, five drawings."""
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (7, 28, 28), dtype=np.uint8)
    file = tmp_path / f"{selection.KMNIST}.gz"
    file.parent.mkdir(parents=True)
    file.write_bytes(gzip.compress(struct.pack(">4i", 2051, 7, 28, 28) + pixels.tobytes()))
    np.save(tmp_path / "kmnist.npy", pixels)
    for number, names in enumerate((("a", "b", "c"), ("c", "d", "e"))):
        archive = tmp_path / selection.OMNIGLOT[number]
        archive.parent.mkdir(exist_ok=True)
        with zipfile.ZipFile(archive, "w") as out:
            for name in names:
                page = np.full((105, 105), 255, np.uint8)
                page[: 15 * (ord(name) - 96)] = 0  # ink at the top: a fifteenth-step band
                held = io.BytesIO()
                Image.fromarray(page).convert("1").save(held, "PNG")
                out.writestr(f"images_background_small{number + 1}/Latin/{name}.png", held.getvalue())
    return tmp_path


def test_kmnist_is_what_its_file_holds(folder: Path) -> None:
    found = selection.load("kmnist", 7, folder)
    assert (found.dtype, tuple(found.shape)) == (torch.uint8, (7, 1, 28, 28))
    held = np.load(folder / "kmnist.npy")
    assert sorted(one.tobytes() for one in found.numpy()) == sorted(one.tobytes() for one in held[:, None])


def test_omniglot_is_white_ink_on_black_and_each_drawing_comes_once(folder: Path) -> None:
    found = selection.load("omniglot", 100, folder)
    assert tuple(found.shape) == (5, 1, 28, 28)
    shares = sorted((found.double().mean((1, 2, 3)) / 255).tolist())
    assert shares == pytest.approx([15 * i / 105 for i in range(1, 6)], abs=0.01)


def test_few_are_chosen_by_the_seed(folder: Path) -> None:
    one, again, other = (selection.load("kmnist", 3, folder, seed=seed) for seed in (1, 1, 2))
    assert torch.equal(one, again)
    assert not torch.equal(one, other)


@pytest.mark.parametrize("name", selection.NAMES)
def test_what_is_missing_is_told(name: str, tmp_path: Path) -> None:
    with pytest.raises(DataMissing, match=f"is missing: set PLAYGROUND_DATA to a folder that has {name}"):
        selection.load(name, 3, tmp_path)


def test_an_unknown_set_is_told() -> None:
    with pytest.raises(ValueError, match="'svhn' is not one of kmnist, omniglot"):
        selection.load("svhn", 3)
