"""Names of functions that a target was told under others, given back where they come in pieces.

A name that comes whole is the caller's again before anything is counted (`gateway.upstream.translation`). Servers that
stream it as any other text send pieces that say nothing; the tally puts them together, and what it gives out is
changed here.
"""

from __future__ import annotations

from typing import Any

from gateway.provider import Reader, StreamItem, Tally
from gateway.upstream.rewriting import Rewrite, RewritingReader
from gateway.wire.lenient import dict_of, dicts_of

Json = dict[str, Any]


class RestoringReader(RewritingReader):
    """Implements `gateway.provider.Reader` for chat: what another reader makes, with the names of its calls changed, as
    its items come and as its tally puts them together."""

    def __init__(self, reader: Reader, rewrite: Rewrite) -> None:
        super().__init__(reader, lambda: rewrite)
        self._rewrite = rewrite

    def open_tally(self, choices: int) -> Tally:
        """A fresh tally for the items of the stream."""
        return RestoringTally(super().open_tally(choices), self._rewrite)


class RestoringTally:
    """Implements `gateway.provider.Tally`: another one, whose calls are changed. Bytes that it passes on hold none."""

    __slots__ = ("_rewrite", "_tally")

    def __init__(self, tally: Tally, rewrite: Rewrite) -> None:
        self._tally = tally
        self._rewrite = rewrite

    @property
    def usage(self) -> Json | None:
        return self._tally.usage

    @property
    def finish_reason(self) -> str:
        return self._tally.finish_reason

    @property
    def text_bytes(self) -> int:
        return self._tally.text_bytes

    @property
    def text_tokens(self) -> float:
        tokens: float = getattr(self._tally, "text_tokens", 0)
        return tokens

    @property
    def chunks(self) -> int:
        return self._tally.chunks

    @property
    def complete(self) -> bool:
        return self._tally.complete

    @property
    def opening(self) -> bool:
        return bool(getattr(self._tally, "opening", False))

    def add(self, items: list[StreamItem]) -> list[StreamItem]:
        """Take what the decoder gave."""
        items = self._tally.add(items)
        for place, item in enumerate(items):
            if isinstance(item, dict) and _has_calls(item):
                items[place] = self._rewrite.change(item)
        return items

    def cut(self) -> None:
        """The gateway ends the answer here."""
        self._tally.cut()


def _has_calls(chunk: Json) -> bool:
    deltas = (dict_of(choice.get("delta")) for choice in dicts_of(chunk.get("choices")))
    return any(delta.get("tool_calls") or delta.get("function_call") for delta in deltas)
