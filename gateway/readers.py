"""Readers of the usual dialects, for providers to use as they are or to build on.

class Reader(ChatReader):
    def read_body(self, body):
        ...
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

import orjson

from gateway.call import Call
from gateway.errors import Fault, UpstreamFault
from gateway.profile import Dialect
from gateway.provider import Answer, ListedModel, StreamDecoder, StreamItem, Tally, UpstreamReply
from gateway.wire.chat.decoder import ChatStreamDecoder, read_completion
from gateway.wire.chat.fold import fold_stream, unfold
from gateway.wire.chat.repair import repair_completion
from gateway.wire.chat.tally import ChatTally
from gateway.wire.errors.parse import fault_from_openai_error
from gateway.wire.event_decoder import EventDecoder
from gateway.wire.lenient import nonsense
from gateway.wire.redact import redact_fault
from gateway.wire.shortening import shorten_completion
from gateway.wire.tokens import estimate_output_tokens
from gateway.wire.usage import find_usage

Json = dict[str, Any]


class ChatReader:
    """Reads what an OpenAI-compatible server says; gives out chat. Implements `gateway.provider.Reader`.

    A provider whose upstream speaks otherwise overrides `read_body`, `make_decoder` and `fault_of`, and `clean` where
    its faults may hold more than the secrets that it names. call: the call that the request was made for. secrets: the
    operator's credentials, kept out of every fault.

    names_in_pieces: whether a streamed call's name may go on in its next delta, as servers that copied chat send it; a
    name that is another's beginning (`get`, `get_weather`) then waits for what follows. False where each is told whole.
    """

    __slots__ = ("call", "secrets")

    dialect: Dialect = "chat"
    names_in_pieces: ClassVar[bool] = True

    def __init__(self, call: Call, secrets: Sequence[str] = ()) -> None:
        self.call = call
        self.secrets = secrets

    # What differs from provider to provider.

    def read_body(self, reply: UpstreamReply) -> Json:
        """A successful whole answer as a chat completion. Raises UpstreamFault when it makes no sense."""
        return read_completion(reply.body)

    def make_decoder(self) -> StreamDecoder:
        """A fresh decoder that gives chat chunks."""
        return ChatStreamDecoder(self.clean)

    def fault_of(self, reply: UpstreamReply) -> Fault:
        """What an error answer means."""
        return fault_from_openai_error(reply.status, reply.body, reply.headers)

    def clean(self, fault: Fault) -> Fault:
        """Applied to every fault before it is handed on: take the operator's secrets out of it."""
        return redact_fault(fault, self.secrets) if self.secrets else fault

    # What the gateway calls.

    def read_reply(self, reply: UpstreamReply) -> Answer:
        """A successful (2xx) whole answer, measured. Some servers stream it although nobody asked for a stream."""
        try:
            return self.measure(self._added_up(reply) if _is_events(reply.body) else self.read_body(reply))
        except Fault as fault:
            raise self.clean(fault) from None

    def fold(self, items: list[StreamItem]) -> Json:
        """The whole answer that the items of a stream add up to, each seen by the tally."""
        chunks: Any = (orjson.loads(item) if isinstance(item, bytes) else item for item in items)
        return fold_stream(chunks)

    def _added_up(self, reply: UpstreamReply) -> Json:
        decoder, choices = self.open_stream(), self.call.body.get("n")
        tally = self.open_tally(choices if type(choices) is int else 1)
        items = tally.add([*decoder.feed(reply.body), *decoder.finish()])
        if items and isinstance(items[-1], Fault):
            raise items[-1]
        if not (decoder.done or tally.complete):
            raise nonsense("The provider's answer ended before it was whole.", reply.body)
        return self.fold(items)

    def measure(self, body: Json) -> Answer:
        """A completion with what it comes to, once it is put right. Raises the Fault that it may mean."""
        repair_completion(body, chat_id(self.call), self.call.created, self._functions)
        return measure_chat(body)

    def is_stream(self, headers: Mapping[str, str]) -> bool:
        """Whether an answer with these headers is a stream, as far as can be told."""
        return not headers.get("content-type", "").startswith("application/json")

    def open_stream(self) -> StreamDecoder:
        """A fresh decoder for the streamed answer, whose faults are without secrets, too."""
        decoder = self.make_decoder()
        if isinstance(decoder, EventDecoder):
            decoder.clean_with(self.clean)
        return decoder

    def open_tally(self, choices: int) -> Tally:
        """A fresh tally for the items of the stream."""
        tools = self.call.body.get("tools") if self.names_in_pieces else None
        return ChatTally(choices, chat_id(self.call), self.call.created, functions=self._functions, tools=tools)

    @property
    def _functions(self) -> bool:
        """Whether the request that went out offers functions in their older form."""
        return self.call.body.get("functions") is not None

    def read_fault(self, reply: UpstreamReply) -> Fault:
        """The fault that an error answer (status >= 400) means, without secrets."""
        return self.clean(self.fault_of(reply))

    def unfold(self, reply: UpstreamReply) -> list[StreamItem]:
        """The stream's items for a whole answer that came although a stream was asked for."""
        return list(unfold(self.read_reply(reply).body, True))


