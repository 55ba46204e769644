"""Providers that go on beyond the output limit that they were given: their answers are ended at what is paid for.

How many tokens came is not known before the end. A limit counts as passed by what no honest answer comes to: usage that
says so; more chunks than tokens, since providers send one token a chunk or several (those that send letters apart are
told by the size of their chunks); or more text than any script packs into so many tokens. (Of `o200k_base`, a token of
a long text has 4 to 5 bytes in English, and up to 10 in scripts of three bytes a letter: `gateway.wire.text_tokens`.)
"""

from __future__ import annotations

from dataclasses import replace

from gateway.provider import Answer, Tally

_LETTER, _USUAL, _MOST = 2, 5, 12
"""Bytes of text: fewer in a chunk are a letter, not a token; so many a token has mostly; more it never has."""
_SPARE = 8
"""Tokens more than the limit that nobody quarrels about."""


class OutputLimit:
    """The limit of one answer. tokens: over all choices. text: bytes that so many tokens mostly have. Nothing is passed
    while there are no more chunks than `tokens`, no more bytes than `text`, and no usage but one that was looked at."""

    __slots__ = ("_choices", "text", "tokens")

    def __init__(self, tokens: int, choices: int = 1) -> None:
        self.tokens = tokens * choices
        self.text = _USUAL * self.tokens
        self._choices = choices

    def is_near(self, tally: Tally, more: int, size: int) -> bool:
        """Whether `more` further items, of `size` bytes together, may pass the limit."""
        return tally.chunks + more > self.tokens or tally.text_bytes + size > self.text

    def is_passed(self, tally: Tally) -> bool:
        """Whether the answer has gone on beyond it. Not before the last choice has ended: then only usage comes."""
        if tally.complete:
            return False
        most = self.tokens + _SPARE
        reported = tally.usage.get("completion_tokens") if tally.usage is not None else None
        if isinstance(reported, int) and reported > most:
            return True
        text, chunks = tally.text_bytes, tally.chunks
        if chunks > most and (text >= _LETTER * chunks or text > _USUAL * most):
            return True
        return text > _MOST * most

    def end(self, answer: Answer) -> Answer:
        """A whole answer, ended at the limit where it is longer by all that can be told: by its usage and its text, or
        by more text than any script packs into so many tokens."""
        most, text = self.tokens + _SPARE, answer.output_tokens * 4
        reported = answer.usage.get("completion_tokens") if answer.usage is not None else None
        told = isinstance(reported, int) and reported > most
        if answer.shorten is None or not (text > _MOST * most or (told and text > _USUAL * most)):
            return answer
        body = answer.shorten(answer.body, self.tokens // self._choices)
        return replace(answer, body=body, finish_reason="length", overran=True)
