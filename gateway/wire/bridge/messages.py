"""Responses items as chat messages.

A turn of the assistant is one chat message: neighbouring reasoning, message and call items come together in it, and
the outputs of its calls follow at once, wherever they stood, because every chat upstream insists on that order.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Mapping, Sequence
from typing import Any

from gateway.errors import CallerFault
from gateway.wire.bridge.parts import content_to_chat
from gateway.wire.bridge.tools import function_name, wrap_custom_input
from gateway.wire.chat.activity import MEMBER, TOLD, activity_event
from gateway.wire.lenient import dict_of, dicts_of
from gateway.wire.responses.sealed_reasoning import CALL_EXTRA, FOREIGN, reasoning_of_item

Json = dict[str, Any]

# Items of tools that a server ran. Chat has no place for them: they stand in `x_gateway`, and are told in words.
SERVER_ITEMS = TOLD - {"mcp_call"}
# What passed between the caller and the gateway about such tools; the model is told by calls and their results.
ASIDES = frozenset({"mcp_list_tools", "mcp_approval_request", "mcp_approval_response", "compaction_trigger"})

_MESSAGE_KEYS = frozenset({"type", "id", "status", "role", "content", "phase"})


class _Turn:
    """One message of the assistant in the making."""

    def __init__(self) -> None:
        self.parts: list[Json] = []
        self.refusals: list[str] = []
        self.reasoning: list[str] = []
        self.details: list[Json] = []
        self.calls: list[Json] = []
        self.served: list[Json] = []
        self.said = False
        self.thought_since = False

    def message(self) -> Json:
        self._put_back()
        message: Json = {"role": "assistant", "content": self._content()}
        refusal = "".join(self.refusals)
        if refusal:
            message["refusal"] = refusal
        if self.reasoning:
            message["reasoning_content"] = "\n\n".join(self.reasoning)
        if self.details:
            message["reasoning_details"] = self.details
        if self.calls:
            message["tool_calls"] = self.calls
        if self.served:
            message[MEMBER] = self.served
        return message

    def serve(self, item: Mapping[str, Any]) -> None:
        """Take what a server did, where it stands in the text."""
        texts = [part.get("text") for part in self.parts if part.get("type") == "text"]
        self.served.append(activity_event(dict(item), sum(len(text) for text in texts if isinstance(text, str))))

    def cite(self, annotations: list[Json]) -> None:
        """What the last search found, as far as the text that followed says so: the item itself need not."""
        item = self.served[-1]["item"] if self.served else {}
        if item.get("type") == "web_search_call" and not dict_of(item.get("action")).get("sources"):
            cited = [one for one in annotations if one.get("type") == "url_citation"]
            if cited and not item.get("results"):
                item["results"] = [{"url": one.get("url"), "title": one.get("title")} for one in cited]

    def _put_back(self) -> None:
        """Members of calls that travelled as reasoning details return into their calls."""
        calls = {call["id"]: call for call in self.calls}
        kept = []
        for detail in self.details:
            if detail.get("type") == CALL_EXTRA:
                call, members = calls.get(str(detail.get("id"))), detail.get("members")
                if call is not None and isinstance(members, dict):
                    call.update({key: value for key, value in members.items() if key not in call})
            else:
                kept.append(detail)
        self.details = kept

    def _content(self) -> str | list[Json] | None:
        if not self.parts:
            return None if self.calls or any(self.refusals) else ""
        if all(part.get("type") == "text" and len(part) == 2 for part in self.parts):
            return "".join(part["text"] for part in self.parts)
        return self.parts


class MessageBuilder:
    """Turns canonical items into chat messages; `dropped` names what had no place, `fault` is the first item that chat
    cannot say.

    custom_tools: the upstream knows custom tools (else their calls are written as calls of the emulated function).
    What else a target may not take is said otherwise for each of them (`gateway.wire.bridge.retelling`).
    """

    def __init__(self, *, custom_tools: bool) -> None:
        self.messages: list[Json] = []
        self.dropped: list[str] = []
        self._custom_tools = custom_tools
        self._turn: _Turn | None = None
        self.fault: CallerFault | None = None
        self._outputs: dict[str, deque[Mapping[str, Any]]] = defaultdict(deque)

    def build(self, items: Sequence[Mapping[str, Any]], first: int = 0) -> list[Json]:
        """items: canonical (`responses_pairing`). first: index of the first item that the caller sent with this
        request; those before come from the store. Raises CallerFault for malformed reasoning."""
        for item in items:
            if item["type"] in ("function_call_output", "custom_tool_call_output"):
                self._outputs[item["call_id"]].append(item)
        for index, item in enumerate(items):
            self._item(item, f"input[{index - first}]" if index >= first else "previous_response_id")
        self._flush()
        return self.messages

    def _item(self, item: Mapping[str, Any], path: str) -> None:
        kind = item["type"]
        if kind == "message":
            self._message(item)
        elif kind == "reasoning":
            self._reasoning(item, path)
        elif kind in ("function_call", "custom_tool_call"):
            self._open().calls.append(self._call(item))
        elif kind in ("function_call_output", "custom_tool_call_output"):
            self._flush()
        elif kind == "mcp_call":
            self._mcp_call(item)
        elif kind in ASIDES:
            pass
        elif kind == "additional_tools":
            pass  # They are offered with the others.
        elif kind in SERVER_ITEMS:
            turn = self._open()
            turn.serve(item)
            turn.thought_since = True
        elif self.fault is None:
            what = f"items of the type {str(kind)[:60]!r} cannot be sent to this model"
            self.fault = CallerFault(f"{path}.type: {what}.", param=f"{path}.type")

    def _open(self) -> _Turn:
        if self._turn is None:
            self._turn = _Turn()
        return self._turn

    def _message(self, item: Mapping[str, Any]) -> None:
        if item["role"] != "assistant":
            self._flush()
            rest = {key: value for key, value in item.items() if key not in _MESSAGE_KEYS and value is not None}
            self.messages.append({"role": item["role"], "content": content_to_chat(item["content"]), **rest})
            return
        turn = self._open()
        if turn.said and not turn.thought_since and not turn.calls:
            # Two messages with nothing between are two messages; thoughts or calls between make them one turn.
            self._flush()
            turn = self._open()
        turn.said, turn.thought_since = True, False
        content = content_to_chat(item["content"])
        parts = [{"type": "text", "text": content}] if isinstance(content, str) else content
        for given in dicts_of(item["content"]):
            turn.cite(dicts_of(given.get("annotations")))
        for part in parts:
            if part.get("type") == "refusal":
                turn.refusals.append(part["refusal"])
            else:
                turn.parts.append(part)

    def _reasoning(self, item: Mapping[str, Any], path: str) -> None:
        text, details = reasoning_of_item(item, path)
        turn = self._open()
        turn.thought_since = True
        if text:
            turn.reasoning.append(text)
        turn.details += details
        if any(detail.get("type") == FOREIGN for detail in details):
            # Only an upstream that speaks Responses can read another maker's encrypted thoughts.
            self.dropped.append(f"{path}.encrypted_content")

    def _call(self, item: Mapping[str, Any]) -> Json:
        call: Json = {"id": item["call_id"]}
        if item["type"] == "function_call":
            call["type"] = "function"
            call["function"] = {"name": item["name"], "arguments": item["arguments"]}
        elif self._custom_tools:
            call["type"] = "custom"
            call["custom"] = {"name": item["name"], "input": item["input"]}
        else:
            call["type"] = "function"
            call["function"] = {"name": item["name"], "arguments": wrap_custom_input(item["input"])}
        return call

    def _mcp_call(self, item: Mapping[str, Any]) -> None:
        """A call that a server made and answered at once, said as a call and its result."""
        call_id = str(item.get("id") or "mcp_call")
        arguments = item.get("arguments")
        name = str(item.get("name"))
        if item.get("server_label"):
            # As the gateway offers it to models, should the server be offered again.
            name = function_name(f"{item['server_label']}__{name}")
        function = {"name": name, "arguments": arguments if isinstance(arguments, str) else "{}"}
        self._open().calls.append({"id": call_id, "type": "function", "function": function})
        result = item.get("output") or _error_text(item.get("error"))
        self._outputs[call_id].append({"call_id": call_id, "output": result if isinstance(result, str) else "failed"})
        self._flush()

    def _flush(self) -> None:
        """End the assistant's turn: its message, then the outputs of its calls."""
        turn, self._turn = self._turn, None
        if turn is None:
            return
        self.messages.append(turn.message())
        for call in turn.calls:
            waiting = self._outputs[call["id"]]
            if waiting:
                self.messages.append(_result(call["id"], waiting.popleft()))


def _result(call_id: str, item: Mapping[str, Any]) -> Json:
    message: Json = {"role": "tool", "tool_call_id": call_id, "content": content_to_chat(item["output"])}
    return {**message, **{key: item[key] for key in ("is_error", "cache_control") if item.get(key) is not None}}


def _error_text(error: Any) -> str:
    """The words of a call's error, which is an object or, in older answers, text."""
    if not isinstance(error, Mapping):
        return error if isinstance(error, str) else ""
    content = error.get("content")
    texts = [part.get("text") for part in content if isinstance(part, Mapping)] if isinstance(content, list) else []
    text = "\n".join(text for text in texts if isinstance(text, str)) or error.get("message")
    return text if isinstance(text, str) else "failed"
