"""EM against scikit-learn, a slow obvious twin, and the theorems that it must obey: the bound, and the rise."""

from __future__ import annotations

import math
import warnings
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import multivariate_normal
from sklearn.mixture import GaussianMixture
from torch import Tensor

from models import gmm
from models.gmm import COVARIANCES, Start, Step
from models.noise import Noise

SEEDS = st.integers(0, 2**32)
KINDS = st.sampled_from(COVARIANCES)
SKLEARN = {"full": "full", "tied": "tied", "diagonal": "diag", "spherical": "spherical"}


def normal(seed: int, *shape: int, stream: str) -> Tensor:
    return Noise(seed).normal(shape[0], shape[1:], stream=stream)


def cloud(n: int, d: int, seed: int = 0, k: int = 3) -> Tensor:
    """`k` slanted clusters that overlap a little."""
    centres, turns = 3 * normal(seed, k, d, stream="centres"), normal(seed, k, d, d, stream="turns") / d**0.5
    turns = torch.eye(d, dtype=torch.float64) + 0.4 * turns
    which = torch.arange(n) % k
    return centres[which] + torch.einsum("nij,nj->ni", turns[which], normal(seed, n, d, stream="cloud"))


def start_of(x: Tensor, k: int, kind: str, seed: int = 0) -> Start:
    """Means on points of the cloud, weights and covariances of no particular sizes."""
    d = x.shape[1]
    means = x[Noise(seed).permutation(len(x), stream="start")[:k]].clone()
    weights = 0.5 + Noise(seed).uniform(k, stream="weights")
    a = torch.eye(d, dtype=torch.float64) + 0.3 * normal(seed, k, d, d, stream="shapes") / d**0.5
    full = a @ a.mT * x.var() * (0.5 + Noise(seed).uniform(k, (1, 1), stream="sizes"))
    diagonal = full.diagonal(dim1=1, dim2=2).clone()
    c = {"full": full, "tied": full[0], "diagonal": diagonal, "spherical": diagonal.mean(1), "tied_spherical": diagonal.mean()}
    return Start(weights / weights.sum(), means, c[kind], kind)  # type: ignore[arg-type]


def matrices(c: np.ndarray, kind: str, k: int, d: int) -> np.ndarray:
    """Covariances of any type as `(K, D, D)`."""
    if kind == "full":
        return c
    if kind == "diagonal":
        return np.stack([np.diag(each) for each in c])
    return np.stack([c] * k) if kind == "tied" else np.stack([v * np.eye(d) for v in np.broadcast_to(c, (k,))])


def log_joint(x: np.ndarray, params: Start | Step) -> np.ndarray:
    """log w_k + log N(x; μ_k, Σ_k) by scipy: `(N, K)`."""
    k, d = params.means.shape
    full = matrices(params.covariances.numpy(), params.covariance or "", k, d)
    with np.errstate(divide="ignore"):
        logs = np.log(params.weights.numpy())
    each = [logs[j] + multivariate_normal(params.means[j].numpy(), full[j]).logpdf(x).reshape(len(x)) for j in range(k)]
    return np.stack(each, 1)


def shares_of(joint: np.ndarray, hard: bool = False) -> np.ndarray:
    if hard:
        return np.eye(joint.shape[1])[joint.argmax(1)]
    q = np.exp(joint - joint.max(1, keepdims=True))
    return q / q.sum(1, keepdims=True)


def free_energy(x: np.ndarray, q: np.ndarray, params: Start | Step, w: np.ndarray | None) -> float:
    """Mean of Σ_k q (log joint − log q) over the points."""
    joint = np.where(q > 0, log_joint(x, params), 0)  # where q is 0 it may be −∞
    inside = (q * (joint - np.log(np.where(q > 0, q, 1)))).sum(1)
    return float(np.average(inside, weights=w))


def slow_m_step(x: np.ndarray, q: np.ndarray, kind: str, reg: float, w: np.ndarray | None) -> Start:
    """Bishop (2006), section 9.2.2, one component after the other."""
    r = q if w is None else q * w[:, None]
    counts, d = r.sum(0), x.shape[1]
    means = np.stack([r[:, j] @ x / counts[j] for j in range(len(counts))])
    full = np.stack([(r[:, j, None] * (x - means[j])).T @ (x - means[j]) / counts[j] for j in range(len(counts))])
    tied = np.tensordot(counts, full, 1) / counts.sum()
    c = {
        "full": full + reg * np.eye(d),
        "tied": tied + reg * np.eye(d),
        "diagonal": np.stack([each.diagonal() for each in full]) + reg,
        "spherical": np.array([np.trace(each) / d for each in full]) + reg,
        "tied_spherical": np.array(np.trace(tied) / d + reg),
    }[kind]
    return Start(*(torch.as_tensor(part) for part in (counts / counts.sum(), means, c)), kind)  # type: ignore[arg-type]


