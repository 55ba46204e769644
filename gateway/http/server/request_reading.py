"""Reading a request: headers that matter, and a body that is bounded in size and may not trickle."""

from __future__ import annotations

import asyncio
import re
from collections import deque
from collections.abc import Callable, Sequence
from ipaddress import IPv4Network, IPv6Network, ip_address
from typing import Any
from urllib.parse import urlsplit

from aiohttp.http import HttpVersion11

from gateway.aside import SMALL, Aside
from gateway.config import Server
from gateway.config.limits import BodyLimits
from gateway.errors import CallerFault
from gateway.http import web
from gateway.wire.json_body import parse_json

_ONLY_ONCE = ("Authorization", "X-Api-Key", "X-Goog-Api-Key", "Content-Encoding", "Expect")
"""Headers that decide who asks and how the body is read: of two, a proxy may believe one and the gateway the other."""

_HOST = re.compile(r"(?:[A-Za-z0-9._-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\])(?::[0-9]{1,5})?", re.ASCII)

JSON_TYPES = ("application/json", "text/json", "")
"""Media types of JSON; most clients name the first."""


def check_head(request: web.BaseRequest) -> None:
    """Refuse what two readers of one head may understand differently, before anything is decided by it.

    Raises CallerFault 400 for a `Host` that is none, for a credential that stands twice and for chunking in HTTP/1.0
    (RFC 9112, section 6.1), and 501 for a transfer coding other than chunked, which nobody here would undo. The
    connection closes where it is not sure how long the body is, and after a Host that is none: what came before this
    gateway may have read another one.
    """
    headers = request.headers
    host = headers.get("Host")
    if host is not None and not _HOST.fullmatch(host) and (host or request.version >= HttpVersion11):
        raise CallerFault(
            "Host: this header is not a host name, with or without a port.",
            code="bad_http",
            headers={"connection": "close"},
        )
    for name in _ONLY_ONCE:
        if name in headers and len(headers.getall(name)) > 1:
            raise CallerFault(f"{name}: this header stands more than once; send one.", code="duplicate_header")
    coding = headers.get("Transfer-Encoding")
    if coding is None:
        return
    if request.version < HttpVersion11:
        raise CallerFault(
            "Transfer-Encoding is not part of HTTP/1.0.", code="bad_http", headers={"connection": "close"}
        )
    if coding.strip().lower() != "chunked":
        raise CallerFault(
            f"Transfer-Encoding {coding[:40]!r} is not implemented; send the body chunked only.",
            status=501,
            code="unsupported_transfer_encoding",
            headers={"connection": "close"},
        )


_NOTHING: deque[bytes] = deque(maxlen=0)
"""Stays empty, whatever is put into it."""


async def read_body(
    request: web.BaseRequest,
    limits: BodyLimits,
    take: Callable[[int], None] | None = None,
    *,
    types: Sequence[str] = JSON_TYPES,
    coded: bool = False,
) -> bytes:
    """The whole body, which is of one of these media types. coded: it may be compressed, and is given as it came.
    Raises CallerFault 413 (too large), 415 (encoding or media type), 417, 408 (too slow).

    take: told of the bytes as they come; whatever Fault it raises ends the reading, and the connection with it.
    """
    headers = request.headers
    encoding = headers.get("Content-Encoding", "identity").strip().lower()
    if encoding not in ("", "identity") and not coded:
        raise CallerFault(
            f"Content-Encoding {encoding[:40]!r} is not accepted; send the body uncompressed.",
            status=415,
            code="unsupported_content_encoding",
        )
    if request.content_type.lower() not in types and "Content-Type" in headers:
        raise CallerFault(
            f"Content-Type {request.content_type[:80]!r} is not accepted; send {types[0]}.",
            status=415,
            code="unsupported_media_type",
        )
    length = request.content_length
    if length is not None and length > limits.max_body:
        raise _too_large(limits)
    _continue_if_expected(request)
    content = request.content
    if content.is_eof():
        whole = content.read_nowait(-1)
        if len(whole) > limits.max_body:  # a chunked body does not say its size
            raise _too_large(limits)
        if take is not None:
            take(len(whole))
        # Nothing more comes, and the answer may take long: aiohttp's empty queue is 760 bytes for each open stream.
        content._buffer = _NOTHING
        return whole
    return await _read_slowly(request, limits, length, take)


async def parse_body(raw: bytes, server: Server, aside: Aside) -> dict[str, Any]:
    """`parse_json`, beside the event loop when there is much to parse."""
    if len(raw) <= SMALL:
        return parse_json(raw, max_depth=server.json_depth, max_values=server.json_values)
    return await aside(len(raw), parse_json, raw, max_depth=server.json_depth, max_values=server.json_values)


