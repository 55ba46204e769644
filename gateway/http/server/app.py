"""The HTTP side of a gateway: routes, the frame around every handler, and the listening socket."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING

from gateway.deferred import later
from gateway.errors import CallerFault, Fault, GatewayFault
from gateway.generation import Runtime
from gateway.http import web
from gateway.http.calls.idempotency import Idempotency
from gateway.http.routes import ALWAYS, FirstRoutes, Part, Routes, can_wait, first_routes
from gateway.http.server.connection import Connection, RequestIds
from gateway.http.server.cors import is_preflight, preflight_headers
from gateway.http.server.flight import Flight, InFlight
from gateway.http.server.request_context import RequestContext
from gateway.http.server.request_reading import check_head
from gateway.runtime import Gateway

if TYPE_CHECKING:
    from gateway.doors import Doors
    from gateway.http.all_routes import build_routes
else:
    build_routes = later("gateway.http.all_routes:build_routes")


class HttpApp:
    """Serves one gateway. Which configuration, and so which routes, serve a request is looked up per request.
    parts: add routes besides the API's."""

    def __init__(self, gateway: Gateway, parts: Sequence[Part] = ()) -> None:
        self._gateway = gateway
        self.ids = RequestIds()
        self._parts = parts
        self._running: set[RequestContext] = set()
        self._keyed = Idempotency(gateway)
        gateway.metrics.figures["gateway_open_streams"] = ("Streams that are being answered.", self._streams)
        self._in_flight = InFlight()

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """The frame around every handler: request id, errors, one log line, one metric."""
        connection = request.protocol
        assert isinstance(connection, Connection)
        connection.head_complete(request.content)
        gateway = self._gateway
        runtime = gateway.acquire_runtime()
        server = runtime.config.server
        flight = Flight(self._in_flight, server.max_in_flight, server.max_in_flight_per_account)
        context = RequestContext(
            gateway, runtime, request, self.ids.new(), time.monotonic(), keyed=self._keyed, flight=flight
        )
        context.task = asyncio.current_task()
        self._running.add(context)
        status, fault = 499, None
        response: web.StreamResponse | None = None
        try:
            response = await self._lead(context)
            if gateway.leaving:
                # The next request of this connection had better go to another gateway.
                response.force_close()
            self._hold_answer(context, response)
            status = response.status
        except Fault as error:
            fault = error
            status = error.status
            response = await self._show(context, error)
        except asyncio.CancelledError:
            fault = context.was_interrupted()
            if fault is None:
                raise
            status = fault.status
            if request.writer.output_size > 0 and request.transport is not None:
                request.transport.abort()  # a second head would corrupt a stream that has begun
            response = context.error(fault)
        except Exception as error:  # a bug of ours: the caller gets a clean 500 with the request id, we get the trace
            gateway.log.exception("handler failed", extra={"request_id": context.id})
            if request.writer.output_size > 0:
                raise  # a second head would corrupt the answer: the connection breaks off instead
            fault = GatewayFault("The gateway failed to handle this request.", detail=repr(error))
            status = fault.status
            response = await self._show(context, fault)
        finally:
            connection.request_done(flight.release)
            context.log_answer(response)
            seconds = time.monotonic() - context.started
            rest = context.runner.unfinished if context.runner is not None else None
            if rest is None:
                self._close(context, status, seconds, fault)
            else:
                gateway.spawn(self._close_after(rest, context, status, seconds, fault), f"close {context.id}")
        return response

    async def _show(self, context: RequestContext, fault: Fault) -> web.StreamResponse:
        """The answer that a fault makes: a page for people, JSON for programs."""
        page, routes = None, _routes_of(context.runtime)
        if context.dialect is None and routes is not None and (routes.whole or not context.template):
            # None of the first routes is a page.
            show = (await self._complete_if_it_can_be(context.runtime)).error_page
            page = await show(context, fault) if show is not None else None
        return context.error(fault) if page is None else page

    @staticmethod
    def _hold_answer(context: RequestContext, response: web.StreamResponse) -> None:
        """A whole answer is in flight until its caller has taken it. Raises Fault for one too many, unless it is paid
        for."""
        body = response.body if isinstance(response, web.Response) else None
        if context.flight is not None and isinstance(body, bytes):
            paid = context.runner is not None and context.runner.outcome is not None
            (context.flight.hold if paid else context.flight.take)(len(body))

    def _close(self, context: RequestContext, status: int, seconds: float, fault: Fault | None) -> None:
        self._running.discard(context)
        self._gateway.release_runtime(context.runtime)
        outcome = context.runner.outcome if context.runner is not None else None
        self._gateway.record_request(
            context.id, context.request.method, context.template, status, seconds, fault, context.call, outcome
        )

    async def _close_after(
        self, rest: asyncio.Task[None], context: RequestContext, status: int, seconds: float, fault: Fault | None
    ) -> None:
        """The handler is done before the call is (its caller left, or it runs in the background): log and count it, and
        let go of its configuration, when its bill is written. What the other task may raise is reported by whoever
        owns it."""
        unfinished: asyncio.Task[None] | None = rest
        while unfinished is not None:
            await asyncio.wait([unfinished])
            unfinished = context.runner.unfinished if context.runner is not None else None
        self._close(context, status, seconds, fault)

    def _lead(self, context: RequestContext) -> Awaitable[web.StreamResponse]:
        """To the answer of the handler that the request is for. Raises Fault where it leads to none."""
        request = context.request
        check_head(request)
        routes = _routes_of(context.runtime)
        if routes is None:
            routes = self._begin(context.runtime)
        if is_preflight(request):
            return _answer_preflight(context)
        try:
            handler = routes.lead(context)
        except CallerFault as fault:
            if not routes.whole:
                return self._lead_further(context)
            raise (_no_websocket() if fault.status == 405 and _asks_for_websocket(request) else fault) from None
        if self._gateway.draining and handler not in ALWAYS:
            raise _draining()
        return handler(context)

    def _begin(self, runtime: Runtime) -> Routes:
        """The routes of a configuration's first request."""
        routes = runtime.routes = first_routes(runtime) if can_wait(runtime) else build_routes(runtime, self._parts)
        if not routes.whole:

            async def open_others() -> Doors:
                return (await self._complete_if_it_can_be(runtime)).doors

            routes.doors.others = open_others
        return routes

    async def _complete(self, runtime: Runtime) -> Routes:
        """All routes of a configuration. What they need is imported on a thread, where it takes a quarter of a second
        that nobody else waits for."""
        routes: Routes = runtime.routes
        if isinstance(routes, FirstRoutes):
            if routes.completing is None or routes.completing.done():  # without result: the next request tries again
                routes.completing = self._gateway.spawn(self._build(runtime), "routes")
            await asyncio.shield(routes.completing)
        return _routes_of(runtime) or routes

    async def _complete_if_it_can_be(self, runtime: Runtime) -> Routes:
        """As `_complete`, for what helps people to understand a fault: where that fails, the fault is still told."""
        try:
            return await self._complete(runtime)
        except Exception:  # logged by the task that it failed in
            first: Routes = runtime.routes
            return first

    async def _build(self, runtime: Runtime) -> None:
        runtime.routes = await asyncio.to_thread(build_routes, runtime, self._parts)

    async def _lead_further(self, context: RequestContext) -> web.StreamResponse:
        await self._complete(context.runtime)
        return await self._lead(context)

    def report_refused(self, request_id: str, fault: Fault) -> None:
        """Log and count what was answered before it became a request: broken HTTP, a head that came too slowly."""
        self._gateway.record_request(request_id, "", "", fault.status, 0.0, fault, None, None)

    def interrupt_all(self, make_fault: Callable[[], Fault]) -> None:
        """End every running request, each with a fault of its own."""
        for context in list(self._running):
            context.interrupt(make_fault())

    def _streams(self) -> int:
        return sum(context.call is not None and context.call.stream for context in self._running)

    @property
    def busy(self) -> int:
        """How many requests are being handled, those whose callers do not wait (any more) included."""
        return len(self._running)


async def _answer_preflight(context: RequestContext) -> web.Response:
    more = preflight_headers(context.request, context.runtime.config.server.cors_origins)
    return web.Response(status=204, headers={**context.headers(), **more})


def _asks_for_websocket(request: web.BaseRequest) -> bool:
    return request.method == "GET" and "websocket" in request.headers.get("Upgrade", "").lower()


def _no_websocket() -> CallerFault:
    """What a client that tries a WebSocket first is told: with this status it goes on over plain HTTP."""
    return CallerFault(
        "WebSockets are not served here; send the same request with POST, and `stream: true` for its events.",
        status=426,
        code="websocket_not_supported",
        headers={"upgrade": "HTTP/1.1", "connection": "close"},
    )


def _draining() -> GatewayFault:
    return GatewayFault(
        "The gateway is shutting down; try again in a moment.",
        status=503,
        type="overloaded",
        code="draining",
        retry_after=1.0,
        headers={"connection": "close"},
    )


def _routes_of(runtime: Runtime) -> Routes | None:
    routes: Routes | None = runtime.routes
    return routes
