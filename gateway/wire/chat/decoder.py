"""Reading what a Chat Completions server sends, the hub format itself: used by every provider of that dialect.

Sources: OpenAI's API reference (chat completion object, chat completion chunk object, streaming), and recorded
traffic of OpenAI and of servers that copied the dialect. Errors inside a stream that began with status 200 come as
`{"error": {...}}`, as `{"type": "error", "error": {...}}`, flat as `{"type": "error", "message": ...}`,
as `{"object": "error", ...}` (older vLLM), as a chunk with `choices` beside its `error` (OpenRouter), and as
`event: error` with a bare `{"message": ...}`.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, ClassVar

import orjson

from gateway.errors import Fault
from gateway.wire.errors.render import fault_from_stream_event
from gateway.wire.event_decoder import EventDecoder, StreamItem
from gateway.wire.lenient import check_depth, nonsense
from gateway.wire.mending import load_mended
from gateway.wire.sse import DONE_DATA

_ERROR = b'"error"'
_CHOICES = b'"choices"'


class ChatStreamDecoder(EventDecoder):
    """Incremental reader of a streamed chat completion.

    Chunks come out as the raw JSON bytes of their event, not parsed: it is only checked that they begin and end
    like a JSON object and mention `choices`. Whatever else comes is looked at.
    """

    __slots__ = ()

    @property
    def passes_on(self) -> bool:
        """Whether a chunk that begins with the next byte would come out as it is, when one like it did."""
        return self.is_between

    def is_whole(self, payload: bytes) -> bool:
        """Also the end mark."""
        return payload == DONE_DATA or _object(payload) is not None

    def read(self, payloads: list[bytes], out: list[StreamItem]) -> None:
        """Pass chunks on. Raises the fault that an event is which mentions an error, or is no JSON object."""
        for data in payloads:
            if data[:1] == b"{" and data[-1:] == b"}" and _CHOICES in data and _ERROR not in data:
                out.append(data)
                continue
            stripped = data.strip()
            if stripped == DONE_DATA:
                self.done = True
                return
            if stripped == b"null":
                continue  # some servers keep the connection alive with it
            value = _object(data)
            if value is None:
                raise nonsense("The provider sent a stream event that is not a JSON object.", data)
            if _is_error(value):
                raise fault_from_stream_event(value)
            out.append(data)


class ChatChunkEditor(ChatStreamDecoder):
    """Reads a streamed chat completion some of whose chunks must be put into OpenAI's form.

    notable: what stands in those chunks; the others pass as their bytes. A pattern whose quotes are JSON's own never
    matches text that a model wrote, because inside strings they are escaped. look_at_all: no chunk passes unseen.
    """

    __slots__ = ("look_at_all",)

    notable: ClassVar[re.Pattern[bytes]]

    def __init__(self, clean: Callable[[Fault], Fault] | None = None) -> None:
        super().__init__(clean)
        self.look_at_all = False

    @property
    def passes_on(self) -> bool:
        """Whether a chunk that begins with the next byte would come out unseen, when one like it did."""
        return self.is_between and not self.look_at_all

    def edit(self, chunk: dict[str, Any], out: list[StreamItem]) -> None:
        """Append what one chunk becomes, which may be changed in place. Raises the Fault that it means."""
        raise NotImplementedError

    def _read(self, payloads: list[bytes]) -> list[StreamItem]:
        out: list[StreamItem] = []
        notable = self.notable.search
        try:
            for item in super()._read(payloads):
                if isinstance(item, bytes) and (self.look_at_all or notable(item)):
                    self.edit(_chunk(item), out)
                else:
                    out.append(item)
        except Fault as fault:
            out.append(self._fail(fault))
        return out


def read_completion(body: bytes) -> dict[str, Any]:
    """A whole answer as the chat completion it is, members untouched but for a message of another name.

    Raises UpstreamFault when it is no JSON object, is an error object in spite of its status, or has no `choices`
    with a `message` each.
    """
    value = read_choices(body)
    for choice in value["choices"]:
        if not isinstance(choice, dict) or not _has_message(choice):
            raise nonsense("The provider's answer has a choice without a message.", body)
    return value


def _has_message(choice: dict[str, Any]) -> bool:
    """Whether a choice says something; it stands in `message` after that, wherever some servers put it."""
    if not isinstance(choice.get("message"), dict):
        delta, text = choice.get("delta"), choice.get("text")
        if isinstance(delta, dict) and delta:
            choice["message"] = choice.pop("delta")
        elif isinstance(text, str):
            choice["message"] = {"role": "assistant", "content": choice.pop("text")}
    return isinstance(choice.get("message"), dict)


def read_choices(body: bytes) -> dict[str, Any]:
    """A whole answer as an object with some `choices`, whatever those are. Raises UpstreamFault when it is none, or an
    error object in spite of its status."""
    value = _object(body)
    if value is None:
        raise nonsense("The provider's answer is not a JSON object.", body)
    if _is_error(value):
        raise fault_from_stream_event(value)
    choices = value.get("choices")
    if not isinstance(choices, list) or not choices:
        raise nonsense("The provider's answer has no choices.", body)
    return value


def _object(data: bytes) -> dict[str, Any] | None:
    try:
        value = load_mended(data)
    except orjson.JSONDecodeError:
        return None
    return value if isinstance(value, dict) else None


def _is_error(value: dict[str, Any]) -> bool:
    """Whether an object is one of the error shapes named above. A bare `message` is what comes after
    `event: error`; the name itself is not looked at, because data lines alone are cheaper to read."""
    if value.get("error") or value.get("type") == "error" or value.get("object") == "error":
        return True
    return "choices" not in value and isinstance(value.get("message"), str)


def _chunk(raw: bytes) -> dict[str, Any]:
    try:
        chunk: dict[str, Any] = load_mended(raw)
    except orjson.JSONDecodeError:
        raise nonsense("The provider sent a stream event that is not a JSON object.", raw) from None
    check_depth(chunk, raw)
    return chunk
