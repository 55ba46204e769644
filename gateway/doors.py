"""Telling a caller who asks at the wrong door which one takes such a body.

Clients are pointed at a gateway by an address and a dialect, and one of the two is soon wrong: the fault that follows
names a member of the wrong dialect's. A dialect that is asked whole conversations tells by `turns` and `sign` what its
bodies look like, so that this works for those of plugins, too.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from gateway.dialect import InboundDialect
from gateway.errors import CallerFault


class Doors:
    """The doors of one generation of the configuration that take whole conversations. others: where not all of them are
    open yet, what opens the others."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[str, InboundDialect]] = {}
        self.others: Callable[[], Awaitable[Doors]] | None = None

    async def all(self) -> Doors:
        """All doors."""
        return self if self.others is None else await self.others()

    def add(self, path: str, dialect: InboundDialect) -> None:
        """A dialect, and where it is spoken; a dialect's first door is the one that is told."""
        if _turns_of(dialect):
            self._known.setdefault(dialect.name, (getattr(dialect, "road", path), dialect))

    def point(self, fault: CallerFault, at: InboundDialect, body: Mapping[str, Any]) -> None:
        """Let `fault`, which the body caused at the door of `at`, say where such a body is taken if not there."""
        turns = _turns_of(at)
        if not turns or fault.status != 400:
            return
        others = [known for name, known in self._known.items() if name != at.name]
        found = next(((sign, path) for path, other in others if (sign := _sign_of(other, body))), None)
        if found is None and body.get(turns) is None:
            found = next(((_turns_of(other), path) for path, other in others if body.get(_turns_of(other))), None)
        if found is not None:
            fault.add(f"A body with {found[0]!r} is for POST {found[1]}.")


def _turns_of(dialect: InboundDialect) -> str:
    found = getattr(dialect, "turns", "")
    return found if isinstance(found, str) else ""


def _sign_of(dialect: InboundDialect, body: Mapping[str, Any]) -> str:
    sign = getattr(dialect, "sign", None)
    return str(sign(body)) if callable(sign) else ""
