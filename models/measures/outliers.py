"""How surprising is too surprising? A score alone says little: it must be compared with something.

A *score* here is a surprise in bits per dimension, or a difference of surprises; higher is more of an outlier. It is compared
with the scores of held-out pictures, from one side (a rank) or from both (typicality), with the score of a model of the
background (a likelihood ratio), or with the length of a lossless code (complexity). How well a score tells outliers from
insiders is the area under its ROC curve, in which the outlier is the positive class.

The comparisons exist because of a trap: models of one kind of picture find simpler pictures of another kind *less* surprising.
Source: Nalisnick, Matsukawa, Teh, Gorur, Lakshminarayanan (2019), "Do deep generative models know what they don't know?".
"""

from __future__ import annotations

import bz2
import io
import lzma
import math
import zlib
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from sklearn.metrics import roc_auc_score, roc_curve
from torch import Tensor

from models.noise import Noise

Picture = NDArray[np.uint8]  # (H, W)


def checked_scores(name: str, values: Tensor, *, least: int = 0) -> Tensor:
    """`values` as float64 `(N,)` on the CPU, or a ValueError that says what is wrong: their shape, that they are fewer than
    `least`, or that one of them is not finite.
    """
    if values.dim() != 1:
        raise ValueError(f"{name} are one number a picture, (N,), not {tuple(values.shape)}.")
    if len(values) < least:
        raise ValueError(f"{len(values)} {name} are too few: at least {least}.")
    values = values.detach().double().cpu()
    finite = values.isfinite()
    if not finite.all():
        first = int((~finite).nonzero()[0])
        raise ValueError(f"{name}: number {first} is {float(values[first])}, which is not finite.")
    return values


def _alike(first: str, a: Tensor, second: str, b: Tensor) -> tuple[Tensor, Tensor]:
    """Two scores of the same pictures."""
    a, b = checked_scores(first, a), checked_scores(second, b)
    if len(a) != len(b):
        raise ValueError(f"{first} and {second} are of the same pictures, not of {len(a)} and {len(b)}.")
    return a, b


def one_sided_rank(scores: Tensor, calibration: Tensor, *, noise: Noise | int) -> Tensor:
    """The rank of each of `scores` `(B,)` among the scores of held-out pictures `calibration` `(N,)`: float64 `(B,)` in (0, 1).

        p = (#{c > s} + U·(1 + #{c = s})) / (N + 1)

    Small is surprising. U, uniform and of each picture's own, breaks ties, so that p is exactly uniform where the picture and
    the held-out ones are exchangeable. Apart from ties it orders pictures as the score does: it gives the score a unit, and
    repairs nothing of it. Raises ValueError for an empty calibration. Source: Song, Kim, Nowozin, Ermon, Kushman (2018),
    "PixelDefend", section 3.2, where p = (1 + #{c ≥ s}) / (N + 1), our case U = 1.
    """
    scores, calibration = checked_scores("scores", scores), checked_scores("calibration scores", calibration, least=1)
    ordered, n = calibration.sort().values, len(calibration)
    above = n - torch.searchsorted(ordered, scores, right=True)  # (B,)
    equal = n - above - torch.searchsorted(ordered, scores)  # (B,)
    u = Noise.of(noise).uniform(len(scores), stream="rank")  # (B,)
    p = (above + u * (1 + equal)) / (n + 1)
    return p.clamp_max(1 - 2.0**-53)  # N + U rounds up to N + 1 where U is within rounding of 1


def two_sided_rank(scores: Tensor, calibration: Tensor, *, noise: Noise | int) -> Tensor:
    """2·min(p, 1 − p) of the one-sided rank p: float64 `(B,)` in (0, 1], and small where the score is unusually high *or* low.

    Uniform where p is. The arguments and errors are those of `one_sided_rank`.
    """
    p = one_sided_rank(scores, calibration, noise=noise)
    return 2 * torch.minimum(p, 1 - p)


def typicality(scores: Tensor, calibration: Tensor) -> Tensor:
    """|s − mean of `calibration`|, in the unit of the scores, float64 `(B,)`: how far each of `scores` `(B,)` lies from those
    of held-out pictures `(N,)`, on either side. Raises ValueError for an empty calibration.

    Source: Nalisnick, Matsukawa, Teh, Lakshminarayanan (2019), "Detecting out-of-distribution inputs to deep generative models
    using typicality", section 3, for a single picture (M = 1).
    """
    calibration = checked_scores("calibration scores", calibration, least=1)
    return (checked_scores("scores", scores) - calibration.mean()).abs()


