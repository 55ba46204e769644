"""A chat call to `POST /v1/chat/completions`: the steps in their order, each reading what the ones before it wrote."""

from __future__ import annotations

from gateway.api import Call, Target

from .draft import Draft
from .messages import translate_messages
from .params import add_identity, add_limits, add_rest, add_sampling
from .quirks import Quirks
from .thinking import add_thinking
from .tools import add_tools


def draft_request(call: Call, target: Target, quirks: Quirks) -> Draft:
    """The upstream body of `call` for `target`, with what its answer needs to be read.

    Raises CallerFault that names the field; appends to `call.dropped`.
    """
    draft = Draft(call=call, body=call.body, quirks=quirks)
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
