"""Data sets: the splits of digits, and MNIST read from idx files that the test itself writes (IDX: see Yann LeCun's page)."""

from __future__ import annotations

import http.client
import struct
import sys
from pathlib import Path
from urllib.error import URLError

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

from models.data import images
from models.data.images import DataMissing

TRAIN, TEST = 5_012, 7


def write_idx(file: Path, array: np.ndarray) -> None:
    header = struct.pack(">HBB", 0, 8, array.ndim) + struct.pack(f">{array.ndim}I", *array.shape)
    file.write_bytes(header + array.astype(np.uint8).tobytes())


@pytest.fixture(scope="module", params=["MNIST", "FashionMNIST"])
def fake(request, tmp_path_factory) -> tuple[str, Path]:
    """A folder with 5,012 training and 7 test images, each of which carries its own number in its first two pixels."""
    root = tmp_path_factory.mktemp("data")
    raw = root / request.param / "raw"
    raw.mkdir(parents=True)
    for prefix, count, offset in (("train", TRAIN, 0), ("t10k", TEST, 20_000)):
        pixels = np.zeros((count, 28, 28), np.uint8)
        number = offset + np.arange(count)
        pixels[:, 0, 0], pixels[:, 0, 1] = number // 256, number % 256
        write_idx(raw / f"{prefix}-images-idx3-ubyte", pixels)
        write_idx(raw / f"{prefix}-labels-idx1-ubyte", number % 10)
    return {"MNIST": "mnist", "FashionMNIST": "fashion"}[request.param], root


def numbers(found: images.Images) -> list[int]:
    return (found.pixels[:, 0, 0, 0].long() * 256 + found.pixels[:, 0, 0, 1]).tolist()


def test_validation_is_the_last_5000_training_images(fake: tuple[str, Path]) -> None:
    name, root = fake
    parts = {split: images.load(name, split, root) for split in images.SPLITS}
    assert numbers(parts["train"]) == list(range(TRAIN - 5000))
    assert numbers(parts["validation"]) == list(range(TRAIN - 5000, TRAIN))
    assert numbers(parts["test"]) == list(range(20_000, 20_000 + TEST))
    for part in parts.values():
        assert part.pixels.dtype == torch.uint8
        assert part.pixels.shape == (len(part), 1, 28, 28)
        assert part.labels.dtype == torch.int64
        assert part.labels.tolist() == [number % 10 for number in numbers(part)]
        assert len(part.classes) == 10


def test_the_folder_may_come_from_the_environment(fake: tuple[str, Path], monkeypatch) -> None:
    name, root = fake
    monkeypatch.setenv("PLAYGROUND_DATA", str(root))
    assert images.folder() == root
    assert len(images.load(name, "test")) == TEST
    assert images.folder("elsewhere") == Path("elsewhere")
    monkeypatch.delenv("PLAYGROUND_DATA")
    assert images.folder() == Path(images.__file__).parents[2] / "data"


