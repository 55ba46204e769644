"""The JSON of an explanation: what a call would meet on its way, and what would be sent for it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from decimal import Decimal
from typing import Any

import orjson

from gateway.call import Call, Price, Target
from gateway.errors import Fault
from gateway.http.server.request_context import RequestContext
from gateway.provider import UpstreamRequest
from gateway.wire.errors.render import error_bytes
from gateway.wire.lenient import dict_of
from gateway.wire.redact import MASK

_SECRET = ("authorization", "key", "token", "secret", "cookie", "password", "signature")
"""A header with one of these words in its name is shown without its value."""


def describe(context: RequestContext, call: Call | None, *, refused: Fault | None) -> dict[str, Any]:
    """The explanation without its targets. call: None for what was refused before it became one."""
    found: dict[str, Any] = {
        "object": "explanation",
        "allowed": refused is None,
        "refusal": None if refused is None else _refusal(context, call, refused),
        "request": {"route": context.template, "dialect": "" if context.dialect is None else context.dialect.name},
        "caller": None,
        "steps": [],
        "candidates": [],
        "targets": [],
        "output_limit": None,
        "clamped": None,
        "hold": None,
        "maximum_cost": None,
    }
    if call is None:
        return found
    found["request"] |= {"operation": call.operation, "model": call.model, "stream": call.stream}
    explanation, caller = call.explanation, call.caller
    if caller is not None:
        found["caller"] = {
            "account": caller.account_id,
            "key": caller.key_id,
            "label": caller.key_label,
            "name": caller.key_name,
            "monthly_limit": caller.monthly_limit,
        }
    if explanation is not None:
        found["steps"] = [
            {"phase": step.phase, "plugin": step.plugin, "refused": step.refused, "figures": step.figures}
            for step in explanation.steps
        ]
        figures: dict[str, Any] = {}
        for step in explanation.steps:
            figures |= step.figures
        found["hold"], found["maximum_cost"] = figures.get("hold"), figures.get("maximum_cost")
    found["candidates"] = [_candidate(target) for target in call.candidates]
    found["output_limit"] = call.max_output
    found["clamped"] = call.answer_headers.get("x-gateway-clamped")
    return found


def _refusal(context: RequestContext, call: Call | None, fault: Fault) -> dict[str, Any]:
    """Who said no, and the answer that the caller would get."""
    dialect = context.dialect
    body = error_bytes(fault, context.id) if dialect is None else dialect.error_body(fault, context.id)
    explanation = None if call is None else call.explanation
    by = next((step.plugin for step in explanation.steps if step.refused), "") if explanation is not None else ""
    return {"status": fault.status, "by": by, "message": fault.message, "answer": orjson.loads(body)}


def _candidate(target: Target) -> dict[str, Any]:
    return {
        "model": target.model,
        "provider": target.provider,
        "upstream": target.upstream,
        "group": target.group,
        "weight": target.weight,
        "free": target.free,
        "price": None if target.price is None else _price(target.price),
    }


def _price(price: Price) -> dict[str, str]:
    """In credits, by its names in the configuration; of the others those that cost something."""
    shown = {"input": str(price.input), "output": str(price.output), "per_request": str(price.per_request)}
    for field in fields(price):
        amount = getattr(price, field.name)
        if isinstance(amount, Decimal) and amount:
            shown[field.name] = str(amount)
    return shown | {f"per_image {kind}": str(amount) for kind, amount in price.per_image.items()}


def describe_target(
    call: Call, target: Target, requests: Sequence[Mapping[str, Any]], fault: Fault | None, *, rests: bool
) -> dict[str, Any]:
    """One target that would be tried. requests: what would be sent to it (several where each gives one choice).
    fault: why nothing would be. rests: it has failed, and is passed over while another is well."""
    place = list(call.targets).index(target)
    return {
        "model": target.model,
        "provider": target.provider,
        "upstream": target.upstream,
        "why": _why(call, target, place) + ("; it rests after failures, so others go first" if rests else ""),
        "rests": rests,
        "requests": list(requests),
        "fault": None if fault is None else {"status": fault.status, "code": fault.code, "message": fault.message},
        "dropped": list(call.dropped),
        "changed": _changed(call, requests),
    }


def _why(call: Call, target: Target, place: int) -> str:
    group = [other for other in call.candidates if other.group == target.group]
    if len(call.targets) == 1:
        return f"the only target of {call.model}"
    drawn = ""
    if len(group) > 1:
        share = target.weight / sum(other.weight for other in group)
        drawn = f", drawn by weight ({share:.0%} of the requests of group {target.group})"
    if place == 0:
        return f"the first choice for {call.model}{drawn}"
    return f"number {place + 1}, tried when those before it failed{drawn}"


def _changed(call: Call, requests: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Parameters whose value is another upstream, by the names that both sides have in common."""
    try:
        sent = dict_of(orjson.loads(requests[0]["body"])) if requests else {}
    except orjson.JSONDecodeError:
        return []
    asked = call.body
    return [
        {"name": name, "asked": asked[name], "sent": sent[name]}
        for name in asked
        if name in sent and not isinstance(asked[name], (dict, list)) and asked[name] != sent[name]
    ]


def describe_request(request: UpstreamRequest, mask: Callable[[str], str]) -> dict[str, Any]:
    """A request as it would go out, byte for byte, but for the operator's secrets. mask: hides those by value."""
    return {
        "method": request.method,
        "url": mask(request.url),
        "headers": {
            name: MASK if any(word in name for word in _SECRET) else mask(value)
            for name, value in request.headers.items()
        },
        "body": mask(request.body.decode("utf-8", "replace")),
    }
