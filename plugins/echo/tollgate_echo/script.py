"""What is sent when: an answer as a sequence of timed steps. Pure; `transport.py` plays it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import orjson

from gateway.api import Fault, UpstreamFault, encode_data, encode_event
from tollgate_echo.answer import Answer
from tollgate_echo.encode import answer_id, completion, events

GARBAGE = b'{"id": "chatcmpl-echo", "choices": [{"delta": '
"""Cut-off JSON, for `garbage_after`."""


@dataclass(slots=True, frozen=True)
class Head:
    """Status and headers (lower-case names)."""

    status: int
    headers: Mapping[str, str]


@dataclass(slots=True, frozen=True)
class Data:
    """Bytes of the body; paced ones carry a token and wait for their turn."""

    chunk: bytes
    wait: float = 0.0


@dataclass(slots=True, frozen=True)
class End:
    """The exchange ends: well, or with a fault of the connection."""

    fault: Fault | None = None


@dataclass(slots=True, frozen=True)
class Stall:
    """Nothing follows any more, and the connection stays open."""


@dataclass(slots=True, frozen=True)
class Wait:
    """Pass the time, in seconds."""

    seconds: float


Step = Head | Data | End | Stall | Wait


@dataclass(slots=True)
class Timing:
    """Seconds before the head, and between tokens."""

    delay: float = 0.0
    pace: float = 0.0


def script(answer: Answer, timing: Timing) -> Iterator[Step]:
    """All steps of one exchange. The last one is End or Stall."""
    asked = answer.directives
    delay = timing.delay if asked.delay is None else asked.delay
    pace = timing.pace if asked.pace is None else asked.pace
    if delay:
        yield Wait(delay)
    if asked.connect == "refused":
        yield End(UpstreamFault("The provider cannot be reached.", retryable=True, code="upstream_unreachable"))
    elif asked.fail is not None:
        yield from _failure(answer)
    elif answer.stream:
        yield Head(200, _headers(answer, "text/event-stream; charset=utf-8"))
        yield from _sliced(_stream(answer, pace), asked.slice)
    else:
        yield from _whole(answer, pace)


def _failure(answer: Answer) -> Iterator[Step]:
    asked = answer.directives
    headers = dict(_headers(answer, "application/json"))
    if asked.retry_after is not None:
        headers["retry-after"] = f"{asked.retry_after:g}"
    yield Head(asked.fail or 500, headers)
    yield Data(_error_body(asked.message or f"The echo model was asked to fail with {asked.fail}.", "echo_failure"))
    yield End()


def _stream(answer: Answer, pace: float) -> Iterator[Step]:
    """The body of a stream; what goes wrong after N tokens happens before the next token, or before the finish."""
    sent = 0
    garbage_due = answer.directives.garbage_after is not None
    begun = False
    for is_token, payload in events(answer):
        if is_token or begun:
            trouble = _trouble(answer, sent)
            if trouble is not None:
                yield from trouble
                return
            if garbage_due and sent == answer.directives.garbage_after:
                garbage_due = False
                yield Data(encode_data(GARBAGE))
        yield Data(encode_data(payload), pace if is_token else 0.0)
        if is_token:
            begun = True
            sent += 1
    if answer.directives.done:
        yield Data(b"data: [DONE]\n\n")
    yield End()


def _trouble(answer: Answer, sent: int) -> list[Step] | None:
    """The steps that end the stream early, when their position is reached."""
    asked = answer.directives
    if asked.cut_after == sent:
        return [End(_lost())]
    if asked.eof_after == sent:
        return [End()]
    if asked.stall_after == sent:
        return [Stall()]
    message = asked.message or f"The echo model was asked to fail after {sent} tokens."
    if asked.error_event_after == sent:
        return [Data(encode_data(_error_body(message, "echo_failure"))), End()]
    if asked.fail_after == sent:
        flat = {"type": "error", "code": "echo_failure", "message": message, "param": None}
        return [Data(encode_event("error", orjson.dumps(flat))), End()]
    return None


def _whole(answer: Answer, pace: float) -> Iterator[Step]:
    """An answer in one piece: the trouble directives, at any position, spoil the whole body."""
    asked = answer.directives
    if pace:
        yield Wait(pace * answer.completion_tokens)
    body = completion(answer)
    yield Head(200, _headers(answer, "application/json"))
    if asked.stall_after is not None:
        yield Stall()
        return
    if asked.cut_after is not None:
        yield Data(body[: len(body) // 2])
        yield End(_lost())
        return
    if asked.garbage_after is not None or asked.eof_after is not None:
        body = body[: len(body) // 2]
    elif asked.error_event_after is not None or asked.fail_after is not None:
        body = _error_body(asked.message or "The echo model was asked to fail.", "echo_failure")
    yield from _sliced(iter([Data(body)]), asked.slice)
    yield End()


def _sliced(steps: Iterator[Step], size: int) -> Iterator[Step]:
    """Bytes in pieces of `size`, 0 for as they are."""
    for step in steps:
        if not size or not isinstance(step, Data):
            yield step
            continue
        for start in range(0, len(step.chunk), size):
            yield Data(step.chunk[start : start + size], 0.0 if start else step.wait)


def _headers(answer: Answer, media_type: str) -> dict[str, str]:
    return {"content-type": media_type, "x-request-id": "req_" + answer_id(answer).removeprefix("chatcmpl-")}


def _error_body(message: str, code: str) -> bytes:
    return orjson.dumps({"error": {"message": message, "type": "server_error", "param": None, "code": code}})


def _lost() -> UpstreamFault:
    return UpstreamFault(
        "The provider's connection broke before the answer was complete.", retryable=True, code="upstream_disconnected"
    )
