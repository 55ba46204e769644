"""Server-sent events: bytes to events at any split, and back.

Format: the WHATWG HTML standard, section 9.2.6 "Interpreting an event stream". Lines end in LF, CR or CRLF; a blank
line ends an event; `data:` lines of one event are joined with LF; lines that begin with a colon are comments.

Every line end is turned into LF on arrival, so that one rule finds the events: an LF LF pair. In JSON a raw CR can
only be white space, so nothing that providers send is changed by that.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from gateway.errors import UpstreamFault

MAX_EVENT = 256 * 1024 * 1024
"""Cap of one event in bytes, a reader's last line of defence: answers with inline images reach several megabytes.
The gateway's own limit (`upstream.max_event`) is lower and watched where the bytes come in."""

DONE_DATA = b"[DONE]"
"""The payload that ends a Chat Completions stream."""

DONE = b"data: [DONE]\n\n"
"""The event that ends a Chat Completions stream, ready to send."""

_BOM = b"\xef\xbb\xbf"
_LINE_END = re.compile(rb"\r\n|\r|\n")


@dataclass(slots=True, frozen=True)
class Event:
    """One event. data: the joined `data:` lines. name: the `event:` field, "" when absent.
    id: the last `id:` seen so far in the stream. retry: milliseconds, None when this event has no valid `retry:`."""

    data: bytes
    name: str = ""
    id: str = ""
    retry: int | None = None


