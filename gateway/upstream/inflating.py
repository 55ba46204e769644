"""Compressed answers of upstreams, decoded as they come.

The gateway asks for `identity` (RFC 9110, 12.5.3): an answer that is not compressed costs nothing to read. Some servers
and proxies compress all the same, errors and streams too.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping
from typing import Any, Protocol

from gateway.errors import UpstreamFault

PIECE = 256 * 1024
"""Bytes that are decoded at once, whatever a few compressed ones may stand for."""

_AUTOMATIC = zlib.MAX_WBITS | 32
"""gzip (RFC 1952) or zlib (RFC 1950), told apart by their first bytes."""
_CODINGS = frozenset({"gzip", "x-gzip", "deflate", "zstd"})
_WINDOW = 23
"""Base 2 logarithm of the most bytes that zstd may look back (RFC 9659)."""


class Inflater(Protocol):
    """Decodes one answer."""

    def pieces(self, data: bytes) -> Iterator[bytes]:
        """What these bytes stand for, in pieces of at most `PIECE`. Raises UpstreamFault for what is broken."""


def inflater_of(headers: Mapping[str, str]) -> Inflater | None:
    """What decodes an answer with these headers, None for one that is not compressed. headers: lower-case names.

    Raises UpstreamFault for a coding that is not known here.
    """
    named = headers.get("content-encoding")
    if named is None:
        return None
    codings = [coding for part in named.split(",") if (coding := part.strip().lower()) not in ("", "identity")]
    if not codings:
        return None
    if len(codings) > 1 or codings[0] not in _CODINGS:
        raise UpstreamFault(
            "The provider compressed its answer in a way that the gateway cannot read, and was not asked to.",
            code="upstream_invalid_response",
            detail=f"content-encoding: {named[:100]}",
        )
    return Unzstd() if codings[0] == "zstd" else Unzip()


def inflater_by(start: bytes) -> Inflater | None:
    """What decodes an answer that begins so, and that no header calls compressed, as some proxies send it: gzip's magic
    number begins no text."""
    return Unzip() if start[:2] == b"\x1f\x8b" else None


def _broken(why: Exception) -> UpstreamFault:
    return UpstreamFault(
        "The provider's compressed answer is broken.",
        retryable=True,
        code="upstream_invalid_response",
        detail=str(why),
    )


class Unzstd:
    """Decodes zstd (RFC 8878), of one frame or several."""

    def __init__(self) -> None:
        # Few send it, and start-up need not wait for it.
        from backports import zstd

        self._fault = zstd.ZstdError
        self._options: dict[int, int] = {zstd.DecompressionParameter.window_log_max: _WINDOW}
        self._make = zstd.ZstdDecompressor
        self._machine: Any = self._make(options=self._options)

    def pieces(self, data: bytes) -> Iterator[bytes]:
        """As `Inflater` says."""
        while True:
            try:
                piece = self._machine.decompress(data, PIECE)
            except self._fault as error:
                raise _broken(error) from None
            if piece:
                yield piece
            data = b""
            if self._machine.eof:
                data = self._machine.unused_data
                self._machine = self._make(options=self._options)
                if not data:
                    return
            elif self._machine.needs_input:
                return


class Unzip:
    """Decodes gzip, of one member or several, and what servers call `deflate`: with zlib's head or without."""

    def __init__(self) -> None:
        self._inflate = zlib.decompressobj(_AUTOMATIC)
        self._start: bytes | None = b""

    def pieces(self, data: bytes) -> Iterator[bytes]:
        """As `Inflater` says."""
        if self._start is not None:
            data = self._start + data
            if len(data) < 2:
                self._start = data
                return
            self._start = None
            self._inflate = _begin(data)
        full = False
        while data or full:
            try:
                piece = self._inflate.decompress(data, PIECE)
            except zlib.error as error:
                raise _broken(error) from None
            if piece:
                yield piece
            data, full = self._inflate.unconsumed_tail, len(piece) == PIECE
            if self._inflate.eof:
                data, full = self._inflate.unused_data.lstrip(b"\0"), False
                if data:
                    self._inflate = zlib.decompressobj(_AUTOMATIC)


def _begin(data: bytes) -> zlib._Decompress:
    """By the first two bytes: gzip's magic number, a head of zlib's (RFC 1950, 2.2), or neither."""
    head = data[0] << 8 | data[1]
    if head == 0x1F8B or (data[0] & 0x0F == 8 and head % 31 == 0):
        return zlib.decompressobj(_AUTOMATIC)
    return zlib.decompressobj(-zlib.MAX_WBITS)
