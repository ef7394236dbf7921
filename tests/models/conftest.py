"""What the tests of `models` share: one thread, no time limit on a property, CUDA tests only where there is CUDA."""

from __future__ import annotations

import pytest
import torch
from hypothesis import settings

from models.data import images
from models.data.images import Images

torch.set_num_threads(1)  # tensors are tiny: on busy cores, threads that wait for each other take ten times as long
settings.register_profile("models", deadline=None, derandomize=True, max_examples=50)
settings.load_profile("models")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if torch.cuda.is_available():
        return
    for item in items:
        if item.get_closest_marker("gpu"):
            item.add_marker(pytest.mark.skip(reason="there is no CUDA device here"))


@pytest.fixture(scope="session")
def digits() -> Images:
    """The training split of scikit-learn's digits: needs no file and no network."""
    return images.load("digits", "train")
