"""The native path: a Messages request for an upstream that speaks the same dialect.

The caller's body goes out as it was written, and the answer comes back as it came. What the gateway itself decides
(the model's name, the output limit, whether to stream) is replaced, and what another provider made in earlier turns
and Anthropic would refuse (thoughts that it did not sign, ids outside its alphabet) is taken out.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import orjson

from gateway.api import (
    Answer,
    Call,
    Dialect,
    EventDecoder,
    Fault,
    StreamDecoder,
    StreamItem,
    Tally,
    Target,
    UpstreamFault,
    UpstreamReply,
    dump,
    is_sealed,
    load_mended,
    measure_chat,
    nonsense,
    text_of,
    unfold,
)
from tollgate_anthropic.draft import refuse, safe_id
from tollgate_anthropic.faults import fault_from_error
from tollgate_anthropic.reply import MessageReader, completion_of, message_in
from tollgate_anthropic.thinking import LEAST_BUDGET

from .folding import fold_events
from .repair import StreamRepair, right_message
from .shortening import shorten_message
from .tally import MessagesTally

Json = dict[str, Any]

MESSAGES = "anthropic.messages"
"""The name of Anthropic's dialect, for `Call.forms` and `Provider.dialects`."""

BETA = "anthropic-beta"
DELTA = b'{"type":"content_block_delta"'
"""How the events begin of which a stream mostly consists, and which pass unread."""

_BETA_NAME = re.compile(r"[A-Za-z0-9._-]{1,100}")
_PLAIN_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")


def read_betas(headers: Mapping[str, str]) -> list[str]:
    """The names in `anthropic-beta`. Raises CallerFault for what is no list of names."""
    names = [name.strip() for name in headers.get(BETA, "").split(",")]
    for name in names:
        if name and _BETA_NAME.fullmatch(name) is None:
            raise refuse(BETA, "this header must be a list of beta names with commas between them")
    return [name for name in dict.fromkeys(names) if name]


def native_body(call: Call, target: Target) -> tuple[Json, list[str]]:
    """The upstream body, and the beta names to send with it. Raises CallerFault under strict mode when thinking does
    not fit into what the credits pay for."""
    out = {**call.body, "model": target.upstream}
    out.pop("stream", None)
    if call.stream:
        out["stream"] = True
    asked = out.get("max_tokens")
    if call.max_output is not None:
        out["max_tokens"] = call.max_output
        _fit_thinking(call, out, asked)
    if isinstance(out.get("messages"), list):
        out["messages"] = _acceptable(out["messages"])
    return out, read_betas(call.headers)


