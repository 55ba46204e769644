"""The admin API. Its answers are the stores' own values, so their schemas are made of those."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import TypeAdapter

from gateway.call import AttemptRecord
from gateway.http.api import admin_forms as forms
from gateway.http.api.fields import Form
from gateway.http.api.operations.account import USAGE
from gateway.http.api.operations.common import ORDER, USAGE_PARAMETERS, whole
from gateway.stores import Account, AuditEntry, Entry, Key, Voucher
from gateway.wire.chat.answers import listing, members
from gateway.wire.json_schema import Component, Tree
from gateway.wire.openapi import ADMIN, Operation, Parameter

_TEXT: Tree = {"type": "string"}
_CREDITS: Tree = {"type": "integer", "description": "Credits."}
_ERRORS = (400, 401, 404, 429, 500, 503)
_WRITE_ERRORS = (400, 401, 404, 408, 409, 413, 415, 429, 500, 503)


def _value(kind: type) -> Component:
    """The schema of one of the stores' values as JSON."""
    tree: dict[str, Any] = TypeAdapter(kind).json_schema(mode="serialization")
    tree.pop("title", None)
    tree.pop("description", None)
    for member in tree["properties"].values():
        member.pop("title", None)
    return Component(kind.__name__, tree)


ACCOUNT, KEY, ENTRY, VOUCHER = _value(Account), _value(Key), _value(Entry), _value(Voucher)
AUDIT_ENTRY = _value(AuditEntry)
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
_ATTEMPT = _value(AttemptRecord).tree
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
_LIMIT = Parameter("limit", "How many.", whole(0, 1000, 100))
_AFTER_ID = Parameter("after", "The id of the last one of the page before.")
_AFTER_NUMBER = Parameter("after", "The number of the last one of the page before.", whole(0, 2**53, 0))


def _read(summary: str, answer: Tree | Component, *parameters: Parameter) -> Operation:
    return Operation(summary, "Admin", auth=(ADMIN,), parameters=parameters, answer=answer, errors=_ERRORS)


def _write(summary: str, form: Form, answer: Tree | Component, status: int = 200) -> Operation:
    return Operation(
        summary, "Admin", auth=(ADMIN,), request=form.tree, answer=answer, status=status, errors=_WRITE_ERRORS
    )


OPERATIONS: Mapping[tuple[str, str], Operation] = {
    ("GET", "/accounts"): _read("List the accounts", listing(ACCOUNT), _AFTER_ID, _LIMIT),
    ("POST", "/accounts"): _write("Create an account", forms.NEW_ACCOUNT, ACCOUNT, 201),
    ("GET", "/accounts/{account}"): _read("Read an account, by id or name", ACCOUNT),
    ("PATCH", "/accounts/{account}"): _write("Change an account", forms.ACCOUNT, ACCOUNT),
    ("POST", "/accounts/{account}/credits"): _write(
        "Book credits", forms.CREDIT, members(("account_id", "balance"), account_id=_TEXT, balance=_CREDITS)
    ),
    ("GET", "/accounts/{account}/entries"): _read(
        "List an account's ledger", listing(ENTRY), _AFTER_NUMBER, _LIMIT, ORDER
    ),
    ("GET", "/accounts/{account}/usage"): _read("Read an account's usage", USAGE, *USAGE_PARAMETERS),
    ("GET", "/accounts/{account}/keys"): _read("List an account's keys", listing(KEY)),
    ("POST", "/accounts/{account}/keys"): _write("Create a key", forms.KEY, _NEW_KEY, 201),
    ("GET", "/keys/{key}"): _read("Read a key", KEY),
    ("PATCH", "/keys/{key}"): _write("Change a key", forms.KEY, KEY),
    ("DELETE", "/keys/{key}"): _read("Revoke a key", KEY),
    ("POST", "/keys/{key}/rotate"): _write("Give a key a new secret", forms.ROTATION, _NEW_KEY),
    ("POST", "/refunds"): _write(
        "Give back credits of a call",
        forms.REFUND,
        members(("request_id", "balance"), request_id=_TEXT, balance=_CREDITS),
    ),
    ("GET", "/vouchers"): _read("List the vouchers", listing(VOUCHER), _AFTER_NUMBER, _LIMIT),
    ("POST", "/vouchers"): _write(
        "Create vouchers",
        forms.VOUCHERS,
        members(("codes", "credits"), codes={"type": "array", "items": _TEXT}, credits=_CREDITS),
        201,
    ),
    ("DELETE", "/vouchers/{voucher}"): _read("Revoke an unused voucher", VOUCHER),
    ("GET", "/ledger/check"): _read(
        "Check the ledger",
        members(("ok", "discrepancies"), ok={"type": "boolean"}, discrepancies={"type": "array", "items": _TEXT}),
    ),
    ("GET", "/audit"): _read(
        "List administrative acts, newest first",
        listing(AUDIT_ENTRY),
        Parameter("before", "The number of the last one of the page before.", whole(0, 2**53, 0)),
        _LIMIT,
        *(Parameter(name, f"Only entries with this {name}.") for name in ("actor", "action", "subject")),
    ),
    ("GET", "/targets"): _read("Read the health of the targets", listing(TARGET_HEALTH)),
    ("GET", "/attempts"): _read(
        "List the last attempts at targets, newest first",
        listing(ATTEMPT),
        Parameter("request_id", "Only attempts of this request."),
        Parameter("target", "Only attempts at this model."),
        Parameter("outcome", "Only attempts that ended so: `ok`, `failed`, `refused` or `left`."),
        _LIMIT,
    ),
}
"""By method and template below the admin API's prefix."""
