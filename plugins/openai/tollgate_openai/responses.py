"""From a Responses body to the body that one model accepts; members that this module does not know travel on unread.

Sources: OpenAI's API reference (create response: `max_output_tokens`, `reasoning`, `include`) and its guide "Reasoning
models". A model that does not reason refuses `reasoning`, reasoning items, and `reasoning.encrypted_content`.
"""

from __future__ import annotations

from typing import Any

from gateway.api import EFFORTS, Call, CallerFault, nearest_effort
from tollgate_openai.quirks import Quirks, reasoning_is_on
from tollgate_openai.request import drop_parameter, mend_tools, report

LEAST_OUTPUT = 16
"""The least `max_output_tokens` that OpenAI takes."""
_ENCRYPTED = "reasoning.encrypted_content"


def responses_body(call: Call, upstream: str, quirks: Quirks, *, table: bool) -> dict[str, Any]:
    """The body for `upstream` (the model's name there). table: the quirks are OpenAI's own, so that a model of which
    nothing else is known does not reason.

    Appends to `call.dropped` what the model does not tolerate. Raises CallerFault instead when the call is strict.
    """
    body = dict(call.body)
    body["model"] = upstream
    body.pop("stream", None)
    if call.stream:
        body["stream"] = True
    else:
        body.pop("stream_options", None)
    if call.max_output is not None:
        body["max_output_tokens"] = max(call.max_output, LEAST_OUTPUT)
        if call.max_output < LEAST_OUTPUT:
            call.answer_headers["x-gateway-clamped"] = f"max_tokens={LEAST_OUTPUT}; reason=model"
    _set_effort(body, call, quirks)
    mend_tools(body, flat=table)
    if table and quirks.reasons == "never":
        _without_reasoning(body, call)
    reasoning = body.get("reasoning")
    effort = reasoning.get("effort") if isinstance(reasoning, dict) else None
    refused = quirks.unsupported
    if reasoning_is_on(quirks, effort):
        refused += quirks.while_reasoning
    for name in refused:
        drop_parameter(body, call, name)
    return body


def _set_effort(body: dict[str, Any], call: Call, quirks: Quirks) -> None:
    reasoning = body.get("reasoning")
    effort = reasoning.get("effort") if isinstance(reasoning, dict) else None
    if not quirks.efforts or not isinstance(effort, str) or effort in quirks.efforts:
        return
    if effort not in EFFORTS:
        return  # no effort anybody knows: the upstream's own error explains it best
    if call.strict:
        raise CallerFault(
            f"reasoning.effort: the model {call.model} supports {', '.join(quirks.efforts)}.",
            param="reasoning.effort",
            code="unsupported_value",
        )
    body["reasoning"] = {**(reasoning or {}), "effort": nearest_effort(effort, quirks.efforts)}
    report(call, "reasoning.effort")


def _without_reasoning(body: dict[str, Any], call: Call) -> None:
    reasoning = body.get("reasoning")
    asked = isinstance(reasoning, dict) and any(value not in (None, "none") for value in reasoning.values())
    if asked:
        drop_parameter(body, call, "reasoning")
    body.pop("reasoning", None)
    include = [entry for entry in body.get("include") or () if entry != _ENCRYPTED]
    if include:
        body["include"] = include
    else:
        body.pop("include", None)
    items = body.get("input")
    if isinstance(items, list):
        kept = [item for item in items if not (isinstance(item, dict) and item.get("type") == "reasoning")]
        if len(kept) < len(items):
            # Thoughts of another model, from an earlier turn: this one cannot read them.
            body["input"] = kept
