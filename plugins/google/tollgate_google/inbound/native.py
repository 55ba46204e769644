"""The native path: a generateContent request for an upstream that speaks the same dialect.

The caller's body goes out as it was written, and the answer comes back as it came. What the gateway itself decides (the
model, the output limit) is replaced, and what the gateway sealed into signatures of other providers is taken out.
"""

from __future__ import annotations

from typing import Any

import orjson

from gateway.api import (
    Answer,
    Call,
    Dialect,
    EventReader,
    Fault,
    StreamDecoder,
    StreamItem,
    Tally,
    UpstreamReply,
    dicts_of,
    load_exact,
    measure_chat,
    nonsense,
)
from tollgate_google.details import SKIP
from tollgate_google.faults import fault_from_event, tidy
from tollgate_google.reply import GeminiReader, completion_of, responses_in
from tollgate_google.stream import CALL

from .notes import camel
from .sealing import envelope_in
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
        """See `ChatReader`. An answer that is a list of responses is one whose last has the counts of all."""
        responses = responses_in(reply)
        if len(responses) != 1:
            raise nonsense("The provider's answer is not one response.", reply.body)
        return responses[0]

    def measure(self, body: Json) -> Answer:
        """A whole answer with what it comes to: its usage, why it ended, the size of its text."""
        found = measure_chat(completion_of(self.call, [body], self.reading))
        return Answer(body, self.dialect, found.usage, found.finish_reason, found.output_tokens)

    def make_decoder(self) -> StreamDecoder:
        """A fresh decoder for the streamed answer."""
        return NativeDecoder(self.secret)

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


class NativeDecoder:
    """Reads a streamed answer and passes its events on, parsed; implements `gateway.api.StreamDecoder`. There is
    no end mark: the answer is whole when every candidate gave its reason.

    secret: the operator's key, kept out of errors.
    """

    def __init__(self, secret: str = "") -> None:
        self.done = False
        self._events = EventReader()
        self._secret = secret
        self._over = False
        self._open: dict[int, bool] = {}
        self._blocked = False

    def feed(self, data: bytes) -> list[StreamItem]:
        """Take the next bytes; return the events they completed, and a Fault as the last item if one came."""
        if self._over:
            return []
        try:
            payloads = self._events.feed_data(data)
        except Fault as fault:
            return [self._fail(fault)]
        return self._read(payloads)

    def finish(self) -> list[StreamItem]:
        """The connection ended. A last event without its blank line counts when it is whole."""
        if self._over:
            return []
        event = self._events.finish()
        out = self._read([event.data]) if event is not None and _is_json(event.data) else []
        if not self._over:
            self._over = True
            self.done = self._blocked if not self._open else not any(self._open.values())
        return out

    def _read(self, payloads: list[bytes]) -> list[StreamItem]:
        out: list[StreamItem] = []
        for payload in payloads:
            if payload == b"[DONE]":
                continue  # not Google's, but some servers of this dialect add it
            try:
                event = load_exact(payload) if CALL in payload else orjson.loads(payload)
                if type(event) is list and len(event) == 1:
                    event = event[0]
                if type(event) is not dict:
                    continue
                if event.get("error"):
                    raise fault_from_event(event)
            except orjson.JSONDecodeError:
                out.append(self._fail(nonsense("The provider sent a stream event that is not JSON.", payload)))
                break
            except Fault as fault:
                out.append(self._fail(fault))
                break
            self._note(event)
            out.append(event)
        return out

    def _note(self, event: Json) -> None:
        feedback = event.get("promptFeedback")
        self._blocked = self._blocked or (isinstance(feedback, dict) and bool(feedback.get("blockReason")))
        for place, candidate in enumerate(dicts_of(event.get("candidates"))):
            index = candidate.get("index")
            at = index if type(index) is int and 0 <= index < 1000 else place
            self._open[at] = self._open.get(at, True) and not candidate.get("finishReason")

    def _fail(self, fault: Fault) -> Fault:
        self._over = True
        return tidy(fault, self._secret)


def _is_json(data: bytes) -> bool:
    try:
        orjson.loads(data)
    except orjson.JSONDecodeError:
        return False
    return True
