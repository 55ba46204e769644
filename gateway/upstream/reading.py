"""Reading an upstream's answer: a body that is collected whole, or a stream that is decoded as it comes."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from email.utils import formatdate

from gateway.errors import Fault, UpstreamFault
from gateway.provider import Exchange, Reader, StreamDecoder, StreamItem, UpstreamReply
from gateway.upstream.inflating import Inflater, inflater_by, inflater_of
from gateway.upstream.output_limit import OutputLimit
from gateway.upstream.timeouts import Limits


def fault_of(reader: Reader, reply: UpstreamReply) -> Fault:
    """The fault that a reply with a status of 300 or more means."""
    if reply.status < 400:
        return UpstreamFault(
            "The provider answered with a redirect, which the gateway does not follow.", code="upstream_redirect"
        )
    return reader.read_fault(reply)


class CollectedBody:
    """A body that is read whole, up to `limit` bytes, decoded if it is compressed."""

    __slots__ = ("_inflater", "_is_readable", "_limit", "_parts", "_size", "headers", "status")

    def __init__(self, status: int, headers: Mapping[str, str], limit: int) -> None:
        self.status = status
        self.headers = headers
        self._limit = limit
        self._size = 0
        self._parts: list[bytes] = []
        self._is_readable = True
        try:
            self._inflater = inflater_of(headers)
        except UpstreamFault:
            if status < 400:
                raise
            # The status of a failure says most of it.
            self._inflater, self._is_readable = None, False

    def add(self, chunk: bytes) -> None:
        """Take the next bytes. Raises UpstreamFault when the body grows too large or cannot be decoded."""
        if self._inflater is None:
            if self._is_readable:
                self._add(chunk)
            return
        for piece in self._inflater.pieces(chunk):
            self._add(piece)

    def _add(self, chunk: bytes) -> None:
        self._size += len(chunk)
        if self._size > self._limit:
            raise UpstreamFault(
                f"The provider's answer is larger than {self._limit} bytes (upstream.max_reply).",
                code="upstream_reply_too_large",
            )
        self._parts.append(chunk)

    def reply(self) -> UpstreamReply:
        """What was collected. An answer that does not say when it was made was made now (RFC 9110, section 6.6.1), so
        that a date to retry after can be reckoned with. Raises UpstreamFault for what cannot be decoded."""
        body = b"".join(self._parts)
        inflater = None if self._inflater is not None else inflater_by(body)
        if inflater is not None:
            self._parts, self._size = [], 0
            for piece in inflater.pieces(body):
                self._add(piece)
            body = b"".join(self._parts)
        headers = self.headers
        if "retry-after" in headers and "date" not in headers:
            headers = {**headers, "date": formatdate(usegmt=True)}
        return UpstreamReply(self.status, headers, body)


class StreamReading:
    """One streamed answer: head and bytes in, decoded items out. An error answer, or a whole answer to a request for
    a stream, is collected and read at its end. overran: it was longer than its limit. size: bytes that were last fed to
    the decoder."""

    __slots__ = (
        "_begun",
        "_body",
        "_decoder",
        "_inflater",
        "_limits",
        "_pending",
        "_reader",
        "_start",
        "overran",
        "size",
    )

    def __init__(self, reader: Reader, limits: Limits) -> None:
        self._reader = reader
        self._limits = limits
        self._decoder: StreamDecoder | None = None
        self._body: CollectedBody | None = None
        self._pending = 0
        self._inflater: Inflater | None = None
        self._start = b""
        self._begun = False
        self.overran = False
        self.size = 0

    @property
    def done(self) -> bool:
        """The dialect's own end marker was seen."""
        return self._decoder is not None and self._decoder.done

    @property
    def decoder(self) -> StreamDecoder | None:
        """What reads the bytes of a stream just as they come; None when there is more to do with them."""
        return self._decoder if self._begun and self._inflater is None else None

    def head(self, status: int, headers: Mapping[str, str]) -> None:
        if status >= 300 or not self._reader.is_stream(headers):
            self._body = CollectedBody(status, headers, self._limits.max_reply)
        else:
            self._inflater = inflater_of(headers)
            self._decoder = self._reader.open_stream()

    def feed(self, chunk: bytes) -> list[StreamItem]:
        """The items that these bytes completed. Raises Fault."""
        if self._decoder is None:
            if self._body is not None:
                self._body.add(chunk)
            return []
        if not self._begun:
            self._start += chunk
            if len(self._start) < 2:
                return []
            chunk, self._start, self._begun = self._start, b"", True
            self._inflater = self._inflater or inflater_by(chunk)
        if self._inflater is None:
            self.size = len(chunk)
            found = self._decoder.feed(chunk)
            if not found or self._pending:
                self._keep_in_bounds(len(chunk), bool(found))
            return found
        items: list[StreamItem] = []
        size = 0
        for piece in self._inflater.pieces(chunk):
            size += len(piece)
            if size > self._limits.max_event:
                raise _too_large(self._limits.max_event)
            found = self._decoder.feed(piece)
            self._keep_in_bounds(len(piece), bool(found))
            items += found
        self.size = size
        return items

    def _keep_in_bounds(self, size: int, whole: bool) -> None:
        """What gave no item yet is kept by the decoder, whatever its dialect; it must not be kept without end."""
        self._pending = 0 if whole else self._pending + size
        if self._pending > self._limits.max_event:
            raise _too_large(self._limits.max_event)

    def end(self, limit: OutputLimit | None = None) -> list[StreamItem]:
        """The connection ended in good order: the items that were still held back; of a whole answer no more than
        `limit` allows. Raises Fault."""
        if self._decoder is not None:
            return self._decoder.finish()
        if self._body is None:
            return []
        reply = self._body.reply()
        if reply.status >= 300:
            raise fault_of(self._reader, reply)
        if limit is not None:
            answer = limit.end(self._reader.read_reply(reply))
            if answer.overran and answer.unfold is not None:
                self.overran = True
                return list(answer.unfold(answer.body))
        return self._reader.unfold(reply)


def _too_large(most: int) -> UpstreamFault:
    return UpstreamFault(
        f"An event of the provider's stream is larger than {most} bytes (upstream.max_event).",
        code="upstream_event_too_large",
    )


def let_go(exchange: Exchange) -> None:
    """End an exchange whose dialect has said its last word: the transport may still read the few bytes to the end of
    the message and keep the connection, but not wait for them for long."""
    asyncio.get_running_loop().call_later(LAST_BYTES, exchange.cancel)


LAST_BYTES = 1.0
"""Seconds."""


class Nobody:
    """The sink of an exchange that is over."""

    def head(self, status: int, headers: Mapping[str, str]) -> None:
        return None

    def data(self, chunk: bytes) -> None:
        return None

    def end(self, fault: Fault | None) -> None:
        return None


NOBODY = Nobody()
