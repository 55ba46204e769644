"""What a stream in Google's dialect comes to, for the bill."""

from __future__ import annotations

from typing import Any

from gateway.api import Fault, StreamItem, WrittenTokens, dict_of, dicts_of, dump
from tollgate_google.grounding import searches_of
from tollgate_google.reading import Reading, finish_of
from tollgate_google.stream import place_of
from tollgate_google.usage import translate_usage

Json = dict[str, Any]


class GenerateTally:
    """Implements `gateway.api.Tally` for GenerateContentResponses, parsed."""

    def __init__(self, reading: Reading) -> None:
        self.finish_reason = ""
        self.text_bytes = 0
        self.chunks = 0
        self._reading = reading
        self._reasons: dict[int, str] = {}
        self._counts: Json | None = None
        self._grounding: dict[int, Json] = {}
        self._blocked = False
        self._tokens = WrittenTokens()
        self.opening = True

    @property
    def text_tokens(self) -> float:
        """The tokens that all text so far is expected to make."""
        return self._tokens.count

    @property
    def complete(self) -> bool:
        """Whether the answer came to its end."""
        return self._blocked or (bool(self._reasons) and all(self._reasons.values()))

    @property
    def usage(self) -> Json | None:
        """See `Tally`: the counts so far, with the web searches, which cost apart."""
        searches = sum(searches_of(found, self._reading.every_search) for found in self._grounding.values())
        if self._counts is None or not searches:
            return self._counts
        return {**self._counts, "server_tool_use_details": {"web_search_requests": searches}}

    def add(self, items: list[StreamItem]) -> list[StreamItem]:
        """Take what the decoder gave."""
        for item in items:
            if isinstance(item, Fault):
                break
            if isinstance(item, dict):
                self._count(item)
        return items

    def cut(self) -> None:
        """The gateway ends the answer here."""
        if not self.complete:
            self.finish_reason = "length"

    def _count(self, event: Json) -> None:
        counts = event.get("usageMetadata")
        usage = translate_usage(counts) if isinstance(counts, dict) else None
        if usage is not None:
            self._counts = usage
        size = 0
        opens = "choices" not in event
        for place, candidate in enumerate(dicts_of(event.get("candidates"))):
            at = place_of(candidate, place)
            self._reasons.setdefault(at, "")
            for part in dicts_of(dict_of(candidate.get("content")).get("parts")):
                size += self._part_size(part)
                opens = opens and not any(part.values())
            grounding = candidate.get("groundingMetadata")
            if isinstance(grounding, dict):
                self._grounding.setdefault(at, {}).update(grounding)
            reason = candidate.get("finishReason")
            if isinstance(reason, str) and reason:
                self._reasons[at] = reason
                self.finish_reason = finish_of(reason) or "stop"
                opens = False
        self.opening = self.opening and opens
        if size:
            self.chunks += 1
            self.text_bytes += size
        if dict_of(event.get("promptFeedback")).get("blockReason"):
            self._blocked, self.finish_reason = True, "content_filter"
            self.opening = False

    def _part_size(self, part: Json) -> int:
        """Bytes of what the model wrote in a part: its text, or the call as it stands; not media."""
        text, add = part.get("text"), self._tokens.add
        if isinstance(text, str):
            return add(text)
        call = dict_of(part.get("functionCall") or part.get("function_call"))
        if call:
            name = call.get("name")
            args = [call[key] for key in ("args", "partialArgs") if call.get(key)]
            return (add(name) if isinstance(name, str) else 0) + sum(add(dump(given)) for given in args)
        code = dict_of(part.get("executableCode")).get("code")
        return add(code) if isinstance(code, str) else 0
