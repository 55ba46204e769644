"""`models/{model}:countTokens`: how many input tokens a request would make. It calls no model and costs nothing."""

from __future__ import annotations

from typing import Any

from gateway.api import RequestContext, as_dict, count_input_tokens

from .dialect import GenerateDialect
from .native import GENERATE
from .spelling import camel


async def count_tokens(context: RequestContext) -> Any:
    """Answer one request; its path is split already. Raises Fault."""
    dialect = GenerateDialect()
    call = await context.identify(dialect)
    body = await context.read_json()
    inner = (await context.aside(camel, body)).get("generateContentRequest")
    asked = as_dict(inner, "generateContentRequest") if inner is not None else body
    await context.aside(dialect.open, call, asked, context.values)
    return context.json({"totalTokens": await count_input_tokens(context, call, asked, GENERATE)})
