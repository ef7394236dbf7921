"""Finished runs that pages open on, so that nobody meets an empty screen: stored results of this same code.

python -m playground.recordings        # makes them anew; a test compares them with a run of now
"""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent


@cache
def load(name: str) -> dict[str, Any]:
    """One recording."""
    return json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))


def save(name: str, recording: dict[str, Any]) -> None:
    (FOLDER / f"{name}.json").write_text(json.dumps(recording, separators=(",", ":")) + "\n", encoding="utf-8")
