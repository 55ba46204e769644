"""Compressed request bodies: gzip, deflate and zstd, inflated within the limit of a plain body.

Coding agents compress what they send. A few bytes may stand for gigabytes, so what comes out is counted while it does,
in pieces, and beside the event loop unless it cannot be much. Sources: RFC 9110 (8.4, 15.5.16), RFC 1950 to 1952,
RFC 8878 (zstd; 3.1.1.1.2 wants windows of 8 MB understood, and larger ones may be refused).
"""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Mapping
from typing import Protocol

from gateway.errors import CallerFault

CODINGS = ("gzip", "deflate", "zstd")

_PIECE = 256 * 1024
_AT_ONCE = 1024
"""Bytes. zlib makes at most 1,032 of one: so few take a few milliseconds at most."""
_WINDOW = 23
"""Logarithm of the largest window of zstd, which is memory whatever the size of the body."""


class _Machine(Protocol):
    @property
    def eof(self) -> bool: ...

    @property
    def unused_data(self) -> bytes: ...

    def decompress(self, data: bytes, max_length: int, /) -> bytes: ...


def coding_of(headers: Mapping[str, str]) -> str:
    """The one coding of a body with these headers, "" for none. Raises CallerFault 415, with what is accepted, for
    others and for several."""
    named = headers.get("Content-Encoding", "")
    codings = [coding for part in named.split(",") if (coding := part.strip().lower()) not in ("", "identity")]
    if not codings:
        return ""
    coding = codings[0].removeprefix("x-")
    if len(codings) > 1 or coding not in CODINGS:
        raise CallerFault(
            f"Content-Encoding {named[:40]!r} is not accepted; send the body uncompressed, or as {', '.join(CODINGS)}.",
            status=415,
            code="unsupported_content_encoding",
            headers={"accept-encoding": ", ".join(CODINGS)},
        )
    return coding


async def inflate_body(raw: bytes, coding: str, most: int) -> bytes:
    """The body that `raw` stands for. Raises CallerFault 413 for more than `most` bytes, 400 for a broken one."""
    if coding != "zstd" and len(raw) <= _AT_ONCE:
        return inflate(raw, coding, most)
    return await asyncio.to_thread(inflate, raw, coding, most)


def inflate(raw: bytes, coding: str, most: int) -> bytes:
    """The whole content of a compressed body, inflated step by step up to `most` bytes. Raises CallerFault 413 for more
    than these, 400 for a broken one."""
    parts: list[bytes] = []
    size = 0
    rest = raw
    while rest:
        machine = _machine(coding, rest)
        while not machine.eof:
            try:
                piece = machine.decompress(rest, _PIECE)
            except Exception as error:  # zlib.error, ZstdError: the latter's module is imported only when needed
                raise _broken(coding, str(error)) from None
            rest = getattr(machine, "unconsumed_tail", b"")
            size += len(piece)
            if size > most:
                raise CallerFault(
                    f"The request body is larger than {most} bytes (server.max_body) once it is inflated.",
                    status=413,
                    code="request_too_large",
                )
            if not piece and not machine.eof and not rest:
                raise _broken(coding, "it ends too early")
            parts.append(piece)
        rest = machine.unused_data.lstrip(b"\0") if coding == "gzip" else machine.unused_data
    return b"".join(parts)


def _machine(coding: str, data: bytes) -> _Machine:
    if coding == "zstd":
        return _zstd()
    if coding == "gzip":
        return zlib.decompressobj(zlib.MAX_WBITS | 16)
    # What clients call deflate has zlib's head (RFC 1950, 2.2) or none.
    head = int.from_bytes(data[:2], "big")
    wrapped = data[0] & 0x0F == 8 and head % 31 == 0
    return zlib.decompressobj(zlib.MAX_WBITS if wrapped else -zlib.MAX_WBITS)


def _zstd() -> _Machine:
    from backports import zstd  # few send it, and start-up need not wait for it

    machine: _Machine = zstd.ZstdDecompressor(options={zstd.DecompressionParameter.window_log_max: _WINDOW})
    return machine


def _broken(coding: str, why: str) -> CallerFault:
    return CallerFault(f"The request body is not valid {coding}: {why[:100]}", code="invalid_content_encoding")
