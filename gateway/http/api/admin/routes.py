"""The routes under /admin/api."""

from __future__ import annotations

from gateway.http.api.admin import calls, erasing, keys, money, people, system
from gateway.http.api.admin.access import Work, guarded
from gateway.http.api.operations import admin, administration
from gateway.http.server.router import RouteTable

PREFIX = "/admin/api"

TABLE: tuple[tuple[str, str, Work], ...] = (
    ("GET", "/accounts", people.list_accounts),
    ("POST", "/accounts", people.post_account),
    ("GET", "/accounts/{account}", people.get_account),
    ("PATCH", "/accounts/{account}", people.patch_account),
    ("DELETE", "/accounts/{account}", erasing.delete_account),
    ("GET", "/accounts/{account}/export", erasing.get_export),
    ("POST", "/accounts/{account}/credits", people.post_credits),
    ("GET", "/accounts/{account}/entries", money.list_entries),
    ("GET", "/accounts/{account}/usage", people.get_usage),
    ("GET", "/accounts/{account}/keys", keys.list_keys),
    ("POST", "/accounts/{account}/keys", keys.post_key),
    ("GET", "/accounts/{account}/login", people.get_login),
    ("DELETE", "/accounts/{account}/sessions", people.delete_sessions),
    ("POST", "/accounts/{account}/links", people.post_link),
    ("POST", "/invitations", people.post_invitation),
    ("GET", "/links", people.list_links),
    ("DELETE", "/links/{link}", people.delete_link),
    ("GET", "/keys", keys.list_all),
    ("GET", "/keys/{key}", keys.get_key),
    ("PATCH", "/keys/{key}", keys.patch_key),
    ("DELETE", "/keys/{key}", keys.delete_key),
    ("POST", "/keys/{key}/rotate", keys.post_rotation),
    ("GET", "/requests", calls.list_requests),
    ("GET", "/requests/{request}", calls.get_request),
    ("POST", "/refunds", money.post_refund),
    ("GET", "/vouchers", money.list_vouchers),
    ("POST", "/vouchers", money.post_vouchers),
    ("DELETE", "/vouchers/{voucher}", money.delete_voucher),
    ("GET", "/topups", money.list_topups),
    ("GET", "/ledger/check", money.check),
    ("GET", "/ledger/entries", money.list_entries),
    ("GET", "/audit", system.list_audit),
    ("GET", "/targets", system.list_targets),
    ("GET", "/attempts", system.list_attempts),
    ("GET", "/providers", system.list_providers),
    ("GET", "/models", system.list_models),
    ("GET", "/plugins", system.get_plugins),
    ("GET", "/configuration", system.get_configuration),
)
"""Method, template below the prefix, and what it does."""


def add_routes(routes: RouteTable) -> None:
    """Register the admin API."""
    said = {**admin.OPERATIONS, **administration.OPERATIONS}
    for method, template, work in TABLE:
        routes.add(method, PREFIX + template, guarded(work), said[(method, template)], api=False)
