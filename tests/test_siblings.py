"""Workers and their supervisor, in one event loop."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from gateway import siblings
from gateway.siblings import Alone, Hub, Link, Said, Seat


@asynccontextmanager
async def family(count: int) -> AsyncIterator[tuple[Hub, list[Link], list[Seat]]]:
    hub = Hub({"count": lambda gone, last: (gone or 0) + last})
    links, seats = [], []
    for number in range(count):
        seat = await hub.add()
        link = Link(seat.child)
        await link.start()
        link.gives["count"] = lambda number=number: number + 1
        link.gives["add"] = lambda more, number=number: number + more
        links.append(link)
        seats.append(seat)
    try:
        yield hub, links, seats
    finally:
        for link in links:
            await link.close()
        for seat in seats:
            hub.remove(seat)


async def test_all_answer_every_question() -> None:
    async with family(3) as (_, links, _):
        said = await asyncio.gather(*(link.ask("count") for link in links))
        assert [sorted(one.all) for one in said] == [[1, 2, 3]] * 3
        assert sorted((await links[1].ask("add", more=10)).all) == [10, 11, 12]
        assert (await links[0].ask("nobody knows")).all == []


async def test_what_the_dead_counted_is_kept() -> None:
    async with family(3) as (hub, links, seats):
        await links[0].ask("count")
        hub.remove(seats[1])
        hub.remove(seats[2])
        assert await links[0].ask("count") == Said([1], gone=5)
        assert await links[0].ask("add", more=1) == Said([1])


async def test_who_dies_while_it_is_asked_keeps_nobody_waiting() -> None:
    async with family(2) as (hub, links, seats):
        await links[1].close()  # it hears nothing any more
        asked = asyncio.get_running_loop().create_task(links[0].ask("count"))
        while not hub._given:
            await asyncio.sleep(0)
        hub.remove(seats[1])
        assert await asked == Said([1])


async def test_of_one_that_hangs_the_last_answer_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    async with family(2) as (_, links, _):
        await links[0].ask("count")
        monkeypatch.setattr(siblings, "PATIENCE", 0.01)
        await links[1].close()
        assert sorted((await links[0].ask("count")).all) == [1, 2]


async def test_without_a_supervisor_a_worker_answers_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    async with family(1) as (hub, links, seats):
        monkeypatch.setattr(siblings, "SUPERVISOR", 0.01)
        hub.remove(seats[0])
        assert await links[0].ask("count") == Said([1])


async def test_the_others_and_the_supervisor_are_told() -> None:
    async with family(3) as (hub, links, _):
        told: list[Any] = []
        heard = asyncio.Event()
        for number, link in enumerate(links):
            link.hears["news"] = lambda data, number=number: (
                told.append((number, data)),
                len(told) == 3 and heard.set(),
            )
        hub.hears["news"] = lambda data: (told.append(("hub", data)), len(told) == 3 and heard.set())
        links[1].tell("news", {"a": 1})
        links[1].tell("what nobody hears", 1)
        await asyncio.wait_for(heard.wait(), 5)
        assert sorted(told, key=str) == [("hub", {"a": 1}), (0, {"a": 1}), (2, {"a": 1})]


async def test_a_single_process_answers_itself() -> None:
    alone = Alone()
    alone.gives["add"] = lambda more: 1 + more
    assert await alone.ask("add", more=2) == Said([3])
    alone.tell("news", 1)
