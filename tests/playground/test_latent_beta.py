"""β compared: what the routes tell is what the models and the cards say, worked out here once more in another way."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.integrate import quad
from scipy.stats import norm
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.testclient import TestClient

from models import zoo
from models.contract import Noise
from models.data import images, sprites
from models.recipes import RECIPES
from models.vae import VAE
from playground import latent_beta
from playground.guard import Guard
from playground.inference import Inference
from playground.latent_lesson import CHECKPOINTS, SPRITES

torch.set_num_threads(1)
LATENT, SCALE = 4, 25.0
NAMES = [*(CHECKPOINTS[key] for key in SPRITES), *(f"vae-sprites-{one}-seed{k}" for one in ("beta4", "tc") for k in (1, 2))]
FACTORS = ("shape", "size", "angle", "across", "down", "hue")
ENTROPIES = [1.0986, *[2.7726] * 5]


def scores(name: str, number: int) -> dict[str, Any]:
    """Any numbers, and no two alike; of the KLs one is too small for its dimension to say anything."""
    random = np.random.default_rng(number)
    kl = random.permutation([0.02, *random.uniform(0.5, 4, LATENT - 1)])
    reconstruction = -900.0 - 10 * number
    return {
        "data": "sprites-256",
        "recipe": name,
        "scores": {
            "elbo": {
                "nats": reconstruction - float(kl.sum()),
                "kind": "lower bound",
                "samples": 1,
                "images": 500,
                "nats_standard_error": 1.5,
            }
        },
        "scale": SCALE,
        "kl_by_dimension": kl.tolist(),
        "reconstruction": reconstruction,
        "disentanglement": {
            "names": FACTORS,
            "information": random.uniform(0, 1, (LATENT, 6)).tolist(),
            "chance": random.uniform(0, 0.01, (LATENT, 6)).tolist(),
            "entropies": ENTROPIES,
            "gaps": {key: random.uniform(0, 1, 6).tolist() for key in ("gap", "best", "second", "which")},
            "mig": 0.1 + 0.01 * number,
            "left_out": ["shape"],
            "mig_without": 0.2 + 0.01 * number,
            "kl": kl.tolist(),
            "images": 1000,
        },
        "parameters": 1234,
        "training": {"steps": 5000},
    }


def published(folder: Path, name: str, number: int, shape: tuple[int, int, int]) -> None:
    torch.manual_seed(number)
    model = VAE(latent=LATENT, shape=shape, network="mlp", hidden=12, scale=SCALE)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(2)
    model.save_pretrained(folder / name)
    digest = zoo.digest(folder / name / "model.safetensors")
    (folder / name / "scores.json").write_text(json.dumps({"weights_sha256": digest, **scores(name, number)}))


@pytest.fixture(scope="module", autouse=True)
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("checkpoints")
    for number, name in enumerate(NAMES):
        published(folder, name, number, (3, 32, 32))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PLAYGROUND_CHECKPOINTS", str(folder))
        yield folder


def client_of(engine: Inference) -> TestClient:
    app = Starlette(routes=latent_beta.routes(engine), middleware=[Middleware(Guard)])
    return TestClient(app, raise_server_exceptions=False, headers={"X-Playground-Token": "test-" * 4})


@pytest.fixture(scope="module")
def client(checkpoints: Path) -> Iterator[TestClient]:
    with client_of(Inference()) as one:
        yield one


def betas(client: TestClient) -> list[dict[str, Any]]:
    answer = client.get("/play/latents/betas")
    assert answer.status_code == 200, answer.text
    found = answer.json()["models"]
    assert isinstance(found, list)
    return found


def compared(client: TestClient, sprite: int = 1, dim: int = 0) -> dict[str, Any]:
    answer = client.get("/play/latents/compare", params={"sprite": sprite, "dim": dim})
    assert answer.status_code == 200, answer.text
    found = answer.json()
    assert isinstance(found, dict)
    return found


def pixels(text: str, shape: tuple[int, ...] = (3, 32, 32)) -> np.ndarray:
    return np.frombuffer(base64.b64decode(text), np.uint8).reshape(-1, *shape)


def vae(name: str) -> VAE:
    model = zoo.load(name)
    assert isinstance(model, VAE)
    return model.requires_grad_(False)


# --- The cards --------------------------------------------------------------------------------------------------------


def test_every_number_of_a_card_travels_as_it_stands_there(client: TestClient, checkpoints: Path) -> None:
    found = betas(client)
    assert [one["key"] for one in found] == list(SPRITES)
    for one in found:
        card = json.loads((checkpoints / one["name"] / "scores.json").read_text())
        measured = card["disentanglement"]
        assert one["information"] == measured["information"]
        assert one["entropies"] == measured["entropies"]
        assert one["gaps"] == measured["gaps"]
        assert one["chance"] == measured["chance"]
        assert one["factors"] == measured["names"]
        assert (one["mig"], one["mig_without"], one["fresh"]) == (measured["mig"], measured["mig_without"], 1000)
        assert (one["reconstruction"], one["scale"]) == (card["reconstruction"], SCALE)
        assert (one["parameters"], one["steps"], one["latent"]) == (1234, 5000, LATENT)
        assert one["kl_by_dimension"] == card["kl_by_dimension"]
        assert one["kl"] == pytest.approx(sum(card["kl_by_dimension"]))
        assert one["reconstruction"] - one["kl"] == pytest.approx(one["elbo"]["nats"], abs=1e-12)
        assert one["elbo"]["kind"] == "lower bound"


def test_dimensions_are_ordered_by_kl_and_the_silent_one_is_told(client: TestClient) -> None:
    for one in betas(client):
        ordered = [one["kl_by_dimension"][j] for j in one["order"]]
        assert sorted(one["order"]) == list(range(LATENT))
        assert ordered == sorted(ordered, reverse=True)
        assert [kl > 0.02 for kl in one["kl_by_dimension"]] == one["active"]
        assert one["active"].count(False) == 1


def test_objective_and_beta_are_the_recipes(client: TestClient) -> None:
    said = {one["key"]: (one["objective"], one["beta"]) for one in betas(client)}
    assert [said[key] for key in ("beta0.1", "beta1", "beta4", "beta16")] == [("elbo", beta) for beta in (0.1, 1, 4, 16)]
    assert said["tc"] == ("tc-elbo", RECIPES["vae-sprites-tc"].beta)


def test_three_seeds_stand_beside_each_other_where_there_are_three(client: TestClient, checkpoints: Path) -> None:
    for one in betas(client):
        if one["key"] not in ("beta4", "tc"):
            assert one["seeds"] == []
            continue
        assert [seed["seed"] for seed in one["seeds"]] == [0, 1, 2]
        for seed in one["seeds"]:
            card = json.loads((checkpoints / seed["name"] / "scores.json").read_text())
            assert RECIPES[seed["name"]].seed == seed["seed"]
            assert seed["mig_without"] == card["disentanglement"]["mig_without"]
            assert seed["elbo"]["nats"] == card["scores"]["elbo"]["nats"]


# --- One sprite -------------------------------------------------------------------------------------------------------


def test_the_sprite_is_that_of_its_number_and_no_training_image(client: TestClient) -> None:
    found = compared(client, 37)
    many = sprites.draw(38, noise=2026)
    np.testing.assert_array_equal(pixels(found["original"])[0], sprites.render(many)[37].numpy())
    assert found["factors"] == {name: float(getattr(many, name)[37]) for name in FACTORS}
    assert found["seed"] == 2026
    assert 2026 not in range(len(images.SPLITS))  # the seeds of the data sets
    assert found["sprite"] == 37


@pytest.mark.parametrize("dim", range(LATENT))
def test_the_filmstrip_moves_the_dimension_of_that_rank_alone(client: TestClient, dim: int) -> None:
    found = compared(client, 5, dim)
    assert found["places"] == [-3, -2, -1, 0, 1, 2, 3]
    x = torch.from_numpy(pixels(found["original"]).copy())
    for one in found["models"]:
        card, model = zoo.card(one["name"]), vae(one["name"])
        j = int(np.argsort(-np.array(card.scores["kl_by_dimension"]), kind="stable")[dim])
        assert one["dimension"] == j
        posterior = model.encode(x)
        np.testing.assert_array_equal(pixels(one["picture"]), model.decode(posterior.mean).numpy())
        for place, shown in zip(found["places"], pixels(one["film"]), strict=True):
            z = posterior.mean.clone()
            z[0, j] = place
            np.testing.assert_array_equal(shown, model.decode(z)[0].numpy())
        assert (one["mean"], one["std"]) == pytest.approx((float(posterior.mean[0, j]), float(posterior.std[0, j])))


def test_numbers_of_the_sprite_are_those_of_the_definitions(client: TestClient) -> None:
    """Reconstruction by scipy's Gaussian over unit cells, the KL by quadrature."""
    found = compared(client, 3, 1)
    x = torch.from_numpy(pixels(found["original"]).copy())
    for one in found["models"]:
        model = vae(one["name"])
        posterior = model.encode(x)
        epsilon = Noise(0).normal(1, (found["samples"], LATENT), stream="epsilon")[0]  # (16, L)
        mean = model.decode_mean(posterior.mean + posterior.std * epsilon).numpy()  # (16, C, H, W)
        value = x.numpy().astype(float)
        above = np.where(value == 255, np.inf, value + 0.5)
        below = np.where(value == 0, -np.inf, value - 0.5)
        # Of the two tails the lighter: differences of the heavier would round away.
        lower = norm.cdf((above - mean) / SCALE) - norm.cdf((below - mean) / SCALE)
        upper = norm.sf((below - mean) / SCALE) - norm.sf((above - mean) / SCALE)
        log_p = np.log(np.where(mean > value, lower, upper)).sum((1, 2, 3))
        assert one["reconstruction"] == pytest.approx(log_p.mean(), rel=1e-6)
        assert one["reconstruction_error"] == pytest.approx(log_p.std(ddof=1) / 4, rel=1e-4)
        divergence = []
        for m, s in zip(posterior.mean[0].tolist(), posterior.std[0].tolist(), strict=True):
            q = norm(m, s)
            area, _ = quad(lambda z, q=q: q.pdf(z) * (q.logpdf(z) - norm.logpdf(z)), m - 10 * s, m + 10 * s)
            divergence.append(area)
        assert one["kl"] == pytest.approx(sum(divergence), rel=1e-6)
        assert one["kl_of_dimension"] == pytest.approx(divergence[one["dimension"]], rel=1e-6)
        assert one["elbo"] == pytest.approx(one["reconstruction"] - one["kl"], rel=1e-12)
        assert one["elbo"] == pytest.approx(float(model.log_prob(x, samples=16, noise=0).nats[0]), rel=1e-9)


