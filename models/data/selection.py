"""Pictures on which the settings of outlier scores are chosen, and nothing else: KMNIST and Omniglot.

Whoever reports how well clothes are told from digits must not choose anything by that very pair. These two are neither, and of
the same form: white ink on black, 28 × 28, 256 levels.

- KMNIST: Clanuwat, Bober-Irizar, Kitamoto, Lamb, Yamamoto, Ha (2018), "Deep learning for classical Japanese literature".
- Omniglot: Lake, Salakhutdinov, Tenenbaum (2015), "Human-level concept learning through probabilistic program induction"; black
  ink on white there, 105 × 105, and turned and averaged down here. The two "small" background sets.
"""

from __future__ import annotations

import gzip
import io
import zipfile
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor
from torch.nn.functional import interpolate

from models.data.images import DataMissing, folder
from models.noise import Noise

KMNIST = Path("KMNIST") / "raw" / "t10k-images-idx3-ubyte"  # the test images, with or without .gz
OMNIGLOT = [Path("omniglot-py") / f"images_background_small{i}.zip" for i in (1, 2)]


def load(name: str, n: int, root: str | Path | None = None, *, seed: int = 0) -> Tensor:
    """`n` pictures uint8 `(n, 1, 28, 28)`, chosen by the seed. Raises DataMissing, or ValueError for an unknown name."""
    if name not in SETS:
        raise ValueError(f"{name!r} is not one of {', '.join(SETS)}.")
    try:
        return SETS[name](folder(root), n, seed)
    except FileNotFoundError as error:
        raise DataMissing(f"{error.filename} is missing: set PLAYGROUND_DATA to a folder that has {name}.") from error


def _kmnist(root: Path, n: int, seed: int) -> Tensor:
    from torchvision.datasets.mnist import read_image_file  # takes over a second to import: only where it is used

    plain = root / KMNIST
    if plain.is_file():
        pixels = read_image_file(str(plain))[:, None]
    else:
        with gzip.open(f"{plain}.gz") as file:  # 16 bytes of header: magic number, count, height, width
            pixels = torch.frombuffer(bytearray(file.read()[16:]), dtype=torch.uint8).reshape(-1, 1, 28, 28)
    return pixels[_order(len(pixels), n, seed)]


def _omniglot(root: Path, n: int, seed: int) -> Tensor:
    found: dict[str, tuple[Path, str]] = {}  # the two sets share a thousand drawings
    for file in OMNIGLOT:
        with zipfile.ZipFile(root / file) as archive:
            names = [one for one in archive.namelist() if one.endswith(".png")]
            found |= {one.split("/", 1)[-1]: (root / file, one) for one in names}
    chosen = [sorted(found)[int(i)] for i in _order(len(found), n, seed)]
    opened = {file: zipfile.ZipFile(root / file) for file in OMNIGLOT}
    ink = []
    for one in chosen:
        path, inside = found[one]
        image = Image.open(io.BytesIO(opened[path.relative_to(root)].read(inside))).convert("L")
        ink.append(255 - torch.frombuffer(bytearray(image.tobytes()), dtype=torch.uint8).reshape(1, 105, 105))
    for archive in opened.values():
        archive.close()
    return interpolate(torch.stack(ink).double(), size=(28, 28), mode="area").round().to(torch.uint8)


def _order(total: int, n: int, seed: int) -> Tensor:
    return Noise(seed).permutation(total, stream="selection")[:n]


SETS = {"kmnist": _kmnist, "omniglot": _omniglot}
NAMES = tuple(SETS)
