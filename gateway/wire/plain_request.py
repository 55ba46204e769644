"""Requests that are one object of independent members: every operation beside conversations."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any

from gateway.wire.chat.request import NOT_FORBIDDEN, refuse_forbidden
from gateway.wire.validators import Validator, mapping, object_tree, refuse, refuse_type


def plain_request(
    fields: Mapping[str, Validator],
    required: Collection[str] = (),
    rule: Callable[[Mapping[str, Any]], None] | None = None,
) -> Validator:
    """A whole body: members pass their validators, null is the same as absent, unknown members travel on.

    required: members that must be there; their own validator says what is missing. rule: checks what lies between the
    members, once each has passed. The validator raises CallerFault 400 that names the field.
    """

    def check(path: str, body: Any) -> None:
        mapping.check(path, body)
        for name, value in body.items():
            refuse_forbidden(name)
            field = fields.get(name)
            if field is not None and value is not None:
                field.check(name, value)
        for name in required:
            if body.get(name) is None:
                fields[name].check(name, None)
        if rule is not None:
            rule(body)

    return Validator(check, {**object_tree(fields, required), **NOT_FORBIDDEN})


def _check_word(path: str, value: Any) -> None:
    if type(value) is not str or not value:
        refuse_type(path, "a word", value)
    if len(value) > 64 or not value.isprintable():
        refuse(path, "expected a word of at most 64 printable characters", code="invalid_value")


word = Validator(_check_word, {"type": "string", "minLength": 1, "maxLength": 64})
"""A word whose choice is the model's own: servers know more of them than any list here would."""


def text_up_to(most: int) -> Validator:
    """A text of at least one and at most `most` characters."""

    def check(path: str, value: Any) -> None:
        if type(value) is not str or not value:
            refuse_type(path, "a non-empty string", value)
        if len(value) > most:
            refuse(path, f"expected at most {most} characters, got {len(value)}", code="value_out_of_range")

    return Validator(check, {"type": "string", "minLength": 1, "maxLength": most})
