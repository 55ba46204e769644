"""Which models a key may call: its allow-list of ids and patterns such as `openai/*`."""

from __future__ import annotations

from gateway.api import Call, Refusal, hookimpl


@hookimpl
async def authorize_call(call: Call) -> None:
    """A key with an allow-list may call a model when the list names it, or names everything it may lead to."""
    caller = call.caller
    if caller is None or caller.models is None or not call.model:
        return
    patterns = caller.models
    if call.explanation is not None:
        call.explanation.note(allowed_models=list(patterns))
    if caller.may_call(call.model, call.candidates):
        return
    raise Refusal(
        f"This key may not use the model '{call.model}'. It is limited to: {', '.join(patterns) or 'no model'}.",
        status=403,
        type="model_not_allowed",
        code="model_not_allowed",
        param="model",
    )
