"""The routes under /account."""

from __future__ import annotations

from gateway.http.api.account import alerts, keys, people, requests, usage
from gateway.http.api.account.access import private
from gateway.http.api.operations import activity
from gateway.http.api.operations import people as said
from gateway.http.server.router import RouteTable


def add_routes(routes: RouteTable) -> None:
    """Register the account API."""
    for method, template, handler, operation in (
        ("POST", "/sign-in", people.post_sign_in, said.SIGN_IN),
        ("POST", "/sign-up", people.post_sign_up, said.SIGN_UP),
        ("POST", "/sign-out", people.post_sign_out, said.SIGN_OUT),
        ("POST", "/password/reset", people.post_reset, said.RESET),
        ("GET", "/me", people.get_me, said.GET_ME),
        ("GET", "/balance", people.get_balance, said.GET_BALANCE),
        ("POST", "/login", people.post_login, said.CHANGE_LOGIN),
        ("GET", "/sessions", people.get_sessions, said.LIST_SESSIONS),
        ("DELETE", "/sessions", people.delete_sessions, said.END_SESSIONS),
        ("DELETE", "/sessions/{id}", people.delete_session, said.END_SESSION),
        ("GET", "/keys", keys.get_keys, activity.LIST_KEYS),
        ("POST", "/keys", keys.post_key, activity.CREATE_KEY),
        ("GET", "/keys/{id}", keys.get_key, activity.GET_KEY),
        ("PATCH", "/keys/{id}", keys.patch_key, activity.UPDATE_KEY),
        ("DELETE", "/keys/{id}", keys.delete_key, activity.REVOKE_KEY),
        ("POST", "/keys/{id}/rotate", keys.post_rotation, activity.ROTATE_KEY),
        ("GET", "/alerts", alerts.get_alerts, activity.LIST_ALERTS),
        ("GET", "/usage", usage.get_usage, activity.GET_USAGE),
        ("GET", "/usage.csv", usage.get_table, activity.USAGE_TABLE),
        ("GET", "/requests", requests.get_requests, activity.LIST_REQUESTS),
        ("GET", "/requests.csv", requests.get_table, activity.REQUESTS_TABLE),
        ("GET", "/requests/live", requests.get_live, activity.LIVE),
    ):
        routes.add(method, "/account" + template, private(handler), operation, api=False)
