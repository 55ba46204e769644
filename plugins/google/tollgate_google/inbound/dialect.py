"""Google's Gemini API as a dialect at the door, for every model.

A request becomes two forms of itself: its own words, for a provider that speaks the same dialect, and a chat body, by
which it is also held, clamped and estimated, for every other. Which of the two goes out is decided per attempt.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gateway.api import (
    Answer,
    Call,
    CallerFault,
    Dialect,
    Fault,
    Form,
    InboundCall,
    Notes,
    Relay,
    Watch,
    bearer,
)
from tollgate_google.draft import refuse

from .answer import response_of
from .embedding import open_embeddings
from .faults import error_json
from .native import GENERATE
from .relay import KEEP_ALIVE, GenerateRelay
from .request import chat_body, check

Json = dict[str, Any]

MODEL, METHOD = "model", "method"
"""The places of a request's path, as `routes` splits it."""


class GenerateDialect:
    """Google's Gemini API as a dialect of callers."""

    name = "generate_content"
    own_header = "x-goog-api-client"
    turns = "contents"
    road = "/v1beta/models/MODEL:generateContent"
    keep_alive = KEEP_ALIVE

    def credential(self, headers: Mapping[str, str], query: Mapping[str, str]) -> str:
        """The key in `Authorization: Bearer`, else in `x-goog-api-key`. One in the URL is refused before."""
        return bearer(headers) or headers.get("x-goog-api-key", "").strip()

    def open(self, call: Call, body: Json, values: Mapping[str, str]) -> InboundCall:
        """Validate `body` (parsed JSON) and put its hub form into `call`."""
        model, method = values[MODEL], values[METHOD]
        if method in ("embedContent", "batchEmbedContents"):
            return open_embeddings(call, body, model, batch=method == "batchEmbedContents")
        check(body)
        notes = Notes("Google")
        chat = {"model": model, **chat_body(body, notes)}
        stream = method == "streamGenerateContent"
        if stream:
            chat["stream"] = True
        forms = {"chat": notes.form(call, chat)}
        call.model, call.stream = model, stream
        choices = chat.get("n") or 1
        if choices == 1:
            # Several choices are made out of several calls where a model gives one at a time: by way of chat.
            forms[GENERATE] = Form(body)
        call.forms = forms
        return GenerateCall(call)

    def error_body(self, fault: Fault, request_id: str) -> bytes:
        """The JSON body of an error answer."""
        return error_json(fault, request_id)


class GenerateCall:
    """One request; implements `gateway.api.InboundCall`."""

    def __init__(self, call: Call) -> None:
        self._call = call
        self._id = call.id.removeprefix("req_")

    def relay(self, watch: Watch | None, dialect: Dialect = "chat") -> Relay:
        """A fresh encoder for this request's stream."""
        return GenerateRelay(self._call, self._id, watch, native=dialect == GENERATE)

    def whole(self, answer: Answer) -> Json:
        """A whole answer (its usage is what was billed, with `cost`) as this dialect's."""
        if answer.dialect == GENERATE:
            return {**answer.body, "modelVersion": self._call.model}
        return response_of({**answer.body, "usage": answer.usage, "model": self._call.model}, self._id)


def split_path(path: str) -> tuple[str, str]:
    """The model and the method of `{model}:{method}`. Raises CallerFault 404 when there is no method."""
    model, colon, method = path.rpartition(":")
    if not colon or not model:
        raise CallerFault(
            "The path must end with a method, such as :generateContent.", status=404, code="not_found", param="model"
        )
    if len(model) > 256 or not model.isprintable():
        raise refuse("model", "must be the id of a model, as listed by GET /v1/models")
    return model, method
