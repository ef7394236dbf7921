"""The routes of codes and labels against the models themselves, and the recorded probe.

Checkpoints here are small networks of random weights with codes of the tests' own: nothing depends on how good a model is.
"""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from safetensors.torch import save_file
from scipy.spatial.distance import cdist
from scipy.special import logsumexp, softmax
from scipy.stats import multivariate_normal
from sklearn.mixture import GaussianMixture
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.testclient import TestClient

from models import zoo
from models.autoencoder import Autoencoder
from models.data import images
from models.measures.probe import few_label_probe
from models.vae import VAE
from playground import latent_codes, latent_probe, play, recordings
from playground.guard import Guard
from playground.inference import Inference
from playground.latent_codes import CONDITIONAL, FITS, MAPS, PAIR

torch.set_num_threads(1)  # the networks are tiny: threads would wait for each other
CODES = 600
DATA = os.environ.get("PLAYGROUND_DATA", "")  # as the tests were started: their own servers have none
SMALL = {"channels": 2, "hidden": 6}
MADE: dict[str, Any] = {
    "ae-mnist-2d": (Autoencoder, {"latent": 2}),
    "vae-mnist-2d": (VAE, {"latent": 2}),
    "ae-mnist": (Autoencoder, {"latent": 16}),
    "vae-mnist-16d": (VAE, {"latent": 16}),
    "cvae-mnist": (VAE, {"latent": 8, "classes": 10}),
}


def codes_of(name: str) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    """Ten clouds: around 0 for the VAE, far to one side for the autoencoder."""
    random = np.random.default_rng(4)
    labels = random.integers(0, 10, CODES).astype(np.uint8)
    scale, shift = (1.0, 0.0) if name.startswith("vae") else (4.0, 9.0)
    centres = random.normal(size=(10, 2))
    return (shift + scale * (centres[labels] + 0.15 * random.normal(size=(CODES, 2)))).astype("f4"), labels


@pytest.fixture(scope="module", autouse=True)
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("checkpoints")
    for seed, (name, (kind, settings)) in enumerate(MADE.items()):
        torch.manual_seed(seed)
        model = kind(**SMALL, **settings)
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(0.1 * torch.randn_like(parameter))
        model.save_pretrained(folder / name)
        scores = {"weights_sha256": zoo.digest(folder / name / "model.safetensors"), "data": "mnist"}
        (folder / name / "scores.json").write_text(json.dumps(scores))
        if name in MAPS:
            mean, labels = (torch.from_numpy(part) for part in codes_of(name))
            save_file({"mean": mean, "std": torch.ones_like(mean), "labels": labels}, folder / name / "latents.safetensors")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PLAYGROUND_CHECKPOINTS", str(folder))
        patch.setenv("PLAYGROUND_DATA", str(folder / "no data"))
        for kept in (play._card, play.reference_pictures):
            kept.cache_clear()
        yield folder
    for kept in (play._card, play.reference_pictures):
        kept.cache_clear()


def client_of_a_new_server() -> TestClient:
    app = Starlette(routes=latent_codes.routes(Inference()), middleware=[Middleware(Guard)])
    return TestClient(app, raise_server_exceptions=False, headers={"X-Playground-Token": "test-" * 4})


@pytest.fixture(scope="module")
def client(checkpoints: Path) -> Iterator[TestClient]:
    with client_of_a_new_server() as one:
        yield one


def asked(client: TestClient, route: str, **query: Any) -> dict[str, Any]:
    answer = client.get(f"/play/latents/{route}", params=query)
    assert answer.status_code == 200, answer.text
    return answer.json()


def unpacked(text: str, dtype: str, *shape: int) -> NDArray[Any]:
    return np.frombuffer(base64.b64decode(text), dtype).reshape(*shape)


def pictures(text: str) -> NDArray[np.uint8]:
    return unpacked(text, "u1", -1, 1, 28, 28)


