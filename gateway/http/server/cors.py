"""Which web pages may call the API from a browser: CORS, as the Fetch standard has it.

Only the API is open to them, never the metrics, the admin API or the accounts. Keys are sent by the page itself;
cookies mean nothing to the API, so credentials in the standard's sense are never allowed.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from gateway.errors import CallerFault
from gateway.http import web
from gateway.http.server.router import API_PREFIXES

ANY_PORT = ":*"
_MAX_AGE = "600"
_METHODS = "GET, HEAD, POST, DELETE"
_NAMES = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z, -]{1,2000}", re.ASCII)


def cors_headers(request: web.BaseRequest, allowed: Sequence[str]) -> dict[str, str]:
    """What an answer carries for the page that asked; nothing for other clients, other paths and other origins.

    allowed: origins as `server.cors_origins` has them: `https://app.example.org`, `http://localhost:*` for any port,
    or `*` for every page there is.
    """
    origin = request.headers.get("Origin")
    if origin is None or not allowed or not _is_api(request):
        return {}
    if "*" in allowed:
        return {"access-control-allow-origin": "*", "access-control-expose-headers": "*"}
    # What is answered depends on who asks, whoever asks: a cache must not give one page's answer to another.
    headers = {"vary": "Origin"}
    if _matches(origin, allowed):
        headers |= {"access-control-allow-origin": origin, "access-control-expose-headers": "*"}
    return headers


def is_preflight(request: web.BaseRequest) -> bool:
    """Whether a browser asks what a page may do at a path of the API."""
    return request.method == "OPTIONS" and "Access-Control-Request-Method" in request.headers and _is_api(request)


def preflight_headers(request: web.BaseRequest, allowed: Sequence[str]) -> dict[str, str]:
    """What is added to `cors_headers` in the answer to a preflight: methods and headers that the page may use.

    Raises CallerFault 403 when the origin is not allowed; the browser shows its status, and the message where to
    change it.
    """
    origin = request.headers.get("Origin", "")
    if "*" not in allowed and not _matches(origin, allowed):
        raise CallerFault(
            f"Pages of the origin {origin[:200]!r} may not call this gateway from a browser. The operator can add it "
            "to server.cors_origins.",
            status=403,
            code="origin_not_allowed",
        )
    asked = request.headers.get("Access-Control-Request-Headers", "")
    headers = {"access-control-allow-methods": _METHODS, "access-control-max-age": _MAX_AGE}
    # A `*` would not include Authorization.
    return headers | ({"access-control-allow-headers": asked} if _NAMES.fullmatch(asked) else {})


def _is_api(request: web.BaseRequest) -> bool:
    return request.rel_url.raw_path.startswith(API_PREFIXES)


def _matches(origin: str, allowed: Sequence[str]) -> bool:
    if origin in allowed:
        return True
    host, colon, port = origin.rpartition(":")
    # Without a port the last colon is the scheme's.
    bare = origin if not colon or port.startswith("//") else host if port.isdigit() else ""
    return bare != "" and bare + ANY_PORT in allowed
