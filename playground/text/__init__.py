"""What people read, apart from the code that shows it: one JSON file a language."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any


@cache
def page(name: str) -> dict[str, Any]:
    """All texts of one page (or of "shell"), by key."""
    texts = json.loads((Path(__file__).parent / "en.json").read_text(encoding="utf-8"))
    return texts[name]
