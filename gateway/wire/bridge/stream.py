"""Chat chunks in, Responses events out.

One `BridgeStream` makes one response. It is fed the chunks of one upstream answer, or of several in a row when the
gateway runs tools itself (`next_round`), and keeps the promise that what its events add up to is its final object.

Order: reasoning, message and call items open as the model comes to them; a message or reasoning item closes when
something else begins; calls of one round run in parallel and close together, because their fragments may interleave.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import orjson

from gateway.errors import Fault, UpstreamFault
from gateway.wire.bridge.calls import OpenCall, PendingCall, WholeCall
from gateway.wire.bridge.client_tools import Alias
from gateway.wire.bridge.deltas import (
    annotations_to_responses,
    citations_to_responses,
    extra_members,
    images_of_delta,
    logprobs_to_responses,
)
from gateway.wire.bridge.items import Channel, Emitter, OpenMessage, OpenReasoning
from gateway.wire.lenient import shallow
from gateway.wire.responses.events import encode_events, error_event
from gateway.wire.responses.ids import Minter
from gateway.wire.responses.items import CALLS
from gateway.wire.responses.objects import conclude, error_of, new_response, usage_from_chat
from gateway.wire.responses.sealed_reasoning import CALL_EXTRA, reasoning_of_delta
from gateway.wire.usage import add_usage, find_usage

Json = dict[str, Any]

_INCOMPLETE = {"length": "max_output_tokens", "content_filter": "content_filter"}
"""Chat finish_reason -> reason of `incomplete_details`."""

_PLAIN_CALL = frozenset({"index", "id", "type", "function"})


class BridgeStream:
    """Makes one response out of chat chunks.

    request: the validated Responses body (its parameters are echoed, and decide how reasoning is shown).
    response_id: e.g. `resp_...`; seed: for the items' ids (default: from the response id). model: the public model
    id. now: unix seconds of the creation. emulated: names of custom tools that are functions upstream
    (`ChatForm.tools.emulated`). hosted: names of functions that the gateway answers itself; their calls make no
    items but wait in `hosted_calls`. aliases: see `ChatForm`. background: begin with `queued`.
    """

    def __init__(
        self,
        request: Mapping[str, Any],
        *,
        response_id: str,
        model: str,
        now: int,
        seed: str | None = None,
        emulated: Collection[str] = (),
        hosted: Collection[str] = (),
        aliases: Mapping[str, Alias] | None = None,
        background: bool = False,
    ) -> None:
        self._response = new_response(request, response_id=response_id, model=model, now=now)
        self._minter = Minter(response_id.removeprefix("resp_") if seed is None else seed)
        self._emitter = Emitter()
        self._emulated = frozenset(emulated)
        self._hosted = frozenset(hosted)
        self._aliases = aliases or {}
        reasoning = request.get("reasoning") or {}
        self._summary = bool(reasoning.get("summary") or reasoning.get("generate_summary"))
        self._keep_text = "reasoning.encrypted_content" in (request.get("include") or ())
        self._customs = {tool["name"] for tool in request.get("tools") or () if tool.get("type") == "custom"}
        self._items: list[Json | None] = []
        self._message: OpenMessage | None = None
        self._message_at = 0
        self._reasoning: OpenReasoning | None = None
        self._reasoning_at = 0
        self._calls: dict[int, OpenCall | WholeCall | PendingCall] = {}
        self._given: dict[int, str] = {}
        self._parallel: list[OpenCall | WholeCall] = []
        self._unbegun: list[WholeCall] = []
        self._call_ids: set[str] = set()
        self._details: list[Json] = []
        self._annotations: list[Json] = []
        self._said = False
        self._channels: dict[str, Channel] = {}
        self._arguments: dict[int, Channel] = {}
        self._tier: str | None = None
        self._usage: Json | None = None
        self._round_usage: Json | None = None
        self.dropped: list[str] = []
        self.hosted_calls: list[Json] = []
        self.finish_reason = ""
        self.ended = False
        self._begin(background)

    # -- what can be asked ------------------------------------------------------------------------------------

    @property
    def response(self) -> Json:
        """The response as it stands: the final object once `finish` or `fail` was called."""
        if self.ended:
            return self._response
        return {**self._response, "output": [item for item in self._items if item is not None]}

    @property
    def usage(self) -> Json | None:
        """Usage in Responses form over all rounds, None while the upstream has not said."""
        return self._usage

    # -- what can be said -------------------------------------------------------------------------------------

    def start(self) -> list[Json]:
        """The events before the first chunk: `response.created` (`response.queued`), `response.in_progress`.
        Without this call they come with the first `feed`."""
        return self._emitter.take()

    def feed(self, chunk: Mapping[str, Any]) -> list[Json]:
        """One chat chunk as a dict; returns the events it makes. Hostile content is read as far as it makes sense."""
        usage = usage_from_chat(find_usage(chunk))
        if usage is not None:
            self._round_usage = usage
        tier = chunk.get("service_tier")
        if isinstance(tier, str):
            self._tier = tier
        choices = chunk.get("choices")
        choice = choices[0] if isinstance(choices, list) and choices else None
        if isinstance(choice, Mapping) and not choice.get("index"):
            delta = choice.get("delta")
            if isinstance(delta, Mapping):
                self._delta(delta, choice.get("logprobs"))
            reason = choice.get("finish_reason")
            if isinstance(reason, str):
                self.finish_reason = reason
        return self._emitter.take()

    def feed_bytes(self, chunk: Mapping[str, Any]) -> bytes:
        """The same as `feed`, with the events ready to send; a plain delta takes a short way."""
        try:
            (choice,) = chunk["choices"]
            delta = choice["delta"]
            if len(delta) == 1 and choice.get("finish_reason") is None and not self._emitter.out:
                text = delta.get("content")
                channel: Channel | None
                if text is not None:
                    channel = self._channels.get("content")
                else:
                    channel, text = self._rarer_channel(delta)
                if (
                    channel is not None
                    and type(text) is str
                    and text
                    and not (choice.get("logprobs") or choice.get("usage") or chunk.get("usage") or choice.get("index"))
                ):
                    return channel.encode(text)
        except (KeyError, TypeError, ValueError, AttributeError):
            pass  # Not of the plain form; the long way reads whatever it is.
        return encode_events(self.feed(chunk))

    def feed_raw(self, data: bytes) -> bytes:
        """The same as `feed_bytes` for a chunk's JSON text. Raises UpstreamFault when it is no JSON object."""
        try:
            chunk = orjson.loads(data)
        except orjson.JSONDecodeError:
            chunk = None
        if not isinstance(chunk, dict):
            raise UpstreamFault(
                "The provider sent a stream event that is not a JSON object.",
                code="upstream_invalid_response",
                detail=data[:500].decode("utf-8", "replace"),
            )
        return self.feed_bytes(chunk)

    def next_round(self) -> list[Json]:
        """The upstream's answer ended, and another one will be fed for the same response (the gateway ran tools).
        Items close; the calls to answer are in `hosted_calls` until they are taken from there."""
        self._close_all("completed")
        self._end_round()
        self.finish_reason = ""
        return self._emitter.take()

    def server_item(self, item: Json) -> tuple[int, list[Json]]:
        """Open an item that the gateway makes itself (a `web_search_call`, ...). Returns its output index."""
        self._close_open()
        index = self._reserve()
        self._emitter.emit("response.output_item.added", {"output_index": index, "item": item})
        return index, self._emitter.take()

    def server_event(self, kind: str, index: int, **fields: Any) -> list[Json]:
        """An event of such an item between opening and `server_item_done`: `response.web_search_call.searching`, ..."""
        self._emitter.emit(kind, {"output_index": index, **fields})
        return self._emitter.take()

    def server_item_done(self, index: int, item: Json) -> list[Json]:
        self._items[index] = item
        self._emitter.emit("response.output_item.done", {"output_index": index, "item": item})
        return self._emitter.take()

    def finish(self, now: int, *, usage: Mapping[str, Any] | None = None, reason: str | None = None) -> list[Json]:
        """The answer ended well. usage: chat usage that counts instead of what the chunks said (an estimate).
        reason: a finish_reason that counts instead (`length`, when the gateway itself cut the answer)."""
        if self.ended:
            return []
        finish_reason = reason or self.finish_reason
        why = _INCOMPLETE.get(finish_reason)
        if why is None and not any(item is not None for item in self._items) and not self._anything_open():
            self._text("", [])
        self._close_all("completed" if why is None else "incomplete")
        self._end_round()
        status = "completed" if why is None else "incomplete"
        return self._conclude(now, status, usage_from_chat(usage), reason=why)

    def fail(
        self, fault: Fault, now: int, *, usage: Mapping[str, Any] | None = None, nested: bool = False
    ) -> list[Json]:
        """The answer broke off. What was said stays, as incomplete items; then `error`, then `response.failed`.
        nested: see `error_event`."""
        if self.ended:
            return []
        self._close_all("incomplete", everything=True)
        self._end_round()
        self._emitter.out.append(error_event(fault, self._emitter.number, nested=nested))
        self._emitter.number += 1
        return self._conclude(now, "failed", usage_from_chat(usage), error=error_of(fault))

    def cancel(self, now: int, *, usage: Mapping[str, Any] | None = None) -> list[Json]:
        """The answer was stopped on its caller's wish. What was said stays, as incomplete items."""
        if self.ended:
            return []
        self._close_all("incomplete", everything=True)
        self._end_round()
        return self._conclude(now, "cancelled", usage_from_chat(usage))

    # -- the machine ------------------------------------------------------------------------------------------

    def _begin(self, background: bool) -> None:
        if background:
            queued = {**self._response, "status": "queued"}
            self._emitter.emit("response.created", {"response": queued})
            self._emitter.emit("response.queued", {"response": queued})
        else:
            self._emitter.emit("response.created", {"response": self._response})
        self._emitter.emit("response.in_progress", {"response": self._response})

    def _rarer_channel(self, delta: Mapping[str, Any]) -> tuple[Channel | None, Any]:
        """The open channel that takes this single-member delta whole, and its text."""
        calls = delta.get("tool_calls")
        if calls is None:
            return self._channels.get("reasoning_content"), delta.get("reasoning_content")
        (call,) = calls
        function = call["function"]
        if len(function) != 1 or call.get("id") or not call.keys() <= _PLAIN_CALL:
            return None, None
        return self._arguments.get(call["index"]), function.get("arguments")

    def _delta(self, delta: Mapping[str, Any], logprobs: Any) -> None:
        text, details = reasoning_of_delta(delta)
        if text or details:
            self._think(text, shallow(details))
        content = delta.get("content")
        probabilities = logprobs_to_responses(logprobs)
        if isinstance(content, str) and (content or probabilities):
            self._text(content, probabilities)
        elif isinstance(content, list):
            for part in content:
                if isinstance(part, Mapping) and isinstance(part.get("text"), str) and part["text"]:
                    self._text(part["text"], [])
        refusal = delta.get("refusal")
        if isinstance(refusal, str) and refusal:
            self._open_message().refuse(refusal)
            self._channels.pop("content", None)
        found = annotations_to_responses(delta.get("annotations")) + citations_to_responses(delta.get("citations"))
        for annotation in found:
            self._annotate(annotation)
        for image in images_of_delta(delta.get("images")):
            self._image(image)
        if delta.get("audio") is not None and "audio" not in self.dropped:
            self.dropped.append("audio")  # the Responses API has no audio output
        self._tool_calls(delta)

    def _text(self, text: str, logprobs: list[Json]) -> None:
        message = self._open_message()
        channel = message.open_text()
        self._channels["content"] = channel
        if logprobs:
            message.text_with_logprobs(text, logprobs)
        elif text:
            channel.add(text)
        waiting, self._annotations = self._annotations, []
        for annotation in waiting:
            message.annotate(annotation)

    def _annotate(self, annotation: Json) -> None:
        if self._message is not None and self._message.channel is not None:
            self._message.annotate(annotation)
        else:
            self._annotations.append(annotation)

    def _think(self, text: str, details: list[Json]) -> None:
        if not text and self._reasoning is None and self._anything_open():
            # Signatures that come with text or calls must not tear those apart.
            self._details += details
            return
        if self._reasoning is None:
            self._close_open()
            self._reasoning_at = self._reserve()
            self._reasoning = OpenReasoning(
                self._emitter, self._minter.mint("rs"), self._reasoning_at, summary=self._summary
            )
            self._reasoning.details, self._details = self._details, []
        self._reasoning.details += details
        if text:
            channel = self._reasoning.open_text()
            self._channels["reasoning_content"] = channel
            channel.add(text)

    def _image(self, data: str) -> None:
        item: Json = {"id": self._minter.mint("ig"), "type": "image_generation_call", "status": "in_progress"}
        index = self._reserve()
        self._close_open()
        self._emitter.emit("response.output_item.added", {"output_index": index, "item": {**item, "result": None}})
        self._items[index] = done = {**item, "status": "completed", "result": data}
        self._emitter.emit("response.output_item.done", {"output_index": index, "item": done})

    def _open_message(self) -> OpenMessage:
        if self._message is None:
            self._close_open()
            self._message_at = self._reserve()
            self._message = OpenMessage(self._emitter, self._minter.mint("msg"), self._message_at)
        return self._message

    def _tool_calls(self, delta: Mapping[str, Any]) -> None:
        calls = delta.get("tool_calls")
        for place, call in enumerate(calls if isinstance(calls, list) else ()):
            if isinstance(call, Mapping):
                index = call.get("index")
                self._tool_call(index if type(index) is int else place, call)
        legacy = delta.get("function_call")
        if isinstance(legacy, Mapping):
            self._tool_call(-1, {"type": "function", "function": legacy})

    def _tool_call(self, index: int, call: Mapping[str, Any]) -> None:
        given = call.get("id")
        given = given if isinstance(given, str) else ""
        known = self._calls.get(index)
        if known is None or (given and given not in (self._given.get(index), "")):
            known = self._calls[index] = PendingCall(self._unique(given))
            self._given[index] = given
            self._arguments.pop(index, None)
        if len(call) > 2 and (extra := extra_members(call)):
            call_id = known.call_id
            self._details.append({"type": CALL_EXTRA, "id": call_id, "members": extra})
        custom = call.get("custom")
        body = custom if isinstance(custom, Mapping) else call.get("function")
        body = body if isinstance(body, Mapping) else {}
        fragment = body.get("input") if isinstance(custom, Mapping) else body.get("arguments")
        if isinstance(fragment, Mapping):
            fragment = orjson.dumps(shallow(fragment)).decode()
        text = fragment if isinstance(fragment, str) else ""
        if not isinstance(known, PendingCall):
            known.add(text)
            return
        known.custom = known.custom or isinstance(custom, Mapping)
        if text:
            known.fragments.append(text)
        name = body.get("name")
        if isinstance(name, str) and name and not known.name:
            known.name = name
            if name not in self._hosted:
                self._open_call(index, known)

    def _open_call(self, index: int, pending: PendingCall) -> None:
        self._close_open()
        if self._details and not self._parallel:
            self._think_aloud()
        alias = self._aliases.get(pending.name)
        call: OpenCall | WholeCall
        if alias is not None and alias.kind not in CALLS:
            call = WholeCall(self._emitter, self._reserve(), pending.call_id, alias)
            self._unbegun.append(call)
        else:
            custom = pending.custom or pending.name in self._customs
            kind = "custom_tool_call" if custom else "function_call"
            call = OpenCall(
                self._emitter,
                self._reserve(),
                pending.call_id,
                pending.name,
                kind=kind if alias is None else alias.kind,
                emulated=pending.name in self._emulated and not pending.custom,
                alias=alias,
            )
        self._calls[index] = call
        self._parallel.append(call)
        if call.channel is not None:
            self._arguments[index] = call.channel
        for fragment in pending.fragments:
            call.add(fragment)

    def _unique(self, given: str) -> str:
        """The call id to use: the upstream's, unless it has none or gave the same one twice in this response."""
        call_id = given if given and given not in self._call_ids else self._minter.mint("call")
        self._call_ids.add(call_id)
        return call_id

    # -- opening and closing ----------------------------------------------------------------------------------

    def _reserve(self) -> int:
        """The place of the next item; those before it have to begin first."""
        begun, self._unbegun = self._unbegun, []
        for call in begun:
            call.begin()
        self._items.append(None)
        return len(self._items) - 1

    def _anything_open(self) -> bool:
        return self._message is not None or self._reasoning is not None or bool(self._calls)

    def _close_open(self, status: str = "completed") -> None:
        """Close the message or reasoning item that is open; calls stay."""
        self._channels.clear()
        if self._message is not None:
            self._items[self._message_at] = self._message.close(status)
            self._message = None
        if self._reasoning is not None:
            self._items[self._reasoning_at] = self._reasoning.close(keep_text=self._keep_text)
            self._reasoning = None

    def _think_aloud(self) -> None:
        """A reasoning item of its own for details that had to wait."""
        index = self._reserve()
        item = OpenReasoning(self._emitter, self._minter.mint("rs"), index, summary=self._summary)
        item.details, self._details = self._details, []
        self._items[index] = item.close(keep_text=False)

    def _close_all(self, status: str, *, everything: bool = False) -> None:
        """Close what is open. An incomplete answer broke off in its last item; everything: or anywhere."""
        if self._annotations and self._message is not None:
            for annotation in self._annotations:
                self._message.annotate(annotation)
        elif self._annotations:
            self.dropped.append("annotations")  # of a text that never came, or had ended
        self._annotations = []
        for index, pending in list(self._calls.items()):
            if isinstance(pending, PendingCall):
                self._settle(index, pending)
        last = len(self._items) - 1
        message_last = everything or self._message_at == last
        self._close_open(status if message_last else "completed")
        for call in self._parallel:
            self._items[call.index] = call.close(status if everything or call.index == last else "completed")
        self._parallel.clear()
        self._unbegun.clear()
        self._calls.clear()
        self._given.clear()
        self._arguments.clear()
        if self._details:
            self._think_aloud()

    def _settle(self, index: int, pending: PendingCall) -> None:
        """A call that still has no item: it is the gateway's own, or its name never came."""
        if pending.name and pending.name in self._hosted:
            arguments = "".join(pending.fragments)
            self.hosted_calls.append({"id": pending.call_id, "name": pending.name, "arguments": arguments})
        elif pending.name or pending.fragments:
            self._open_call(index, pending)

    def _end_round(self) -> None:
        self._usage = add_usage(usage for usage in (self._usage, self._round_usage) if usage is not None) or None
        self._round_usage = None

    def _conclude(
        self, now: int, status: str, usage: Json | None, *, reason: str | None = None, error: Json | None = None
    ) -> list[Json]:
        self.ended = True
        self._usage = usage or self._usage
        self._response = conclude(
            self._response,
            status=status,
            output=[item for item in self._items if item is not None],
            usage=self._usage,
            now=now,
            reason=reason,
            error=error,
            service_tier=self._tier,
        )
        self._emitter.emit(f"response.{status}", {"response": self._response})
        return self._emitter.take()
