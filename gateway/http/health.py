"""GET /healthz, /readyz and /metrics: for load balancers and monitoring, without a key."""

from __future__ import annotations

import hmac
from ipaddress import ip_address

from aiohttp import web

from gateway.dialect import bearer
from gateway.errors import CallerFault
from gateway.http.context import Visit
from gateway.http.intake import remote_address


async def healthz(visit: Visit) -> web.StreamResponse:
    """The process is alive."""
    return visit.json({"status": "ok"})


async def readyz(visit: Visit) -> web.StreamResponse:
    """The process takes requests: 200, or 503 while it drains or its database does not answer."""
    problems = await visit.gateway.problems()
    if problems:
        return visit.json({"status": "not ready", "reasons": problems}, status=503)
    return visit.json({"status": "ready"})


async def metrics(visit: Visit) -> web.StreamResponse:
    """Prometheus metrics: behind a bearer token when `metrics.token` is set, otherwise for loopback only."""
    server, settings = visit.runtime.config.server, visit.runtime.config.metrics
    if not settings.enabled:
        raise CallerFault("Metrics are switched off (metrics.enabled).", status=404, code="not_found")
    if settings.token:
        given = bearer({"authorization": visit.request.headers.get("Authorization", "")})
        if not hmac.compare_digest(given.encode(), settings.token.encode()):
            raise CallerFault("Metrics need the token of metrics.token.", status=401, code="invalid_api_key")
    elif not ip_address(remote_address(visit.request, server.trusted_proxies)).is_loopback:
        raise CallerFault(
            "Metrics are for this machine only, unless metrics.token is set.", status=403, code="forbidden"
        )
    body, content_type = visit.gateway.metrics.exposition()
    return web.Response(body=body, headers={**visit.headers(), "content-type": content_type})
