"""The page "Clouds" as Gradio builds it: what its rail holds, and what passes between the rail and the stage."""

from __future__ import annotations

import json
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gradio as gr
import pytest

from models.data import clouds as presets
from playground import cloud_lesson, text
from playground.cloud_lesson import CloudSettings
from playground.inference import Inference
from playground.lessons import Settings
from playground.pages import clouds, rail


@pytest.fixture(scope="module")
def demo() -> gr.Blocks:
    with gr.Blocks() as built:
        clouds.PAGE.build(built, Inference())
    return built


@pytest.fixture(scope="module")
def events(demo: gr.Blocks) -> dict[str, Any]:
    """The rail's events by the name of their function."""
    return {event.fn.__name__: event for event in demo.fns.values()}


def by_id(demo: gr.Blocks) -> dict[str, Any]:
    return {block.elem_id: block for block in demo.blocks.values() if getattr(block, "elem_id", None)}


def given(**changes: Any) -> list[Any]:
    """The rail's values, in its order."""
    start = CloudSettings(**changes)
    return [getattr(start, key) for key in clouds.RAIL]


def skipped(value: Any) -> bool:
    return isinstance(value, dict) and value.get("__type__") == "update" and "value" not in value


# --- What stands there --------------------------------------------------------------------------------------------------


def test_every_control_of_the_rail_holds_the_setting_of_its_name(demo: gr.Blocks) -> None:
    blocks = by_id(demo)
    for key in clouds.RAIL:
        assert blocks[key].value == getattr(CloudSettings(), key), key
        assert blocks[key].label


def test_the_choices_are_those_that_a_link_may_name(demo: gr.Blocks) -> None:
    blocks = by_id(demo)
    for key in ("data", "how", "covariance", "assignment", "weights", "axes"):
        for _, choice in blocks[key].choices:
            assert getattr(CloudSettings.nearest({key: choice})[0], key) == choice
        labels = [label for label, _ in blocks[key].choices]
        assert len(set(labels)) == len(labels)
    assert {choice for _, choice in blocks["data"].choices} == {*presets.PRESETS, cloud_lesson.OWN}
    for key, wrong in (("how", "well"), ("covariance", "oval"), ("data", "cats")):
        assert CloudSettings.nearest({key: wrong})[1]


def test_the_sliders_end_where_the_settings_do(demo: gr.Blocks) -> None:
    blocks = by_id(demo)
    for key in ("k", "n", "steps"):
        assert CloudSettings.nearest({key: blocks[key].maximum}) == (CloudSettings(**{key: blocks[key].maximum}), [])
        assert CloudSettings.nearest({key: blocks[key].maximum + 1})[1]
        assert CloudSettings.nearest({key: blocks[key].minimum})[1] == []


def test_the_stage_is_told_what_it_needs_as_json(demo: gr.Blocks) -> None:
    stage = by_id(demo)["clouds-stage"]
    told = stage.value
    assert told["whole"]
    assert told["settings"] == CloudSettings.defaults()
    json.dumps(told, allow_nan=False)
    assert set(clouds.RAIL) <= set(told["settings"])


def test_the_rail_is_bound_by_six_events(events: dict[str, Any]) -> None:
    assert set(events) == {"changed", "repeated", "rolled", "restored", "followed", "opened"}
    assert events["changed"].api_name == "clouds_settings"
    assert len(events["changed"].inputs) == len(clouds.RAIL)
    assert len(events["changed"].outputs) == len(clouds.RAIL) + 1
    for event in events.values():
        assert not event.queue
        assert not event.preprocess


def test_each_control_is_listened_to_as_its_kind_asks(demo: gr.Blocks, events: dict[str, Any]) -> None:
    heard = set(events["changed"].targets)
    blocks = by_id(demo)
    for key in clouds.RAIL:
        kinds = {kind for block, kind in heard if block == blocks[key]._id}
        assert kinds == ({"submit", "blur"} if isinstance(blocks[key], gr.Number) else {"input"}), key


def test_what_the_stage_says_reaches_the_rail_and_nothing_goes_back(demo: gr.Blocks, events: dict[str, Any]) -> None:
    blocks = by_id(demo)
    followed = events["followed"]
    assert followed.targets == [(blocks["clouds-stage"]._id, "input")]
    assert blocks["clouds-stage"] not in followed.outputs
    assert [block.elem_id for block in followed.outputs] == list(clouds.RAIL)


# --- What passes ---------------------------------------------------------------------------------------------------------


def test_a_value_that_fits_goes_to_the_stage_and_leaves_the_controls_alone(events: dict[str, Any]) -> None:
    *controls, told = events["changed"].fn(*given(k=5, data="moons"))
    assert all(map(skipped, controls))
    assert told["settings"] == {key: getattr(CloudSettings(k=5, data="moons"), key) for key in clouds.RAIL}
    assert (told["whole"], told["again"], told["rolled"], told["notices"]) == (False, False, False, [])


