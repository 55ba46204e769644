"""Tables of the paths that a gateway serves, and the first of them: what every gateway is asked for."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from gateway.dialect import ChatDialect, InboundDialect
from gateway.doors import Doors
from gateway.errors import CallerFault, Fault
from gateway.generation import Runtime
from gateway.http import web
from gateway.http.api import health
from gateway.http.calls.model_calls import serve_call
from gateway.http.server.request_context import IDEMPOTENCY_KEY, RequestContext
from gateway.http.server.router import API_PREFIXES, Handler, RouteTable

if TYPE_CHECKING:
    from gateway.wire.openapi import Operation

ALWAYS = (health.healthz, health.readyz, health.metrics)
"""The handlers that answer also while the gateway drains."""


ErrorPage = Callable[[RequestContext, Fault], Awaitable[web.StreamResponse | None]]
"""Shows a fault to people; None where a program asks, which gets JSON. Must not raise."""


class Routes(RouteTable):
    """A route table that knows dialects; implements `gateway.hookspecs.Router`. error_page: what shows faults to
    people, None when nothing does."""

    whole = True
    error_page: ErrorPage | None = None

    def __init__(self, prefixes: tuple[str, ...]) -> None:
        super().__init__(prefixes)
        self._calls: set[tuple[str, str]] = set()
        self._dialects: dict[str, InboundDialect] = {}
        self._roads: dict[str, InboundDialect] = {}
        self._hub_only: frozenset[str] = frozenset()
        self.doors = Doors()

    def add_dialect(
        self, method: str, template: str, dialect: InboundDialect, *operations: Operation, api: bool = True
    ) -> None:
        """Let `template` take model calls in `dialect`."""
        own = getattr(dialect, "own_header", "")
        if own:
            self._dialects[own] = dialect
            self._roads.update((road, dialect) for road in self._own_roads(template, api))

        def handler(context: RequestContext) -> Awaitable[web.StreamResponse]:
            if context.server is not None:
                return context.server.serve(context, dialect)
            if IDEMPOTENCY_KEY in context.request.headers and context.keyed is not None:
                return context.keyed.serve(context, dialect)
            return serve_call(context, dialect)

        self.add(method, template, handler, *operations, api=api)
        self.doors.add((self.prefixes[0] if api else "") + template, dialect)
        self._calls.update((method, prefix + template) for prefix in (self.prefixes if api else ("",)))

    def _own_roads(self, template: str, api: bool) -> list[str]:
        """Below which paths a dialect is alone that takes calls under `template`: the same folder outside of the API,
        and what follows its path within, unless places stand there, which OpenAI's dialect may have too."""
        if not api:
            return [template[: template.index("/", 1) + 1]] if template.count("/") > 1 else []
        return [] if "{" in template else [f"{prefix}{template}/" for prefix in self.prefixes]

    def keep_to_hub(self, *folders: str) -> None:
        """What stands in these folders of the API so far speaks OpenAI's dialect, and other dialects have something of
        their own on the same paths: their clients would take our answers for what they are not."""
        roads = tuple(prefix + folder for prefix in self.prefixes for folder in folders)
        self._hub_only |= {template for template in self.templates() if template.startswith(roads)}

    def lead(self, context: RequestContext) -> Handler:
        """The handler of a request; its template and the places' values are noted in `context`. Raises CallerFault, to
        be told in the dialect of the client that asks."""
        request = context.request
        try:
            handler, context.template, context.values = self.find(request.method, request.rel_url.raw_path)
            if context.template in self._hub_only and self._speaker(context) is not None:
                raise CallerFault(
                    f"{context.template} takes and answers OpenAI's objects, and what your client has on this path is "
                    "not here; send files in the messages themselves, or use OpenAI's client for files and batches.",
                    status=404,
                    code="not_found",
                )
        except CallerFault:
            context.dialect = self._speaker(context)
            raise
        return handler

    def _speaker(self, context: RequestContext) -> InboundDialect | None:
        """The dialect whose clients alone send a header that this request has, or ask below such a path; None for
        OpenAI's."""
        headers, path = context.request.headers, context.request.rel_url.raw_path + "/"
        sent = (dialect for header, dialect in self._dialects.items() if header in headers)
        asked = (dialect for road, dialect in self._roads.items() if path.startswith(road))
        return next(sent, None) or next(asked, None)

    def find_call(self, raw_path: str) -> tuple[Handler, str, dict[str, str]]:
        """The handler, template and places of a route that takes model calls by POST. Raises CallerFault."""
        handler, template, values = self.find("POST", raw_path)
        if ("POST", template) not in self._calls:
            raise CallerFault(f"path: {template!r} takes no model calls.", param="path")
        return handler, template, values


class FirstRoutes(Routes):
    """What a gateway serves before anything else was asked for. Paths are taken as they stand: about any other, and any
    fault, the whole table decides."""

    whole = False

    def __init__(self, prefixes: tuple[str, ...]) -> None:
        super().__init__(prefixes)
        self.completing: asyncio.Task[None] | None = None  # what puts the whole table in the place of this one

    def _match(self, raw_path: str) -> None:
        return None


Part = Callable[[Routes, Runtime], None]
"""Adds what stands above this floor to the routes of one generation of the configuration."""


def first_routes(runtime: Runtime) -> FirstRoutes:
    """Chat completions, and what tells how a gateway is."""
    routes = FirstRoutes(API_PREFIXES)
    runtime.doors = routes.doors
    routes.add_dialect("POST", "/chat/completions", ChatDialect())
    routes.add("GET", "/healthz", health.healthz, api=False)
    routes.add("GET", "/readyz", health.readyz, api=False)
    routes.add("GET", "/metrics", health.metrics, api=False)
    return routes


def can_wait(runtime: Runtime) -> bool:
    """Whether the first routes are right as long as nobody asks for others: every plugin with routes says that its own
    replace none of them."""
    return all(
        getattr(step.plugin, "routes_can_wait", False) is True
        for _, step in runtime.plugins.implementations("register_routes")
    )