def likelihood_ratio(surprise: Tensor, background: Tensor) -> Tensor:
    """surprise − background surprise of the same pictures, in their unit, float64 `(B,)`.

    What both models find hard cancels; what only the first one finds hard remains. Source: Ren, Liu, Fertig, Snoek, Poplin,
    DePristo, Dillon, Lakshminarayanan (2019), "Likelihood ratios for out-of-distribution detection", section 3, equation 2,
    with the sign turned so that high is outlying.
    """
    surprise, background = _alike("surprises", surprise, "background surprises", background)
    return surprise - background


def _pillow(kind: str, **options: int | bool) -> Callable[[Picture], bytes]:
    def encode(picture: Picture) -> bytes:
        file = io.BytesIO()
        Image.fromarray(picture).save(file, kind, **options)
        return file.getvalue()

    return encode


ENCODERS: dict[str, Callable[[Picture], bytes]] = {  # grey picture, uint8 (H, W), to a lossless code
    "png": _pillow("PNG", optimize=True),
    "webp": _pillow("WEBP", lossless=True, method=6, quality=100),
    "jpeg2000": _pillow("JPEG2000", irreversible=False, no_jp2=True),  # the code alone: its box is longer than a small picture
    "zlib": lambda picture: zlib.compress(picture.tobytes(), 9),
    "lzma": lambda picture: lzma.compress(picture.tobytes()),
    "bz2": lambda picture: bz2.compress(picture.tobytes(), 9),
}


def _bits(encode: Callable[[Picture], bytes]) -> Callable[[Picture], int]:
    return lambda picture: 8 * len(encode(picture))


COMPRESSORS: dict[str, Callable[[Picture], int]] = {name: _bits(encode) for name, encode in ENCODERS.items()}  # bits


def complexity(x: Tensor, compressor: str = "png") -> Tensor:
    """Bits per dimension of the lossless code of each of the grey pictures `x` uint8 `(B, 1, H, W)`: float64 `(B,)`.

    It holds the file's header, about the same for pictures of one size: it moves all of them and reorders few. Raises
    ValueError for an unknown compressor and for pictures that are not grey.
    """
    if compressor not in COMPRESSORS:
        raise ValueError(f"Compressor {compressor!r} is none of {', '.join(COMPRESSORS)}.")
    if x.dtype != torch.uint8 or x.dim() != 4 or x.shape[1] != 1 or not x.shape[2] * x.shape[3]:
        raise ValueError(f"Complexity is of grey pictures uint8 (B, 1, H, W), not {x.dtype} {tuple(x.shape)}.")
    bits = [COMPRESSORS[compressor](picture) for picture in x[:, 0].cpu().numpy()]
    return torch.tensor(bits, dtype=torch.float64) / (x.shape[2] * x.shape[3])


def complexity_score(surprise: Tensor, complexity: Tensor) -> Tensor:
    """surprise − complexity of the same pictures, both in bits per dimension, float64 `(B,)`: a likelihood ratio whose
    background model is a compressor.

    Source: Serrà, Álvarez, Gómez, Slizovskaia, Núñez, Luque (2020), "Input complexity and out-of-distribution detection with
    likelihood-based generative models", equation 1: S(x) = −ℓ(x) − L(x).
    """
    surprise, complexity = _alike("surprises", surprise, "complexities", complexity)
    return surprise - complexity


@dataclass(frozen=True)
class Roc:
    """Shares of insiders and of outliers that score at least a threshold, as it falls: from (0, 0) to (1, 1)."""

    false_positive: Tensor  # float64 (P,)
    true_positive: Tensor  # float64 (P,)
    auroc: float  # the probability that an outlier scores above an insider, ties counting half
    standard_error: float  # of auroc


