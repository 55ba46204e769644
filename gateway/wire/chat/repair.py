"""Chunks and whole answers of servers that copied OpenAI's dialect, put right where an SDK could not read them.

Source of what is right: OpenAI's `openapi.yaml` (CreateChatCompletionResponse, CreateChatCompletionStreamResponse), and
what the official SDKs' helpers index and add up: they find a call by the `index` of its deltas, and join each string
of a call's deltas, its id and name too. Whatever is right already is left alone, and told so.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gateway.wire.chat.call_names import CallNames
from gateway.wire.chat.endings import FAILED, KNOWN, failure_of, meaning_of, nameless_call
from gateway.wire.lenient import dump
from gateway.wire.mending import mended_text

Json = dict[str, Any]

CHUNK = "chat.completion.chunk"
"""`object` of a chunk."""


class ChunkRepair:
    """Repairs the chunks of one stream. identity, created: for chunks that have no `id`, no `created`. functions: the
    older form of calls was asked for, and may come. tools: of the request, by which names are known that come in
    pieces; None when they are not known."""

    __slots__ = ("_choices", "_created", "_functions", "_identity", "_names", "_tools", "moved", "opened", "spoken")

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
        # Something was said before this chunk, which may have passed without being seen here.
        self.spoken = False

    def repair(self, chunk: Json) -> bool:
        """Put one chunk right, in place; whether there was anything to do. Raises the Fault of a choice that failed."""
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
            state = self._choices[index] = _Choice(prefix, self._names, begun=begun)
        if type(delta.get("content")) is list:
            _say(delta)
            changed = True
        changed = state.frame(delta) or changed
        if delta.get("function_call") and not self._functions:
            state.renew(delta)
            changed = True
        if "tool_calls" in delta:
            changed = state.take(delta) or changed
            self.moved = self.moved or state.moved
        state.legacy = state.legacy or bool(delta.get("function_call"))
        if reason is not None:
            changed = state.end(choice, delta, reason) or changed
        return changed


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


def _listed(calls: Any) -> list[Any]:
    """The calls of a message or delta; some servers send a single one without the list around it."""
    if isinstance(calls, dict):
        return [calls] if isinstance(calls.get("function") or calls.get("custom"), dict) else []
    return calls if isinstance(calls, list) else []


def _says_nothing(call: Json) -> bool:
    """Whether a call has neither id nor name nor arguments: some servers fill each message with one."""
    inner = call.get("custom") if isinstance(call.get("custom"), dict) else call.get("function")
    return not call.get("id") and not (isinstance(inner, dict) and any(inner.values()))


class _Call:
    """What was told of one call. waiting: its first members, while its name may go on: whoever reads a call wants the
    whole name there, and not in pieces."""

    __slots__ = ("has_text", "identity", "index", "member", "name", "waiting")

    def __init__(self, index: int) -> None:
        self.index = index
        self.identity = ""
        self.name = ""
        self.member = "function"
        self.has_text = False
        self.waiting: Json | None = None

    def release(self) -> Json:
        """The delta with the whole name, for the call that waited for it."""
        waiting, self.waiting = self.waiting or {}, None
        waiting[self.member] = {**waiting.get(self.member, {}), "name": self.name}
        return waiting


class _Choice:
    """The calls of one choice. prefix: of ids for calls that have none. names: that may be called, None when they are
    not known. begun: its role was told."""

    __slots__ = (
        "_begun",
        "_by_id",
        "_by_index",
        "_calls",
        "_ended",
        "_last",
        "_listed",
        "_names",
        "_next",
        "_prefix",
        "legacy",
        "moved",
    )

    def __init__(self, prefix: str, names: CallNames | None, *, begun: bool) -> None:
        self._prefix = prefix
        self._names = names
        self._calls: dict[int, _Call] = {}
        self._by_index: dict[int, _Call] = {}  # by the server's index: the newest call that it gave it to
        self._by_id: dict[str, _Call] = {}
        self._last: _Call | None = None
        self._next = 0
        self._begun = begun
        self._listed: dict[str, int] = {}
        self._ended = False
        self.legacy = False
        self.moved = False

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
        if isinstance(function, dict) and not delta.get("tool_calls") and self._calls.keys() <= {0}:
            delta["tool_calls"] = [{"index": 0, "function": function}]

    def take(self, delta: Json) -> bool:
        """Put the call deltas of a chunk right."""
        given = delta["tool_calls"]
        kept = [call for call in _listed(given) if isinstance(call, dict) and not self._is_nothing(call)]
        if not kept and not isinstance(given, list):
            del delta["tool_calls"]
            return True
        changed = not isinstance(given, list) or len(kept) != len(given)
        if changed:
            delta["tool_calls"] = kept
        for call in kept:
            changed = self._delta(call) or changed
        if any(call.waiting is not None for call in self._calls.values()):
            changed = True
            told = [told for call in kept for told in self._told(call)]
            delta["tool_calls"] = told
            if not told:
                del delta["tool_calls"]
        return changed

    def _told(self, delta: Json) -> list[Json]:
        """A delta, nothing while the name of its call may go on. What follows a name are arguments, or another call."""
        call = self._calls[delta["index"]]
        told = [
            other.release() for other in self._calls.values() if other.waiting is not None and other.index < call.index
        ]
        if call.waiting is None:
            return [*told, delta]
        inner = {**call.waiting.get(call.member, {}), **delta[call.member]}
        call.waiting = {**call.waiting, **delta, call.member: inner}
        if call.has_text or (self._names is not None and not self._names.may_go_on(call.name)):
            told.append(call.release())
        return told

    def _is_nothing(self, delta: Json) -> bool:
        """Whether a delta that belongs to no call says nothing of one that begins."""
        if not _says_nothing(delta):
            return False
        return delta.get("index") not in self._by_index if self._by_index else self._last is None

    def end(self, choice: Json, delta: Json, reason: Any) -> bool:
        """Put the end of the choice right."""
        if not isinstance(reason, str) or not reason or self._ended:
            choice["finish_reason"] = None  # SDKs join what is told again
            return True
        meaning = meaning_of(reason)
        if meaning == FAILED:
            raise failure_of(choice, reason)
        if any(not call.name for call in self._calls.values()):
            raise nameless_call()
        self._ended = True
        waiting = [call.release() for call in self._calls.values() if call.waiting is not None]
        if waiting:
            delta["tool_calls"] = [*(delta.get("tool_calls") or ()), *waiting]
        meaning = _agreed(meaning or "stop", bool(self._calls), self.legacy)
        silent = [call for call in self._calls.values() if not call.has_text and call.member == "function"]
        if silent:
            more = [{"index": call.index, "function": {"arguments": "{}"}} for call in silent]
            for call in silent:
                call.has_text = True
            delta["tool_calls"] = [*_without_texts(delta.get("tool_calls"), silent), *more]
        if meaning != reason:
            if reason not in KNOWN:
                choice.setdefault("native_finish_reason", reason)
            choice["finish_reason"] = meaning
        return meaning != reason or bool(silent) or bool(waiting)

    def _delta(self, delta: Json) -> bool:
        custom = delta.get("custom")
        member, text = ("custom", "input") if isinstance(custom, dict) else ("function", "arguments")
        inner = delta.get(member)
        changed = not isinstance(inner, dict)
        if not isinstance(inner, dict):
            inner = delta[member] = {}
        name, identity = inner.get("name"), delta.get("id")
        name = name if isinstance(name, str) else ""
        identity = identity if isinstance(identity, str) else ""
        call = self._find(delta.get("index"), identity, name)
        begins = call is None
        if call is None:
            call = self._begin(delta.get("index"), member)
        if begins or type(delta.get("index")) is not int:
            # Not of each delta: those that are right may take a way on which nobody sees them.
            self._last = call
        if delta.get("index") != call.index or type(delta["index"]) is not int:
            delta["index"] = call.index
            changed = True
        changed = self._identify(delta, inner, call, begins, identity, name) or changed
        value = inner.get(text)
        if not isinstance(value, str):
            if isinstance(value, dict | list):
                inner[text] = dump(value)  # some servers send the arguments as an object
                changed = True
            elif begins or text in inner:
                inner[text] = ""
                changed = True
        call.has_text = call.has_text or bool(inner.get(text))
        return changed

    def _identify(self, delta: Json, inner: Json, call: _Call, begins: bool, identity: str, name: str) -> bool:
        """Id, type and name of a call are told once: SDKs join what is told again."""
        changed = False
        if begins and (not identity or identity in self._by_id):
            identity = delta["id"] = f"{self._prefix}_{call.index}"
            changed = True
        elif not begins and "id" in delta and (call.identity or not identity):
            del delta["id"]
            changed = True
        if not call.identity and identity:
            call.identity = identity
            self._by_id[identity] = call
        if begins:
            if not isinstance(delta.get("type"), str) or not delta["type"]:
                delta["type"] = call.member
                changed = True
        elif "type" in delta and not delta["type"]:
            del delta["type"]
            changed = True
        if call.waiting is not None and name and self._names is not None:
            call.name = self._names.joined(call.name, name)
        elif call.name:
            if "name" in inner:
                del inner["name"]
                changed = True
        elif name:
            call.name = name
            if self._names is not None and self._names.may_go_on(name):
                call.waiting = {}
        elif "name" in inner:
            del inner["name"]
            changed = True
        return changed

    def _find(self, index: Any, identity: str, name: str) -> _Call | None:
        """The call that a delta continues, None for a new one. Calls are told apart by `index`; where a server leaves
        it out, or gives 0 to each of several calls, a new id together with a name begins another, or another name
        without an id, after arguments."""
        if type(index) is int and index >= 0:
            found = self._by_index.get(index)
            if found is None and not identity and not name:
                return self._last  # a server that counts the pieces
            if found is None or not name:
                return found
            if identity and found.identity:
                return found if found.identity == identity else None
            return found if not found.has_text or found.name == name else None
        if identity:
            return self._by_id.get(identity)
        last = self._last
        if name and last is not None and last.waiting is not None and self._names is not None:
            return last if self._names.goes_on(last.name, name) else None
        return None if name else last

    def _begin(self, index: Any, member: str) -> _Call:
        given = index if type(index) is int and index >= 0 else None
        at = given if given is not None and given not in self._calls else self._next
        self._next = max(self._next, at + 1)
        call = self._calls[at] = _Call(at)
        call.member = member
        if given is not None:
            self._by_index[given] = call
        self.moved = self.moved or at != given
        return call


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
    calls = [call for call in _listed(given) if isinstance(call, dict)]
    said = [call for call in calls if not _says_nothing(call)]
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


def _without_texts(deltas: Any, calls: list[_Call]) -> list[Json]:
    """The deltas without the empty arguments of these calls, which the next delta tells."""
    kept: list[Json] = []
    places: Mapping[int, _Call] = {call.index: call for call in calls}
    for delta in deltas if isinstance(deltas, list) else ():
        if delta.get("index") in places and set(delta) <= {"index", "function"} and not any(delta["function"].values()):
            continue
        kept.append(delta)
    return kept
