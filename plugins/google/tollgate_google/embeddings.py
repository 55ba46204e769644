"""OpenAI's `POST /embeddings` at Google, by batchEmbedContents.

Sources: OpenAI's API reference (create embeddings); Google's (`models.batchEmbedContents`). Google embeds texts, not
token numbers, answers in numbers only, and may leave the usage out: then the gateway estimates it.
"""

from __future__ import annotations

import base64
import struct
from typing import Any

import orjson

from gateway.api import Answer, Call, Dialect, UpstreamReply, dict_of, find_usage, nonsense

from .draft import refuse
from .reply import FaultsReader

_TAKEN = frozenset({"model", "input", "dimensions", "encoding_format", "user"})
_MOST = 2**40


def embeddings_body(call: Call, name: str) -> dict[str, Any]:
    """The upstream body. name: the model's, with `models/`. Raises CallerFault that names the field; appends to
    `call.dropped`. Members that are not OpenAI's (`taskType`, `title`) go into every request."""
    given = call.body.get("input")
    listed = given if isinstance(given, list) else [given]
    for at, item in enumerate(listed):
        if not isinstance(item, str):
            path = f"input[{at}]" if isinstance(given, list) else "input"
            raise refuse(path, "Google embeds texts; send the text instead of its tokens")
    if call.body.get("user"):
        call.report_dropped("user", "Google takes no identifier of an end user")
    more = {key: value for key, value in call.body.items() if key not in _TAKEN and value is not None}
    if call.body.get("dimensions") is not None:
        more["outputDimensionality"] = call.body["dimensions"]
    return {"requests": [{**more, "model": name, "content": {"parts": [{"text": text}]}} for text in listed]}


class ListReader(FaultsReader):
    """Reads batchEmbedContents' answers as OpenAI's list object."""

    dialect: Dialect = "embeddings"

    def read_body(self, reply: UpstreamReply) -> dict[str, Any]:
        """A whole answer as the hub has it. Raises Fault for what is none."""
        return read_embeddings(self.call, reply)

    def measure(self, body: dict[str, Any]) -> Answer:
        """A whole answer with what it comes to: its usage, why it ended, the size of its text."""
        return Answer(body, self.dialect, find_usage(body))


def read_embeddings(call: Call, reply: UpstreamReply) -> dict[str, Any]:
    """The answer as OpenAI's list object. Raises UpstreamFault when it holds no embeddings."""
    try:
        answer = dict_of(orjson.loads(reply.body))
    except orjson.JSONDecodeError:
        answer = {}
    listed = answer.get("embeddings")
    given = call.body.get("input")
    wanted = len(given) if isinstance(given, list) else 1
    if not isinstance(listed, list) or len(listed) != wanted:
        raise nonsense("The provider's answer does not hold an embedding for every text.", reply.body)
    packed = call.body.get("encoding_format") == "base64"
    data = []
    for at, entry in enumerate(listed):
        values = dict_of(entry).get("values")
        if not isinstance(values, list) or not values or not all(_is_number(value) for value in values):
            raise nonsense("The provider's answer holds an embedding without numbers.", reply.body)
        embedding = _packed(values) if packed else values
        data.append({"object": "embedding", "index": at, "embedding": embedding})
    out: dict[str, Any] = {"object": "list", "data": data, "model": call.model}
    count = dict_of(answer.get("usageMetadata")).get("promptTokenCount")
    if type(count) is int and 0 <= count <= _MOST:
        out["usage"] = {"prompt_tokens": count, "total_tokens": count}
    return out


def _is_number(value: Any) -> bool:
    return type(value) in (int, float) and -1e38 < value < 1e38


def _packed(values: list[Any]) -> str:
    return base64.b64encode(struct.pack(f"<{len(values)}f", *values)).decode()