async def _read_slowly(
    request: web.BaseRequest, limits: BodyLimits, length: int | None, take: Callable[[int], None] | None
) -> bytes:
    loop = asyncio.get_running_loop()
    started = loop.time()
    end, due = started + limits.most_time, started + limits.grace
    parts: list[bytes] = []
    size = 0
    try:
        while True:
            async with asyncio.timeout_at(min(due, end)):
                part = await request.content.readany()
            if not part:
                break
            size += len(part)
            if size > limits.max_body:
                raise _too_large(limits)
            if take is not None:
                take(len(part))
            parts.append(part)
            # Every piece moves the time when the next is due, but never beyond the grace: however much came at once,
            # a stalled body does not stay for long. Without a rate, each piece has the grace for itself.
            latest = loop.time() + limits.grace
            due = min(due + len(part) / limits.min_rate, latest) if limits.min_rate else latest
    except TimeoutError:
        raise CallerFault(
            f"The request body arrived too slowly: {size} bytes in {loop.time() - started:.0f} s.",
            status=408,
            code="request_timeout",
            headers={"connection": "close"},
        ) from None
    except (web.RequestPayloadError, ConnectionError, ValueError) as error:
        raise CallerFault(f"The request body is broken: {error}", headers={"connection": "close"}) from error
    if length is not None and size < length:
        raise CallerFault(f"The request body ended after {size} of {length} bytes.", headers={"connection": "close"})
    return b"".join(parts)


def _too_large(limits: BodyLimits) -> CallerFault:
    return CallerFault(
        f"The request body is larger than {limits.max_body} bytes ({limits.setting}).",
        status=413,
        code="request_too_large",
        headers={"connection": "close"},
    )


def _continue_if_expected(request: web.BaseRequest) -> None:
    """RFC 9110 10.1.1: a client that expects it holds its body back until it hears 100 Continue."""
    expect = request.headers.get("Expect")
    if expect is None:
        return
    if expect.lower() != "100-continue":
        raise CallerFault(f"Expect: {expect[:40]!r} cannot be met.", status=417, code="expectation_failed")
    if request.transport is not None and not request.content.is_eof():
        request.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")


def own_address(request: web.BaseRequest, server: Server) -> str:
    """How whoever sent this reaches the gateway: `https://llm.example.org`, without a slash at its end.

    `server.public_url` when it is set; otherwise made of the `Host` header, so nothing may be decided by it: it is for
    showing to the one who sent that. `X-Forwarded-Proto` counts when a trusted proxy wrote it.
    """
    if server.public_url is not None:
        return server.public_url
    host = request.headers.get("Host", "")
    if not _HOST.fullmatch(host):
        host = f"[{server.host}]:{server.port}" if ":" in server.host else f"{server.host}:{server.port}"
    peer = request.transport.get_extra_info("peername") if request.transport is not None else None
    trusted = isinstance(peer, tuple) and _within(str(peer[0]), server.trusted_proxies)
    secure = trusted and request.headers.get("X-Forwarded-Proto", "").strip().lower() == "https"
    return f"{'https' if secure else 'http'}://{host}"


def is_own_origin(request: web.BaseRequest, server: Server) -> bool:
    """Whether a browser sent this from a page of this gateway. For what changes something by a cookie: requests of
    other sites carry it too. A request that says nothing of its origin comes from no browser of today."""
    site = request.headers.get("Sec-Fetch-Site", "same-origin").lower()
    origin = request.headers.get("Origin")
    if site not in ("same-origin", "none"):
        return False
    if origin is None or origin == server.public_url:
        return True
    return urlsplit(origin).netloc == request.headers.get("Host", "") != ""


def remote_address(request: web.BaseRequest, trusted: Sequence[IPv4Network | IPv6Network]) -> str:
    """The caller's IP address. `X-Forwarded-For` counts only as far as trusted proxies wrote it."""
    peer = request.transport.get_extra_info("peername") if request.transport is not None else None
    address = str(peer[0]) if isinstance(peer, tuple) else ""
    if not trusted or not _within(address, trusted):
        return address
    # A proxy may add a line of its own after the caller's instead of lengthening that: all lines are one list
    # (RFC 9110, section 5.2), and its end is what the proxy wrote.
    for hop in reversed(",".join(request.headers.getall("X-Forwarded-For", ())).split(",")):
        hop = hop.strip()
        if hop and not _within(hop, trusted):
            return hop
    return address


def _within(address: str, networks: Sequence[IPv4Network | IPv6Network]) -> bool:
    try:
        parsed = ip_address(address)
    except ValueError:
        return False
    return any(parsed in network for network in networks)
