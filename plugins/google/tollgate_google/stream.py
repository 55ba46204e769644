"""A streamed answer of Gemini as chat chunks: bytes in, chunks out, at any split.

Source: Google's API reference, streamGenerateContent with `alt=sse`: every event is a GenerateContentResponse with the
next parts of each candidate; there is no end mark, the last one has a finishReason (older models: every one), and an
error comes as `{"error": {...}}`. `usageMetadata` is cumulative.

Chunks come out in OpenAI's order: the role, the deltas, a chunk with finish_reason for each choice when the stream has
ended, and a chunk with `choices: []` that carries the usage. Every chunk carries the usage known by then, so that an
answer that is cut short is billed for what it was.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from gateway.api import (
    Call,
    Fault,
    JsonEventDecoder,
    StreamItem,
    UpstreamFault,
    dict_of,
    text_of,
    writable,
)

from .choice import Choice, Delta
from .faults import fault_from_event
from .reading import BLOCKED, BROKEN_CALLS, FAILED, FILTERED, WITHOUT_PICTURE, Reading, finish_of, refusal
from .usage import service_tier, translate_usage

CALL = b'"functionCall"'
"""In the events that hold arguments, whose numbers must keep their digits."""

_TAKEN = frozenset({"candidates", "usageMetadata", "responseId", "error"})
_USUAL = frozenset({"candidates", "usageMetadata", "responseId", "modelVersion"})
"""What most events have. The version of the model is that of the first."""
_MOST_CANDIDATES = 1000
_OURS = frozenset({"id", "object", "created", "model", "choices", "usage"})


class EventStreamDecoder(JsonEventDecoder):
    """Reads streams of GenerateContentResponses, whatever is made of them."""

    exact = CALL

    def take_other(self, value: Any, out: list[StreamItem]) -> None:
        """Errors come wrapped in a list from some of Google's front ends."""
        if type(value) is list and len(value) == 1 and type(value[0]) is dict:
            self.take(value[0], out)


class GeminiDecoder(EventStreamDecoder):
    """Reads one streamed answer. clean: applied to every fault."""

    def __init__(self, call: Call, reading: Reading, clean: Callable[[Fault], Fault] | None = None) -> None:
        super().__init__(clean)
        self._translate = ChunkTranslator(call, reading)

    def take(self, event: dict[str, Any], out: list[StreamItem]) -> None:
        """Translate one response."""
        self._translate.feed(event, out)

    def end(self, out: list[StreamItem]) -> None:
        """The chunks that close an answer which had its finishReason."""
        if self._translate.complete:
            self._translate.end(out)
            self.done = True


