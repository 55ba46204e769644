"""Deltas of an upstream that speaks Anthropic's dialect, from its bytes to the caller's in one step."""

from __future__ import annotations

from functools import partial

from gateway.api import Finder, Passage, Straight, Surroundings

from .native import NativeDecoder
from .tally import MessagesTally

DELTA_NAME = b"event: content_block_delta\ndata: "
"""What stands before the data of a delta."""


class StraightDeltas:
    """The deltas of one stream that begin and end like those before; they pass as they came. tally: counts them.
    around: what stands around their text."""

    __slots__ = ("_passage", "_tally", "around")

    def __init__(self, tally: MessagesTally, around: Surroundings) -> None:
        self._tally = tally
        self.around = around
        self._passage = Passage(DELTA_NAME, around)

    def take(self, data: bytes) -> bytes | None:
        """The bytes as they came; None when they are not one such delta, with a text of the plainest kind."""
        found = self._passage.text(data)
        if found is None:
            return None
        self._tally.hear(found[0])
        return data


def finder(decoder: object, tally: object) -> Finder | None:
    """Who finds the straight way between these two; None when they are others than those of the native path."""
    if type(decoder) is NativeDecoder and type(tally) is MessagesTally:
        return partial(_find, decoder, tally)
    return None


def _find(decoder: NativeDecoder, tally: MessagesTally, known: Straight | None, data: bytes) -> Straight | None:
    around = tally.around
    if around is None or around.tail is not None or not decoder.passes_on(around.head):
        return None
    if isinstance(known, StraightDeltas) and known.around is around:
        return known
    return StraightDeltas(tally, around)
