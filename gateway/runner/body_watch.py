"""Notices whether somebody changed the body of a call: a form that was made of another must not go out."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from gateway.call import Call, Form


class BodyWatch:
    """Notices whether anybody changes the body of a call that has other forms than the hub's. One for all dialects:
    a form that was made of the body as it was must not go out when the body is another."""

    __slots__ = ("_body", "_call", "_copy")

    def __init__(self, call: Call) -> None:
        self._call = call
        self._body = call.body if call.forms else None
        # Containers are copied, texts are shared: cheap also for a body full of images.
        self._copy = _copied(self._body)

    def settle(self) -> None:
        """Make every form void that does not say what `call.body` says now."""
        call = self._call
        if self._body is None or not call.forms or _equal(call.body, self._copy):
            return
        chat = call.forms.get("chat")
        call.forms = {"chat": Form(call.body) if chat is None else replace(chat, body=call.body)}


def _copied(value: Any) -> Any:
    if type(value) is dict:
        return {key: _copied(inner) if type(inner) in (dict, list) else inner for key, inner in value.items()}
    if type(value) is list:
        return [_copied(inner) if type(inner) in (dict, list) else inner for inner in value]
    return value


def _equal(value: Any, copy: Any) -> bool:
    """Whether both say the same in JSON: unlike `==`, 1, 1.0 and true are three things."""
    kind = type(value)
    if kind is not type(copy):
        return False
    if kind is dict:
        return value.keys() == copy.keys() and all(_equal(inner, copy[key]) for key, inner in value.items())
    if kind is list:
        return len(value) == len(copy) and all(map(_equal, value, copy))
    return value is copy or bool(value == copy)
