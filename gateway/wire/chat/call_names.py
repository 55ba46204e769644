"""Names of functions that a server tells in pieces, or more than once.

OpenAI tells the name of a call whole, in its first delta, and SDKs and the other dialects rely on that. Of servers that
copied the dialect some stream it as any other text (`get_`, `weather`), some repeat the whole in each delta, some tell
all of it so far. Which of these a piece is, the functions say that the request offers; without any, a name is whole.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any


class CallNames:
    """The names that a model may call. tools: those of the request, in chat's words; whatever is wrong is left out."""

    __slots__ = ("_names",)

    def __init__(self, tools: Any) -> None:
        self._names = tuple(_names_of(tools if isinstance(tools, list) else ()))

    def may_go_on(self, name: str) -> bool:
        """Whether more of this name may follow."""
        return any(len(one) > len(name) and one.startswith(name) for one in self._names)

    def goes_on(self, name: str, piece: str) -> bool:
        """Whether a piece surely is of this name: its next one, or all of it so far, where the name alone is none."""
        return self._begins(name + piece) or (
            name not in self._names and piece.startswith(name) and self._begins(piece)
        )

    def is_another(self, name: str, piece: str) -> bool:
        """Whether a piece surely is the name of another call: both are names, and neither is the other's beginning."""
        if name == piece or name not in self._names or piece not in self._names:
            return False
        return not (piece.startswith(name) or name.startswith(piece) or self._begins(name + piece))

    def joined(self, name: str, piece: str) -> str:
        """The name so far, with the next piece of it. name: what came before, and may go on."""
        longer = name + piece
        if self._begins(longer):
            return longer
        if piece in self._names or (piece.startswith(name) and self._begins(piece)):
            return piece  # told again, or all of it so far
        return name if name in self._names else longer

    def _begins(self, text: str) -> bool:
        return any(name.startswith(text) for name in self._names)


def _names_of(tools: Iterable[Any]) -> Iterable[str]:
    for tool in tools:
        inner = (tool.get("function") or tool.get("custom")) if isinstance(tool, dict) else None
        name = inner.get("name") if isinstance(inner, dict) else None
        if isinstance(name, str) and name:
            yield name