def whole(slices: Generator[None, None, Any]) -> Any:
    """What a generator returns in the end."""
    while True:
        try:
            next(slices)
        except StopIteration as end:
            return end.value


def digit(y: int) -> torch.Tensor:
    """The first test image of a class, uint8 (1, 1, 28, 28)."""
    test = images.load("digits", "test")
    return test.pixels[test.labels == y][:1]


# --- Two maps ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", MAPS)
def test_a_map_shows_the_codes_and_what_was_fitted_to_them(client: TestClient, name: str) -> None:
    found = asked(client, "maps")["maps"][name]
    codes, labels = codes_of(name)
    np.testing.assert_array_equal(unpacked(found["points"], "<f4", -1, 2), codes)
    np.testing.assert_array_equal(unpacked(found["labels"], "u1", -1), labels)
    assert found["encoded"] == CODES
    x = codes.astype(float)
    mean, covariance = found["gaussian"]["mean"], np.reshape(found["gaussian"]["covariance"], (2, 2))
    np.testing.assert_allclose(mean, x.mean(0), rtol=1e-9)
    np.testing.assert_allclose(covariance, np.cov(x.T, bias=True), rtol=1e-9)
    mixture = found["mixture"]
    weights, means = np.array(mixture["weights"]), np.reshape(mixture["means"], (-1, 2))
    covariances = np.reshape(mixture["covariances"], (-1, 2, 2))
    joint = [multivariate_normal(m, c).logpdf(x) + np.log(w) for w, m, c in zip(weights, means, covariances, strict=True)]
    expected = {
        "prior": multivariate_normal(np.zeros(2), np.eye(2)).logpdf(x).mean(),
        "gaussian": multivariate_normal(mean, covariance).logpdf(x).mean(),
        "mixture": logsumexp(joint, axis=0).mean(),
    }
    assert found["log_density"] == pytest.approx(expected, rel=1e-9)
    assert expected["mixture"] > expected["gaussian"] > expected["prior"]
    # Another implementation that goes on from there finds nothing better.
    other = GaussianMixture(
        len(weights), weights_init=weights, means_init=means, precisions_init=np.linalg.inv(covariances), tol=1e-6, max_iter=500
    ).fit(x)
    assert expected["mixture"] == pytest.approx(other.score(x), abs=2e-3)


@pytest.mark.parametrize("name", MAPS)
def test_a_window_is_square_and_holds_the_codes_and_the_prior(client: TestClient, name: str) -> None:
    found = asked(client, "maps")["maps"][name]
    low, high = np.array(found["low"]), np.array(found["high"])
    assert (high - low)[0] == pytest.approx((high - low)[1])
    assert (low < -2.5).all()
    assert (high > 2.5).all()
    codes = codes_of(name)[0]
    assert ((codes > low) & (codes < high)).all(1).mean() > 0.98


@pytest.mark.parametrize("fit", FITS)
@pytest.mark.parametrize("name", MAPS)
def test_draws_are_the_seeds_own_and_decoded_by_the_model(client: TestClient, name: str, fit: str) -> None:
    found = asked(client, "code_samples", model=name, fit=fit, seed=5, n=16)
    z = unpacked(found["z"], "<f8", 16, 2)
    model: Any = zoo.load(name)
    np.testing.assert_array_equal(pictures(found["pictures"]), model.decode(torch.from_numpy(z.copy())).numpy())
    fewer = asked(client, "code_samples", model=name, fit=fit, seed=5, n=8)
    np.testing.assert_array_equal(unpacked(fewer["z"], "<f8", 8, 2), z[:8])
    assert fewer["far"] == found["far"][:8]
    other = asked(client, "code_samples", model=name, fit=fit, seed=6, n=16)
    assert not np.array_equal(unpacked(other["z"], "<f8", 16, 2), z)
    with client_of_a_new_server() as anew:
        assert asked(anew, "code_samples", model=name, fit=fit, seed=5, n=16) == found


