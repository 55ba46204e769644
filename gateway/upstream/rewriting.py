"""Answers changed on their way from a provider's reader to the caller's side, whole or item by item."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Protocol

import orjson

from gateway.errors import Fault
from gateway.provider import Answer, Reader, StreamDecoder, StreamItem, Tally, UpstreamReply
from gateway.readers import ItemDecoder

Json = dict[str, Any]


class Rewrite(Protocol):
    """The changes of one answer."""

    def concerns(self, item: bytes) -> bool:
        """Whether an item's JSON text may have to be changed: the others are passed on unread."""

    def change(self, answer: Json) -> Json:
        """A whole answer, or the next item of a stream, changed; what is given may be shared, and is not changed."""


class RewritingReader:
    """Implements `gateway.provider.Reader`: what another reader makes, changed. make: the changes of a fresh answer."""

    def __init__(self, reader: Reader, make: Callable[[], Rewrite]) -> None:
        self._reader = reader
        self._make = make
        self.dialect = reader.dialect

    def read_reply(self, reply: UpstreamReply) -> Answer:
        """A whole answer, measured."""
        answer = self._reader.read_reply(reply)
        return replace(answer, body=self._make().change(answer.body))

    def is_stream(self, headers: Mapping[str, str]) -> bool:
        """The reader's own."""
        return self._reader.is_stream(headers)

    def open_stream(self) -> StreamDecoder:
        """A decoder whose items are changed."""
        rewrite = self._make()
        return ItemDecoder(self._reader.open_stream(), lambda item: _changed(item, rewrite))

    def open_tally(self, choices: int) -> Tally:
        """A fresh tally for the items of the stream."""
        return self._reader.open_tally(choices)

    def read_fault(self, reply: UpstreamReply) -> Fault:
        """The fault that an error answer (status >= 400) means."""
        return self._reader.read_fault(reply)

    def unfold(self, reply: UpstreamReply) -> list[StreamItem]:
        """The stream's items for a whole answer that came although a stream was asked for."""
        rewrite = self._make()
        return [_changed(item, rewrite) for item in self._reader.unfold(reply)]


def _changed(item: StreamItem, rewrite: Rewrite) -> StreamItem:
    """One item of a stream, bytes as bytes."""
    if isinstance(item, dict):
        return rewrite.change(item)
    if isinstance(item, Fault) or not rewrite.concerns(item):
        return item
    try:
        parsed = orjson.loads(item)
    except orjson.JSONDecodeError:
        return item  # whoever measures it repairs it, or says what is wrong with it
    return orjson.dumps(rewrite.change(parsed)) if isinstance(parsed, dict) else item
