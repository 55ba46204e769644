"""Statements over several rows of parameters at once.

Each call into SQLite lets go of Python's interpreter lock and has to win it back from the busy event loop, so rows go
together. They go as bound parameters, and not as one JSON array, because taking a row of twenty columns out of JSON
costs three times what inserting it does. A statement is prepared for a few numbers of rows only, of which any number is
made.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Sequence
from itertools import chain
from typing import Any

_SIZES = (32, 24, 16, 12, 8, 6, 4, 3, 2, 1)
"""Rows of one statement. Two statements do for most numbers below 32."""
_PLACE = re.compile(r"@(\d+)")


class ManyRows:
    """One statement, for any number of rows. texts: for each of `_SIZES`."""

    __slots__ = ("_texts",)

    def __init__(self, texts: Sequence[str]) -> None:
        self._texts = tuple(zip(_SIZES, texts, strict=True))

    def run(self, connection: sqlite3.Connection, rows: Sequence[Sequence[Any]]) -> None:
        """Run it over `rows`, in their order."""
        at, left = 0, len(rows)
        for size, text in self._texts:
            while left >= size:
                connection.execute(text, list(chain.from_iterable(rows[at : at + size])))
                at += size
                left -= size
            if not left:
                return


def insertion(table: str, columns: str, more: str = "") -> ManyRows:
    """Insert rows, whose values stand in the order of `columns`. more: what follows them (`ON CONFLICT ...`)."""
    row = f"({', '.join('?' * len(columns.split(',')))})"
    head = " ".join(("INSERT INTO", table, f"({columns})", "VALUES"))
    return ManyRows([f"{head} {', '.join([row] * size)} {more}" for size in _SIZES])


def change(table: str, what: str, where: str, width: int) -> ManyRows:
    """Change the row that each of the given rows is for. what, where: SQL in which `@1` to `@width` are its values."""
    row = f"({', '.join('?' * width)})"
    head = " ".join(("UPDATE", table, "SET", what))
    one = _PLACE.sub(r"?\1", f"{head} WHERE {where}")
    many = _PLACE.sub(r"d.column\1", f"{head} FROM (VALUES %s) AS d WHERE {where}")
    return ManyRows([one if size == 1 else many % ", ".join([row] * size) for size in _SIZES])
