"""Recordings are runs of now: what a page opens on is what its own code makes, number for number."""

from __future__ import annotations

import base64
import json
from itertools import pairwise
from types import ModuleType

import numpy as np
import pytest

from playground import recordings, shell
from playground.pages import clouds

HALVES = {"mean", "std"}  # and float16
FLOATS = {"weights", "means", "covariances", "points", "values", "logp"}  # keys under which base64 holds float64


@pytest.mark.parametrize("module", shell.RECORDED)
def test_recordings_are_what_this_code_makes_now(module: ModuleType) -> None:
    made = module.record()
    assert made
    for name, now in made.items():
        close(recordings.load(name), json.loads(json.dumps(now)))


def close(stored: object, now: object, key: str = "") -> None:
    """Pictures to the bit; numbers to what another machine's rounding may change."""
    if isinstance(now, dict):
        assert isinstance(stored, dict)
        assert stored.keys() == now.keys()
        for one in now:
            close(stored[one], now[one], one)
    elif isinstance(now, list):
        assert isinstance(stored, list)
        assert len(stored) == len(now)
        for one, other in zip(stored, now, strict=True):
            close(one, other, key)
    elif isinstance(now, float):
        assert stored == pytest.approx(now, rel=1e-6, abs=1e-9)
    elif isinstance(now, str) and key in FLOATS and stored != now:  # a setting may have such a name, and be a word
        assert isinstance(stored, str)
        np.testing.assert_allclose(floats(stored), floats(now), rtol=1e-6, atol=1e-6)
    elif isinstance(now, str) and key in HALVES and stored != now:
        assert isinstance(stored, str)
        both = [np.frombuffer(base64.b64decode(one), "<f2").astype(float) for one in (stored, now)]
        np.testing.assert_allclose(*both, rtol=2e-3, atol=2e-3)
    else:
        assert stored == now


def floats(text: str) -> np.ndarray:
    return np.frombuffer(base64.b64decode(text), "<f8")


def text(*numbers: float) -> str:
    return base64.b64encode(np.array(numbers, "<f8").tobytes()).decode()


def test_the_comparison_sees_what_differs_and_not_what_rounding_changes() -> None:
    recorded = {"means": text(1.0, 2.0), "phases": ["start", "E"], "inertia": [1.0, None], "k": 2}
    close(recorded, recorded)
    close(recorded, recorded | {"means": text(1.0 + 1e-12, 2.0), "inertia": [1.0 - 1e-12, None]})
    wrong = [
        {"means": text(1.0, 2.1)},
        {"means": text(1.0, 2.0, 3.0)},
        {"phases": ["start", "M"]},
        {"phases": ["start"]},
        {"inertia": [1.1, None]},
        {"inertia": [1.0, 2.0]},
        {"k": 3},
        {"more": 1},
    ]
    for change in wrong:
        with pytest.raises(AssertionError):
            close(recorded, recorded | change)


def test_the_clouds_recording_shows_k_means_fail_where_the_mixture_succeeds() -> None:
    """What the page is to show first: a run of each, on the same points, from the same start."""
    stored = recordings.load("clouds")
    runs = stored["runs"]
    assert list(runs) == list(clouds.CloudSettings().models) == ["kmeans", "gmm"]
    assert all(run["converged"] for run in runs.values())
    assert runs["gmm"]["n"] == stored["cloud"]["n"] == len(floats(stored["cloud"]["points"])) // stored["cloud"]["d"]
    starts = [floats(run["means"])[: run["k"] * run["d"]] for run in runs.values()]
    np.testing.assert_array_equal(*starts)
    likelihood = runs["gmm"]["log_likelihood"]
    assert all(after >= before - 1e-9 for before, after in pairwise(likelihood))
    assert len(json.dumps(stored)) < 60_000  # it travels with the page
