"""Pictures that no model of digits or clothes was made for.

Whoever rejects by low density must meet pictures that are wrong in different ways: too simple, too complex, right in every
single pixel and wrong as a whole, or from another world. All are 28 × 28 and functions of a picture and a seed alone; the
photograph is one of scikit-learn's own, so that no file is needed. No trap is prepared as its data set was
(`models.data.prepare`): preparation would mend some of them.

Density alone takes in several: Nalisnick, Matsukawa, Teh, Gorur, Lakshminarayanan (2019), "Do deep generative models know what
they don't know?", section 3; Serrà et al. (2020), "Input complexity and out-of-distribution detection with likelihood-based
generative models", section 2, has why: the simpler a picture, the more probable.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from models.data import sprites
from models.noise import Noise

SIDE = 28  # pixels
LUMA = (0.299, 0.587, 0.114)  # of red, green and blue: ITU-R BT.601, section 2.5.1
PHOTOGRAPH = "china.jpg"  # of the two that scikit-learn brings along: roofs and sky, fine detail beside an even ground


def trap(name: str, picture: Tensor | None = None, *, noise: Noise | int) -> Tensor:
    """The trap of that name: uint8 `(28, 28)`, 0 to 255. `picture`, of the same form, is what those of `NEEDS_PICTURE` change.

    Raises ValueError for an unknown name, a missing picture, or one of another form.
    """
    if name in _ALONE:
        return _ALONE[name](Noise.of(noise))
    if name not in NEEDS_PICTURE:
        raise ValueError(f"Trap {name!r} is not one of {', '.join(NAMES)}.")
    if picture is None:
        raise ValueError(f"Trap {name!r} is made from a picture: give one, uint8 ({SIDE}, {SIDE}).")
    if picture.dtype != torch.uint8 or tuple(picture.shape) != (SIDE, SIDE):
        raise ValueError(f"A picture is uint8 ({SIDE}, {SIDE}), not {picture.dtype} {tuple(picture.shape)}.")
    return _OF_A_PICTURE[name](picture, Noise.of(noise))


def blank(noise: Noise) -> Tensor:
    """All black. Most of any digit is black, and certain: the emptiest picture may be more probable than every digit."""
    return torch.zeros(SIDE, SIDE, dtype=torch.uint8)


def white(noise: Noise) -> Tensor:
    """All white. As simple as black, and simple is probable for a model that predicts a pixel from its neighbours; yet corners
    were never white, so that a model which knows where ink lies is sure to be surprised.
    """
    return torch.full((SIDE, SIDE), 255, dtype=torch.uint8)


def uniform_noise(noise: Noise) -> Tensor:
    """Every grey value of every pixel is as likely. What is meant by an outlier, and the easy case: whoever misses this one
    catches nothing.
    """
    return (256 * noise.uniform(SIDE, (SIDE,), stream="trap: noise")).to(torch.uint8)


def photo(noise: Noise) -> Tensor:
    """A photograph: the square in the middle of `PHOTOGRAPH`, in grey, averaged. It has no ground and no ink, all values
    between are in use, and its smooth shades are what a model of strokes has never seen; the seed does not matter.
    """
    from sklearn.datasets import load_sample_image  # takes half a second to import: only where it is used

    colours = torch.from_numpy(load_sample_image(PHOTOGRAPH).copy()).double()  # (H, W, 3)
    grey = colours @ torch.tensor(LUMA, dtype=torch.float64)
    h, w = grey.shape
    side = min(h, w)
    top, left = (h - side) // 2, (w - side) // 2
    return to_side(grey[top : top + side, left : left + side])


def sprite(noise: Noise) -> Tensor:
    """One even grey shape from another data set. White on black like a digit and simpler than one: close in looks, and the case
    of Nalisnick et al., where the foreign data set gets the *higher* density.
    """
    return to_side(sprites.render(sprites.draw(1, noise=noise), colour=False)[0, 0])


def inverted(picture: Tensor, noise: Noise) -> Tensor:
    """Black for white. To a person the same digit; hardly one pixel keeps a value that the model has seen there."""
    return 255 - picture


def shuffled(picture: Tensor, noise: Noise) -> Tensor:
    """The same pixels in another order. Every statistic that has no place in it is right (the histogram, the amount of ink):
    only a model that knows which pixels belong together can tell.
    """
    order = noise.permutation(picture.numel(), stream="trap: shuffled")
    return picture.flatten()[order].reshape(picture.shape)


def half(picture: Tensor, noise: Noise) -> Tensor:
    """The lower half black. No picture any more, yet each part of it occurs in many: and with less ink than before it is often
    *more* probable than the whole.
    """
    cut = picture.clone()
    cut[SIDE // 2 :] = 0
    return cut


def dimmed(picture: Tensor, noise: Noise) -> Tensor:
    """Half the contrast, rounded to even. The form is right, and no stroke in the data set is grey throughout; squared errors
    fall with the contrast, so that a Gaussian decoder may well prefer it.
    """
    return (picture.double() / 2).round().to(torch.uint8)


def to_side(grey: Tensor) -> Tensor:
    """Grey values `(H, W)` as uint8 `(28, 28)`, each the mean over the area that it covers, pixels in part by that part.

    A picture smaller than that is enlarged by the same rule.
    """
    rows, columns = _cover(grey.shape[0]), _cover(grey.shape[1])
    return (rows @ grey.double() @ columns.T).round().clamp(0, 255).to(torch.uint8)


def _cover(size: int) -> Tensor:
    """float64 `(28, size)`: the share of each old pixel in each new one; rows sum to 1."""
    width = size / SIDE
    low = torch.arange(SIDE, dtype=torch.float64)[:, None] * width
    pixel = torch.arange(size, dtype=torch.float64)[None]
    overlap = torch.minimum(low + width, pixel + 1) - torch.maximum(low, pixel)
    return overlap.clamp_min(0) / width


_ALONE: dict[str, Callable[[Noise], Tensor]] = {
    "blank": blank,
    "white": white,
    "noise": uniform_noise,
    "photo": photo,
    "sprite": sprite,
}
_OF_A_PICTURE: dict[str, Callable[[Tensor, Noise], Tensor]] = {
    "inverted": inverted,
    "shuffled": shuffled,
    "half": half,
    "dimmed": dimmed,
}
NEEDS_PICTURE = frozenset(_OF_A_PICTURE)
NAMES = (*_ALONE, *_OF_A_PICTURE)
