"""A Responses answer as a chat completion: whole, and as a stream of chunks.

A whole answer goes through the same machine as a stream: what a stream of it would say, folded.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from gateway.errors import Fault, UpstreamFault
from gateway.wire.bridge.deltas import cited_to_chat, logprobs_to_chat
from gateway.wire.chat.activity import MEMBER, TOLD, item_activity
from gateway.wire.chat.fold import ChatFold
from gateway.wire.errors.render import fault_from_stream_event
from gateway.wire.lenient import shallow
from gateway.wire.responses.complete import arguments_text, content_parts, place_of
from gateway.wire.responses.objects import usage_to_chat
from gateway.wire.responses.sealed_reasoning import FOREIGN, PHASE

Json = dict[str, Any]

_REASONS = {"max_output_tokens": "length", "content_filter": "content_filter"}
"""Reason of `incomplete_details` -> chat finish_reason."""


def chat_from_response(response: Mapping[str, Any], *, completion_id: str, model: str, created: int) -> Json:
    """The chat completion for a whole Responses answer. created: unix seconds.

    Raises the fault of a failed response, and UpstreamFault for what is no finished response.
    """
    if response.get("object") != "response" or not isinstance(response.get("output"), list):
        raise UpstreamFault("The provider's answer is not a response object.", code="upstream_invalid_response")
    machine = ChatFromResponses(completion_id=completion_id, model=model, created=created)
    fold = ChatFold()
    status = response.get("status")
    for index, item in enumerate(response["output"]):
        _fold_all(fold, machine.feed({"type": "response.output_item.done", "output_index": index, "item": item}))
    kind = status if status in ("incomplete", "failed") else "completed"
    if status not in ("completed", "incomplete", "failed", None):
        raise UpstreamFault("The provider's answer is not finished.", code="upstream_invalid_response")
    _fold_all(fold, machine.feed({"type": f"response.{kind}", "response": response}))
    completion = fold.result(model)
    if machine.usage is not None:
        completion["usage"] = machine.usage
    return completion


def _fold_all(fold: ChatFold, chunks: list[Json | Fault]) -> None:
    for chunk in chunks:
        if isinstance(chunk, Fault):
            raise chunk
        fold.add(chunk)


class ChatFromResponses:
    """Responses events in, chat chunks out.

    done: a terminal event came. usage: in chat form, once it is known. web_searches: how many the upstream made.
    """

    def __init__(self, *, completion_id: str, model: str, created: int) -> None:
        self.done = False
        self.usage: Json | None = None
        self.web_searches = 0
        self._head = {
            "id": completion_id,
            "object": "chat.completion.chunk",
            "created": created,
            "model": model,
        }
        self._begun = False
        self._calls: dict[int, int] = {}
        self._seen: set[tuple[int, str]] = set()
        self._said: dict[tuple[int, int], list[str]] = {}  # texts and refusals, by item and part
        self._thought = False
        self._told: set[str] = set()  # kinds of what came in events of its own
        self._items: set[int] = set()
        self._call_ids: set[str] = set()
        self._length = 0  # characters of text so far
        self._ids: dict[int, str] = {}  # of the items that were added, by their place
        self._begins: dict[int, int] = {}  # of each message: the text before it

    def feed(self, event: Any) -> list[Json | Fault]:
        """One event; returns the chunks it makes, or a Fault as the last entry."""
        kind = event.get("type") if isinstance(event, Mapping) else None
        handler = _EVENTS.get(kind) if isinstance(kind, str) else None
        if handler is None:
            return []
        if type(event.get("output_index")) is not int:
            event = {**event, "output_index": self._find(event)}
        elif kind == "response.output_item.added":
            self._note(event)
        try:
            return handler(self, event)
        except Fault as fault:
            return [fault]

    def _find(self, event: Mapping[str, Any]) -> int:
        """The place of an item that an event does not tell; -1 where there is no item to which it could belong."""
        begins = event["type"] == "response.output_item.added"
        place = place_of(event, self._ids, begins=begins)
        if begins:
            self._note({**event, "output_index": place})
        return place if place in self._ids else -1

    def _note(self, event: Mapping[str, Any]) -> None:
        item = event.get("item")
        self._ids[event["output_index"]] = str(item.get("id")) if isinstance(item, Mapping) else ""

    def _chunk(self, delta: Json, finish_reason: str | None = None, logprobs: Any = None) -> Json:
        if not self._begun:
            self._begun = True
            delta = {"role": "assistant", **delta}
        text = delta.get("content")
        if isinstance(text, str):
            self._length += len(text)
        choice = {"index": 0, "delta": delta, "logprobs": logprobs, "finish_reason": finish_reason}
        return {**self._head, "choices": [choice]}

    def _text(self, event: Mapping[str, Any]) -> list[Json | Fault]:
        delta = event.get("delta")
        if not isinstance(delta, str):
            return []
        self._said.setdefault(_part(event), []).append(delta)
        self._begins.setdefault(_place(event), self._length)
        self._told.add("message")
        return [self._chunk({"content": delta}, logprobs=logprobs_to_chat(event.get("logprobs")))]

    def _text_done(self, event: Mapping[str, Any]) -> list[Json | Fault]:
        """What the deltas did not say of a text."""
        text = event.get("text")
        return self._rest(_part(event), "content", text, {}, None) if isinstance(text, str) else []

    def _rest(self, part: tuple[int, int], member: str, text: str, more: Json, logprobs: Any) -> list[Json | Fault]:
        """A whole text less what was said of it; nothing when it is another one. more: told beside it."""
        said = "".join(self._said.get(part, ()))
        rest = text[len(said) :] if text.startswith(said) else ""
        if not rest and not more:
            return []
        self._said[part] = [text]
        delta = {member: rest, **more} if rest else more
        return [self._chunk(delta, logprobs=None if said else logprobs_to_chat(logprobs))]

    def _refusal(self, event: Mapping[str, Any]) -> list[Json | Fault]:
        delta = event.get("delta")
        if not isinstance(delta, str):
            return []
        self._said.setdefault(_part(event), []).append(delta)
        self._told.add("message")
        return [self._chunk({"refusal": delta})]

    def _reasoning(self, event: Mapping[str, Any]) -> list[Json | Fault]:
        delta = event.get("delta")
        if not isinstance(delta, str):
            return []
        self._seen.add((_place(event), "reasoning"))
        self._told.add("reasoning")
        self._thought = True
        return [self._chunk({"reasoning_content": delta})]

    def _summary_part(self, event: Mapping[str, Any]) -> list[Json | Fault]:
        """Parts of a summary are paragraphs."""
        return [self._chunk({"reasoning_content": "\n\n"})] if self._thought else []

    def _annotation(self, event: Mapping[str, Any]) -> list[Json | Fault]:
        made = cited_to_chat([shallow(event.get("annotation"))])
        self._seen.add((_place(event), "annotations"))
        return [self._chunk(made)] if made else []

    def _arguments(self, event: Mapping[str, Any]) -> list[Json | Fault]:
        delta, place = event.get("delta"), _place(event)
        index = self._calls.get(place)
        if not isinstance(delta, str) or index is None:
            return []
        self._seen.add((place, "arguments"))
        custom = event.get("type") == "response.custom_tool_call_input.delta"
        body = {"custom": {"input": delta}} if custom else {"function": {"arguments": delta}}
        return [self._chunk({"tool_calls": [{"index": index, **body}]})]

    def _arguments_done(self, event: Mapping[str, Any]) -> list[Json | Fault]:
        """The whole text of a call, which some servers send without any delta before."""
        custom = event.get("type") == "response.custom_tool_call_input.done"
        text = arguments_text(event.get("input" if custom else "arguments"), whole=False)
        if (_place(event), "arguments") in self._seen or not text:
            return []
        kind = "response.custom_tool_call_input.delta" if custom else "response.function_call_arguments.delta"
        return self._arguments({"type": kind, "output_index": _place(event), "delta": text})

    def _item_added(self, event: Mapping[str, Any]) -> list[Json | Fault]:
        item, place = event.get("item"), _place(event)
        if not isinstance(item, Mapping):
            return []
        kind = item.get("type")
        if kind == "message":
            return self._begin_phase(item, place)
        if kind not in ("function_call", "custom_tool_call") or place in self._calls:
            return []
        index = self._calls[place] = len(self._calls)
        name = item.get("name")
        name = name if isinstance(name, str) else ""
        call_id = item.get("call_id")
        self._call_ids.add(str(call_id))
        call: Json = {"index": index, "id": call_id if isinstance(call_id, str) else f"call_{place}"}
        if kind == "function_call":
            call.update({"type": "function", "function": {"name": name, "arguments": ""}})
        else:
            call.update({"type": "custom", "custom": {"name": name, "input": ""}})
        return [self._chunk({"tool_calls": [call]})]

    def _begin_phase(self, item: Mapping[str, Any], place: int) -> list[Json | Fault]:
        """What a message is meant as; chat has no word for it, so it travels where opaque things do. Before its text,
        if it is known by then: behind the last text some doors have no place for it."""
        phase = item.get("phase")
        if not isinstance(phase, str) or (place, "phase") in self._seen or place in self._begins:
            return []
        self._seen.add((place, "phase"))
        return [self._chunk({"reasoning_details": [{"type": PHASE, "phase": phase, "start": self._length}]})]

    def _phase(self, item: Mapping[str, Any], place: int) -> list[Json | Fault]:
        """The same, once the text was told."""
        phase, start = item.get("phase"), self._begins.get(place, self._length)
        if not isinstance(phase, str) or (place, "phase") in self._seen or self._length == start:
            return []
        detail = {"type": PHASE, "phase": phase, "start": start, "end": self._length}
        return [self._chunk({"reasoning_details": [detail]})]

    def _item_done(self, event: Mapping[str, Any]) -> list[Json | Fault]:
        """What the deltas did not say: the whole item, when there were none; encrypted reasoning in any case."""
        item, place = event.get("item"), _place(event)
        if not isinstance(item, Mapping):
            return []
        kind = item.get("type")
        if place in self._items and place >= 0:
            return []
        self._items.add(place)
        self._told.add(str(kind))
        if kind == "message":
            begun = self._begin_phase(item, place)
            return [*begun, *self._whole_message(item, place), *self._phase(item, place)]
        if kind == "reasoning":
            return self._whole_reasoning(item, place)
        if kind in ("function_call", "custom_tool_call"):
            chunks = self._item_added(event)
            member = "arguments" if kind == "function_call" else "input"
            text = arguments_text(item.get(member), whole=False)
            if (place, "arguments") not in self._seen and text:
                name = "response.function_call_arguments.delta"
                name = name if kind == "function_call" else "response.custom_tool_call_input.delta"
                chunks += self._arguments({"type": name, "output_index": place, "delta": text})
            return chunks
        if kind == "web_search_call":
            self.web_searches += 1
        if isinstance(kind, str) and kind in _SERVED and isinstance(item.get("id"), str):
            return [self._chunk({MEMBER: item_activity(shallow(dict(item)))})]
        if kind == "image_generation_call" and isinstance(item.get("result"), str):
            image = {"type": "image_url", "image_url": {"url": "data:image/png;base64," + item["result"]}}
            return [self._chunk({"images": [image]})]
        return []

    def _whole_message(self, item: Mapping[str, Any], place: int) -> list[Json | Fault]:
        chunks: list[Json | Fault] = []
        cited = (place, "annotations") in self._seen
        for index, part in enumerate(content_parts(item.get("content"))):
            if not isinstance(part, Mapping):
                continue
            if part.get("type") == "output_text" and isinstance(part.get("text"), str):
                more = {} if cited else cited_to_chat(shallow(part.get("annotations")))
                chunks += self._rest((place, index), "content", part["text"], more, part.get("logprobs"))
            elif part.get("type") == "refusal" and isinstance(part.get("refusal"), str):
                chunks += self._rest((place, index), "refusal", part["refusal"], {}, None)
        return chunks

    def _whole_reasoning(self, item: Mapping[str, Any], place: int) -> list[Json | Fault]:
        delta: Json = {}
        if (place, "reasoning") not in self._seen:
            text = _texts(item.get("content")) or _texts(item.get("summary"))
            if text:
                delta["reasoning_content"] = ("\n\n" if self._thought else "") + text
                self._thought = True
        if isinstance(item.get("encrypted_content"), str):
            delta["reasoning_details"] = [{"type": FOREIGN, "item": shallow(dict(item))}]
        return [self._chunk(delta)] if delta else []

    def _end(self, event: Mapping[str, Any]) -> list[Json | Fault]:
        response = event.get("response")
        response = response if isinstance(response, Mapping) else {}
        self.done = True
        chunks = self._untold(response)
        self.usage = usage_to_chat(response.get("usage"))
        if self.usage is not None and self.web_searches:
            self.usage["server_tool_use_details"] = {"web_search_requests": self.web_searches}
        details = response.get("incomplete_details")
        reason = details.get("reason") if isinstance(details, Mapping) else None
        if event.get("type") == "response.incomplete":
            finish = _REASONS.get(str(reason), "length")
        else:
            finish = "tool_calls" if self._calls else "stop"
        last = self._chunk({}, finish)
        if isinstance(reason, str) and reason not in _REASONS:
            last["choices"][0]["native_finish_reason"] = reason
        if isinstance(response.get("service_tier"), str):
            last["service_tier"] = response["service_tier"]
        if self.usage is None:
            return [*chunks, last]
        return [*chunks, last, {**last, "choices": [], "usage": self.usage}]

    def _untold(self, response: Mapping[str, Any]) -> list[Json | Fault]:
        """What only the last event tells. Items whose place no event named are not told again when there were any of
        their kind."""
        chunks: list[Json | Fault] = []
        output = response.get("output")
        given = output if isinstance(output, list) else []
        if -1 in self._items or -1 in self._calls:
            return chunks
        for place, item in enumerate(given):
            kind = item.get("type") if isinstance(item, Mapping) else None
            known = kind in self._told if kind in ("message", "reasoning") else self._is_known_call(place, item)
            if place not in self._items and not known:
                chunks += self._item_done({"output_index": place, "item": item})
        return chunks

    def _is_known_call(self, place: int, item: Any) -> bool:
        """Whether a call was told under another place than it has in the whole answer."""
        call_id = item.get("call_id") if isinstance(item, Mapping) else None
        return place not in self._calls and isinstance(call_id, str) and call_id in self._call_ids

    def _failed(self, event: Mapping[str, Any]) -> list[Json | Fault]:
        return [fault_from_stream_event(event)]


_SERVED = TOLD - {"image_generation_call"}
"""Types of items that tell of something done; a picture is told as one."""


def _place(event: Mapping[str, Any]) -> int:
    """The event's output_index; -1 for one that is none."""
    place = event.get("output_index")
    return place if type(place) is int else -1


