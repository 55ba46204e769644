"""The order of targets, without HTTP: groups as written, within one by weight."""

from __future__ import annotations

import random
from collections import Counter

import pytest

from gateway.builtin.routing import Plugin

from .kit import call_for, priced


def seeded(seed: int = 1) -> Plugin:
    plugin = Plugin()
    plugin._random = random.Random(seed)
    return plugin


async def test_one_target_or_none_is_passed_on() -> None:
    only = priced("a")
    assert list(await Plugin().choose_targets(call_for(only))) == [only]
    call = call_for(only)
    call.candidates = ()
    assert await Plugin().choose_targets(call) is None


async def test_groups_keep_their_order_and_lose_nobody() -> None:
    targets = [priced(f"{group}{number}", group=group) for group in (0, 1, 2) for number in range(4)]
    for seed in range(50):
        chosen = await seeded(seed).choose_targets(call_for(*targets))
        assert [target.group for target in chosen] == [target.group for target in targets]
        assert sorted(target.model for target in chosen) == sorted(target.model for target in targets)


@pytest.mark.parametrize("weights", [(1.0, 1.0), (3.0, 1.0), (0.2, 0.3, 0.5), (9.0, 1.0, 1.0)])
async def test_the_first_is_drawn_by_weight(weights: tuple[float, ...]) -> None:
    targets = [priced(f"t{number}", weight=weight) for number, weight in enumerate(weights)]
    plugin, rounds = seeded(), 4000
    found: Counter[str] = Counter()
    for _ in range(rounds):
        found[(await plugin.choose_targets(call_for(*targets)))[0].model] += 1
    for target in targets:
        share = target.weight / sum(weights)
        # Four standard deviations of a drawing that is seeded, so that this never changes by itself.
        assert abs(found[target.model] - rounds * share) < 4 * (rounds * share * (1 - share)) ** 0.5


async def test_the_second_is_drawn_by_weight_among_the_rest() -> None:
    targets = [priced("a", weight=8.0), priced("b", weight=3.0), priced("c", weight=1.0)]
    plugin, found = seeded(), Counter[str]()
    for _ in range(4000):
        first, second, _ = await plugin.choose_targets(call_for(*targets))
        if first.model == "test/a":
            found[second.model] += 1
    assert 2.6 < found["test/b"] / found["test/c"] < 3.4