def test_a_value_that_does_not_fit_is_set_with_a_sentence(events: dict[str, Any]) -> None:
    values = given()
    values[clouds.RAIL.index("k")] = 99
    values[clouds.RAIL.index("tol")] = None
    *controls, told = events["changed"].fn(*values)
    assert controls[clouds.RAIL.index("k")] == 10
    assert controls[clouds.RAIL.index("tol")] == CloudSettings().tol
    assert sum(map(skipped, controls)) == len(clouds.RAIL) - 2
    assert len(told["notices"]) == 2
    assert told["settings"]["k"] == 10


def test_the_same_seed_repeats_and_a_new_one_rolls(events: dict[str, Any]) -> None:
    again = events["repeated"].fn(*given(seed=12))
    assert (again["settings"]["seed"], again["again"], again["rolled"]) == (12, True, False)
    rolls = [events["rolled"].fn(*given(seed=12)) for _ in range(8)]
    assert len({seed for seed, _ in rolls}) > 1
    for seed, told in rolls:
        assert 0 <= seed < rail.NEW_SEEDS
        assert (told["settings"]["seed"], told["rolled"]) == (seed, True)


def test_equal_messages_differ_so_that_the_stage_hears_both(events: dict[str, Any]) -> None:
    assert events["repeated"].fn(*given())["nonce"] != events["repeated"].fn(*given())["nonce"]


def test_a_link_fills_the_rail_and_the_stage(events: dict[str, Any]) -> None:
    request = SimpleNamespace(query_params={"v": "1", "k": "4", "models": "kde", "mu": "0.5", "n": "many"})
    *controls, told = events["opened"].fn(request)
    assert controls[clouds.RAIL.index("k")] == 4
    assert told["whole"]
    assert told["settings"]["models"] == ["kde"]
    assert told["settings"]["mu"] == 0.5
    assert len(told["notices"]) == 1
    assert "n = " in told["notices"][0]


def test_reset_restores_everything(events: dict[str, Any]) -> None:
    *controls, told = events["restored"].fn()
    assert controls == given()
    assert told["whole"]
    assert told["settings"] == CloudSettings.defaults()


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ({"k": 4, "how": "own"}, {"k": 4, "how": "own"}),
        ({"k": 4, "models": ["kde"], "nobody": 1}, {"k": 4}),  # what is not of the rail is left out
        ({"k": 400, "how": "well"}, {"k": 10}),
        ({}, {}),
    ],
)
def test_what_the_stage_says_stands_in_the_controls(events: dict[str, Any], said: dict, shown: dict) -> None:
    assert events["followed"].fn(SimpleNamespace(_data=said)) == given(**shown)


# --- The rail, for any page ---------------------------------------------------------------------------------------------


class Small(Settings):
    seed: int = 3
    size: int = 5
    hidden: str = "x"


def small(**options: Any) -> dict[str, Any]:
    """The events of a rail of two controls."""
    with gr.Blocks() as demo:
        stage = gr.HTML()
        controls = {"seed": gr.Number(value=3), "size": gr.Slider(1, 9, value=5)}
        same, new, reset = gr.Button(), gr.Button(), gr.Button()
        rail.wire(demo, Small(), controls, stage, same=same, new=new, reset=reset, name="small", **options)
    return {event.fn.__name__: event.fn for event in demo.fns.values()}


def test_a_one_way_rail_does_not_listen_to_its_stage() -> None:
    assert "followed" not in small()
    assert "followed" in small(both_ways=True)


def test_a_page_may_tell_its_stage_more() -> None:
    events = small(more=lambda settings: {"code": f"size {settings.size}"})
    assert events["changed"](3, 8)[-1]["code"] == "size 8"
    assert events["restored"]()[-1]["code"] == "size 5"


def test_the_stage_is_told_the_rails_settings_or_all() -> None:
    assert rail.told(Small(), ("seed",))["settings"] == {"seed": 3}
    assert rail.told(Small(), ("seed",), whole=True)["settings"] == {"seed": 3, "size": 5, "hidden": "x"}
    assert rail.told(Small(), (), notices=["So."])["notices"] == ["So."]


# --- Words and modules ----------------------------------------------------------------------------------------------------


def test_every_preset_and_start_has_words() -> None:
    words = text.page("clouds")
    assert set(words["data_choices"]) == {*presets.PRESETS, cloud_lesson.OWN}
    for key, field in (("how_choices", "how"), ("covariance_choices", "covariance")):
        assert set(words[key]) == set(CloudSettings.model_fields[field].annotation.__args__)
    assert set(words["stage"]["models"]) == set(cloud_lesson.Model.__args__)


def test_the_settings_of_a_run_are_the_same_on_both_sides() -> None:
    """The stage asks anew when one of them changes; a forgotten one would show a stale run."""
    folder = Path(clouds.__file__).parents[1] / "components" / "clouds"
    listed = re.search(r"const OF_RUN = \[(.*?)\];", (folder / "clouds.js").read_text(encoding="utf-8"), re.S)
    assert listed is not None
    assert set(re.findall(r'"(\w+)"', listed.group(1))) == {*cloud_lesson.OF_RUN, "models"}


def test_the_card_on_the_index_has_its_module_and_its_run() -> None:
    card = clouds.PAGE.card()
    assert card is not None
    assert (Path(clouds.__file__).parents[1] / "components" / str(card["module"])).is_file()
    assert set(card["recording"]) == {"settings", "cloud", "runs"}
