"""The routes of clouds, behind their guard: right answers, one good sentence for everything that is wrong, and nothing kept."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.testclient import TestClient

from models import gmm
from models.data import clouds
from playground import cloud_lesson, cloud_play, fits, guard, wire
from playground.cloud_lesson import CloudSettings
from playground.guard import Guard
from playground.inference import Inference
from playground.wire import ChooseQuery, DrawsBody, FitQuery

CLOUD = clouds.make("stretched", 60, noise=3).points
BODY = CLOUD.numpy().astype("<f8").tobytes()
WINDOW = {"low": "-6,-6", "high": "6,6"}


@pytest.fixture(scope="module")
def client() -> Iterator[TestClient]:
    app = Starlette(routes=cloud_play.routes(Inference()), middleware=[Middleware(Guard)])
    with TestClient(app, raise_server_exceptions=False, headers={"X-Playground-Token": "test-" * 4}) as one:
        yield one


def floats(text: str) -> np.ndarray:
    return np.frombuffer(base64.b64decode(text), "<f8")


def points(*rows: Any) -> bytes:
    return np.array(rows, dtype="<f8").tobytes()


# --- Right answers -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", clouds.PRESETS)
def test_a_preset_is_that_of_the_library(client: TestClient, name: str) -> None:
    told = client.get("/play/cloud/points", params={"data": name, "n": 50, "seed": 4}).json()
    preset = clouds.PRESETS[name]
    expected = clouds.make(name, min(50, preset.most), noise=4).points
    assert (told["d"], told["n"]) == (preset.dimensions, len(expected))
    np.testing.assert_array_equal(floats(told["points"]), expected.numpy().ravel())


@pytest.mark.parametrize(("data", "n", "made"), [("ten", 500, 10), ("ten", 1, 2), ("blob", 3, 10), ("blob", 20_000, 20_000)])
def test_a_preset_has_the_nearest_number_of_points_that_it_can(client: TestClient, data: str, n: int, made: int) -> None:
    assert client.get("/play/cloud/points", params={"data": data, "n": n}).json()["n"] == made


@pytest.mark.parametrize(
    "query",
    [
        {"model": "gaussian"},
        {"model": "pca", "axes": 1},
        {"model": "kmeans", "k": 4, "how": "bad", "seed": 8},
        {"model": "gmm", "k": 2, "how": "kmeans", "covariance": "diagonal", "weights": "equal", "tol": 1e-3},
        {"model": "gmm", "k": 2, "means": "0,0,1,1", "shapes": "1,0,1,2,0,2", "assignment": "hard"},
        {"model": "kde", **WINDOW},
        {"model": "kde", "bandwidth": 0.4, **WINDOW},
    ],
)
def test_a_run_is_that_of_fits(client: TestClient, query: dict[str, Any]) -> None:
    answer = client.post("/play/cloud/fit", params={"d": 2, **query}, content=BODY)
    assert answer.status_code == 200
    expected = fits.finished(fits.fit(CLOUD, FitQuery(d=2, **query)))
    told = answer.json()
    assert told.keys() == expected.keys()
    for key in ("weights", "means", "covariances"):
        if key in expected:
            np.testing.assert_allclose(floats(told[key]), floats(expected[key]), rtol=1e-9, atol=1e-12)
    for key in ("phases", "model", "d", "n", "collapsed", "empty", "converged", "sampled"):
        assert told.get(key) == expected.get(key)
    if "log_likelihood" in expected:
        assert told["log_likelihood"] == [None if v is None else pytest.approx(v) for v in expected["log_likelihood"]]


def test_choosing_is_that_of_fits(client: TestClient) -> None:
    query = {"d": 2, "largest": 2, "seed": 5}
    told = client.post("/play/cloud/choose", params=query, content=BODY).json()
    expected = fits.finished(fits.choose(CLOUD, ChooseQuery(**query)))
    assert [row["bic"] for row in told["rows"]] == [pytest.approx(row["bic"]) for row in expected["rows"]]
    assert [row["held_out"] for row in told["rows"]] == [pytest.approx(row["held_out"]) for row in expected["rows"]]


def test_draws_are_ancestral_samples_of_what_is_sent(client: TestClient) -> None:
    body = {"d": 2, "weights": [0.5, 0.5], "means": [0, 0, 9, 9], "covariances": [1, 0, 0, 1] * 2, "n": 30, "seed": 2}
    told = client.post("/play/cloud/draws", json=body).json()
    expected, components = gmm.sample(DrawsBody(**body).mixture(), 30, noise=2)
    np.testing.assert_allclose(floats(told["points"]), expected.numpy().ravel())
    assert told["components"] == components.tolist()


def test_kernel_draws_name_the_points_that_they_step_from(client: TestClient) -> None:
    told = client.post("/play/cloud/kernel_draws", params={"d": 2, "bandwidth": 0.2, "n": 30, "seed": 2}, content=BODY).json()
    assert told == json.loads(json.dumps(fits.kernel_draws(CLOUD, 0.2, 30, 2)))
    np.testing.assert_array_equal(floats(told["centres"]).reshape(-1, 2), CLOUD.numpy()[told["components"]])


def test_the_code_is_that_of_the_settings(client: TestClient) -> None:
    query = {"models": "gmm,pca", "k": "2", "covariance": "tied", "data": "moons"}
    settings, _ = CloudSettings.from_query(query)
    assert client.get("/play/cloud/code", params=query).json()["code"] == cloud_lesson.code(settings)
    assert client.get("/play/cloud/code", params={"k": "none", "models": "?", "means": "1,2"}).status_code == 200


# --- Tables ------------------------------------------------------------------------------------------------------------

TABLE = "a,name,b,c,d\n1,Ada,2,3,4\n5,Bo,6,7,8\n9,Cy,10,11,12\n"


@pytest.mark.parametrize(
    ("columns", "chosen"), [("", [0, 1]), ("2", [2]), ("3,0", [3, 0]), ("0,1,3", [0, 1, 3]), (" 1 , 2 ,", [1, 2])]
)
def test_the_chosen_columns_of_a_table_are_points(client: TestClient, columns: str, chosen: list[int]) -> None:
    told = client.post("/play/cloud/table", params={"columns": columns}, content=TABLE).json()
    assert told["names"] == ["a", "b", "c", "d"]
    assert told["chosen"] == chosen
    assert (told["d"], told["n"]) == (len(chosen), 3)
    numbers = np.array([[1, 2, 3, 4], [5, 6, 7, 8], [9, 10, 11, 12]], dtype=float)
    np.testing.assert_array_equal(floats(told["points"]).reshape(3, -1), numbers[:, chosen])
    assert any("name" in notice and "text" in notice for notice in told["notices"])


def test_a_table_of_one_column_is_a_cloud_on_the_line(client: TestClient) -> None:
    told = client.post("/play/cloud/table", content="height\n1\n2\n3\n").json()
    assert (told["d"], told["names"], told["chosen"]) == (1, ["height"], [0])


def test_of_a_million_rows_a_fair_sample_is_kept_and_said(client: TestClient) -> None:
    rows = np.arange(1_000_000)
    file = ("x,y\n" + "\n".join(map("{0},{0}".format, rows.tolist()))).encode()
    answer = client.post("/play/cloud/table", params={"seed": 3}, content=file)
    assert answer.status_code == 200
    told = answer.json()
    assert (told["d"], told["n"]) == (2, 200_000)
    assert "Of 1,000,000 usable rows a fair sample of 200,000 is kept, which is the limit." in told["notices"]
    x = floats(told["points"]).reshape(-1, 2)
    assert len(np.unique(x[:, 0])) == 200_000
    assert x[:, 0].mean() == pytest.approx(rows.mean(), rel=0.01)
    assert client.post("/play/cloud/fit", params={"d": 2, "model": "gaussian"}, content=x.tobytes()).status_code == 200


# --- Limits ------------------------------------------------------------------------------------------------------------


def test_a_cloud_at_the_limit_passes_the_guard_and_is_fitted(client: TestClient) -> None:
    body = np.random.default_rng(0).normal(size=(wire.MAX_POINTS, 3)).astype("<f8").tobytes()
    assert len(body) <= guard.LIMITS["/play/cloud"]
    answer = client.post("/play/cloud/fit", params={"d": 3, "model": "gaussian"}, content=body)
    assert answer.json()["n"] == wire.MAX_POINTS
    more = client.post("/play/cloud/fit", params={"d": 3, "model": "gaussian"}, content=body + bytes(24))
    assert more.status_code == 413
    assert more.json()["error"] == "200,001 points are more than the limit of 200,000: send a sample of them."
    longest = client.post("/play/cloud/fit", params={"d": 3, "model": "gaussian"}, content=bytes(5_000_001))
    assert longest.status_code == 413
    assert "5,000,001 bytes" in longest.json()["error"]
    assert "5,000,000" in longest.json()["error"]


def test_a_table_may_be_larger_than_a_cloud(client: TestClient) -> None:
    assert guard.LIMITS["/play/cloud/table"] == 20_000_000
    row = b"1.25,2.5," + b"0" * 500 + b"\n"
    file = row * (19_900_000 // len(row))
    assert client.post("/play/cloud/table", content=file).json()["n"] == len(file) // len(row)
    answer = client.post("/play/cloud/table", content=bytes(20_000_001))
    assert answer.status_code == 413
    assert "20,000,000" in answer.json()["error"]


# --- What is wrong -----------------------------------------------------------------------------------------------------

FIT = {"model": "gmm", "d": 2}
MIXTURE = {"d": 1, "weights": [1.0], "means": [0.0], "covariances": [1.0]}
RAW = b'{"d": 1, "weights": [1], "means": [%b], "covariances": [1]}'


@pytest.mark.parametrize(
    ("path", "query", "body", "status", "said"),
    [
        # points
        ("fit", FIT | {"k": 3}, points([0, 0], [1, 1]), 422, "2 points are too few: a mixture of 3 components needs"),
        ("fit", FIT | {"model": "kmeans", "k": 10}, points([0, 0]), 422, "1 point is too few: a start with 10 means needs"),
        ("fit", FIT | {"model": "kde", **WINDOW}, points([1, 1], [1, 1]), 422, "All 2 points are equal"),
        ("fit", FIT | {"model": "kde", **WINDOW}, points([1, 1]), 422, "1 point is too few: leaving one out needs at least 2."),
        ("fit", FIT, b"", 400, "There are no points: put some down first."),
        ("fit", FIT, bytes(24), 400, "24 bytes are not whole points of 2 float64 numbers, 16 bytes each"),
        ("fit", FIT | {"d": 1}, bytes(7), 400, "7 bytes are not whole points of one float64 number, 8 bytes each"),
        ("fit", FIT | {"d": 1}, bytes(8 * 200_001), 413, "200,001 points are more than the limit of 200,000"),
        ("fit", FIT, points([0, 0], [1, np.inf]), 400, "Point 2 has a coordinate that is not a finite number: leave it out."),
        ("fit", FIT, points([np.nan, 0]), 400, "Point 1 has a coordinate that is not a finite number"),
        ("fit", FIT, points([0, 0], [1, -1e200]), 400, "A coordinate has the size 1e+200, and the limit is 1e+100"),
        ("choose", {"d": 2}, points([0, 0], [1, 1]), 400, "2 points are too few to hold a fifth out: put down at least 5."),
        ("choose", {"d": 2}, b"", 400, "There are no points"),
        ("kernel_draws", {"d": 2, "bandwidth": 1}, b"", 400, "There are no points"),
        ("kernel_draws", {"d": 2, "bandwidth": 1e-200}, BODY, 422, "A bandwidth of 1e-200 is too small for a cloud"),
        # settings
        ("fit", FIT | {"k": 50}, BODY, 400, "k = '50' does not fit: it must be at most 10."),
        ("fit", FIT | {"k": 0}, BODY, 400, "k = '0' does not fit: it must be at least 1."),
        ("fit", FIT | {"k": "three"}, BODY, 400, "k = 'three' does not fit: it must be a whole number."),
        ("fit", FIT | {"k": "2.5"}, BODY, 400, "k = '2.5' does not fit: it must be a whole number."),
        ("fit", FIT | {"d": 4}, BODY, 400, "d = '4' does not fit: it must be at most 3."),
        ("fit", {"model": "gmm"}, BODY, 400, "d is missing: say what it is."),
        ("fit", FIT | {"model": "magic"}, BODY, 400, "model = 'magic' does not fit: it must be 'gaussian', 'kmeans'"),
        ("fit", FIT | {"how": "own"}, BODY, 400, "how = 'own' does not fit"),
        ("fit", FIT | {"colour": "red"}, BODY, 400, "There is no 'colour' here: leave it out."),
        ("fit", FIT | {"seed": -1}, BODY, 400, "seed = '-1' does not fit: it must be at least 0."),
        ("fit", FIT | {"seed": 2**70}, BODY, 400, "does not fit: it must be below"),
        ("fit", FIT | {"reg": "nan"}, BODY, 400, "reg = 'nan' does not fit"),
        ("fit", FIT | {"tol": "inf"}, BODY, 400, "tol = 'inf' does not fit"),
        ("fit", FIT | {"steps": 10_000}, BODY, 400, "steps = '10000' does not fit: it must be at most 300."),
        ("fit", FIT | {"sigma": -1}, BODY, 400, "sigma = '-1' does not fit: it must be at least 0."),
        ("fit", FIT | {"sigma": "broad"}, BODY, 400, "sigma = 'broad' does not fit: it must be a number."),
        ("fit", FIT | {"k": 3, "means": "1,2,3"}, BODY, 400, "3 numbers cannot be 3 means: with 2 coordinates"),
        ("fit", FIT | {"means": "a;b"}, BODY, 400, "means = 'a;b' is not a list of numbers with commas."),
        ("fit", FIT | {"means": "1," * 1_000}, BODY, 400, "does not fit: it must have at most 1500 characters."),
        ("fit", FIT | {"k": 1, "means": "0,inf"}, BODY, 400, "means holds a number that is not finite"),
        ("fit", FIT | {"k": 1, "means": "0,0", "shapes": "1,2"}, BODY, 400, "shapes: 2 numbers cannot be 1 covariance"),
        ("fit", FIT | {"k": 1, "means": "0,0", "shapes": "1,9,1"}, BODY, 422, "not positive definite"),
        ("fit", FIT | {"model": "pca", "axes": 3}, BODY, 400, "PCA with 3 axes does not fit points of 2 coordinates"),
        ("fit", FIT | {"model": "pca", "axes": 4}, BODY, 400, "axes = '4' does not fit: it must be at most 3."),
        ("fit", FIT | {"model": "kde"}, BODY, 400, "low and high must be 2 numbers each, low below high"),
        ("fit", FIT | {"model": "kde", "low": "1,1", "high": "0,0"}, BODY, 400, "low below high"),
        ("fit", {"model": "kde", "d": 3}, bytes(240), 400, "drawn for 1 or 2 coordinates, and these points have 3"),
        ("choose", {"d": 2, "largest": 11}, BODY, 400, "largest = '11' does not fit: it must be at most 10."),
        ("kernel_draws", {"d": 3, "bandwidth": 1}, BODY, 400, "d = '3' does not fit: it must be at most 2."),
        ("kernel_draws", {"d": 2, "bandwidth": 0}, BODY, 400, "bandwidth = '0' does not fit: it must be above 0."),
        ("kernel_draws", {"d": 2}, BODY, 400, "bandwidth is missing"),
        ("kernel_draws", {"d": 2, "bandwidth": 1, "n": 5_000}, BODY, 400, "n = '5000' does not fit: it must be at most 2,000."),
        # mixtures
        ("draws", {}, b"", 400, "The body is not JSON: send the numbers of a mixture."),
        ("draws", {}, b"weights", 400, "The body is not JSON"),
        ("draws", {}, b"[1, 2]", 400, "The body = '[1, 2]' does not fit: it must be an object"),
        ("draws", {}, MIXTURE | {"weights": []}, 400, "weights = '[]' does not fit: it must have at least 1"),
        ("draws", {}, MIXTURE | {"weights": [1.0] * 11}, 400, "does not fit: it must have at most 10 entries."),
        ("draws", {}, MIXTURE | {"weights": "all"}, 400, "weights = 'all' does not fit: it must be a list of numbers."),
        ("draws", {}, MIXTURE | {"weights": [-1.0]}, 400, "A weight is below 0"),
        ("draws", {}, MIXTURE | {"means": ["x"]}, 400, "means.0 = 'x' does not fit: it must be a number."),
        ("draws", {}, MIXTURE | {"means": [0.0, 1.0]}, 400, "means must have 1 numbers and covariances 1, not 2 and 1."),
        ("draws", {}, MIXTURE | {"covariances": [-1.0]}, 400, "a covariance is not positive definite"),
        ("draws", {}, MIXTURE | {"means": [1e200]}, 400, "The mixture holds a number beyond 1e+100"),
        ("draws", {}, RAW % b"1e999", 400, "means.0 = 'inf' does not fit: it must be a"),
        ("draws", {}, RAW % b"NaN", 400, "means.0 = 'nan' does not fit: it must be a"),
        ("draws", {}, MIXTURE | {"n": 3_000}, 400, "n = '3000' does not fit: it must be at most 2,000."),
        ("draws", {}, MIXTURE | {"more": 1}, 400, "There is no 'more' here"),
        ("draws", {}, {"d": 1}, 400, "weights is missing"),
        # tables
        ("table", {}, b"", 400, "The file is empty (0 bytes)"),
        ("table", {}, b"name\nAda\nBo\n", 400, "is a column of text (row 1 says"),
        ("table", {}, b"x,y\n1,inf\ninf,2\n", 400, "0 can be used, and at least 1 is needed"),
        ("table", {}, b"\x89PNG\r\n\x1a\n" + bytes(50), 400, "The file is a picture"),
        ("table", {"columns": "0,1,2,3"}, TABLE.encode(), 400, "4 columns are too many: points have at most 3 coordinates."),
        ("table", {"columns": "7"}, TABLE.encode(), 400, "There is no column '7': the table has 4 numeric columns"),
        ("table", {"columns": "a"}, TABLE.encode(), 400, "There is no column 'a'"),
        ("table", {"columns": "-1"}, TABLE.encode(), 400, "There is no column '-1'"),
        ("table", {"columns": "0,0"}, TABLE.encode(), 400, "names a column twice"),
        ("table", {"columns": "0," * 300}, TABLE.encode(), 400, "does not fit: it must have at most 400 characters."),
    ],
    ids=lambda value: "bytes" if isinstance(value, bytes) else None,
)  # fmt: skip
def test_what_is_wrong_gets_one_sentence_that_names_it(
    client: TestClient, path: str, query: dict[str, Any], body: bytes | dict, status: int, said: str
) -> None:
    content = json.dumps(body).encode() if isinstance(body, dict) else body
    answer = client.post(f"/play/cloud/{path}", params=query, content=content)
    sentence = answer.json()["error"]
    assert said in sentence
    assert answer.status_code == status
    assert_is_sentence(sentence)


def assert_is_sentence(said: str) -> None:
    assert 20 < len(said) < 300
    assert said.endswith(".")
    assert not re.search(r"\.\s+[A-Z]", said)  # one
    for foreign in ("Traceback", "pydantic", "tensor", "input should be", "Error", "ndarray"):
        assert foreign not in said


@pytest.mark.parametrize(
    ("query", "status", "said"),
    [
        ({"data": "cats"}, 404, "There is no cloud named 'cats': there are blob, tilted"),
        ({}, 400, "data is missing"),
        ({"data": "x" * 500}, 400, "it must have at most 20 characters"),
        ({"data": "blob", "n": 20_001}, 400, "n = '20001' does not fit: it must be at most 20,000."),
        ({"data": "blob", "n": 0}, 400, "n = '0' does not fit: it must be at least 1."),
        ({"data": "blob", "seed": "x"}, 400, "seed = 'x' does not fit: it must be a whole number."),
    ],
)
def test_an_unknown_preset_gets_a_sentence(client: TestClient, query: dict[str, Any], status: int, said: str) -> None:
    answer = client.get("/play/cloud/points", params=query)
    assert answer.status_code == status
    assert said in answer.json()["error"]
    assert_is_sentence(answer.json()["error"])


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "fit"), ("GET", "choose"), ("GET", "draws"), ("GET", "table"), ("POST", "points"), ("POST", "code")],
)
def test_the_wrong_method_is_refused(client: TestClient, method: str, path: str) -> None:
    assert client.request(method, f"/play/cloud/{path}").status_code == 405


@pytest.mark.parametrize("d", [1, 2, 3])
@pytest.mark.parametrize("model", ["gaussian", "pca", "kmeans", "gmm"])
def test_equal_points_are_answered(client: TestClient, model: str, d: int) -> None:
    answer = client.post("/play/cloud/fit", params={"d": d, "model": model, "k": 2}, content=np.full((9, d), 0.1).tobytes())
    assert answer.status_code == 200
    told = answer.json()
    assert np.isfinite(floats(told["covariances"])).all()
    if model != "kmeans":
        assert told["collapsed"][-1]  # and said so


def test_nothing_of_a_person_is_kept(client: TestClient) -> None:
    """Neither a refused cloud nor an answered one changes the next answer, and no result lies in a cache."""
    inference = Inference()
    app = Starlette(routes=cloud_play.routes(inference), middleware=[Middleware(Guard)])
    ask = {"d": 2, "model": "kmeans", "k": 3}
    with TestClient(app, raise_server_exceptions=False) as own:
        before = own.post("/play/cloud/fit", params=ask, content=BODY).json()
        own.post("/play/cloud/fit", params=ask, content=points([9, 9], [8, 8], [7, 7]))
        own.post("/play/cloud/fit", params=ask, content=b"rubbish")
        own.post("/play/cloud/choose", params={"d": 2, "largest": 2}, content=BODY)
        own.post("/play/cloud/table", content=TABLE)
        own.post("/play/cloud/kernel_draws", params={"d": 2, "bandwidth": 1}, content=BODY)
        after = own.post("/play/cloud/fit", params=ask, content=BODY).json()
    assert before | {"ms": 0} == after | {"ms": 0}
    assert not inference._cache
    assert not inference._shared
    assert not inference._long


def test_no_answer_is_for_a_cache_between_us(client: TestClient) -> None:
    answer = client.post("/play/cloud/fit", params={"d": 2, "model": "gaussian"}, content=BODY)
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "set-cookie" not in answer.headers


def test_a_fault_of_ours_is_no_sentence_about_the_points(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """What no check foresaw is a 500 and nothing of its inside: so that a 500 above would be seen as one."""

    def broken(*_: Any) -> None:
        raise RuntimeError("inside")

    monkeypatch.setattr(fits.gaussian, "fit", broken)
    answer = client.post("/play/cloud/fit", params={"d": 2, "model": "gaussian"}, content=BODY)
    assert answer.status_code == 500
    assert "inside" not in answer.text


def test_points_are_read_on_this_machine_as_little_endian() -> None:
    assert torch.equal(fits.points_of(np.array([[1.5, -2.0]]).astype("<f8").tobytes(), 2), torch.tensor([[1.5, -2.0]]).double())
