"""Every path that a gateway serves: its own and its plugins'.

Brings nearly all of the gateway with it, so it is imported with the first request that `first_routes` do not serve.
"""

from __future__ import annotations

from collections.abc import Sequence

from gateway.dialect import ChatDialect
from gateway.generation import Runtime
from gateway.http.api import batches, conversations, files, health, models, payments, responses, usage, vouchers
from gateway.http.api.account import routes as account_routes
from gateway.http.api.admin import routes as admin_routes
from gateway.http.api.openapi import DocumentHandler
from gateway.http.api.operations import account, calls
from gateway.http.calls.explaining import Explainer
from gateway.http.calls.plain_routes import add_plain_routes
from gateway.http.routes import Part, Routes
from gateway.http.server.router import API_PREFIXES
from gateway.responses.compaction import CompactDialect, TriggerDialect
from gateway.text_dialect import CompletionsDialect


def build_routes(runtime: Runtime, parts: Sequence[Part] = ()) -> Routes:
    """The routes of one generation of the configuration; a plugin's route replaces ours of the same name."""
    routes = Routes(API_PREFIXES)
    runtime.doors = routes.doors
    routes.add_dialect("POST", "/chat/completions", ChatDialect(), calls.CHAT)
    routes.add_dialect("POST", "/completions", CompletionsDialect(), calls.COMPLETIONS)
    add_plain_routes(routes)
    routes.add_dialect("POST", "/responses", TriggerDialect(runtime.responses_services()), calls.RESPONSES)
    routes.add_dialect("POST", "/responses/compact", CompactDialect(runtime.responses_services()), calls.COMPACT)
    responses.add_routes(routes)
    conversations.add_routes(routes)
    files.add_routes(routes)
    batches.add_routes(routes, routes)
    routes.keep_to_hub("/files", "/batches")
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
