"""The bodies that the admin API takes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gateway.http.api.fields import Form, strings
from gateway.stores import MAX_CREDITS, KeySettings
from gateway.stores.checks import MOST_PER_MINUTE
from gateway.wire.validators import array, boolean, filled_string, integer, nullable, one_of, string

_NAME = filled_string.about("The account's name; no other has it.")
_ROLE = one_of(("user", "admin")).about("What policies may go by.")
_PER_MINUTE = nullable(integer(1, MOST_PER_MINUTE)).about("Requests a minute; null for the gateway's own limit.")
_ONCE = filled_string.about("A name for this booking: a second one of the same name changes nothing.")
_NOTE = string.about("A note for the ledger.")
_EXPIRES = nullable(integer(1, 2**40, "unix seconds")).about("The end, in unix seconds; null for none.")

_THRESHOLDS = nullable(array(integer(1, 100, "percent"))).about(
    "Percents of its budget at which the operator is told; null for those of `alerts.thresholds`, `[]` for none."
)

NEW_ACCOUNT = Form(
    {
        "name": _NAME,
        "role": _ROLE,
        "credits": integer(0, MAX_CREDITS, "credits").about("To begin with; `credits.signup_grant` without it."),
    },
    required=("name",),
)
ACCOUNT = Form(
    {
        "name": _NAME,
        "role": _ROLE,
        "disabled": boolean.about("A disabled account's keys are refused."),
        "requests_per_minute": _PER_MINUTE,
        "alert_thresholds": _THRESHOLDS,
    }
)
OWN_KEY = Form(
    {
        "name": string.about("For display."),
        "expires_at": _EXPIRES,
        "monthly_limit": nullable(integer(0, MAX_CREDITS, "credits")).about("Credits a UTC month; null for no limit."),
        "models": nullable(strings).about("Patterns of the models it may call, such as `provider/*`; null for all."),
        "requests_per_minute": _PER_MINUTE,
        "ip_allow": nullable(strings).about("Networks it may be used from, such as `10.0.0.0/8`; null for all."),
    }
)
KEY = Form({**OWN_KEY.members, "alert_thresholds": _THRESHOLDS})
ROTATION = Form(
    {"grace": integer(0, 7 * 86_400, "seconds").about("How many seconds more the old secret works; 0 without it.")}
)
CREDIT = Form(
    {
        "credits": integer(-MAX_CREDITS, MAX_CREDITS, "credits").about("How many; below 0 for a correction only."),
        "kind": one_of(("grant", "topup", "correction")).about("What the ledger calls it; `grant` without it."),
        "idempotency_key": _ONCE,
        "note": _NOTE,
    },
    required=("credits", "idempotency_key"),
)
REFUND = Form(
    {
        "request_id": filled_string.about("The call, by its `x-request-id`."),
        "credits": integer(1, MAX_CREDITS, "credits").about("How many to give back, at most what it was charged."),
        "idempotency_key": _ONCE,
        "note": _NOTE,
    },
    required=("request_id", "credits", "idempotency_key"),
)
VOUCHERS = Form(
    {
        "credits": integer(1, MAX_CREDITS, "credits").about("What each of them is worth."),
        "count": integer(1, 1000).about("How many; 1 without it."),
        "expires_at": _EXPIRES,
        "note": _NOTE,
    },
    required=("credits",),
)
INVITATION = Form(
    {
        "email": string.about("For this address only; without it, for whoever has the link."),
        "role": _ROLE,
        "credits": integer(0, MAX_CREDITS, "credits").about("To begin with, beside `credits.signup_grant`."),
        "days": integer(1, 365).about("How long it holds; 7 without it."),
    }
)
LINK = Form(
    {
        "purpose": one_of(("sign_in", "password")).about("To sign in once, or to set a new password."),
        "email": string.about("With `password`: the address to sign in with, for an account that has none."),
        "hours": integer(1, 24 * 30).about("How long it holds; 24 without it."),
    },
    required=("purpose",),
)
ERASURE = Form(
    {"name": filled_string.about("The account's name, so that no other is erased by a slip.")}, required=("name",)
)


def tuples(body: Mapping[str, Any]) -> dict[str, Any]:
    """The members of a key's body as `KeySettings` has them."""
    return {name: tuple(value) if isinstance(value, list) else value for name, value in body.items()}


def key_settings(body: Mapping[str, Any]) -> KeySettings:
    """The settings of a new key."""
    return KeySettings(**tuples(body))