def test_missing_data_says_what_to_do(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.delenv("PLAYGROUND_DATA", raising=False)
    monkeypatch.setattr(images, "__file__", str(tmp_path / "models" / "data" / "images.py"))
    with pytest.raises(DataMissing) as raised:
        images.load("mnist", "train")
    sentence = str(raised.value)
    assert str(tmp_path / "data") in sentence
    assert "python -m models.data.images mnist" in sentence
    assert "PLAYGROUND_DATA" in sentence


@pytest.mark.parametrize(
    "failure",
    [
        URLError("no route to host"),
        ConnectionResetError("connection reset by peer"),
        TimeoutError("timed out"),
        PermissionError("read-only file system"),
        http.client.IncompleteRead(b"half"),
    ],
    ids=lambda failure: type(failure).__name__,
)
def test_a_failing_network_says_what_to_do(failure: Exception, tmp_path: Path, monkeypatch) -> None:
    import torchvision.datasets.mnist

    def fail(*_, **__) -> None:
        raise failure

    monkeypatch.setattr(torchvision.datasets.mnist, "download_and_extract_archive", fail)
    with pytest.raises(DataMissing) as raised:
        images.load("fashion", "train", tmp_path, download=True)
    sentence = str(raised.value)
    assert "Fashion-MNIST could not be fetched" in sentence
    assert str(failure) in sentence
    assert str(tmp_path / "FashionMNIST" / "raw") in sentence
    assert "PLAYGROUND_DATA" in sentence


def test_the_command_prints_the_sentence_and_no_traceback(tmp_path: Path, monkeypatch) -> None:
    import torchvision.datasets.mnist

    def fail(*_, **__) -> None:
        raise URLError("no route to host")

    monkeypatch.setattr(torchvision.datasets.mnist, "download_and_extract_archive", fail)
    monkeypatch.setattr(sys, "argv", ["images", "mnist", "--data", str(tmp_path)])
    with pytest.raises(SystemExit, match="could not be fetched"):
        images.main()


def test_the_command_counts_what_is_there(fake: tuple[str, Path], monkeypatch, capsys) -> None:
    name, root = fake
    monkeypatch.setattr(sys, "argv", ["images", name, "--data", str(root)])
    images.main()
    assert f"{TEST} test images" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("name", "split", "sentence"),
    [
        ("imagenet", "train", "'imagenet' is not one of mnist, fashion, mnist-binary, digits, sprites, sprites-256"),
        ("digits", "everything", "'everything' is not one of train, validation, test"),
    ],
)
def test_unknown_names_are_refused_in_a_sentence(name: str, split: str, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        images.load(name, split)


def test_every_data_set_has_a_title_and_classes_of_different_names() -> None:
    assert set(images.TITLES) == set(images.CLASSES) == set(images.NAMES)
    assert {name: len(set(classes)) for name, classes in images.CLASSES.items()} == {
        name: 3 if name.startswith("sprites") else 10 for name in images.NAMES
    }


def test_the_splits_of_digits_are_disjoint_and_complete() -> None:
    parts = [images.load("digits", split) for split in images.SPLITS]
    assert [len(part) for part in parts] == [1200, 300, 297]
    assert torch.cat([part.labels for part in parts]).tolist() == load_digits().target.tolist()
    everything = torch.cat([part.pixels for part in parts])
    # The originals are all different, and so must these be: an image in two splits would show here.
    assert len(np.unique(load_digits().images, axis=0)) == len(everything.unique(dim=0)) == 1797


def test_digits_have_the_form_of_mnist(digits: images.Images) -> None:
    assert digits.pixels.dtype == torch.uint8
    assert digits.pixels.shape == (1200, 1, 28, 28)
    place = torch.arange(28.0).double()
    for image in digits.pixels[:, 0]:
        rows, columns = (image > 0).any(1).nonzero(), (image > 0).any(0).nonzero()
        assert max(rows.max() - rows.min(), columns.max() - columns.min()) + 1 == 20
        ink = image.double()
        assert abs(float((ink.sum(1) * place).sum() / ink.sum()) - 13.5) < 1
        assert abs(float((ink.sum(0) * place).sum() / ink.sum()) - 13.5) < 1


def test_digits_look_like_their_originals(digits: images.Images) -> None:
    """Shrunk back to their bounding box, they go with scikit-learn's 8 × 8 pictures, as far as raised contrast lets them."""
    agreement = []
    originals = torch.from_numpy(load_digits().images[:200]).float()
    for image, original in zip(digits.pixels[:200, 0].float(), originals, strict=True):
        rows, columns = (image > 0).any(1).nonzero(), (image > 0).any(0).nonzero()
        box = image[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
        inked = (original > 0.12 * 16).nonzero()
        small = original[inked[:, 0].min() : inked[:, 0].max() + 1, inked[:, 1].min() : inked[:, 1].max() + 1]
        shrunk = torch.nn.functional.adaptive_avg_pool2d(box[None, None], small.shape)[0, 0]
        agreement.append(float(torch.corrcoef(torch.stack([shrunk.flatten(), small.flatten()]))[0, 1]))
    assert min(agreement) > 0.4
    assert sum(agreement) / len(agreement) > 0.85


def test_digits_have_about_as_much_ink_as_mnist(digits: images.Images) -> None:
    assert 28 < float(digits.pixels.double().mean()) < 36  # MNIST's test images: 33.8


def test_mutation_replaces_the_share_that_was_asked_for_by_the_example_s_noise() -> None:
    x = torch.full((50, 1, 20, 20), 7, dtype=torch.uint8)
    index = torch.arange(50)
    changed = images.mutate(x, 256, 0.3, index, 5)
    share = float((changed != 7).double().mean())
    assert share == pytest.approx(0.3 * 255 / 256, abs=0.01)
    others = changed[changed != 7].double()
    assert float(others.mean()) == pytest.approx(127.5, abs=3)
    assert torch.equal(images.mutate(x[10:20], 256, 0.3, index[10:20], 5), changed[10:20])
    assert torch.equal(images.mutate(x, 256, 0.0, index, 5), x)
    assert int(images.mutate(torch.zeros_like(x), 2, 0.5, index, 5).max()) == 1
