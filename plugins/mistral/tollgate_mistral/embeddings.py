"""OpenAI's `POST /embeddings` at Mistral.

Sources: OpenAI's API reference (create embeddings); Mistral's (`input`, `output_dimension`, `output_dtype`,
`encoding_format`, `metadata`). Mistral embeds texts only, not token numbers, and names no end-users.
"""

from __future__ import annotations

from typing import Any

import orjson

from gateway.api import Call, Target, UpstreamReply, check_depth, nonsense

from .draft import Draft, refuse
from .quirks import UNKNOWN
from .usage import translate_usage

_RENAMED = {"dimensions": "output_dimension"}


def embeddings_body(call: Call, target: Target) -> dict[str, Any]:
    """The upstream body. Raises CallerFault that names the field; appends to `call.dropped`."""
    given = call.body.get("input")
    for at, item in enumerate(given if isinstance(given, list) else [given]):
        if not isinstance(item, str):
            path = f"input[{at}]" if isinstance(given, list) else "input"
            raise refuse(path, "Mistral embeds texts; send the text instead of its tokens")
    draft = Draft(call=call, body=call.body, quirks=UNKNOWN)
    if call.body.get("user"):
        draft.report("user", "Mistral takes no end-user ids; metadata is carried")
    body = {_RENAMED.get(key, key): value for key, value in call.body.items() if key != "user" and value is not None}
    return {**body, "model": target.upstream}


def read_list(reply: UpstreamReply) -> dict[str, Any]:
    """The answer as OpenAI's list object, which it is. Raises UpstreamFault when it holds no embeddings."""
    try:
        answer = orjson.loads(reply.body)
    except orjson.JSONDecodeError:
        answer = None
    if not isinstance(answer, dict) or not isinstance(answer.get("data"), list):
        raise nonsense("The provider's answer holds no embeddings.", reply.body)
    check_depth(answer, reply.body)
    if "usage" in answer:
        answer["usage"] = translate_usage(answer["usage"])
    return answer
