"""Requests to providers that are no model calls: lists of models, files, batches. Without retries, health or a bill."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from gateway.provider import Transport, UpstreamReply, UpstreamRequest
from gateway.upstream.body_stream import BodyStream
from gateway.upstream.stream_pump import WholeReply
from gateway.upstream.timeouts import Limits

LONGEST_READ = 3600.0
"""Seconds for an answer that is read piece by piece."""


class Exchanges:
    """transport: for providers that bring none."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    async def whole(
        self, request: UpstreamRequest, *, seconds: float, most: int, transport: Transport | None = None
    ) -> UpstreamReply:
        """Send a request, and wait for the whole answer, whatever its status: at most `seconds` and `most` bytes.
        transport: the provider's own, None where it has none. Raises UpstreamFault."""
        limits = Limits(first_byte=seconds, idle=seconds, total=seconds, max_reply=most, max_event=most)
        sink = WholeReply(limits, asyncio.get_running_loop().time() + seconds)
        try:
            sink.exchange = (transport or self._transport).send(request, sink)
            return await sink.result
        finally:
            sink.close()

    @asynccontextmanager
    async def stream(
        self, request: UpstreamRequest, *, seconds: float, most: int, transport: Transport | None = None
    ) -> AsyncIterator[BodyStream]:
        """The same for an answer that is read piece by piece, in `LONGEST_READ` at most. seconds: for its first byte,
        and between two. What is read may raise UpstreamFault."""
        limits = Limits(first_byte=seconds, idle=seconds, total=LONGEST_READ, max_reply=most, max_event=most)
        stream = BodyStream(limits, asyncio.get_running_loop().time() + LONGEST_READ)
        try:
            stream.exchange = (transport or self._transport).send(request, stream)
            await stream.begin()
            yield stream
        finally:
            stream.close()