def test_the_priors_draws_are_those_of_the_vae(client: TestClient) -> None:
    found = asked(client, "code_samples", model="vae-mnist-2d", fit="prior", seed=5, n=16)
    model: Any = zoo.load("vae-mnist-2d")
    np.testing.assert_array_equal(unpacked(found["z"], "<f8", 16, 2), model.prior(16, noise=5).numpy())


@pytest.mark.parametrize("fit", FITS)
def test_how_many_land_where_nothing_is_is_counted_by_distances(client: TestClient, fit: str) -> None:
    found = asked(client, "code_samples", model="ae-mnist-2d", fit=fit, seed=1, n=64)
    x = codes_of("ae-mnist-2d")[0].astype(float)
    between = cdist(x, x)
    np.fill_diagonal(between, np.inf)
    limit = np.quantile(between.min(1), 0.99)
    z = unpacked(found["z"], "<f8", 64, 2)
    assert found["far"] == (cdist(z, x).min(1) > limit).tolist()
    drawn = whole(latent_codes.fitting("ae-mnist-2d")).draw(fit, 2_000, 1).numpy()
    assert found["draws"] == 2_000
    assert found["share_far"] == pytest.approx((cdist(drawn, x).min(1) > limit).mean())
    assert found["share_reached"] == pytest.approx((cdist(drawn, x).min(0) <= limit).mean())
    assert {"prior": found["share_far"] > 0.9, "mixture": found["share_far"] < 0.1}.get(fit, True)


def test_draws_have_the_moments_of_what_they_are_drawn_from(client: TestClient) -> None:
    found = [asked(client, "code_samples", model="ae-mnist-2d", fit="gaussian", seed=s, n=64) for s in range(20)]
    z = np.concatenate([unpacked(one["z"], "<f8", 64, 2) for one in found])
    x = codes_of("ae-mnist-2d")[0].astype(float)
    np.testing.assert_allclose(z.mean(0), x.mean(0), atol=5 * x.std() / np.sqrt(len(z)))
    np.testing.assert_allclose(np.cov(z.T), np.cov(x.T), rtol=0.2, atol=0.2 * x.var())


def test_a_checkpoint_without_codes_gets_a_sentence(client: TestClient, checkpoints: Path) -> None:
    file = checkpoints / "ae-mnist-2d" / "latents.safetensors"
    kept = file.read_bytes()
    file.unlink()
    try:
        with client_of_a_new_server() as anew:
            answer = anew.get("/play/latents/maps")
    finally:
        file.write_bytes(kept)
    assert answer.status_code == 404
    assert answer.json()["error"] == "ae-mnist-2d came without its encoded test images: restore its latents.safetensors."


# --- From one picture to another ------------------------------------------------------------------------------------------


def test_a_line_between_pictures_is_a_cross_fade_and_between_codes_the_decoders(client: TestClient) -> None:
    found = asked(client, "interpolate", a=3, b=8, steps=5)
    one, other = digit(3).numpy().astype(float), digit(8).numpy().astype(float)
    strip = pictures(found["strips"]["pixels"])
    for k, t in enumerate((0, 0.25, 0.5, 0.75, 1)):
        np.testing.assert_allclose(strip[k], ((1 - t) * one + t * other)[0], atol=0.5 + 1e-9)
    for key, name in zip(("ae", "vae"), PAIR, strict=True):
        model: Any = zoo.load(name)
        with torch.no_grad():
            ends = [model.encode(digit(y)).mean for y in (3, 8)]
            expected = [model.decode((1 - t) * ends[0] + t * ends[1])[0].numpy() for t in (0, 0.25, 0.5, 0.75, 1)]
        difference = np.abs(pictures(found["strips"][key]).astype(int) - np.stack(expected))
        assert difference.max() <= 1  # a grey level, where rounding is at an edge


def test_a_line_from_a_picture_to_itself_stays_there(client: TestClient) -> None:
    found = asked(client, "interpolate", a=4, b=4, steps=3)
    for strip in found["strips"].values():
        frames = pictures(strip)
        np.testing.assert_array_equal(frames, frames[:1].repeat(3, 0))


