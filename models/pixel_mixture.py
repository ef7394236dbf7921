"""A mixture of diagonal Gaussians over pixels: exact, because given the component all pixels are independent.

    p(x) = Σ_k w_k Π_d P(x_d; μ_kd, σ_kd)

P is a Gaussian on the integers (`models.discretised_gaussian`): the unit cell's mass, with open ends, so that a mean far below
0 makes black certain. Each component is one blurred picture with a width for every pixel. With `classes`, every class y has
components of its own: p(x|y), and p(x) = (1/K) Σ_y p(x|y); the label of a picture follows by Bayes' rule.

It begins at K-means (the centres, and the spread around them), and then climbs the exact log-likelihood by gradient: with
rounded and clipped Gaussians, EM's M-step has no closed form.

Source: McLachlan and Peel (2000), "Finite mixture models", chapter 3; the rounding as in `models.discretised_gaussian`.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn.functional import log_softmax, one_hot

from models import discretised_gaussian, kmeans, starts
from models.contract import Density, Family, GenerativeModel, LogProb, Noise, Spec, checked_labels

SEEN = 10_000  # training images from which K-means begins, of each class at most this many
ROUNDS = 20  # of K-means, at most
LEAST = 1.0  # grey levels: the smallest deviation at the start
CHUNK = 2**21  # terms log P(x_d; μ_kd, σ_kd) at once: this bounds memory


class PixelMixture(GenerativeModel):
    """`components` of every class; `classes` 0 for one mixture of all pictures."""

    def __init__(
        self, components: int = 50, shape: tuple[int, int, int] = (1, 28, 28), levels: int = 256, classes: int = 0
    ) -> None:
        super().__init__()
        if components < 1:
            raise ValueError(f"{components} components are too few: at least 1.")
        c, h, w = shape
        self.spec = Spec("mixture", (c, h, w), levels, Density.EXACT, Family.TRACTABLE, classes=classes)
        groups = max(1, classes)
        self.logits = nn.Parameter(torch.zeros(groups, components))
        self.places = nn.Parameter(torch.full((groups, components, self.spec.dims), (levels - 1) / 2 / self.unit))
        self.log_deviations = nn.Parameter(torch.full((groups, components, self.spec.dims), math.log(levels / 4)))

    @property
    def unit(self) -> float:
        """Grey levels in one unit of `places`: such that a step of the optimiser suits means and log-deviations alike."""
        return self.spec.levels / 8

    @property
    def means(self) -> Tensor:
        """μ in grey levels, unbounded: `(K or 1, M, D)`."""
        return self.places * self.unit

    @torch.no_grad()
    def begin(self, pixels: Tensor, labels: Tensor, *, noise: Noise | int) -> None:
        """K-means in each class, its centres and the spread around them."""
        flat, noise, components = self.check(pixels).flatten(1), Noise.of(noise), self.logits.shape[1]
        for y in range(len(self.logits)):
            mine = flat[labels == y] if self.spec.classes else flat
            points = mine[noise.at(y).permutation(len(mine), stream="begin")[:SEEN]].double()
            start = starts.plus_plus(points, components, noise=noise.at(y))
            found = kmeans.fit(points, start, max_steps=2 * ROUNDS)
            shares = one_hot(kmeans.assign(points, found.means), components).double()  # (n, M)
            counts = shares.sum(0)  # (M,)
            centres = (shares.T @ points) / counts.clamp_min(1)[:, None]
            squares = (shares.T @ points.square()) / counts.clamp_min(1)[:, None]
            deviations = (squares - centres.square()).clamp_min(LEAST**2).sqrt()
            self.places[y], self.log_deviations[y] = centres / self.unit, deviations.log()
            self.logits[y] = (counts + 1).log()

    def log_prob_by_class(self, x: Tensor) -> Tensor:
        """log p(x|y) under each class, `(K, B)` nats, exact; without classes one row, log p(x)."""
        flat, means = self.check(x).flatten(1), self.means  # (B, D), (K or 1, M, D)
        parts = [
            torch.stack([self._given(piece, *one) for one in zip(means, self.log_deviations, self.logits, strict=True)])
            for piece in flat.split(max(1, CHUNK // means[0].numel()))
        ]
        return torch.cat(parts, 1)

    def _given(self, flat: Tensor, means: Tensor, log_deviations: Tensor, logits: Tensor) -> Tensor:
        """log Σ_m w_m Π_d P(x_d) of pictures `(B, D)`: `(B,)`. Parameters `(M, D)` and `(M,)`, or one set a picture."""
        terms = discretised_gaussian.log_mass(flat[:, None], means, log_deviations.exp(), self.spec.levels)  # (B, M, D)
        return torch.logsumexp(log_softmax(logits, -1) + terms.sum(-1), -1)

    def loss(self, x: Tensor, labels: Tensor | None = None) -> Tensor:
        """−log p(x|y) in nats `(B,)`, or −log p(x) of a mixture without classes, which leaves labels aside."""
        flat = self.check(x).flatten(1)
        if not self.spec.classes:
            return -self._given(flat, self.means[0], self.log_deviations[0], self.logits[0])
        told = checked_labels(labels, len(x), self.spec)
        if told is None:
            raise ValueError(f"This mixture has {self.spec.classes} classes: its loss needs labels.")
        return -self._given(flat, self.means[told], self.log_deviations[told], self.logits[told])

    def log_prob(
        self,
        x: Tensor,
        *,
        labels: Tensor | None = None,
        method: str | None = None,
        samples: int = 1,
        noise: Noise | int | None = None,
    ) -> LogProb:
        """log p(x) in nats, or log p(x|y) where labels are given: exact. `method` is "exact" or None; nothing is drawn."""
        if method not in (None, "exact"):
            raise ValueError(f"method {method!r} is not 'exact': a mixture needs no other.")
        labels = checked_labels(labels, len(x), self.spec)
        by_class = self.log_prob_by_class(x).double()  # (K, B)
        if labels is None:
            return LogProb(by_class.logsumexp(0) - math.log(len(by_class)), Density.EXACT, "exact")
        return LogProb(by_class.gather(0, labels.to(by_class.device)[None])[0], Density.EXACT, "exact")

    @torch.inference_mode()
    def sample(self, n: int, *, noise: Noise | int, labels: Tensor | None = None, temperature: float = 1.0) -> Tensor:
        """Draws from p(x): class, component, then every pixel; uint8 `(n, C, H, W)`. `temperature` scales the widths."""
        labels, noise = checked_labels(labels, n, self.spec), Noise.of(noise)
        groups, components = self.logits.shape
        if labels is None:
            labels = (noise.uniform(n, (), stream="label") * groups).long()
        labels = labels.to(self.means.device)
        shares = self.logits.double().softmax(-1).cumsum(-1)[labels]  # (n, M)
        u = noise.uniform(n, (), stream="component", device=shares.device)
        which = (u[:, None] > shares).sum(-1).clamp_max(components - 1)
        mean, deviation = self.means[labels, which], self.log_deviations[labels, which].exp() * temperature
        return discretised_gaussian.draw(mean, deviation, self.spec.levels, noise=noise).reshape(n, *self.spec.shape)
