"""What one gateway learns of a target spares those on other machines: word of it goes through the store."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Coroutine, Mapping
from dataclasses import replace
from typing import Any

from gateway.errors import GatewayFault
from gateway.stores import Notices
from gateway.upstream.health import Cooling, HealthBook

_WELL_AGAIN = 60.0
"""Seconds that the word stands that a target is well again."""


class SharedHealth:
    """Hears from now on what `book`, this process's, tells, after whoever heard it before.

    spawn: runs work in a task of the process. versions: of the endpoints that are configured here; word of others is
    passed over.
    """

    def __init__(
        self,
        book: HealthBook,
        notices: Notices,
        spawn: Callable[[Coroutine[Any, Any, None], str], object],
        versions: Callable[[], Collection[str]],
    ) -> None:
        self._book = book
        self._notices = notices
        self._spawn = spawn
        self._versions = versions
        self._first, book.told = book.told, self.tell

    def tell(self, told: Cooling) -> None:
        """Leave word of what this process learnt, without waiting."""
        if self._first is not None:
            self._first(told)
        self._spawn(self._post(told), "notice")

    async def _post(self, told: Cooling) -> None:
        try:
            name = "cooling " + " ".join(told.name)
            await self._notices.post(name, {"cooling": told.data()}, told.seconds or _WELL_AGAIN)
        except GatewayFault:
            pass  # The others find out by themselves.

    def adopt(self, data: Mapping[str, Any], seconds: float) -> None:
        """Take over a word that holds for so many seconds, if it is one of these and of an endpoint that is the same
        here, address and key."""
        if "cooling" not in data:
            return
        told = Cooling.of(data["cooling"])
        if told.name.version in self._versions():
            left = replace(told, seconds=min(told.seconds, seconds))
            self._book.circuit(told.name).adopt(asyncio.get_running_loop().time(), left)
