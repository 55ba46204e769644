"""One candidate of an answer in the making: parts in, deltas of a chat choice out."""

from __future__ import annotations

import hashlib
from typing import Any

from gateway.api import Unfence, dict_of, dump, nonsense, text_of, writable

from .details import SIGNATURE, WHOLE_PART, Detail, extra_content
from .grounding import activity_of, annotations_of, searches_of
from .logprobs import translate_logprobs
from .partial import ArgumentWriter
from .reading import REFUSED, Reading, as_wav, finish_of, refusal

Delta = dict[str, Any]

_TAKEN = frozenset({"content", "finishReason", "index", "logprobsResult"})
_USUAL = frozenset({"content", "index"})
"""What a candidate has before its end."""
_TEXT_KEYS = frozenset({"text", "thought", "thoughtSignature", "thought_signature"})
_OTHER_DATA = frozenset({"functionCall", "function_call", "inlineData", "inline_data"})


def check_named(call: dict[str, Any]) -> None:
    """Raise the fault of a call, no piece of one, whose name is empty: nobody can run it."""
    if not text_of(call.get("name")) and "name" in call and not call.get("partialArgs") and "willContinue" not in call:
        raise nonsense("The provider's answer has a tool call without a name.")


class Choice:
    """Translates the parts of one candidate.

    seed: makes the ids of calls that come without one: the same answer always gets the same ids.
    reason: the finishReason once it came. searches: web searches that were run.
    """

    __slots__ = (
        "_calls", "_details", "_extra", "_grounding", "_images", "_length", "_open", "_pieces", "_reading", "_seed",
        "_signature", "_unfence", "_writer", "index", "reason",
    )  # fmt: skip

    def __init__(self, index: int, reading: Reading, seed: str) -> None:
        self.index = index
        self.reason = ""
        self._reading = reading
        self._seed = seed
        self._unfence = Unfence() if reading.json_text else None
        self._length = self._calls = self._details = self._images = 0
        self._pieces: list[str] = []
        self._extra: dict[str, Any] = {}
        self._grounding: dict[str, Any] = {}
        self._signature = ""  # of the last signed text
        self._open: int | None = None  # the call whose arguments are still coming
        self._writer = ArgumentWriter()

    @property
    def said(self) -> bool:
        """Whether there is any content or call."""
        return bool(self._length or self._calls or self._images)

    def feed(self, candidate: dict[str, Any]) -> tuple[list[Delta], dict[str, Any] | None]:
        """Take one candidate of one chunk: the deltas that it makes, and its log probabilities or None."""
        content = candidate.get("content")
        parts = content.get("parts") if type(content) is dict else None
        deltas: list[Delta] = []
        if type(parts) is list:
            for part in parts:
                if type(part) is dict:
                    self._part(part, deltas)
        if candidate.keys() <= _USUAL:
            return deltas, None
        reason = candidate.get("finishReason")
        if type(reason) is str and reason:
            self.reason = reason
        logprobs = None
        for key, value in candidate.items():
            if key not in _TAKEN and value is not None:
                if key == "groundingMetadata":
                    self._grounding.update(dict_of(value))
                self._extra[key] = writable(value)
            elif key == "logprobsResult":
                logprobs = translate_logprobs(value)
        return deltas, logprobs

    def _part(self, part: dict[str, Any], out: list[Delta]) -> None:
        text = part.get("text")
        if type(text) is str and (part.keys() <= _TEXT_KEYS or (text and part.keys().isdisjoint(_OTHER_DATA))):
            # A part holds one thing, and what stands beside a text (`partMetadata`) is about it.
            signature = part.get("thoughtSignature") or part.get("thought_signature")
            if part.get("thought") is True:
                if text:
                    out.append({"reasoning_content": text})
                if signature:
                    self._sign(out, signature, part="thought", text=text, at=self._length, calls=self._calls)
                return
            start = self._length
            self._say(text, out)
            if signature:
                self._sign(out, signature, part="text", start=start, end=self._length)
                self._signature = text_of(signature)
            return
        call = part.get("functionCall", part.get("function_call"))
        if type(call) is dict:
            self._call(call, part.get("thoughtSignature") or part.get("thought_signature"), out)
            return
        self._other(part, out)

    def _say(self, text: str, out: list[Delta]) -> None:
        if self._unfence is not None:
            text = self._unfence.push(text)
        if text:
            self._length += len(text)
            self._pieces.append(text)
            out.append({"content": text})

    def _sign(self, out: list[Delta], signature: Any, **where: Any) -> None:
        if type(signature) is str:
            self._detail(out, {"type": SIGNATURE, "signature": signature, **where})

    def _detail(self, out: list[Delta], entry: Detail) -> None:
        out.append({"reasoning_details": [{"index": self._details, **entry}]})
        self._details += 1

    def _call(self, call: dict[str, Any], signature: Any, out: list[Delta]) -> None:
        """A function call, whole or a piece of one (`willContinue`, `partialArgs`)."""
        name = text_of(call.get("name"))
        if self._open is None or name:
            self._close_call(out)
            check_named(call)
            if not name and not call.get("args") and not call.get("partialArgs"):
                return  # an end without a beginning
            self._begin_call(call, name, signature, out)
        text = self._writer.push(call.get("partialArgs"))
        args = call.get("args")
        if not text and not self._writer.started and type(args) is dict and args:
            text = dump(args)
            self._open = self._calls - 1
            out.append(self._arguments(text))
            self._open = None
            return
        if text:
            out.append(self._arguments(text))
        if call.get("willContinue") is not True:
            self._close_call(out)

    def _begin_call(self, call: dict[str, Any], name: str, signature: Any, out: list[Delta]) -> None:
        identity = text_of(call.get("id")) or self._mint(name)
        entry: dict[str, Any] = {
            "index": self._calls,
            "id": identity,
            "type": "function",
            "function": {"name": name, "arguments": ""},
        }
        if type(signature) is str and signature:
            entry["extra_content"] = extra_content(signature)
        out.append({"tool_calls": [entry]})
        self._open = self._calls
        self._calls += 1
        self._writer = ArgumentWriter()
        if signature:
            self._sign(out, signature, part="tool_call", id=identity)

    def _mint(self, name: str) -> str:
        digest = hashlib.sha256(f"{self._seed}/{self.index}/{self._calls}/{name}".encode("utf-8", "replace"))
        return "call_" + digest.hexdigest()[:24]

    def _arguments(self, text: str) -> Delta:
        return {"tool_calls": [{"index": self._calls - 1, "function": {"arguments": text}}]}

    def _close_call(self, out: list[Delta]) -> None:
        if self._open is not None:
            text = self._writer.end() if self._writer.started else "{}"
            if text:
                out.append(self._arguments(text))
            self._open = None

    def _other(self, part: dict[str, Any], out: list[Delta]) -> None:
        """Media become what chat has for them; Google's own tools and parts yet unknown are kept as they came."""
        media = part.get("inlineData", part.get("inline_data"))
        kind = text_of(dict_of(media).get("mimeType") or dict_of(media).get("mime_type"))
        data = text_of(dict_of(media).get("data"))
        signature = part.get("thoughtSignature")
        if data and kind.startswith("image/") and part.get("thought") is not True:
            image = {"url": f"data:{kind};base64,{data}"}
            out.append({"images": [{"index": self._images, "type": "image_url", "image_url": image}]})
            if signature:
                place = {"at": self._length, "calls": self._calls}
                self._sign(out, signature, part="image", image=self._images, **place)
            self._images += 1
        elif data and kind.startswith("audio/"):
            spoken = as_wav(kind, data) if self._reading.wav else data
            audio = {"id": f"audio_{self._mint('')[5:]}", "data": spoken, "mime_type": kind}
            out.append({"audio": {**audio, "transcript": "", "expires_at": 0}})
            self._length += 1 if not self._length else 0
        elif part:
            entry = {"type": WHOLE_PART, "part": writable(part), "at": self._length, "calls": self._calls}
            self._detail(out, entry)

    def end(self) -> tuple[list[Delta], dict[str, Any]]:
        """What is left to say at the end, and the members that end the choice (the last delta among them)."""
        deltas: list[Delta] = []
        self._close_call(deltas)
        if self._unfence is not None:
            text = self._unfence.end()
            if text:
                self._pieces.append(text)
                deltas.append({"content": text})
        if self._signature:
            # Once, at the end: SDKs join the strings of a stream's deltas.
            deltas.append({"extra_content": extra_content(self._signature)})
        if self._grounding:
            notes = annotations_of(self._grounding, "".join(self._pieces))
            if notes:
                deltas.append({"annotations": notes})
            activity = activity_of(self._grounding, f"{self._seed}{self.index}")
            if activity:
                deltas.append({"x_gateway": activity})
        finish = finish_of(self.reason) or "stop"
        last: Delta = {}
        if finish == "content_filter":
            last["refusal"] = refusal(REFUSED, self.reason, self._extra.get("finishMessage"))
        elif finish == "stop" and self._calls:
            finish = "tool_calls"
        end = {**self._extra, "delta": last, "finish_reason": finish}
        if self.reason:
            end["native_finish_reason"] = self.reason
        return deltas, end

    @property
    def searches(self) -> int:
        return searches_of(self._grounding, self._reading.every_search)
