"""What the readers of all event streams have in common: bytes to events, the last event, the first fault, the end.

A dialect says what an event means (`read`, or `take` for one parsed event), and what the end of the connection means
(`end`). It raises the Fault that an event is; the frame hands it on as the last item and lets nothing follow.

class Decoder(JsonEventDecoder):
    def take(self, event, out):
        ...
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import orjson

from gateway.errors import Fault
from gateway.wire.exact_json import load_exact
from gateway.wire.lenient import nonsense
from gateway.wire.mending import Mender, load_mended
from gateway.wire.retold import Retelling
from gateway.wire.sse import DONE_DATA, EventReader, events_in

StreamItem = bytes | dict[str, Any] | Fault
"""One thing a stream decoder found: a chat chunk as its raw JSON bytes (same dialect, not parsed),
a chat chunk as a dict (translated), or an error event the provider sent inside the stream."""


class EventDecoder:
    """Incremental reader of one streamed answer, at any split; implements `gateway.provider.StreamDecoder`.

    clean: applied to every fault before it is handed on (redaction), or None.

    done: the dialect's end mark was seen; what follows it is not read.
    """

    __slots__ = ("_clean", "_events", "_mender", "_over", "done")

    def __init__(self, clean: Callable[[Fault], Fault] | None = None) -> None:
        self.done = False
        self._clean = clean
        self._events = EventReader()
        self._mender = Mender()
        self._over = False

    @property
    def is_between(self) -> bool:
        """Whether the next byte begins an event: all that was fed so far is handed on."""
        return not (self._over or self.done or self._mender.holds or self._events.holds)

    def clean_with(self, clean: Callable[[Fault], Fault]) -> None:
        """Apply this to every fault, unless something was given before."""
        self._clean = self._clean or clean

    # What differs from dialect to dialect.

    def read(self, payloads: list[bytes], out: list[StreamItem]) -> None:
        """Append to `out` what these payloads (the data of one event each) mean; set `done` and stop at the end mark.
        Raises the Fault that one of them is."""
        raise NotImplementedError

    def is_whole(self, payload: bytes) -> bool:
        """Whether the last event, which lacks its blank line, counts all the same; half of one does not."""
        try:
            orjson.loads(payload)
        except orjson.JSONDecodeError:
            return False
        return True

    def end(self, out: list[StreamItem]) -> None:
        """The connection ended, after all that was read, without an end mark: append what closes an answer that is
        complete even so, and set `done` if it is. Raises Fault."""

    # What the gateway calls.

    def feed(self, data: bytes) -> list[StreamItem]:
        """Take the next bytes; return what they completed, with a Fault as the last item if one came."""
        if self._over or self.done:
            return []
        try:
            payloads = self._events.feed_data(data)
        except Fault as fault:
            return [self._fail(fault)]
        return self._read([self._mender.mend(payload) for payload in payloads])

    def finish(self) -> list[StreamItem]:
        """The connection ended; return what was still held back. Nothing is read afterwards."""
        if self._over or self.done:
            return []
        event = self._events.finish()
        rest = [] if event is None else [self._mender.mend(payload) for payload in events_in(event.data)]
        if rest and not self.is_whole(rest[-1]):
            rest.pop()
        out = self._read(rest) if rest else []
        if self._over or self.done:
            return out
        self._over = True
        try:
            self.end(out)
        except Fault as fault:
            out.append(self._fail(fault))
        return out

    def _read(self, payloads: list[bytes]) -> list[StreamItem]:
        out: list[StreamItem] = []
        try:
            self.read(payloads, out)
        except Fault as fault:
            out.append(self._fail(fault))
        return out

    def _fail(self, fault: Fault) -> Fault:
        self._over = True
        self.done = False
        return self._clean(fault) if self._clean else fault


class JsonEventDecoder(EventDecoder):
    """Reads streams whose every event is a JSON object of the dialect's own, and is looked at.

    exact: what stands in the events whose whole numbers must keep their digits beyond 64 bits (the arguments of
    tools), which costs time; by default that is every event.
    """

    exact: ClassVar[bytes] = b""

    retelling: Retelling | None = None
    """By which events that say a text and nothing else are translated without being parsed, for decoders into chat
    chunks; None for none."""

    def take(self, event: dict[str, Any], out: list[StreamItem]) -> None:
        """Append what one event means; set `done` if it is the last. Raises the Fault that it is."""
        raise NotImplementedError

    def take_other(self, value: Any, out: list[StreamItem]) -> None:
        """An event that is JSON, but no object. Passed over, unless the dialect knows better."""

    def read(self, payloads: list[bytes], out: list[StreamItem]) -> None:
        """Parse each, and `take` it. Raises UpstreamFault for what is no JSON."""
        take, exact, retelling = self.take, self.exact, self.retelling
        for payload in payloads:
            if retelling is not None and (chunk := retelling.retell(payload)) is not None:
                out.append(chunk)
                continue
            if payload == DONE_DATA:
                continue  # of the chat dialect; some servers of others add it, too
            try:
                event = load_exact(payload) if exact in payload else orjson.loads(payload)
            except orjson.JSONDecodeError:
                event = _mended(payload)
            if type(event) is dict:
                before = len(out)
                take(event, out)
                if self.done:
                    return
                if retelling is not None:
                    retelling.learn(payload, event, out[before:])
            else:
                self.take_other(event, out)


def _mended(payload: bytes) -> Any:
    try:
        return load_mended(payload)
    except orjson.JSONDecodeError:
        raise nonsense("The provider sent a stream event that is not JSON.", payload) from None
