"""A chat call to `POST /v1/chat/completions`: the steps in their order."""

from __future__ import annotations

from typing import Any

from gateway.api import Call, GatewayFault, Target

from .draft import Draft
from .messages import translate_messages
from .params import add_effort, add_format, add_limits, add_rest, add_sampling
from .quirks import Quirks, resolve
from .settings import Settings
from .tools import add_tools


def quirks_of(target: Target, settings: Settings) -> Quirks:
    """What the target's model tolerates. Raises GatewayFault when the target's options make no sense."""
    try:
        return resolve(target.upstream, settings.quirks, target.options.get("quirks"))
    except (ValueError, TypeError) as error:
        raise GatewayFault(
            f"The options of the model {target.model} are wrong; the operator has to correct them.",
            detail=f"models.{target.model}.options.quirks: {error}",
        ) from None


def chat_body(call: Call, target: Target, settings: Settings) -> dict[str, Any]:
    """The upstream body of `call` for `target`. Raises CallerFault that names the field; appends to `call.dropped`."""
    draft = Draft(call=call, body=call.body, quirks=quirks_of(target, settings))
    draft.out["model"] = target.upstream
    draft.out["messages"] = translate_messages(draft)
    draft.out["stream"] = call.stream
    add_limits(draft)
    add_sampling(draft)
    add_tools(draft)
    add_format(draft)
    add_effort(draft)
    add_rest(draft)
    return draft.out
