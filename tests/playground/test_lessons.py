"""A lesson is a link: settings to an address and back, and what happens to values that do not fit."""

from __future__ import annotations

from urllib.parse import parse_qsl

import pytest
from hypothesis import given
from hypothesis import strategies as st

from playground.lessons import MAX_QUERY
from playground.pages.vae import VaeSettings

FITTING = st.builds(
    VaeSettings,
    data=st.sampled_from(["mnist", "fashion"]),
    latent=st.just(16),
    view=st.sampled_from(["sample", "picture", "manifold"]),
    seed=st.integers(0, 2**53),
    n=st.integers(4, 64),
    spread=st.integers(0, 60).map(lambda k: k / 20),
    show=st.sampled_from(["mean", "draw"]),
    z=st.sampled_from([0, 16]).flatmap(lambda n: st.tuples(*[st.integers(-40_000, 40_000).map(lambda k: k / 10_000)] * n)),
    holes=st.booleans(),
)


@given(FITTING)
def test_settings_survive_the_way_through_an_address(settings: VaeSettings) -> None:
    read, notices = VaeSettings.from_query(dict(parse_qsl(settings.to_query())))
    assert read == settings
    assert notices == []


def test_defaults_leave_the_address_empty() -> None:
    assert VaeSettings().to_query() == ""
    assert VaeSettings.from_query({}) == (VaeSettings(), [])


def test_an_address_is_readable() -> None:
    assert VaeSettings(data="fashion", seed=12, z=(0.5, -1.0)).to_query() == "v=1&data=fashion&seed=12&z=0.5,-1"


@pytest.mark.parametrize(
    ("key", "value", "word"),
    [
        ("seed", "minus one", "whole number"),
        ("seed", "-1", "at least 0"),
        ("n", "5000", "at most 64"),
        ("data", "imagenet", "mnist"),
        ("spread", "nan", "finite"),
        ("latent", "3", "2 or 16"),
        ("z", "1,zwei", "number"),
        ("holes", "perhaps", "1 or 0"),
        ("z", "1,2,3", "3 numbers"),
    ],
)
def test_a_bad_value_falls_back_with_a_sentence_and_loses_nothing_else(key: str, value: str, word: str) -> None:
    other = {"side": "12", "pick": "3"}
    settings, notices = VaeSettings.from_query({"v": "1", **other, key: value})
    assert getattr(settings, key) == getattr(VaeSettings(), key)
    assert (settings.side, settings.pick) == (12, 3)
    assert len(notices) == 1
    assert key in notices[0]
    assert word in notices[0]


def test_several_bad_values_get_a_sentence_each() -> None:
    settings, notices = VaeSettings.from_query({"n": "1", "seed": "x", "data": "?", "side": "8"})
    assert settings == VaeSettings(side=8)
    assert len(notices) == 3


def test_an_unknown_key_is_named_and_gradios_own_is_not() -> None:
    settings, notices = VaeSettings.from_query({"colour": "red", "__theme": "dark"})
    assert settings == VaeSettings()
    assert len(notices) == 1
    assert "colour" in notices[0]


def test_a_long_link_opens_with_the_defaults() -> None:
    settings, notices = VaeSettings.from_query({"seed": "3", "z": "0," * MAX_QUERY})
    assert settings == VaeSettings()
    assert str(f"{MAX_QUERY:,}") in notices[0]


def test_a_link_of_another_version_says_so() -> None:
    settings, notices = VaeSettings.from_query({"v": "7", "seed": "3"})
    assert settings.seed == 3
    assert "version" in notices[0]


@given(st.dictionaries(st.text(max_size=12), st.text(max_size=30), max_size=6))
def test_no_address_breaks_the_page(query: dict[str, str]) -> None:
    settings, _ = VaeSettings.from_query(query)
    assert isinstance(settings, VaeSettings)


def test_every_settings_address_is_short() -> None:
    longest = VaeSettings(
        data="fashion",
        latent=16,
        view="manifold",
        seed=2**53,
        n=64,
        spread=2.95,
        show="draw",
        pick=63,
        z=(-3.1415,) * 16,
        holes=True,
        roll=9_999,
        side=24,
        across=14,
        down=15,
    )
    assert len(longest.to_query()) <= MAX_QUERY


@pytest.mark.parametrize(
    ("key", "typed", "used"),
    [
        ("n", 999, 64),
        ("n", -3, 4),
        ("spread", 17.5, 3),
        ("seed", -1, 0),
        ("seed", 2**60, 2**53),
        ("seed", None, 7),
        ("seed", 1.5, 7),
        ("data", "cats", "mnist"),
        ("latent", "many", 2),
        ("show", [], "mean"),
    ],
)
def test_what_was_typed_becomes_the_nearest_that_fits_with_a_sentence(key: str, typed: object, used: object) -> None:
    settings, notices = VaeSettings.nearest({"seed": 7, "n": 8, key: typed})
    assert getattr(settings, key) == used
    assert len(notices) == 1
    assert key in notices[0]
    assert settings.n == (8 if key != "n" else used)


def test_what_fits_is_left_alone() -> None:
    assert VaeSettings.nearest({"seed": 9, "spread": 1}) == (VaeSettings(seed=9), [])


def test_every_setting_may_be_wrong_at_once() -> None:
    wrong = dict.fromkeys(VaeSettings.model_fields, object())
    settings, notices = VaeSettings.nearest(wrong)
    assert settings == VaeSettings()
    assert len(notices) == len(wrong)
