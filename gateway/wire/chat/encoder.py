"""The caller's side of a streamed chat completion: chunks in, SSE bytes out, with the least work per chunk.

A chunk of an OpenAI-dialect upstream arrives as raw JSON, unless there is more in it than text
(`gateway.wire.chat.tally`). All chunks of one stream begin with the same members (`id`, `object`, `created`, `model`),
so after the first chunk the relay knows that beginning by heart, and passes a chunk on by swapping the beginning for
one with the public model id.

Two shapes of the end (OpenAI's API reference, `stream_options`, and client loops that index `choices[0]`):
- the caller asked for usage: chunks pass, and one more chunk with `choices: []` carries the usage;
- otherwise: no chunk without a choice is ever sent, and usage rides on the last chunk, the one with
  `finish_reason`, which is held back until the usage is known.
Either way `data: [DONE]` closes a stream that ended well, and never one that was cut.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

import orjson

from gateway.errors import Fault, UpstreamFault
from gateway.wire.errors.render import stream_error_event
from gateway.wire.sse import DONE

PREFIX = b"data: "
SUFFIX = b"\n\n"

_MODEL = re.compile(rb'"model"\s*:\s*("[^"\\]*(?:\\.[^"\\]*)*")')
_LONGEST_HEAD = 4096
"""Bytes of a chunk in which its model is looked for."""
_USAGE = b'"usage"'
_USAGE_MEMBER = re.compile(rb'"usage"\s*:')
_NULL_USAGE = b',"usage":null}'

_NONE: frozenset[int] = frozenset()


class Renamed(NamedTuple):
    """What the relay changes in the chunks of one stream that it passes on. head: how they begin, up to the model. new:
    what stands there instead. tells_usage: the member `usage` is found in each, whether the upstream writes it or not.
    """

    head: bytes
    new: bytes
    tells_usage: bool

    def begin(self, text: bytes) -> bytes:
        """The beginning of a chunk, `head` and more, as the caller gets it."""
        return self.new + text[len(self.head) :]

    def end(self, rest: bytes, end: bytes) -> bytes:
        """The end of a chunk whose bytes behind the head, apart from its text, are `rest`."""
        if not self.tells_usage or not end.endswith(b"}"):
            return end
        if _USAGE in rest and _USAGE_MEMBER.search(rest) is not None:
            return end  # it is told; a text may be that word, too
        return end[:-1] + _NULL_USAGE


class ChatRelay:
    """Encodes one stream for one caller.

    renamed: what is changed in chunks that are passed on, None while it is not known or nothing is passed on.

    model: the id that every chunk shall bear. include_usage: the caller's `stream_options.include_usage`.
    choices: how many choices were asked for (`n`). watch: called with every chunk as a dict, or None; chunks are then
    always parsed.
    """

    __slots__ = (
        "_choices",
        "_cut",
        "_ended",
        "_held",
        "_include_usage",
        "_last",
        "_model",
        "_orphan",
        "_watch",
        "renamed",
    )

    def __init__(
        self,
        model: str,
        include_usage: bool,
        choices: int = 1,
        watch: Callable[[Mapping[str, Any]], None] | None = None,
    ) -> None:
        self._model = model
        self._include_usage = include_usage
        self._watch = watch
        self.renamed: Renamed | None = None
        self._held: dict[str, Any] | None = None
        self._orphan: dict[str, Any] = {}
        self._choices = choices
        self._ended: frozenset[int] = _NONE
        self._cut = False
        self._last: dict[str, Any] = {}

    def feed(self, items: Iterable[bytes | dict[str, Any] | Fault]) -> tuple[bytes, Fault | None]:
        """Take items that `ChatTally` has seen; return the bytes to send now, and the fault that ends the stream, if
        one came."""
        out: list[bytes] = []
        for item in items:
            if isinstance(item, bytes):
                renamed = self.renamed
                if renamed is not None and item.startswith(renamed.head):
                    tail = item[len(renamed.head) :]
                    out += (PREFIX, renamed.new, renamed.end(tail, tail), SUFFIX)
                    continue
                chunk = _parse(item)
                if chunk is None:
                    return b"".join(out), UpstreamFault(
                        "The provider sent a stream event that is not a JSON object.",
                        code="upstream_invalid_response",
                        detail=item[:500].decode("utf-8", "replace"),
                    )
                if self._watch is None:
                    self._learn(item, chunk)
            elif isinstance(item, Fault):
                return b"".join(out), item
            else:
                chunk = item
            self._chunk(chunk, out)
        return b"".join(out), None

    def cut(self) -> None:
        """The gateway ends the answer here: choices that go on end with the finish_reason `length`."""
        self._cut = True

    def finish(self, usage: Mapping[str, Any]) -> bytes:
        """The closing bytes of a stream that ended well: what was held back, `usage` where it belongs, [DONE]."""
        out: list[bytes] = []
        if self._cut:
            for index in sorted(set(range(self._choices)) - self._ended):
                choice = {"index": index, "delta": {}, "finish_reason": "length"}
                self._chunk({**self._last, "choices": [choice]}, out)
        if self._include_usage:
            last = {**self._last, **self._orphan, "choices": [], "usage": usage}
        else:
            # A stream that ended with [DONE] but without any finish_reason still owes its caller one.
            choice = {"index": 0, "delta": {}, "finish_reason": "stop"}
            held = self._held or {**self._last, "choices": [choice]}
            last = {**held, **self._orphan, "usage": usage}
        out += (PREFIX, orjson.dumps(last), SUFFIX, DONE)
        return b"".join(out)

    def fail(self, fault: Fault, request_id: str) -> bytes:
        """What was held back, without an end, then the error: the bytes that end a stream which broke."""
        return self._release() + stream_error_event(fault, request_id)

    def _release(self) -> bytes:
        if self._held is None:
            return b""
        held, self._held = self._held, None
        return PREFIX + orjson.dumps(held) + SUFFIX

    def _chunk(self, chunk: dict[str, Any], out: list[bytes]) -> None:
        told = bool(chunk.get("usage"))
        if "usage" in chunk:
            chunk["usage"] = None
        chunk["model"] = self._model
        if self._watch is not None:
            self._watch(chunk)
        choices = chunk.get("choices")
        if not isinstance(choices, list) or not choices:
            # Nothing for a caller who indexes choices[0]; its other members ride on the next chunk that is sent.
            extra = {key: value for key, value in chunk.items() if key not in ("choices", "usage")}
            if self._include_usage and not told:
                chunk["choices"] = []
                out += (PREFIX, orjson.dumps(chunk), SUFFIX)
            elif extra.keys() - _ENVELOPE:
                self._orphan.update(extra)
            self._remember(chunk)
            return
        self._remember(chunk)
        ended = self._note_choices(choices)
        if self._orphan:
            chunk = {**self._orphan, **chunk}
            self._orphan = {}
        if self._held is not None and not ended and self._choices == 1:
            ended = _move_end(self._held["choices"], choices)
        if ended and not self._include_usage:
            out.append(self._release())
            self._held = chunk
            # What goes on, another choice or a server that has not ended yet, must come this way, to come behind it.
            self.renamed = None
            return
        if self._held is not None and not self._is_complete():
            out.append(self._release())
        if self._include_usage:
            chunk.setdefault("usage", None)
        out += (PREFIX, orjson.dumps(chunk), SUFFIX)

    def _note_choices(self, choices: list[Any]) -> bool:
        """Note which choices end; True when a finish_reason is among them."""
        ended = False
        for choice in choices:
            if not isinstance(choice, dict):
                continue
            index = choice.get("index", 0)
            index = index if isinstance(index, int) else 0
            if choice.get("finish_reason"):
                ended = True
                self._ended |= {index}
        return ended

    def _is_complete(self) -> bool:
        return len(self._ended) >= self._choices

    def _remember(self, chunk: dict[str, Any]) -> None:
        """Keep the envelope for a closing chunk of ours. The first chunk with an id counts: one server begins with a
        chunk of empty members. What served the answer may be told later."""
        if not self._last.get("id"):
            self._last = {**self._last, **{key: chunk[key] for key in _FRAME if key in chunk}}
        for key in _SERVED:
            if chunk.get(key) is not None:
                self._last[key] = chunk[key]

    def _learn(self, item: bytes, chunk: dict[str, Any]) -> None:
        """Know the beginning of this stream's chunks by heart: `{...,"model":"..."` before `choices`.

        The beginning is only trusted when it is, once closed, a JSON object of scalars: then it is certainly
        the top level and holds nothing that may differ in meaning from chunk to chunk.
        """
        found = _MODEL.search(item, 0, _LONGEST_HEAD)
        if found is None:
            return
        head = item[: found.end()]
        if b"\n" in head:
            return  # an event over several lines: not to be written out on one `data:` line
        members = _parse(head + b"}")
        if members is None:
            return
        for value in members.values():
            if type(value) in (dict, list):
                return
        if "usage" in members or "error" in members:
            return
        # Who asked for usage finds the member in every chunk, also when the upstream leaves it out.
        self.renamed = Renamed(head, item[: found.start(1)] + orjson.dumps(self._model), self._include_usage)


def _move_end(held: list[Any], choices: list[Any]) -> bool:
    """Let the end that came too early be that of the chunk that came after it; whether there was one."""
    first, last = held[0], choices[0]
    if not isinstance(first, dict) or not isinstance(last, dict) or not first.get("finish_reason"):
        return False
    last["finish_reason"], first["finish_reason"] = first["finish_reason"], None
    if "native_finish_reason" in first:
        last["native_finish_reason"] = first.pop("native_finish_reason")
    return True


_FRAME = ("id", "object", "created", "model")
_SERVED = ("system_fingerprint", "service_tier")
_ENVELOPE = frozenset({*_FRAME, *_SERVED, "obfuscation"})


def _parse(raw: bytes) -> dict[str, Any] | None:
    try:
        value = orjson.loads(raw)
    except orjson.JSONDecodeError:
        return None
    return value if isinstance(value, dict) else None
