"""Events of one stream that differ in one text only, known by the bytes around it.

Once an event was parsed, the bytes before and after its text are known by heart, and it is known what they mean: an
event that begins and ends with the same bytes says the same, with another text. That holds in every spelling of the
JSON, because nothing about the spelling is assumed. Whatever does not fit has to be parsed.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, NamedTuple

import orjson

from gateway.wire.mending import StreamedJson
from gateway.wire.tokens import text_bytes

_PADDING = re.compile(rb'"(?:obfuscation|p)"\s*:\s*"([^"\\]*)"')
"""What OpenAI and Mistral put into each event of a stream, so that its size does not tell its text."""
_PLAIN = re.compile(rb'[^"\\\x00-\x1f]*')
"""The inside of a JSON string without escapes."""
_STRING = rb'[^"\\]*(?:\\.[^"\\]*)*'
_INSIDE = re.compile(_STRING, re.DOTALL)
_BACKSLASH = 0x5C
_MARK = "\uf8ff gateway \uf8ff"
_LONGEST = 1 << 16
"""Bytes of an event whose escapes are looked at by a pattern, which remembers each of them: some 150 bytes."""
_MOST_LESSONS = 16
"""Events of one stream that are taken for a pattern. A stream that follows none is parsed instead."""


class Surroundings(NamedTuple):
    """What stands before the text of an event, between it and the padding that some providers add, and after that.
    Without padding `middle` is all that follows the text, and `tail` is None. spaced: what follows has no strings, so
    that spaces in it mean nothing (Anthropic pads with them); it stands here without."""

    head: bytes
    middle: bytes
    tail: bytes | None
    spaced: bool = False


class TextPattern:
    """The pattern of one stream.

    around: what all its events have in common, None while that is not known.

    member: finds candidates for the text, its inside as group 1: `text_member("content")`. size: of the text in a
    parsed event in bytes, or -1 when there is more of interest in the event than its text. text: of the last event that
    followed the pattern, in UTF-8. escaped: there were escapes in it.

    A text that is JSON itself may have to be mended (`StreamedJson`): what changes its state is shown to it, and an
    event that it has to mend, or that follows a piece which ends inside of an escape, does not follow the pattern.
    """

    __slots__ = ("_before", "_json", "_lessons", "_member", "_size", "around", "escaped", "text")

    def __init__(self, member: re.Pattern[bytes], size: Callable[[dict[str, Any]], int]) -> None:
        self._member = member
        self._size = size
        self.around: Surroundings | None = None
        self._before: Surroundings | None = None
        self._lessons = _MOST_LESSONS
        self.text = b""
        self.escaped = False
        self._json: StreamedJson | None = None

    def match(self, event: bytes) -> int:
        """Bytes in UTF-8 of the text of an event that follows the pattern; -1 when it does not."""
        if self.around is None:
            return -1
        head, middle, tail, spaced = self.around
        if not event.startswith(head):
            return -1
        start = len(head)
        end = event.find(b'"', start)
        if event[end - 1] == _BACKSLASH:
            if len(event) > _LONGEST:
                return -1
            end = _INSIDE.match(event, start).end()  # type: ignore[union-attr]  # it matches the empty text, too
        if tail is None:
            rest = event[end:]
            if rest != middle and not (spaced and rest.replace(b" ", b"") == middle):
                return -1
        else:
            after = end + len(middle)
            last = len(event) - len(tail)
            if not (event.startswith(middle, end) and after <= last and event.endswith(tail)):
                return -1
            padding = event[after:last]
            if not (padding.isalnum() or _plain(padding) is not None):
                return -1
        text = event[start:end]
        # There is no quote in it. `isprintable` says that there is no control character, quicker than a pattern.
        self.escaped = b"\\" in text
        if not self.escaped and text.isascii() and text.decode().isprintable():
            self.text = text
            return len(text)
        found = _plain(text)
        if found is None or (self._json is not None and self.escaped and not self._goes_by(found)):
            return -1
        self.text = found
        return len(found)

    def _goes_by(self, text: bytes) -> bool:
        """Whether nothing has to be mended in the next piece of a text that is JSON."""
        json = self._json
        if json is None or not json.pass_by(text.decode()):
            return False
        if not json.is_calm:
            self.pause()
        return True

    def learn(self, event: bytes, json: StreamedJson | None = None) -> None:
        """Take this event, which did not follow the pattern, for the pattern of those to come, if it can be proved that
        only the text and the padding have to differ between them. json: what its text is a piece of."""
        if json is not None and not json.is_calm:
            self.pause()
            return
        if json is not None and json is self._json:
            self.around = self.around or self._before
            if self.around is not None and _stands_in(event, self.around):
                return  # it does follow the pattern, but for what had to be looked at
        if not self._lessons or len(event) > _LONGEST:
            return
        self._lessons -= 1
        self.around, self._before, self._json = None, None, json
        texts = list(self._member.finditer(event))
        if len(texts) != 1:
            return
        head, rest = event[: texts[0].start(1)], event[texts[0].end(1) :]
        paddings = list(_PADDING.finditer(rest))
        middle, tail = rest, None
        if len(paddings) == 1:
            middle, tail = rest[: paddings[0].start(1)], rest[paddings[0].end(1) :]
        elif paddings:
            return
        spaced = rest.count(b'"') == 1
        if spaced:
            middle = rest.replace(b" ", b"")
        end = middle + (b"" if tail is None else tail)
        # Nothing else is counted in such an event, and all of the text is.
        if self._probe(head + end) == 0 and self._probe(head + _MARK.encode() + end) == text_bytes(_MARK):
            self.around = Surroundings(head, middle, tail, spaced)

    def pause(self) -> None:
        """Let no event follow the pattern before the next lesson: the next has to be seen, however plain it is. (Those
        that are plain may pass without being shown here.)"""
        self._before, self.around = self.around or self._before, None

    def stands_in(self, event: bytes) -> bool:
        """Whether an event begins and ends like those that follow the pattern, whatever its text is."""
        return self.around is not None and _stands_in(event, self.around)

    def resume(self, event: bytes) -> bool:
        """End a pause with an event that begins and ends like those before it; whether it does."""
        before = self._before
        if before is None or not _stands_in(event, before):
            return False
        self.around, self._before = before, None
        return True

    def forget(self) -> None:
        """Follow no pattern from here on: events that look alike may no longer mean the same."""
        self.around = self._before = None
        self._lessons = 0

    def _probe(self, data: bytes) -> int:
        try:
            event = orjson.loads(data)
        except orjson.JSONDecodeError:
            return -1
        return self._size(event) if isinstance(event, dict) else -1


class Passage:
    """Events that follow a pattern, as they come over the wire: each alone and whole, its text of the plainest kind.

    around: what stands around their text. name: what stands before their data, `data: ` included. start: where the
    text begins.
    """

    __slots__ = ("_end", "_end_size", "_head", "_middle", "_spaced", "start")

    def __init__(self, name: bytes, around: Surroundings) -> None:
        self._head = name + around.head
        self._middle = None if around.tail is None else around.middle
        self._spaced = around.spaced
        self._end = (around.middle if around.tail is None else around.tail) + b"\n\n"
        self._end_size = len(self._end)
        self.start = len(self._head)

    def text(self, data: bytes) -> tuple[bytes, str] | None:
        """The text of one such event, in UTF-8 and as it reads; None when these bytes are not one, or when its text is
        not to be passed on unseen: empty, with escapes or with what is not printable."""
        start = self.start
        end = self._end_of_text(data, start)
        text = data[start:end]
        if end <= start or b"\\" in text:
            return None
        try:
            said = text.decode()
        except UnicodeDecodeError:
            return None
        return (text, said) if said.isprintable() else None

    def _end_of_text(self, data: bytes, start: int) -> int:
        # However it is padded, its end is that of an event: a blank line with a space in it is none.
        if not (data.startswith(self._head) and data.endswith(b"\n\n" if self._spaced else self._end)):
            return -1
        end = data.find(b'"', start)
        last = len(data) - self._end_size
        middle = self._middle
        if self._spaced:
            rest = data[end:]
            return end if rest == self._end or rest.replace(b" ", b"") == self._end else -1
        if middle is None:
            return end if end == last else -1
        after = end + len(middle)
        fits = after <= last and data.startswith(middle, end) and (after == last or data[after:last].isalnum())
        return end if fits else -1


def _stands_in(event: bytes, around: Surroundings) -> bool:
    if not event.startswith(around.head):
        return False
    if around.spaced:
        return event[event.rfind(b'"') :].replace(b" ", b"") == around.middle
    return event.endswith(around.middle if around.tail is None else around.tail)


def text_member(*names: str) -> re.Pattern[bytes]:
    """Finds members with one of these names whose value is a string, in JSON text. Inside JSON strings quotes are
    escaped, so text that a model wrote never matches."""
    return re.compile(rb'"(?:%b)"\s*:\s*"(%b)"' % ("|".join(map(re.escape, names)).encode(), _STRING), re.DOTALL)


def _plain(text: bytes) -> bytes | None:
    """The text in UTF-8 that the inside of a JSON string stands for, None when it has to be parsed with its event."""
    if _PLAIN.fullmatch(text):
        if not text.isascii():
            try:
                text.decode()
            except UnicodeDecodeError:
                return None
        return text
    try:
        value = orjson.loads(b'"%b"' % text)
    except orjson.JSONDecodeError:
        return None
    return value.encode() if isinstance(value, str) else None
