"""Reading the small JSON bodies and queries of the account and admin APIs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from gateway.errors import CallerFault
from gateway.wire.json_schema import Tree
from gateway.wire.validators import Validator, refuse

_LONGEST_NUMBER = 20
"""Digits. Python refuses to read thousands of them, and the database numbers beyond 64 bits."""


class Form:
    """A small body with known members only: what an administrator writes must not be ignored in silence.

    Null is a value only where the member's validator takes it. members: their validators, by name.
    """

    def __init__(self, members: Mapping[str, Validator], *, required: tuple[str, ...] = ()) -> None:
        self.members = members
        self._required = required

    @property
    def tree(self) -> Tree:
        """The body's schema."""
        properties = {name: member.tree for name, member in self.members.items()}
        needed = {"required": list(self._required)} if self._required else {}
        return {"type": "object", "properties": properties, **needed, "additionalProperties": False}

    @property
    def names(self) -> tuple[str, ...]:
        """The members' names."""
        return tuple(self.members)

    def read(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """The members of `body`, each checked. Raises CallerFault 400 that names the member, also for unknown and
        missing ones."""
        for name in body:
            if name not in self.members:
                refuse(name, f"unknown member; known are {', '.join(self.members)}")
        for name in self._required:
            if name not in body:
                refuse(name, "is missing", code="missing_required_parameter")
        for name, value in body.items():
            self.members[name].check(name, value)
        return dict(body)


def _check_strings(path: str, value: Any) -> None:
    if not isinstance(value, list) or not all(isinstance(item, str) and item for item in value):
        refuse(path, "expected an array of non-empty strings", code="invalid_type")


strings = Validator(_check_strings, {"type": "array", "items": {"type": "string", "minLength": 1}})
"""An array of non-empty strings."""


def check_parameters(query: Iterable[str], known: Sequence[str]) -> None:
    """Raises CallerFault 400 that names a parameter of a query that is not known."""
    for name in query:
        if name not in known:
            raise CallerFault(f"{name}: unknown parameter; known are {', '.join(known)}.", param=name)


def page_number(query: Mapping[str, str], name: str, default: int, most: int) -> int:
    """A whole number from 0 to `most` out of a query. Raises CallerFault 400 that names it."""
    text = query.get(name)
    if text is None:
        return default
    if not (text.isascii() and text.isdigit() and len(text) <= _LONGEST_NUMBER and int(text) <= most):
        raise CallerFault(f"{name}: expected a whole number from 0 to {most}, got {text[:40]!r}.", param=name)
    return int(text)
