"""Where mixtures fail: collapse, components without points, the saddle, and input that no mixture fits."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from models import gmm
from models.gmm import COVARIANCES, Collapsed, Start, Step
from models.noise import Noise
from models.points import BadPoints

REGS = pytest.mark.parametrize("reg", [0.0, 1e-6])
KINDS = pytest.mark.parametrize("kind", COVARIANCES)


def cloud(n: int, d: int, seed: int = 0) -> Tensor:
    return Noise(seed).normal(n, (d,), stream="cloud")


def start(means: Any, variances: Any, kind: str) -> Start:
    """Equal weights, and round components of these variances `(K,)`."""
    means, v = (torch.as_tensor(part, dtype=torch.float64) for part in (means, variances))
    k, d = means.shape
    eye = torch.eye(d, dtype=torch.float64)
    full = v[:, None, None] * eye
    diagonal = v[:, None].expand(k, d).clone()
    c = {"full": full, "tied": full[0], "diagonal": diagonal, "spherical": v, "tied_spherical": v[0]}[kind]
    return Start(torch.full((k,), 1 / k, dtype=torch.float64), means, c, kind)  # type: ignore[arg-type]


def all_finite(step: Step) -> bool:
    numbers = torch.tensor([step.log_likelihood, step.free_energy, step.total])
    tensors = (step.weights, step.means, step.covariances, step.counts, numbers)
    full = gmm.full_covariances(step)
    return all(bool(torch.isfinite(part).all()) for part in tensors) and bool((torch.linalg.eigvalsh(full) > 0).all())


# ------------------------------------------------------------------------------------------------ degenerate clouds


def degenerate(what: str) -> Tensor:
    t = cloud(60, 1)
    return {
        "all equal": torch.full((20, 2), 1 / 3, dtype=torch.float64),
        "all equal, far away": torch.full((20, 2), 1e6 + 0.1, dtype=torch.float64),
        "on a slanted line": torch.cat([t, 2 * t + 1], 1),
        "on an axis": torch.cat([t, torch.zeros_like(t)], 1),
        "one repeated, and another": torch.tensor([[1.0, 2.0]] * 20 + [[3.0, -1.0]], dtype=torch.float64),
        "two points": torch.tensor([[0.0, 1.0], [5.0, -2.0]], dtype=torch.float64),
        "two equal numbers": torch.tensor([[4.0], [4.0]], dtype=torch.float64),
        "whole numbers": (3 * t).round(),
        "two places": torch.tensor([[0.0], [1.0]] * 10, dtype=torch.float64),
    }[what]


DEGENERATE = ["all equal", "all equal, far away", "on a slanted line", "on an axis", "one repeated, and another"]
DEGENERATE += ["two points", "two equal numbers", "whole numbers", "two places"]


@pytest.mark.parametrize("what", DEGENERATE)
@KINDS
@REGS
@pytest.mark.parametrize("assignment", ["soft", "hard"])
def test_every_number_of_every_step_stays_finite(what: str, kind: Any, reg: float, assignment: Any) -> None:
    for unit in (1e-6, 1.0, 1e6):
        x = degenerate(what) * unit
        begin = start(x[[0, -1]], unit**2 * torch.tensor([1.0, 0.5]), kind)
        run = list(gmm.steps(x, begin, covariance=kind, tol=0, max_steps=8, reg=reg * unit**2, assignment=assignment))
        assert len(run) >= 2
        assert all(all_finite(step) for step in run)
        assert all(float(step.weights.sum()) == pytest.approx(1) for step in run)
        thin = kind in {"on a slanted line": ("full", "tied"), "on an axis": ("full", "tied", "diagonal")}.get(what, ())
        if thin or what.startswith("all equal") or what == "two equal numbers":
            assert run[-1].collapsed == tuple(k for k in (0, 1) if k not in run[-1].empty or kind.startswith("tied"))


@KINDS
def test_collapse_does_not_depend_on_the_unit_of_the_points(kind: Any) -> None:
    x = degenerate("on an axis")
    named = set()
    for unit in (1e-9, 1.0, 1e9):
        begin = start(unit * x[[0, -1]], unit**2 * torch.tensor([1.0, 0.5]), kind)
        named.add(gmm.fit(unit * x, begin, covariance=kind, tol=0, max_steps=5, reg=0).collapsed)
    assert len(named) == 1


@pytest.mark.parametrize("kind", ["full", "diagonal", "spherical"])
@REGS
@pytest.mark.parametrize("d", [1, 2, 20])
def test_a_component_that_shrinks_to_one_point_is_named(kind: Any, reg: float, d: int) -> None:
    x = cloud(200, d, seed=1)
    x[17] += 5  # by itself: with a regulariser, a component would otherwise grow to its neighbours
    begin = start(torch.stack([x.mean(0), x[17]]), [1.0, 1e-8], kind)
    run = list(gmm.steps(x, begin, covariance=kind, tol=0, max_steps=20, reg=reg))
    assert all(all_finite(step) for step in run)
    assert [step.collapsed for step in run] == [()] + [(1,)] * (len(run) - 1)  # nothing is amiss before the first M-step
    assert run[-1].regularised
    assert float((run[-1].means[1] - x[17]).abs().max()) < 1e-6
    with pytest.raises(Collapsed) as caught:
        gmm.criteria(run[-1])
    assert str(caught.value) == "Component 2 collapsed: such a likelihood has no bound, so BIC and AIC say nothing."


@pytest.mark.parametrize("wide", [1.0, 1e3])
def test_a_collapsed_ball_is_kept_at_a_billionth_of_the_widest_variance(wide: float) -> None:
    x = cloud(100, 2) * torch.tensor([wide, 1.0])
    begin = start([[0.0, 0.0], x[3].tolist()], [wide**2, 1e-12], "spherical")
    last = gmm.fit(x, begin, covariance="spherical", max_steps=3, reg=0)
    assert last.collapsed == (1,)
    assert float(last.covariances[1]) == pytest.approx(1e-9 * float(x.var(0, correction=0).max()), rel=1e-9)


def test_several_collapsed_components_are_all_named() -> None:
    x = cloud(100, 2)
    last = gmm.fit(x, start(x[:3], [1e-9, 1.0, 1e-9], "spherical"), covariance="spherical", max_steps=3, reg=0)
    with pytest.raises(Collapsed, match=r"^Components 1, 3 collapsed: "):
        gmm.criteria(last)


@pytest.mark.parametrize("kind", ["full", "diagonal", "spherical"])
@pytest.mark.parametrize("size", [1e-3, 1e-4])
@pytest.mark.parametrize("far", [0.0, 1e6])
def test_a_small_cluster_of_many_points_is_not_called_collapsed(kind: Any, size: float, far: float) -> None:
    small = torch.tensor([1.0, 0.5]) + size * cloud(300, 2, seed=1)
    x = torch.cat([cloud(700, 2), small]) + far
    run = list(gmm.steps(x, start([[far, far], [far + 1, far + 0.5]], [1.0, size**2], kind), covariance=kind, reg=0))
    assert all(step.collapsed == () and not step.regularised for step in run)
    expected = torch.cov(small.T, correction=0)
    ours = gmm.full_covariances(run[-1])[1]
    torch.testing.assert_close(ours.diagonal() / size**2, expected.diagonal() / size**2, rtol=0.1, atol=0)
    gmm.criteria(run[-1])


@KINDS
def test_a_wide_coordinate_does_not_make_a_narrow_one_look_collapsed(kind: Any) -> None:
    """The regulariser is 1e-6 of a variance here; in units of the wide coordinate, the clusters are as thin as that."""
    x = cloud(600, 2) * torch.tensor([1.0, 0.5])
    x[:300, 0] += 2_000
    last = gmm.fit(x, start([[2_000.0, 0.0], [0.0, 0.0]], [1.0, 1.0], kind), covariance=kind, reg=1e-6)
    assert last.collapsed == ()
    assert last.weights.tolist() == pytest.approx([0.5, 0.5])


@pytest.mark.parametrize("kind", ["full", "tied", "diagonal"])
def test_a_direction_that_only_the_regulariser_holds_up_is_collapsed(kind: Any) -> None:
    t = cloud(200, 1)
    x = torch.cat([t, 1e-4 * cloud(200, 1, seed=1)], 1)  # a variance of 1e-8 beside the regulariser's 1e-6
    begin = start([[-1.0, 0.0], [1.0, 0.0]], [1.0, 1.0], kind)
    assert gmm.fit(x, begin, covariance=kind, reg=1e-6).collapsed == (0, 1)
    assert gmm.fit(x, begin, covariance=kind, reg=1e-10).collapsed == ()
    turned = x @ torch.tensor([[0.8, 0.6], [-0.6, 0.8]], dtype=torch.float64)
    if kind != "diagonal":
        assert gmm.fit(turned, begin, covariance=kind, reg=1e-6).collapsed == (0, 1)


# ------------------------------------------------------------------------------------------------ where nothing moves


@KINDS
@pytest.mark.parametrize("k", [2, 7])
def test_equal_components_are_a_saddle_that_em_never_leaves(kind: Any, k: int) -> None:
    x = cloud(300, 2) @ torch.tensor([[1.0, 0.6], [0.0, 2.0]], dtype=torch.float64)
    centre = x.mean(0).expand(k, 2)
    last = gmm.fit(x, start(centre, torch.full((k,), 1.7), kind), covariance=kind, tol=0, max_steps=400, reg=0)
    torch.testing.assert_close(last.means, centre, rtol=0, atol=1e-14)
    assert last.weights.tolist() == pytest.approx([1 / k] * k, rel=1e-14)
    full = gmm.full_covariances(last)
    assert all(torch.equal(full[0], each) for each in full)
    assert last.iteration == 400


@KINDS
@pytest.mark.parametrize("d", [2, 8, 20])
def test_with_hard_assignment_the_first_of_equal_components_takes_every_point(kind: Any, d: int) -> None:
    x = cloud(500, d)
    means = torch.cat([(0.3 * x[0] + 0.1).expand(7, d), x.mean(0, keepdim=True) + 1.0])
    begin = start(means, torch.ones(8), kind)
    e, m = list(gmm.steps(x, begin, covariance=kind, assignment="hard", tol=0, max_steps=1))
    assert e.counts.tolist() == [500 - float(e.counts[7])] + [0] * 6 + [float(e.counts[7])]
    assert m.empty == (1, 2, 3, 4, 5, 6)
    assert gmm.responsibilities(x, begin, assignment="hard").sum(0).tolist() == e.counts.tolist()


def test_a_saddle_is_left_when_one_component_is_moved() -> None:
    x = torch.cat([cloud(100, 2), cloud(100, 2) + 5])
    centres = x.mean(0) + torch.tensor([[0.0, 0.0], [1e-3, 0.0]])
    last = gmm.fit(x, start(centres, [10.0, 10.0], "spherical"), covariance="spherical", tol=0, max_steps=100)
    assert float((last.means[0] - last.means[1]).norm()) > 6


@KINDS
@pytest.mark.parametrize("assignment", ["soft", "hard"])
@pytest.mark.parametrize("d", [1, 2, 20])
@pytest.mark.parametrize("fixed", [(), ("weights",)])
def test_a_component_without_points_keeps_its_place_and_is_named(kind: Any, assignment: Any, d: int, fixed: Any) -> None:
    x = cloud(200, d)
    begin = start(torch.stack([x[0], x[1], torch.full((d,), 1e4).double()]), [1.0, 1.0, 1.0], kind)
    run = list(gmm.steps(x, begin, covariance=kind, max_steps=5, tol=0, assignment=assignment, reg=0, fixed=fixed))
    assert len(run) >= 2
    assert all(all_finite(step) for step in run)
    for step in run:
        torch.testing.assert_close(step.means[2], begin.means[2], rtol=1e-13, atol=0)
        assert float(step.counts[2]) == 0
        if step.phase == "M":
            assert 2 in step.empty
            assert 2 not in step.collapsed or kind.startswith("tied")
            assert float(step.weights[2]) == (pytest.approx(1 / 3) if fixed else 0)
    if not kind.startswith("tied"):
        torch.testing.assert_close(run[-1].covariances[2], begin.covariances[2], rtol=1e-12, atol=1e-12)


@KINDS
def test_a_component_with_next_to_no_share_in_any_point_keeps_its_place(kind: Any) -> None:
    x = cloud(200, 2)
    begin = start([[0.0, 0.0], [11.0, 0.0]], [1.0, 1.0], kind)
    e, m = list(gmm.steps(x, begin, covariance=kind, max_steps=1, reg=0))
    assert 0 < float(e.counts[1]) < 1e-12 * 200
    assert m.empty == (1,)
    torch.testing.assert_close(m.means[1], begin.means[1], rtol=1e-13, atol=1e-13)
    assert all_finite(m)


def test_with_max_steps_0_nothing_happens() -> None:
    x = cloud(9, 2)
    assert list(gmm.steps(x, start(x[:2], [1.0, 1.0], "full"), max_steps=0)) == []
    with pytest.raises(BadPoints) as caught:
        gmm.fit(x, start(x[:2], [1.0, 1.0], "full"), max_steps=0)
    assert str(caught.value) == "max_steps = 0 leaves nothing to return: ask for at least 1."


# ------------------------------------------------------------------------------------------------ errors


def refused(points: Any, begin: Start, **options: Any) -> str:
    with pytest.raises(BadPoints) as caught:
        gmm.fit(points, begin, **options)
    return str(caught.value)


def test_errors_are_one_sentence_that_names_the_value() -> None:
    x, two = cloud(9, 2), start([[0.0, 0.0], [1.0, 1.0]], [1.0, 1.0], "full")
    assert refused(x[:1], two) == "1 point is too few: a mixture of 2 components needs at least 2."
    bad = x.clone()
    bad[4, 1] = math.inf
    assert refused(bad, two).startswith("Point 5 is [") and refused(bad, two).count(".") >= 1
    assert "finite" in refused(bad, two)
    assert refused(torch.zeros(2, 3, 4), two).startswith("Points of shape (2, 3, 4) are not a cloud")
    assert refused(cloud(9, 3), two) == "Means of shape (2, 2) do not fit points of 3 coordinates."
    none = Start(torch.ones(0), torch.zeros(0, 2), torch.zeros(0, 2, 2))
    assert refused(x, none) == "Means of shape (0, 2) do not fit points of 2 coordinates."
    assert refused(torch.zeros(0, 2), none) == "0 points are too few: a mixture of 0 components needs at least 1."
    diagonal = start(two.means, [1.0, 1.0], "diagonal")
    assert refused(x, diagonal) == "Covariances of shape (2, 2) are not full, which has (2, 2, 2)."
    assert refused(x, two, weights=[1.0]) == "(1,) weights do not fit 9 points: give one for each point."
    assert refused(x, two, weights=-x[:, 0].abs()).startswith("The sample weights must be finite, none below 0")


@pytest.mark.parametrize("weights", [[1.0], [1.0, -0.1], [0.0, 0.0], [math.nan, 1.0]])
def test_bad_component_weights_are_refused(weights: list[float]) -> None:
    begin = Start(torch.tensor(weights), torch.zeros(2, 2), torch.eye(2).repeat(2, 1, 1))
    assert refused(cloud(9, 2), begin) == "The weights must be 2 numbers, none below 0, and not all 0."


@pytest.mark.parametrize("name", ["weights", "means", "covariances"])
def test_a_start_that_is_not_finite_is_refused(name: str) -> None:
    parts = {"weights": torch.ones(2), "means": torch.zeros(2, 2), "covariances": torch.eye(2).repeat(2, 1, 1)}
    parts[name].view(-1)[0] = math.inf
    assert refused(cloud(9, 2), Start(**parts)) == f"The start's {name} hold a number that is not finite."


def test_a_start_without_width_is_refused_and_named() -> None:
    x, means, ones = cloud(9, 2), torch.zeros(2, 2), torch.ones(2)
    thin = torch.stack([torch.eye(2), torch.tensor([[1.0, 2.0], [2.0, 1.0]])])
    said = "The covariance of component 2 is not positive definite: it needs some width in every direction."
    assert refused(x, Start(ones, means, thin)) == said
    assert refused(x, Start(ones, means, torch.tensor([1.0, 0.0])), covariance="spherical") == said
    assert refused(x, Start(ones, means, torch.tensor([[1.0, 1.0], [1.0, -1.0]])), covariance="diagonal") == said
    said = said.replace(" of component 2", "")
    assert refused(x, Start(ones, means, thin[1]), covariance="tied") == said
    assert refused(x, Start(ones, means, torch.tensor(0.0)), covariance="tied_spherical") == said
    slanted = torch.tensor([[1.0, 0.5], [0.0, 1.0]])
    said = "A covariance is not symmetric: the entries (i, j) and (j, i) must be equal."
    assert refused(x, Start(ones, means, slanted), covariance="tied") == said


def test_options_are_checked() -> None:
    x, two = cloud(9, 2), start([[0.0, 0.0], [1.0, 1.0]], [1.0, 1.0], "full")
    kinds = "full, tied, diagonal, spherical, tied_spherical"
    assert refused(x, two, covariance="diag") == f"covariance = 'diag' is none of {kinds}."
    assert refused(x, two, assignment="firm") == "assignment = 'firm' is neither soft nor hard."
    assert refused(x, two, fixed=["mean"]) == "fixed names ['mean']: it may name weights, means and covariances."
    for options in ({"tol": -1.0}, {"reg": -1.0}, {"reg": math.inf}, {"tol": math.nan}, {"max_steps": -1}):
        name, value = next(iter(options.items()))
        said = refused(x, two, **options)
        assert f"{name} = {value}" in said
        assert said.endswith("must be finite and not below 0.")
