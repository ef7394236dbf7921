"""The binary routes, behind their guard: right answers, and a sentence for everything that is wrong."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from PIL import Image
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.testclient import TestClient

from models import zoo
from models.data import images
from models.measures import elbo
from models.measures.latent_map import quantile_grid
from playground import play
from playground.guard import Guard
from playground.inference import Inference

NAME = "vae-mnist-2d"


@pytest.fixture(scope="module")
def client() -> Iterator[TestClient]:
    app = Starlette(routes=play.routes(Inference()), middleware=[Middleware(Guard)])
    with TestClient(app, raise_server_exceptions=False, headers={"X-Playground-Token": "test-" * 4}) as one:
        yield one


@pytest.fixture(scope="module")
def digit() -> torch.Tensor:
    return images.load("digits", "test").pixels[:1]


def latents_and_pictures(content: bytes, latent: int) -> tuple[np.ndarray, np.ndarray]:
    n = len(content) // (8 * latent + 784)
    z = np.frombuffer(content[: 8 * latent * n], "<f8").reshape(n, latent)
    return z, np.frombuffer(content[8 * latent * n :], np.uint8).reshape(n, 1, 28, 28)


@pytest.mark.parametrize("show", ["mean", "draw"])
@pytest.mark.parametrize("name", ["vae-mnist-2d", "vae-fashion-16d"])
def test_samples_are_those_of_the_library(client: TestClient, name: str, show: str) -> None:
    query = {"model": name, "n": 9, "seed": 123, "spread": 1.5, "show": show}
    answer = client.get("/play/sample", params=query)
    assert answer.status_code == 200
    model = zoo.load(name)
    z, pictures = latents_and_pictures(answer.content, model.spec.latent)
    expected = model.prior(9, noise=123, temperature=1.5)
    np.testing.assert_array_equal(z, expected.numpy())
    drawn = model.decode(expected) if show == "mean" else model.sample(9, noise=123, temperature=1.5)
    np.testing.assert_array_equal(pictures, drawn.numpy())


def test_decoding_the_samples_latents_gives_the_samples_pictures(client: TestClient) -> None:
    z, pictures = latents_and_pictures(client.get("/play/sample", params={"model": NAME, "n": 5, "seed": 3}).content, 2)
    decoded = client.post("/play/decode", params={"model": NAME}, content=z.tobytes())
    assert decoded.content == pictures.tobytes()


def test_true_draws_of_given_latents(client: TestClient) -> None:
    z = np.array([[0.5, -1.0], [0.0, 0.0]])
    answer = client.post("/play/draw", params={"model": NAME, "seed": 4}, content=z.tobytes())
    assert answer.content == zoo.load(NAME).draw(torch.from_numpy(z), noise=4).numpy().tobytes()


def test_the_manifold_is_decoded_at_the_priors_quantiles(client: TestClient) -> None:
    z, pictures = latents_and_pictures(client.get("/play/manifold", params={"model": NAME, "side": 6}).content, 2)
    np.testing.assert_allclose(z, quantile_grid(6).numpy())
    np.testing.assert_array_equal(pictures, zoo.load(NAME).decode(torch.from_numpy(z.copy())).numpy())


def test_a_slice_of_many_dimensions_moves_two_of_them(client: TestClient) -> None:
    query = {"model": "vae-mnist-16d", "side": 4, "across": 5, "down": 2}
    z, _ = latents_and_pictures(client.get("/play/manifold", params=query).content, 16)
    np.testing.assert_allclose(z[:, [5, 2]], quantile_grid(4).numpy())
    assert not np.delete(z, [5, 2], axis=1).any()


def test_the_bound_is_that_of_the_library(client: TestClient, digit: torch.Tensor) -> None:
    query = {"model": NAME, "seed": 2, "roll": 3}
    answer = client.post("/play/elbo", params=query, content=digit.numpy().tobytes()).json()
    found = elbo.explain(zoo.load(NAME), digit, noise=2, roll=3, constant=zoo.constant_picture(NAME))
    assert answer["elbo"] == pytest.approx(found.elbo, abs=1e-9)
    assert answer["elbo"] == pytest.approx(answer["reconstruction"] - answer["kl"], abs=1e-9)
    assert answer["kl"] == pytest.approx(sum(answer["kl_by_dimension"]), abs=1e-9)
    assert answer["bought"] == pytest.approx(answer["reconstruction"] - answer["constant"], abs=1e-9)
    np.testing.assert_allclose(answer["z"], np.array(answer["mean"]) + np.array(answer["std"]) * np.array(answer["epsilon"]))
    assert base64.b64decode(answer["image"]) == found.image.numpy().tobytes()
    assert 0 <= answer["rank"] <= 1


def test_the_estimate_is_that_of_the_library(client: TestClient, digit: torch.Tensor) -> None:
    query = {"model": NAME, "seed": 2, "samples": 100}
    answer = client.post("/play/importance", params=query, content=digit.numpy().tobytes()).json()
    with torch.inference_mode():
        found = zoo.load(NAME).log_prob(digit, method="importance", samples=100, noise=2)
    assert answer["samples"] == 100
    assert answer["nats"] == pytest.approx(float(found.nats[0]), abs=1e-6)
    assert answer["standard_error"] == pytest.approx(float(found.standard_error[0]), abs=1e-6)


def test_the_map_holds_points_prior_and_holes(client: TestClient) -> None:
    plane = client.get("/play/map", params={"model": NAME}).json()
    points = np.frombuffer(base64.b64decode(plane["points"]), "<f4").reshape(-1, 2)
    labels = np.frombuffer(base64.b64decode(plane["labels"]), np.uint8)
    holes = np.frombuffer(base64.b64decode(plane["holes"]), np.uint8).reshape(plane["grid"], plane["grid"])
    assert len(points) == len(labels) == play.POINTS
    assert set(labels) == set(range(10))
    assert 0 < holes.mean() < 1
    assert 0 < plane["share_of_prior_in_holes"] < 1
    assert client.get("/play/map", params={"model": "vae-mnist-16d"}).json()["points"] is None


@pytest.mark.parametrize("data", ["mnist", "fashion"])
def test_a_file_is_prepared_step_by_step(client: TestClient, data: str) -> None:
    paper = np.full((300, 200), 230, np.uint8)
    paper[60:240, 90:110] = 20  # a dark stroke on pale paper
    file = io.BytesIO()
    Image.fromarray(paper).save(file, "JPEG")
    steps = client.post("/play/prepare", params={"data": data}, content=file.getvalue()).json()["steps"]
    assert [step["name"] for step in steps] == ["grey", "ink", "cropped", "scaled", "centred"]
    seen = np.frombuffer(base64.b64decode(steps[-1]["pixels"]), np.uint8).reshape(28, 28)
    assert seen.max() == 255
    assert seen[0, 0] == 0
    rows = np.flatnonzero(seen.max(1) > 100)
    assert len(rows) == (20 if data == "mnist" else 28)


def test_reference_pictures_are_there_without_any_data(client: TestClient, monkeypatch: pytest.MonkeyPatch, tmp_path) -> None:
    monkeypatch.setenv("PLAYGROUND_DATA", str(tmp_path))
    play.reference_pictures.cache_clear()
    found = client.get("/play/reference", params={"data": "mnist"}).json()
    assert len(found["pictures"]) == 10
    assert "digits" in found["from"]
    assert client.get("/play/reference", params={"data": "fashion"}).json()["pictures"] == []
    play.reference_pictures.cache_clear()


ONE = np.zeros((1, 2)).tobytes()


@pytest.mark.parametrize(
    ("method", "path", "query", "body", "status"),
    [
        ("GET", "sample", {}, None, 400),
        ("GET", "sample", {"model": "nobody"}, None, 404),
        ("GET", "sample", {"model": "../../etc"}, None, 404),
        ("GET", "sample", {"model": "x" * 500}, None, 400),
        ("GET", "sample", {"model": NAME, "n": 0}, None, 400),
        ("GET", "sample", {"model": NAME, "n": 65}, None, 400),
        ("GET", "sample", {"model": NAME, "n": "many"}, None, 400),
        ("GET", "sample", {"model": NAME, "seed": -1}, None, 400),
        ("GET", "sample", {"model": NAME, "seed": 10**30}, None, 400),
        ("GET", "sample", {"model": NAME, "spread": "nan"}, None, 400),
        ("GET", "sample", {"model": NAME, "spread": "inf"}, None, 400),
        ("GET", "sample", {"model": NAME, "show": "everything"}, None, 400),
        ("GET", "sample", {"model": NAME, "colour": "red"}, None, 400),
        ("POST", "sample", {"model": NAME}, b"", 405),
        ("GET", "decode", {"model": NAME}, None, 405),
        ("POST", "decode", {"model": NAME}, b"", 400),
        ("POST", "decode", {"model": NAME}, b"1234567", 400),
        ("POST", "decode", {"model": NAME}, ONE * 257, 400),
        ("POST", "decode", {"model": NAME}, np.full((1, 2), np.nan).tobytes(), 400),
        ("POST", "decode", {"model": NAME}, np.full((1, 2), np.inf).tobytes(), 400),
        ("POST", "decode", {"model": NAME}, np.full((1, 2), 1e9).tobytes(), 400),
        ("POST", "decode", {"model": "vae-mnist-16d"}, ONE, 400),
        ("POST", "decode", {}, ONE, 400),
        ("POST", "draw", {"model": NAME, "seed": "x"}, ONE, 400),
        ("GET", "manifold", {"model": NAME, "side": 1}, None, 400),
        ("GET", "manifold", {"model": NAME, "side": 1000}, None, 400),
        ("GET", "manifold", {"model": NAME, "across": 2, "down": 0}, None, 400),
        ("GET", "manifold", {"model": "vae-mnist-16d", "across": 3, "down": 3}, None, 400),
        ("GET", "map", {"model": ""}, None, 404),
        ("POST", "elbo", {"model": NAME}, b"\0" * 783, 400),
        ("POST", "elbo", {"model": NAME, "roll": -1}, b"\0" * 784, 400),
        ("POST", "importance", {"model": NAME, "samples": 10**9}, b"\0" * 784, 400),
        ("POST", "importance", {"model": NAME}, b"", 400),
        ("POST", "prepare", {"data": "mnist"}, b"", 422),
        ("POST", "prepare", {"data": "mnist"}, b"no picture", 422),
        ("POST", "prepare", {"data": "cats"}, b"no picture", 400),
        ("GET", "reference", {"data": "../mnist"}, None, 400),
        ("GET", "nothing", {}, None, 404),
    ],
)
def test_a_malformed_call_gets_a_sentence(
    client: TestClient, method: str, path: str, query: dict, body: bytes | None, status: int
) -> None:
    answer = client.request(method, f"/play/{path}", params=query, content=body)
    assert answer.status_code == status
    if status not in (404, 405) or "nobody" in str(query):
        sentence = answer.json()["error"]
        assert 10 < len(sentence) < 400
        assert sentence.endswith((".", ")"))


def test_a_blank_picture_is_refused_with_its_contrast(client: TestClient) -> None:
    file = io.BytesIO()
    Image.new("L", (100, 100), 255).save(file, "PNG")
    answer = client.post("/play/prepare", params={"data": "mnist"}, content=file.getvalue())
    assert answer.status_code == 422
    assert "even grey" in answer.json()["error"]


def test_a_refused_call_changes_nothing_for_the_next(client: TestClient) -> None:
    before = client.get("/play/sample", params={"model": NAME, "n": 4, "seed": 1}).content
    client.post("/play/decode", params={"model": NAME}, content=b"rubbish")
    assert client.get("/play/sample", params={"model": NAME, "n": 4, "seed": 1}).content == before