class ItemDecoder:
    """Items of another decoder, each changed by itself; implements `gateway.provider.StreamDecoder`."""

    def __init__(self, decoder: StreamDecoder, change: Callable[[StreamItem], StreamItem]) -> None:
        self._decoder = decoder
        self._change = change

    @property
    def done(self) -> bool:
        """The other's."""
        return self._decoder.done

    @done.setter
    def done(self, value: bool) -> None:
        self._decoder.done = value

    def feed(self, data: bytes) -> list[StreamItem]:
        """Take the next bytes; return what they completed, changed."""
        return [self._change(item) for item in self._decoder.feed(data)]

    def finish(self) -> list[StreamItem]:
        """The connection ended; return what was still held back, changed."""
        return [self._change(item) for item in self._decoder.finish()]


_EVENTS = re.compile(rb"\s*(?:data|event|id|retry)?:")


def _is_events(body: bytes) -> bool:
    """Whether a body is a stream of events, whatever its headers call it; nothing that is JSON begins so."""
    return _EVENTS.match(body) is not None


def chat_id(call: Call) -> str:
    """The id of a completion whose provider gives it none."""
    return "chatcmpl-" + call.id.removeprefix("req_")


def measure_chat(body: Json) -> Answer:
    """A chat completion with what it comes to."""
    choices = body.get("choices")
    first = choices[0] if isinstance(choices, list) and choices else None
    reason = str(first.get("finish_reason") or "") if isinstance(first, dict) else ""
    usage = find_usage(body)
    written = estimate_output_tokens(body, usage=usage)
    return Answer(body, "chat", usage, reason, written, shorten_completion, _chunks)


def _chunks(body: Json) -> list[StreamItem]:
    return list(unfold(body, True))


def listed_models(
    reply: UpstreamReply,
    *,
    entries: str = "data",
    name: str = "id",
    contexts: Sequence[str] = (),
    outputs: Sequence[str] = (),
    keep: Callable[[Json], bool] = lambda entry: True,
) -> list[ListedModel]:
    """A provider's list of models, for `ListingProvider.read_models`.

    entries: the member that holds the list. name: of an entry's name. contexts, outputs: members of an entry that may
    tell its limits in tokens; the first that is a number counts. keep: which entries are models for the gateway.
    Raises UpstreamFault for an answer that is no list of models.
    """
    if reply.status >= 300:
        raise UpstreamFault(
            "The provider did not list its models.", upstream_status=reply.status, detail=repr(reply.body[:500])
        )
    try:
        data = orjson.loads(reply.body)[entries]
        return [
            ListedModel(entry[name], _limit(entry, contexts), _limit(entry, outputs))
            for entry in data
            if isinstance(entry, dict) and isinstance(entry.get(name), str) and keep(entry)
        ]
    except (ValueError, TypeError, KeyError) as error:
        raise UpstreamFault("The provider's list of models is none.", detail=repr(reply.body[:500])) from error


def _limit(entry: Json, names: Sequence[str]) -> int | None:
    return next((found for name in names if type(found := entry.get(name)) is int and 0 < found <= 10**9), None)
