"""The names of what a request asked for and the upstream cannot be told, bounded in number and length.

Callers choose these names (any member that nobody knows is one), and millions of them fit into a body. So finding
out whether one is known already takes constant time, and only so many are kept as a header and a log line can show.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import SupportsIndex

MOST_NAMES = 64
"""Names that are kept and shown; the others are counted."""

LONGEST_NAME = 128
"""Characters of one name; a longer one is cut."""

LONGEST_TEXT = 1_024
"""Characters of all names in one header. Proxies commonly allow 4 to 8 kB for all headers of an answer."""

CLIENTS_OWN = ("client_metadata", "access_programs")
"""What a client tells OpenAI's Responses API of itself; others refuse unknown members, or learn what is not theirs."""

_MOST_SEEN = 4_096
_NONE: frozenset[str] = frozenset()


class DroppedParams(list[str]):
    """Names in the order they came, once each; a list in all else. `append`, `extend` and `+=` pass over what is
    there already, and beyond `MOST_NAMES` only count (`more`), up to 4,096."""

    __slots__ = ("_seen",)

    def __init__(self, names: Iterable[str] = ()) -> None:
        super().__init__()
        self._seen: set[str] | frozenset[str] = _NONE  # nearly always it stays so
        self.extend(names)

    @property
    def more(self) -> int:
        """How many names there are beyond those kept."""
        return len(self._seen) - len(self)

    def append(self, name: str) -> None:
        """Add one name."""
        name = _cut(name)
        if name in self._seen or len(self._seen) >= _MOST_SEEN:
            return
        if isinstance(self._seen, frozenset):
            self._seen = set()
        self._seen.add(name)
        if len(self) < MOST_NAMES:
            super().append(name)

    def extend(self, names: Iterable[str]) -> None:
        """Add several names."""
        for name in names:
            self.append(name)

    def __iadd__(self, names: Iterable[str]) -> DroppedParams:  # type: ignore[override,misc]
        self.extend(names)
        return self

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and _cut(name) in self._seen

    def __delitem__(self, place: SupportsIndex | slice) -> None:
        before = len(self)
        super().__delitem__(place)
        if len(self) < before:
            self._seen = set(self)

    def text(self) -> str:
        """The names for people, in at most `LONGEST_TEXT` characters: "a, b" or "a, b, ... and 7 more"."""
        shown: list[str] = []
        room = LONGEST_TEXT - len(", ... and 4096 more")
        for name in self:
            room -= len(name) + 2
            if room < 0:
                break
            shown.append(name)
        left = len(self._seen) - len(shown)
        return ", ".join(shown) + (f", ... and {left} more" if left else "")


def _cut(name: str) -> str:
    return name if len(name) <= LONGEST_NAME else name[: LONGEST_NAME - 3] + "..."
