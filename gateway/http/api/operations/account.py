"""Usage, top-ups, vouchers, health and metrics."""

from __future__ import annotations

from typing import Any

from pydantic import TypeAdapter

from gateway.http.api.operations.common import USAGE_PARAMETERS, WRITE_ERRORS
from gateway.stores import OTHER_COUNTS
from gateway.stores.topups import TopUpStatus
from gateway.wire.chat.answers import COUNT, constant, members
from gateway.wire.json_schema import Component, Tree
from gateway.wire.openapi import ERROR, KEY, METRICS, SESSION, Operation, Parameter

_TEXT: Tree = {"type": "string"}
_CREDITS: Tree = {"type": "integer", "description": "Credits."}

_BUDGET = members(
    ("period", "used", "limit", "percent", "thresholds", "passed"),
    period={"type": "string", "description": "A month in UTC, such as `2026-11`."},
    used=_CREDITS,
    limit={"type": "integer", "description": "Of an account, what it had and was given in the month; a key's ceiling."},
    percent=COUNT,
    thresholds={"type": "array", "items": COUNT},
    passed={"type": "array", "items": COUNT, "description": "The thresholds that are reached."},
)
USAGE = Component(
    "AccountUsage",
    members(
        ("object", "balance", "totals", "daily", "by_model", "by_key", "budget", "key_budget"),
        budget=_BUDGET,
        key_budget={"anyOf": [_BUDGET, {"type": "null"}], "description": "Of the key asked for, if it has a ceiling."},
        object=constant("usage"),
        balance=_CREDITS,
        totals=members(
            ("credits", "tokens", "requests"),
            credits=_CREDITS,
            tokens=COUNT,
            requests=COUNT,
            **dict.fromkeys(OTHER_COUNTS, COUNT),
        ),
        daily={
            "type": "array",
            "items": members(
                ("day", "credits", "requests"),
                day={"type": "string", "format": "date"},
                credits=_CREDITS,
                requests=COUNT,
            ),
        },
        by_model={"type": "array", "items": members(("model", "credits"), model=_TEXT, credits=_CREDITS)},
        storage={
            "oneOf": [
                members(
                    ("bytes", "max_bytes", "objects", "max_objects"),
                    bytes=COUNT,
                    max_bytes=COUNT,
                    objects=COUNT,
                    max_objects=COUNT,
                ),
                {"type": "null"},
            ],
            "description": "What is kept for the account, and what may be; null where that is not counted.",
        },
        by_key={
            "type": "array",
            "items": members(
                ("key_id", "credits", "requests"),
                key_id={"type": ["string", "null"], "description": "Null for calls without a key: the console's."},
                credits=_CREDITS,
                requests=COUNT,
            ),
        },
        group_by={"type": "string", "description": "As asked for."},
        groups={
            "type": "array",
            "description": "Only with `group_by`: most credits first.",
            "items": members(
                ("value", "credits", "requests", "tokens"),
                value={
                    "type": ["string", "null"],
                    "description": "Null for calls without this tag; empty for values beyond the thousandth of a day.",
                },
                credits=_CREDITS,
                requests=COUNT,
                tokens=COUNT,
            ),
        },
    ),
)
GET_USAGE = Operation(
    "Read balance and usage",
    "Account",
    "The account's balance and what it used.",
    parameters=USAGE_PARAMETERS,
    answer=USAGE,
)

