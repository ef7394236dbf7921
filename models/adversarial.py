"""A picture changed by a few grey levels until a classifier sees something else in it.

The basic iterative method of Kurakin, Goodfellow, Bengio (2017), "Adversarial examples in the physical world", section 2.2:

    x₀ = x,   x_{t+1} = clip_{x, ε}( x_t + α sign ∇ J(x_t, y) )

Each step moves every pixel by α grey levels in the direction in which the loss J of the label y rises, and no pixel ever leaves
the ε levels around where it was. A classifier must answer whatever it is shown; what a model of p(x) says of the result is
another question (Song et al. 2018, "PixelDefend", section 3).

J is here minus the log odds of the label, log(1 − p_y) − log p_y. They rise wherever −log p_y does, so that the signs are the
same; but they are a difference of logits, whose gradient does not round to zero where the classifier is certain.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, eq=False)
class Attacked:
    """The picture after a step, and what the classifier makes of it."""

    image: Tensor  # uint8 (1, C, H, W)
    probabilities: Tensor  # float64 (K,)
    changed: int  # the largest difference from the original, grey levels


def steps(
    logits: Callable[[Tensor], Tensor],
    x: Tensor,
    label: int,
    *,
    limit: int = 64,
    size: int = 1,
    levels: int = 256,
    target: int | None = None,
    dtype: torch.dtype = torch.float32,
) -> Iterator[Attacked]:
    """The attack on the picture uint8 `(1, C, H, W)`, step by step, the picture itself first.

    `logits`: grey levels `(B, C, H, W)` in `dtype` to `(B, K)`, differentiable. `limit` is ε and `size` α, in grey levels;
    values stay within 0 and `levels - 1`. It ends with the first picture whose most probable label is not `label` (with a
    `target`: is the target), else after ⌈min(ε + 4, 1.25 ε) / α⌉ steps, as many as the source takes, or where a step would
    move nothing.

    Raises ValueError for more pictures than one, for what is not a picture of so many levels, for labels that the classifier
    has not, and for steps that cannot be.
    """
    if x.dtype != torch.uint8 or x.dim() != 4 or len(x) != 1:
        raise ValueError(f"One picture is uint8 (1, C, H, W), not {x.dtype} {tuple(x.shape)}.")
    if int(x.max()) >= levels:
        raise ValueError(f"Pixel value {int(x.max())} is not within 0 and {levels - 1}.")
    if limit < 0 or size < 1:
        raise ValueError(f"A limit of {limit} and steps of {size} grey levels: they must be at least 0 and 1.")
    if target == label:
        raise ValueError(f"The target {target} is the label itself: choose another.")
    original = x.long()
    low, high = (original - limit).clamp_min(0), (original + limit).clamp_max(levels - 1)
    now = original
    for left in range(math.ceil(min(limit + 4, 1.25 * limit) / size), -1, -1):
        wanted = label if target is None else target
        log_p, uphill = _evaluated(logits, now.to(dtype), wanted)
        yield Attacked(now.to(torch.uint8), log_p.exp(), int((now - original).abs().max()))
        top = int(log_p.argmax())
        if left == 0 or (top != label if target is None else top == target):
            return
        away = -uphill if target is None else uphill
        moved = torch.minimum(torch.maximum(now + size * away, low), high)
        if torch.equal(moved, now):
            return
        now = moved


def _evaluated(logits: Callable[[Tensor], Tensor], grey: Tensor, label: int) -> tuple[Tensor, Tensor]:
    """Log probabilities `(K,)`, and the signs of the gradient of the label's log odds, int64 as `grey`."""
    with torch.inference_mode(False), torch.enable_grad():
        free = grey.clone().requires_grad_(True)
        out = logits(free)[0].double()  # (K,)
        if len(out) < 2:
            raise ValueError("A classifier of one label cannot be led to another.")
        if not 0 <= label < len(out):
            raise ValueError(f"Label {label} is not within 0 and {len(out) - 1}.")
        others = torch.cat([out[:label], out[label + 1 :]])
        (gradient,) = torch.autograd.grad(out[label] - others.logsumexp(0), free)
    return out.detach().log_softmax(0), gradient.sign().long()
