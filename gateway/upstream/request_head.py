"""The head of a request to an upstream: where it goes, and the bytes that say so."""

from __future__ import annotations

from urllib.parse import urlsplit

from gateway.errors import GatewayFault
from gateway.provider import UpstreamRequest

Origin = tuple[bool, str, int]
"""Is it TLS, host, port."""
_MOST_URLS = 4096
_MOST_HEADS = 256


class RequestHeads:
    """Makes the heads, and remembers the last ones: a provider sends the same with most requests."""

    def __init__(self) -> None:
        self._urls: dict[str, tuple[Origin, bytes]] = {}
        self._heads: dict[tuple[object, ...], bytes] = {}

    def make(self, request: UpstreamRequest) -> tuple[Origin, bytes]:
        """Where a request goes, and its head. Raises GatewayFault for a URL that is none, or a header that holds a line
        break."""
        known = self._urls.get(request.url)
        if known is None:
            known = _read_url(request.url)
            if len(self._urls) >= _MOST_URLS:
                self._urls.clear()
            self._urls[request.url] = known
        origin, target = known
        key = (request.method, request.url, *request.headers.items())
        head = self._heads.get(key)
        if head is None:
            head = _write_head(request, target)
            if len(self._heads) >= _MOST_HEADS:
                self._heads.clear()
            self._heads[key] = head
        return origin, b"%bcontent-length: %d\r\n\r\n" % (head, len(request.body))


def _write_head(request: UpstreamRequest, target: bytes) -> bytes:
    """A request's head but for its length. Raises GatewayFault for a header that would end it."""
    lines = [b"%b %b\r\n" % (request.method.encode(), target)]
    if "accept-encoding" not in request.headers:
        lines.append(b"accept-encoding: identity\r\n")
    for name, value in request.headers.items():
        line = f"{name}: {value}\r\n"
        if line.count("\n") != 1 or line.count("\r") != 1 or "\0" in line:
            raise GatewayFault(f"The header {name!r} for the provider holds a line break.")
        lines.append(line.encode("latin-1", "replace"))
    return b"".join(lines)


def _read_url(url: str) -> tuple[Origin, bytes]:
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError as error:
        raise GatewayFault("The provider's URL is not valid.", detail=f"{url!r}: {error}") from error
    plain = url.isascii() and url.isprintable() and " " not in url
    if not plain or parts.scheme not in ("http", "https") or not parts.hostname:
        raise GatewayFault("The provider's URL is not an absolute http(s) URL.", detail=repr(url))
    secure = parts.scheme == "https"
    port = parts.port or (443 if secure else 80)
    path = parts.path or "/"
    target = f"{path}?{parts.query}" if parts.query else path
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    authority = host if port == (443 if secure else 80) else f"{host}:{port}"
    line = f"{target} HTTP/1.1\r\nhost: {authority}".encode("ascii")
    return (secure, parts.hostname, port), line
