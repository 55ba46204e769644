"""Which paths a gateway serves: its own and its plugins'."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from aiohttp import web

from gateway.dialect import ChatDialect, InboundDialect
from gateway.errors import CallerFault, Fault
from gateway.generation import Runtime
from gateway.http.api import batches, conversations, files, health, models, payments, responses, usage, vouchers
from gateway.http.api.account import routes as account_routes
from gateway.http.api.admin import routes as admin_routes
from gateway.http.api.openapi import DocumentHandler
from gateway.http.api.operations import account, calls
from gateway.http.calls.explaining import Explainer
from gateway.http.calls.model_calls import serve_call
from gateway.http.calls.plain_routes import add_plain_routes
from gateway.http.server.request_context import IDEMPOTENCY_KEY, RequestContext
from gateway.http.server.router import API_PREFIXES, Handler, RouteTable
from gateway.responses.compaction import CompactDialect
from gateway.responses.dialect import ResponsesDialect
from gateway.text_dialect import CompletionsDialect
from gateway.wire.openapi import Operation

ALWAYS = (health.healthz, health.readyz, health.metrics)
"""The handlers that answer also while the gateway drains."""


ErrorPage = Callable[[RequestContext, Fault], Awaitable[web.StreamResponse | None]]
"""Shows a fault to people; None where a program asks, which gets JSON. Must not raise."""


class Routes(RouteTable):
    """A route table that knows dialects; implements `gateway.hookspecs.Router`. error_page: what shows faults to
    people, None when nothing does."""

    error_page: ErrorPage | None = None

    def __init__(self, prefixes: tuple[str, ...]) -> None:
        super().__init__(prefixes)
        self._calls: set[tuple[str, str]] = set()

    def add_dialect(
        self, method: str, template: str, dialect: InboundDialect, *operations: Operation, api: bool = True
    ) -> None:
        """Let `template` take model calls in `dialect`."""

        async def handler(context: RequestContext) -> web.StreamResponse:
            if context.server is not None:
                return await context.server.serve(context, dialect)
            if IDEMPOTENCY_KEY in context.request.headers and context.keyed is not None:
                return await context.keyed.serve(context, dialect)
            return await serve_call(context, dialect)

        self.add(method, template, handler, *operations, api=api)
        self._calls.update((method, prefix + template) for prefix in (self.prefixes if api else ("",)))

    def find_call(self, raw_path: str) -> tuple[Handler, str, dict[str, str]]:
        """The handler, template and places of a route that takes model calls by POST. Raises CallerFault."""
        handler, template, values = self.find("POST", raw_path)
        if ("POST", template) not in self._calls:
            raise CallerFault(f"path: {template!r} takes no model calls.", param="path")
        return handler, template, values


Part = Callable[[Routes, Runtime], None]
"""Adds what stands above this floor to the routes of one generation of the configuration."""


def build_routes(runtime: Runtime, parts: Sequence[Part] = ()) -> Routes:
    """The routes of one generation of the configuration; a plugin's route replaces ours of the same name."""
    routes = Routes(API_PREFIXES)
    routes.add_dialect("POST", "/chat/completions", ChatDialect(), calls.CHAT)
    routes.add_dialect("POST", "/completions", CompletionsDialect(), calls.COMPLETIONS)
    add_plain_routes(routes)
    routes.add_dialect("POST", "/responses", ResponsesDialect(runtime.responses_services()), calls.RESPONSES)
    routes.add_dialect("POST", "/responses/compact", CompactDialect(runtime.responses_services()), calls.COMPACT)
    responses.add_routes(routes)
    conversations.add_routes(routes)
    files.add_routes(routes)
    batches.add_routes(routes, routes)
    routes.add("POST", "/explain", Explainer(routes), calls.EXPLAIN)
    routes.add("GET", "/models", models.list_models, calls.LIST_MODELS)
    routes.add("GET", "/models/{id...}", models.get_model, calls.GET_MODEL)
    routes.add("GET", "/usage", usage.get_usage, account.GET_USAGE)
    routes.add("GET", "/", health.root, account.ROOT, api=False)
    routes.add("GET", "/healthz", health.healthz, account.HEALTH, api=False)
    routes.add("GET", "/readyz", health.readyz, account.READY, api=False)
    routes.add("GET", "/metrics", health.metrics, account.METRICS_PAGE, api=False)
    routes.add("POST", "/account/topups", payments.create_topup, account.CREATE_TOPUP, api=False)
    routes.add("GET", "/account/topups", payments.list_topups, account.LIST_TOPUPS, api=False)
    routes.add("GET", "/account/topups/{id}", payments.get_topup, account.GET_TOPUP, api=False)
    routes.add("POST", "/account/vouchers/redeem", vouchers.redeem, account.REDEEM, api=False)
    routes.add("POST", "/payments/{name}/webhook", payments.receive_webhook, account.WEBHOOK, api=False)
    account_routes.add_routes(routes)
    admin_routes.add_routes(routes)
    routes.add("GET", "/openapi.json", DocumentHandler(routes), account.DOCUMENT, api=False)
    for part in parts:
        part(routes, runtime)
    runtime.plugins.call("register_routes", router=routes)
    return routes