def test_the_caption_is_the_factor_of_which_the_dimension_tells_the_largest_share(client: TestClient) -> None:
    for dim in range(LATENT):
        for one in compared(client, 1, dim)["models"]:
            row = np.array(zoo.card(one["name"]).scores["disentanglement"]["information"][one["dimension"]])
            k = int((row / ENTROPIES).argmax())
            assert one["caption"] == {"factor": FACTORS[k], "nats": row[k], "of": ENTROPIES[k]}


def test_the_same_question_is_worked_out_once(checkpoints: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    whole = latent_beta.looked_at

    def counted(*given: Any) -> dict[str, Any]:
        asked.append(given)
        return whole(*given)

    monkeypatch.setattr(latent_beta, "looked_at", counted)
    with client_of(Inference()) as client:
        assert compared(client, 8, 0) == compared(client, 8, 0)
        assert len(asked) == len(SPRITES)
        assert compared(client, 8, 1) != compared(client, 8, 0)
        assert len(asked) == 2 * len(SPRITES)


def test_others_have_their_turn_between_two_models(checkpoints: Path) -> None:
    slices = latent_beta.comparing(Inference(), latent_beta.compared(), 1, 0)
    assert sum(1 for _ in slices) == len(SPRITES)


# --- What is refused --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("query", "sentence"),
    [
        ("sprite=-1", "sprite = '-1' does not fit: it must be at least 0."),
        ("sprite=10000", "sprite = '10000' does not fit: it must be below 10,000."),
        ("sprite=one", "sprite = 'one' does not fit: it must be a whole number."),
        ("dim=16", "dim = '16' does not fit: it must be below 16."),
        ("dim=4", "dim = 4 does not fit: there are 4 dimensions, 0 to 3 in the order of KL."),
        ("colour=red", "There is no 'colour' here: leave it out."),
    ],
)
def test_what_does_not_fit_gets_one_sentence(client: TestClient, query: str, sentence: str) -> None:
    answer = client.get(f"/play/latents/compare?{query}")
    assert answer.status_code == 400
    assert answer.json() == {"error": sentence}


def test_models_that_are_not_here_are_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PLAYGROUND_CHECKPOINTS", str(tmp_path))
    with client_of(Inference()) as client:
        assert betas(client) == []
        answer = client.get("/play/latents/compare")
        assert (answer.status_code, answer.json()["error"].startswith("There is no model of the sprites")) == (404, True)
        published(tmp_path, "vae-sprites-tc", 1, (3, 32, 32))
        assert [one["key"] for one in betas(client)] == ["tc"]
        assert betas(client)[0]["seeds"] == []
        assert [one["key"] for one in compared(client)["models"]] == ["tc"]


def test_grey_sprites_are_compared_in_grey(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PLAYGROUND_CHECKPOINTS", str(tmp_path))
    published(tmp_path, "vae-sprites-beta1", 1, (1, 32, 32))
    with client_of(Inference()) as client:
        found = compared(client, 2)
    assert found["shape"] == [1, 32, 32]
    expected = sprites.render(sprites.draw(3, noise=2026), colour=False)[2]
    np.testing.assert_array_equal(pixels(found["original"], (1, 32, 32))[0], expected.numpy())
    assert pixels(found["models"][0]["film"], (1, 32, 32)).shape[0] == 7
