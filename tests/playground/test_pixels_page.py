"""The page "Pixels" as Gradio builds it: what its rail holds, what passes between the rail and the stage, what it opens on."""

from __future__ import annotations

import base64
import json
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gradio as gr
import numpy as np
import pytest
import torch

from models import zoo
from models.data import images
from models.pixelcnn import PixelCNN, in_scan_order
from playground import pixel_lesson, recordings, text, wire
from playground.inference import Inference
from playground.pages import pixels, rail
from playground.pixel_lesson import MODELS, MOST, RAIL, PixelSettings, checkpoint

torch.set_num_threads(1)
COMPONENTS = Path(pixels.__file__).parents[1] / "components"
WORDS = text.page("pixels")


@pytest.fixture(scope="module")
def demo() -> gr.Blocks:
    with gr.Blocks() as built:
        pixels.PAGE.build(built, Inference())
    return built


@pytest.fixture(scope="module")
def events(demo: gr.Blocks) -> dict[str, Any]:
    """The rail's events by the name of their function."""
    return {event.fn.__name__: event for event in demo.fns.values() if event.fn is not None}


def by_id(demo: gr.Blocks) -> dict[str, Any]:
    return {str(block.elem_id): block for block in demo.blocks.values() if getattr(block, "elem_id", None)}


def given(**changes: Any) -> list[Any]:
    """The rail's values, in its order."""
    start = PixelSettings(**changes)
    return [getattr(start, key) for key in RAIL]


def named(values: list[Any]) -> dict[str, Any]:
    """What the controls are told, by their setting."""
    assert len(values) == len(RAIL)
    return dict(zip(RAIL, values, strict=True))


def skipped(value: Any) -> bool:
    return isinstance(value, dict) and value.get("__type__") == "update" and "value" not in value


CLASSES = {
    "mnist": [str(digit) for digit in range(10)],
    "mnist-plain": [],
    "mnist-binary": [],
    "fashion": list(images.CLASSES["fashion"]),
    "sprites": ["square", "ellipse", "heart"],
}


# --- What stands there ------------------------------------------------------------------------------------------------


def test_every_control_of_the_rail_holds_the_setting_of_its_name(demo: gr.Blocks) -> None:
    blocks = by_id(demo)
    for key in RAIL:
        assert blocks[key].value == getattr(PixelSettings(), key), key
        assert blocks[key].label


def test_the_choices_are_those_that_a_link_may_name(demo: gr.Blocks) -> None:
    blocks = by_id(demo)
    for key in ("model", "label"):
        for _, choice in blocks[key].choices:
            assert getattr(PixelSettings.nearest({key: choice})[0], key) == choice
        labels = [name for name, _ in blocks[key].choices]
        assert len(set(labels)) == len(labels)
    assert [choice for _, choice in blocks["model"].choices] == list(MODELS)
    assert [choice for _, choice in blocks["label"].choices] == list(range(-1, 10))


def test_the_sliders_end_where_the_settings_do(demo: gr.Blocks) -> None:
    blocks = by_id(demo)
    for key, step in (("n", 1), ("temperature", 0.05)):
        for end, beyond in ((blocks[key].maximum, step), (blocks[key].minimum, -step)):
            assert PixelSettings.nearest({key: end}) == (PixelSettings(**{key: end}), [])
            assert PixelSettings.nearest({key: end + beyond})[1]
    assert blocks["n"].maximum == MOST <= wire.MAX_WRITTEN
    assert blocks["temperature"].maximum <= wire.MAX_TEMPERATURE


def test_the_stage_is_told_what_it_needs_as_json(demo: gr.Blocks) -> None:
    told = by_id(demo)["pixels-stage"].value
    assert told["whole"]
    assert told["settings"] == PixelSettings.defaults()
    assert told["code"] == pixel_lesson.code(PixelSettings())
    assert set(RAIL) <= set(told["settings"])
    json.dumps(told, allow_nan=False)


def test_the_rail_is_bound_by_six_events(demo: gr.Blocks, events: dict[str, Any]) -> None:
    blocks = by_id(demo)
    assert set(events) == {"changed", "repeated", "rolled", "restored", "followed", "opened"}
    assert events["changed"].api_name == "pixels_settings"
    assert [block.elem_id for block in events["changed"].inputs] == list(RAIL)
    assert [block.elem_id for block in events["changed"].outputs] == [*RAIL, "pixels-stage"]
    assert events["followed"].targets == [(blocks["pixels-stage"]._id, "input")]
    assert blocks["pixels-stage"] not in events["followed"].outputs
    for event in events.values():
        assert not event.queue
        assert not event.preprocess


# --- The form: classes of the chosen model ----------------------------------------------------------------------------


