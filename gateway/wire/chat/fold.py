"""A streamed chat answer folded into a whole completion, and a whole completion unfolded into a stream.

Source: OpenAI's `openapi.yaml`, CreateChatCompletionStreamResponse and CreateChatCompletionResponse. Chunks come from
providers, so any member may be missing, null or of the wrong type: what cannot be understood is left out of the known
members, and unknown members are kept (the last value that is not null wins).
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable
from typing import Any

from gateway.wire.errors.render import fault_from_stream_event
from gateway.wire.lenient import dump
from gateway.wire.usage import find_usage

_JOINED = frozenset({"content", "refusal", "reasoning_content", "reasoning"})
"""Members of a delta whose strings are pieces of one text."""

_EXTENDED = frozenset({"annotations", "citations", "images", "reasoning_details"})
"""Members of a delta whose lists are pieces of one list."""

_FIRST_WINS = frozenset({"id", "created", "model"})

# `obfuscation` is padding of one chunk against traffic analysis (OpenAI, stream_options.include_obfuscation).
_NOT_KEPT = frozenset({"choices", "object", "usage", "obfuscation", "error"})


class ChatFold:
    """Folds chat chunks one by one.

        fold = ChatFold()
        for chunk in chunks:
            fold.add(chunk)
        completion = fold.result(call.model)

    usage: the last usage object seen, as the provider sent it. ignored: how many things passed to `add` were no
    chunks at all.
    """

    __slots__ = ("_choices", "_top", "ignored", "usage")

    def __init__(self) -> None:
        self._top: dict[str, Any] = {}
        self._choices: dict[int, _Choice] = {}
        self.usage: dict[str, Any] | None = None
        self.ignored = 0

    def add(self, chunk: Any) -> None:
        """Take the next chunk. Raises the Fault that an error event stands for, and no exception but Faults."""
        if not isinstance(chunk, dict):
            self.ignored += 1
            return
        if chunk.get("error") is not None:
            raise fault_from_stream_event(chunk)
        for key, value in chunk.items():
            if key not in _NOT_KEPT:
                if value is None or (key in _FIRST_WINS and self._top.get(key) is not None):
                    self._top.setdefault(key, value)
                else:
                    self._top[key] = value
        usage = find_usage(chunk)
        if usage is not None:
            self.usage = usage
        choices = chunk.get("choices")
        for position, choice in enumerate(choices if isinstance(choices, list) else ()):
            if isinstance(choice, dict):
                index = choice.get("index")
                at = index if type(index) is int and index >= 0 else position
                found = self._choices.get(at)
                if found is None:
                    found = self._choices[at] = _Choice()
                found.add(choice)

    @property
    def finished(self) -> bool:
        """Whether there is a choice and every choice has its finish_reason: the answer is whole."""
        return bool(self._choices) and all(choice.finish_reason is not None for choice in self._choices.values())

    def result(self, model: str | None = None) -> dict[str, Any]:
        """The completion so far, with `model` in place of the provider's own name when given.

        Members that OpenAI requires are always there: content, refusal, logprobs and finish_reason may be null.
        `usage` is there only when the provider sent it.
        """
        top = self._top
        identity = top.get("id")
        created = top.get("created")
        name = top.get("model")
        completion: dict[str, Any] = {
            **top,
            "id": identity if isinstance(identity, str) else "",
            "object": "chat.completion",
            "created": created if type(created) is int else 0,
            "model": model if model is not None else name if isinstance(name, str) else "",
        }
        completion["choices"] = [
            self._choices[index].result(index, completion["id"]) for index in sorted(self._choices)
        ]
        if self.usage is not None:
            completion["usage"] = self.usage
        return completion


def fold_stream(chunks: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """Fold a whole stream of chat chunks into a completion. Raises the Fault of an error event among them."""
    fold = ChatFold()
    for chunk in chunks:
        fold.add(chunk)
    return fold.result()


class _Choice:
    """One choice in the making."""

    __slots__ = ("_logprobs", "_message", "_other", "finish_reason")

    def __init__(self) -> None:
        self._message = _Message()
        self._logprobs: dict[str, Any] | None = None
        self._other: dict[str, Any] = {}
        self.finish_reason: str | None = None

    def add(self, choice: dict[str, Any]) -> None:
        delta = choice.get("delta")
        if not isinstance(delta, dict):
            delta = choice.get("message")  # some servers put a whole message into a stream
        if isinstance(delta, dict):
            self._message.add(delta)
        reason = choice.get("finish_reason")
        if isinstance(reason, str) and reason:
            self.finish_reason = reason
        logprobs = choice.get("logprobs")
        if isinstance(logprobs, dict):
            if self._logprobs is None:
                self._logprobs = {}
            _merge_lists(self._logprobs, logprobs)
        for key, value in choice.items():
            if key not in _CHOICE_MEMBERS:
                _keep(self._other, key, value)

    def result(self, index: int, completion_id: str) -> dict[str, Any]:
        return {
            **self._other,
            "index": index,
            "message": self._message.result(f"{completion_id}_{index}"),
            "logprobs": self._logprobs,
            "finish_reason": self.finish_reason,
        }


_CHOICE_MEMBERS = frozenset({"index", "delta", "message", "logprobs", "finish_reason", "usage"})


def _keep(into: dict[str, Any], key: str, value: Any) -> None:
    """An unknown member: the last value wins, but null never replaces something."""
    if value is None:
        into.setdefault(key, None)
    else:
        into[key] = value


def _merge_lists(into: dict[str, Any], more: dict[str, Any]) -> None:
    """Lists are continued, anything else is kept as an unknown member."""
    for key, value in more.items():
        held = into.get(key)
        if isinstance(value, list):
            if isinstance(held, list):
                held.extend(value)
            else:
                into[key] = list(value)
        else:
            _keep(into, key, value)


class _Message:
    """One message in the making, out of deltas."""

    __slots__ = ("_audio", "_by_id", "_by_index", "_call", "_calls", "_lists", "_other", "_role", "_texts")

    def __init__(self) -> None:
        self._role = ""
        self._texts: dict[str, list[Any]] = {}  # pieces: strings, or content parts of servers that stream those
        self._lists: dict[str, Any] = {}
        self._calls: list[_ToolCall] = []
        self._by_index: dict[int, _ToolCall] = {}  # of calls that share an index, the newest is the one that goes on
        self._by_id: dict[str, _ToolCall] = {}
        self._call: _ToolCall | None = None  # the older function_call
        self._audio: dict[str, Any] | None = None
        self._other: dict[str, Any] = {}

    def add(self, delta: dict[str, Any]) -> None:
        for key, value in delta.items():
            if key in _JOINED:
                if isinstance(value, str):
                    self._texts.setdefault(key, []).append(value)
                elif isinstance(value, list):
                    self._texts.setdefault(key, []).extend(value)
                elif value is None:
                    self._other.setdefault(key, None)
            elif key == "role":
                if isinstance(value, str) and not self._role:
                    self._role = value
            elif key == "tool_calls":
                self._add_calls(value)
            elif key == "function_call":
                if isinstance(value, dict):
                    if self._call is None:
                        self._call = _ToolCall(0)
                    self._call.add({"type": "function", "function": value})
            elif key == "audio":
                self._add_audio(value)
            elif key in _EXTENDED:
                _merge_lists(self._lists, {key: value})
            else:
                _keep(self._other, key, value)

    def _add_calls(self, deltas: Any) -> None:
        for delta in deltas if isinstance(deltas, list) else ():
            if isinstance(delta, dict):
                self._find_call(delta).add(delta)

    def _find_call(self, delta: dict[str, Any]) -> _ToolCall:
        """The call that a delta continues, or a new one.

        Calls are told apart by `index`. Some servers leave it out, or give 0 to each of several parallel calls: a
        delta with a new id and a name then begins a new call.
        """
        index = delta.get("index")
        identity = delta.get("id")
        function = delta.get("function")
        named = isinstance(function, dict) and bool(function.get("name"))
        last = self._calls[-1] if self._calls else None
        found: _ToolCall | None
        if type(index) is int:
            found = self._by_index.get(index)
        else:
            index = last.index if last is not None else 0
            if isinstance(identity, str) and identity:
                found = self._by_id.get(identity)
            else:
                found = None if named else last
        if found is None or (named and identity and found.id and found.id != identity):
            found = _ToolCall(index)
            self._calls.append(found)
            self._by_index[index] = found
            if isinstance(identity, str):
                self._by_id[identity] = found
        return found

    def _add_audio(self, delta: Any) -> None:
        if not isinstance(delta, dict):
            return
        if self._audio is None:
            self._audio = {}
        for key, value in delta.items():
            if key in ("data", "transcript") and isinstance(value, str):
                self._audio.setdefault(key, []).append(value)
            elif key not in ("data", "transcript"):
                _keep(self._audio, key, value)

    def result(self, call_prefix: str) -> dict[str, Any]:
        message: dict[str, Any] = {"role": self._role or "assistant", "content": None, "refusal": None}
        message.update(self._other)
        for key, pieces in self._texts.items():
            message[key] = _join(pieces)
        message.update(self._lists)
        if self._calls:
            ordered = sorted(self._calls, key=lambda call: call.index)  # stable: equal indexes keep their order
            message["tool_calls"] = [call.result(f"call_{call_prefix}_{n}") for n, call in enumerate(ordered)]
        if self._call is not None:
            message["function_call"] = self._call.result("")["function"]
        if self._audio is not None:
            audio = dict(self._audio)
            if "data" in audio:
                audio["data"] = _join_base64(audio["data"])
            if "transcript" in audio:
                audio["transcript"] = "".join(audio["transcript"])
            message["audio"] = audio
        return message


class _ToolCall:
    """One tool call in the making."""

    __slots__ = ("_member", "_name", "_other", "_pieces", "_type", "id", "index")

    def __init__(self, index: int) -> None:
        self.index = index
        self.id = ""
        self._type = ""
        self._member = "function"  # where name and text stand; a provider's own types use `function`, too
        self._name = ""
        self._pieces: list[str] = []
        self._other: dict[str, Any] = {}

    def add(self, delta: dict[str, Any]) -> None:
        identity = delta.get("id")
        if isinstance(identity, str) and identity and not self.id:
            self.id = identity
        kind = delta.get("type")
        if isinstance(kind, str) and kind and not self._type:
            self._type = kind
        for member, text in (("function", "arguments"), ("custom", "input")):
            inner = delta.get(member)
            if isinstance(inner, dict):
                self._member = member
                name = inner.get("name")
                if isinstance(name, str) and not self._name:
                    self._name = name  # sent whole; some servers repeat it in every chunk
                self._add_text(inner.get(text))
        for key, value in delta.items():
            if key not in _CALL_MEMBERS:
                _keep(self._other, key, value)

    def _add_text(self, value: Any) -> None:
        if isinstance(value, str):
            self._pieces.append(value)
        elif isinstance(value, dict):  # some servers send the arguments as an object
            self._pieces.append(dump(value))

    def result(self, fallback_id: str) -> dict[str, Any]:
        """fallback_id: for a call that never got an id; a caller must be able to answer it."""
        member = self._member
        call: dict[str, Any] = {**self._other, "id": self.id or fallback_id, "type": self._type or member}
        text = "".join(self._pieces)
        call[member] = {"name": self._name, "input" if member == "custom" else "arguments": text}
        return call


_CALL_MEMBERS = frozenset({"index", "id", "type", "function", "custom"})


def _join(pieces: list[Any]) -> str | list[Any]:
    """Pieces of text as one string; when a server streams content parts, a list of parts with texts joined."""
    if all(isinstance(piece, str) for piece in pieces):
        return "".join(pieces)
    parts: list[Any] = []
    joining: list[str] = []  # texts that follow each other

    def end_text() -> None:
        if any(joining):
            parts.append({"type": "text", "text": "".join(joining)})
        joining.clear()

    for piece in pieces:
        text = piece if isinstance(piece, str) else None
        if isinstance(piece, dict) and piece.keys() == {"type", "text"} and piece["type"] == "text":
            text = piece["text"] if isinstance(piece["text"], str) else None
        if text is None:
            end_text()
            parts.append(piece)
        else:
            joining.append(text)
    end_text()
    return parts


def _join_base64(pieces: list[str]) -> str:
    """Base64 pieces as one: those that were padded one by one must be decoded first."""
    if any(piece.endswith("=") for piece in pieces[:-1]):
        try:
            return base64.b64encode(b"".join(binascii.a2b_base64(piece) for piece in pieces)).decode()
        except ValueError:  # not base64: joined as it came
            return "".join(pieces)
    return "".join(pieces)


_ON_EVERY_CHUNK = ("id", "created", "model", "service_tier", "system_fingerprint")


def unfold(completion: dict[str, Any], include_usage: bool) -> list[dict[str, Any]]:
    """The chunks of a stream that says the same as a whole completion.

    For upstreams that answer a stream request with a whole body. include_usage: usage comes in an extra last chunk
    with `choices: []` (OpenAI's `stream_options.include_usage`), otherwise on the last chunk that has a choice.
    Never raises; choices that are no objects are left out. The completion is not changed.
    """
    head: dict[str, Any] = {key: completion[key] for key in _ON_EVERY_CHUNK if key in completion}
    head["object"] = "chat.completion.chunk"
    rest = {key: value for key, value in completion.items() if key not in head and key not in _NOT_KEPT}
    chunks: list[dict[str, Any]] = []
    choices = completion.get("choices")
    for position, choice in enumerate(choices if isinstance(choices, list) else ()):
        if isinstance(choice, dict):
            chunks.extend({**head, "choices": [delta]} for delta in _unfold_choice(choice, position))
    if not chunks:
        chunks.append({**head, "choices": []})
    chunks[0].update(rest)
    usage = find_usage(completion)
    if include_usage:
        for chunk in chunks:
            chunk["usage"] = None
        if usage is not None:
            chunks.append({**head, "choices": [], "usage": usage})
    elif usage is not None:
        chunks[-1]["usage"] = usage
    return chunks


def _unfold_choice(choice: dict[str, Any], position: int) -> list[dict[str, Any]]:
    """The choices, each of one chunk, that tell one choice: text first, then each tool call, then the end."""
    index = choice.get("index")
    index = index if type(index) is int and index >= 0 else position
    message = choice.get("message")
    message = dict(message) if isinstance(message, dict) else {}
    calls = message.pop("tool_calls", None)
    message["role"] = message.get("role") or "assistant"
    deltas = [message]
    for n, call in enumerate(calls if isinstance(calls, list) else ()):
        if isinstance(call, dict):
            deltas.append({"tool_calls": [{**call, "index": n}]})
    unfolded: list[dict[str, Any]] = [
        {"index": index, "delta": delta, "logprobs": None, "finish_reason": None} for delta in deltas
    ]
    unfolded[0]["logprobs"] = choice.get("logprobs")
    other = {key: value for key, value in choice.items() if key not in _CHOICE_MEMBERS}
    reason = choice.get("finish_reason")
    unfolded.append({**other, "index": index, "delta": {}, "logprobs": None, "finish_reason": reason})
    return unfolded
