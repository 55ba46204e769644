"""What many operations have in common."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gateway.wire.chat.answers import listing
from gateway.wire.json_schema import Component, Tree, or_null
from gateway.wire.openapi import Parameter

CALL_ERRORS = (400, 401, 402, 403, 404, 408, 409, 413, 415, 429, 500, 502, 503, 504)
"""Statuses of a model call that failed before its answer began."""

READ_ERRORS = (400, 401, 403, 404, 429, 500, 503)
"""Statuses of what calls no model and reads no body."""

WRITE_ERRORS = (400, 401, 403, 404, 408, 409, 413, 415, 429, 500, 503)
"""Statuses of what calls no model and reads a body."""

CALL_HEADERS: Mapping[str, str] = {
    "x-gateway-model": "The model that answered.",
    "x-gateway-cost": "What the call cost, in credits; in streams it stands in `usage.cost`.",
    "x-gateway-dropped-params": "Parameters that the model's provider cannot be told.",
    "x-gateway-clamped": "The output limit was lowered to this, and why: `max_tokens=N; reason=model` or `credits`.",
}

IDEMPOTENCY = Parameter(
    "Idempotency-Key",
    "1 to 255 visible ASCII characters: a request that is sent again with the same key and body gets the same answer.",
    {"type": "string", "pattern": "^[!-~]{1,255}$"},
    place="header",
)
STRICT = Parameter(
    "x-gateway-strict",
    "`true`: parameters that the model's provider cannot be told are refused instead of dropped.",
    {"type": "string"},
    place="header",
)
CALL_PARAMETERS = (IDEMPOTENCY, STRICT)


def whole(least: int, most: int, default: int | None = None) -> Tree:
    """The schema of a whole number in a query."""
    tree: dict[str, Any] = {"type": "integer", "minimum": least, "maximum": most}
    return tree if default is None else {**tree, "default": default}


AFTER_ITEM = Parameter("after", "The id of the last item of the page before.")
ITEM_LIMIT = Parameter("limit", "How many items.", whole(1, 100, 20))
ORDER = Parameter("order", "Oldest or newest first.", {"type": "string", "enum": ["asc", "desc"], "default": "desc"})
ITEM_PAGE = (AFTER_ITEM, ITEM_LIMIT, ORDER)


def page_listing(one: Component) -> Tree:
    """The schema of a page of what is told apart by ids."""
    ends = or_null({"type": "string"})
    return listing(one, ("has_more",), has_more={"type": "boolean"}, first_id=ends, last_id=ends)


DAY: Tree = {"type": "string", "format": "date"}
USAGE_PARAMETERS = (
    Parameter("days", "The last N days (UTC), today included.", whole(1, 366, 30)),
    Parameter("start", "The first day, instead of `days`.", DAY),
    Parameter("end", "The last day.", DAY),
    Parameter("key", "The id of a key: count that one only; `console` for calls without one."),
    Parameter("group_by", "Tell apart the values of this tag: `user`, or a name of `usage.tag_metadata`."),
)
