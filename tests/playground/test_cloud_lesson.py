"""A lesson about clouds is a link and a few lines of code: both make the page's own runs again."""

from __future__ import annotations

import base64
import string
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from models.data import clouds
from playground import cloud_lesson, fits, wire
from playground.cloud_lesson import OF_RUN, CloudSettings, asked
from playground.faults import BadCall
from playground.lessons import MAX_QUERY

LETTERS = string.ascii_letters + string.digits + "-_"


def read(query: str) -> tuple[CloudSettings, list[str]]:
    return CloudSettings.from_query(dict(parse_qsl(query)))


def points_text(n: int, d: int = 2) -> str:
    """A cloud of n points as the page writes it into a link."""
    low, high = ",".join(["-8"] * d), ",".join(["8"] * d)
    return f"{d}~{low}~{high}~" + "".join(LETTERS[(7 * i) % 64] for i in range(2 * d * n))


# --- Links -------------------------------------------------------------------------------------------------------------


def steps_of(low: int, high: int, unit: float) -> st.SearchStrategy[float]:
    """Numbers of no more than the six digits that a link holds."""
    return st.integers(low, high).map(lambda i: float(f"{i * unit:.6g}"))


@st.composite
def fitting(draw: st.DrawFn) -> CloudSettings:
    k, d = draw(st.integers(1, 10)), draw(st.integers(1, 3))
    number = steps_of(-99_999, 99_999, 0.001)
    means = draw(st.just(()) | st.tuples(*[number] * (k * d)))
    shapes = draw(st.just(()) | st.tuples(*[number] * (k * d * (d + 1) // 2))) if means else ()
    above = steps_of(1, 99_999, 0.01)
    every = {
        "view": st.sampled_from(["fit", "like"]),
        "data": st.sampled_from([*clouds.PRESETS, "own"]),
        "n": st.integers(1, 20_000),
        "cloud": st.integers(0, 2**53),
        "points": st.just("") | st.integers(1, 40).map(lambda n: points_text(n, d)),
        "models": st.permutations(["gaussian", "kmeans", "gmm", "kde", "pca"]).flatmap(
            lambda names: st.integers(1, 4).map(lambda n: tuple(names[:n]))
        ),
        "how": st.sampled_from(["plus", "random", "kmeans", "same", "bad", "own"]),
        "seed": st.integers(0, 2**53),
        "covariance": st.sampled_from(["full", "tied", "diagonal", "spherical", "tied_spherical"]),
        "assignment": st.sampled_from(["soft", "hard"]),
        "weights": st.sampled_from(["learned", "equal"]),
        "hold": st.just(0.0) | above,
        "reg": steps_of(0, 1_000, 0.001) | st.just(1e-9),
        "tol": steps_of(0, 1_000, 0.001) | st.just(1e-12),
        "steps": st.integers(1, 300),
        "axes": st.integers(-1, 3),
        "bandwidth": st.just(0.0) | above,
        "density": st.sampled_from(["none", "contours", "heat", "surface"]),
        "step": st.integers(-1, 700),
        "pin": st.sampled_from(
            ["", "3.full.soft.learned.plus.7.0", "10.tied_spherical.hard.equal.random.9007199254740992.0.25"]
        ),
        "draws": st.integers(0, 2_000),
        "draw_seed": st.integers(0, 2**53),
        "mode": st.sampled_from(["likelihood", "probability", "histogram"]),
        "mu": st.none() | number,
        "sigma": st.none() | above,
        "used": st.none() | st.integers(1, 200_000),
        "at": st.none() | number,
        "width": st.none() | above,
        "theta": st.sampled_from(["mu", "sigma"]),
        "bin": st.none() | above,
        "scale": st.sampled_from(["share", "density"]),
        "of": st.sampled_from([None, 0, 1000, 100_000]),
        "zoom": steps_of(100, 20_000, 0.01),
    }
    assert set(every) | {"k", "means", "shapes"} == set(CloudSettings.model_fields)  # none is forgotten
    return CloudSettings(k=k, means=means, shapes=shapes, **{key: draw(one) for key, one in every.items()})


@settings(deadline=None)
@given(fitting())
def test_settings_survive_the_way_through_an_address(chosen: CloudSettings) -> None:
    text = chosen.to_query()
    found, notices = read(text)
    if len(text) > MAX_QUERY:
        assert "longer than" in notices[0]
        return
    assert notices == []
    assert found == chosen


def test_defaults_leave_the_address_empty() -> None:
    assert CloudSettings().to_query() == ""
    assert read("") == (CloudSettings(), [])


def test_an_address_is_readable() -> None:
    chosen = CloudSettings(data="moons", k=2, models=("gmm", "kde"), mu=0.5, how="own", means=(1.0, 2.0, -3.5, 4.0))
    assert chosen.to_query() == "v=1&data=moons&models=gmm,kde&k=2&how=own&means=1,2,-3.5,4&mu=0.5"


@given(st.dictionaries(st.sampled_from([*CloudSettings.model_fields, "colour"]), st.text(max_size=30), max_size=8))
def test_no_address_breaks_the_page(query: dict[str, str]) -> None:
    found, notices = CloudSettings.from_query(query)
    assert CloudSettings.from_query(dict(parse_qsl(found.to_query())))[0] == found
    assert all(notice.endswith(".") for notice in notices)


NUMBERS = st.lists(st.sampled_from(["0", "1", "-2.5", "1e9"]), max_size=13).map(",".join)


@given(
    st.fixed_dictionaries({}, optional={"k": st.sampled_from(["1", "2", "3", "x", "99"]), "means": NUMBERS, "shapes": NUMBERS})
)
def test_means_and_shapes_that_do_not_fit_each_other_break_nothing(query: dict[str, str]) -> None:
    found, notices = CloudSettings.from_query(query | {"how": "own", "n": "44"})
    assert found.n == 44
    d, rest = divmod(len(found.means), found.k)
    assert rest == 0
    assert d <= 3
    assert len(found.shapes) in (0, found.k * d * (d + 1) // 2)
    left = {key for key in query if key != "k" and query[key] and not getattr(found, key)}
    assert {notice.split(" = ")[0] for notice in notices} == left | ({"k"} if query.get("k") in ("x", "99") else set())
    compile(cloud_lesson.code(found), "code", "exec")


@pytest.mark.parametrize(
    ("key", "value", "word"),
    [
        ("data", "cats", "it is one of blob, tilted"),
        ("k", "11", "at most 10"),
        ("k", "three", "whole number"),
        ("models", "gmm,magic", "gaussian"),
        ("models", "gmm,gmm", "each model can stand there once"),
        ("models", "gaussian,kmeans,gmm,kde,pca", "at most 4 parts"),
        ("models", "", "nothing stands there"),
        ("how", "well", "plus"),
        ("tol", "nan", "finite"),
        ("reg", "-1", "at least 0"),
        ("hold", "wide", "not a number"),
        ("steps", "301", "at most 300"),
        ("axes", "4", "-1, 0, 1, 2 or 3"),
        ("mu", "low", "not a number"),
        ("mu", "1e200", "at most 1e+100"),
        ("sigma", "0", "above 0"),
        ("used", "0", "at least 1"),
        ("used", "1.5", "whole number"),
        ("of", "7", "0, 1000 or 100000"),
        ("of", "many", "0, 1000 or 100000"),
        ("zoom", "0.5", "at least 1"),
        ("pin", "3.full", "form that this page writes"),
        ("means", "1,zwei,3", "not a number"),
        ("means", "1,2,3,4", "4 numbers are not k means"),
        ("means", "1," * 12 + "1", "13 numbers are not k means"),
        ("means", "1," * 39 + "1", "at most 30"),
        ("shapes", "1,2,3", "3 numbers are not the upper triangles"),
    ],
)
def test_a_bad_value_falls_back_with_a_sentence_and_loses_nothing_else(key: str, value: str, word: str) -> None:
    other = {"n": "77", "seed": "5", "view": "like"}
    found, notices = CloudSettings.from_query({"v": "1", **other, key: value})
    assert getattr(found, key) == getattr(CloudSettings(), key)
    assert (found.n, found.seed, found.view) == (77, 5, "like")
    assert len(notices) == 1
    assert notices[0].startswith(f"{key} = ")
    assert word in notices[0]
    assert notices[0].endswith(".")


@pytest.mark.parametrize(
    "bad",
    [
        "4~0,0,0,0~1,1,1,1~AAAAAAAA",
        "2~-8,-8~8,8~AAA",  # half a number
        "2~-8,-8~8,8~AAAA" + "AA",  # half a point
        "2~-8~8,8~AAAA",
        "2~-8,-8~8,8,8~AAAA",
        "2~-8,-8~8,8~",  # no point
        "2~-8,8~8,-8~AAAA",  # upside down
        "2~e,e~8,8~AAAA",  # no numbers
        "1~1e999~2~AA",
        "1~-8~8~A!",
        "1~-8~8~AA<script>",
        "rubbish",
    ],
)
def test_a_cloud_in_a_link_is_checked(bad: str) -> None:
    found, notices = CloudSettings.from_query({"data": "own", "points": bad, "k": "4"})
    assert (found.points, found.data, found.k) == ("", "own", 4)
    assert len(notices) == 1
    assert notices[0].startswith("points = ")


@pytest.mark.parametrize("d", [1, 2, 3])
def test_a_cloud_in_a_link_is_kept(d: int) -> None:
    own_ends = f"{d}~{','.join(['-1.5e+07'] * d)}~{','.join(['2'] * d)}~{'A_-9' * d}"
    for text in (points_text(30, d), own_ends):
        chosen = CloudSettings(data="own", points=text)
        assert read(chosen.to_query()) == (chosen, [])


def test_the_link_of_a_full_cloud_is_short_enough() -> None:
    """375 points on the plane, and whatever else a lesson about them would set."""
    chosen = CloudSettings(
        data="own",
        points=points_text(375),
        models=("gaussian", "kmeans", "gmm", "kde"),
        k=10,
        how="kmeans",
        seed=2**53,
        covariance="tied_spherical",
        assignment="hard",
        weights="equal",
        hold=123.456,
        reg=1.23456e-7,
        tol=1.23456e-7,
        steps=299,
        axes=2,
        bandwidth=0.123456,
        density="surface",
        step=600,
        pin="10.tied_spherical.hard.equal.kmeans.9007199254740992.123.456",
        draws=2_000,
        draw_seed=9_999,
    )
    assert len(chosen.points) >= 1_500
    assert len(chosen.to_query()) <= MAX_QUERY
    assert read(chosen.to_query()) == (chosen, [])


def test_own_means_and_a_full_cloud_fit_in_one_link() -> None:
    means = tuple(-1.23456 - i for i in range(20))
    chosen = CloudSettings(data="own", points=points_text(372), k=10, how="own", means=means, models=("gmm",))
    assert len(chosen.to_query()) <= MAX_QUERY
    assert read(chosen.to_query())[0].points == chosen.points


# --- What is asked ------------------------------------------------------------------------------------------------------


def test_what_is_asked_are_the_settings_of_a_run() -> None:
    chosen = CloudSettings(
        k=4, how="bad", seed=9, covariance="tied", assignment="hard", weights="equal", hold=0.5, reg=0.1, tol=0.2, steps=33
    )
    found = asked(chosen, "gmm", 2)
    assert found == wire.FitQuery(
        model="gmm",
        d=2,
        k=4,
        how="bad",
        seed=9,
        covariance="tied",
        assignment="hard",
        weights="equal",
        sigma=0.5,
        reg=0.1,
        tol=0.2,
        steps=33,
    )


def test_an_own_start_is_asked_with_its_numbers() -> None:
    chosen = CloudSettings(k=2, how="own", means=(1.0, 2.5, -0.1234567, 4.0), shapes=(1.0, 0.0, 1.0, 2.0, 0.5, 2.0))
    found = asked(chosen, "gmm", 2)
    assert (found.means, found.shapes) == ("1,2.5,-0.123457,4", "1,0,1,2,0.5,2")


@pytest.mark.parametrize("how", ["own", "random"])
def test_means_count_only_for_an_own_start_and_an_own_start_only_with_means(how: str) -> None:
    chosen = CloudSettings(k=2, how=how, means=(1.0, 2.0) if how == "random" else ())
    found = asked(chosen, "kmeans", 1)
    assert (found.how, found.means, found.shapes) == ("plus" if how == "own" else "random", "", "")


@pytest.mark.parametrize(("axes", "d", "wanted"), [(3, 2, 2), (3, 3, 3), (1, 1, 1), (2, 1, 1), (0, 2, 0), (-1, 3, -1)])
def test_no_more_axes_are_asked_for_than_there_are_coordinates(axes: int, d: int, wanted: int) -> None:
    assert asked(CloudSettings(axes=axes), "pca", d).axes == wanted


def test_every_setting_of_a_run_is_asked() -> None:
    renamed = {"hold": "sigma"}
    assert {renamed.get(key, key) for key in OF_RUN} == set(wire.FitQuery.model_fields) - {"model", "d", "low", "high"}


# --- The code -----------------------------------------------------------------------------------------------------------


def floats(text: str) -> np.ndarray:
    return np.frombuffer(base64.b64decode(text), "<f8")


def assert_code_makes_the_runs(chosen: CloudSettings, points: torch.Tensor, capsys: Any) -> None:
    """The code's variables against fits, model by model."""
    found: dict[str, Any] = {}
    exec(cloud_lesson.code(chosen), found)
    printed = capsys.readouterr().out.splitlines()
    assert len(printed) >= len(chosen.models)
    assert torch.equal(found["points"], points)
    d = points.shape[1]
    for model in chosen.models:
        query = asked(chosen, model, d)
        if model == "kde":
            query = query.model_copy(update={"low": ",".join(["-9"] * d), "high": ",".join(["9"] * d)})
        told = fits.finished(fits.fit(points, query))
        last = {key: floats(told[key]).reshape(len(told["phases"]), -1)[-1] for key in ("weights", "means") if key in told}
        if model == "gaussian":
            np.testing.assert_allclose(found["one"].mean.numpy(), last["means"], rtol=1e-9)
            likelihood = float(found["gaussian"].log_prob(points, found["one"]).mean())
            assert likelihood == pytest.approx(told["log_likelihood"][0], rel=1e-9)
        elif model == "kmeans":
            assert found["clusters"].inertia == pytest.approx(told["inertia"][-1], rel=1e-9)
            np.testing.assert_allclose(found["clusters"].means.numpy().ravel(), last["means"], rtol=1e-9, atol=1e-9)
        elif model == "gmm":
            assert len(found["run"]) == len(told["phases"]) - 1
            assert found["mixture"].log_likelihood == pytest.approx(told["log_likelihood"][-1], rel=1e-9)
            np.testing.assert_allclose(found["mixture"].means.numpy().ravel(), last["means"], rtol=1e-9, atol=1e-9)
            np.testing.assert_allclose(found["mixture"].weights.numpy(), last["weights"], rtol=1e-9, atol=1e-9)
            assert str(found["mixture"].log_likelihood) in printed
        elif model == "kde" and chosen.bandwidth:
            assert found["h"] == told["bandwidth"]
            assert any(float(line) == pytest.approx(told["log_likelihood"][0], rel=1e-9) for line in printed if " " not in line)
        elif model == "kde":
            assert found["best"].h == pytest.approx(told["bandwidth"], rel=1e-9)
            assert found["best"].log_likelihood == pytest.approx(told["log_likelihood"][0], rel=1e-9)
        else:
            directions = np.reshape(told["axes"]["directions"], (-1, d))
            np.testing.assert_allclose(found["axes"].directions.numpy(), directions, rtol=1e-9, atol=1e-12)
            np.testing.assert_allclose(found["axes"].explained.numpy(), told["axes"]["explained"], rtol=1e-9)


@pytest.mark.parametrize(
    "chosen",
    [
        CloudSettings(),
        CloudSettings(models=("gaussian", "kmeans", "gmm", "kde")),
        CloudSettings(models=("pca", "gaussian"), data="sheet", axes=2, n=50),
        CloudSettings(models=("pca",), data="moons", axes=3),
        CloudSettings(models=("pca",), data="helix"),
        CloudSettings(models=("pca",), data="bell", axes=-1),
        CloudSettings(models=("pca", "gmm", "kde"), data="ten", n=500, k=2, axes=2),
        CloudSettings(models=("kmeans", "gmm"), data="blob", n=3, k=2),
        CloudSettings(models=("kmeans", "gmm"), data="three", how="own", k=2, n=80),  # an own start without means
        CloudSettings(models=("kmeans", "gmm"), how="own", k=2, means=(-1.0, 0.5, 1.25, -0.5)),
        CloudSettings(
            models=("gmm", "kmeans"), how="own", k=2, means=(-1.0, 0.5, 1.25, -0.5), shapes=(1.0, 0.5, 2.0, 0.7, -0.1, 0.3)
        ),
        CloudSettings(
            models=("gmm",), how="own", k=2, means=(-1.0, 1.5), shapes=(1.0, 0.5), data="two", covariance="spherical"
        ),
        CloudSettings(models=("gmm",), how="own", k=1, means=(0.1, 0.2, 0.3), data="helix", covariance="diagonal"),
        CloudSettings(models=("gmm",), hold=0.4, k=4, how="plus"),
        CloudSettings(models=("gmm",), weights="equal", covariance="tied", how="kmeans"),
        CloudSettings(models=("gmm",), assignment="hard", covariance="diagonal", how="bad", seed=3),
        CloudSettings(models=("gmm", "kmeans"), assignment="hard", covariance="tied_spherical", weights="equal", reg=0, tol=0),
        CloudSettings(models=("gmm",), hold=0.5, weights="equal", assignment="hard", covariance="full"),
        CloudSettings(models=("gmm", "kmeans"), steps=2, reg=0.01, tol=0.5, how="same"),
        CloudSettings(models=("kde",), bandwidth=0.25, n=100),
        CloudSettings(models=("kde",), data="two", n=100, cloud=12),
    ],
)
def test_the_code_of_a_preset_makes_the_pages_runs(chosen: CloudSettings, capsys: pytest.CaptureFixture[str]) -> None:
    points = clouds.make(chosen.data, cloud_lesson.size(chosen.data, chosen.n), noise=chosen.cloud).points
    assert_code_makes_the_runs(chosen, points, capsys)


@pytest.mark.parametrize(
    "chosen",
    [
        CloudSettings(view="like", data="bell"),
        CloudSettings(view="like", data="ten", mu=0.25, sigma=2.0, used=4),
        CloudSettings(view="like", data="skewed", n=50, mu=-1e-7, used=20),
        CloudSettings(view="like", data="two", sigma=0.5, used=1_000),
    ],
)
def test_the_code_of_a_likelihood_finds_its_maximum_and_its_value(
    chosen: CloudSettings, capsys: pytest.CaptureFixture[str]
) -> None:
    found: dict[str, Any] = {}
    exec(cloud_lesson.code(chosen), found)
    points = clouds.make(chosen.data, cloud_lesson.size(chosen.data, chosen.n), noise=chosen.cloud).points[: chosen.used, 0]
    mu = points.mean() if chosen.mu is None else torch.tensor(chosen.mu).double()
    sigma = points.std(correction=0) if chosen.sigma is None else torch.tensor(chosen.sigma).double()
    assert float(found["best"].mean) == pytest.approx(float(points.mean()), rel=1e-12)
    assert float(found["sigma"]) == pytest.approx(float(points.std(correction=0)), rel=1e-12)
    expected = float(torch.distributions.Normal(mu, sigma).log_prob(points).sum())
    assert float(found["likelihood"]) == pytest.approx(expected, rel=1e-9)
    assert capsys.readouterr().out


@pytest.mark.parametrize("d", [1, 2, 3])
def test_the_code_of_an_own_cloud_reads_its_file(
    d: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    points = clouds.make({1: "two", 2: "moons", 3: "helix"}[d], 60, noise=5).points * 3.0
    rows = "\n".join(",".join(map(repr, row)) for row in points.tolist())
    (tmp_path / "points.csv").write_text(f"{','.join('xyz'[:d])}\n{rows}\n")
    monkeypatch.chdir(tmp_path)
    chosen = CloudSettings(data="own", models=("gaussian", "kmeans", "gmm", "pca"), k=2, axes=3)
    assert_code_makes_the_runs(chosen, points, capsys)


@pytest.mark.parametrize("flat", [True, False])
def test_the_regulariser_is_the_pages_where_a_coordinate_is_constant(
    flat: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    points = clouds.make("moons", 40, noise=5).points.clone()
    if flat:
        points[:, 1] = 2.0
    (tmp_path / "points.csv").write_text("x,y\n" + "\n".join(",".join(map(repr, row)) for row in points.tolist()) + "\n")
    monkeypatch.chdir(tmp_path)
    assert_code_makes_the_runs(CloudSettings(data="own", models=("gmm",), k=2, reg=0.1), points, capsys)


@settings(deadline=None)
@given(fitting())
def test_the_code_of_any_settings_is_python(chosen: CloudSettings) -> None:
    text = cloud_lesson.code(chosen)
    compile(text, "code", "exec")
    assert "own" not in text.replace("starts.own", "")
    assert all(name in text for name in ("points", "from models import"))


@pytest.mark.parametrize(("data", "n", "there"), [("ten", 300, 10), ("ten", 1, 2), ("blob", 1, 10), ("blob", 300, 300)])
def test_a_preset_has_the_nearest_number_that_it_can(data: str, n: int, there: int) -> None:
    assert cloud_lesson.size(data, n) == there
    assert len(clouds.make(data, there, noise=0).points) == there


def test_means_of_another_dimension_than_the_clouds_are_refused_by_the_run() -> None:
    chosen = CloudSettings(k=2, how="own", means=(1.0, 2.0))
    with pytest.raises(BadCall, match="2 numbers cannot be 2 means: with 2 coordinates they need 4"):
        fits.finished(fits.fit(clouds.make("moons", 30, noise=1).points, asked(chosen, "gmm", 2)))
