"""What EM must not depend on: units, place, direction, chunks, device, how often a point is written. And its little memory."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from test_gmm import KINDS, SEEDS, cloud, matrices, normal, same, start_of
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from models import components, gmm, points
from models.gmm import COVARIANCES, Start
from models.noise import Noise

# ------------------------------------------------------------------------------------------------ units, weights, chunks


def transformed(begin: Start, a: Tensor, b: Tensor) -> Start:
    """The start for points `x Aᵀ + b`."""
    k, d = begin.means.shape
    full = a @ torch.as_tensor(matrices(begin.covariances.numpy(), begin.covariance or "", k, d)) @ a.T
    diagonal = full.diagonal(dim1=1, dim2=2)
    c = {"full": full, "tied": full[0], "diagonal": diagonal, "spherical": diagonal[:, 0], "tied_spherical": diagonal[0, 0]}
    return Start(begin.weights, begin.means @ a.T + b, c[begin.covariance or ""].clone(), begin.covariance)


def check_equivariance(x: Tensor, begin: Start, a: Tensor, b: Tensor, atol: float) -> None:
    options: dict[str, Any] = {"covariance": begin.covariance, "tol": 0, "max_steps": 5, "reg": 0}
    shift = float(a.det().abs().log())
    both = zip(gmm.steps(x, begin, **options), gmm.steps(x @ a.T + b, transformed(begin, a, b), **options), strict=True)
    for here, there in both:
        assert not here.regularised
        assert there.collapsed == here.collapsed
        moved = transformed(Start(here.weights, here.means, here.covariances, here.covariance), a, b)
        torch.testing.assert_close(there.weights, moved.weights, rtol=1e-8, atol=1e-10)
        torch.testing.assert_close(there.means, moved.means, rtol=1e-9, atol=atol)
        size = float(moved.covariances.abs().max())
        torch.testing.assert_close(there.covariances, moved.covariances, rtol=1e-8, atol=1e-9 * size)
        assert there.log_likelihood == pytest.approx(here.log_likelihood - shift, rel=1e-9, abs=1e-9)
        assert there.free_energy == pytest.approx(here.free_energy - shift, rel=1e-9, abs=1e-9)


@given(seed=st.integers(0, 200), kind=KINDS, d=st.integers(1, 3), size=st.floats(-9, 9))
@settings(max_examples=15)
def test_another_unit_changes_the_unit_of_the_result_alone(seed: int, kind: Any, d: int, size: float) -> None:
    x, a = cloud(200, d, seed), 10**size * torch.eye(d, dtype=torch.float64)
    check_equivariance(x, start_of(x, 2, kind, seed), a, torch.zeros(d).double(), atol=1e-9 * 10**size)


@given(seed=st.integers(0, 200), kind=KINDS, d=st.integers(1, 3), far=st.sampled_from([2.0**20, -(2.0**24), 2.0**30]))
@settings(max_examples=15)
def test_moving_the_cloud_moves_the_means_alone(seed: int, kind: Any, d: int, far: float) -> None:
    x = (cloud(200, d, seed) * 2**18).round() / 2**18  # so that x + far is exact
    check_equivariance(x, start_of(x, 2, kind, seed), torch.eye(d).double(), torch.full((d,), far).double(), atol=1e-9)


@given(seed=st.integers(0, 200), kind=st.sampled_from(["full", "tied", "spherical", "tied_spherical"]), d=st.integers(2, 3))
@settings(max_examples=15)
def test_turning_the_cloud_turns_the_result(seed: int, kind: Any, d: int) -> None:
    turn = torch.linalg.qr(normal(seed, d, d, stream="turn")).Q
    x = cloud(200, d, seed)
    check_equivariance(x, start_of(x, 2, kind, seed), turn, torch.zeros(d).double(), atol=1e-9)


@given(seed=st.integers(0, 200), kind=st.sampled_from(["full", "diagonal", "tied"]), size=st.floats(-6, 6))
@settings(max_examples=15)
def test_another_unit_for_one_coordinate_changes_that_coordinate_alone(seed: int, kind: Any, size: float) -> None:
    x, a = cloud(200, 2, seed), torch.diag(torch.tensor([1.0, 10**size], dtype=torch.float64))
    here = {"covariance": kind, "tol": 0, "max_steps": 5, "reg": 0}
    begin = start_of(x, 2, kind, seed)
    there = gmm.fit(x @ a.T, transformed(begin, a, torch.zeros(2).double()), **here)
    moved = transformed(
        Start(*(getattr(gmm.fit(x, begin, **here), n) for n in ("weights", "means", "covariances")), kind), a, 0
    )  # type: ignore[arg-type]
    torch.testing.assert_close(there.means / a.diagonal(), moved.means / a.diagonal(), rtol=1e-9, atol=1e-9)
    units = a.diagonal().square() if kind == "diagonal" else torch.outer(a.diagonal(), a.diagonal())
    torch.testing.assert_close(there.covariances / units, moved.covariances / units, rtol=1e-8, atol=1e-8)


@given(seed=SEEDS, kind=KINDS, assignment=st.sampled_from(["soft", "hard"]))
@settings(max_examples=15)
def test_integer_weights_are_repeated_points_and_zero_weights_absent_ones(seed: int, kind: Any, assignment: Any) -> None:
    x, begin = cloud(90, 2, seed), start_of(cloud(90, 2, seed), 2, kind, seed)
    w = (Noise(seed).uniform(90, stream="w") * 4).floor()
    options: dict[str, Any] = {"covariance": kind, "tol": 0, "max_steps": 5, "reg": 1e-6, "assignment": assignment}
    weighted, repeated = (
        gmm.steps(x, begin, weights=w, **options),
        gmm.steps(x.repeat_interleave(w.long(), 0), begin, **options),
    )
    for one, other in zip(weighted, repeated, strict=True):
        same(one, other, 1e-8, 1e-8)
        assert one.total == other.total
        assert one.log_likelihood == pytest.approx(other.log_likelihood, rel=1e-9)
        assert one.free_energy == pytest.approx(other.free_energy, rel=1e-9)


@pytest.mark.parametrize("kind", COVARIANCES)
@pytest.mark.parametrize("d", [2, 20])
@pytest.mark.parametrize("assignment", ["soft", "hard"])
def test_results_do_not_depend_on_the_chunks(kind: Any, d: int, assignment: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    x, w = cloud(333, d), Noise(1).uniform(333, stream="w")
    options: dict[str, Any] = {"covariance": kind, "tol": 0, "max_steps": 4, "weights": w, "assignment": assignment}
    whole, density = list(gmm.steps(x, start_of(x, 3, kind), **options)), gmm.log_prob(x, start_of(x, 3, kind))
    monkeypatch.setattr(points, "CHUNK", 64)
    monkeypatch.setattr(components, "CHUNK", 64)
    for one, other in zip(gmm.steps(x, start_of(x, 3, kind), **options), whole, strict=True):
        same(one, other, 1e-11, 1e-11)
        assert one.log_likelihood == pytest.approx(other.log_likelihood, rel=1e-11)
    torch.testing.assert_close(gmm.log_prob(x, start_of(x, 3, kind)), density, rtol=1e-11, atol=1e-11)


class Allocations(TorchDispatchMode):
    """The most elements in any storage that an operation makes; storages known before do not count."""

    def __init__(self, *known: Tensor) -> None:
        super().__init__()
        self.known = {tensor.untyped_storage().data_ptr() for tensor in known}
        self.largest = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        for tensor in out if isinstance(out, tuple | list) else [out]:
            if isinstance(tensor, Tensor) and tensor.untyped_storage().data_ptr() not in self.known:
                self.largest = max(self.largest, tensor.untyped_storage().nbytes() // tensor.element_size())
        return out


@pytest.mark.parametrize("kind", ["full", "spherical"])
@pytest.mark.parametrize("narrow", [components.NARROW, 0.0])
def test_memory_does_not_grow_with_points_times_components(kind: Any, narrow: float) -> None:
    n, k = 100_000, 10
    x = cloud(n, 2, k=k)
    begin = start_of(x, k, kind)
    with Allocations(x) as seen:
        list(gmm.steps(x, begin, covariance=kind, max_steps=2, narrow=narrow))
    assert 0 < seen.largest < 2 * n
    with Allocations(x) as seen:
        gmm.responsibilities(x, begin)
    assert seen.largest >= n * k  # so the recorder would have seen it


@pytest.mark.gpu
@pytest.mark.parametrize("kind", COVARIANCES)
@pytest.mark.parametrize("assignment", ["soft", "hard"])
def test_cuda_computes_as_the_cpu_does(kind: Any, assignment: Any) -> None:
    x, begin = cloud(20_000, 2), start_of(cloud(20_000, 2), 3, kind)
    options: dict[str, Any] = {"covariance": kind, "tol": 0, "max_steps": 5, "assignment": assignment}
    there = None
    for here, there in zip(gmm.steps(x, begin, **options), gmm.steps(x.cuda(), begin, **options), strict=True):
        assert there.means.is_cuda
        for name in ("weights", "means", "covariances", "counts"):
            torch.testing.assert_close(getattr(there, name).cpu(), getattr(here, name), rtol=1e-9, atol=1e-9)
        assert there.log_likelihood == pytest.approx(here.log_likelihood, rel=1e-9)
    assert there is not None
    torch.testing.assert_close(gmm.log_prob(x.cuda(), there).cpu(), gmm.log_prob(x, here), rtol=1e-9, atol=1e-9)
    for one, other in zip(gmm.sample(there, 9, noise=1), gmm.sample(here, 9, noise=1), strict=True):
        torch.testing.assert_close(one.cpu(), other, rtol=1e-9, atol=1e-9)