class EventReader:
    """Incremental reader of one event stream. Use `feed` or `feed_data`, not both in turn on the same event.

    max_event: cap in bytes of one event (fields, comments and line ends included). A larger one raises
    UpstreamFault with code `upstream_event_too_large`; the reader must not be fed afterwards.
    """

    __slots__ = ("_after_cr", "_begun", "_id", "_max", "_tail")

    def __init__(self, max_event: int = MAX_EVENT) -> None:
        self._max = max_event
        self._tail = bytearray()  # the unfinished event; appending is amortised linear, so tiny slices cost no rescans
        self._begun = False  # past the place where a byte-order mark may stand
        self._after_cr = False  # the last byte fed was a CR, already taken as a line end: drop an LF that follows
        self._id = ""

    @property
    def holds(self) -> bool:
        """Whether something of the next event, or of a line end, may have come already."""
        return bool(self._tail) or self._after_cr or not self._begun

    def feed(self, data: bytes) -> list[Event]:
        """Take the next bytes; return the events they completed. Events without a `data:` line are not events."""
        events = []
        for block in self._blocks(data):
            event = self._read(block)
            if event is not None:
                events.append(event)
        return events

    def feed_data(self, data: bytes) -> list[bytes]:
        """Like `feed`, but return only the payloads, undecoded, and leave out empty ones (`data:` as a heartbeat).

        For dialects whose events have no names, or repeat in their data what the name says.
        """
        payload = self._lone(data)
        if payload is not None:
            return [payload]
        payloads = []
        for block in self._blocks(data):
            if block[:6] == b"data: " and b"\n" not in block:
                if len(block) > 6:
                    payloads.append(block[6:])
            elif block[:7] == b"event: " and block.count(b"\n") == 1 and (at := block.find(b"\ndata: ")) > 0:
                if len(block) > at + 7:
                    payloads.append(block[at + 7 :])
            elif block:
                event = self._read(block)
                if event is not None and event.data:
                    payloads += events_in(event.data)
        return payloads

    def _lone(self, data: bytes) -> bytes | None:
        """The payload of the one whole event, of one line, that most reads bring; None for everything else."""
        if self._tail or self._after_cr or not self._begun:
            return None
        start = 6
        if data[:6] != b"data: ":
            start = data.find(b"\n") + 7
            if data[:7] != b"event: " or data[start - 7 : start] != b"\ndata: ":
                return None
        end = data.find(b"\n", start)
        size = len(data)
        if end == size - 2 and data[-1] == 10:
            stop = end
        elif end == size - 3 and data[-4:] == b"\r\n\r\n":
            stop = end - 1
        else:
            return None
        if not start < stop <= self._max or data.find(b"\r", 0, stop) >= 0:
            return None
        return data[start:stop]

    def finish(self) -> Event | None:
        """The stream ended: the event that lacks its blank line, or None when the stream ended cleanly.

        The standard drops such an event; some servers forget the last blank line. The caller decides, e.g. takes it
        when its data is `[DONE]` or whole JSON. Nothing may be fed afterwards.
        """
        rest = bytes(self._tail)
        self._tail.clear()
        return self._read(rest) if rest else None

    def _blocks(self, data: bytes) -> list[bytes]:
        """The raw text of each event that `data` completed, without its blank line."""
        if self._after_cr or not self._begun or b"\r" in data:
            data = self._normalise(data)
        tail = self._tail
        if tail:
            if b"\n\n" not in data and not (data[:1] == b"\n" and tail[-1] == 10):
                tail += data
                self._check_size(len(tail) - (tail[-1] == 10))
                return []
            tail += data
            data = bytes(tail)
            tail.clear()
        blocks = data.split(b"\n\n")
        rest = blocks.pop()
        if rest:
            tail += rest
        if len(data) > self._max:
            self._check_size(len(rest) - rest.endswith(b"\n"))
            for block in blocks:
                self._check_size(len(block))
        return blocks

    def _normalise(self, data: bytes) -> bytes:
        """Turn every line end into LF and drop a byte-order mark, across the borders of slices."""
        if not self._begun:
            data = bytes(self._tail) + data
            self._tail.clear()
            if len(data) < len(_BOM) and _BOM.startswith(data):
                self._tail += data  # it may still become a mark
                return b""
            self._begun = True
            if data.startswith(_BOM):
                data = data[len(_BOM) :]
        if not data:
            return data
        if self._after_cr and data[:1] == b"\n":
            data = data[1:]
            self._after_cr = False
            if not data:
                return data
        self._after_cr = data.endswith(b"\r")
        return data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")

    def _check_size(self, size: int) -> None:
        if size > self._max:
            raise UpstreamFault(
                f"the provider sent a stream event of more than {self._max} bytes; ask for smaller parts "
                "or raise the gateway's limit",
                code="upstream_event_too_large",
            )

    def _read(self, block: bytes) -> Event | None:
        """Interpret the lines of one event (section 9.2.6, "process the field")."""
        data: list[bytes] = []
        name = b""
        retry: int | None = None
        for line in block.split(b"\n"):
            field, _, value = line.partition(b":")
            if value[:1] == b" ":
                value = value[1:]
            if field == b"data":
                data.append(value)
            elif field == b"event":
                name = value
            elif field == b"id":
                if b"\0" not in value:
                    self._id = value.decode("utf-8", "replace")
            elif field == b"retry":
                # At most 12 digits: Python refuses to read numbers of many thousand digits, and 31 years will do.
                if value.isdigit() and len(value) <= 12:
                    retry = int(value)
        if not data:
            return None
        return Event(b"\n".join(data), name.decode("utf-8", "replace"), self._id, retry)


def events_in(data: bytes) -> list[bytes]:
    """The payloads in the data of one event. Some servers leave out the blank lines between events: then each of its
    lines is an object, or the end mark, which is no JSON together."""
    if b"\n" not in data:
        return [data]
    lines = [line for line in data.split(b"\n") if line]
    if lines and all((line[:1] == b"{" and line[-1:] == b"}") or line == DONE_DATA for line in lines):
        return lines
    return [data]


def encode_data(payload: bytes) -> bytes:
    """One nameless event. A payload with line ends becomes several `data:` lines, as the standard asks."""
    if b"\n" in payload or b"\r" in payload:
        return b"".join(b"data: " + line + b"\n" for line in _LINE_END.split(payload)) + b"\n"
    return b"data: " + payload + b"\n\n"


def encode_event(name: str, payload: bytes) -> bytes:
    """One named event. Raises ValueError when the name has a line end: it would forge another field."""
    if "\n" in name or "\r" in name:
        raise ValueError(f"the name of an event must be one line: {name!r}")
    return b"event: " + name.encode() + b"\n" + encode_data(payload)
