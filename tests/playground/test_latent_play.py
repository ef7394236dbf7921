"""The routes of the sliders, behind their guard: their answers are the library's, and a sentence says what is wrong.

Checkpoints here are networks of random weights; those that are to be measured carry the posteriors of a few hundred sprites.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.testclient import TestClient

from models import refine, zoo
from models.autoencoder import Autoencoder
from models.contract import Posterior
from models.data import sprites
from models.measures import disentanglement
from models.noise import Noise
from models.rotation import rotated, rotation
from models.scoring import FRESH_SEED, encoded, factor_bins
from models.vae import VAE, kl_to_prior
from playground import latent_play, play
from playground.guard import Guard
from playground.inference import Inference

torch.set_num_threads(1)
COLOUR, GREY, DIGITS, BARE = "vae-sprites-colour", "vae-sprites-grey", "vae-mnist-tiny", "vae-sprites-bare"
PLAIN, CONDITIONAL = "ae-tiny", "cvae-tiny"
IMAGES, LATENT = 200, 3


def random_vae(seed: int, shape: tuple[int, int, int], **settings: Any) -> VAE:
    torch.manual_seed(seed)
    model = VAE(latent=LATENT, shape=shape, network="mlp", hidden=8, scale=25.0, **settings)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(0, 0.25)
    return model


def publish(folder: Path, name: str, model: Any, data: str, *, scored: bool = True, travels: bool = True) -> None:
    model.save_pretrained(folder / name)
    scores: dict[str, Any] = {"weights_sha256": zoo.digest(folder / name / "model.safetensors"), "data": data}
    if data.startswith("sprites"):
        factors = sprites.draw(IMAGES, noise=FRESH_SEED)
        posterior = encoded(model.double(), sprites.render(factors, colour=model.spec.shape[0] == 3))
        if scored:
            scores["kl_by_dimension"] = [0.01, 2.0, 1.0]
            scores["scores"] = {"elbo": {"images": 77}}
            scores["disentanglement"] = disentanglement.report(posterior, factor_bins(factors), noise=1).to_json()
        if travels:
            tensors = {"mean": posterior.mean, "std": posterior.std, "labels": factors.shape.to(torch.uint8)}
            save_file(tensors, folder / name / "latents.safetensors")
    (folder / name / "scores.json").write_text(json.dumps(scores))


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    folder = tmp_path_factory.mktemp("checkpoints")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PLAYGROUND_CHECKPOINTS", str(folder))
        patch.setattr(latent_play, "FRESH_HERE", IMAGES)
        publish(folder, COLOUR, random_vae(1, (3, 32, 32)), "sprites-256")
        publish(folder, GREY, random_vae(2, (1, 32, 32)), "sprites-256", scored=False)
        publish(folder, BARE, random_vae(3, (3, 32, 32)), "sprites-256", travels=False)
        publish(folder, DIGITS, random_vae(4, (1, 28, 28)), "mnist")
        publish(folder, PLAIN, Autoencoder(latent=2, network="mlp", hidden=4), "mnist")
        publish(folder, CONDITIONAL, random_vae(5, (1, 28, 28), classes=10), "mnist")
        play._card.cache_clear()
        app = Starlette(routes=latent_play.routes(Inference()), middleware=[Middleware(Guard)])
        with TestClient(app, raise_server_exceptions=False, headers={"X-Playground-Token": "test-" * 4}) as one:
            yield one
    play._card.cache_clear()


def told(client: TestClient, route: str, body: bytes | None = None, **query: Any) -> dict[str, Any]:
    method = "GET" if body is None else "POST"
    answer = client.request(method, f"/play/latents/{route}", params=query, content=body)
    assert answer.status_code == 200, answer.text
    return answer.json()


def sprite(number: int, *, colour: bool = True) -> torch.Tensor:
    return sprites.render(sprites.draw(number + 1, noise=FRESH_SEED), colour=colour)[number:]


def test_space_says_what_the_scores_say(client: TestClient) -> None:
    found, scores = told(client, "space", model=COLOUR), zoo.card(COLOUR).scores
    assert found["kl"] == [0.01, 2.0, 1.0]
    assert found["order"] == [1, 2, 0]
    assert found["collapsed"] == [0]
    assert (found["kl_of"], found["kl_images"]) == ("test images", 77)
    for key in ("names", "entropies", "information", "chance", "images"):
        assert found["factors"][key] == scores["disentanglement"][key]
    assert found["matrix"] == np.eye(LATENT).tolist()


def test_how_far_a_slider_moves_a_pixel_is_found_by_moving_it(client: TestClient) -> None:
    model: Any = zoo.load(COLOUR)
    for turn in (0, 3):
        found = told(client, "space", model=COLOUR) if not turn else told(client, "rotated", model=COLOUR, turn=turn)
        matrix = rotation(LATENT, turn)
        for j in range(LATENT):
            sliders = torch.zeros(5, LATENT, dtype=torch.float64)
            sliders[:, j] = torch.tensor([-2.0, -1.0, 0.0, 1.0, 2.0])
            pictures = model.decode(sliders @ matrix).numpy().astype(int)
            assert found["moves"][j] == (pictures.max(0) - pictures.min(0)).max()


@pytest.mark.parametrize("name", [GREY, BARE, DIGITS])
def test_without_scores_or_posteriors_the_dimensions_are_measured_here(client: TestClient, name: str) -> None:
    found = told(client, "rotated", model=name, turn=0) if name == BARE else told(client, "space", model=name)
    model: Any = zoo.load(name)
    if name == DIGITS:
        x = model.sample(512, noise=FRESH_SEED)
        posterior = Posterior(*(getattr(model.encode(x), part).detach() for part in ("mean", "std")))
        assert (found["kl_of"], found["kl_images"], found["factors"]) == ("own samples", 512, None)
    else:
        factors = sprites.draw(IMAGES, noise=FRESH_SEED)
        posterior = encoded(model, sprites.render(factors, colour=name == BARE))
        report = disentanglement.report(posterior, factor_bins(factors), noise=FRESH_SEED)
        np.testing.assert_allclose(found["factors"]["information"], report.information, atol=1e-5)
        np.testing.assert_allclose(found["factors"]["entropies"], report.entropies)
        assert found["kl_of"] == "fresh sprites"
    np.testing.assert_allclose(found["kl"], kl_to_prior(posterior).mean(0), rtol=1e-5)
    assert found["order"] == np.argsort(-np.array(found["kl"]), kind="stable").tolist()


def test_posteriors_of_other_pictures_are_not_taken_for_those_of_fresh_sprites(client: TestClient) -> None:
    file = zoo.root() / GREY / "latents.safetensors"
    kept = file.read_bytes()
    try:
        other = sprites.draw(IMAGES, noise=5)
        save_file({"mean": torch.zeros(IMAGES, 3), "std": torch.ones(IMAGES, 3), "labels": other.shape.to(torch.uint8)}, file)
        work = latent_play.encoding(Inference(), zoo.card(GREY))
        with pytest.raises(StopIteration) as end:
            while True:
                next(work)
    finally:
        file.write_bytes(kept)
    codes = end.value.value
    assert codes.of == "fresh sprites"
    expected = encoded(zoo.load(GREY), sprites.render(sprites.draw(IMAGES, noise=FRESH_SEED), colour=False))  # type: ignore[arg-type]
    torch.testing.assert_close(codes.posterior.mean.float(), expected.mean)


@pytest.mark.parametrize("turn", [1, 9_999])
def test_a_rotation_is_measured_anew_and_leads_back(client: TestClient, turn: int) -> None:
    found = told(client, "rotated", model=COLOUR, turn=turn)
    matrix = np.array(found["matrix"])
    np.testing.assert_array_equal(matrix, rotation(LATENT, turn).numpy())
    z = np.array([0.4, -2.0, 1.1])
    np.testing.assert_allclose(matrix.T @ (matrix @ z), z, atol=1e-12)
    encodings = zoo.encoded(COLOUR)
    assert encodings is not None
    factors = factor_bins(sprites.draw(IMAGES, noise=FRESH_SEED))
    after = disentanglement.report(rotated(encodings.posterior, rotation(LATENT, turn)), factors, noise=FRESH_SEED)
    before = disentanglement.report(encodings.posterior, factors, noise=FRESH_SEED)
    np.testing.assert_allclose(found["factors"]["information"], after.information, atol=1e-12)
    np.testing.assert_allclose(found["factors"]["chance"], after.chance, atol=1e-12)
    np.testing.assert_allclose(found["before"]["factors"]["information"], before.information, atol=1e-12)
    np.testing.assert_allclose(found["kl"], after.kl, rtol=1e-5)
    np.testing.assert_allclose(found["before"]["kl"], before.kl, rtol=1e-5)
    assert found["collapsed"] == []
    assert found["factors"]["images"] == IMAGES


def test_targets_are_fresh_sprites_or_the_models_own(client: TestClient) -> None:
    def pixels(**query: Any) -> bytes:
        return base64.b64decode(told(client, "target", **query)["pixels"])

    assert pixels(model=COLOUR, goal=12) == sprite(12).numpy().tobytes()
    assert pixels(model=GREY, goal=12) == sprite(12, colour=False).numpy().tobytes()
    assert told(client, "target", model=COLOUR, goal=12)["kind"] == "sprite"
    model: Any = zoo.load(DIGITS)
    own = model.decode(model.prior(1, noise=Noise(12).at(1)))
    assert pixels(model=DIGITS, goal=12) == own.numpy().tobytes()
    assert own.numpy().tobytes() != model.decode(model.prior(1, noise=12)).numpy().tobytes()
    assert told(client, "target", model=DIGITS, goal=12)["kind"] == "sample"


def test_a_picture_is_encoded_and_refined_as_the_library_does(client: TestClient) -> None:
    x, model = sprite(3), zoo.load(COLOUR)
    assert isinstance(model, VAE)
    posterior = model.encode(x)
    found = told(client, "encode", x.numpy().tobytes(), model=COLOUR)
    np.testing.assert_allclose(found["mean"], posterior.mean[0].detach(), rtol=1e-12)
    np.testing.assert_allclose(found["std"], posterior.std[0].detach(), rtol=1e-12)
    np.testing.assert_allclose(found["kl"], kl_to_prior(posterior)[0].detach(), rtol=1e-12)
    climbed = told(client, "refine", x.numpy().tobytes(), model=COLOUR)
    start = posterior.mean[0].detach()
    places = list(refine.ascend(refine.log_joint(model, x), start, steps=latent_play.STEPS))
    np.testing.assert_allclose(climbed["path"], [place.z.tolist() for place in places], atol=1e-9)
    assert climbed["path"][0] == found["mean"]
    assert all(b >= a for a, b in zip(climbed["log_joint"], climbed["log_joint"][1:], strict=False))
    assert climbed["log_joint"][-1] == pytest.approx(places[-1].value)


def test_long_work_is_cut_into_slices_between_which_others_have_their_turn(client: TestClient) -> None:
    engine, card = Inference(), zoo.card(BARE)

    def slices(work: Any) -> tuple[int, Any]:
        count = 0
        while True:
            try:
                next(work)
            except StopIteration as end:
                return count, end.value
            count += 1

    times, climbed = slices(latent_play.climbing(engine, card, sprite(8)))
    assert times == len(climbed["path"]) > 3  # a step each
    times, codes = slices(latent_play.encoding(engine, card))
    assert times == -(-IMAGES // latent_play.SLICE)
    assert slices(latent_play.measuring(card, codes, 2))[0] == LATENT
    assert slices(latent_play.moving(engine, card, 2))[0] == LATENT


@pytest.mark.parametrize(
    ("route", "query", "status", "sentence"),
    [
        ("space", {"model": "nothing"}, 404, "There is no checkpoint 'nothing'"),
        ("space", {"model": PLAIN}, 400, "ae-tiny has no prior over its latents"),
        ("rotated", {"model": CONDITIONAL}, 400, "cvae-tiny has to be told a class"),
        ("rotated", {"model": COLOUR, "turn": 10_000}, 400, "turn = '10000' does not fit: it must be at most 9,999."),
        ("target", {"model": COLOUR, "goal": 0}, 400, "goal = '0' does not fit: it must be at least 1."),
        ("target", {"model": COLOUR, "goal": "x"}, 400, "goal = 'x' does not fit: it must be a whole number."),
        ("encode", {"model": COLOUR}, 400, "3 bytes are not one picture: it has 3072 pixels of one byte."),
        ("refine", {"model": DIGITS}, 400, "3 bytes are not one picture: it has 784 pixels of one byte."),
    ],
)
def test_what_does_not_fit_gets_a_sentence(
    client: TestClient, route: str, query: dict[str, Any], status: int, sentence: str
) -> None:
    post = route in ("encode", "refine")
    answer = client.request("POST" if post else "GET", f"/play/latents/{route}", params=query, content=b"abc" if post else None)
    assert answer.status_code == status
    assert sentence in answer.json()["error"]


def test_the_cards_pictures_are_decoded_ends_of_the_leading_dimensions(client: TestClient) -> None:
    found = latent_play.card_swings(COLOUR)
    assert found["dims"] == [1, 2, 0]
    pixels = np.frombuffer(base64.b64decode(found["pixels"]), np.uint8).reshape(3, 3, 32, 32)
    model: Any = zoo.load(COLOUR)
    for picture, dim in zip(pixels, found["dims"], strict=True):
        z = torch.zeros(1, LATENT, dtype=torch.float64)
        z[0, dim] = found["limit"]
        np.testing.assert_array_equal(picture, model.decode(z)[0].numpy())
    report = zoo.card(COLOUR).scores["disentanglement"]
    assert found["factors"] == [report["names"][int(np.argmax(report["information"][dim]))] for dim in found["dims"]]
