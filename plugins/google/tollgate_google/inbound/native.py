"""The native path: a generateContent request for an upstream that speaks the same dialect.

The caller's body goes out as it was written, and the answer comes back as it came. What the gateway itself decides (the
model, the output limit) is replaced, and what the gateway sealed into signatures of other providers is taken out.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from gateway.api import (
    Answer,
    Call,
    Dialect,
    Fault,
    StreamDecoder,
    StreamItem,
    Tally,
    UpstreamReply,
    dict_of,
    dicts_of,
    measure_chat,
    nonsense,
    text_of,
)
from tollgate_google.choice import check_named
from tollgate_google.details import SKIP
from tollgate_google.faults import fault_from_event
from tollgate_google.reading import FAILED, finish_of
from tollgate_google.reply import GeminiReader, completion_of, responses_in
from tollgate_google.stream import EventStreamDecoder, broken_off, place_of

from .joining import joined
from .sealing import envelope_in
from .shortening import shorten_reply
from .spelling import camel
from .tally import GenerateTally

Json = dict[str, Any]

GENERATE = "google.generate"
"""The name of Google's dialect, for `Call.forms` and `Provider.dialects`."""


def native_body(call: Call, safety: dict[str, str]) -> Json:
    """The upstream body. safety: the operator's thresholds by category, for requests that bring none."""
    out = {key: value for key, value in camel(call.body).items() if key != "model"}
    if call.max_output is not None:
        given = out.get("generationConfig")
        config = camel(given) if isinstance(given, dict) else {}
        _fit_thinking(config, call.max_output)
        out["generationConfig"] = {**config, "maxOutputTokens": call.max_output}
    if safety and not out.get("safetySettings"):
        out["safetySettings"] = [{"category": name, "threshold": level} for name, level in safety.items()]
    if isinstance(out.get("contents"), list):
        out["contents"] = [_unsealed(content) for content in out["contents"]]
    return out


def _fit_thinking(config: Json, room: int) -> None:
    """A budget that was right for what was asked, and is too large for what the gateway allows."""
    thinking, asked = config.get("thinkingConfig"), config.get("maxOutputTokens")
    thinking = camel(thinking) if isinstance(thinking, dict) else {}
    budget = thinking.get("thinkingBudget")
    if type(budget) is int and type(asked) is int and room <= budget < asked:
        config["thinkingConfig"] = {**thinking, "thinkingBudget": room * 4 // 5}


def _unsealed(content: Any) -> Any:
    parts = content.get("parts") if isinstance(content, dict) else None
    if not isinstance(parts, list) or not any(_sealed(part) for part in parts):
        return content
    return {**content, "parts": [_open(part) if _sealed(part) else part for part in parts]}


def _sealed(part: Any) -> bool:
    signature = (part.get("thoughtSignature") or part.get("thought_signature")) if isinstance(part, dict) else None
    return bool(envelope_in(signature))


def _open(part: Json) -> Json:
    out = {key: value for key, value in camel(part).items() if key != "thoughtSignature"}
    # Gemini 3 refuses calls of other models without this.
    return {**out, "thoughtSignature": SKIP} if "functionCall" in out else out


class NativeReader(GeminiReader):
    """Gives out answers as they came, streams as the parsed events; measures them as chat."""

    dialect: Dialect = GENERATE

    def read_body(self, reply: UpstreamReply) -> Json:
        """See `ChatReader`. Raises Fault for what is none, and for an error in spite of the status."""
        responses = responses_in(reply)
        if not responses:
            raise nonsense("The provider's answer is not one response.", reply.body)
        return responses[0] if len(responses) == 1 else joined(responses)

    def fold(self, items: list[StreamItem]) -> Json:
        """The one response that those of a stream add up to."""
        return joined([item for item in items if isinstance(item, dict)])

    def measure(self, body: Json) -> Answer:
        """A whole answer with what it comes to: its usage, why it ended, the size of its text."""
        found = measure_chat(completion_of(self.call, [body], self.reading))
        return replace(found, body=body, dialect=self.dialect, shorten=shorten_reply, unfold=lambda whole: [whole])

    def make_decoder(self) -> StreamDecoder:
        """A fresh decoder for the streamed answer."""
        return NativeDecoder(self.clean)

    def open_tally(self, choices: int) -> Tally:
        """A fresh tally for the items of the stream."""
        return GenerateTally(self.reading)

    def unfold(self, reply: UpstreamReply) -> list[StreamItem]:
        """See `gateway.api.Reader`: a whole answer is an event like any other."""
        try:
            responses = responses_in(reply)
            completion_of(self.call, responses, self.reading)
        except Fault as fault:
            raise self.clean(fault) from None
        return list(responses)


class NativeDecoder(EventStreamDecoder):
    """Reads a streamed answer and passes its events on, parsed. There is no end mark: the answer is whole when every
    candidate gave its reason. clean: applied to every fault.
    """

    def __init__(self, clean: Callable[[Fault], Fault] | None = None) -> None:
        super().__init__(clean)
        self._open: dict[int, bool] = {}
        self._blocked = self._said = False
        self._reasons: list[str] = []

    def take(self, event: Json, out: list[StreamItem]) -> None:
        """Pass one response on. Raises the fault that an error means, or an answer that broke off before it began."""
        if event.get("error"):
            raise fault_from_event(event)
        feedback = event.get("promptFeedback")
        self._blocked = self._blocked or (isinstance(feedback, dict) and bool(feedback.get("blockReason")))
        for place, candidate in enumerate(dicts_of(event.get("candidates"))):
            at = place_of(candidate, place)
            reason = text_of(candidate.get("finishReason"))
            self._open[at] = self._open.get(at, True) and not reason
            parts = dicts_of(dict_of(candidate.get("content")).get("parts"))
            self._said = self._said or any(part and part.get("text") != "" for part in parts)
            for part in parts:
                check_named(dict_of(part.get("functionCall", part.get("function_call"))))
            if reason:
                self._reasons.append(reason)
        if self._reasons and not self._said and not any(self._open.values()):
            if all(finish_of(reason) == FAILED for reason in self._reasons):
                raise broken_off(self._reasons[0])
        out.append(event)

    def end(self, out: list[StreamItem]) -> None:
        """Whether the answer is whole."""
        self.done = self._blocked if not self._open else not any(self._open.values())
