"""The caller's side of a stream from an upstream that speaks another dialect: chat chunks in, events out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from gateway.api import Activity, ChatFold, UpstreamFault, Watch, dict_of, dicts_of, dump, encode_data, text_of

from .answer import add_grounding, closing_parts, ending_of, logprobs_of, spoken_parts, usage_of

Json = dict[str, Any]


class ChatStream:
    """identity, model: what every event bears. watch: see `InboundCall.relay`."""

    def __init__(self, identity: str, model: str, watch: Watch | None) -> None:
        self._envelope: Json = {"modelVersion": model, "responseId": identity}
        self._watch = watch
        self._kept = ChatFold()  # what is told at the end: calls, signatures, citations
        self._ended: dict[int, Json] = {}
        self._seen: set[int] = {0}
        self._cut = False
        self._activity = Activity()
        self._text: list[str] = []

    def feed(self, item: bytes | Json) -> bytes:
        """The events that one chunk makes. Raises UpstreamFault when it makes no sense."""
        chunk = _parsed(item) if isinstance(item, bytes) else item
        if self._watch is not None:
            self._watch(chunk)
        candidates: list[Json] = []
        for choice in dicts_of(chunk.get("choices")):
            index = choice.get("index")
            at = index if type(index) is int and 0 <= index < 1000 else 0
            self._seen.add(at)
            candidate = self._choice(choice, at)
            if candidate is not None:
                candidates.append(candidate)
        return self._event({"candidates": candidates}) if candidates else b""

    def _choice(self, choice: Json, at: int) -> Json | None:
        delta = dict_of(choice.get("delta"))
        if not at:
            if isinstance(delta.get("x_gateway"), Activity):
                self._activity += delta["x_gateway"]
            self._text.append(text_of(delta.get("content")))
        later = {
            key: delta[key] for key in ("tool_calls", "reasoning_details", "annotations", "citations") if delta.get(key)
        }
        if later:
            self._kept.add({"choices": [{"index": at, "delta": later}]})
        if choice.get("finish_reason"):
            self._ended[at] = choice
        parts, logprobs = spoken_parts(delta), logprobs_of(choice.get("logprobs"))
        if not parts and logprobs is None:
            return None
        candidate: Json = {"content": {"role": "model", "parts": parts}, "index": at}
        return candidate if logprobs is None else {**candidate, "logprobsResult": logprobs}

    def cut(self) -> None:
        """The gateway ends the answer here."""
        self._cut = True

    def finish(self, usage: Mapping[str, Any]) -> bytes:
        """The last event: function calls, reasons to finish, and the usage that was billed."""
        kept = {choice["index"]: choice["message"] for choice in self._kept.result()["choices"]}
        candidates = []
        for at in sorted(self._seen):
            ended = self._ended.get(at)
            message = dict_of(kept.get(at))
            details = message.get("reasoning_details")
            # A call that was cut short is none: its arguments would not be what the model meant.
            calls = [] if ended is None and self._cut else dicts_of(message.get("tool_calls"))
            parts = closing_parts(calls, details if isinstance(details, list) else []) or [{"text": ""}]
            end = ending_of(ended or {"finish_reason": "length" if self._cut else "stop"})
            candidate: Json = {"content": {"role": "model", "parts": parts}, **end, "index": at}
            said, activity = ("".join(self._text), self._activity) if not at else ("", None)
            add_grounding(candidate, message, said, activity)
            candidates.append(candidate)
        return self._event({"candidates": candidates, "usageMetadata": usage_of(usage)})

    def _event(self, event: Json) -> bytes:
        return encode_data(dump({**event, **self._envelope}).encode())


def _parsed(item: bytes) -> Json:
    try:
        chunk = orjson.loads(item)
    except orjson.JSONDecodeError:
        chunk = None
    if isinstance(chunk, dict):
        return chunk
    raise UpstreamFault(
        "The provider sent a stream event that is not a JSON object.",
        code="upstream_invalid_response",
        detail=item[:500].decode("utf-8", "replace"),
    )
