"""A stream for a caller who takes up a response that is being made, or was made: from its tape, or from the store."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import AsyncIterator, Mapping

from aiohttp import web

from gateway.errors import CallerFault
from gateway.http.server.request_context import RequestContext
from gateway.responses.running import from_number
from gateway.stores import StoredResponse
from gateway.wire.responses.events import encode_events
from gateway.wire.responses.replay import events_of

_LIMIT = 60.0
"""Seconds for the last bytes to a slow reader."""


async def stream_out(context: RequestContext, events: AsyncIterator[bytes]) -> web.StreamResponse:
    """Answer with these events, as fast as the caller reads them."""
    flowing = asyncio.Event()
    flowing.set()
    outlet = context.open_outlet(lambda on: flowing.set() if on else flowing.clear())
    await outlet.begin()
    async for data in events:
        if data:
            outlet.write(data)
            await flowing.wait()
    return await outlet.end(_LIMIT)


def replay(stored: StoredResponse, after: int) -> bytes:
    """The events of a finished response with a number above `after` (-1: all).

    They are those that were streamed, when these were kept. Otherwise they are made again from the object; a caller who
    has seen some of the stream then gets its end only, because how it had been cut into events is not known any more.
    """
    if stored.events:
        return from_number(zlib.decompress(stored.events), after)
    events = events_of(stored.response)
    if after >= 0:
        events = [{**events[-1], "sequence_number": after + 1}]
    return encode_events(events)


def starting_after(query: Mapping[str, str]) -> int:
    """The query's `starting_after`, -1 when there is none. Raises CallerFault."""
    text = query.get("starting_after", "")
    if not text:
        return -1
    if not (text.isascii() and text.isdigit() and len(text) <= 12):
        raise CallerFault(
            f"starting_after: expected the sequence_number of an event, got {text[:40]!r}.", param="starting_after"
        )
    return int(text)