def roc(outliers: Tensor, insiders: Tensor, *, points: int | None = None) -> Roc:
    """How well a score tells `outliers` `(P,)` from `insiders` `(N,)`, at least two each.

    `points` thins the curve, not its area, to at most so many points, evenly along it, ends kept. The standard error takes no
    shape of the scores for granted: each picture has a share of the others that it is on the right side of, and the variance
    of the area is that of the shares, S₁₀/P + S₀₁/N. It is 0 where the two do not overlap, which is no certainty. Source:
    DeLong, DeLong, Clarke-Pearson (1988), "Comparing the areas under two or more correlated receiver operating characteristic
    curves: a nonparametric approach", equations 2 to 7.
    """
    outliers = checked_scores("outliers' scores", outliers, least=2)
    insiders = checked_scores("insiders' scores", insiders, least=2)
    if points is not None and points < 2:
        raise ValueError(f"{points} points are too few for a curve: at least its 2 ends.")
    positive = np.repeat([1, 0], [len(outliers), len(insiders)])
    scores = torch.cat([outliers, insiders]).numpy()
    false_positive, true_positive, _ = roc_curve(positive, scores)
    if points is not None:
        along = false_positive + true_positive  # 0 to 2: the curve never turns back
        halfway = (along[1:] + along[:-1]) / 2
        kept = np.unique(np.searchsorted(halfway, np.linspace(0, 2, points)))  # the nearest to each place
        false_positive, true_positive = false_positive[kept], true_positive[kept]
    above_insiders, below_outliers = _share_below(outliers, insiders), 1 - _share_below(insiders, outliers)
    variance = above_insiders.var() / len(outliers) + below_outliers.var() / len(insiders)
    return Roc(
        torch.from_numpy(false_positive).double(),
        torch.from_numpy(true_positive).double(),
        float(roc_auc_score(positive, scores)),
        math.sqrt(float(variance)),
    )


def _share_below(scores: Tensor, others: Tensor) -> Tensor:
    """The share of `others` below each of `scores`, ties counting half: float64 `(B,)`."""
    ordered = others.sort().values
    below, not_above = (torch.searchsorted(ordered, scores, right=right) for right in (False, True))
    return (below + not_above) / (2 * len(others))


def kolmogorov_distance(ranks: Tensor) -> float:
    """The largest distance between the distribution function of `ranks` `(B,)`, within 0 and 1, and that of the uniform.

    Near 0 where the ranks of held-out pictures are as they should be: of B true uniforms it is 0.87/√B on average. Source:
    Kolmogorov (1933), "Sulla determinazione empirica di una legge di distribuzione".
    """
    ordered = checked_scores("ranks", ranks, least=1).sort().values
    if ordered[0] < 0 or ordered[-1] > 1:
        raise ValueError(f"Ranks from {float(ordered[0]):g} to {float(ordered[-1]):g} are not within 0 and 1.")
    steps = torch.arange(len(ordered) + 1, dtype=torch.float64) / len(ordered)  # the distribution function jumps at each rank
    return float(torch.maximum(steps[1:] - ordered, ordered - steps[:-1]).max())


@dataclass(frozen=True)
class Histogram:
    """Scores counted in bins of equal width; each holds its lower edge, the last its upper one as well."""

    edges: Tensor  # float64 (bins + 1,)
    counts: Tensor  # int64 (bins,)
    below: int = 0  # scores left of the span: nothing is lost silently
    above: int = 0


def histogram(scores: Tensor, bins: int = 40, span: tuple[float, float] | None = None) -> Histogram:
    """`scores` `(N,)` in `bins` equal bins of `span` (low, high), by default from the least to the greatest of them.

    Two histograms in one figure share a span. Raises ValueError for no scores, no bins, or a span without width.
    """
    scores = checked_scores("scores", scores, least=1)
    if bins < 1:
        raise ValueError(f"{bins} bins are too few: at least 1.")
    if span is not None and not -math.inf < span[0] < span[1] < math.inf:
        raise ValueError(f"The span {span[0]:g} to {span[1]:g} has no width.")
    counts, edges = np.histogram(scores.numpy(), bins, span)
    below, above = int((scores < edges[0]).sum()), int((scores > edges[-1]).sum())
    return Histogram(torch.from_numpy(edges), torch.from_numpy(counts).long(), below, above)


def quantiles(scores: Tensor, count: int = 101) -> Tensor:
    """`count` quantiles of `scores` `(N,)` at equal steps from the least to the greatest: float64 `(count,)`.

    What a card keeps of held-out scores, and `likelihood.share_at_least` reads. Raises ValueError for no scores and for fewer
    than the two ends.
    """
    scores = checked_scores("scores", scores, least=1)
    if count < 2:
        raise ValueError(f"{count} quantiles are too few: at least the 2 ends.")
    return torch.quantile(scores, torch.linspace(0, 1, count, dtype=torch.float64))
