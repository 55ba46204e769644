"""The routes under /account."""

from __future__ import annotations

from gateway.http.api.account import people
from gateway.http.api.account.access import private
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
    ):
        routes.add(method, "/account" + template, private(handler), operation, api=False)