@pytest.mark.parametrize("model", MODELS)
def test_the_classes_to_choose_from_are_the_models(model: str) -> None:
    form = pixels._form(PixelSettings(model=model))  # type: ignore[arg-type]
    assert set(form) == {"label"}
    assert form["label"]["choices"] == [(WORDS["any"], -1), *((name, i) for i, name in enumerate(CLASSES[model]))]
    assert form["label"]["visible"] is bool(CLASSES[model])
    assert zoo.card(checkpoint(model)).spec.classes == len(CLASSES[model])


@pytest.mark.parametrize("model", MODELS)
def test_another_model_brings_its_classes_into_the_rail(events: dict[str, Any], model: str) -> None:
    *controls, told = events["changed"].fn(*given(model=model, label=1))
    changed = named(controls)
    update = changed.pop("label")
    assert update["__type__"] == "update"
    assert update["value"] == 1 or not CLASSES[model]
    assert [name for name, _ in update["choices"]] == [WORDS["any"], *CLASSES[model]]
    assert update["visible"] is bool(CLASSES[model])
    assert all(map(skipped, changed.values()))
    assert told["settings"] == named(given(model=model, label=1))
    assert told["code"] == pixel_lesson.code(PixelSettings(model=model, label=1))  # type: ignore[arg-type]
    assert told["notices"] == []


def values_of(events: dict[str, Any], how: str, **changes: Any) -> list[Any]:
    """What the controls are told by each event that fills them."""
    if how == "changed":
        return events["changed"].fn(*given(**changes))[:-1]
    if how == "opened":
        return events["opened"].fn(SimpleNamespace(query_params={key: str(value) for key, value in changes.items()}))[:-1]
    return events["followed"].fn(SimpleNamespace(_data=changes))


@pytest.mark.parametrize("how", ["changed", "opened", "followed"])
def test_the_class_that_is_shown_is_one_of_those_to_choose_from(events: dict[str, Any], how: str) -> None:
    """Of a model with three classes, the eighth is none: any is meant, by the code and by the stage."""
    update = named(values_of(events, how, model="sprites", label=7))["label"]
    assert update["value"] in [choice for _, choice in update["choices"]]


@pytest.mark.parametrize("how", ["opened", "followed"])
@pytest.mark.parametrize("model", MODELS)
def test_a_link_and_the_stage_bring_the_classes_too(events: dict[str, Any], how: str, model: str) -> None:
    update = named(values_of(events, how, model=model, n=2))["label"]
    assert [name for name, _ in update["choices"]] == [WORDS["any"], *CLASSES[model]]
    assert update["visible"] is bool(CLASSES[model])
    assert update["value"] == -1


# --- What passes ------------------------------------------------------------------------------------------------------


def test_a_value_that_does_not_fit_is_set_with_a_sentence(events: dict[str, Any]) -> None:
    values = given()
    values[RAIL.index("n")] = 99
    values[RAIL.index("seed")] = None
    *controls, told = events["changed"].fn(*values)
    changed = named(controls)
    assert changed["n"] == MOST
    assert changed["seed"] == PixelSettings().seed
    assert skipped(changed["model"])
    assert skipped(changed["temperature"])
    assert len(told["notices"]) == 2
    assert told["settings"]["n"] == MOST


def test_a_model_that_is_not_there_falls_back(events: dict[str, Any]) -> None:
    *controls, told = events["changed"].fn(*["cats", *given()[1:]])
    assert named(controls)["model"] == "mnist"
    assert told["settings"]["model"] == "mnist"
    assert len(told["notices"]) == 1


def test_the_same_seed_repeats_and_a_new_one_rolls(events: dict[str, Any]) -> None:
    again = events["repeated"].fn(*given(seed=12))
    assert (again["settings"]["seed"], again["again"], again["rolled"]) == (12, True, False)
    rolls = [events["rolled"].fn(*given(seed=12, model="sprites")) for _ in range(8)]
    assert len({seed for seed, _ in rolls}) > 1
    for seed, told in rolls:
        assert 0 <= seed < rail.NEW_SEEDS
        assert (told["settings"]["seed"], told["settings"]["model"], told["rolled"]) == (seed, "sprites", True)
        assert f"noise={seed})" in told["code"]["write"]


def test_a_link_fills_the_rail_and_the_stage(events: dict[str, Any]) -> None:
    query = {"v": "1", "model": "fashion", "label": "3", "view": "surprise", "changes": "5:1", "n": "many"}
    *controls, told = events["opened"].fn(SimpleNamespace(query_params=query))
    filled = named(controls)
    assert filled["model"] == "fashion"
    assert filled["label"]["value"] == 3
    assert told["whole"]
    assert told["settings"] == PixelSettings(model="fashion", label=3, view="surprise", changes="5:1").model_dump(mode="json")
    assert len(told["notices"]) == 1
    assert "n = " in told["notices"][0]
    assert 'zoo.load("pixelcnn-fashion")' in told["code"]["surprise"]


