"""Arguments of a function call that come in pieces, as JSON text that only grows.

With `streamFunctionCallArguments` Google sends `partialArgs`: a JSON path (RFC 9535, `$.a.b[0]`) with a value or a
piece of a string each, in the order of the document (API reference, `PartialArg`). OpenAI's deltas are pieces of the
text itself, so the containers are opened and closed as the paths move on.
"""

from __future__ import annotations

import re
from typing import Any

import orjson

from gateway.api import dicts_of, nonsense

Step = str | int

_STEP = re.compile(r"\.([^.\[\]'\"]+)|\[(\d{1,6})\]|\[('(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\")\]")
_MOST_DEPTH = 64


class ArgumentWriter:
    """Writes one call's arguments. `started`: something was written."""

    def __init__(self) -> None:
        self.started = False
        self._open: list[_Container] = []
        self._string: tuple[Step, ...] | None = None  # the path of a string that is still open

    def push(self, partial: Any) -> str:
        """The text that these `partialArgs` add. Raises UpstreamFault when they make no sense."""
        return "".join(self._one(entry) for entry in dicts_of(partial))

    def end(self) -> str:
        """The text that closes everything."""
        if not self.started:
            return ""
        out = self._close_string() + "".join(reversed([container.end for container in self._open]))
        self._open = []
        return out

    def _one(self, entry: dict[str, Any]) -> str:
        path = _steps(entry.get("jsonPath"))
        out = ""
        if self._string is not None and self._string != path:
            out += self._close_string()
        text = entry.get("stringValue")
        if isinstance(text, str):
            if self._string is None:
                out += self._goto(path) + '"'
                self._string = path
            out += orjson.dumps(text).decode()[1:-1]
            return out if entry.get("willContinue") is True else out + self._close_string()
        value = self._scalar(entry)
        if value is None:
            return out + self._close_string() if entry.get("willContinue") is not True else out
        return out + self._close_string() + self._goto(path) + value

    def _scalar(self, entry: dict[str, Any]) -> str | None:
        if isinstance(entry.get("boolValue"), bool):
            return "true" if entry["boolValue"] else "false"
        if "nullValue" in entry:
            return "null"
        number = entry.get("numberValue")
        if isinstance(number, orjson.Fragment):  # a whole number beyond 64 bits, with its digits
            return orjson.dumps(number).decode()
        if isinstance(number, bool) or not isinstance(number, (int, float)):
            return None
        if isinstance(number, float) and number.is_integer() and abs(number) < 2**63:
            number = int(number)
        return orjson.dumps(number).decode()

    def _close_string(self) -> str:
        if self._string is None:
            return ""
        self._string = None
        return '"'

    def _goto(self, path: tuple[Step, ...]) -> str:
        """The text from where we are to the place of a new value: closes, opens, and the last key."""
        out: list[str] = []
        shared = 0
        while shared < min(len(self._open), len(path)) - 1 and self._open[shared].at == path[shared]:
            shared += 1
        while len(self._open) > shared + 1:
            out.append(self._open.pop().end)
        for depth in range(shared, len(path)):
            if depth == len(self._open):
                container = _Container(isinstance(path[depth], int))
                self._open.append(container)
                out.append(container.begin)
            out.append(self._open[depth].move(path[depth]))
        self.started = True
        return "".join(out)


class _Container:
    """An object or an array that is being written. `at`: the key or index of its last member."""

    def __init__(self, is_array: bool) -> None:
        self.begin, self.end = ("[", "]") if is_array else ("{", "}")
        self.at: Step | None = None
        self._is_array = is_array
        self._seen: set[Step] = set()

    def move(self, step: Step) -> str:
        """The text before the next member. Raises UpstreamFault for a member that was finished before."""
        if isinstance(step, int) != self._is_array or step in self._seen:
            raise nonsense("The provider sent the pieces of a tool call in an order that cannot be followed.")
        if self._is_array and step != len(self._seen):
            raise nonsense("The provider left out elements of an array in a tool call.")
        comma = "," if self._seen else ""
        self._seen.add(step)
        self.at = step
        return comma if self._is_array else f"{comma}{orjson.dumps(step).decode()}:"


def _steps(path: Any) -> tuple[Step, ...]:
    """`$.a.b[0]['c d']` as ("a", "b", 0, "c d"). Raises UpstreamFault for anything else."""
    if not isinstance(path, str) or not path.startswith("$") or len(path) > 10_000:
        raise nonsense("The provider sent a piece of a tool call without its place.")
    steps: list[Step] = []
    at = 1
    while at < len(path):
        found = _STEP.match(path, at)
        if found is None or len(steps) >= _MOST_DEPTH:
            raise nonsense("The provider sent a piece of a tool call with a place that cannot be read.")
        if found[1] is not None:
            steps.append(found[1])
        elif found[2] is not None:
            steps.append(int(found[2]))
        else:
            steps.append(re.sub(r"\\(.)", r"\1", found[3][1:-1]))
        at = found.end()
    if not steps:
        raise nonsense("The provider sent a piece of a tool call without its place.")
    return tuple(steps)
