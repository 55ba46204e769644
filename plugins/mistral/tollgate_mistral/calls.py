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
        self._place: dict[int, int] = {}

    def translate(self, calls: Any, seed: str) -> list[dict[str, Any]]:
        """The pieces of one delta."""
        found = [call for call in calls if isinstance(call, dict)] if isinstance(calls, list) else []
        return [self._piece(call, seed) for call in found]

    def _piece(self, call: dict[str, Any], seed: str) -> dict[str, Any]:
        index = call.get("index")
        identity, function = _id(call), call.get("function")
        named = isinstance(function, dict) and bool(function.get("name"))
        if type(index) is int:
            place = self._place.get(index)
        else:
            index = -1
            place = len(self._ids) - 1 if self._ids and not (named and identity != self._ids[-1]) else None
        if place is not None and not (named and identity and identity != self._ids[place]):
            return _later(call, place)
        place = self._place[index] = len(self._ids)
        piece = _first(call, f"{seed}:{place}")
        piece["index"] = place
        self._ids.append(piece["id"])
        return piece


def _id(call: dict[str, Any]) -> str:
    identity = call.get("id")
    return identity if isinstance(identity, str) and identity not in _NO_ID else ""


def _first(call: dict[str, Any], seed: str) -> dict[str, Any]:
    """A call, or its first piece, with everything that a client needs."""
    kind, function = call.get("type"), call.get("function")
    function = dict(function) if isinstance(function, dict) else {}
    name = function.get("name")
    function["name"] = name if isinstance(name, str) else ""
    function["arguments"] = _arguments(function.get("arguments"))
    kind = kind if isinstance(kind, str) and kind else "function"
    return {**call, "id": _id(call) or short_id(seed), "type": kind, "function": function}


def _later(call: dict[str, Any], place: int) -> dict[str, Any]:
    """A later piece: clients add texts up, so what was said before must not come again."""
    function = call.get("function")
    inner = {key: value for key, value in function.items() if key != "name"} if isinstance(function, dict) else {}
    inner["arguments"] = _arguments(inner.get("arguments"))
    rest = {key: value for key, value in call.items() if key not in ("id", "type", "function")}
    return {**rest, "index": place, "function": inner}


def _arguments(value: Any) -> str:
    if isinstance(value, str):
        return value
    return "" if value is None else dump(value)
