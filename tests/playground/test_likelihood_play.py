"""The routes of the page on likelihoods, behind their guard, on the committed checkpoints and without any data set."""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.testclient import TestClient

from models import zoo
from models.data import images, traps
from models.measures import bayes, outliers
from models.measures.likelihood import bits_per_dim, share_at_least
from playground import likelihood_lesson as lesson
from playground import likelihood_pictures, likelihood_play, likelihood_trap, play, recordings
from playground.guard import Guard
from playground.inference import Inference

torch.set_num_threads(1)
HEADERS = {"X-Playground-Token": "likelihoods-0001"}


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PLAYGROUND_DATA", str(tmp_path_factory.mktemp("nothing")))
        play.reference_pictures.cache_clear()
        app = Starlette(routes=likelihood_play.routes(Inference()), middleware=[Middleware(Guard)])
        with TestClient(app, headers=HEADERS) as one:
            yield one
    play.reference_pictures.cache_clear()


@pytest.fixture(scope="module")
def digits() -> torch.Tensor:
    """Two digits and a blank, uint8 (3, 1, 28, 28)."""
    x = images.load("digits", "test").pixels[:3].clone()
    x[2] = 0
    return x


def pixels_of(text: str) -> np.ndarray:
    return np.frombuffer(base64.b64decode(text), np.uint8).reshape(28, 28)


@pytest.fixture(scope="module")
def scored(client: TestClient, digits: torch.Tensor) -> dict[str, Any]:
    answer = client.post("/play/likelihoods/score?data=mnist&seed=4", content=digits.numpy().tobytes())
    assert answer.status_code == 200
    return answer.json()


def test_every_model_of_the_data_says_what_the_library_says_and_what_it_is(
    scored: dict[str, Any], digits: torch.Tensor
) -> None:
    names = [one["name"] for one in scored["models"]]
    assert names == [card.name for card in lesson.cards("mnist")]
    assert {"pixelcnn-mnist", "gaussian-mnist", "ppca-mnist", "mixture-mnist", "vae-mnist-16d", "cvae-mnist"} <= set(names)
    assert not {"ae-mnist", "classifier-mnist"} & set(names)  # they have no p(x)
    binary = torch.from_numpy(np.frombuffer(base64.b64decode(scored["binary"]), np.uint8).copy()).reshape(3, 1, 28, 28)
    assert binary.max() <= 1
    assert torch.equal(binary, likelihood_pictures.binarised(digits, 4))
    for one in scored["models"]:
        model: Any = zoo.load(one["name"])
        card = zoo.card(one["name"])
        x = digits if card.spec.levels == 256 else binary
        with torch.inference_mode():
            found = model.log_prob(x, samples=one["samples"], noise=4)
        np.testing.assert_allclose(one["nats"], found.nats.numpy(), rtol=2e-4, atol=0.05)  # float32 there, float64 here
        np.testing.assert_allclose(one["bits"], [-n / math.log(2) / 784 for n in one["nats"]], atol=2e-5)
        assert one["kind"] == found.kind.value == card.spec.density.value
        assert (one["error"] is None) == (found.standard_error is None)
        assert one["space"] == ("8-bit" if card.spec.levels == 256 else "binary")
        for bits, rank, deviation in zip(one["bits"], one["rank"], one["deviation"], strict=True):
            assert rank == pytest.approx(share_at_least(bits, lesson.quantiles(card)), abs=1e-3)
            assert deviation == pytest.approx(abs(bits - lesson.held_out(card)["bits_per_dim"]), abs=1e-4)


def test_complexity_is_the_compressor_s_and_only_clothes_have_a_background(
    client: TestClient, scored: dict[str, Any], digits: torch.Tensor
) -> None:
    np.testing.assert_allclose(scored["complexity"]["bits"], outliers.complexity(digits, lesson.COMPRESSOR).numpy(), atol=1e-5)
    assert scored["background"] is None
    clothes = client.post("/play/likelihoods/score?data=fashion", content=digits[:1].numpy().tobytes()).json()
    background = lesson.background("fashion")
    assert background is not None
    assert clothes["background"]["name"] == background.name
    assert background.name not in [one["name"] for one in clothes["models"]]


