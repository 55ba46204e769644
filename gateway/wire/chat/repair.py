"""Chunks and whole answers of servers that copied OpenAI's dialect, put right where an SDK could not read them.

Source of what is right: OpenAI's `openapi.yaml` (CreateChatCompletionResponse, CreateChatCompletionStreamResponse), and
what the official SDKs' helpers index and add up: they find a call by the `index` of its deltas, and join each string
of a call's deltas, its id and name too. Whatever is right already is left alone, and told so.
"""

from __future__ import annotations

from typing import Any

from gateway.wire.chat.call_deltas import CallDeltas, listed, mend_arguments, says_nothing
from gateway.wire.chat.call_names import CallNames
from gateway.wire.chat.endings import FAILED, KNOWN, failure_of, meaning_of, nameless_call
from gateway.wire.lenient import dump
from gateway.wire.mending import StreamedJson, mended_text

Json = dict[str, Any]

CHUNK = "chat.completion.chunk"
"""`object` of a chunk."""


class ChunkRepair:
    """Repairs the chunks of one stream. identity, created: for chunks that have no `id`, no `created`. functions: the
    older form of calls was asked for, and may come. tools: of the request, by which names are known that come in
    pieces; None when they are not known."""

    __slots__ = (
        "_choices",
        "_created",
        "_functions",
        "_identity",
        "_names",
        "_tools",
        "json",
        "moved",
        "opened",
        "spoken",
    )

    def __init__(self, identity: str, created: int, functions: bool = False, tools: Any = None) -> None:
        self._identity = identity
        self._created = created
        self._functions = functions
        self._tools = tools
        self._names: CallNames | None = None
        self._choices: dict[int, _Choice] = {}
        # The choices of which something came.
        self.opened: set[int] = set()
        # A call got another index than its server gave it: equal deltas may mean different calls from here on.
        self.moved = False
        # What the arguments in the last chunk are a piece of, None when there were none; of several, one that stands
        # in the middle of an escape, if there is one.
        self.json: StreamedJson | None = None
        # Something was said before this chunk, which may have passed without being seen here.
        self.spoken = False

    def repair(self, chunk: Json) -> bool:
        """Put one chunk right, in place; whether there was anything to do. Raises the Fault of a choice that failed."""
        self.json = None
        choices = chunk.get("choices")
        if not isinstance(choices, list):
            return False
        if not choices:
            # The id that it lacks is that of the chunks that follow, which nobody knows yet.
            changed = chunk.get("object") != CHUNK
            chunk["object"] = CHUNK
            return changed
        changed = self._frame(chunk)
        for place, choice in enumerate(choices):
            if isinstance(choice, dict):
                changed = self._choice(choice, place) or changed
        return changed

    def _frame(self, chunk: Json) -> bool:
        identity, created = chunk.get("id"), chunk.get("created")
        if type(created) is int and chunk.get("object") == CHUNK and type(identity) is str and identity:
            return False
        chunk["object"] = CHUNK
        if type(created) is not int:
            chunk["created"] = int(created) if isinstance(created, float) and 0 <= created < 1e12 else self._created
        if type(identity) is not str or not identity:
            chunk["id"] = self._identity
        return True

    def _choice(self, choice: Json, place: int) -> bool:
        changed = False
        index = choice.get("index")
        if type(index) is not int or index < 0:
            index = choice["index"] = place
            changed = True
        delta = choice.get("delta")
        if not isinstance(delta, dict):
            # Some servers put a whole message into a stream; at its end it says again what the deltas said.
            whole = choice.pop("message", None)
            delta = choice["delta"] = whole if isinstance(whole, dict) and not self.spoken else {}
            changed = True
        reason = choice.get("finish_reason")
        begun = index in self.opened
        if not begun:
            self.opened.add(index)
            if not delta.get("role"):
                delta = choice["delta"] = {"role": "assistant", **delta}  # without it an SDK raises at the end
                changed = True
        if reason is None and delta.keys() <= (_PLAIN if begun else _OPENING):
            if type(delta.get("content")) is not list and (begun or delta["role"] == "assistant"):
                return changed
        state = self._choices.get(index)
        if state is None:
            prefix = f"call_{self._identity.removeprefix('chatcmpl-')}_{index}"
            if self._names is None and self._tools is not None:
                self._names = CallNames(self._tools)
            state = self._choices[index] = _Choice(CallDeltas(prefix, self._names), begun=begun)
        if type(delta.get("content")) is list:
            _say(delta)
            changed = True
        changed = state.frame(delta) or changed
        if delta.get("function_call") and not self._functions:
            state.renew(delta)
            changed = True
        if "tool_calls" in delta:
            changed = state.calls.take(delta) or changed
            self.moved = self.moved or state.calls.moved
            self._hold(state.calls.json)
        if delta.get("function_call"):
            state.legacy = True
            changed = state.take_legacy(delta["function_call"]) or changed
            self._hold(state.legacy_json)
        if reason is not None:
            changed = state.end(choice, delta, reason) or changed
        return changed

    def _hold(self, json: StreamedJson | None) -> None:
        if self.json is None or (self.json.is_calm and json is not None):
            self.json = json


_PLAIN = frozenset({"content", "reasoning_content", "reasoning", "refusal"})
"""Members of a delta in which there is nothing to repair, as long as they are texts."""
_OPENING = _PLAIN | {"role"}
"""The same of the first delta of a choice."""
_LISTS = ("annotations", "citations", "images", "reasoning_details", "x_gateway")
"""Members whose lists go on from delta to delta: SDKs put entries together by their `index`."""


