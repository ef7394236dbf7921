"""Randomness that is addressed, not consumed.

An ordinary generator hands out numbers in the order in which they are asked for, so a picture depends on the batch it was
drawn in. Here every number has an address (stream, step, example, position) and is a pure function of the seed and that
address: example 3 sees the same numbers alone, in a batch of 64, or on another device, and `sample(16)` begins with
`sample(8)`. The function is Philox4x32-10, a block cipher with 128 bits of counter and 64 bits of key.

Source: Salmon, Moraes, Dror, Shaw (2011), "Parallel random numbers: as easy as 1, 2, 3", section 3.3 and table 1.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

_MULTIPLIERS = (np.uint64(0xD2511F53), np.uint64(0xCD9E8D57))
_WEYL = (np.uint32(0x9E3779B9), np.uint32(0xBB67AE85))  # added to the key after each round
_ROUNDS = 10
_LOW = np.uint64(0xFFFFFFFF)
SEED_LIMIT = 2**63


def philox(counter: Sequence[np.ndarray], key: tuple[int, int]) -> list[np.ndarray]:
    """Philox4x32-10: four uint32 arrays of counters (they broadcast) to four uint32 arrays of random words."""
    c = [np.asarray(word, dtype=np.uint32) for word in counter]
    k0, k1 = np.uint32(key[0]), np.uint32(key[1])
    with np.errstate(over="ignore"):  # the key wraps around modulo 2**32 on purpose
        for _ in range(_ROUNDS):
            product0 = c[0].astype(np.uint64) * _MULTIPLIERS[0]
            product1 = c[2].astype(np.uint64) * _MULTIPLIERS[1]
            c = [
                (product1 >> np.uint64(32)).astype(np.uint32) ^ c[1] ^ k0,
                (product1 & _LOW).astype(np.uint32),
                (product0 >> np.uint64(32)).astype(np.uint32) ^ c[3] ^ k1,
                (product0 & _LOW).astype(np.uint32),
            ]
            k0, k1 = k0 + _WEYL[0], k1 + _WEYL[1]
    return c


@dataclass(frozen=True)
class Noise:
    """A seed, and where in its stream of numbers to read. Immutable: the same call gives the same numbers.

    `step` separates repetitions for the same example (epochs of training, rolls of a die on a page). `first` is the number
    of the first example, so that a data set gone through in pieces sees the numbers it would see whole.
    """

    seed: int = 0
    step: int = 0
    first: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.seed < SEED_LIMIT:
            raise ValueError(f"seed {self.seed} is not within 0 and 2**63 - 1.")
        if not 0 <= self.step < 2**32:
            raise ValueError(f"step {self.step} is not within 0 and 2**32 - 1.")

    @staticmethod
    def of(noise: Noise | int) -> Noise:
        """An int is taken as a seed."""
        return noise if isinstance(noise, Noise) else Noise(int(noise))

    def at(self, step: int) -> Noise:
        """The same seed, another repetition."""
        return Noise(self.seed, step, self.first)

    def skip(self, examples: int) -> Noise:
        """The noise of the examples from number `examples` on."""
        return Noise(self.seed, self.step, self.first + examples)

    def uniform(
        self,
        examples: int | Tensor,
        shape: Sequence[int] = (),
        *,
        stream: str,
        start: int = 0,
        dtype: torch.dtype = torch.float64,
        device: torch.device | str = "cpu",
    ) -> Tensor:
        """Uniform numbers in the open interval (0, 1), 53 bits each: `(N, *shape)`.

        `examples`: how many (0 to N - 1), or a vector of example numbers. `stream` names what the numbers are for, so
        that a latent and a pixel of one example are independent. `start` is the position at which to begin.
        """
        u = self._uniform(examples, math.prod(shape), stream, start)
        # Rounding to a shorter dtype may reach an end of the interval; in float64 this changes nothing.
        inside = torch.from_numpy(u).to(dtype).clamp(torch.finfo(dtype).tiny, 1 - torch.finfo(dtype).eps / 2)
        return inside.to(device).reshape(len(u), *shape)

    def normal(
        self,
        examples: int | Tensor,
        shape: Sequence[int] = (),
        *,
        stream: str,
        start: int = 0,
        dtype: torch.dtype = torch.float64,
        device: torch.device | str = "cpu",
    ) -> Tensor:
        """Standard normal numbers `(N, *shape)`, addressed as `uniform`; by Box and Muller (1958), computed in float64."""
        size = math.prod(shape)
        begin, end = start // 2, (start + size + 1) // 2  # numbers 2j and 2j + 1 share one pair of uniforms
        u = self._uniform(examples, 2 * (end - begin), stream, 2 * begin)
        radius, angle = np.sqrt(-2.0 * np.log(u[:, 0::2])), 2.0 * np.pi * u[:, 1::2]
        pairs = np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=-1).reshape(len(u), 2 * (end - begin))
        offset = start - 2 * begin
        values = torch.from_numpy(np.ascontiguousarray(pairs[:, offset : offset + size]))
        return values.to(device=device, dtype=dtype).reshape(len(u), *shape)

    def permutation(self, n: int, *, stream: str) -> Tensor:
        """A random order of 0 to n - 1: int64 `(n,)`."""
        return torch.argsort(self.uniform(n, (), stream=stream), stable=True)

    def _uniform(self, examples: int | Tensor, size: int, stream: str, start: int) -> np.ndarray:
        """float64 `(N, size)`. One Philox block gives the numbers at two neighbouring positions."""
        if isinstance(examples, Tensor):
            index = examples.detach().cpu().numpy().astype(np.uint32)
        else:
            index = np.arange(examples, dtype=np.uint32)
        index = index + np.uint32(self.first)
        begin, end = start // 2, (start + size + 1) // 2
        block = np.arange(begin, end, dtype=np.uint32)
        shape = (len(index), len(block))
        words = philox(
            [
                np.broadcast_to(block, shape),
                np.broadcast_to(index[:, None], shape),
                np.full(shape, zlib.crc32(stream.encode()), dtype=np.uint32),
                np.full(shape, self.step, dtype=np.uint32),
            ],
            (self.seed & 0xFFFFFFFF, self.seed >> 32),
        )
        halves = []
        for high, low in ((words[0], words[1]), (words[2], words[3])):
            integer = (high.astype(np.uint64) << np.uint64(21)) | (low >> np.uint32(11)).astype(np.uint64)
            halves.append((integer.astype(np.float64) + 0.5) * 2.0**-53)
        flat = np.stack(halves, axis=-1).reshape(len(index), 2 * len(block))
        offset = start - 2 * begin
        # The largest integers round up to 1: keep the interval open.
        return np.minimum(flat[:, offset : offset + size], 1.0 - 2.0**-53)