def test_a_seed_gives_the_same_numbers_and_a_picture_the_same_in_other_company(
    client: TestClient, scored: dict[str, Any], digits: torch.Tensor
) -> None:
    again = client.post("/play/likelihoods/score?data=mnist&seed=4", content=digits.numpy().tobytes()).json()
    assert [one["bits"] for one in again["models"]] == [one["bits"] for one in scored["models"]]
    alone = client.post("/play/likelihoods/score?data=mnist&seed=4", content=digits[:1].numpy().tobytes()).json()
    for one, other in zip(alone["models"], scored["models"], strict=True):
        assert one["bits"][0] == pytest.approx(other["bits"][0], rel=1e-4)


def test_labels_are_bayes_rule_s_and_the_classifier_s(client: TestClient, digits: torch.Tensor) -> None:
    found = client.post("/play/likelihoods/labels?data=mnist&seed=2", content=digits.numpy().tobytes()).json()
    assert found["classes"] == list(images.CLASSES["mnist"])
    classifier: Any = zoo.load("classifier-mnist")
    expected = classifier.log_posterior(digits).exp().detach().numpy()
    np.testing.assert_allclose(found["classifier"]["probabilities"], expected, atol=1e-5)
    names = {one["name"] for one in found["models"]}
    assert names == {"pixelcnn-mnist", "cvae-mnist", "mixture-mnist-classes"}
    for one in found["models"]:
        each = bayes.by_class(zoo.load(one["name"]), digits, samples=4, noise=2)  # type: ignore[arg-type]
        np.testing.assert_allclose(np.array(one["by_class"]).T, each.nats.numpy(), rtol=2e-4, atol=0.05)
        np.testing.assert_allclose(one["bits"], bits_per_dim(bayes.labels(each).log_prob, 784).numpy(), rtol=2e-4)
    assert sum(found["classifier"]["probabilities"][2]) == pytest.approx(1, abs=1e-4)  # a blank must get a label, too


def test_tokens_become_pictures_and_what_names_none_a_sentence(client: TestClient) -> None:
    picks = "r3,t.blank,t.shuffled.3,o.1,s.gaussian-mnist,a.3,t.nothing,r12"
    found = client.get("/play/likelihoods/pictures", params={"data": "mnist", "picks": picks, "seed": 5}).json()
    made = {one["pick"]: one for one in found["pictures"]}
    assert list(made) == picks.split(",")[:6]
    assert found["refused"] == [likelihood_pictures.WORDS["unknown"].format(token=one) for one in ("t.nothing", "r12")]
    assert found["from"] == images.TITLES["digits"]  # MNIST is not at hand here
    three = pixels_of(made["r3"]["pixels"])
    assert three.any()
    assert not pixels_of(made["t.blank"]["pixels"]).any()
    shuffled = pixels_of(made["t.shuffled.3"]["pixels"])
    np.testing.assert_array_equal(shuffled, traps.trap("shuffled", torch.from_numpy(three.copy()), noise=5).numpy())
    assert (made["o.1"]["kind"], made["o.1"]["by"]) == ("other", "pixelcnn-fashion")  # no clothes are at hand here
    gaussian: Any = zoo.load("gaussian-mnist")
    np.testing.assert_array_equal(pixels_of(made["s.gaussian-mnist"]["pixels"]), gaussian.sample(1, noise=5)[0, 0].numpy())