def _part(event: Mapping[str, Any]) -> tuple[int, int]:
    """The part of a message that an event is about."""
    index = event.get("content_index")
    return _place(event), index if type(index) is int else 0


def _texts(parts: Any) -> str:
    texts = [part.get("text") for part in parts if isinstance(part, Mapping)] if isinstance(parts, list) else []
    return "\n\n".join(text for text in texts if isinstance(text, str) and text)


_EVENTS: dict[str, Callable[[ChatFromResponses, Mapping[str, Any]], list[Json | Fault]]] = {
    "response.output_text.delta": ChatFromResponses._text,
    "response.output_text.done": ChatFromResponses._text_done,
    "response.refusal.delta": ChatFromResponses._refusal,
    "response.reasoning_text.delta": ChatFromResponses._reasoning,
    "response.reasoning_summary_text.delta": ChatFromResponses._reasoning,
    "response.reasoning_summary_part.added": ChatFromResponses._summary_part,
    "response.output_text.annotation.added": ChatFromResponses._annotation,
    "response.function_call_arguments.delta": ChatFromResponses._arguments,
    "response.custom_tool_call_input.delta": ChatFromResponses._arguments,
    "response.function_call_arguments.done": ChatFromResponses._arguments_done,
    "response.custom_tool_call_input.done": ChatFromResponses._arguments_done,
    "response.output_item.added": ChatFromResponses._item_added,
    "response.output_item.done": ChatFromResponses._item_done,
    "response.completed": ChatFromResponses._end,
    "response.incomplete": ChatFromResponses._end,
    "response.failed": ChatFromResponses._failed,
    "error": ChatFromResponses._failed,
}
