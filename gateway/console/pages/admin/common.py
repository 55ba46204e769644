"""What administrators' pages have in common."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import urlencode

from gateway.console.page import Visit
from gateway.console.visitor import member_of
from gateway.errors import CallerFault
from gateway.http.api.admin.access import Admin
from gateway.stores import Account

PAGE = 50
"""Rows of a page."""


def admin_of(visit: Visit) -> Admin:
    """The administrator who looks at a page; the page's frame has let nobody else in."""
    return Admin(visit.context, member_of(visit.visitor).account.id)


def given(visit: Visit, *names: str) -> dict[str, Any]:
    """The fields of a form that were filled in, as texts."""
    return {name: visit.form[name].strip() for name in names if visit.form.get(name, "").strip()}


def numbers(visit: Visit, *names: str) -> dict[str, int]:
    """The fields of a form that were filled in, as whole numbers. Raises CallerFault 400 that names the field."""
    found: dict[str, int] = {}
    for name, text in given(visit, *names).items():
        plain = text.replace(",", "").replace(" ", "").replace("_", "")
        if not (plain.removeprefix("-").isdigit() and plain.isascii() and len(plain) <= 18):
            raise CallerFault(f"{name}: write a whole number.", param=name)
        found[name] = int(plain)
    return found


def link(path: str, query: Mapping[str, str], **changes: str) -> str:
    """The address of a view with other filters; "" takes one away."""
    values = {name: value for name, value in {**query, **changes}.items() if value}
    return f"{path}?{urlencode(values)}" if values else path


def chosen(visit: Visit, *names: str) -> dict[str, str]:
    """The filters that the address names, "" for the others."""
    return {name: visit.query.get(name, "").strip() for name in names}


def filled(*parts: Mapping[str, str]) -> dict[str, str]:
    """Those of filters and places that are not empty, as the API takes them."""
    return {name: value for part in parts for name, value in part.items() if value}


async def names_of(admin: Admin, account_ids: Iterable[str]) -> dict[str, str]:
    """What accounts are called, by id; those that are gone by their id."""
    found = {}
    for account_id in dict.fromkeys(account_ids):
        account: Account | None = await admin.stores.accounts.get_account(account_id)
        found[account_id] = account_id if account is None else account.name
    return found