def same(ours: Any, theirs: Any, rtol: float = 1e-10, atol: float = 1e-10) -> None:
    for name in ("weights", "means", "covariances"):
        np.testing.assert_allclose(getattr(ours, name), getattr(theirs, name), rtol=rtol, atol=atol, err_msg=name)


# ------------------------------------------------------------------------------------------------ against others


@pytest.mark.parametrize(("k", "d"), [(1, 1), (1, 3), (3, 1), (3, 2), (3, 3), (3, 5), (3, 20)])
@pytest.mark.parametrize("reg", [0.0, 1e-6])
@pytest.mark.parametrize("kind", SKLEARN)
def test_each_iteration_is_that_of_scikit_learn(kind: str, reg: float, d: int, k: int) -> None:
    x = cloud(600 if d == 20 else 240, d, k=k)
    begin = start_of(x, k, kind)
    run = list(gmm.steps(x, begin, covariance=kind, tol=0, max_steps=20, reg=reg))  # type: ignore[arg-type]
    c = begin.covariances.numpy()
    for iterations in (1, 2, 20):
        theirs = GaussianMixture(
            k,
            covariance_type=SKLEARN[kind],
            tol=0,
            reg_covar=reg,
            max_iter=iterations,
            init_params="random",
            weights_init=begin.weights.numpy(),
            means_init=begin.means.numpy(),
            precisions_init=1 / c if kind in ("diagonal", "spherical") else np.linalg.inv(c),
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of course it has not converged
            theirs.fit(x.numpy())
        ours = run[2 * iterations - 1]
        assert (ours.phase, ours.iteration) == ("M", iterations)
        for name, part in (("weights", ours.weights), ("means", ours.means), ("covariances", ours.covariances)):
            np.testing.assert_allclose(part, getattr(theirs, f"{name}_"), rtol=1e-10, atol=1e-10, err_msg=name)
        assert ours.log_likelihood == pytest.approx(theirs.score(x.numpy()), rel=1e-10)
    found = gmm.criteria(ours)
    assert found.bic == pytest.approx(theirs.bic(x.numpy()), rel=1e-8)
    assert found.aic == pytest.approx(theirs.aic(x.numpy()), rel=1e-8)
    assert found.parameters == theirs._n_parameters() == gmm.parameters(k, d, kind)  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", COVARIANCES)
@pytest.mark.parametrize("d", [1, 2, 20])
@pytest.mark.parametrize("weighted", [False, True])
def test_each_half_step_is_that_of_a_slow_twin(kind: str, d: int, weighted: bool) -> None:
    x, reg = cloud(300, d), 1e-3
    w = Noise(1).uniform(300, stream="w") if weighted else None
    slow, weights = start_of(x, 3, kind), None if w is None else w.numpy()
    for step in gmm.steps(x, slow, covariance=kind, tol=0, max_steps=5, reg=reg, weights=w):  # type: ignore[arg-type]
        if step.phase == "E":
            q = shares_of(log_joint(x.numpy(), slow))
            np.testing.assert_allclose(step.counts, (q if weights is None else q * weights[:, None]).sum(0), rtol=1e-10)
        else:
            slow = slow_m_step(x.numpy(), q, kind, reg, weights)
        same(step, slow)
        assert step.free_energy == pytest.approx(free_energy(x.numpy(), q, slow, weights), rel=1e-10)
        assert step.regularised
        assert step.total == pytest.approx(300 if w is None else float(w.sum()))


@pytest.mark.parametrize("kind", COVARIANCES)
@pytest.mark.parametrize("assignment", ["soft", "hard"])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("d", [1, 2, 5])
def test_the_expanded_square_gives_what_deviations_give(kind: Any, assignment: Any, weighted: bool, d: int) -> None:
    x = cloud(400, d)
    w = Noise(1).uniform(400, stream="w") if weighted else None
    options: dict[str, Any] = {"covariance": kind, "assignment": assignment, "weights": w, "tol": 0, "max_steps": 6, "reg": 0}
    fast = list(gmm.steps(x, start_of(x, 3, kind), **options))
    slow = list(gmm.steps(x, start_of(x, 3, kind), **options, narrow=0.0))
    assert len(fast) == len(slow)
    for one, other in zip(fast, slow, strict=True):
        same(one, other, 1e-11, 1e-11)
        torch.testing.assert_close(one.counts, other.counts, rtol=1e-11, atol=1e-11)
        assert one.log_likelihood == pytest.approx(other.log_likelihood, rel=1e-11)
        assert one.free_energy == pytest.approx(other.free_energy, rel=1e-11)


def long_joint(x: Tensor, params: Start) -> np.ndarray:
    """The log joint of points on the plane in extended precision, by differences: `(N, K)`."""
    columns = []
    for weight, mean, c in zip(params.weights.tolist(), params.means.numpy(), params.covariances.numpy(), strict=True):
        (a, b), (_, e) = c.astype(np.longdouble)
        u, v = (x.numpy().astype(np.longdouble) - mean.astype(np.longdouble)).T
        det = a * e - b * b
        squared = (e * u * u - 2 * b * u * v + a * v * v) / det
        columns.append(np.log(np.longdouble(weight)) - np.log(2 * np.longdouble(math.pi)) - (np.log(det) + squared) / 2)
    return np.stack(columns, 1)


@pytest.mark.parametrize("far", [0.0, 2.0**20])
def test_a_very_narrow_component_keeps_its_digits(far: float) -> None:
    grain = 2.0**30  # so that x + far is exact
    wide, small = normal(1, 400, 2, stream="wide"), normal(1, 100, 2, stream="small")
    x = torch.cat([wide, torch.tensor([1.0, -2.0]) + 1e-5 * small @ torch.tensor([[1.0, 0.5], [0.0, 1.0]]).double()])
    x = (x * grain).round() / grain
    narrow = 1e-10 * torch.tensor([[1.0, 0.4], [0.4, 1.3]], dtype=torch.float64)
    begin = Start(
        torch.tensor([0.7, 0.3], dtype=torch.float64),
        torch.tensor([[0.1, 0.2], [1.0 + 2.0**-18, -2.0]], dtype=torch.float64) + far,
        torch.stack([torch.eye(2, dtype=torch.float64), narrow]),
        "full",
    )
    x = x + far
    joint = long_joint(x, begin)
    highest = joint.max(1)
    exact = np.log(np.exp(joint - highest[:, None]).sum(1)) + highest
    q = np.exp(joint - exact[:, None])
    np.testing.assert_allclose(gmm.log_prob(x, begin).numpy(), exact.astype(float), rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(gmm.responsibilities(x, begin).numpy(), q.astype(float), rtol=1e-9, atol=1e-9)
    e, m = gmm.steps(x, begin, reg=0, max_steps=1)
    np.testing.assert_allclose(e.counts, q.sum(0).astype(float), rtol=1e-9)
    assert e.log_likelihood == pytest.approx(float(exact.mean()), rel=1e-9)
    # The M-step: the mean, and the covariance in units of itself.
    own = x.numpy().astype(np.longdouble)
    mean = q[:, 1] @ own / q[:, 1].sum()
    np.testing.assert_allclose((m.means[1].numpy() - mean).astype(float), 0, atol=1e-14 if far == 0 else 2e-10)
    # A hundredth of the cloud wide, it is not at the floor.
    x = torch.cat([wide, torch.tensor([1.0, -2.0]) + 1e-4 * small])
    begin = Start(begin.weights, begin.means - far, torch.stack([torch.eye(2, dtype=torch.float64), 100 * narrow]), "full")
    joint = long_joint(x, begin)
    q = np.exp(joint - joint.max(1)[:, None])
    q /= q.sum(1, keepdims=True)
    own = x.numpy().astype(np.longdouble)
    mean = q[:, 1] @ own / q[:, 1].sum()
    c = (q[:, 1, None] * (own - mean)).T @ (own - mean) / q[:, 1].sum()
    m = gmm.fit(x, begin, reg=0, max_steps=1)
    np.testing.assert_allclose(m.covariances[1] / 1e-8, (c / 1e-8).astype(float), rtol=1e-9, atol=1e-9)
    assert m.collapsed == ()


def test_a_light_component_far_away_keeps_its_digits() -> None:
    eye = torch.eye(2, dtype=torch.float64)
    far = Start(torch.tensor([1 - 1e-10, 1e-10]).double(), torch.tensor([[0.0, 0.0], [1e6, 0.0]]), eye.repeat(2, 1, 1), "full")
    x = torch.tensor([[1e6 + 0.5, 0.3], [1e6 - 2.0, 1.0]], dtype=torch.float64)
    direct = float(far.weights[1].log()) - math.log(2 * math.pi) - 0.5 * np.array([0.5**2 + 0.3**2, 2.0**2 + 1.0**2])
    np.testing.assert_allclose(gmm.log_prob(x, far), direct, rtol=0, atol=1e-9)


# ------------------------------------------------------------------------------------------------ the bound


@given(seed=SEEDS, kind=KINDS, d=st.integers(1, 3), k=st.integers(1, 4), weighted=st.booleans())
@settings(max_examples=25)
def test_em_never_lowers_the_likelihood_and_the_bound_stays_between(
    seed: int, kind: Any, d: int, k: int, weighted: bool
) -> None:
    x = cloud(150, d, seed)
    w = 0.2 + Noise(seed).uniform(150, stream="w") if weighted else None
    below, last = -math.inf, -math.inf
    for step in gmm.steps(x, start_of(x, k, kind, seed), covariance=kind, tol=0, max_steps=8, reg=0, weights=w):
        if step.collapsed:
            break
        assert not step.regularised
        assert step.log_likelihood >= last - 1e-10
        assert below - 1e-10 <= step.free_energy <= step.log_likelihood + 1e-10
        weights = None if w is None else w.numpy()
        if step.phase == "E":
            assert step.free_energy == step.log_likelihood
            q = shares_of(log_joint(x.numpy(), step))
        assert step.free_energy == pytest.approx(free_energy(x.numpy(), q, step, weights), rel=1e-9)
        below, last = step.free_energy, step.log_likelihood
    assert last > -math.inf


@given(seed=SEEDS, kind=KINDS, d=st.integers(1, 3), k=st.integers(1, 4), weighted=st.booleans())
@settings(max_examples=20)
def test_hard_assignment_never_lowers_the_bound(seed: int, kind: Any, d: int, k: int, weighted: bool) -> None:
    x = cloud(150, d, seed)
    w = 0.2 + Noise(seed).uniform(150, stream="w") if weighted else None
    below = -math.inf
    options: dict[str, Any] = {"covariance": kind, "tol": 0, "max_steps": 8, "reg": 0, "weights": w, "assignment": "hard"}
    for step in gmm.steps(x, start_of(x, k, kind, seed), **options):
        if step.collapsed:
            break
        assert step.free_energy >= below - 1e-10
        assert step.free_energy <= step.log_likelihood + 1e-10
        if step.phase == "E":
            q = shares_of(log_joint(x.numpy(), step), hard=True)
        weights = None if w is None else w.numpy()
        assert step.free_energy == pytest.approx(free_energy(x.numpy(), q, step, weights), rel=1e-9)
        below = step.free_energy
    assert below > -math.inf


def test_em_ends_when_an_iteration_changes_less_than_tol() -> None:
    x = cloud(300, 2)
    run = list(gmm.steps(x, start_of(x, 3, "full"), tol=1e-4, max_steps=500))
    rises = [m.log_likelihood - e.log_likelihood for e, m in zip(run[::2], run[1::2], strict=True)]
    assert [step.converged for step in run] == [False] * (len(run) - 1) + [True]
    assert len(run) < 1_000
    assert rises[-1] < 1e-4 <= min(rises[:-1])
    assert gmm.fit(x, start_of(x, 3, "full"), tol=1e-4, max_steps=500).log_likelihood == run[-1].log_likelihood


@pytest.mark.parametrize("fixed", [("weights",), ("means",), ("covariances",), ("means", "weights"), ("covariances", "means")])
@pytest.mark.parametrize("kind", COVARIANCES)
def test_what_is_fixed_stays_and_the_rest_still_never_lowers_the_likelihood(fixed: Any, kind: Any) -> None:
    x, begin = cloud(200, 2), start_of(cloud(200, 2), 3, kind)
    run = list(gmm.steps(x, begin, covariance=kind, tol=0, max_steps=6, reg=0, fixed=fixed))
    for name in ("weights", "means", "covariances"):
        moved = float((getattr(run[-1], name) - getattr(begin, name)).abs().max())
        assert (moved < 1e-12) == (name in fixed)
    q = shares_of(log_joint(x.numpy(), run[0]))
    assert run[1].free_energy == pytest.approx(free_energy(x.numpy(), q, run[1], None), rel=1e-10)
    assert all(b.log_likelihood >= a.log_likelihood - 1e-12 for a, b in pairwise(run))
    assert run[-1].log_likelihood > run[0].log_likelihood
    assert gmm.criteria(run[-1], fixed=fixed).parameters == gmm.parameters(3, 2, kind, fixed=fixed)
