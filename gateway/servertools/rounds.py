"""One round of the model as the caller sees it: its chunks without the calls that the gateway answers itself.

Text, reasoning and calls of the caller's own functions pass as they come; calls of hosted functions are taken out,
finish_reason and usage are held back, because another round may follow; links to what was found become citations.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import orjson

from gateway.errors import Fault, UpstreamFault
from gateway.provider import StreamItem
from gateway.servertools.activity import added, chunk_of, step
from gateway.servertools.citations import CitationFinder
from gateway.servertools.execute import HostedCall, call_item
from gateway.servertools.offer import Functions
from gateway.wire.chat.activity import MEMBER
from gateway.wire.chat.fold import ChatFold
from gateway.wire.lenient import dict_of, dicts_of, text_of

Json = dict[str, Any]
Show = Callable[[Json], bytes]

_REPLAYED = frozenset({"role", "content", "tool_calls", "reasoning_content", "reasoning_details", "refusal"})
"""Members of a message that go back to the model."""


class Shown:
    """What is the same for all rounds of one answer.

    functions: the hosted ones. show: gives a hub chunk to the caller's dialect and returns its bytes. finder: of
    citations in the text. by_item: the text of each item counts from 0, as in the Responses API; otherwise all text is
    one.
    """

    def __init__(self, functions: Functions, show: Show, finder: CitationFinder, *, by_item: bool) -> None:
        self.functions = functions
        self.finder = finder
        self.by_item = by_item
        self.calls = 0
        self.begun = False
        self._events = 0
        self._envelope: Json = {}
        self._show = show

    def show(self, chunk: Json) -> bytes:
        """Show a chunk under the envelope of the first."""
        if not self._envelope and chunk.get("id"):
            self._envelope = {key: chunk[key] for key in ("id", "created", "model") if key in chunk}
        return self._show({**chunk, **self._envelope})

    def activity(self, events: list[Json]) -> bytes:
        """Show what the gateway does; see `gateway.servertools.activity`."""
        # SDKs add lists in deltas up by `index`.
        numbered = [{"index": self._events + place, **event} for place, event in enumerate(events)]
        self._events += len(events)
        return self.show(chunk_of(numbered))

    def annotations(self, found: list[Json]) -> bytes:
        """Show citations."""
        if not found:
            return b""
        return self.show(_chunk({"annotations": found}))

    def new_text(self) -> bytes:
        """What follows is another item's text."""
        return self.annotations(self.finder.restart()) if self.by_item else b""


def _chunk(delta: Json, finish_reason: str | None = None) -> Json:
    choice = {"index": 0, "delta": delta, "finish_reason": finish_reason}
    return {"object": "chat.completion.chunk", "choices": [choice]}


class _Place:
    """A call in the stream of a round. shown: index among the caller's calls, None for a hosted one."""

    def __init__(self) -> None:
        self.name = ""
        self.waiting: list[Json] = []
        self.shown: int | None = None
        self.hosted: HostedCall | None = None


