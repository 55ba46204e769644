"""The rest of the admin API: how people get in, calls, orders, what runs here, an account's end."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gateway.http.api import admin_forms as forms
from gateway.http.api.operations.activity import ONLY, REQUEST
from gateway.http.api.operations.admin import (
    ACCOUNT,
    AFTER_NUMBER,
    ATTEMPT,
    ENTRY,
    KEY,
    LIMIT,
    TARGET_HEALTH,
    read,
    value_of,
    write,
)
from gateway.http.api.operations.common import ORDER, whole
from gateway.stores import Link, Session, TopUp
from gateway.wire.chat.answers import COUNT, constant, listing, members
from gateway.wire.json_schema import Component, Tree
from gateway.wire.openapi import Operation, Parameter

_TEXT: Tree = {"type": "string"}
_TEXTS: Tree = {"type": "array", "items": _TEXT}
_OPTIONAL: Tree = {"type": ["string", "null"]}
_LOOSE: Tree = {"type": "object"}
_BEFORE = Parameter("before", "The number of the last one of the page before.", whole(0, 2**53, 0))
_ACCOUNT = Parameter("account", "Only of this account, by id or name.")

LINK = value_of(Link)
SESSION_VALUE = Component("StoredSession", value_of(Session).tree)


def _with(name: str, base: Component, **more: Tree) -> Component:
    tree: dict[str, Any] = dict(base.tree)
    return Component(
        name,
        {**tree, "properties": {**more, **tree["properties"]}, "required": [*more, *tree["required"]]},
    )


NEW_LINK = _with("NewLink", LINK, url={"type": "string", "description": "The link itself, shown this once."})
ADMIN_REQUEST = _with("AccountCall", REQUEST, account_id=_TEXT)
ORDER_VALUE = _with("StoredOrder", value_of(TopUp), status=_TEXT)
ERASED = _with(
    "ErasedAccount",
    ACCOUNT,
    at_providers=members(
        ("batches_cancelled", "files_deleted", "left"),
        batches_cancelled=COUNT,
        files_deleted=COUNT,
        left={
            "type": "array",
            "items": members(("provider", "id", "reason"), provider=_TEXT, id=_TEXT, reason=_TEXT),
            "description": "What could not be ended or deleted there, for the operator to do.",
        },
    ),
)
LOGIN = Component(
    "AccountLogin",
    members(
        ("account_id", "email", "has_password", "changed_at", "sessions"),
        account_id=_TEXT,
        email=_OPTIONAL,
        has_password={"type": "boolean"},
        changed_at={"type": ["integer", "null"], "description": "When the password was set; unix seconds."},
        sessions={"type": "array", "items": SESSION_VALUE},
    ),
)
PATH = Component(
    "RequestPath",
    members(
        ("object", "request_id", "request", "attempts", "entries"),
        object=constant("request_path"),
        request_id={"type": "string", "description": "Names its lines in the gateway's log, too."},
        request={"anyOf": [ADMIN_REQUEST, {"type": "null"}]},
        attempts={"type": "array", "items": ATTEMPT},
        entries={"type": "array", "items": ENTRY},
    ),
)
PROVIDER = Component(
    "ProviderState",
    members(
        ("object", "name", "plugin", "switched_off", "unset", "models", "attempts", "error_rate", "targets"),
        object=constant("provider"),
        name=_TEXT,
        plugin=_TEXT,
        switched_off={"type": ["string", "null"], "description": "Why it is; null when it is on."},
        unset={**_TEXTS, "description": "Environment variables that its section names and that are not set."},
        models=_TEXTS,
        attempts=members(("ok", "failed", "refused", "left"), ok=COUNT, failed=COUNT, refused=COUNT, left=COUNT),
        error_rate={"type": ["number", "null"], "description": "Of the last attempts that were its own to fail."},
        targets={"type": "array", "items": TARGET_HEALTH},
    ),
)
PLUGINS = members(
    ("object", "plugins", "pipeline", "phases"),
    object=constant("plugins"),
    plugins=_TEXTS,
    pipeline=_TEXTS,
    phases={"type": "object", "additionalProperties": _TEXTS},
)
CONFIGURATION = members(
    ("object", "file", "modified", "warnings", "values"),
    object=constant("configuration"),
    file=_TEXT,
    modified={"type": "integer", "description": "Unix seconds."},
    warnings=_TEXTS,
    values=_LOOSE,
)

OPERATIONS: Mapping[tuple[str, str], Operation] = {
    ("DELETE", "/accounts/{account}"): write(
        "Erase what is personal of an account",
        forms.ERASURE,
        ERASED,
        description="Its name, login, sessions, keys, stored responses and conversations go; what it used and paid "
        "stays under its id. The audit log keeps what was done.",
    ),
    ("GET", "/accounts/{account}/export"): Operation(
        "Read all that is kept of an account",
        "Admin",
        description="A JSON object per line, each with its `type`; without the content of stored responses.",
        auth=read("", _LOOSE).auth,
        answer_type="application/x-ndjson",
        errors=read("", _LOOSE).errors,
    ),
    ("GET", "/accounts/{account}/login"): read("Read how a person signs in to an account", LOGIN),
    ("DELETE", "/accounts/{account}/sessions"): read(
        "Sign an account out everywhere", members(("ended",), ended=COUNT)
    ),
    ("POST", "/accounts/{account}/links"): write(
        "Make a link that signs in, or sets a password", forms.LINK, NEW_LINK, 201
    ),
    ("POST", "/invitations"): write("Invite somebody", forms.INVITATION, NEW_LINK, 201),
    ("GET", "/links"): read("List the links that hold", listing(LINK)),
    ("DELETE", "/links/{link}"): read(
        "Make a link worthless", members(("id", "revoked"), id=_TEXT, revoked={"type": "boolean"})
    ),
    ("GET", "/keys"): read("List the keys of all accounts", listing(KEY)),
    ("GET", "/requests"): read(
        "List the calls of all accounts, newest first",
        listing(ADMIN_REQUEST),
        _ACCOUNT,
        _BEFORE,
        LIMIT,
        *ONLY,
    ),
    ("GET", "/requests/{request}"): read(
        "Read the whole path of a request",
        PATH,
        Parameter("seq", "The number of its row in the list, which finds it at once.", whole(0, 2**53, 0)),
    ),
    ("GET", "/topups"): read(
        "List the orders of credits, newest first",
        listing(ORDER_VALUE),
        _ACCOUNT,
        Parameter("owed", "`true`: only those whose credits were spent before they were taken back."),
        Parameter("before", "The id of the last one of the page before."),
        LIMIT,
    ),
    ("GET", "/ledger/entries"): read("List the ledger of all accounts", listing(ENTRY), AFTER_NUMBER, LIMIT, ORDER),
    ("GET", "/providers"): read("List the providers and how they do", listing(PROVIDER)),
    ("GET", "/models"): read("List the models and where each name leads to", listing(_LOOSE)),
    ("GET", "/plugins"): read("List the plugins in their order", PLUGINS),
    ("GET", "/configuration"): read("Read the configuration as it was loaded, without secrets", CONFIGURATION),
}
"""By method and template below the admin API's prefix."""