def test_reset_restores_everything(events: dict[str, Any]) -> None:
    *controls, told = events["restored"].fn()
    filled = named(controls)
    update = filled.pop("label")
    assert update["value"] == -1
    assert [name for name, _ in update["choices"]] == [WORDS["any"], *CLASSES["mnist"]]
    assert filled == {key: value for key, value in named(given()).items() if key != "label"}
    assert told["whole"]
    assert told["settings"] == PixelSettings.defaults()


def test_what_is_not_of_the_rail_is_left_out_of_what_the_stage_says(events: dict[str, Any]) -> None:
    filled = named(values_of(events, "followed", seed=44, frame=12, nobody=1))
    assert filled["seed"] == 44
    assert filled["model"] == "mnist"


class Small(rail.Settings):
    seed: int = 3
    size: int = 5


def small(**options: Any) -> dict[str, Any]:
    """The events of a rail of two controls."""
    with gr.Blocks() as demo:
        stage = gr.HTML()
        controls = {"seed": gr.Number(value=3), "size": gr.Slider(1, 9, value=5)}
        same, new, reset = gr.Button(), gr.Button(), gr.Button()
        rail.wire(demo, Small(), controls, stage, same=same, new=new, reset=reset, name="small", both_ways=True, **options)
    return {event.fn.__name__: event.fn for event in demo.fns.values() if event.fn is not None}


def test_a_rail_without_a_form_tells_its_controls_values_alone() -> None:
    events = small()
    assert events["restored"]()[:-1] == [3, 5]
    assert events["followed"](SimpleNamespace(_data={"size": 7})) == [3, 7]
    assert all(map(skipped, events["changed"](3, 7)[:-1]))


def test_a_rails_form_follows_its_settings() -> None:
    events = small(form=lambda settings: {"size": {"visible": settings.seed > 3}})
    for seed, size in ((3, 5), (4, 6)):
        expected = {"__type__": "update", "value": size, "visible": seed > 3}
        seed_said, size_said, _ = events["changed"](seed, size)
        assert skipped(seed_said)
        assert size_said == expected
        assert events["followed"](SimpleNamespace(_data={"seed": seed, "size": size})) == [seed, expected]
        link = SimpleNamespace(query_params={"seed": str(seed), "size": str(size)})
        assert events["opened"](link)[:-1] == [seed, expected]


# --- What the stage knows of the models -------------------------------------------------------------------------------


def test_the_stage_knows_of_each_model_what_its_card_says() -> None:
    found = pixels._models()
    assert list(found) == list(MODELS)
    json.dumps(found, allow_nan=False)
    for key, one in found.items():
        card = zoo.card(checkpoint(key))
        exact, quantiles = card.scores["scores"]["exact"], card.scores["bits_per_dim_quantiles"]
        assert (one["key"], one["name"], one["data"]) == (key, f"pixelcnn-{key}", card.data)
        assert (tuple(one["shape"]), one["levels"]) == (card.spec.shape, card.spec.levels)
        assert one["classes"] == CLASSES[key]
        assert one["gated"] is (key != "mnist-plain")
        assert (one["bits"], one["nats"]) == (exact["bits_per_dim"], exact["nats"])
        assert one["quantiles"] == [quantiles[5], quantiles[50], quantiles[95]] == sorted(one["quantiles"])
        assert one["title"] == WORDS["model_choices"][key]
        assert one["nats"] == pytest.approx(-one["bits"] * np.log(2) * card.spec.dims, rel=1e-6)  # two units of one number


@pytest.mark.parametrize("key", MODELS)
def test_the_facts_say_what_was_measured(key: str) -> None:
    facts, card = pixels._models()[key]["facts"], zoo.card(checkpoint(key))
    exact = card.scores["scores"]["exact"]
    for said in (
        images.TITLES[card.data],
        wire.grouped(card.scores["parameters"]),
        f"{exact['bits_per_dim']:.3f} bits/dim",
        f"{-exact['nats']:.1f} nats",
        f"over {wire.grouped(exact['images'])} test images",
    ):
        assert said in facts
    told = card.scores["scores"].get("given_label")
    assert (told is not None) is bool(CLASSES[key])
    assert ("given the class" in facts) is bool(CLASSES[key])
    if told:
        assert facts.endswith(f"{told['bits_per_dim']:.3f}")
    assert "{" not in facts


def test_a_model_whose_checkpoint_is_missing_is_not_offered(monkeypatch: pytest.MonkeyPatch) -> None:
    names = zoo.names()
    monkeypatch.setattr(zoo, "names", lambda: [name for name in names if name != "pixelcnn-fashion"])
    assert list(pixels._models()) == [key for key in MODELS if key != "fashion"]