class RoundRelay:
    """Implements `gateway.dialect.Relay` for one round. inner: the caller's dialect's own relay, for the end.
    counted: adds to the usage what the gateway counted itself."""

    def __init__(
        self, answer: Shown, inner: Any, keep_alive: bytes, counted: Callable[[Mapping[str, Any]], Json]
    ) -> None:
        self.keep_alive = keep_alive
        self._answer = answer
        self._inner = inner
        self._counted = counted
        self._fold = ChatFold()
        self._reason = ""
        self._places: dict[int, _Place] = {}
        self._latest: _Place | None = None

    # -- the model's side ---------------------------------------------------------------------------------------

    def feed(self, items: list[StreamItem]) -> tuple[bytes, Fault | None]:
        """Take decoded items, as the tally passed them on."""
        out: list[bytes] = []
        for item in items:
            if isinstance(item, Fault):
                return b"".join(out), item
            try:
                chunk = item if isinstance(item, dict) else orjson.loads(item)
            except orjson.JSONDecodeError:
                chunk = None
            if not isinstance(chunk, dict):
                detail = repr(item)[:500]
                fault = UpstreamFault(
                    "The provider sent a stream event that is not a JSON object.",
                    code="upstream_invalid_response",
                    detail=detail,
                )
                return b"".join(out), fault
            try:
                self._fold.add(chunk)
            except Fault as error:
                return b"".join(out), error
            out.append(self._pass_on(chunk))
        return b"".join(out), None

    def cut(self) -> None:
        """The gateway ends the answer here."""
        self._reason = self._reason or "length"

    def finish(self, usage: Mapping[str, Any]) -> bytes:
        """See `Relay`. This round was the last one."""
        return self.close() + bytes(self._inner.finish(self._counted(usage)))

    def close(self) -> bytes:
        """The last chunks of an answer whose last round this was."""
        reason = self._reason
        if self._answer.calls:
            reason = "tool_calls"
        elif reason == "tool_calls" or not reason:
            reason = "stop"
        answer = self._answer
        closing = answer.annotations(answer.finder.finish())
        return closing + answer.show(_chunk({}, reason))

    def fail(self, fault: Fault, request_id: str) -> bytes:
        """The bytes that end a stream which has begun and cannot go on."""
        return bytes(self._inner.fail(fault, request_id))

    # -- what it came to ----------------------------------------------------------------------------------------

    def message(self) -> Json:
        """The assistant's message of this round, for the next one."""
        choices = dicts_of(self._fold.result().get("choices"))
        message = dict_of(choices[0].get("message")) if choices else {}
        return {"role": "assistant", "content": None, **{k: v for k, v in message.items() if k in _REPLAYED}}

    def hosted(self, message: Json) -> list[HostedCall]:
        """The calls in `message` that the gateway answers, in order."""
        found: list[HostedCall] = []
        shown = [place.hosted for place in self._places.values() if place.hosted is not None]
        for call in dicts_of(message.get("tool_calls")):
            function = dict_of(call.get("function"))
            hosted = self._answer.functions.by_name.get(text_of(function.get("name")))
            if hosted is not None:
                made = HostedCall(hosted, text_of(call.get("id")), text_of(function.get("arguments")))
                told = next((other for other in shown if other.hosted is hosted and not other.call_id), None)
                if told is not None:
                    # Its item stands open since its name came.
                    told.call_id = made.call_id
                    made.item_id, made.told = told.item_id, True
                found.append(made)
        return found

    # -- the caller's side --------------------------------------------------------------------------------------

    def _pass_on(self, chunk: Json) -> bytes:
        choices = chunk.get("choices")
        choice = choices[0] if isinstance(choices, list) and choices else None
        if not isinstance(choice, dict):
            return b""
        delta = dict_of(choice.get("delta"))
        if isinstance(choice.get("finish_reason"), str):
            self._reason = self._reason or choice["finish_reason"]
        answer, out = self._answer, []
        kept = {key: value for key, value in delta.items() if key not in ("tool_calls", "function_call", MEMBER)}
        if answer.begun:
            kept.pop("role", None)
        content = kept.get("content")
        if content == "" and answer.begun:
            kept.pop("content")
        elif content is None:
            kept.pop("content", None)
        if kept.get("reasoning_content") or delta.get("tool_calls"):
            out.append(answer.new_text())
        calls = [shown for call in dicts_of(delta.get("tool_calls")) for shown in self._call(call, out)]
        if calls:
            kept["tool_calls"] = calls
        if kept or choice.get("logprobs"):
            answer.begun = True
            top = {key: value for key, value in chunk.items() if key != "usage"}
            out.append(answer.show({**top, "choices": [{**choice, "delta": kept, "finish_reason": None}]}))
        if isinstance(content, str) and content:
            out.append(answer.annotations(answer.finder.feed(content)))
        return b"".join(out)

    def _call(self, call: Json, out: list[bytes]) -> list[Json]:
        """The fragments of a call that the caller shall see now; what is the gateway's own is told otherwise."""
        index = call.get("index")
        place = self._find(index if type(index) is int else None, call)
        function = dict_of(call.get("function")) or dict_of(call.get("custom"))
        if not place.name:
            place.waiting.append(call)
            place.name = text_of(function.get("name"))
            if not place.name:
                return []
            fragments, place.waiting = place.waiting, []
            hosted = self._answer.functions.by_name.get(place.name)
            if hosted is None:
                place.shown = self._answer.calls
                self._answer.calls += 1
            else:
                if hosted.kind not in ("mcp", "tool") or hosted.approval:
                    return []
                place.hosted = HostedCall(hosted, "", "")
                item = call_item(place.hosted)
                out.append(self._answer.activity([added(item), step(item["id"], "response.mcp_call.in_progress")]))
        else:
            fragments = [call]
        if place.hosted is not None:
            for fragment in fragments:
                text = dict_of(fragment.get("function")).get("arguments")
                if isinstance(text, str) and text:
                    kind = "response.mcp_call_arguments.delta"
                    out.append(self._answer.activity([step(place.hosted.item_id, kind, delta=text)]))
            return []
        return [] if place.shown is None else [{**fragment, "index": place.shown} for fragment in fragments]

    def _find(self, index: int | None, call: Json) -> _Place:
        """The call that a fragment belongs to; without an index, a new id begins a new one."""
        if index is None:
            if self._latest is None or call.get("id"):
                index = len(self._places)
            else:
                return self._latest
        place = self._places.setdefault(index, _Place())
        self._latest = place
        return place
