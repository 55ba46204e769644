"""Markdown code fences around JSON: models put them there although they were asked for JSON alone."""

from __future__ import annotations

_END_OF_FENCE = "`" + "".join(char for char in map(chr, range(0x3001)) if char.isspace())
"""What a closing fence consists of, with the white space round it."""


class Unfence:
    """Takes a Markdown code fence off a text that arrives in pieces; any other text passes unchanged.

    Linear in the text however it is cut: no piece is looked at twice.
    """

    def __init__(self) -> None:
        self._held: list[str] = []
        self._ticks = 0
        self._state = "space"

    def push(self, text: str) -> str:
        """The part of the text that can be passed on now."""
        if not text:
            return ""
        if self._state == "space":
            begin = text.lstrip()
            if not begin:
                self._held.append(text)
                return ""
            self._held.append(text[: len(text) - len(begin)])
            self._state, text = "ticks", begin
        if self._state == "ticks":
            text = self._read_ticks(text)
        if self._state == "info":
            text = self._read_info(text)
        if self._state == "plain":
            return text
        if self._state == "fenced":
            return self._inside(text)
        return ""

    def end(self) -> str:
        """What is left: nothing if it was the closing fence."""
        left = "" if self._state == "fenced" else "".join(self._held)
        self._held.clear()
        return left

    def _read_ticks(self, text: str) -> str:
        """The three characters that begin a fence, or not; what is to be read after them."""
        for place, char in enumerate(text):
            if char != "`":
                self._state = "plain"
                return "".join([*self._take(), text])
            self._ticks += 1
            if self._ticks == 3:
                self._held.append(text[: place + 1])
                self._state = "info"
                return text[place + 1 :]
        if text:
            self._held.append(text)
        return ""

    def _read_info(self, text: str) -> str:
        """The rest of the fence's line, which may name a language; some write the object right behind it."""
        if not text:
            return ""
        ends = [place for place in (text.find("\n"), text.find("{")) if place >= 0]
        if not ends:
            self._held.append(text)
            return ""
        self._state = "fenced"
        self._held.clear()
        place = min(ends)
        return text[place + 1 :] if text[place] == "\n" else text[place:]

    def _inside(self, text: str) -> str:
        """All but what may be the closing fence."""
        certain = text.rstrip(_END_OF_FENCE)
        if not certain:
            if text:
                self._held.append(text)
            return ""
        out = "".join([*self._take(), certain])
        self._held.append(text[len(certain) :])
        return out

    def _take(self) -> list[str]:
        held, self._held = self._held, []
        return held
