"""Where a keyed call is answered to: a recording, and the store before its last byte is given out."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import orjson

from gateway.dialect import EVENT_STREAM, InboundCall, RawAnswer, keep_alive_of, stream_type_of
from gateway.errors import Fault
from gateway.http.server.request_context import JSON_TYPE, RequestContext
from gateway.http.streaming.sse_response import stream_header
from gateway.runner.recording import Recording
from gateway.runner.sink import Flow

# What belongs to one request, not to its answer.
_OF_THE_REQUEST = re.compile(r"server|date|content-length|x-ratelimit-.*")

Keep = Callable[[Mapping[str, str], bytes, Fault | None], Awaitable[None]]
"""Stores a finished answer: its headers, its body, and the fault that ended it. Does not raise."""


class KeyedAnswer:
    """Writes one answer into a recording; implements `gateway.runner.sink.Sink`.

    Nobody shall have a complete answer that is not stored, so `keep` is awaited before the closing bytes are written.
    """

    def __init__(self, recording: Recording, context: RequestContext, inbound: InboundCall, keep: Keep) -> None:
        self.begun = False
        self._media_type = stream_type_of(inbound)
        self.quiet = context.runtime.config.server.keep_alive if self._media_type == EVENT_STREAM else 0.0
        self._recording = recording
        self._context = context
        self._keep = keep

    async def begin(self, flow: Flow) -> None:
        """The stream begins, once."""
        if not self.begun:
            self.begun = True
            self._recording.begin(self._headers(stream_header(self._media_type)), flow)

    def write(self, data: bytes) -> None:
        """More of it."""
        if data:
            self._recording.write(data)

    def keep_alive(self) -> None:
        """Whoever follows is kept alive by the same bytes."""
        self.write(keep_alive_of(self._context.dialect))

    async def end(self, last: bytes, fault: Fault | None, seconds: float) -> None:
        """Store it, then give out the rest."""
        recording = self._recording
        await self._keep(relevant_headers(recording.headers), recording.whole + last, fault)
        self.write(last)
        if fault is not None and self._media_type != EVENT_STREAM:
            recording.fail(fault)
        recording.end()

    async def give(self, answer: dict[str, Any] | RawAnswer) -> None:
        """Store a whole answer, then give it out."""
        if isinstance(answer, RawAnswer):
            headers, body = self._headers(answer.media_type), answer.content
        else:
            headers, body = self._headers(JSON_TYPE), orjson.dumps(answer)
        await self._keep(relevant_headers(headers), body, None)
        self._recording.give(200, headers, body, streamed=False)

    def _headers(self, content_type: str) -> dict[str, str]:
        """Those of the answer; the ids of its request are no part of it."""
        context = self._context
        own = {name: value for name, value in context.headers().items() if value != context.id}
        return {**own, "content-type": content_type}


def relevant_headers(headers: Mapping[str, str]) -> dict[str, str]:
    """What is given again with the answer, to another request."""
    return {name: value for name, value in headers.items() if not _OF_THE_REQUEST.fullmatch(name)}
