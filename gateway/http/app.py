"""The HTTP side of a gateway: routes, the frame around every handler, and the listening socket."""

from __future__ import annotations

import asyncio
import secrets
import time
from weakref import WeakKeyDictionary

from aiohttp import web

from gateway.errors import Fault, GatewayFault
from gateway.http.connection import Connection
from gateway.http.context import Visit
from gateway.http.routes import ALWAYS, Routes, build_routes
from gateway.runtime import Gateway, Runtime

_DRAINING = GatewayFault(
    "The gateway is shutting down; try again in a moment.",
    status=503,
    type="overloaded",
    code="draining",
    retry_after=1.0,
    headers={"connection": "close"},
)


class HttpApp:
    """Serves one gateway. Which configuration, and so which routes, serve a request is looked up per request."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._visits: set[Visit] = set()
        # The routes of the configurations in use: two for a moment after a reload, otherwise one.
        self._routes: WeakKeyDictionary[Runtime, Routes] = WeakKeyDictionary()

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """The frame around every handler: request id, errors, one log line, one metric."""
        connection = request.protocol
        assert isinstance(connection, Connection)
        connection.head_complete()
        gateway = self._gateway
        runtime = gateway.enter()
        visit = Visit(gateway, runtime, request, "req_" + secrets.token_hex(12), time.monotonic())
        visit.task = asyncio.current_task()
        self._visits.add(visit)
        status, fault = 499, None
        try:
            response = await self._answer(visit)
            status = response.status
        except Fault as error:
            fault = error
            status = error.status
            response = visit.error(error)
        except asyncio.CancelledError:
            raise
        except Exception as error:  # a bug of ours: the caller gets a clean 500 with the request id, we get the trace
            gateway.log.exception("handler failed", extra={"request_id": visit.id})
            fault = GatewayFault("The gateway failed to handle this request.", detail=repr(error))
            status = fault.status
            response = visit.error(fault)
        finally:
            self._visits.discard(visit)
            gateway.leave(runtime)
            connection.request_done()
            outcome = visit.conductor.outcome if visit.conductor is not None else None
            gateway.observe(
                visit.id,
                request.method,
                visit.template,
                status,
                time.monotonic() - visit.started,
                fault,
                visit.call,
                outcome,
            )
        return response

    async def _answer(self, visit: Visit) -> web.StreamResponse:
        request = visit.request
        routes = self._routes.get(visit.runtime)
        if routes is None:
            routes = self._routes[visit.runtime] = build_routes(visit.runtime)
        handler, visit.template, visit.values = routes.find(request.method, request.rel_url.raw_path)
        if self._gateway.draining and handler not in ALWAYS:
            raise _DRAINING
        response: web.StreamResponse = await handler(visit)
        return response

    def interrupt_all(self, fault: Fault) -> None:
        """End every running request with `fault`."""
        for visit in list(self._visits):
            visit.interrupt(fault)

    @property
    def busy(self) -> int:
        """How many requests are being handled."""
        return len(self._visits)
