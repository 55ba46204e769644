"""Reading one HTTP/1.1 answer that should be media: bounded, not decompressed, given up as soon as it is wrong."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

import httptools

from gateway.fetch.sniff import ENOUGH, media_type

MAX_HEAD = 64 << 10
"""Bytes of an answer's head."""

_REDIRECTS = frozenset({301, 302, 303, 307, 308})


class FetchProblem(Exception):
    """Why a URL was not fetched. text: half a sentence for the caller. detail: for the operator's log."""

    def __init__(self, code: str, text: str, detail: str = "") -> None:
        super().__init__(text)
        self.code = code
        self.text = text
        self.detail = detail


def failed(text: str, detail: str = "") -> FetchProblem:
    """The URL was allowed, but did not yield its content."""
    return FetchProblem("media_fetch_failed", text, detail)


@dataclass(slots=True)
class Allowance:
    """What the media of one call may have together. left, total: bytes."""

    left: int
    total: int


@dataclass(slots=True, frozen=True)
class Answer:
    """Either a redirect (`location` is not None) or content with its media type."""

    location: str | None = None
    media_type: str = ""
    data: bytes = b""


class Download(asyncio.Protocol):
    """Receives one answer. `result` becomes an Answer or a FetchProblem; whoever awaits it closes the connection.

    most: bytes of content. allowance: what is left for all media of the call, reduced as content comes.
    """

    def __init__(self, most: int, allowance: Allowance) -> None:
        self.result: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        # Looked at, so that the loop does not complain when the waiting task was cancelled meanwhile.
        self.result.add_done_callback(lambda result: result.cancelled() or result.exception())
        self._most = most
        self._allowance = allowance
        self._parser = httptools.HttpResponseParser(self)
        self._head_size = 0
        self._unfinished = 0
        self._status = 0
        self._headers: dict[str, str] = {}
        self._body: list[bytes] = []
        self._size = 0
        self._close_delimited = False

    # asyncio.Protocol

    def data_received(self, data: bytes) -> None:
        if self.result.done():
            return
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            # Callbacks raise FetchProblem, which the parser wraps.
            cause = error.__context__
            problem = cause if isinstance(cause, FetchProblem) else failed("the server's answer is not valid HTTP")
            self._fail(problem)
            return
        if not self._status:
            # Bytes of which the parser has told nothing yet count too: a header without end is a head without end.
            self._unfinished += len(data)
            if self._unfinished > MAX_HEAD:
                self._fail(failed("the head of the server's answer is too large"))

    def connection_lost(self, exc: Exception | None) -> None:
        if self.result.done():
            return
        if exc is None and self._status and self._close_delimited:
            self._finish()
        else:
            self._fail(failed("the connection broke before the content was complete", str(exc or "")))

    # httptools

    def on_header(self, name: bytes, value: bytes) -> None:
        self._head_size += len(name) + len(value)
        if self._head_size > MAX_HEAD:
            raise failed("the head of the server's answer is too large")
        key = name.decode("latin-1").lower()
        if key in self._headers and key in ("location", "content-encoding", "content-length"):
            raise failed("the server's answer has contradicting headers")
        # Bytes that are no UTF-8 become half surrogates, which no URL may have.
        self._headers[key] = value.decode("utf-8", "surrogateescape").strip()

    def on_headers_complete(self) -> None:
        status = self._parser.get_status_code()
        if self._status or self.result.done():
            return
        if status < 200:  # an interim answer; the real one follows
            self._headers = {}
            return
        self._status = status
        headers = self._headers
        if status in _REDIRECTS and headers.get("location"):
            self._succeed(Answer(location=headers["location"]))
            return
        if status != 200:
            raise failed(f"the server answered with status {status}")
        if headers.get("content-encoding", "identity").lower() not in ("identity", ""):
            raise failed("the server sent compressed content, though none was asked for")
        if headers.get("transfer-encoding", "chunked").lower() != "chunked":
            raise failed("the server's answer has a transfer encoding other than chunked")
        length = headers.get("content-length", "")
        if length:
            self._check_size(int(length) if length.isascii() and length.isdigit() and len(length) < 20 else 1 << 62)
        self._close_delimited = not length and "transfer-encoding" not in headers

    def on_body(self, body: bytes) -> None:
        if self.result.done() or not self._status:
            return
        size = self._size + len(body)
        self._check_size(size)
        self._allowance.left -= len(body)
        self._body.append(body)
        before, self._size = self._size, size
        if before < ENOUGH <= size:
            self._media_type()

    def on_message_complete(self) -> None:
        if self._status and not self.result.done():
            self._finish()

    def _check_size(self, size: int) -> None:
        """Raises FetchProblem unless content of `size` bytes, of which `_size` have come, is within both limits."""
        if size > self._most:
            raise FetchProblem("media_too_large", f"the content is larger than {self._most} bytes (`fetch.max_size`)")
        if size - self._size > self._allowance.left:
            raise FetchProblem(
                "media_too_large",
                f"all media of the request are larger than {self._allowance.total} bytes (`fetch.max_total`)",
            )

    def _media_type(self) -> str:
        """The media type by the first bytes. Raises FetchProblem when it is no media."""
        # The first piece alone is enough nearly always; there is no need to join megabytes for it.
        head = self._body[0] if self._body and len(self._body[0]) >= ENOUGH else b"".join(self._body)
        found = media_type(head)
        if found is None:
            raise FetchProblem(
                "media_type_unsupported",
                "the content is neither an image, audio, video nor a PDF" if head else "the content is empty",
            )
        return found

    def _finish(self) -> None:
        try:
            found = self._media_type()
        except FetchProblem as problem:
            self._fail(problem)
        else:
            self._succeed(Answer(media_type=found, data=b"".join(self._body)))

    def _succeed(self, answer: Answer) -> None:
        if not self.result.done():
            self.result.set_result(answer)

    def _fail(self, problem: FetchProblem) -> None:
        if not self.result.done():
            self.result.set_exception(problem)
