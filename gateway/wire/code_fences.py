"""Markdown code fences around JSON: models put them there although they were asked for JSON alone."""

from __future__ import annotations

import re

_END_OF_FENCE = re.compile(r"[\s`]*\Z")


class Unfence:
    """Takes a Markdown code fence off a text that arrives in pieces; any other text passes unchanged."""

    def __init__(self) -> None:
        self._held = ""
        self._state = "start"

    def push(self, text: str) -> str:
        """The part of the text that can be passed on now."""
        if self._state == "plain":
            return text
        self._held += text
        if self._state == "start" and not self._open():
            return ""
        if self._state == "plain":
            out, self._held = self._held, ""
            return out
        hold = _END_OF_FENCE.search(self._held)
        cut = hold.start() if hold else len(self._held)
        out, self._held = self._held[:cut], self._held[cut:]
        return out

    def end(self) -> str:
        """What is left: nothing if it was the closing fence."""
        left, self._held = self._held, ""
        return "" if self._state == "fenced" else left

    def _open(self) -> bool:
        """Decide whether the text begins with a fence; False while that cannot be known."""
        begin = self._held.lstrip()
        if not begin or (len(begin) < 3 and begin == "`" * len(begin)):
            return False
        if not begin.startswith("```"):
            self._state = "plain"
            return True
        first, found, rest = begin.partition("\n")
        if not found:
            at = first.find("{")
            if at < 0:
                return False
            rest = first[at:]
        self._state, self._held = "fenced", rest
        return True
