"""GET /, /healthz, /readyz and /metrics: for probes, load balancers and monitoring, without a key."""

from __future__ import annotations

import hmac
from collections.abc import Sequence
from ipaddress import IPv4Network, IPv6Network, ip_address

from gateway.dialect import bearer
from gateway.errors import CallerFault
from gateway.exposition import CONTENT_TYPE
from gateway.http import web
from gateway.http.server.request_context import RequestContext
from gateway.http.server.request_reading import remote_address
from gateway.http.server.router import API_PREFIXES


async def root(context: RequestContext) -> web.StreamResponse:
    """What this is, for people who open the address and for clients that ask first whether anybody is there."""
    return context.json(
        {"object": "gateway", "name": "Tollgate", "api": list(API_PREFIXES), "documentation": "/openapi.json"}
    )


async def healthz(context: RequestContext) -> web.StreamResponse:
    """The process is alive."""
    return context.json({"status": "ok"})


async def readyz(context: RequestContext) -> web.StreamResponse:
    """The process takes requests: 200, or 503 while it drains or its database does not answer.
    `degraded` names what is away without which it can serve."""
    problems = await context.gateway.problems()
    if problems:
        return context.json({"status": "not ready", "reasons": problems}, status=503)
    degraded = context.gateway.degraded()
    return context.json({"status": "ready", **({"degraded": degraded} if degraded else {})})


async def metrics(context: RequestContext) -> web.StreamResponse:
    """Prometheus metrics: behind a bearer token when `metrics.token` is set, otherwise for loopback only."""
    server, settings = context.runtime.config.server, context.runtime.config.metrics
    if not settings.enabled:
        raise CallerFault("Metrics are switched off (metrics.enabled).", status=404, code="not_found")
    if settings.token:
        given = bearer({"authorization": context.request.headers.get("Authorization", "")})
        if not hmac.compare_digest(given.encode("utf-8", "replace"), settings.token.encode()):
            raise CallerFault("Metrics need the token of metrics.token.", status=401, code="invalid_api_key")
    elif not _is_local(context.request, server.trusted_proxies):
        raise CallerFault(
            "Metrics are for this machine only, unless metrics.token is set.", status=403, code="forbidden"
        )
    body = await context.gateway.exposition(accounts=settings.accounts)
    return web.Response(body=body, headers={**context.headers(), "content-type": CONTENT_TYPE})


def _is_local(request: web.BaseRequest, trusted: Sequence[IPv4Network | IPv6Network]) -> bool:
    """Whether a request comes from this machine itself, and not by way of a proxy that runs on it."""
    if not trusted and ("X-Forwarded-For" in request.headers or "Forwarded" in request.headers):
        return False
    try:
        return ip_address(remote_address(request, trusted)).is_loopback
    except ValueError:  # what a trusted proxy passed on as the address is none
        return False