class ChunkTranslator:
    """The same, one level up: parsed GenerateContentResponses in, chat chunks out."""

    def __init__(self, call: Call, reading: Reading) -> None:
        self._reading = reading
        self._seed = call.id
        self._envelope: dict[str, Any] = {
            "id": call.id,
            "object": "chat.completion.chunk",
            "created": call.created,
            "model": call.model,
        }
        self._begun = False
        self._choices: dict[int, Choice] = {}
        self._usage: dict[str, Any] | None = None
        self._raw_usage: dict[str, Any] = {}
        self._extra: dict[str, Any] = {}
        self._blocked = ""

    @property
    def complete(self) -> bool:
        """Whether the answer is whole: every candidate has its finishReason, or the prompt was blocked."""
        if self._choices:
            return all(choice.reason for choice in self._choices.values())
        return bool(self._blocked)

    def feed(self, event: dict[str, Any], out: list[StreamItem]) -> None:
        """Take one response; append the chunks it makes. Raises a Fault for an error, and for nonsense."""
        if not self._begun or not event.keys() <= _USUAL:
            self._look(event)
        usage = event.get("usageMetadata")
        if type(usage) is dict:
            self._count(usage)
        candidates = event.get("candidates")
        if type(candidates) is list:
            for place, candidate in enumerate(candidates):
                if type(candidate) is dict:
                    self._candidate(candidate, place, out)

    def end(self, out: list[StreamItem]) -> None:
        """Append what closes the answer. Raises UpstreamFault when the model gave none."""
        if not self._choices:
            self._refuse_prompt(out)
        else:
            self._check_failure()
        searches = 0
        for choice in self._choices.values():
            deltas, end = choice.end()
            self._put(choice.index, deltas, None, out)
            searches += choice.searches
            last = {**end, "index": choice.index, "logprobs": None}
            out.append({**self._extra, **self._envelope, "choices": [last]})
            self._extra = {}
        usage = self._usage
        if usage is None:
            return
        if searches:
            usage = {**usage, "server_tool_use_details": {"web_search_requests": searches}}
        chunk: dict[str, Any] = {**self._envelope, "choices": [], "usage": writable(usage)}
        tier = service_tier(self._raw_usage)
        if tier:
            chunk["service_tier"] = tier
        out.append(chunk)

    def _look(self, event: dict[str, Any]) -> None:
        """Everything of a response but its candidates and usage."""
        if event.get("error"):
            raise fault_from_event(event)
        identity = text_of(event.get("responseId"))
        if identity and not self._begun:
            self._envelope["id"] = self._seed = identity
        self._begun = True
        feedback = event.get("promptFeedback")
        if feedback is not None:
            self._blocked = text_of(dict_of(feedback).get("blockReason")) or self._blocked
        for key, value in event.items():
            if key not in _TAKEN and value is not None and key not in _OURS:
                self._extra[key] = value if type(value) is str else writable(value)

    def _count(self, raw: dict[str, Any]) -> None:
        usage = translate_usage(raw)
        if usage is not None:
            # Reports are cumulative, and each is complete: an older one is replaced as a whole.
            self._usage, self._raw_usage = usage, raw

    def _candidate(self, candidate: dict[str, Any], place: int, out: list[StreamItem]) -> None:
        at = place_of(candidate, place)
        choice = self._choices.get(at)
        if choice is None:
            choice = self._choices[at] = Choice(at, self._reading, self._seed)
            self._put(at, [{"role": "assistant", "content": ""}], None, out)
        deltas, logprobs = choice.feed(candidate)
        if deltas or logprobs is not None:
            self._put(at, deltas or [{}], logprobs, out)

    def _put(self, index: int, deltas: list[Delta], logprobs: dict[str, Any] | None, out: list[StreamItem]) -> None:
        for delta in deltas:
            chunk: dict[str, Any] = {
                **self._envelope,
                "choices": [{"index": index, "delta": delta, "logprobs": logprobs, "finish_reason": None}],
            }
            if self._usage is not None:
                chunk["usage"] = self._usage
            out.append(chunk)
            logprobs = None

    def _refuse_prompt(self, out: list[StreamItem]) -> None:
        """A blocked prompt is an answer that was filtered before it began."""
        self._put(0, [{"role": "assistant", "content": ""}], None, out)
        said = dict_of(self._extra.get("promptFeedback")).get("blockReasonMessage")
        choice = {
            "index": 0,
            "delta": {"refusal": refusal(BLOCKED, self._blocked, said)},
            "logprobs": None,
            "finish_reason": FILTERED,
            "native_finish_reason": self._blocked,
        }
        out.append({**self._extra, **self._envelope, "choices": [choice]})
        self._extra = {}

    def _check_failure(self) -> None:
        """Raise the fault for a model that broke off, unless another choice came of it: words that it said before are
        no whole answer, except in the place of a picture."""
        for choice in self._choices.values():
            if finish_of(choice.reason) != FAILED or (choice.said and choice.reason in WITHOUT_PICTURE):
                return
        raise broken_off(next(iter(self._choices.values())).reason)


def broken_off(reason: str) -> UpstreamFault:
    """The fault of a model that ended with a `finishReason` which is FAILED."""
    if reason in BROKEN_CALLS:
        return UpstreamFault(
            "The model made a tool call that cannot be read; try again, or simplify the tools.",
            code="upstream_malformed_tool_call",
            retryable=True,
            detail=reason,
        )
    return UpstreamFault(
        f"The model broke off its answer ({reason[:60]}); try again.",
        code="upstream_no_answer",
        retryable=True,
        detail=reason,
    )


def place_of(candidate: dict[str, Any], place: int) -> int:
    """The index of a candidate; the place where it stands when it names none."""
    index = candidate.get("index")
    return index if type(index) is int and 0 <= index < _MOST_CANDIDATES else place
