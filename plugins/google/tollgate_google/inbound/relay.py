"""The caller's side of a stream, from an upstream that speaks Google's dialect and from any other."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from gateway.api import Call, Fault, StreamItem, Watch, dict_of, dicts_of, dump, encode_data, nonsense
from tollgate_google.reading import Reading
from tollgate_google.stream import ChunkTranslator, place_of

from .answer import usage_of
from .faults import error_event
from .stream import ChatStream

Json = dict[str, Any]

KEEP_ALIVE = b"\n"
"""An empty line: Google's clients take a comment for broken JSON."""


class GenerateRelay:
    """Implements `gateway.api.Relay`. native: the upstream speaks Google's dialect."""

    keep_alive = KEEP_ALIVE

    def __init__(self, call: Call, identity: str, watch: Watch | None, *, native: bool = False) -> None:
        self._stream = NativeStream(call, watch) if native else ChatStream(identity, call.model, watch)

    def feed(self, items: list[StreamItem]) -> tuple[bytes, Fault | None]:
        """Take decoded items, as the tally passed them on."""
        out: list[bytes] = []
        try:
            for item in items:
                if isinstance(item, Fault):
                    return b"".join(out), item
                out.append(self._stream.feed(item))
        except Fault as fault:
            return b"".join(out), fault
        return b"".join(out), None

    def cut(self) -> None:
        """The gateway ends the answer here."""
        self._stream.cut()

    def finish(self, usage: Mapping[str, Any]) -> bytes:
        """The closing bytes of a stream that ended well, with the usage to show (OpenAI's names, plus `cost`)."""
        return self._stream.finish(usage)

    def fail(self, fault: Fault, request_id: str) -> bytes:
        """See `Relay`: the error alone, because what was held back would look like an end."""
        return error_event(fault, request_id)


class NativeStream:
    """Events of the same dialect, passed on as they came but for the model's name. An event that ends the answer waits
    until the call is billed."""

    def __init__(self, call: Call, watch: Watch | None) -> None:
        self._model = call.model
        self._watch = watch
        self._chunks = ChunkTranslator(call, Reading()) if watch is not None else None
        self._ended: dict[int, bool] = {}
        self._blocked = False
        self._held: Json | None = None
        self._identity: Any = None

    def feed(self, item: bytes | Json) -> bytes:
        """The events to send for one. Raises UpstreamFault when it is none."""
        event: Any = item
        if isinstance(item, bytes):
            try:
                event = orjson.loads(item)
            except orjson.JSONDecodeError:
                event = None
        if not isinstance(event, dict):
            raise nonsense(
                "The provider sent a stream event that is not a JSON object.", item if isinstance(item, bytes) else b""
            )
        self._show(event)
        event["modelVersion"] = self._model
        self._identity = event.get("responseId", self._identity)
        ended = False
        for place, candidate in enumerate(dicts_of(event.get("candidates"))):
            reason = bool(candidate.get("finishReason"))
            at = place_of(candidate, place)
            self._ended[at] = self._ended.get(at, False) or reason
            ended = ended or reason
        self._blocked = self._blocked or bool(dict_of(event.get("promptFeedback")).get("blockReason"))
        out, self._held = self._release(), None
        if ended or self._blocked:
            self._held = event
            return out
        return out + encode_data(dump(event).encode())

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
        """The gateway ends the answer here."""
        if self._blocked or (self._ended and all(self._ended.values())):
            return
        open_ = [at for at, ended in self._ended.items() if not ended] or [0]
        said = [{"content": {"role": "model", "parts": [{"text": ""}]}, "index": at} for at in open_]
        ends = [{**candidate, "finishReason": "MAX_TOKENS"} for candidate in said]
        self._held = {"candidates": ends, "modelVersion": self._model}
        if self._identity is not None:
            self._held["responseId"] = self._identity

    def finish(self, usage: Mapping[str, Any]) -> bytes:
        """The event that was held back; one without counts gets those that were billed."""
        held = self._held or {"modelVersion": self._model}
        self._held = None
        held.setdefault("usageMetadata", usage_of(usage))
        return encode_data(dump(held).encode())
