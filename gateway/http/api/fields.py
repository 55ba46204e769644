"""Reading the small JSON bodies and queries of the account and admin APIs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gateway.errors import CallerFault
from gateway.wire.validators import Check, refuse

_LONGEST_NUMBER = 20
"""Digits. Python refuses to read thousands of them, and the database numbers beyond 64 bits."""


def read_fields(
    body: Mapping[str, Any], known: Mapping[str, Check], *, required: tuple[str, ...] = ()
) -> dict[str, Any]:
    """The members of `body`, each checked. Null is a value only where the check takes it.

    Raises CallerFault 400 that names the member, also for unknown and missing ones: what an administrator writes
    must not be ignored in silence.
    """
    for name in body:
        if name not in known:
            refuse(name, f"unknown member; known are {', '.join(known)}")
    for name in required:
        if name not in body:
            refuse(name, "is missing", code="missing_required_parameter")
    for name, value in body.items():
        known[name](name, value)
    return dict(body)


def or_null(check: Check) -> Check:
    """The same check, with null allowed."""

    def check_unless_null(path: str, value: Any) -> None:
        if value is not None:
            check(path, value)

    return check_unless_null


def strings(path: str, value: Any) -> None:
    """A check: an array of non-empty strings."""
    if not isinstance(value, list) or not all(isinstance(item, str) and item for item in value):
        refuse(path, "expected an array of non-empty strings", code="invalid_type")


def page_number(query: Mapping[str, str], name: str, default: int, most: int) -> int:
    """A whole number from 0 to `most` out of a query. Raises CallerFault 400 that names it."""
    text = query.get(name)
    if text is None:
        return default
    if not (text.isascii() and text.isdigit() and len(text) <= _LONGEST_NUMBER and int(text) <= most):
        raise CallerFault(f"{name}: expected a whole number from 0 to {most}, got {text[:40]!r}.", param=name)
    return int(text)
