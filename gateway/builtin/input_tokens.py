"""What an input is expected to make in tokens: by a tokenizer where one is installed, otherwise by its script."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from gateway.api import expected_text_tokens, text_bytes, texts_of

_ENCODING = "o200k_base"
# Characters at once. The tokenizer refuses a text of over 200,000 tokens, and a character makes four of them at most.
_PIECE = 48_000


class _Encoding(Protocol):
    def encode_ordinary(self, text: str) -> list[int]: ...


class InputTokens:
    """Counts texts. margin: percent that are added, because another model's tokenizer cuts otherwise.

    The tokenizer (`bpe-openai`, the extra `tokenizer`) is loaded with the first text: it takes a third of a second, and
    its time is linear in the text.
    """

    def __init__(self, margin: int) -> None:
        self._margin = margin
        self._encoding: _Encoding | None = None
        self._tried = False

    def less_than(self, bound: int, body: Mapping[str, Any]) -> int:
        """The tokens that a chat body is expected to make, with the margin, of which it makes at most `bound`. All that
        is no text (media, frames of messages) counts as it does in the bound, where a byte of text is a token."""
        texts = list(texts_of(body))
        size = sum(map(text_bytes, texts))
        expected = sum(map(self._count, _joined(texts))) * (100 + self._margin) // 100 + 1
        return min(bound, max(expected, bound - size + expected))

    def _count(self, text: str) -> int:
        encoding = self._load()
        if encoding is None:
            return expected_text_tokens(text)
        return len(encoding.encode_ordinary(text))

    def _load(self) -> _Encoding | None:
        if not self._tried:
            self._tried = True
            try:
                from bpe_openai import get_encoding  # type: ignore[import-untyped, unused-ignore]

                self._encoding = get_encoding(_ENCODING)
            except (ImportError, OSError):  # an extra that is not installed, or not whole: the estimate does
                return None
        return self._encoding


def _joined(texts: list[str]) -> list[str]:
    """The texts in pieces that are worth a call and not too large for one: short ones joined, long ones cut."""
    pieces: list[str] = []
    piece: list[str] = []
    size = 0
    for text in texts:
        if size + len(text) > _PIECE and piece:
            pieces.append("\n".join(piece))
            piece, size = [], 0
        if len(text) > _PIECE:
            pieces += (text[start : start + _PIECE] for start in range(0, len(text), _PIECE))
            continue
        piece.append(text)
        size += len(text) + 1
    return [*pieces, "\n".join(piece)]