def test_a_perturbed_digit_flips_the_classifier_within_what_it_says(client: TestClient) -> None:
    found = client.get("/play/likelihoods/pictures", params={"data": "mnist", "picks": "a.3,a.7", "seed": 0}).json()
    classifier: Any = zoo.load("classifier-mnist")
    for one in found["pictures"]:
        attack = one["attack"]
        changed, original = pixels_of(one["pixels"]).astype(int), pixels_of(attack["original"]).astype(int)
        assert np.abs(changed - original).max() == attack["changed"] <= likelihood_pictures.FLIP_LIMIT
        for pixels, key, label in ((original, "before", "label"), (changed, "after", "became")):
            x = torch.from_numpy(pixels.astype(np.uint8)).reshape(1, 1, 28, 28)
            p = classifier.log_posterior(x).exp()[0].detach()
            np.testing.assert_allclose(p.numpy(), attack[key], atol=1e-3)
            assert int(p.argmax()) == attack[label]
        assert attack["label"] != attack["became"]


@pytest.mark.parametrize("data", lesson.DATA)
def test_the_shelf_has_every_group_and_each_token_of_it_is_a_picture(client: TestClient, data: str) -> None:
    groups = client.get("/play/likelihoods/shelf", params={"data": data}).json()["groups"]
    assert [group["key"] for group in groups] == ["reference", "trap", "other", "sample", "attack"]
    for group in groups:
        assert group["pictures"]
        for one in group["pictures"]:
            assert len(base64.b64decode(one["pixels"])) == 784
            assert one["title"]
            assert one["why"]


def test_the_three_ways_are_told_as_they_converge(client: TestClient, digits: torch.Tensor) -> None:
    answer = client.post(
        "/play/likelihoods/ways",
        params={"model": "vae-mnist-2d", "samples": 200, "seed": 3},
        content=digits[:1].numpy().tobytes(),
    )
    lines = [json.loads(line) for line in answer.text.splitlines()]
    assert lines[-1]["done"]
    counts = [line["samples"] for line in lines[:-1]]
    assert counts == sorted(set(counts))
    assert counts[-1] == 200
    model: Any = zoo.load("vae-mnist-2d")
    importance = model.log_prob(digits[:1], method="importance", samples=200, noise=3)
    assert lines[-2]["importance"]["nats"] == pytest.approx(float(importance.nats[0]), abs=0.05)
    elbo = model.log_prob(digits[:1], samples=200, noise=3)
    assert lines[-2]["elbo"] == pytest.approx(float(elbo.nats[0]), abs=0.05)
    assert 1 <= lines[-2]["prior"]["effective"] <= 200


def test_a_refined_q_splits_the_gap(client: TestClient, digits: torch.Tensor) -> None:
    query = {"model": "vae-mnist-2d", "seed": 1}
    lines = client.post("/play/likelihoods/refine", params=query, content=digits[:1].numpy().tobytes()).text.splitlines()
    steps, end = [json.loads(line) for line in lines[:-1]], json.loads(lines[-1])
    assert [one["step"] for one in steps] == list(range(len(steps)))
    gap = end["gap"]
    assert gap["elbo_refined"] - gap["elbo_amortised"] == pytest.approx(gap["amortisation"])
    assert gap["log_prob"] - gap["elbo_refined"] == pytest.approx(gap["approximation"])
    assert gap["amortisation"] > -3 * gap["amortisation_error"]
    assert gap["approximation"] > -3 * gap["approximation_error"]