# --- Recordings -------------------------------------------------------------------------------------------------------


@pytest.fixture
def small_digits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> PixelCNN:
    """In place of the shipped model of MNIST, a network of random weights that writes 1 × 5 × 4."""
    torch.manual_seed(0)
    model = PixelCNN((1, 5, 4), levels=256, channels=5, layers=1, classes=10, embedding=3, hidden=5)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(0, 0.4)
    home = tmp_path / checkpoint("mnist")
    model.save_pretrained(home)
    scores = {"weights_sha256": zoo.digest(home / "model.safetensors"), "data": "mnist"}
    (home / "scores.json").write_text(json.dumps(scores))
    monkeypatch.setenv("PLAYGROUND_CHECKPOINTS", str(tmp_path))
    loaded = zoo.load(checkpoint("mnist"))
    assert isinstance(loaded, PixelCNN)
    return loaded.requires_grad_(False)


def numbers(text: str, kind: str, n: int) -> np.ndarray:
    return np.frombuffer(base64.b64decode(text), kind).reshape(n, -1)


def test_a_recording_is_a_run_of_the_defaults(small_digits: PixelCNN) -> None:
    made = pixels.record()
    assert set(made) == {"pixels", "pixels_card"}
    run, start = made["pixels"], PixelSettings()
    assert set(run) == {"pixels", "logp", "labels", "settings"}
    assert run["settings"] == {key: getattr(start, key) for key in RAIL}
    written = small_digits.sample(start.n, noise=start.seed)
    np.testing.assert_array_equal(numbers(run["pixels"], "u1", start.n), written.flatten(1).numpy())  # one colour: C·H·W
    labels = torch.tensor(run["labels"])
    assert labels.shape == (start.n,)
    assert torch.equal(small_digits.sample(start.n, noise=start.seed, labels=labels), written)
    terms = in_scan_order(small_digits.log_probs(written, labels)).numpy()
    np.testing.assert_allclose(numbers(run["logp"], "<f8", start.n), terms, rtol=1e-9, atol=1e-12)
    json.dumps(made, allow_nan=False)


def test_the_cards_recording_has_every_digit(small_digits: PixelCNN) -> None:
    card = pixels.record()["pixels_card"]
    assert set(card) == {"seed", "pixels"}
    labels = torch.tensor([*range(10), 0, 1])
    expected = small_digits.sample(pixels.CARD_IMAGES, noise=card["seed"], labels=labels).flatten(1).numpy()
    np.testing.assert_array_equal(numbers(card["pixels"], "u1", len(labels)), expected)


def test_the_stored_recordings_have_the_form_that_the_stage_reads() -> None:
    run, card, start = recordings.load("pixels"), recordings.load("pixels_card"), PixelSettings()
    assert set(run) == {"pixels", "logp", "labels", "settings"}
    assert run["settings"] == {key: getattr(start, key) for key in RAIL}
    assert numbers(run["pixels"], "u1", start.n).shape == (start.n, 784)
    logp = numbers(run["logp"], "<f8", start.n)
    assert logp.shape == (start.n, 784)
    assert (logp <= 0).all()
    assert len(run["labels"]) == start.n
    assert numbers(card["pixels"], "u1", pixels.CARD_IMAGES).shape == (pixels.CARD_IMAGES, 784)


def test_the_card_on_the_index_has_its_module_and_its_run() -> None:
    card = pixels.PAGE.card()
    assert card is not None
    assert (COMPONENTS / str(card["module"])).is_file()
    spec = zoo.card(str(card["model"])).spec
    assert (card["shape"], card["levels"]) == (spec.shape, spec.levels)
    assert card["recording"] == recordings.load("pixels_card")
    assert card["caption"]
    assert card["picture_label"]


# --- Words and modules ------------------------------------------------------------------------------------------------


def test_every_model_and_view_has_words() -> None:
    assert list(WORDS["model_choices"]) == list(MODELS)
    assert set(WORDS["stage"]["views"]) == set(PixelSettings.model_fields["view"].annotation.__args__)  # type: ignore[union-attr]
    assert set(pixel_lesson.code(PixelSettings())) == set(WORDS["stage"]["views"])


def test_the_speeds_of_a_link_are_those_of_the_timeline() -> None:
    """0 stands for “at once”, which JavaScript calls Infinity."""
    source = (COMPONENTS / "pixels" / "write_view.js").read_text(encoding="utf-8")
    listed = re.search(r"const SPEEDS = \[(.*?)\];", source)
    assert listed is not None
    speeds = [0 if one == "Infinity" else int(one) for one in listed.group(1).split(", ")]
    assert set(PixelSettings.model_fields["speed"].annotation.__args__) == set(speeds)  # type: ignore[union-attr]
