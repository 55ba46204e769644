"""The admin API. Its answers are the stores' own values, so their schemas are made of those."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import TypeAdapter

from gateway.http.api import admin_forms as forms
from gateway.http.api.fields import Form
from gateway.http.api.operations.account import USAGE
from gateway.http.api.operations.common import ORDER, USAGE_PARAMETERS, whole
from gateway.records import AttemptRecord
from gateway.stores import Account, AuditEntry, Entry, Key, Voucher
from gateway.wire.chat.answers import listing, members
from gateway.wire.json_schema import Component, Tree
from gateway.wire.openapi import ADMIN, SESSION, Operation, Parameter

_TEXT: Tree = {"type": "string"}
_CREDITS: Tree = {"type": "integer", "description": "Credits."}
_AUTH = (ADMIN, SESSION)
_ERRORS = (400, 401, 403, 404, 429, 500, 503)
_WRITE_ERRORS = (400, 401, 403, 404, 408, 409, 413, 415, 429, 500, 503)


def value_of(kind: type) -> Component:
    """The schema of one of the stores' values as JSON."""
    tree: dict[str, Any] = TypeAdapter(kind).json_schema(mode="serialization")
    tree.pop("title", None)
    tree.pop("description", None)
    for member in tree["properties"].values():
        member.pop("title", None)
    return Component(kind.__name__, tree)


ACCOUNT, KEY, ENTRY, VOUCHER = value_of(Account), value_of(Key), value_of(Entry), value_of(Voucher)
AUDIT_ENTRY = value_of(AuditEntry)
TARGET_HEALTH = Component(
    "TargetHealth",
    members(
        (
            "provider",
            "endpoint",
            "model",
            "state",
            "cooling_seconds",
            "successes",
            "failures",
            "consecutive_failures",
            "in_flight",
            "latency_ms",
            "last_error",
            "last_failed_at",
        ),
        provider=_TEXT,
        endpoint={"type": "string", "description": "The number or name of the address and key."},
        model={"type": ["string", "null"], "description": "The model there; null for the endpoint itself."},
        state={"type": "string", "enum": ["closed", "cooling", "half_open"]},
        cooling_seconds={"type": "number"},
        successes={"type": "integer"},
        failures={"type": "integer"},
        consecutive_failures={"type": "integer"},
        in_flight={"type": "integer"},
        latency_ms={"type": ["number", "null"], "description": "To the first byte; a moving average."},
        last_error={"type": ["string", "null"]},
        last_failed_at={"type": ["integer", "null"], "description": "Unix seconds."},
    ),
)
_ATTEMPT = value_of(AttemptRecord).tree
ATTEMPT = Component(
    "Attempt",
    {
        **_ATTEMPT,
        "properties": {"request_id": _TEXT, **_ATTEMPT["properties"]},
        "required": ["request_id", *_ATTEMPT["required"]],
    },
)
_SECRET: Tree = {"type": "string", "description": "The key itself, shown this once."}
_NEW_KEY = Component(
    "NewKey",
    {
        **KEY.tree,
        "properties": {"key": _SECRET, **KEY.tree["properties"]},
        "required": ["key", *KEY.tree["required"]],
    },
)
LIMIT = Parameter("limit", "How many.", whole(0, 1000, 100))
_AFTER_ID = Parameter("after", "The id of the last one of the page before.")
AFTER_NUMBER = Parameter("after", "The number of the last one of the page before.", whole(0, 2**53, 0))


def read(summary: str, answer: Tree | Component, *parameters: Parameter) -> Operation:
    """What reads, or ends something without a body."""
    return Operation(summary, "Admin", auth=_AUTH, parameters=parameters, answer=answer, errors=_ERRORS)


def write(summary: str, form: Form, answer: Tree | Component, status: int = 200, *, description: str = "") -> Operation:
    """What takes a body."""
    return Operation(
        summary,
        "Admin",
        description,
        auth=_AUTH,
        request=form.tree,
        answer=answer,
        status=status,
        errors=_WRITE_ERRORS,
    )


OPERATIONS: Mapping[tuple[str, str], Operation] = {
    ("GET", "/accounts"): read(
        "List the accounts",
        listing(ACCOUNT),
        Parameter("find", "Only the account with this id, name or e-mail address."),
        _AFTER_ID,
        LIMIT,
    ),
    ("POST", "/accounts"): write("Create an account", forms.NEW_ACCOUNT, ACCOUNT, 201),
    ("GET", "/accounts/{account}"): read("Read an account, by id or name", ACCOUNT),
    ("PATCH", "/accounts/{account}"): write("Change an account", forms.ACCOUNT, ACCOUNT),
    ("POST", "/accounts/{account}/credits"): write(
        "Book credits", forms.CREDIT, members(("account_id", "balance"), account_id=_TEXT, balance=_CREDITS)
    ),
    ("GET", "/accounts/{account}/entries"): read(
        "List an account's ledger", listing(ENTRY), AFTER_NUMBER, LIMIT, ORDER
    ),
    ("GET", "/accounts/{account}/usage"): read("Read an account's usage", USAGE, *USAGE_PARAMETERS),
    ("GET", "/accounts/{account}/keys"): read("List an account's keys", listing(KEY)),
    ("POST", "/accounts/{account}/keys"): write("Create a key", forms.KEY, _NEW_KEY, 201),
    ("GET", "/keys/{key}"): read("Read a key", KEY),
    ("PATCH", "/keys/{key}"): write("Change a key", forms.KEY, KEY),
    ("DELETE", "/keys/{key}"): read("Revoke a key", KEY),
    ("POST", "/keys/{key}/rotate"): write("Give a key a new secret", forms.ROTATION, _NEW_KEY),
    ("POST", "/refunds"): write(
        "Give back credits of a call",
        forms.REFUND,
        members(("request_id", "balance"), request_id=_TEXT, balance=_CREDITS),
    ),
    ("GET", "/vouchers"): read("List the vouchers", listing(VOUCHER), AFTER_NUMBER, LIMIT),
    ("POST", "/vouchers"): write(
        "Create vouchers",
        forms.VOUCHERS,
        members(("codes", "credits"), codes={"type": "array", "items": _TEXT}, credits=_CREDITS),
        201,
    ),
    ("DELETE", "/vouchers/{voucher}"): read("Revoke an unused voucher", VOUCHER),
    ("GET", "/ledger/check"): read(
        "Check the ledger",
        members(("ok", "discrepancies"), ok={"type": "boolean"}, discrepancies={"type": "array", "items": _TEXT}),
    ),
    ("GET", "/audit"): read(
        "List administrative acts, newest first",
        listing(AUDIT_ENTRY),
        Parameter("before", "The number of the last one of the page before.", whole(0, 2**53, 0)),
        LIMIT,
        *(Parameter(name, f"Only entries with this {name}.") for name in ("actor", "action", "subject")),
    ),
    ("GET", "/targets"): read("Read the health of the targets", listing(TARGET_HEALTH)),
    ("GET", "/attempts"): read(
        "List the last attempts at targets, newest first",
        listing(ATTEMPT),
        Parameter("request_id", "Only attempts of this request."),
        Parameter("target", "Only attempts at this model."),
        Parameter("outcome", "Only attempts that ended so: `ok`, `failed`, `refused` or `left`."),
        LIMIT,
    ),
}
"""By method and template below the admin API's prefix."""
