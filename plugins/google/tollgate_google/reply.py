"""A whole answer of generateContent as a chat completion: read as a stream of one response, then folded."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import orjson

from gateway.api import (
    Call,
    ChatReader,
    Fault,
    StreamDecoder,
    StreamItem,
    UpstreamReply,
    dict_of,
    fold_stream,
    load_mended,
    nonsense,
)

from .faults import fault_from_reply, tidy
from .reading import Reading
from .stream import ChunkTranslator, GeminiDecoder


class FaultsReader(ChatReader):
    """Faults in Google's words."""

    def fault_of(self, reply: UpstreamReply) -> Fault:
        """The fault that an error answer means, not yet cleaned."""
        return fault_from_reply(reply)

    def clean(self, fault: Fault) -> Fault:
        """The fault without the operator's secrets."""
        return tidy(fault, self.secrets)


class GeminiReader(FaultsReader):
    """Reads answers of generateContent, whole and streamed, as chat.

    reading: how, by the request. secrets: the operator's key, kept out of errors.
    """

    names_in_pieces = False

    def __init__(self, call: Call, reading: Reading, secrets: Sequence[str] = ()) -> None:
        super().__init__(call, secrets)
        self.reading = reading

    def read_body(self, reply: UpstreamReply) -> dict[str, Any]:
        """A whole answer as the hub has it. Raises Fault for what is none."""
        return completion_of(self.call, responses_in(reply), self.reading)

    def make_decoder(self) -> StreamDecoder:
        """A fresh decoder for the streamed answer."""
        return GeminiDecoder(self.call, self.reading, self.clean)


def responses_in(reply: UpstreamReply) -> list[dict[str, Any]]:
    """The GenerateContentResponses of a 2xx body: one, or a list of them, which is how streamGenerateContent answers
    without `alt=sse`. Raises UpstreamFault when it holds something else."""
    try:
        raw = load_mended(reply.body)
    except orjson.JSONDecodeError:
        raise nonsense("The provider's answer is not JSON.", reply.body) from None
    responses = raw if isinstance(raw, list) else [raw]
    for response in responses:
        if not isinstance(response, dict):
            raise nonsense("The provider's answer is not a JSON object.", reply.body)
    return responses


def object_in(reply: UpstreamReply, missing: str) -> dict[str, Any]:
    """The object of a 2xx body that is no conversation. missing: what is said of one that is no JSON. Raises Fault,
    also for an error in spite of the status."""
    try:
        raw = dict_of(load_mended(reply.body))
    except orjson.JSONDecodeError:
        raise nonsense(missing, reply.body) from None
    if raw.get("error"):
        code = dict_of(raw["error"]).get("code")
        status = code if type(code) is int and 400 <= code <= 599 else 502
        raise fault_from_reply(UpstreamReply(status, reply.headers, reply.body))
    return raw


def completion_of(call: Call, responses: list[dict[str, Any]], reading: Reading) -> dict[str, Any]:
    """The chat completion. Raises UpstreamFault when it is not whole, and the fault that an error in it means."""
    translator = ChunkTranslator(call, reading)
    items: list[StreamItem] = []
    for response in responses:
        translator.feed(response, items)
    if not translator.complete:
        raise nonsense("The provider's answer has no candidate that was finished.")
    translator.end(items)
    completion = fold_stream([item for item in items if isinstance(item, dict)])
    for choice in completion["choices"]:
        message = choice["message"]
        if not message["content"] and any(message.get(key) for key in ("tool_calls", "refusal", "audio", "images")):
            message["content"] = None
    return completion
