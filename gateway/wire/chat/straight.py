"""Chunks in which nothing but one text changes, from the provider's bytes to the caller's in one step.

Nearly every event of a stream differs from the one before it in its text only. Once the tally knows these events by
heart (`TextPattern`), and the relay what it changes in them, neither decoder nor tally nor relay has to see them:
the bytes around the text are compared, the text is counted, and the caller gets it between the bytes that belong there.
Events of another dialect go the same way, once it is known what chunk they are retold as (`Retelling`). Whatever does
not fit, to the byte, goes the long way.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from typing import Any, Protocol

from gateway.wire.chat.decoder import ChatChunkEditor, ChatStreamDecoder
from gateway.wire.chat.encoder import PREFIX, SUFFIX, ChatRelay, Renamed
from gateway.wire.chat.tally import ChatTally
from gateway.wire.event_decoder import EventDecoder, JsonEventDecoder
from gateway.wire.retold import Retold
from gateway.wire.text_pattern import Passage, Surroundings

NAMED = re.compile(rb"(?:event: [^\r\n]*\n)?data: ")
"""What may stand before the data of an event."""


class Straight(Protocol):
    """A way for the next bytes of a stream."""

    def take(self, data: bytes) -> bytes | None:
        """What the caller gets for these bytes, which are now counted; None when they are not one event that goes this
        way."""


Finder = Callable[["Straight | None", bytes], "Straight | None"]
"""Finds the straight way for the next bytes of a stream, None while there is none. Given the one found before, which is
returned if it is still right, and the bytes that were fed last."""


class StraightChunks:
    """The events of one stream that begin and end like those before. around: what stands around the text of their
    chunks. renamed: what the relay changes in these. tally: counts them. way: how they are retold, None for chunks as
    they are; name: what stands before the data of these events."""

    __slots__ = ("_end_size", "_hear", "_new_end", "_new_head", "_passage", "around", "renamed", "tally", "way")

    def __init__(
        self, tally: ChatTally, around: Surroundings, renamed: Renamed, way: Retold | None, name: bytes = PREFIX
    ) -> None:
        self.tally = tally
        self.around = around
        self.renamed = renamed
        self.way = way
        head, middle, tail, _ = around
        end = middle if tail is None else tail
        self._hear = None if way is None else way.hear
        told = Surroundings(head, middle, tail) if way is None else Surroundings(way.head, way.tail, None, way.spaced)
        self._passage = Passage(name, told)
        # Behind the padding, which is passed on with what stands before it.
        self._end_size = 0 if tail is None else len(tail + SUFFIX)
        self._new_head = PREFIX + renamed.begin(head)
        rest = head[len(renamed.head) :] + middle + end
        self._new_end = renamed.end(rest, end) + SUFFIX

    def take(self, data: bytes) -> bytes | None:
        """The chunk for the caller, with the id of the model that was asked for; None as of every `Straight`."""
        found = self._passage.text(data)
        if found is None:
            return None
        text, said = found
        if self._hear is not None:
            self._hear(said)
        tally = self.tally
        tally.chunks += 1
        tally.text_bytes += len(text)
        tally.tokens.add_bytes(text)
        if not self._end_size:
            return self._new_head + text + self._new_end
        padded = data[self._passage.start + len(text) : -self._end_size]
        return b"".join((self._new_head, text, padded, self._new_end))


def way_finder(decoder: Any, tally: Any, relay: Any) -> Finder | None:
    """Who finds the straight way of a stream; None when there is none for these three. A relay of another dialect than
    chat may have a `straight` that says it; in chat all three must be those that are known here to leave such events
    as they are, or to retell them: what a plugin makes of them may do otherwise."""
    own = getattr(relay, "straight", None)
    if own is not None:
        found: Finder | None = own(decoder, tally)
        return found
    if type(tally) is ChatTally and type(relay) is ChatRelay and (_leaves_chunks(decoder) or _retells(decoder)):
        return partial(_find, decoder, tally, relay)
    return None


def _find(
    decoder: Any, tally: ChatTally, relay: ChatRelay, known: StraightChunks | None, data: bytes
) -> StraightChunks | None:
    retelling = getattr(decoder, "retelling", None)
    way = None if retelling is None else retelling.way
    if not (decoder.is_between if way is not None else retelling is None and decoder.passes_on):
        return None
    around, renamed = tally.pattern.around, relay.renamed
    if around is None or renamed is None:
        return None
    if known is not None and known.around is around and known.renamed is renamed and known.way is way:
        return known
    if not around.head.startswith(renamed.head):
        return None
    if way is None:
        return StraightChunks(tally, around, renamed, None)
    name = NAMED.match(data)
    if (way.before, way.after, None) != around[:3] or name is None or not data.startswith(way.head, name.end()):
        return None
    return StraightChunks(tally, around, renamed, way, name[0])


def _leaves_chunks(decoder: object) -> bool:
    if type(decoder) is ChatStreamDecoder:
        return True
    if not isinstance(decoder, ChatChunkEditor):
        return False
    kind = type(decoder)
    own = (kind.feed, kind.read, kind._read, kind.finish)
    return own == (EventDecoder.feed, ChatStreamDecoder.read, ChatChunkEditor._read, EventDecoder.finish)


def _retells(decoder: object) -> bool:
    if not isinstance(decoder, JsonEventDecoder) or decoder.retelling is None:
        return False
    kind = type(decoder)
    own = (kind.feed, kind.read, kind._read, kind.finish)
    return own == (EventDecoder.feed, JsonEventDecoder.read, EventDecoder._read, EventDecoder.finish)
