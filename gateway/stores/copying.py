"""Copying a whole database into another store, with the proof that it arrived; see `gateway.stores.transfer`."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from gateway.errors import GatewayFault
from gateway.stores.kind import Stores
from gateway.stores.transfer import TABLES, Row, Snapshot


@dataclass(slots=True, frozen=True)
class Copied:
    """What was copied: how many rows of each table, the credits of all balances, and how much of them is held."""

    rows: Mapping[str, int]
    balance: int
    held: int


class _Writable:
    """A snapshot without the one character that not every database can keep in a text, U+0000."""

    def __init__(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot

    async def rows(self, table: str) -> AsyncIterator[Sequence[Row]]:
        """Each text with a replacement character in its place."""
        async for rows in self._snapshot.rows(table):
            yield [tuple(map(_without_nul, row)) for row in rows]


def _without_nul(value: Any) -> Any:
    if isinstance(value, str):
        return value.replace("\0", "\ufffd") if "\0" in value else value
    if isinstance(value, Mapping):
        return {_without_nul(name): _without_nul(inner) for name, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return tuple(map(_without_nul, value))
    return value


async def copy_stores(source: Stores, target: Stores, told: Callable[[str, int], None]) -> Copied:
    """Copy everything into a store that is empty, then prove it: every row of the copy is compared with its original,
    and every sum of both is recomputed. told: called with a table and how many of its rows are done.

    Raises GatewayFault, having changed nothing, when the target is not empty, or when the sums of the source are not
    right; and when the copy is not what it should be, which then must not be used."""
    await _check(source, "the source is not sound, so it is not copied")
    async with source.snapshot() as original:
        there = _Writable(original)
        await target.take_over(there, told)
        async with target.snapshot() as here:
            copied = await _compare(there, here, told)
    await _check(target, "the copy is not sound; do not use it")
    return copied


async def _check(stores: Stores, what: str) -> None:
    found = await stores.check()
    if found:
        raise GatewayFault(f"{what}: {found[0]}")


async def _compare(there: Snapshot, here: Snapshot, told: Callable[[str, int], None]) -> Copied:
    counts, balance, held = {}, 0, 0
    for table, columns in TABLES.items():
        count, copies = 0, _single(here.rows(table))
        async for row in _single(there.rows(table)):
            count += 1
            copy = await anext(copies, None)
            if copy != row:
                raise GatewayFault(f"the copy is not the same; do not use it: row {count} of {table}")
            if table == "accounts":
                balance += row[columns.index("balance")]
                held += row[columns.index("held")]
            if not count % 10_000:
                told(f"{table}, compared", count)
        if await anext(copies, None) is not None:
            raise GatewayFault(f"the copy is not the same; do not use it: it has more {table}")
        counts[table] = count
    return Copied(MappingProxyType(counts), balance, held)


async def _single(batches: AsyncIterator[Sequence[Row]]) -> AsyncIterator[Row]:
    async for batch in batches:
        for row in batch:
            yield row
