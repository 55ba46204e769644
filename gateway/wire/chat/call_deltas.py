"""The calls of one streamed choice, whose deltas come from servers that copied OpenAI's dialect; see `ChunkRepair`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gateway.wire.chat.call_names import CallNames
from gateway.wire.chat.endings import nameless_call
from gateway.wire.lenient import dump
from gateway.wire.mending import StreamedJson

Json = dict[str, Any]


def listed(calls: Any) -> list[Any]:
    """The calls of a message or delta; some servers send a single one without the list around it."""
    if isinstance(calls, dict):
        return [calls] if isinstance(calls.get("function") or calls.get("custom"), dict) else []
    return calls if isinstance(calls, list) else []


def says_nothing(call: Json) -> bool:
    """Whether a call has neither id nor name nor arguments: some servers fill each message with one."""
    inner = call.get("custom") if isinstance(call.get("custom"), dict) else call.get("function")
    return not call.get("id") and not (isinstance(inner, dict) and any(inner.values()))


class _Call:
    """What was told of one call. waiting: its first members, while its name may go on: whoever reads a call wants the
    whole name there, and not in pieces."""

    __slots__ = ("has_text", "identity", "index", "json", "member", "name", "waiting")

    def __init__(self, index: int) -> None:
        self.index = index
        self.identity = ""
        self.name = ""
        self.member = "function"
        self.has_text = False
        self.json = StreamedJson()
        self.waiting: Json | None = None

    def release(self) -> Json:
        """The delta with the whole name, for the call that waited for it."""
        waiting, self.waiting = self.waiting or {}, None
        waiting[self.member] = {**waiting.get(self.member, {}), "name": self.name}
        return waiting


class CallDeltas:
    """Repairs them. prefix: of ids for calls that have none. names: that may be called, None when they are not known.

    json: what the arguments in the last chunk are a piece of, None when there were none. moved: a call got another
    index than its server gave it.
    """

    __slots__ = ("_by_id", "_by_index", "_calls", "_last", "_names", "_next", "_prefix", "json", "moved")

    def __init__(self, prefix: str, names: CallNames | None) -> None:
        self._prefix = prefix
        self._names = names
        self._calls: dict[int, _Call] = {}
        self._by_index: dict[int, _Call] = {}  # by the server's index: the newest call that it gave it to
        self._by_id: dict[str, _Call] = {}
        self._last: _Call | None = None
        self._next = 0
        self.json: StreamedJson | None = None
        self.moved = False

    def __bool__(self) -> bool:
        """Whether there is any call."""
        return bool(self._calls)

    def may_be_older(self) -> bool:
        """Whether a call in its older form may be the only one."""
        return self._calls.keys() <= {0}

    def take(self, delta: Json) -> bool:
        """Put the call deltas of a chunk right."""
        given = delta["tool_calls"]
        kept = [call for call in listed(given) if isinstance(call, dict) and not self._is_nothing(call)]
        if not kept and not isinstance(given, list):
            del delta["tool_calls"]
            return True
        changed = not isinstance(given, list) or len(kept) != len(given)
        if changed:
            delta["tool_calls"] = kept
        self.json = None
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
        inner = {**call.waiting.get(call.member, {}), **(delta.get(call.member) or {})}
        call.waiting = {**call.waiting, **delta, call.member: inner}
        if call.has_text or (self._names is not None and not self._names.may_go_on(call.name)):
            told.append(call.release())
        return told

    def _is_nothing(self, delta: Json) -> bool:
        """Whether a delta that belongs to no call says nothing of one that begins."""
        if not says_nothing(delta):
            return False
        return delta.get("index") not in self._by_index if self._by_index else self._last is None

    def end(self, delta: Json) -> bool:
        """Tell in the last delta what the calls still owe. Raises the Fault of one without a name."""
        if any(not call.name for call in self._calls.values()):
            raise nameless_call()
        waiting = [call.release() for call in self._calls.values() if call.waiting is not None]
        if waiting:
            delta["tool_calls"] = [*(delta.get("tool_calls") or ()), *waiting]
        silent = [call for call in self._calls.values() if not call.has_text and call.member == "function"]
        if silent:
            more = [{"index": call.index, "function": {"arguments": "{}"}} for call in silent]
            for call in silent:
                call.has_text = True
            delta["tool_calls"] = [*_without_texts(delta.get("tool_calls"), silent), *more]
        return bool(waiting or silent)

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
        if member == "function":
            changed = mend_arguments(inner, call.json) or changed
            if self.json is None or self.json.is_calm:
                self.json = call.json
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
        without an id, after arguments or where it cannot be more of the same."""
        if type(index) is int and index >= 0:
            found = self._by_index.get(index)
            if found is None and not identity and not name:
                return self._last  # a server that counts the pieces
            if found is None or not name:
                return found
            if identity and found.identity:
                return found if found.identity == identity else None
            if found.has_text:
                return found if found.name == name else None
            return None if self._names is not None and self._names.is_another(found.name, name) else found
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


def mend_arguments(function: Json, json: StreamedJson) -> bool:
    """Mend a piece of arguments, in place; whether there was anything to do."""
    given = function.get("arguments")
    if not isinstance(given, str) or not given:
        return False
    function["arguments"] = mended = json.mend(given)
    return mended is not given


def _without_texts(deltas: Any, calls: list[_Call]) -> list[Json]:
    """The deltas without the empty arguments of these calls, which the next delta tells."""
    kept: list[Json] = []
    places: Mapping[int, _Call] = {call.index: call for call in calls}
    for delta in deltas if isinstance(deltas, list) else ():
        if delta.get("index") in places and set(delta) <= {"index", "function"} and not any(delta["function"].values()):
            continue
        kept.append(delta)
    return kept
