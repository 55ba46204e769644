"""OpenAI's `POST /embeddings` at Mistral.

Sources: OpenAI's API reference (create embeddings); Mistral's (`input`, `output_dimension`, `output_dtype`,
`encoding_format`, `metadata`). Mistral embeds texts only, not token numbers, and names no end-users.
"""

from __future__ import annotations

from typing import Any

from gateway.api import Call, EmbeddingsReader, Target, UpstreamReply

from .draft import Draft, refuse
from .quirks import UNKNOWN
from .reader import FaultsReader
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


class ListReader(FaultsReader, EmbeddingsReader):
    """Reads the answer, which is OpenAI's list object but for the usage."""

    def read_body(self, reply: UpstreamReply) -> dict[str, Any]:
        """A whole answer as the hub has it. Raises Fault for what is none."""
        answer = super().read_body(reply)
        if "usage" in answer:
            answer["usage"] = translate_usage(answer["usage"])
        return answer
