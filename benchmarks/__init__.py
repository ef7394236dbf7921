"""Ours against a named peer, in one run: speeds are ratios, since machines are noisy.

python -m benchmarks              # what there is
python -m benchmarks drag [--json]
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Row:
    """One figure: ours, the peer's in the same run, and what was asked of ours."""

    what: str
    ours: float
    unit: str
    peer: float | None = None
    peer_name: str = ""
    target: float | None = None
    more_is_better: bool = False

    @property
    def ratio(self) -> float | None:
        return None if not self.peer else self.ours / self.peer

    @property
    def holds(self) -> bool | None:
        if self.target is None:
            return None
        return self.ours >= self.target if self.more_is_better else self.ours <= self.target
