"""HTTP answers of the console: headers that keep a page to itself, compression, and "you have it already"."""

from __future__ import annotations

import gzip
import hashlib
from collections.abc import Mapping

from gateway.http import web
from gateway.http.server.request_context import RequestContext

HTML = "text/html; charset=utf-8"
_WORTH_PACKING = 1024

POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' data: blob:",
        "media-src data:",
        "font-src 'self'",
        "connect-src 'self'",
        "form-action 'self'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
    )
)
"""The Content-Security-Policy of every page: own files only, and nothing inline."""

PAGE_HEADERS: Mapping[str, str] = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), microphone=(), geolocation=(), payment=(), usb=()",
}
"""What every answer of the console carries."""


def etag_of(body: bytes) -> str:
    """A validator of a body; a weak one, since the body in gzip has the same (RFC 9110, section 8.8.1)."""
    return f'W/"{hashlib.sha256(body).hexdigest()[:32]}"'


def has_already(context: RequestContext, etag: str) -> bool:
    """Whether the caller holds the version with this etag (`If-None-Match`)."""
    given = context.request.headers.get("If-None-Match", "")
    tags = [tag.strip().removeprefix("W/") for tag in given.split(",")]
    return etag.removeprefix("W/") in tags or tags == ["*"]


def takes_gzip(context: RequestContext) -> bool:
    """Whether the caller can unpack gzip."""
    parts = context.request.headers.get("Accept-Encoding", "").lower().split(",")
    wanted = {name.strip(): weight.replace(" ", "") for name, _, weight in (part.partition(";") for part in parts)}
    return "gzip" in wanted and wanted["gzip"] not in ("q=0", "q=0.0")


def pack(body: bytes) -> bytes | None:
    """The body in gzip, the same bytes every time; None when that would not be worth it."""
    packed = gzip.compress(body, 6, mtime=0) if len(body) >= _WORTH_PACKING else body
    return packed if len(packed) < len(body) else None


def send(
    context: RequestContext,
    body: bytes,
    *,
    kind: str,
    cache: str,
    packed: bytes | None = None,
    status: int = 200,
    etag: str = "",
    vary: str = "Accept-Encoding",
) -> web.Response:
    """An answer of the console. kind: its content type. packed: the body in gzip, for callers who take that.
    etag: with one, a caller who has the body already gets 304."""
    headers = {**context.headers(), **PAGE_HEADERS, "cache-control": cache, "vary": vary}
    if etag:
        headers["etag"] = etag
        if status == 200 and has_already(context, etag):
            return web.Response(status=304, headers=headers)
    headers["content-type"] = kind
    if packed is not None and takes_gzip(context):
        body = packed
        headers["content-encoding"] = "gzip"
    return web.Response(status=status, body=body, headers=headers)
