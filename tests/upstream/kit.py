"""Bare parts of `gateway.upstream`: an exchange that notes what is done to it, a transport that answers as told."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import orjson

from gateway.api import Attempt, Call, ChatReader, Fault, Profile, Relay, Target, UpstreamRequest
from gateway.provider import Sink
from gateway.upstream.timeouts import Limits
from gateway.wire.chat.encoder import ChatRelay

LIMITS = Limits(first_byte=5, idle=5, total=30, max_reply=10_000, max_event=1_000)
JSON = {"content-type": "application/json"}
EVENTS = {"content-type": "text/event-stream"}


class FakeExchange:
    """The running request, seen from the sink's side."""

    def __init__(self) -> None:
        self.did: list[str] = []

    def pause(self) -> None:
        self.did.append("pause")

    def resume(self) -> None:
        self.did.append("resume")

    def cancel(self) -> None:
        self.did.append("cancel")


Play = Callable[[Sink], None]


class FakeTransport:
    """Answers each request with the next of `plays`, at once; the last one again when there are no more."""

    def __init__(self, *plays: Play) -> None:
        self.plays = list(plays)
        self.sent: list[dict[str, Any]] = []
        self.exchanges: list[FakeExchange] = []

    def send(self, request: UpstreamRequest, sink: Sink) -> FakeExchange:
        self.sent.append(orjson.loads(request.body))
        exchange = FakeExchange()
        self.exchanges.append(exchange)
        play = self.plays.pop(0) if len(self.plays) > 1 else self.plays[0]
        play(sink)
        return exchange


class FakeProvider:
    """Speaks chat to any transport; says of each parameter `x...` that it is not carried."""

    transport = None

    def __init__(self, name: str = "test") -> None:
        self.name = name

    def profile(self, target: Target) -> Profile:
        return target.profile

    def prepare(self, call: Call, target: Target) -> Attempt:
        for name in call.body:
            if name.startswith("x") and target.upstream == "picky":
                call.report_dropped(name)
        data = orjson.dumps({**call.body, "model": target.upstream})
        return Attempt(UpstreamRequest("http://test", {}, data, stream=call.stream), ChatReader(call))

    def bound_input_tokens(self, body: Mapping[str, Any], target: Target) -> int:
        return 1


class Outlet:
    """The caller's connection."""

    def __init__(self) -> None:
        self.data = b""

    def write(self, data: bytes) -> None:
        self.data += data


def says(status: int, body: bytes, headers: Mapping[str, str] = JSON, fault: Fault | None = None) -> Play:
    """An answer of one piece that then ends."""

    def play(sink: Sink) -> None:
        sink.head(status, headers)
        sink.data(body)
        sink.end(fault)

    return play


def hangs(sink: Sink) -> None:
    """Nothing ever comes."""


def chat_relay(dialect: str = "chat") -> Relay:
    return ChatRelay("ours/m", False)
