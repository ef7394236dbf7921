"""Who may import whom: models knows nothing of the web, figures nothing of gradio or torch, and the zoo trains nothing."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def imported(source: str, package: str) -> set[str]:
    """All modules that `source` imports, at any depth of nesting; a relative one as it reads from within `package`."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            parents = package.split(".")
            base = ".".join([*parents[: len(parents) - node.level + 1], node.module or ""]) if node.level else node.module or ""
            base = base.strip(".")
            found |= {base, *(f"{base}.{alias.name}" for alias in node.names)}
    return found


def offences(folder: str, forbidden: set[str]) -> list[str]:
    """One line, "FILE imports MODULE", for every forbidden import below `folder`, which may be a file or missing."""
    place = ROOT / folder
    files = [place] if place.is_file() else sorted(place.rglob("*.py"))
    found = []
    for file in files:
        names = imported(file.read_text(), ".".join(file.relative_to(ROOT).parts[:-1]))
        bad = {name for name in names if any(name == no or name.startswith(f"{no}.") for no in forbidden)}
        found += [f"{file.relative_to(ROOT)} imports {name}" for name in sorted(bad)]
    return found


def test_the_reader_of_imports_sees_all_kinds() -> None:
    source = "import a.b as c\nfrom d import e\ndef f():\n    from ..g import h\n    import i\n"
    assert imported(source, "p.q") == {"a.b", "d", "d.e", "p.g", "p.g.h", "i"}


@pytest.mark.parametrize(
    ("folder", "forbidden"),
    [
        ("models", {"gradio", "plotly", "pydantic", "fastapi", "starlette", "playground"}),
        ("playground/figures.py", {"gradio", "torch", "models", "playground"}),
        ("playground/pages", {"torch"}),
        ("playground/components", {"torch"}),
    ],
)
def test_arrows_run_one_way(folder: str, forbidden: set[str]) -> None:
    assert offences(folder, forbidden) == []


def test_the_zoo_imports_nothing_that_only_training_needs() -> None:
    heavy = ("torchvision", "sklearn", "accelerate", "gradio", "plotly", "pydantic", "playground")
    code = f"import sys, models.zoo; print([name for name in {heavy!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[]"
