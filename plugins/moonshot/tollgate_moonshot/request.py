"""A chat call to `POST /v1/chat/completions`: the steps in their order, each reading what the ones before it wrote."""

from __future__ import annotations

from gateway.api import Call, GatewayFault, Target

from .draft import Draft
from .messages import translate_messages
from .params import add_identity, add_limits, add_rest, add_sampling
from .quirks import Quirks, resolve
from .settings import Settings
from .thinking import add_thinking
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


def draft_request(call: Call, target: Target, settings: Settings) -> Draft:
    """The upstream body of `call` for `target`, with what its answer needs to be read.

    Raises CallerFault that names the field; appends to `call.dropped`.
    """
    draft = Draft(call=call, body=call.body, quirks=quirks_of(target, settings))
    draft.out["model"] = target.upstream
    draft.out["messages"] = []
    draft.out["stream"] = call.stream
    if call.stream:
        given = call.body.get("stream_options")
        options = {key: value for key, value in given.items() if value is not None} if isinstance(given, dict) else {}
        draft.out["stream_options"] = {**options, "include_usage": True}
    add_thinking(draft)
    instruction = add_tools(draft)
    draft.out["messages"] = translate_messages(draft)
    if instruction:
        draft.out["messages"].append({"role": "system", "content": instruction})
    add_limits(draft)
    add_sampling(draft)
    add_identity(draft)
    add_rest(draft)
    return draft
