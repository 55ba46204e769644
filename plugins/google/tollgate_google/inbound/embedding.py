"""`embedContent` and `batchEmbedContents` as OpenAI's `POST /embeddings`, and the answer back.

Source: Google's API reference (`models.embedContent`, `models.batchEmbedContents`).
"""

from __future__ import annotations

import base64
import struct
from typing import Any

from gateway.api import Answer, Call, Dialect, Relay, Watch, as_dict, as_list, dict_of, dicts_of
from tollgate_google.draft import refuse

from .request import check
from .spelling import camel
from .turns import texts_of

Json = dict[str, Any]

_SAME = ("taskType", "title", "autoTruncate")


def open_embeddings(call: Call, body: Json, model: str, *, batch: bool) -> EmbeddingsCall:
    """Put the hub form into `call`. Raises CallerFault that names the field."""
    check(body)
    given = as_list(camel(body).get("requests"), "requests") if batch else [body]
    if not given:
        raise refuse("requests", "must be an array with at least one request")
    if len(given) > 2048:
        raise refuse("requests", "must be at most 2048; split the request")
    texts: list[str] = []
    options: list[Json] = []
    for at, request in enumerate(given):
        path = f"requests[{at}]." if batch else ""
        request = camel(as_dict(request, path.rstrip(".") or "body"))
        text = "\n".join(texts_of(request.get("content"), f"{path}content"))
        if not text:
            raise refuse(f"{path}content", "must have a text")
        texts.append(text)
        inner = request.get("embedContentConfig")
        options.append({**request, **(camel(inner) if isinstance(inner, dict) else {})})
    chat: Json = {"model": model, "input": texts}
    first = options[0]
    for name, target in (("outputDimensionality", "dimensions"), *((name, name) for name in _SAME)):
        value = first.get(name)
        if any(other.get(name) != value for other in options):
            raise refuse(f"requests[].{name}", "must be the same for all texts of one request")
        if value is not None:
            chat[target] = value
    dimensions = chat.get("dimensions")
    if dimensions is not None and (type(dimensions) is not int or not 1 <= dimensions <= 1_000_000):
        raise refuse("outputDimensionality", "must be a whole number from 1")
    call.operation, call.body, call.model = "embeddings", chat, model
    return EmbeddingsCall(batch)


class EmbeddingsCall:
    """One request; implements `gateway.api.InboundCall`."""

    def __init__(self, batch: bool) -> None:
        self._batch = batch

    def relay(self, watch: Watch | None, dialect: Dialect = "chat") -> Relay:
        """Embeddings are never streamed."""
        raise NotImplementedError

    def whole(self, answer: Answer) -> Json:
        """A whole answer (its usage is what was billed, with `cost`) as this dialect's."""
        found = [{"values": _values(entry.get("embedding"))} for entry in dicts_of(answer.body.get("data"))]
        usage = {"promptTokenCount": dict_of(answer.usage).get("prompt_tokens", 0)}
        if self._batch:
            return {"embeddings": found, "usageMetadata": usage}
        return {"embedding": found[0] if found else {"values": []}, "usageMetadata": usage}


def _values(embedding: Any) -> list[Any]:
    """The numbers; servers may send them as base64 of 32-bit floats unasked."""
    if isinstance(embedding, str):
        raw = base64.b64decode(embedding)
        return list(struct.unpack(f"<{len(raw) // 4}f", raw[: len(raw) // 4 * 4]))
    return embedding if isinstance(embedding, list) else []