def _say(message: Json) -> None:
    """Parts in the place of the text, as some servers send them: texts become the text, thoughts the thoughts."""
    parts = [part for part in message["content"] if isinstance(part, dict)]
    message["content"] = "".join(text for part in parts if isinstance(text := part.get("text"), str))
    thought = "".join(text for part in parts if isinstance(text := part.get("thinking"), str))
    if thought and not message.get("reasoning_content"):
        message["reasoning_content"] = thought
    images = [part for part in parts if part.get("type") == "image_url"]
    if images and not message.get("images"):
        message["images"] = images


class _Choice:
    """One choice. begun: its role was told."""

    __slots__ = ("_begun", "_ended", "_listed", "calls", "legacy", "legacy_json")

    def __init__(self, calls: CallDeltas, *, begun: bool) -> None:
        self.calls = calls
        self._begun = begun
        self._listed: dict[str, int] = {}
        self._ended = False
        self.legacy = False
        self.legacy_json = StreamedJson()

    def frame(self, delta: Json) -> bool:
        """Put right what is about the whole message: its role is told once, entries of lists are numbered."""
        changed = False
        if "role" in delta:
            if self._begun:
                del delta["role"]  # SDKs join what is told again
                changed = True
            elif delta["role"] != "assistant":
                delta["role"] = "assistant"
                changed = True
            self._begun = True
        for name in _LISTS:
            entries = delta.get(name)
            for entry in entries if isinstance(entries, list) else ():
                at = self._listed[name] = self._listed.get(name, -1) + 1
                if isinstance(entry, dict) and type(entry.get("index")) is not int:
                    entry["index"] = at
                    changed = True
        return changed

    def renew(self, delta: Json) -> None:
        """A call in its older form, which was not asked for, as one of the newer; beside one, it says the same."""
        function = delta.pop("function_call")
        if isinstance(function, dict) and not delta.get("tool_calls") and self.calls.may_be_older():
            delta["tool_calls"] = [{"index": 0, "function": function}]

    def take_legacy(self, call: Any) -> bool:
        """Mend the arguments of a call in its older form."""
        return isinstance(call, dict) and mend_arguments(call, self.legacy_json)

    def end(self, choice: Json, delta: Json, reason: Any) -> bool:
        """Put the end of the choice right."""
        if not isinstance(reason, str) or not reason or self._ended:
            choice["finish_reason"] = None  # SDKs join what is told again
            return True
        meaning = meaning_of(reason)
        if meaning == FAILED:
            raise failure_of(choice, reason)
        owed = self.calls.end(delta)
        self._ended = True
        meaning = _agreed(meaning or "stop", bool(self.calls), self.legacy)
        if meaning != reason:
            if reason not in KNOWN:
                choice.setdefault("native_finish_reason", reason)
            choice["finish_reason"] = meaning
        return meaning != reason or owed


def repair_completion(completion: Json, identity: str, created: int, functions: bool = False) -> None:
    """Put a whole answer right, in place; see `ChunkRepair`. Raises the Fault of a choice that failed."""
    given = completion.get("id")
    if not isinstance(given, str) or not given:
        completion["id"] = identity
    if type(completion.get("created")) is not int:
        completion["created"] = created
    completion["object"] = "chat.completion"
    for place, choice in enumerate(completion["choices"]):
        index = choice.get("index")
        if type(index) is not int or index < 0:
            choice["index"] = place
        message = choice["message"]
        if message.get("role") != "assistant":
            message["role"] = "assistant"
        message.setdefault("content", None)
        if isinstance(message["content"], list):
            _say(message)
        if isinstance(message.get("function_call"), dict) and not functions:
            function = message.pop("function_call")
            if function and not message.get("tool_calls"):
                message["tool_calls"] = [{"function": function}]
        called = _whole_calls(message, f"{completion['id'].removeprefix('chatcmpl-')}_{choice['index']}")
        reason = choice.get("finish_reason")
        reason = reason if isinstance(reason, str) else ""
        meaning = meaning_of(reason)
        if meaning == FAILED or isinstance(choice.get("error"), dict):
            raise failure_of(choice, reason)
        if reason and reason not in KNOWN:
            choice.setdefault("native_finish_reason", reason)
        choice["finish_reason"] = _agreed(meaning or "stop", called, bool(message.get("function_call")))


def _whole_calls(message: Json, prefix: str) -> bool:
    """The calls of a whole message; whether there are any. Raises the Fault of one without a name."""
    given = message.get("tool_calls")
    calls = [call for call in listed(given) if isinstance(call, dict)]
    said = [call for call in calls if not says_nothing(call)]
    if said or message.get("content"):
        calls = said
    if calls or isinstance(given, list):
        message["tool_calls"] = calls
    elif given is not None:
        del message["tool_calls"]
    seen: set[str] = set()
    for place, call in enumerate(calls):
        member, text = ("custom", "input") if isinstance(call.get("custom"), dict) else ("function", "arguments")
        inner = call.get(member)
        if not isinstance(inner, dict) or not isinstance(inner.get("name"), str) or not inner["name"]:
            raise nameless_call()
        if not isinstance(call.get("id"), str) or not call["id"] or call["id"] in seen:
            call["id"] = f"call_{prefix}_{place}"
        seen.add(call["id"])
        if not isinstance(call.get("type"), str) or not call["type"]:
            call["type"] = member
        value = inner.get(text)
        if isinstance(value, dict | list):
            inner[text] = dump(value)
        elif not isinstance(value, str) or (member == "function" and not value.strip()):
            inner[text] = "{}" if member == "function" else ""
        elif member == "function":
            inner[text] = mended_text(value)
    return bool(calls)


def _agreed(reason: str, called: bool, legacy: bool) -> str:
    """The reason that agrees with what the answer holds: agents look at it to see whether there are calls to run."""
    if called and reason in ("stop", "function_call"):
        return "tool_calls"
    if not called and not legacy and reason in ("tool_calls", "function_call"):
        return "stop"
    return reason
