"""A chat call to `POST /v1/chat/completions`: the steps in their order."""

from __future__ import annotations

from typing import Any

from gateway.api import Call, Target

from .draft import Draft
from .messages import translate_messages
from .params import add_effort, add_format, add_limits, add_rest, add_sampling
from .quirks import Quirks
from .tools import add_tools


def chat_body(call: Call, target: Target, quirks: Quirks) -> dict[str, Any]:
    """The upstream body of `call` for `target`. Raises CallerFault that names the field; appends to `call.dropped`."""
    draft = Draft(call=call, body=call.body, quirks=quirks)
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
