"""Events of another dialect that say a text and nothing else, retold as chat chunks without being parsed.

Nearly every event of a stream differs from the one before it in its text only, in every dialect. Once one was parsed
and translated, the bytes around its text are known by heart (`TextPattern`), and so are those around the same text in
the chunk that came of it. Whatever does not fit has to be parsed.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import orjson

from gateway.wire.text_pattern import TextPattern

Hear = Callable[[str], object]
"""Told a text that was retold."""

_MARK = "\uf8ff retold \uf8ff"
_MARKED = orjson.dumps(_MARK)[1:-1]


class Retold(NamedTuple):
    """How events of one kind are retold. head, tail: what stands before and after the text in the data of an event.
    spaced: there may be spaces in the tail (`Surroundings`). before, after: what stands around the text in the chunk.
    hear: told each text."""

    head: bytes
    tail: bytes
    spaced: bool
    before: bytes
    after: bytes
    hear: Hear


class Retelling:
    """The events of one stream.

    way: how the next event is retold, if it is like those before; None while that is not known.

    member: finds candidates for the text, its inside as group 1 (`text_member`). size: of the text of a parsed event in
    bytes, -1 when there is more in it. hearer: who is told the texts of events like this one, which was just
    translated; None when there is more in it, or its text was changed on the way. Events that were not retold must all
    be shown (`learn`), because they may change what the next one means.
    """

    __slots__ = ("_hearer", "_pattern", "way")

    def __init__(
        self,
        member: re.Pattern[bytes],
        size: Callable[[dict[str, Any]], int],
        hearer: Callable[[dict[str, Any]], Hear | None],
    ) -> None:
        self._pattern = TextPattern(member, size)
        self._hearer = hearer
        self.way: Retold | None = None

    def retell(self, payload: bytes) -> bytes | None:
        """The chunk for the data of one event; None when it has to be parsed."""
        way = self.way
        if way is None:
            return None
        pattern = self._pattern
        if pattern.match(payload) <= 0:
            return None
        text = pattern.text
        said = text.decode()
        way.hear(said)
        return way.before + (orjson.dumps(said)[1:-1] if pattern.escaped else text) + way.after

    def learn(self, payload: bytes, event: dict[str, Any], made: Sequence[object]) -> None:
        """Look at an event that was parsed. made: what came of it."""
        pattern = self._pattern
        hear = self._hearer(event) if len(made) == 1 else None
        if hear is None:
            pattern.pause()
            self.way = None
            return
        if self.way is not None and pattern.stands_in(payload):
            return  # only its text was odd
        self.way = None
        if not pattern.resume(payload):
            pattern.learn(payload)
        around, chunk = pattern.around, made[0]
        if around is None or around.tail is not None or not isinstance(chunk, dict) or pattern.match(payload) < 0:
            return
        marked, said = _marked(chunk)
        before, mark, after = orjson.dumps(marked).partition(_MARKED)
        if mark and said.encode("utf-8", "replace") == pattern.text:
            self.way = Retold(around.head, around.middle, around.spaced, before, after, hear)


def _marked(chunk: dict[str, Any]) -> tuple[dict[str, Any], str]:
    """A chunk of one text, with a mark in the place of that, and the text; the chunk as it is when there is more in it
    (and no text)."""
    choices = chunk["choices"]
    delta = choices[0]["delta"] if len(choices) == 1 else {}
    if len(delta) != 1:
        return chunk, ""
    [(name, said)] = delta.items()
    new: Any = _MARK
    if isinstance(said, list):
        [call, *others] = said
        if others or call.keys() != {"index", "function"} or call["function"].keys() != {"arguments"}:
            return chunk, ""
        said = call["function"]["arguments"]
        new = [{**call, "function": {"arguments": _MARK}}]
    return (
        ({**chunk, "choices": [{**choices[0], "delta": {name: new}}]}, said) if isinstance(said, str) else (chunk, "")
    )
