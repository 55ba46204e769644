"""`POST /messages/count_tokens`: how many input tokens a request would make. It calls no model and costs nothing."""

from __future__ import annotations

from typing import Any

from gateway.api import RequestContext, count_input_tokens

from .dialect import MessagesDialect
from .native import MESSAGES


async def count_tokens(context: RequestContext) -> Any:
    """Answer one request. Raises Fault."""
    dialect = MessagesDialect(counting=True)
    call = await context.identify(dialect)
    body = await context.read_json()
    await context.aside(dialect.open, call, body, context.values)
    return context.json({"input_tokens": await count_input_tokens(context, call, body, MESSAGES)})