# --- Labels -------------------------------------------------------------------------------------------------------------


def test_a_row_keeps_z_and_a_column_the_label(client: TestClient) -> None:
    matrix = asked(client, "labels", seed=9, hold="z", n=6)
    model: Any = zoo.load(CONDITIONAL)
    z = model.prior(6, noise=9)
    np.testing.assert_array_equal(unpacked(matrix["z"], "<f8", 6, 8), z.numpy())
    shown = pictures(matrix["pictures"]).reshape(6, 10, 1, 28, 28)
    for i in range(6):
        for y in range(10):
            np.testing.assert_array_equal(shown[i, y], model.decode(z[i : i + 1], torch.tensor([y]))[0].numpy())
    column = asked(client, "labels", seed=9, hold="label", label=7, n=16)
    np.testing.assert_array_equal(pictures(column["pictures"])[:6], shown[:, 7])
    np.testing.assert_array_equal(unpacked(column["z"], "<f8", 16, 8)[:6], z.numpy())


def test_the_same_seed_gives_the_same_pictures(client: TestClient) -> None:
    first = asked(client, "labels", seed=9, n=2)
    with client_of_a_new_server() as anew:
        assert asked(anew, "labels", seed=9, n=2) == first
    assert asked(client, "labels", seed=10, n=2) != first


@pytest.mark.parametrize("label", [3, -1])
def test_a_picture_is_encoded_under_its_label_and_decoded_with_all(client: TestClient, label: int) -> None:
    x = digit(3)
    answer = client.post("/play/latents/restyle", params={"label": label}, content=x.numpy().tobytes())
    assert answer.status_code == 200, answer.text
    found = answer.json()
    model: Any = zoo.load(CONDITIONAL)
    with torch.no_grad():
        bounds = [float(model.log_prob(x, labels=torch.tensor([y]), samples=16, noise=0).nats) for y in range(10)]
        chosen = int(np.argmax(bounds)) if label < 0 else label
        z = model.encode(x, torch.tensor([chosen])).mean
        expected = torch.cat([model.decode(z, torch.tensor([y])) for y in range(10)])
    assert found["label"] == chosen
    assert found["z"] == pytest.approx(z[0].tolist())
    assert found["bounds"] == pytest.approx(bounds)
    assert found["shares"] == pytest.approx(softmax(bounds), abs=1e-12)
    assert all(error > 0 for error in found["standard_errors"])
    np.testing.assert_array_equal(pictures(found["pictures"]), expected.numpy())


# --- What does not fit ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "sentence"),
    [
        ("code_samples?model=vae-mnist-16d", "model = 'vae-mnist-16d' does not fit"),
        ("code_samples?model=ae-mnist-2d&fit=flat", "fit = 'flat' does not fit"),
        ("code_samples?model=ae-mnist-2d&n=65", "n = '65' does not fit: it must be at most 64."),
        ("code_samples?model=ae-mnist-2d&seed=-1", "seed = '-1' does not fit: it must be at least 0."),
        ("code_samples", "model is missing: say what it is."),
        ("interpolate?a=3&b=10", "b = '10' does not fit: it must be at most 9."),
        ("interpolate?a=3", "b is missing: say what it is."),
        ("interpolate?a=3&b=4&steps=1", "steps = '1' does not fit: it must be at least 2."),
        ("labels?hold=x", "hold = 'x' does not fit"),
        ("labels?label=10", "label = '10' does not fit: it must be at most 9."),
        ("labels?n=17", "n = '17' does not fit: it must be at most 16."),
        ("maps?model=ae-mnist-2d", "There is no 'model' here: leave it out."),
    ],
)
def test_a_query_that_does_not_fit_gets_a_sentence(client: TestClient, path: str, sentence: str) -> None:
    answer = client.get(f"/play/latents/{path}")
    assert answer.status_code == 400
    assert answer.json()["error"].startswith(sentence)