def test_a_live_comparison_says_what_was_computed_now(client: TestClient) -> None:
    found = client.get("/play/likelihoods/trap/live", params={"model": "mixture-fashion", "n": 60, "seed": 1}).json()
    assert (found["outliers"]["live"], found["outliers"]["images"]) == (True, 60)
    assert (found["insiders"]["live"], found["insiders"]["images"]) == (False, likelihood_trap.HALF)  # no clothes are at hand
    x = images.load("digits", "test").pixels
    chosen = likelihood_trap._some(x, 60, 1)
    model: Any = zoo.load("mixture-fashion")
    surprise = bits_per_dim(model.log_prob(chosen).nats.detach().double(), 784)
    inside = likelihood_trap.stored()["mixture-fashion"][likelihood_trap.HALF :].double()
    assert found["scores"]["surprise"]["auroc"] == pytest.approx(outliers.roc(surprise, inside).auroc, abs=2e-4)
    assert found["scores"]["rank"]["auroc"] == pytest.approx(found["scores"]["surprise"]["auroc"], abs=0.01)  # repairs nothing


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "said"),
    [
        ("POST", "score?data=mnist", b"", 400, "0 bytes are not 1 to 64 pictures of 784 pixels"),
        ("POST", "score?data=mnist", bytes(785), 400, "785 bytes are not 1 to 64 pictures"),
        ("POST", "score?data=mnist", bytes(784 * 65), 400, "50960 bytes are not 1 to 64 pictures"),
        ("POST", "score?data=cats", bytes(784), 400, "data"),
        ("POST", "labels?data=mnist&seed=-1", bytes(784), 400, "seed"),
        ("POST", "ways?model=pixelcnn-mnist", bytes(784), 400, "pixelcnn-mnist is no VAE of 28 × 28 pixels"),
        ("POST", "ways?model=cvae-mnist", bytes(784), 400, "cvae-mnist is no VAE"),
        ("POST", "ways?model=nothing", bytes(784), 404, "There is no checkpoint 'nothing'"),
        ("POST", "ways?model=vae-mnist-2d&samples=9999", bytes(784), 400, "samples"),
        ("POST", "refine?model=vae-mnist-2d", bytes(3), 400, "3 bytes are not one picture"),
        ("GET", "trap/live?model=pixelcnn-mnist", b"", 400, "pixelcnn-mnist is none of the models of clothes"),
        ("GET", "trap/live?model=mixture-fashion&n=5000", b"", 400, "n"),
        ("GET", "pictures?data=mnist&picks=" + ",".join(["r1"] * 61), b"", 400, "61 pictures are too many"),
    ],
)
def test_what_is_wrong_gets_a_sentence(client: TestClient, method: str, path: str, body: bytes, status: int, said: str) -> None:
    answer = client.request(method, f"/play/likelihoods/{path}", content=body or None)
    assert answer.status_code == status
    assert said in answer.json()["error"]


def test_the_recorded_comparison_is_of_these_checkpoints_and_repairs_what_it_says() -> None:
    trap = recordings.load("likelihoods_trap")
    assert [one["name"] for one in trap["models"]] == [card.name for card in lesson.cards("fashion") if card.spec.levels == 256]
    raw = likelihood_trap.stored()
    for one in trap["models"]:
        mean = float(raw[one["name"]][likelihood_trap.HALF :].mean())
        assert one["mean"]["insiders"] == pytest.approx(mean, rel=1e-3)
        assert one["scores"]["rank"]["auroc"] == pytest.approx(one["scores"]["surprise"]["auroc"], abs=0.02)
        for score in one["scores"].values():
            assert sum(score["histogram"]["insiders"]) == trap["images"]["insiders"]
            assert sum(score["histogram"]["outliers"]) == trap["images"]["outliers"]
            area = np.trapezoid(score["tp"], score["fp"])
            assert area == pytest.approx(score["auroc"], abs=0.02)
    pixelcnn = next(one for one in trap["models"] if one["name"] == "pixelcnn-fashion")
    assert pixelcnn["scores"]["surprise"]["auroc"] < 0.5  # fooled: digits are less surprising to it than clothes


def test_the_recorded_curves_are_of_these_checkpoints() -> None:
    recorded = recordings.load("likelihoods_labels")
    for data in lesson.DATA:
        names = {one["name"] for one in recorded[data]["curves"]}
        assert names == {f"classifier-{data}"} | {c.name for c in lesson.cards(data) if c.spec.classes and c.spec.levels == 256}
        classifier = next(one for one in recorded[data]["curves"] if one["confidence"] == "softmax")
        card = zoo.card(classifier["name"])
        assert classifier["alone"]["error"][-1] == pytest.approx(card.scores["label_error"], abs=0.02)
        assert classifier["mixed"]["error"][-1] == pytest.approx((1 + classifier["alone"]["error"][-1]) / 2, abs=1e-3)
