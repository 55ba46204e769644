"""What is made once, when it is first asked for."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Hashable
from typing import Any, TypeVar

_Made = TypeVar("_Made")


class Shelf:
    """Values by the function that makes them, and its arguments. Those functions read files and work for a while, so
    they run in a thread; whoever asks meanwhile waits for the same one.

    made: where they are kept. Shelves that share it share what was made, as gateways may that serve the same files."""

    def __init__(self, made: dict[tuple[Any, ...], Any] | None = None) -> None:
        self._made = {} if made is None else made
        self._making = asyncio.Lock()

    async def get(self, make: Callable[..., _Made], *arguments: Hashable) -> _Made:
        """What `make(*arguments)` returns. Raises what it raises; the next one who asks then tries again. Only so many
        arguments may occur as there is room for: everything is kept."""
        key = (make, *arguments)
        if key not in self._made:
            async with self._making:
                if key not in self._made:
                    self._made[key] = await asyncio.to_thread(make, *arguments)
        found: _Made = self._made[key]
        return found
