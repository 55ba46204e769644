"""Word of a target's health between gateways, by a store in memory."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from gateway.errors import GatewayFault
from gateway.upstream.health import CircuitName, Cooling, HealthBook
from gateway.upstream.shared_health import SharedHealth

NAME = CircuitName("lab", "1", "model", "v1")


class Board:
    """`gateway.stores.Notices` as far as it is needed here."""

    def __init__(self) -> None:
        self.words: list[tuple[str, dict[str, Any], float]] = []
        self.away = False

    async def post(self, name: str, data: Any, seconds: float) -> None:
        if self.away:
            raise GatewayFault("away")
        self.words.append((name, data, seconds))


def made(board: Board, book: HealthBook, *versions: str) -> SharedHealth:
    return SharedHealth(book, board, lambda work, name: asyncio.ensure_future(work), lambda: versions)  # type: ignore[arg-type]


async def test_the_other_cools_for_what_is_left_and_is_well_when_the_first_is() -> None:
    board, there = Board(), HealthBook()
    here, other = made(board, HealthBook(), "v1"), made(board, there, "v1")
    here.tell(Cooling(NAME, 30.0, True, "rate_limit"))
    here.tell(Cooling(NAME, 0.0, False, ""))
    await asyncio.sleep(0)
    (name, cooling, seconds), (same, well, _) = board.words
    assert (name, seconds) == (same, 30.0)
    other.adopt(cooling, 12.0)
    now = asyncio.get_running_loop().time()
    circuit = there.circuit(NAME)
    assert circuit.state(now) == "cooling"
    assert circuit.until <= now + 12.0
    other.adopt(well, 60.0)
    assert circuit.state(now) == "closed"


@pytest.mark.parametrize("data", [{"weather": "fine"}, {"cooling": Cooling(NAME, 30.0, False, "x").data()}])
async def test_other_words_and_other_endpoints_are_passed_over(data: Any) -> None:
    book = HealthBook()
    made(Board(), book, "v2").adopt(data, 30.0)
    assert list(book) == []


async def test_a_database_that_is_away_is_nobodys_trouble() -> None:
    board = Board()
    board.away = True
    made(board, HealthBook()).tell(Cooling(NAME, 30.0, False, "x"))
    await asyncio.sleep(0)
    assert board.words == []
