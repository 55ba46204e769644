"""Where to: the candidates of the requested model in the order of the configuration, weighted ones drawn by lot."""

from __future__ import annotations

import random
from collections.abc import Sequence
from itertools import groupby

from gateway.api import Call, Target, hookimpl


class Plugin:
    """Orders a call's candidates: groups in order, within a group by weight without replacement."""

    def __init__(self) -> None:
        self._random = random.Random()

    @hookimpl
    async def choose_targets(self, call: Call) -> Sequence[Target] | None:
        candidates = call.candidates
        if len(candidates) <= 1:
            return candidates or None
        ordered: list[Target] = []
        for _, group in groupby(candidates, key=lambda target: target.group):
            ordered += self._draw(list(group))
        return ordered

    def _draw(self, group: list[Target]) -> list[Target]:
        if len(group) == 1:
            return group
        # Efraimidis and Spirakis: sorting by u ** (1 / weight) draws by weight without replacement.
        return sorted(group, key=lambda target: self._random.random() ** (1 / target.weight), reverse=True)