_AMOUNT: Tree = {"type": "string", "pattern": "^[0-9]{1,9}(?:\\.[0-9]{1,2})?$", "description": "USD, such as `12.50`."}
_STATUS: dict[str, Any] = TypeAdapter(TopUpStatus).json_schema()
TOPUP = Component(
    "TopUp",
    members(
        ("object", "id", "method", "status", "url", "currency", "amount", "credits", "credited", "owed", "created"),
        object=constant("topup"),
        id=_TEXT,
        method=_TEXT,
        status=_STATUS,
        url={"type": "string", "description": "Where to pay; empty before there is a page."},
        currency=_TEXT,
        amount=_AMOUNT,
        credits=_CREDITS,
        received=_AMOUNT,
        returned=_AMOUNT,
        credited=_CREDITS,
        owed=_CREDITS,
        created={"type": "integer", "description": "Unix seconds."},
    ),
)
_PAGE: Tree = {"type": ["string", "null"], "format": "uri", "maxLength": 2000}
NEW_TOPUP: Tree = {
    "type": "object",
    "properties": {
        "method": {"type": "string", "description": "A payment service, as `GET /account/topups` lists them."},
        "amount_usd": _AMOUNT,
        "credits": {"type": "integer", "minimum": 1, "description": "How many to buy, instead of `amount_usd`."},
        "success_url": {**_PAGE, "description": "Where the payment page leads when all is paid."},
        "cancel_url": {**_PAGE, "description": "Where it leads when the user gives up."},
    },
    "required": ["method"],
    "oneOf": [{"required": ["amount_usd"]}, {"required": ["credits"]}],
    "additionalProperties": False,
}
CREATE_TOPUP = Operation(
    "Order credits",
    "Account",
    auth=(KEY, SESSION),
    request=NEW_TOPUP,
    answer=TOPUP,
    errors=(*WRITE_ERRORS, 502, 504),
)
LIST_TOPUPS = Operation(
    "List the account's orders",
    "Account",
    "The newest orders, and the payment services to choose from.",
    auth=(KEY, SESSION),
    parameters=(Parameter("before", "The id of the last order of the page before."),),
    answer=members(
        ("object", "data", "methods"),
        object=constant("list"),
        data={"type": "array", "items": TOPUP},
        methods={
            "type": "array",
            "items": members(
                ("name", "minimum_usd", "maximum_usd"), name=_TEXT, minimum_usd=_AMOUNT, maximum_usd=_AMOUNT
            ),
        },
    ),
)
GET_TOPUP = Operation("Read an order", "Account", auth=(KEY, SESSION), answer=TOPUP)

NEW_REDEMPTION: Tree = {
    "type": "object",
    "properties": {"code": {"type": "string", "minLength": 1, "description": "The voucher's code."}},
    "required": ["code"],
    "additionalProperties": False,
}
REDEEM = Operation(
    "Redeem a voucher",
    "Account",
    "With an `Idempotency-Key` the same request may be sent again.",
    auth=(KEY, SESSION),
    parameters=(Parameter("Idempotency-Key", "Names the request.", place="header"),),
    request=NEW_REDEMPTION,
    answer=members(
        ("object", "credits", "balance"), object=constant("voucher.redemption"), credits=_CREDITS, balance=_CREDITS
    ),
    errors=WRITE_ERRORS,
)
WEBHOOK = Operation(
    "Take a payment service's report",
    "Payments",
    "For payment services, which prove themselves by a signature over the body.",
    auth=(),
    parameters=(Parameter("name", "The payment service's name in the configuration.", place="path"),),
    request={"type": "object"},
    answer=members(("received",), received={"type": "boolean", "const": True}),
    errors=(400, 401, 403, 404, 408, 409, 413, 500, 502, 503, 504),
)

ROOT = Operation(
    "What is this?",
    "System",
    "Where the API is mounted, and its document.",
    auth=(),
    answer=members(
        ("object", "name", "api", "documentation"),
        object=constant("gateway"),
        name=_TEXT,
        api={"type": "array", "items": _TEXT},
        documentation=_TEXT,
    ),
    errors=(500,),
)
HEALTH = Operation(
    "Is the process alive?", "System", auth=(), answer=members(("status",), status=constant("ok")), errors=(500,)
)
READY = Operation(
    "Does the process take requests?",
    "System",
    "503, with the reasons, while it drains or its database does not answer.",
    auth=(),
    answer=members(("status",), status=_TEXT),
    errors=(503,),
    fault=Component(
        "NotReady",
        members(("status", "reasons"), status=constant("not ready"), reasons={"type": "array", "items": _TEXT}),
    ),
)
METRICS_PAGE = Operation(
    "Prometheus metrics",
    "System",
    "From loopback, or with `metrics.token`.",
    auth=(METRICS, None),
    answer=_TEXT,
    answer_type="text/plain",
    errors=(401, 403, 404, 500),
    fault=ERROR,
)
DOCUMENT = Operation(
    "This document",
    "System",
    auth=(),
    parameters=(Parameter("If-None-Match", "The `etag` of the document the caller has.", place="header"),),
    answer={"type": "object"},
    others=(304,),
    errors=(500,),
    headers={"etag": "Changes with the document."},
)
