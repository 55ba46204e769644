"""Moderations: the request of OpenAI's `POST /moderations` (API reference) checked, and its input measured."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gateway.wire.json_schema import alternatives
from gateway.wire.lenient import dict_of, text_of
from gateway.wire.plain_request import plain_request
from gateway.wire.tokens import text_bytes
from gateway.wire.validators import Validator, filled_string, refuse, refuse_type

MOST_INPUTS = 2048
_PICTURE_TOKENS = 8_192
_PART = {"type": "object", "properties": {"type": filled_string.tree}, "required": ["type"]}


def _check_input(path: str, given: Any) -> None:
    if isinstance(given, str):
        return
    if not isinstance(given, list):
        refuse_type(path, "a string, an array of strings, or an array of parts", given)
    if not 0 < len(given) <= MOST_INPUTS:
        refuse(path, f"expected from 1 to {MOST_INPUTS} inputs, got {len(given)}")
    for index, item in enumerate(given):
        if isinstance(item, dict):
            filled_string.check(f"{path}[{index}].type", item.get("type"))
        elif not isinstance(item, str):
            refuse_type(f"{path}[{index}]", "a string or a part", item)


_INPUT = alternatives(
    {"type": "string"},
    {
        "type": "array",
        "items": alternatives({"type": "string"}, _PART),
        "minItems": 1,
        "maxItems": MOST_INPUTS,
    },
)
MODERATION_REQUEST = plain_request(
    {
        "input": Validator(_check_input, _INPUT).about("A text, texts, or parts (`text`, `image_url`)."),
        "model": filled_string.about("A model that moderates; without it the first of the list that does."),
    },
    ("input",),
)
"""A whole request. Raises CallerFault 400 that names the field."""


def moderation_texts(body: Mapping[str, Any]) -> list[str]:
    """The texts of a request, in order; those of parts are one."""
    given = body.get("input")
    if isinstance(given, str):
        return [given]
    listed = given if isinstance(given, list) else []
    if any(isinstance(item, dict) for item in listed):
        return ["\n".join(_text(item) for item in listed)]
    return [text_of(item) for item in listed]


def _text(item: Any) -> str:
    return item if isinstance(item, str) else text_of(dict_of(item).get("text"))


def _may_show(item: Any) -> bool:
    """Whether this may be a picture, whatever text stands beside it."""
    return not _text(item) or (isinstance(item, dict) and item.get("type") != "text")


def moderation_input_tokens(body: Mapping[str, Any]) -> int:
    """An upper bound of the input in tokens: a token has at least one byte of text."""
    given = body.get("input")
    pictures = sum(map(_may_show, given)) if isinstance(given, list) else 0
    return sum(text_bytes(text) + 8 for text in moderation_texts(body)) + pictures * _PICTURE_TOKENS


def estimate_moderation_input(body: Mapping[str, Any]) -> int:
    """The expected input in tokens, for a bill when no usage came."""
    return -(-moderation_input_tokens(body) // 4)
