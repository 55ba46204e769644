"""The HTTP side of a gateway: routes, the frame around every handler, and the listening socket."""

from __future__ import annotations

import asyncio
import time
from weakref import WeakKeyDictionary

from aiohttp import web

from gateway.errors import Fault, GatewayFault
from gateway.http.connection import Connection, new_request_id
from gateway.http.context import Visit
from gateway.http.idempotency import Idempotency
from gateway.http.intake import check_head
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
        self._keyed = Idempotency(gateway, self._visits)
        # The routes of the configurations in use: two for a moment after a reload, otherwise one.
        self._routes: WeakKeyDictionary[Runtime, Routes] = WeakKeyDictionary()

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """The frame around every handler: request id, errors, one log line, one metric."""
        connection = request.protocol
        assert isinstance(connection, Connection)
        connection.head_complete(request.content)
        gateway = self._gateway
        runtime = gateway.enter()
        visit = Visit(gateway, runtime, request, new_request_id(), time.monotonic(), keyed=self._keyed)
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
            fault = visit.was_interrupted()
            if fault is None:
                raise
            status = fault.status
            response = visit.error(fault)
        except Exception as error:  # a bug of ours: the caller gets a clean 500 with the request id, we get the trace
            gateway.log.exception("handler failed", extra={"request_id": visit.id})
            if request.writer.output_size > 0:
                raise  # a second head would corrupt the answer: the connection breaks off instead
            fault = GatewayFault("The gateway failed to handle this request.", detail=repr(error))
            status = fault.status
            response = visit.error(fault)
        finally:
            if visit.conductor is None or not visit.conductor.drains:
                self._visits.discard(visit)
            connection.request_done()
            seconds = time.monotonic() - visit.started
            rest = visit.conductor.unfinished if visit.conductor is not None else None
            if rest is None:
                self._close(visit, status, seconds, fault)
            else:
                gateway.spawn(self._close_after(rest, visit, status, seconds, fault), f"close {visit.id}")
        return response

    def _close(self, visit: Visit, status: int, seconds: float, fault: Fault | None) -> None:
        self._visits.discard(visit)
        self._gateway.leave(visit.runtime)
        outcome = visit.conductor.outcome if visit.conductor is not None else None
        self._gateway.observe(
            visit.id, visit.request.method, visit.template, status, seconds, fault, visit.call, outcome
        )

    async def _close_after(
        self, rest: asyncio.Task[None], visit: Visit, status: int, seconds: float, fault: Fault | None
    ) -> None:
        """The caller left before the bill was written: log and count the call, and let go of its configuration, when
        it is. What the other task may raise is reported by whoever owns it."""
        await asyncio.wait([rest])
        if visit.conductor is not None and visit.conductor.unfinished is not None:
            await asyncio.wait([visit.conductor.unfinished])
        self._close(visit, status, seconds, fault)

    async def _answer(self, visit: Visit) -> web.StreamResponse:
        request = visit.request
        check_head(request)
        routes = self._routes.get(visit.runtime)
        if routes is None:
            routes = self._routes[visit.runtime] = build_routes(visit.runtime)
        handler, visit.template, visit.values = routes.find(request.method, request.rel_url.raw_path)
        if self._gateway.draining and handler not in ALWAYS:
            raise _DRAINING
        response: web.StreamResponse = await handler(visit)
        return response

    def report_refused(self, request_id: str, fault: Fault) -> None:
        """Log and count what was answered before it became a request: broken HTTP, a head that came too slowly."""
        self._gateway.observe(request_id, "", "", fault.status, 0.0, fault, None, None)

    def interrupt_all(self, fault: Fault) -> None:
        """End every running request with `fault`."""
        for visit in list(self._visits):
            visit.interrupt(fault)
        self._gateway.live.stop_background(fault)

    @property
    def busy(self) -> int:
        """How many requests are being handled, those whose callers do not wait included."""
        return len(self._visits) + self._gateway.live.background
