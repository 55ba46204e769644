"""Reading what a Chat Completions server sends, the hub format itself: used by every provider of that dialect.

Sources: OpenAI's API reference (chat completion object, chat completion chunk object, streaming), and recorded
traffic of OpenAI and of servers that copied the dialect. Errors inside a stream that began with status 200 come as
`{"error": {...}}`, as `{"type": "error", "error": {...}}`, flat as `{"type": "error", "message": ...}`,
as `{"object": "error", ...}` (older vLLM), as a chunk with `choices` beside its `error` (OpenRouter), and as
`event: error` with a bare `{"message": ...}`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import orjson

from gateway.errors import Fault, UpstreamFault
from gateway.wire.chat.repair import read_broken
from gateway.wire.errors.render import fault_from_stream_event
from gateway.wire.exact_json import load_exact
from gateway.wire.sse import DONE_DATA, EventReader

_ERROR = b'"error"'
_CHOICES = b'"choices"'

StreamChunk = bytes | dict[str, Any] | Fault


class ChatStreamDecoder:
    """Incremental reader of a streamed chat completion; implements `gateway.provider.StreamDecoder`.

    Chunks come out as the raw JSON bytes of their event, not parsed: it is only checked that they begin and end
    like a JSON object and mention `choices`. Whatever else comes is looked at.
    clean: applied to every fault before it is handed on (redaction), or None.
    """

    def __init__(self, clean: Callable[[Fault], Fault] | None = None) -> None:
        self.done = False
        self._clean = clean
        self._events = EventReader()
        self._failed = False

    def feed(self, data: bytes) -> list[StreamChunk]:
        """Take the next bytes; return the chunks they completed, and a Fault as the last item if one was sent."""
        if self._failed or self.done:
            return []
        try:
            events = self._events.feed_data(data)
        except Fault as fault:
            return [self._fail(fault)]
        return self._read(events)

    def finish(self) -> list[StreamChunk]:
        """The connection ended. A last event without its blank line counts when it is whole; half of one does not."""
        if self._failed or self.done:
            return []
        event = self._events.finish()
        if event is None or (event.data != DONE_DATA and _object(event.data) is None):
            return []
        return self._read([event.data])

    def _read(self, events: Iterable[bytes]) -> list[StreamChunk]:
        out: list[StreamChunk] = []
        for data in events:
            if data[:1] == b"{" and data[-1:] == b"}" and _CHOICES in data and _ERROR not in data:
                out.append(data)
                continue
            if data.strip() == DONE_DATA:
                self.done = True
                break
            item = self._look(data)
            out.append(item)
            if self._failed:
                break
        return out

    def _look(self, data: bytes) -> StreamChunk:
        """An event that mentions an error, or does not look like a chunk."""
        value = _object(data)
        if value is None:
            return self._fail(_nonsense("The provider sent a stream event that is not a JSON object.", data))
        return self._fail(fault_from_stream_event(value)) if _is_error(value) else data

    def _fail(self, fault: Fault) -> Fault:
        self._failed = True
        return self._clean(fault) if self._clean else fault


def read_completion(body: bytes) -> dict[str, Any]:
    """A whole answer as the chat completion it is, members untouched.

    Raises UpstreamFault when it is no JSON object, is an error object in spite of its status, or has no `choices`
    with a `message` each.
    """
    value = read_choices(body)
    for choice in value["choices"]:
        if not isinstance(choice, dict) or not isinstance(choice.get("message"), dict):
            raise _nonsense("The provider's answer has a choice without a message.", body)
    return value


def read_choices(body: bytes) -> dict[str, Any]:
    """A whole answer as an object with some `choices`, whatever those are. Raises UpstreamFault when it is none, or an
    error object in spite of its status."""
    value = _object(body)
    if value is None:
        raise _nonsense("The provider's answer is not a JSON object.", body)
    if _is_error(value):
        raise fault_from_stream_event(value)
    choices = value.get("choices")
    if not isinstance(choices, list) or not choices:
        raise _nonsense("The provider's answer has no choices.", body)
    return value


def _object(data: bytes) -> dict[str, Any] | None:
    try:
        value = load_exact(data)
    except orjson.JSONDecodeError:
        return read_broken(data)
    return value if isinstance(value, dict) else None


def _is_error(value: dict[str, Any]) -> bool:
    """Whether an object is one of the error shapes named above. A bare `message` is what comes after
    `event: error`; the name itself is not looked at, because data lines alone are cheaper to read."""
    if value.get("error") or value.get("type") == "error" or value.get("object") == "error":
        return True
    return "choices" not in value and isinstance(value.get("message"), str)


def _nonsense(message: str, body: bytes) -> UpstreamFault:
    return UpstreamFault(
        message,
        retryable=True,
        code="upstream_invalid_response",
        detail=body[:500].decode("utf-8", "replace"),
    )
