"""A discriminative classifier: p(y|x), and nothing else.

A small convolutional network, trained by cross-entropy in the same loop as every other model. It is no generative model: its
softmax sums to one over the labels of every picture, so a picture of nothing at all must get a label too. All that it can do to
decline is to be unsure (Hendrycks and Gimpel 2017, "A baseline for detecting misclassified and out-of-distribution examples in
neural networks", section 2: the top probability as confidence).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from models.contract import Density, Family, PictureModel, Spec


class Classifier(PictureModel):
    """Two convolutions, each followed by a halving of the picture, and two dense layers."""

    evaluation_dtype = torch.float32

    def __init__(
        self,
        classes: int = 10,
        shape: tuple[int, int, int] = (1, 28, 28),
        levels: int = 256,
        channels: int = 16,
        hidden: int = 64,
        dropout: float = 0.2,
    ) -> None:
        super().__init__()
        c, h, w = shape
        self.spec = Spec("classifier", (c, h, w), levels, Density.NONE, Family.NONE, classes=classes)
        self.network = nn.Sequential(
            nn.Conv2d(c, channels, 3, padding=1),
            nn.SiLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(channels, 2 * channels, 3, padding=1),
            nn.SiLU(),
            nn.MaxPool2d(2),  # (B, 2·channels, H/4, W/4)
            nn.Flatten(),
            nn.Dropout(dropout),
            nn.Linear(2 * channels * (h // 4) * (w // 4), hidden),
            nn.SiLU(),
            nn.Dropout(dropout),
            nn.Linear(hidden, classes),
        )

    def logits_of(self, grey: Tensor) -> Tensor:
        """Unnormalised log p(y|x), `(B, K)`, of real grey values `(B, C, H, W)`: differentiable in them."""
        half = (self.spec.levels - 1) / 2
        return self.network(grey / half - 1)

    def logits(self, x: Tensor) -> Tensor:
        """The same of uint8 images."""
        return self.logits_of(self.check(x).to(next(self.parameters()).dtype))

    def log_posterior(self, x: Tensor) -> Tensor:
        """log p(y|x) of uint8 images `(B, C, H, W)`: float64 `(B, K)`."""
        return self.logits(x).double().log_softmax(1)
