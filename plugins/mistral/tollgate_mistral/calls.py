"""Tool calls of an answer, in OpenAI's form: ids, types and arguments as text, and indexes that tell them apart.

Mistral leaves out `type`, sends calls whole or in pieces, with the name empty in later pieces, and without an id as
the text "null" (its SDK's default); parallel calls were seen with the same index.
"""

from __future__ import annotations

from typing import Any

from gateway.api import dump

from .draft import short_id

_NO_ID = ("", "null")


def whole_calls(calls: Any, seed: str) -> list[dict[str, Any]]:
    """The calls of a whole answer; `seed` makes ids for calls without one."""
    found = [call for call in calls if isinstance(call, dict)] if isinstance(calls, list) else []
    return [_first(call, f"{seed}:{at}") for at, call in enumerate(found)]


class Calls:
    """The calls of one streamed choice: gives every piece the right index, and nothing twice."""

    def __init__(self) -> None:
        self._ids: list[str] = []
        self._names: list[str] = []
        self._said: list[bool] = []  # whether there were arguments
        self._place: dict[int, int] = {}

    def translate(self, calls: Any, seed: str) -> list[dict[str, Any]]:
        """The pieces of one delta."""
        found = [call for call in calls if isinstance(call, dict)] if isinstance(calls, list) else []
        return [piece for call in found if (piece := self._piece(call, seed)) is not None]

    def _piece(self, call: dict[str, Any], seed: str) -> dict[str, Any] | None:
        index, identity, function = call.get("index"), _id(call), call.get("function")
        function = function if isinstance(function, dict) else {}
        name, said = _name(function), bool(_arguments(function.get("arguments")))
        place = self._place.get(index) if type(index) is int else None
        if place is None and self._ids and (type(index) is not int or not (name or identity)):
            # A server without indexes, or one that counts the pieces.
            place = len(self._ids) - 1 if not name or identity == self._ids[-1] else None
        if place is not None and not self._begins(place, identity, name):
            piece = _later(call, place, named=bool(self._names[place]))
            self._names[place] = self._names[place] or name
            self._said[place] = self._said[place] or said
            return piece
        if not (identity or name or said):
            return None  # a call of nothing
        place = len(self._ids)
        if type(index) is int:
            self._place[index] = place
        piece = _first(call, f"{seed}:{place}")
        piece["index"] = place
        self._ids.append(piece["id"])
        self._names.append(name)
        self._said.append(said)
        return piece

    def _begins(self, place: int, identity: str, name: str) -> bool:
        """Whether a piece with the index of a call begins another one."""
        if not name:
            return False
        if identity:
            return identity != self._ids[place]
        return self._said[place] and name != self._names[place]


def _id(call: dict[str, Any]) -> str:
    identity = call.get("id")
    return identity if isinstance(identity, str) and identity not in _NO_ID else ""


def _first(call: dict[str, Any], seed: str) -> dict[str, Any]:
    """A call, or its first piece, with everything that a client needs."""
    kind, function = call.get("type"), call.get("function")
    function = dict(function) if isinstance(function, dict) else {}
    function["name"] = _name(function)
    function["arguments"] = _arguments(function.get("arguments"))
    kind = kind if isinstance(kind, str) and kind else "function"
    return {**call, "id": _id(call) or short_id(seed), "type": kind, "function": function}


def _name(function: dict[str, Any]) -> str:
    name = function.get("name")
    return name if isinstance(name, str) else ""


def _later(call: dict[str, Any], place: int, *, named: bool) -> dict[str, Any]:
    """A later piece: clients add texts up, so what was said before must not come again. named: the name was said."""
    function = call.get("function")
    inner = dict(function) if isinstance(function, dict) else {}
    if named or not _name(inner):
        inner.pop("name", None)
    inner["arguments"] = _arguments(inner.get("arguments"))
    rest = {key: value for key, value in call.items() if key not in ("id", "type", "function")}
    return {**rest, "index": place, "function": inner}


def _arguments(value: Any) -> str:
    if isinstance(value, str):
        return value
    return "" if value is None else dump(value)
