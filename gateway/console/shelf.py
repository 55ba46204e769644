"""What is made once per process, when it is first asked for."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, TypeVar

_Made = TypeVar("_Made")


class Shelf:
    """Values by the function that makes them. Those functions read files and work for a while, so they run in a thread;
    whoever asks meanwhile waits for the same one."""

    def __init__(self) -> None:
        self._made: dict[Callable[[], Any], Any] = {}
        self._making = asyncio.Lock()

    async def get(self, make: Callable[[], _Made]) -> _Made:
        """What `make` returns. Raises what it raises; the next one who asks then tries again."""
        if make not in self._made:
            async with self._making:
                if make not in self._made:
                    self._made[make] = await asyncio.to_thread(make)
        found: _Made = self._made[make]
        return found
