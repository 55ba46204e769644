"""A stream for a caller who takes up a response that is being made, or was made: from its recording, or from the
store."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Mapping

from gateway.errors import CallerFault
from gateway.http.server.request_context import RequestContext
from gateway.responses.running import RunningResponse, from_number, last_number
from gateway.runner.recording import Reader
from gateway.runner.sink import EventStream
from gateway.stores import Responses, StoredResponse
from gateway.wire.responses.events import encode_events
from gateway.wire.responses.replay import events_of

PATIENCE = 60.0
"""Seconds for the last bytes to a slow reader."""
_LAST_WORDS = 2.0
"""Seconds for the end of a response whose process stops."""


async def follow(
    context: RequestContext, running: RunningResponse, store: Responses, stream: EventStream, after: int = -1
) -> None:
    """Write the events with a number above `after` (-1: all) to `stream`, those to come included, and end it."""
    recording = running.recording
    reader = Reader(recording, stream)
    await stream.begin(reader.flow)
    recording.join(reader, pick=lambda seen: from_number(seen, after))
    last = b""
    try:
        try:
            await reader.read_all(stream.quiet, stream.keep_alive)
        except asyncio.CancelledError:
            if context.was_interrupted() is None:
                raise
            # What makes the response was interrupted as well, and tells in its events how it ends.
            async with asyncio.timeout(_LAST_WORDS):
                await reader.read_all()
        if recording.cut_off:
            # Too much was said to keep it (responses.live_events): there remains the end.
            await recording.wait_end()
            stored = await store.get(running.account_id, running.id)
            if stored is not None:
                last = replay(stored, max(last_number(reader.last, after), 0))
    finally:
        recording.leave(reader)
    await stream.end(last, None, PATIENCE)


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
