"""A conversation made shorter, to go on with in the place of the long one: by `POST /responses/compact`, or by an item
`compaction_trigger` in the input of `POST /responses`.

A provider that compacts itself does (the operation `compact`); its item is opaque, and goes back to it as it is. For
all others the model is asked for a summary, by an ordinary call that is billed as one, and the summary becomes a
`compaction` item that only this gateway opens (`gateway.responses.sealer`). Beside it stand the user's own latest
messages, word for word.

Source: OpenAI's OpenAPI document 2.3.0 (CompactResponseMethodPublicBody, CompactResource, CompactionBody), its guide
"Compaction", and requests of Codex 0.171. A newer Codex appends the trigger, and wants exactly one `compaction` item in
the output, with its `encrypted_content` (openai/codex, `ResponseItem::Compaction`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import orjson

from gateway.call import Call, Form
from gateway.dialect import Watch
from gateway.errors import Fault, UpstreamFault
from gateway.provider import Answer, StreamItem
from gateway.responses.dialect import ResponsesCall, ResponsesDialect, check_request
from gateway.responses.relays import BridgeRelay
from gateway.responses.sealer import Sealer
from gateway.wire.bridge.request import ChatForm
from gateway.wire.bridge.shell_tools import CALLERS_TOOLS
from gateway.wire.bridge.stream import BridgeStream
from gateway.wire.responses.events import encode_events
from gateway.wire.responses.ids import Minter
from gateway.wire.responses.native import native_request
from gateway.wire.responses.objects import error_of, item_resources, shown_usage
from gateway.wire.responses.replay import events_of

Json = dict[str, Any]

_ASK = (
    "Stop here. The conversation so far is about to be left out, to make room. Write a summary of it for the model "
    "that goes on: the task and what the user wants, what was decided and why, what was done and with which results, "
    "names, paths, figures and quotations that are still needed, and what comes next. Write the summary only; "
    "call no tool."
)
_TAKEN = frozenset(
    {
        "instructions",
        "model",
        "parallel_tool_calls",
        "previous_response_id",
        "prompt_cache_key",
        "prompt_cache_retention",
        "reasoning",
        "service_tier",
        "user",
    }
)
"""Members that mean the same in the call for a summary."""
_ANSWERED = frozenset({"background", "max_output_tokens", "metadata", "store", "stream"})
"""Members that say how an answer comes."""
_MOST_KEPT = 65_536
"""Bytes of JSON of the user's messages that stay word for word."""


class CompactDialect(ResponsesDialect):
    """OpenAI's `POST /responses/compact`."""

    def open(self, call: Call, body: dict[str, Any], values: Mapping[str, str]) -> ResponsesCall:
        """Validate a request; see `ResponsesDialect.open`."""
        check_request(body)
        call.model = body.get("model") or ""
        return CompactCall(call, body, self._services)


class TriggerDialect(ResponsesDialect):
    """OpenAI's `POST /responses`, where an item may ask that the conversation be compacted."""

    def open(self, call: Call, body: dict[str, Any], values: Mapping[str, str]) -> ResponsesCall:
        """Validate a request; see `ResponsesDialect.open`."""
        opened = super().open(call, body, values)
        given = body.get("input")
        if not isinstance(given, list) or not any(_is_trigger(item) for item in given):
            return opened
        return TriggeredCall(call, body, self._services)


def _is_trigger(item: Any) -> bool:
    return isinstance(item, Mapping) and item.get("type") == "compaction_trigger"


def _callers_tools(body: Mapping[str, Any]) -> list[Json]:
    """The tools to offer, though not to call: some providers refuse calls in the history without them."""
    return [tool for tool in body.get("tools") or () if tool.get("type") in CALLERS_TOOLS]


def _compaction_item(call: ResponsesCall, sealer: Sealer, response: Mapping[str, Any]) -> Json:
    """The item that stands for the summary in a response. Raises UpstreamFault when there is none."""
    summary = "".join(
        part.get("text") or ""
        for item in response["output"]
        if item.get("type") == "message"
        for part in item.get("content") or ()
        if part.get("type") == "output_text"
    )
    if not summary.strip():
        raise UpstreamFault("The model wrote no summary; try again.", code="upstream_invalid_response")
    return {
        "id": Minter(f"{call.id.removeprefix('resp_')}-c").mint("cmp"),
        "type": "compaction",
        "encrypted_content": sealer.seal(call.account_id, summary),
    }


