"""Chunks in which nothing but one text changes, from the provider's bytes to the caller's in one step.

Nearly every event of a stream differs from the one before it in its text only. Once the tally knows these events by
heart (`TextPattern`), and the relay what it changes in them, neither decoder nor tally nor relay has to see them:
the bytes around the text are compared, the text is counted, and the caller gets it between the bytes that belong there.
Events of another dialect go the same way, once it is known what chunk they are retold as (`Retelling`). Whatever does
not fit, to the byte, goes the long way.
"""

from __future__ import annotations

import re
from typing import Any

from gateway.wire.chat.decoder import ChatChunkEditor, ChatStreamDecoder
from gateway.wire.chat.encoder import PREFIX, SUFFIX, ChatRelay, Renamed
from gateway.wire.chat.tally import ChatTally
from gateway.wire.event_decoder import EventDecoder, JsonEventDecoder
from gateway.wire.retold import Retold
from gateway.wire.text_pattern import Surroundings

_QUOTE = b'"'
_BACKSLASH = b"\\"
_NAMED = re.compile(rb"(?:event: [^\r\n]*\n)?data: ")
"""What may stand before the data of an event."""


class StraightChunks:
    """The events of one stream that begin and end like those before. around: what stands around the text of their
    chunks. renamed: what the relay changes in these. tally: counts them. way: how they are retold, None for chunks as
    they are; name: what stands before the data of these events."""

    __slots__ = (
        "_end",
        "_end_size",
        "_head",
        "_hear",
        "_middle",
        "_new_end",
        "_new_head",
        "_spaced",
        "_start",
        "around",
        "renamed",
        "tally",
        "way",
    )

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
        self._spaced = way is not None and way.spaced
        self._head = name + (head if way is None else way.head)
        self._start = len(self._head)
        self._middle = None if tail is None else middle
        self._end = (end if way is None else way.tail) + SUFFIX
        self._end_size = len(self._end)
        self._new_head = PREFIX + renamed.begin(head)
        rest = head[len(renamed.head) :] + middle + end
        self._new_end = renamed.end(rest, end) + SUFFIX

    def take(self, data: bytes) -> bytes | None:
        """What the caller gets for these bytes, which are now counted; None when they are not one such event."""
        if not (data.startswith(self._head) and (self._spaced or data.endswith(self._end))):
            return None
        start = self._start
        end = data.find(_QUOTE, start)
        last = len(data) - self._end_size
        middle = self._middle
        padding = b""
        if self._spaced:
            rest = data[end:]
            if rest != self._end and rest.replace(b" ", b"") != self._end:
                return None
        elif middle is None:
            if end != last:
                return None
        else:
            after = end + len(middle)
            padding = data[after:last]
            if after > last or not data.startswith(middle, end) or not (padding.isalnum() or after == last):
                return None
        text = data[start:end]
        if not text or _BACKSLASH in text:
            return None
        try:
            said = text.decode()
        except UnicodeDecodeError:
            return None
        if not said.isprintable():
            return None  # a control character, or a rare one
        if self._hear is not None:
            self._hear(said)
        tally = self.tally
        tally.chunks += 1
        tally.text_bytes += len(text)
        tally.tokens.add_bytes(text)
        if middle is None:
            return self._new_head + text + self._new_end
        return b"".join((self._new_head, text, middle, padding, self._new_end))


def straight_chunks(
    decoder: Any, tally: Any, relay: Any, known: StraightChunks | None, data: bytes
) -> StraightChunks | None:
    """The straight way for the next bytes of a stream; None while there is none. known: the one found before, which is
    returned if it is still right. data: what was fed last."""
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
    name = _NAMED.match(data)
    if (way.before, way.after, None) != around[:3] or name is None or not data.startswith(way.head, name.end()):
        return None
    return StraightChunks(tally, around, renamed, way, name[0])


def goes_straight(decoder: object, tally: object, relay: object) -> bool:
    """Whether a straight way can be found at all: with those three that are known here to leave such events as they
    are, or to retell them. What a plugin makes of them may do otherwise."""
    return type(tally) is ChatTally and type(relay) is ChatRelay and (_leaves_chunks(decoder) or _retells(decoder))


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
