"""The rail beside a stage: Gradio's controls hold some of a page's settings, and what they say goes to the stage.

Every page's rail behaves alike: a value that does not fit gets a sentence and the nearest that does; the link's settings fill
the controls when the page opens; "Same seed" repeats, "New seed" rolls, "Reset" restores. The stage is told by a dictionary
whose `settings` are the rail's, or all of them (`whole`), when a link or a reset sets everything.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from typing import Any

import gradio as gr

from playground.lessons import Settings

NEW_SEEDS = 10_000  # short enough to read aloud


def told(
    settings: Settings,
    keys: tuple[str, ...],
    *,
    whole: bool = False,
    notices: list[str] | None = None,
    again: bool = False,
    rolled: bool = False,
    opened: bool = False,
) -> dict[str, Any]:
    """What the stage is told: all settings (`whole`), or those of the rail; `opened`: what the page's link said. The nonce
    makes equal messages differ.
    """
    said = settings.model_dump(mode="json")
    return {
        "settings": said if whole else {key: said[key] for key in keys},
        "whole": whole,
        "notices": notices or [],
        "again": again,
        "rolled": rolled,
        "opened": opened,
        "nonce": secrets.token_hex(4),
    }


def wire(
    demo: gr.Blocks,
    start: Settings,
    controls: dict[str, Any],
    stage: gr.HTML,
    *,
    same: gr.Button,
    new: gr.Button,
    reset: gr.Button,
    name: str,
    more: Callable[[Any], dict[str, Any]] = lambda _: {},
    both_ways: bool = False,
    form: Callable[[Any], dict[str, dict[str, Any]]] = lambda _: {},
) -> None:
    """Binds the controls, by the name of their setting (one of them is `seed`). `more` adds to what the stage is told.

    `form` says, by the name of their setting, how controls look with these settings: other choices, hidden or not.

    `both_ways`: the stage triggers `input` with the rail's settings where something on it (a dragged mean, say) changes them.
    """
    schema, keys, parts = type(start), tuple(controls), list(controls.values())
    # Values come as they are (preprocess=False): what does not fit gets our sentence, not Gradio's error.
    quick: dict[str, Any] = {"queue": False, "show_progress": "hidden", "preprocess": False}

    def message(settings: Settings, **options: Any) -> dict[str, Any]:
        return told(settings, keys, **options) | more(settings)

    def rail(settings: Settings) -> list[Any]:
        looks = form(settings)
        return [
            gr.update(**({"value": getattr(settings, key)} | looks[key])) if key in looks else getattr(settings, key)
            for key in keys
        ]

    def nearest(values: tuple[Any, ...]) -> tuple[Any, list[str]]:
        return schema.nearest(dict(zip(keys, values, strict=True)))

    def changed(*values: Any) -> list[Any]:
        """A control that holds what does not fit is set to what is used; the others are left alone, under a moving hand."""
        settings, notices = nearest(values)
        said = [gr.skip() if now == then else now for now, then in zip(rail(settings), values, strict=True)]
        return [*said, message(settings, notices=notices)]

    def repeated(*values: Any) -> dict[str, Any]:
        settings, notices = nearest(values)
        return message(settings, notices=notices, again=True)

    def rolled(*values: Any) -> list[Any]:
        settings, notices = nearest(values)
        settings = settings.model_copy(update={"seed": secrets.randbelow(NEW_SEEDS)})
        return [settings.seed, message(settings, notices=notices, rolled=True)]

    def opened(request: gr.Request) -> list[Any]:
        settings, notices = schema.from_query(dict(request.query_params))
        return [*rail(settings), message(settings, whole=True, opened=True, notices=notices)]

    def restored() -> list[Any]:
        return [*rail(start), message(start, whole=True)]

    def followed(event: gr.EventData) -> list[Any]:
        """What the stage says now stands in the controls; nothing goes back to the stage."""
        settings, _ = schema.nearest({key: value for key, value in event._data.items() if key in keys})
        return rail(settings)

    listeners: list[Any] = []
    for part in parts:  # a number typed counts when it is entered, or left
        listeners += [part.submit, part.blur] if isinstance(part, gr.Number) else [part.input]
    gr.on(listeners, changed, parts, [*parts, stage], trigger_mode="always_last", api_name=f"{name}_settings", **quick)
    same.click(repeated, parts, stage, api_visibility="private", **quick)
    new.click(rolled, parts, [controls["seed"], stage], api_visibility="private", **quick)
    reset.click(restored, None, [*parts, stage], api_visibility="private", **quick)
    if both_ways:
        stage.input(followed, None, parts, api_visibility="private", **quick)
    demo.load(opened, None, [*parts, stage], api_visibility="private", **quick)
