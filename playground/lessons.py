"""A lesson is a link.

A page's settings are one frozen pydantic model. The address holds those that differ from the page's defaults, under readable
keys: `/vae?v=1&data=fashion&seed=12`. A value that does not fit falls back to the default, with a sentence that says so, and
nothing else in the link is lost.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Self
from urllib.parse import urlencode

from pydantic import BaseModel, ConfigDict, ValidationError

VERSION = 1  # of the links' format
MAX_QUERY = 2_000  # characters
MAX_SHOWN = 40  # characters of a bad value that are repeated in its sentence


class Settings(BaseModel):
    """The base of every page's settings: numbers, words and short tuples of numbers (written with commas)."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    @classmethod
    def from_query(cls, query: Mapping[str, str]) -> tuple[Self, list[str]]:
        """The settings in a link, and a sentence for each value that did not fit."""
        notices: list[str] = []
        if sum(len(k) + len(v) + 2 for k, v in query.items()) > MAX_QUERY:
            return cls(), [f"This link is longer than {MAX_QUERY:,} characters: the page opens with its defaults."]
        version = query.get("v", str(VERSION))
        if version != str(VERSION):
            notices.append(f"This link is of version {_short(version)}, this page of {VERSION}: what it still knows is used.")
        known = {key: value for key, value in query.items() if key in cls.model_fields}
        for key in query:
            if key not in known and key != "v" and not key.startswith("__"):
                notices.append(f"This page has no setting “{_short(key)}”: it was left out.")
        values = {key: cls._parse(key, text) for key, text in known.items()}
        try:
            return cls.model_validate(values), notices
        except ValidationError as error:
            wrong = {str(one["loc"][0]): one for one in error.errors() if one["loc"]}
            for key, one in wrong.items():
                default = cls.model_fields[key].get_default(call_default_factory=True)
                notices.append(f"{key} = {_short(known[key])} does not fit ({_reason(one)}): {_text(default)} is used instead.")
            return cls.model_validate({k: v for k, v in values.items() if k not in wrong}), notices

    @classmethod
    def nearest(cls, values: Mapping[str, Any]) -> tuple[Self, list[str]]:
        """The settings nearest to what a person typed: numbers beyond a limit are that limit, what makes no sense is the
        default; with a sentence for each.
        """
        values = dict(values)
        notices: list[str] = []
        for _ in values:
            try:
                return cls.model_validate(values), notices
            except ValidationError as error:
                one = error.errors()[0]
                key, context = str(one["loc"][0]), one.get("ctx") or {}
                instead = context.get("ge", context.get("le", cls.model_fields_default(key)))
                notices.append(f"{key} = {_short(str(values[key]))} does not fit ({_reason(one)}): {_text(instead)} is used.")
                values[key] = instead
        return cls.model_validate(values), notices

    def to_query(self) -> str:
        """`v=1&key=value…` of what differs from the defaults; "" if nothing does."""
        differs = {key: value for key, value in self if value != self.model_fields_default(key)}
        changed = {key: "" if value == "" else _text(value) for key, value in differs.items()}  # a sentence says "nothing"
        return urlencode({"v": VERSION, **changed}, safe=",") if changed else ""

    @classmethod
    def model_fields_default(cls, key: str) -> Any:
        return cls.model_fields[key].get_default(call_default_factory=True)

    @classmethod
    def defaults(cls) -> dict[str, Any]:
        """JSON of the defaults: what the browser needs to write the address."""
        return cls().model_dump(mode="json")

    @classmethod
    def _parse(cls, key: str, text: str) -> Any:
        """Text to what pydantic can read: tuples are written with commas, and choices among numbers want a number."""
        default = cls.model_fields_default(key)
        if isinstance(default, tuple):
            return [part for part in text.split(",") if part]
        if isinstance(default, int) and not isinstance(default, bool) and re.fullmatch(r"[+-]?\d{1,20}", text, re.ASCII):
            return int(text)
        return text


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "1" if value else "0"
    if isinstance(value, tuple):
        return ",".join(_text(one) for one in value) or "none"
    if isinstance(value, float):
        return f"{value:.6g}"
    return str(value) or "nothing"


def _short(text: str) -> str:
    if text in ("", "None"):
        return "“”"
    return f"“{text[:MAX_SHOWN]}…”" if len(text) > MAX_SHOWN else f"“{text}”"


def _reason(error: Any) -> str:
    """What pydantic found wrong, in words for people."""
    context = error.get("ctx") or {}
    reasons = {
        "int_parsing": "it is not a whole number",
        "int_from_float": "it is not a whole number",
        "int_type": "it is not a whole number",
        "float_parsing": "it is not a number",
        "float_type": "it is not a number",
        "finite_number": "it is not a finite number",
        "bool_parsing": "it is 1 or 0",
        "literal_error": f"it is {context.get('expected')}",
        "greater_than_equal": f"it is at least {context.get('ge')}",
        "less_than_equal": f"it is at most {context.get('le')}",
        "less_than": f"it is below {context.get('lt')}",
        "greater_than": f"it is above {context.get('gt')}",
        "string_pattern_mismatch": "it is not in the form that this page writes",
        "string_too_long": f"it has at most {context.get('max_length')} characters",
        "too_short": "nothing stands there",
        "too_long": f"it has at most {context.get('max_length')} parts",
        "int_parsing_size": "it is too large",
    }
    return reasons.get(error["type"]) or str(error["msg"]).removeprefix("Input should be ").removeprefix("Value error, ")