def _fit_thinking(call: Call, out: Json, asked: Any) -> None:
    """A budget that was right for what was asked, and is too large for what the gateway allows."""
    thinking, room = out.get("thinking"), out["max_tokens"]
    budget = thinking.get("budget_tokens") if isinstance(thinking, dict) else None
    if not isinstance(thinking, dict) or type(budget) is not int or type(asked) is not int:
        return
    if not room <= budget < asked:
        return
    if room > LEAST_BUDGET:
        out["thinking"] = {**thinking, "budget_tokens": max(LEAST_BUDGET, room * 4 // 5)}
        return
    call.report_dropped("thinking", f"needs max_tokens above {LEAST_BUDGET}")
    del out["thinking"]


def _acceptable(messages: list[Any]) -> list[Any]:
    """The messages without what other providers made for themselves. Unchanged lists are passed on as they are."""
    out = []
    for message in messages:
        content = message.get("content") if isinstance(message, dict) else None
        if isinstance(content, list) and any(_foreign(block) for block in content):
            content = [_mended(block) for block in content if not _unsigned(block)]
            if not content:
                continue
            message = {**message, "content": content}
        out.append(message)
    return out


def _unsigned(block: Any) -> bool:
    """Thoughts that Anthropic did not sign, ours or another gateway's: it refuses a request that has them."""
    if not isinstance(block, dict) or block.get("type") not in ("thinking", "redacted_thinking"):
        return False
    if block["type"] == "thinking" and not block.get("signature"):
        return True
    return is_sealed(block.get("signature")) or is_sealed(block.get("data"))


def _foreign(block: Any) -> bool:
    return _unsigned(block) or _odd_id(block) is not None


def _odd_id(block: Any) -> str | None:
    """The member that holds an id which Anthropic would refuse."""
    kind = block.get("type") if isinstance(block, dict) else None
    name = {"tool_use": "id", "tool_result": "tool_use_id"}.get(kind) if isinstance(kind, str) else None
    identity = block.get(name) if name else None
    return name if isinstance(identity, str) and identity and _PLAIN_ID.fullmatch(identity) is None else None


def _mended(block: Any) -> Any:
    name = _odd_id(block)
    return block if name is None else {**block, name: safe_id(block[name])}


def filled(message: Json) -> Json:
    """A message, whole or of `message_start`, with what servers of this dialect leave out and Anthropic's SDKs take for
    given, but for its usage: what nobody told is not 0. Itself when nothing is missing."""
    due: Json = {"type": "message", "role": "assistant", "content": [], "stop_reason": None, "stop_sequence": None}
    missing = {name: value for name, value in due.items() if name not in message}
    return {**message, **missing} if missing else message


class NativeReader(MessageReader):
    """Gives out answers as they came; measures them as chat."""

    dialect: Dialect = MESSAGES

    def read_body(self, reply: UpstreamReply) -> Json:
        """A whole answer as the hub has it. Raises Fault for what is none."""
        return right_message(filled(message_in(reply)))

    def fold(self, items: list[StreamItem]) -> Json:
        """The message that the events of a stream add up to."""
        return right_message(filled(fold_events(items)))

    def measure(self, body: Json) -> Answer:
        """A whole answer with what it comes to: its usage, why it ended, the size of its text."""
        found = measure_chat(completion_of(self.call, body, self.reading))
        return replace(found, body=body, dialect=self.dialect, shorten=shorten_message, unfold=self._chunks)

    def _chunks(self, body: Json) -> list[StreamItem]:
        return list(unfold(completion_of(self.call, body, self.reading), True))

    def make_decoder(self) -> StreamDecoder:
        """A fresh decoder for the streamed answer."""
        return NativeDecoder(self.clean, "msg_" + self.call.id.removeprefix("req_"))

    def open_tally(self, choices: int) -> Tally:
        """A fresh tally for the items of the stream."""
        return MessagesTally()

    def unfold(self, reply: UpstreamReply) -> list[StreamItem]:
        """See `gateway.api.Reader`: as chat chunks, which relay and tally take, too."""
        return self._chunks(self.read_reply(reply).body)


class NativeDecoder(EventDecoder):
    """Reads a streamed answer and passes its events on as the JSON bytes of their data. Only `message_stop` stays here:
    the caller hears it once the call is billed. clean: applied to every fault. message_id: for an answer without one.
    """

    def __init__(self, clean: Callable[[Fault], Fault] | None = None, message_id: str = "msg_0") -> None:
        super().__init__(clean)
        self._message_id: str | None = None
        self._repair = StreamRepair(message_id)

    def passes_on(self, head: bytes) -> bool:
        """Whether an event that begins with the next byte, and so, would pass unread."""
        return self.is_between and head.startswith(DELTA) and self._repair.passes(head)

    def read(self, payloads: list[bytes], out: list[StreamItem]) -> None:
        """Pass events on, the frequent ones unread. Raises UpstreamFault for an error event, and for nonsense."""
        for payload in payloads:
            if self._repair.passes(payload) and payload[-1:] == b"}" and not _may_hold_odd_numbers(payload):
                out.append(payload)
                continue
            if payload == b"[DONE]":
                continue  # not Anthropic's, but some servers of this dialect add it
            event, payload = _parsed(payload)
            if self._passes(event):
                out += self._repair.take(event, payload)
            elif self.done:
                return

    def _passes(self, event: Any) -> bool:
        """Whether the caller is to see this event. Raises UpstreamFault for an error event, and for nonsense."""
        kind = event.get("type") if isinstance(event, dict) else None
        if not isinstance(kind, str) or not kind.isprintable():
            return False
        if kind == "error":
            raise fault_from_error(event, None)
        if kind == "message_stop":
            self.done = True
            return False
        return kind != "message_start" or self._begins(event)

    def _begins(self, event: Json) -> bool:
        message = event.get("message")
        identity = text_of(message.get("id")) if isinstance(message, dict) else ""
        if self._message_id is None:
            self._message_id = identity
            return True
        if identity == self._message_id:
            return False
        # What was sent of the first answer cannot be taken back, and a half tool call must not be run.
        raise UpstreamFault(
            "The model's provider began a second answer inside the first; try again.",
            code="upstream_invalid_response",
            detail=f"message_start {identity[:100]!r} while {self._message_id[:100]!r} was open",
        )


def _may_hold_odd_numbers(payload: bytes) -> bool:
    """Whether a number in it may be none: Python's own writer makes such JSON, and the callers' parsers refuse it."""
    return b"NaN" in payload or b"Infinity" in payload


def _parsed(payload: bytes) -> tuple[Any, bytes]:
    """The event, and its JSON: the given bytes unless they had to be mended. Raises UpstreamFault for no JSON."""
    try:
        return orjson.loads(payload), payload
    except orjson.JSONDecodeError:
        pass
    try:
        event = load_mended(payload)
        return event, dump(event).encode()
    except (orjson.JSONDecodeError, orjson.JSONEncodeError):
        raise nonsense("The provider sent a stream event that is not JSON.", payload) from None
