"""Statements over several rows: any number of rows does what as many single statements do."""

from __future__ import annotations

import sqlite3

import pytest

from gateway.sqlite.money.many_rows import change, insertion

ADD = insertion("t", "a, b, c", "ON CONFLICT (a, b) DO UPDATE SET c = c + excluded.c")
MOVE = change("t", "c = c + @3", "t.a = @1 AND t.b = @2", 3)


@pytest.mark.parametrize("count", [*range(35), 63, 64, 97, 500])
def test_any_number_of_rows(count):
    connection = sqlite3.connect(":memory:", isolation_level=None)
    connection.execute("CREATE TABLE t (a INTEGER, b TEXT, c INTEGER, PRIMARY KEY (a, b)) STRICT")
    rows = [(number, f"'{number}?", number * 10) for number in range(count)]
    told: list[str] = []
    connection.set_trace_callback(told.append)
    ADD.run(connection, rows)
    assert len(told) <= 3 + count // 32
    ADD.run(connection, rows[: count // 2])
    MOVE.run(connection, [(a, b, -c) for a, b, c in rows if a % 3 == 0] + [(-1, "", 5)])
    connection.set_trace_callback(None)
    expected = [(a, b, c * (a < count // 2) + c * (a % 3 > 0)) for a, b, c in rows]
    assert connection.execute("SELECT a, b, c FROM t ORDER BY a").fetchall() == expected
    connection.close()