class TriggeredCall(ResponsesCall):
    """One request whose answer is the compacted conversation. To who speaks Responses it goes as it is."""

    def _chat_form(self, earlier: Sequence[Mapping[str, Any]], native: bool) -> ChatForm:
        request, told = self._request, self._told
        self._request = {key: value for key, value in request.items() if key in _TAKEN or key in _ANSWERED}
        self._request.update(tools=_callers_tools(request), truncation="auto")
        asked = {"type": "message", "role": "user", "content": _ASK}
        self._told = [*(item for item in told if not _is_trigger(item)), asked]
        try:
            form = super()._chat_form(earlier, native)
        finally:
            self._request, self._told = request, told
        if form.body.get("tools"):
            form.body["tool_choice"] = "none"
        return form

    def bridge_relay(
        self, stream: BridgeStream, watch: Watch | None, taken: Callable[[bytes], None] | None
    ) -> BridgeRelay:
        """The encoder of a summary that comes in chat."""
        return SummaryRelay(stream, watch, self._services.clock, taken, self._compacted)

    def whole(self, answer: Answer) -> dict[str, Any]:
        """The response, with the summary as its only item. Raises UpstreamFault for an answer without a summary."""
        response = super().whole(answer)
        if answer.dialect != "responses":
            response = self._final = self._compacted(response)
        return response

    def _compacted(self, response: Json) -> Json:
        return {**response, "output": [_compaction_item(self, self._services.sealer, response)]}


class SummaryRelay(BridgeRelay):
    """Chat chunks of a summary in; the events of its item out, once it is whole. compacted: makes the response that has
    the item, and raises UpstreamFault where there is no summary."""

    def __init__(
        self,
        stream: BridgeStream,
        watch: Watch | None,
        clock: Callable[[], int],
        taken: Callable[[bytes], None] | None,
        compacted: Callable[[Json], Json],
    ) -> None:
        super().__init__(stream, watch, clock, None)
        self._to_caller = taken
        self._compacted = compacted
        self._last: Json | None = None

    @property
    def response(self) -> Json:
        """The response as it stands: nothing of the summary is an item before its end."""
        return {**super().response, "output": []} if self._last is None else self._last

    def feed(self, items: list[StreamItem]) -> tuple[bytes, Fault | None]:
        """As every relay; nothing is said yet."""
        return b"", super().feed(items)[1]

    def finish(self, usage: Mapping[str, Any]) -> bytes:
        """All events of the response."""
        super().finish(usage)
        whole = super().response
        try:
            return self._end(self._compacted(whole))
        except UpstreamFault as fault:
            return self._end({**whole, "status": "failed", "output": [], "error": error_of(fault)})

    def fail(self, fault: Fault, request_id: str) -> bytes:
        """The bytes that end a stream which cannot go on."""
        super().fail(fault, request_id)
        return self._end(self.response)

    def cancel(self, usage: Mapping[str, Any]) -> bytes:
        """The bytes that end a stream which its caller stopped."""
        super().cancel(usage)
        return self._end(self.response)

    def _end(self, response: Json) -> bytes:
        if self._last is not None:
            return b""
        self._last = response
        data = encode_events(events_of(response))
        if self._to_caller is not None:
            self._to_caller(data)
        return data


class CompactCall(ResponsesCall):
    """One request to compact, made as the request for a summary."""

    def __init__(self, call: Call, body: Json, services: Any) -> None:
        given = body.get("input")
        listed = [{"role": "user", "content": given}] if isinstance(given, str) else list(given or ())
        asked: Json = {key: body[key] for key in _TAKEN if body.get(key) is not None}
        asked.update(input=[*listed, {"role": "user", "content": _ASK}], store=False, truncation="auto")
        tools = _callers_tools(body)
        if tools:
            asked.update(tools=tools, tool_choice="none")
        super().__init__(call, asked, services)
        self._given = body

    def _make_forms(self, references: Mapping[str, Mapping[str, Any]]) -> None:
        super()._make_forms(references)
        call = self._call
        if not all("compact" in target.profile.operations for target in call.candidates):
            return
        call.operation = "compact"
        body, dropped = native_request(self._given, self._told[:-1], earlier=self._earlier)
        for key in ("store", "stream", "include"):
            body.pop(key, None)
        call.forms = {"responses": Form(body, dropped)}

    def whole(self, answer: Answer) -> dict[str, Any]:
        """The compacted conversation. Raises UpstreamFault for an answer without a summary."""
        if self._call.operation == "compact":
            made = {**answer.body, "id": self.id}
            return made if answer.usage is None else {**made, "usage": shown_usage(answer.usage)}
        response = super().whole(answer)
        item = _compaction_item(self, self._services.sealer, response)
        kept = item_resources(_latest([*self._earlier, *self._items[:-1]]), self.id.removeprefix("resp_"))
        return {
            "id": self.id,
            "object": "response.compaction",
            "created_at": self._call.created,
            "output": [*kept, item],
            "usage": response["usage"],
        }


def _latest(items: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The user's messages, the latest as far as there is room for them."""
    kept: list[Mapping[str, Any]] = []
    room = _MOST_KEPT
    for item in reversed(items):
        if item.get("type") == "message" and item.get("role") == "user":
            room -= len(orjson.dumps(item))
            if room < 0:
                break
            kept.append({key: value for key, value in item.items() if key != "id"})
    return kept[::-1]
