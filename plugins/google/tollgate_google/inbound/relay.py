"""The caller's side of a stream, from an upstream that speaks Google's dialect and from any other."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from gateway.api import Call, Fault, StreamItem, Watch, dict_of, dicts_of, dump, encode_data, nonsense
from tollgate_google.grounding import searches_of
from tollgate_google.reading import FINISH, reading_of
from tollgate_google.stream import ChunkTranslator
from tollgate_google.usage import translate_usage

from .answer import usage_of
from .faults import error_event
from .native import GENERATE
from .stream import ChatStream

Json = dict[str, Any]

KEEP_ALIVE = b"\n"
"""An empty line: Google's clients take a comment for broken JSON."""


class GenerateRelay:
    """Implements `gateway.api.Relay`. Which side of it works is seen by what comes: an upstream of the same dialect may
    still answer a request for a stream with a whole answer, which the gateway takes apart into chunks."""

    keep_alive = KEEP_ALIVE

    def __init__(self, call: Call, identity: str, choices: int, watch: Watch | None) -> None:
        self._native = call.answered_in == GENERATE
        self._events = NativeStream(call, watch)
        self._chat = ChatStream(identity, call.model, choices, watch)
        self._used: NativeStream | ChatStream = self._events if self._native else self._chat

    @property
    def usage(self) -> Json | None:
        return self._used.usage

    @property
    def finish_reason(self) -> str:
        return self._used.finish_reason

    @property
    def text_bytes(self) -> int:
        return self._used.text_bytes

    @property
    def chunks(self) -> int:
        return self._used.chunks

    @property
    def complete(self) -> bool:
        return self._used.complete

    def feed(self, items: list[StreamItem]) -> tuple[bytes, Fault | None]:
        """See `Relay`."""
        out: list[bytes] = []
        try:
            for item in items:
                if isinstance(item, Fault):
                    return b"".join(out), item
                if self._native and isinstance(item, bytes):
                    out.append(self._events.feed(item))
                else:
                    self._used = self._chat
                    out.append(self._chat.feed(item))
        except Fault as fault:
            return b"".join(out), fault
        return b"".join(out), None

    def cut(self) -> None:
        """See `Relay`."""
        self._used.cut()

    def finish(self, usage: Mapping[str, Any]) -> bytes:
        """See `Relay`."""
        return self._used.finish(usage)

    def fail(self, fault: Fault, request_id: str) -> bytes:
        """See `Relay`: the error alone, because what was held back would look like an end."""
        return error_event(fault, request_id)


class NativeStream:
    """Events of the same dialect, passed on as they came but for the model's name. An event that ends the answer waits
    until the call is billed."""

    def __init__(self, call: Call, watch: Watch | None) -> None:
        self.usage: Json | None = None
        self.finish_reason = ""
        self.text_bytes = 0
        self.chunks = 0
        self.complete = False
        self._model = call.model
        self._watch = watch
        self._chunks = ChunkTranslator(call) if watch is not None else None
        self._reasons: dict[int, str] = {}
        self._held: Json | None = None
        self._identity: Any = None
        self._call = call
        self._counts: Json | None = None
        self._grounding: dict[int, Json] = {}

    def feed(self, item: bytes) -> bytes:
        """The events to send for the JSON of one. Raises UpstreamFault when it is none."""
        try:
            event = orjson.loads(item)
        except orjson.JSONDecodeError:
            event = None
        event = event[0] if isinstance(event, list) and len(event) == 1 else event
        if not isinstance(event, dict):
            raise nonsense("The provider sent a stream event that is not a JSON object.", item)
        self._show(event)
        event["modelVersion"] = self._model
        self._identity = event.get("responseId", self._identity)
        counts = event.get("usageMetadata")
        usage = translate_usage(counts) if isinstance(counts, dict) else None
        if usage is not None:
            self._counts = usage
        ended = self._note(event)
        self.usage = self._billed()
        blocked = bool(dict_of(event.get("promptFeedback")).get("blockReason"))
        if blocked:
            self.finish_reason, self.complete = "content_filter", True
        out, self._held = self._release(), None
        if ended or blocked:
            self._held = event
            return out
        return out + encode_data(dump(event).encode())

    def _note(self, event: Json) -> bool:
        """Count what was said; whether a candidate gave its reason to finish."""
        ended, size = False, 0
        for place, candidate in enumerate(dicts_of(event.get("candidates"))):
            index = candidate.get("index")
            at = index if type(index) is int and 0 <= index < 1000 else place
            self._reasons.setdefault(at, "")
            for part in dicts_of(dict_of(candidate.get("content")).get("parts")):
                text = part.get("text")
                size += len(text.encode("utf-8", "replace")) if isinstance(text, str) else len(dump(part))
            grounding = candidate.get("groundingMetadata")
            if isinstance(grounding, dict):
                self._grounding.setdefault(at, {}).update(grounding)
            reason = candidate.get("finishReason")
            if isinstance(reason, str) and reason:
                ended = True
                self._reasons[at] = reason
                self.finish_reason = FINISH.get(reason, "stop") or "stop"
        if size:
            self.chunks += 1
            self.text_bytes += size
        self.complete = bool(self._reasons) and all(self._reasons.values())
        return ended

    def _billed(self) -> Json | None:
        """The counts so far, with the web searches, which cost apart."""
        every = reading_of(self._call).every_search
        searches = sum(searches_of(found, every) for found in self._grounding.values())
        if self._counts is None or not searches:
            return self._counts
        return {**self._counts, "server_tool_use_details": {"web_search_requests": searches}}

    def _show(self, event: Json) -> None:
        """Let those who watch see the event as chat chunks."""
        if self._chunks is None or self._watch is None:
            return
        chunks: list[StreamItem] = []
        self._chunks.feed(event, chunks)
        for chunk in chunks:
            if isinstance(chunk, dict):
                self._watch(chunk)

    def _release(self) -> bytes:
        return b"" if self._held is None else encode_data(dump(self._held).encode())

    def cut(self) -> None:
        """See `Relay`."""
        if not self.complete:
            self.finish_reason = "length"
            open_ = [at for at, reason in self._reasons.items() if not reason] or [0]
            said = [{"content": {"role": "model", "parts": [{"text": ""}]}, "index": at} for at in open_]
            ended = [{**candidate, "finishReason": "MAX_TOKENS"} for candidate in said]
            self._held = {"candidates": ended, "modelVersion": self._model}
            if self._identity is not None:
                self._held["responseId"] = self._identity

    def finish(self, usage: Mapping[str, Any]) -> bytes:
        """The event that was held back; one without counts gets those that were billed."""
        held = self._held or {"modelVersion": self._model}
        self._held = None
        held.setdefault("usageMetadata", usage_of(usage))
        return encode_data(dump(held).encode())
