"""An account's keys, usage and calls."""

from __future__ import annotations

from typing import Any

from gateway.http.api import admin_forms as forms
from gateway.http.api.account.requests import PAGE
from gateway.http.api.operations.account import USAGE
from gateway.http.api.operations.admin import KEY as KEY_VALUE
from gateway.http.api.operations.common import USAGE_PARAMETERS, WRITE_ERRORS, whole
from gateway.wire.chat.answers import COUNT, constant, listing, members
from gateway.wire.json_schema import Component, Tree
from gateway.wire.openapi import KEY, SESSION, Operation, Parameter

_TEXT: Tree = {"type": "string"}
_CREDITS: Tree = {"type": "integer", "description": "Credits."}
_ID = Parameter("id", "The key's id.", place="path")
_TAG = "Account"

_OWN = {
    "object": constant("key"),
    "state": {"type": "string", "enum": ["active", "expired", "revoked"]},
    "month_charged": {"type": "integer", "description": "Credits that its calls cost in this UTC month."},
    "month_held": {"type": "integer", "description": "Credits that its running calls have reserved."},
}
OWN_KEY = Component(
    "OwnKey",
    {
        **KEY_VALUE.tree,
        "properties": {**KEY_VALUE.tree["properties"], **_OWN},
        "required": [*KEY_VALUE.tree["required"], *_OWN],
    },
)
NEW_OWN_KEY = Component(
    "NewOwnKey",
    {
        **OWN_KEY.tree,
        "properties": {
            "key": {"type": "string", "description": "The key itself, shown this once."},
            **OWN_KEY.tree["properties"],
        },
        "required": ["key", *OWN_KEY.tree["required"]],
    },
)
REQUEST = Component(
    "LoggedCall",
    members(
        ("object", "seq", "request_id", "created", "key_id", "model", "target", "route", "status", "error",
         "prompt_tokens", "completion_tokens", "cached_tokens", "cache_write_tokens", "cache_write_1h_tokens",
         "reasoning_tokens", "web_searches", "images", "characters", "seconds", "searches", "credits", "basis",
         "first_byte_ms", "total_ms", "tags"),
        object=constant("request"),
        seq={"type": "integer", "description": "For `before` and `after`."},
        request_id={"type": "string", "description": "As the answer's `x-request-id`."},
        created={"type": "integer", "description": "Unix seconds."},
        key_id={"type": ["string", "null"], "description": "Null for calls of the console."},
        model={"type": "string", "description": "What was asked for."},
        target={"type": ["string", "null"], "description": "The model that answered; null when none did."},
        route=_TEXT,
        status={"type": "integer"},
        error={"type": ["string", "null"], "description": "The code of what went wrong."},
        prompt_tokens=COUNT,
        completion_tokens=COUNT,
        cached_tokens=COUNT,
        cache_write_tokens=COUNT,
        cache_write_1h_tokens={**COUNT, "description": "Of those, what is kept for an hour."},
        reasoning_tokens=COUNT,
        web_searches=COUNT,
        images={**COUNT, "description": "That were made."},
        characters={**COUNT, "description": "That were spoken."},
        seconds={**COUNT, "description": "That were heard."},
        searches={**COUNT, "description": "Rankings of up to a hundred documents."},
        credits=_CREDITS,
        basis={"type": "string", "enum": ["provider", "estimated", "void"]},
        first_byte_ms={"type": ["integer", "null"]},
        total_ms=COUNT,
        tags={
            "type": "object",
            "additionalProperties": _TEXT,
            "description": "For whom it was made: `user`, and what `usage.tag_metadata` names.",
        },
    ),
)  # fmt: skip
_BEFORE = Parameter("before", "The `seq` of the last one of the page before.", whole(0, 2**53, 0))
ONLY = (
    Parameter("key", "Only calls of this key, or of several: give it again; `console` for those without one."),
    Parameter("model", "Only calls for this model."),
    Parameter("user", "Only calls for this end user."),
    Parameter("tag", "Only calls with this tag, as `name:value`, instead of `user`."),
    Parameter("failed", "Only calls that failed.", {"type": "boolean", "default": False}),
    Parameter("after", "Only calls after the one with this `seq`: the page next to it.", whole(0, 2**53, 0)),
)


def _member(summary: str, description: str = "", **more: Any) -> Operation:
    return Operation(summary, _TAG, description, auth=(SESSION,), **more)


def _read(summary: str, description: str = "", **more: Any) -> Operation:
    return Operation(summary, _TAG, description, auth=(KEY, SESSION), **more)


LIST_KEYS = _member("List the account's keys", "Newest first, those too that are revoked.", answer=listing(OWN_KEY))
CREATE_KEY = _member("Generate a key", request=forms.OWN_KEY.tree, answer=NEW_OWN_KEY, status=201, errors=WRITE_ERRORS)
GET_KEY = _member("Read a key of the account", parameters=(_ID,), answer=OWN_KEY)
UPDATE_KEY = _member(
    "Change a key of the account", parameters=(_ID,), request=forms.OWN_KEY.tree, answer=OWN_KEY, errors=WRITE_ERRORS
)
ROTATE_KEY = _member(
    "Give a key of the account a new secret",
    parameters=(_ID,),
    request=forms.ROTATION.tree,
    answer=NEW_OWN_KEY,
    errors=WRITE_ERRORS,
)
REVOKE_KEY = _member("Revoke a key of the account", parameters=(_ID,), answer=OWN_KEY)
GET_USAGE = _read("Read the account's usage", "As `GET /usage`.", parameters=USAGE_PARAMETERS, answer=USAGE)
USAGE_TABLE = _read(
    "Read the account's usage as CSV", parameters=USAGE_PARAMETERS, answer=_TEXT, answer_type="text/csv"
)
BUDGET = Component(
    "Budget",
    members(
        ("object", "kind", "key_id", "name", "period", "used", "limit", "percent", "thresholds", "passed"),
        object=constant("budget"),
        kind={"type": "string", "enum": ["account", "key"]},
        key_id={"type": ["string", "null"]},
        name={"type": ["string", "null"], "description": "The key's, for people."},
        period={"type": "string", "description": "The UTC month."},
        used=_CREDITS,
        limit=_CREDITS,
        percent=COUNT,
        thresholds={"type": "array", "items": COUNT, "description": "Percent at which the operator is told."},
        passed={"type": "array", "items": COUNT, "description": "Those that are reached."},
    ),
)
LIST_ALERTS = _read(
    "Read how far the budgets are used",
    "The account's of this month, and those of its keys that have a ceiling.",
    answer=listing(BUDGET),
)
LIST_REQUESTS = _read(
    "List the account's calls",
    "Newest first.",
    parameters=(_BEFORE, Parameter("limit", "How many.", whole(1, 1000, PAGE)), *ONLY),
    answer=listing(REQUEST),
)
REQUESTS_TABLE = _read(
    "Read the account's calls as CSV", parameters=(_BEFORE, *ONLY), answer=_TEXT, answer_type="text/csv"
)
LIVE = _read(
    "Watch the account's calls",
    "Each as an event `request`, as it is written to the log; the event's id is the call's `seq`.",
    parameters=(Parameter("Last-Event-ID", "The last one seen.", place="header"),),
    events=REQUEST,
    events_only=True,
)