def test_what_is_no_picture_gets_a_sentence(client: TestClient) -> None:
    answer = client.post("/play/latents/restyle", content=b"1" * 783)
    assert answer.status_code == 400
    assert answer.json()["error"] == "783 bytes are not one picture: it has 784 pixels of one byte."


# --- The recorded probe -------------------------------------------------------------------------------------------------------


def test_the_recording_holds_what_the_plot_needs() -> None:
    found = recordings.load(latent_probe.NAME)
    assert found["per_class"] == [1, 3, 10, 30, 100]
    assert [curve["features"] for curve in found["curves"]] == ["pixels", "pca", "ae", "vae"]
    assert [curve["dims"] for curve in found["curves"]] == [784, 16, 16, 16]
    assert set(found["checkpoints"]) == set(latent_probe.CODES.values())
    for curve in found["curves"]:
        shares = np.array(curve["accuracies"])
        assert shares.shape == (5, found["repeats"])
        np.testing.assert_allclose(shares.mean(1), curve["mean"], atol=2e-5)
        np.testing.assert_allclose(shares.std(1, ddof=1), curve["std"], atol=2e-5)
        assert curve["mean"][-1] > curve["mean"][0] > 0.1  # more labels help, and one is better than guessing


def own_checkpoints(patch: pytest.MonkeyPatch, found: dict[str, Any]) -> None:
    """The repository's own, all of which are there."""
    patch.delenv("PLAYGROUND_CHECKPOINTS")
    assert set(found["checkpoints"]) <= set(zoo.names())


def test_the_recording_belongs_to_the_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    found = recordings.load(latent_probe.NAME)
    own_checkpoints(monkeypatch, found)
    for name, sha in found["checkpoints"].items():
        assert zoo.card(name).scores["weights_sha256"] == sha, f"run python -m playground.latent_probe: {name} is another"


def test_a_fresh_run_says_what_the_recording_says(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two choices of one and of ten labels: the first two of the recording's ten."""
    found = recordings.load(latent_probe.NAME)
    own_checkpoints(monkeypatch, found)
    monkeypatch.setenv("PLAYGROUND_DATA", DATA)
    try:
        images.load("mnist", "test")
    except images.DataMissing as missing:
        pytest.skip(str(missing))
    fresh = latent_probe.record((1, 10), repeats=2)
    for now, then in zip(fresh["curves"], found["curves"], strict=True):
        expected = [then["accuracies"][0][:2], then["accuracies"][2][:2]]
        np.testing.assert_allclose(now["accuracies"], expected, atol=0.003)  # other libraries round elsewhere


def test_the_probe_sees_the_models_own_codes(monkeypatch: pytest.MonkeyPatch) -> None:
    load = images.load
    monkeypatch.setattr(images, "load", lambda name, split: load("digits", split))
    found = latent_probe.record((2, 5), train=300, test=100, repeats=2)
    train, test = load("digits", "train"), load("digits", "test")
    for curve, name in zip(found["curves"][2:], PAIR, strict=True):
        model: Any = zoo.load(name)
        with torch.no_grad():
            features, fresh = (model.encode(one.pixels[:n]).mean for one, n in ((train, 300), (test, 100)))
        labels = {"labels": train.labels[:300], "test_labels": test.labels[:100]}
        for i, few in enumerate((2, 5)):
            alone = few_label_probe(
                features, per_class=few, classes=10, test_features=fresh, repeats=2, seed=latent_probe.SEED, **labels
            )
            np.testing.assert_allclose(curve["accuracies"][i], alone.accuracies, atol=0.0101)  # one picture of 100
        assert found["checkpoints"][name] == zoo.card(name).scores["weights_sha256"]


def test_without_mnist_the_command_says_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SystemExit, match=r"MNIST is not in .*set PLAYGROUND_DATA"):
        latent_probe.main()
