"""The zoo: what it says without loading weights, what it refuses, and whether the checkpoints in this repository are whole."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
import torch

from models import zoo
from models.classifier import Classifier
from models.contract import Density
from models.data import images
from models.recipes import RECIPES
from models.vae import VAE
from models.zoo import BrokenCheckpoint, UnknownCheckpoint

COMMITTED = Path(zoo.__file__).parents[1] / "checkpoints"
NAMES = sorted(config.parent.name for config in COMMITTED.glob("*/config.json"))


@pytest.fixture
def checkpoints(tmp_path: Path, monkeypatch) -> Path:
    """Two checkpoints of untrained models."""
    monkeypatch.setenv("PLAYGROUND_CHECKPOINTS", str(tmp_path))
    for name, network in (("b-mlp", "mlp"), ("a-conv", "conv")):
        torch.manual_seed(0)
        VAE(latent=2, shape=(1, 8, 8), network=network, hidden=8, channels=4).save_pretrained(tmp_path / name)
        scores = {"data": "digits", "weights_sha256": zoo.digest(tmp_path / name / "model.safetensors")}
        (tmp_path / name / "scores.json").write_text(json.dumps(scores))
    return tmp_path


def test_the_environment_says_where_checkpoints_lie(checkpoints: Path, monkeypatch) -> None:
    assert zoo.root() == checkpoints
    monkeypatch.delenv("PLAYGROUND_CHECKPOINTS")
    assert zoo.root() == COMMITTED


def test_names_and_cards_need_no_weights(checkpoints: Path, monkeypatch) -> None:
    def refuse(*_, **__):
        raise AssertionError("weights were read")

    monkeypatch.setattr(zoo, "load_file", refuse)
    monkeypatch.setattr(VAE, "from_pretrained", refuse)
    for weights in checkpoints.glob("*/model.safetensors"):
        weights.unlink()
    assert zoo.names() == ["a-conv", "b-mlp"]
    first, second = zoo.cards()
    assert (first.name, first.data, first.spec.shape, first.settings["network"]) == ("a-conv", "digits", (1, 8, 8), "conv")
    assert second == zoo.card("b-mlp")
    assert "spec" not in second.settings


@pytest.mark.parametrize("name", ["a-conv", "b-mlp"])
def test_a_loaded_model_evaluates_in_float64(name: str, checkpoints: Path) -> None:
    model = zoo.load(name)
    assert not model.training
    assert {tensor.dtype for tensor in model.state_dict().values()} == {torch.float64}
    stored = VAE.from_pretrained(checkpoints / name).state_dict()
    for key, tensor in model.state_dict().items():
        assert torch.equal(tensor.float(), stored[key]), key


def test_a_round_trip_through_the_zoo_changes_no_sample(checkpoints: Path) -> None:
    torch.manual_seed(0)
    original = VAE(latent=2, shape=(1, 8, 8), network="mlp", hidden=8, channels=4).double().eval()
    assert torch.equal(zoo.load("b-mlp").sample(8, noise=3), original.sample(8, noise=3))


@pytest.mark.parametrize("name", ["nothing", "", "../a-conv", "a-conv/../b-mlp", "/etc"])
def test_an_unknown_name_gets_a_sentence_with_the_known_ones(name: str, checkpoints: Path) -> None:
    for ask in (zoo.card, zoo.load, zoo.verify, zoo.encoded, zoo.constant_picture):
        with pytest.raises(UnknownCheckpoint) as raised:
            ask(name)
        assert str(raised.value) == f"There is no checkpoint {name!r}: there are a-conv, b-mlp."


def test_of_many_checkpoints_the_nearest_names_are_told(monkeypatch) -> None:
    monkeypatch.delenv("PLAYGROUND_CHECKPOINTS", raising=False)
    with pytest.raises(UnknownCheckpoint, match=rf"there are {len(NAMES)}, of which .*vae-mnist-2d.* have the nearest names"):
        zoo.load("vae-mnist2d")


def test_an_empty_zoo_says_so(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("PLAYGROUND_CHECKPOINTS", str(tmp_path))
    assert zoo.names() == []
    assert zoo.cards() == []
    with pytest.raises(UnknownCheckpoint, match="there are none"):
        zoo.load("anything")


def test_tampered_weights_are_refused(checkpoints: Path) -> None:
    file = checkpoints / "b-mlp" / "model.safetensors"
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    with pytest.raises(BrokenCheckpoint, match="The scores of b-mlp belong to other weights"):
        zoo.load("b-mlp")
    zoo.verify("a-conv")


@pytest.mark.parametrize("file", ["model.safetensors", "scores.json"])
def test_a_missing_file_is_named(file: str, checkpoints: Path) -> None:
    (checkpoints / "b-mlp" / file).unlink()
    with pytest.raises(BrokenCheckpoint, match=f"b-mlp .*{file} is missing"):
        zoo.load("b-mlp")


def test_an_unknown_kind_is_refused_and_never_imported(checkpoints: Path) -> None:
    file = checkpoints / "b-mlp" / "config.json"
    config = json.loads(file.read_text())
    config["spec"]["kind"] = "os.system"
    file.write_text(json.dumps(config))
    with pytest.raises(BrokenCheckpoint, match=r"b-mlp is of kind 'os\.system': this version knows vae"):
        zoo.load("b-mlp")


def test_companions_are_none_where_there_are_none(checkpoints: Path) -> None:
    assert zoo.encoded("b-mlp") is None
    assert zoo.constant_picture("b-mlp") is None


def test_every_recipe_has_a_checkpoint() -> None:
    """One for the GPU and one for two cores ("-cpu") make the same checkpoint."""
    assert {name.removesuffix("-cpu") for name in RECIPES} == set(NAMES)


@pytest.fixture
def committed(monkeypatch) -> None:
    monkeypatch.delenv("PLAYGROUND_CHECKPOINTS", raising=False)


def test_the_committed_checkpoints_are_small() -> None:
    sizes = {file: file.stat().st_size for file in COMMITTED.rglob("*") if file.is_file()}
    assert [str(file) for file, size in sizes.items() if size > 4 * 2**20] == []
    assert sum(sizes.values()) <= 30 * 2**20


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.usefixtures("committed")
class TestCommittedCheckpoint:
    def test_it_belongs_together(self, name: str) -> None:
        zoo.verify(name)
        card = zoo.card(name)
        assert card.data in images.NAMES
        assert not (COMMITTED / name / "state.safetensors").exists()
        recipe = RECIPES[card.scores.get("recipe", name)]
        assert recipe.name.removesuffix("-cpu") == name
        assert (card.data, card.spec.kind) == (recipe.data, recipe.kind)
        settings = json.loads(json.dumps(dict(recipe.settings)))  # as they stand in a file: a tuple is a list there
        assert {key: card.settings[key] for key in settings} == settings

    def test_its_card_shows_its_scores(self, name: str) -> None:
        text, scores = (COMMITTED / name / "README.md").read_text(), zoo.card(name).scores
        training, recipe = scores["training"], RECIPES[scores.get("recipe", name)]
        assert training["steps"] <= training["of"] == recipe.steps
        assert (training["steps"] < recipe.steps) == ("an unfinished run" in text)
        for one in scores["scores"].values():
            assert f"{one['nats']:.2f}" in text
            assert f"{one['bits_per_dim']:.4f}" in text
        if zoo.card(name).spec.density is Density.NONE:
            assert scores["scores"] == {}
            if zoo.card(name).spec.kind == "classifier":
                assert f"{100 * scores['label_error']:.2f} %" in text
                return
            assert f"{scores['root_mean_squared_error']:.2f} grey levels" in text
            return
        assert next(iter(scores["scores"].values()))["images"] == 10_000
        if "elbo" not in scores["scores"]:
            kind = zoo.card(name).spec.density
            key = {Density.EXACT: "exact", Density.LOWER_BOUND: "bound", Density.ESTIMATE: "importance_of_all"}[kind]
            assert scores["scores"][key]["kind"] == kind.value
            return
        # The estimate lies above the bound on the same images, but for chance.
        bound, estimate = (scores["scores"][key] for key in ("elbo_of_the_same_images", "importance"))
        assert bound["images"] == estimate["images"]
        assert estimate["nats"] > bound["nats"] - 4 * bound["sampling_standard_error"]

    def test_its_numbers_are_finite_on_pictures_it_never_saw(self, name: str) -> None:
        model = zoo.load(name)
        c, h, w = model.spec.shape
        grey = torch.nn.functional.interpolate(images.load("digits", "test").pixels[:4].double(), size=(h, w))
        reference = images.to_levels(grey.to(torch.uint8), model.spec.levels).expand(-1, c, -1, -1).contiguous()
        picture = zoo.constant_picture(name)
        assert (picture is None) == (model.spec.kind != "vae" or model.spec.classes > 0 or model.spec.levels == 2)
        if model.spec.density is Density.NONE:
            said = model.log_posterior if isinstance(model, Classifier) else model.squared_error
            with torch.inference_mode():
                assert said(reference).isfinite().all()
            return
        with torch.inference_mode():
            found = model.log_prob(reference, samples=2, noise=0)
        assert found.nats.isfinite().all()
        assert found.nats.max() < 0
        if picture is None:
            return
        assert picture.log_prob(reference).isfinite().all()

    def test_it_beats_the_best_constant_picture_and_all_levels_alike(self, name: str) -> None:
        """8 bits per dimension are what knowing nothing costs; log₂ of the levels, in general."""
        card = zoo.card(name)
        if card.spec.kind == "classifier":
            assert card.scores["label_error"] < 0.1
            return
        if card.spec.density is Density.NONE:
            assert card.scores["root_mean_squared_error"] < 60  # of MNIST's mean picture: 66 grey levels
            return
        assert next(iter(card.scores["scores"].values()))["bits_per_dim"] < math.log2(card.spec.levels)

    def test_two_latents_come_with_a_map_of_all_test_images(self, name: str) -> None:
        encoded, spec = zoo.encoded(name), zoo.card(name).spec
        if spec.latent != 2:
            assert (encoded is not None) == (zoo.card(name).data == "sprites-256")
            return
        assert encoded is not None
        assert encoded.posterior.mean.shape == encoded.posterior.std.shape == (10_000, 2)
        assert encoded.posterior.mean.isfinite().all()
        if zoo.card(name).spec.kind == "autoencoder":
            assert (encoded.posterior.std == 0).all()
            return
        assert (encoded.posterior.std > 0).all()
        assert encoded.labels.unique().tolist() == list(range(10))
        # A posterior that follows the picture: means spread by far more than one posterior is wide.
        assert (encoded.posterior.mean.std(0) > 2 * encoded.posterior.std.mean(0)).all()

    def test_sample_16_begins_with_sample_8(self, name: str) -> None:
        model = zoo.load(name)
        if isinstance(model, Classifier):
            return  # it draws nothing
        n = 16 if model.spec.kind == "vae" else 4
        assert torch.equal(model.sample(n, noise=0)[: n // 2], model.sample(n // 2, noise=0))
