"""OpenAI's older `POST /completions` at the door, for every model.

A request has two forms: its own words, for a target that has this API itself (its profile's dialects name
`COMPLETIONS`), and a chat, by which it is held and billed, and which every other target gets. Readers of the former
give out chat chunks as well (`CompletionsReader`), so there is one way back.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from gateway.call import Call, Form
from gateway.dialect import InboundCall, Relay, Watch, bearer
from gateway.errors import Fault
from gateway.profile import COMPLETIONS, Dialect
from gateway.provider import Answer, StreamItem
from gateway.wire.chat.encoder import ChatRelay
from gateway.wire.completions import TextAnswers, chat_of, prompts_of, validate_completion
from gateway.wire.errors.render import error_bytes, stream_error_event
from gateway.wire.sse import encode_data

_DATA = b"data: "


class CompletionsDialect:
    """Reads a prompt, and writes texts; an `InboundDialect`."""

    name = COMPLETIONS
    turns = "prompt"

    def credential(self, headers: Mapping[str, str], query: Mapping[str, str]) -> str:
        return bearer(headers)

    def open(self, call: Call, body: dict[str, Any], values: Mapping[str, str]) -> InboundCall:
        validate_completion(body)
        chat, fault = chat_of(body)
        call.operation = COMPLETIONS
        call.body = chat
        call.model = body.get("model") or ""
        call.stream = body.get("stream") is True
        call.forms = {"chat": Form(chat, fault=fault), COMPLETIONS: Form(body)}
        echo = prompts_of(body)[0] if body.get("echo") else ""
        return _TextCall(call, echo if isinstance(echo, str) else "")

    def error_body(self, fault: Fault, request_id: str) -> bytes:
        return error_bytes(fault, request_id)


class _TextCall:
    """echo: the prompt, where it shall stand before its answer."""

    def __init__(self, call: Call, echo: str) -> None:
        self._call = call
        self._echo = echo

    def relay(self, watch: Watch | None, dialect: Dialect = "chat") -> Relay:
        body = self._call.body
        options = body.get("stream_options") or {}
        inner = ChatRelay(self._call.model, options.get("include_usage") is True, body.get("n") or 1, watch)
        return _TextRelay(inner, self._answers(dialect))

    def whole(self, answer: Answer) -> dict[str, Any]:
        return {**self._answers(answer.dialect).whole(answer.body), "usage": answer.usage}

    def _answers(self, dialect: Dialect) -> TextAnswers:
        # A target that was asked in these very words has done it itself.
        return TextAnswers(self._call.model, "" if dialect == COMPLETIONS else self._echo)


class _TextRelay:
    """A chat's stream in the words of completions: what is held back, and where usage rides, is the chat relay's
    matter; each of its events is said anew."""

    def __init__(self, inner: ChatRelay, answers: TextAnswers) -> None:
        self._inner = inner
        self._answers = answers

    def feed(self, items: list[StreamItem]) -> tuple[bytes, Fault | None]:
        out, fault = self._inner.feed(items)
        return self._say(out), fault

    def cut(self) -> None:
        self._inner.cut()

    def finish(self, usage: Mapping[str, Any]) -> bytes:
        return self._say(self._inner.finish(usage))

    def fail(self, fault: Fault, request_id: str) -> bytes:
        event = stream_error_event(fault, request_id)
        held = self._inner.fail(fault, request_id).removesuffix(event)
        return self._say(held) + event

    def _say(self, events: bytes) -> bytes:
        out: list[bytes] = []
        for event in events.split(b"\n\n"):
            if not event:
                continue
            data = event.removeprefix(_DATA)
            chunk = orjson.loads(data) if data[:1] == b"{" else None
            if chunk is None:
                out.append(event + b"\n\n")
                continue
            said = self._answers.chunk(chunk)
            if said is not None:
                out.append(encode_data(orjson.dumps(said)))
        return b"".join(out)
