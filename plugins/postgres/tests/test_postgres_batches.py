"""What the database does for a whole batch in one statement, it does as for one operation after the other."""

from __future__ import annotations

import asyncio
import random
from decimal import Decimal

import pytest
from tollgate_postgres.engine import connect
from tollgate_postgres.lanes import Lane
from tollgate_postgres.opened import open_stores

from gateway.api import Usage
from gateway.api.stores import HoldRequest, StoresSettings
from gateway.testing.upstream import PATIENCE


def settings(folder):
    return StoresSettings(str(folder), b"a secret of the tests, not a real one")


LEASE, NOW = "lease_test", 1_700_000_000
# No random numbers of rows: what they say of each other is compared by the names of requests.
BOOKS = {
    "accounts": "SELECT id, balance, held FROM accounts ORDER BY id",
    "months": "SELECT k.id, m.period, m.used, m.held FROM months AS m JOIN keys AS k ON k.n = m.key ORDER BY 1, 2",
    "holds": """
        SELECT h.request_id, a.id, h.key, h.period, h.created, h.model, h.amount, h.units, h.state, h.charged, h.logged,
            h.target, h.lease, h.state = 0 AND h.dispatched, h.base, h.unit_price, h.ceiling, h.tags::text
        FROM holds AS h JOIN accounts AS a ON a.n = h.account ORDER BY 1
    """,
    "entries": """
        SELECT h.request_id, a.id, e.kind, e.amount, e.reserved, e.unpaid, e.balance, e.created, e.basis,
            coalesce(e.idem, ''), e.note
        FROM entries AS e JOIN accounts AS a ON a.n = e.account LEFT JOIN holds AS h ON h.n = e.hold
        ORDER BY 2, e.n
    """,
    "usage": """
        SELECT u.request_id, a.id, u.key, h.request_id, u.model, u.target, u.route, u.status, u.basis, u.created,
            u.counts, u.first_byte_ms, u.total_ms, u.error, u.tags::text, u.tries
        FROM usage AS u JOIN accounts AS a ON a.n = u.account LEFT JOIN holds AS h ON h.n = u.hold
        ORDER BY 1
    """,
    "rollups": "SELECT * FROM rollups ORDER BY account, day, key, model",
    "tag_sums": "SELECT * FROM tag_sums ORDER BY account, day, name, value, key",
}
START = """
    INSERT INTO leases VALUES ('lease_test', 1e12);
    INSERT INTO accounts (id, name, role, created, balance, disabled) VALUES
        ('rich', 'rich', 'user', 1, 1000000, false), ('second', 'second', 'user', 1, 1000000, false),
        ('poor', 'poor', 'user', 1, 1500, false), ('off', 'off', 'user', 1, 1000000, true);
    INSERT INTO keys (id, account, name, label, created, monthly_limit, revoked) VALUES
        ('of rich', 1, '', '', 1, NULL, NULL), ('capped', 1, '', '', 1, 900, NULL),
        ('of second', 2, '', '', 1, NULL, NULL),
        ('of poor', 3, '', '', 1, NULL, NULL), ('of off', 4, '', '', 1, NULL, NULL), ('gone', 1, '', '', 1, NULL, 5),
        ('later', 1, '', '', 1, NULL, 1700000001);
"""
ACCOUNTS = ["rich", "rich", "second", *["poor"] * 5, "off", "nobody"]
KEYS = {"rich": ["of rich", "of rich", "capped", "capped", "gone", "later", "of second", ""],
        "second": ["of second", ""], "poor": ["of poor", ""], "off": ["of off"], "nobody": ["of rich", ""]}  # fmt: skip


class Traffic:
    """Batches with all that can happen to a request, in the order in which the database takes them: first ends that
    make room, then what a call cost beyond its hold, holds, and marks. seed: of the choices."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.made = 0
        self.open: list[tuple[str, str, str]] = []

    def batch(self) -> list[dict]:
        one = self.random
        ended = [self.open.pop(one.randrange(len(self.open))) for _ in range(min(len(self.open), one.randrange(9)))]
        marked = one.sample(self.open, min(len(self.open), 4))
        ends = sorted((self.end(*request) for request in ended), key=_beyond)
        operations = [operation for end in ends for operation in end]
        for _ in range(one.randrange(8)):
            self.made += 1
            account = one.choice(ACCOUNTS)
            request = (f"r{self.made}", account, one.choice(KEYS[account]))
            self.open.append(request)
            operations.append(self.hold(*request))
        for request, _, _ in marked:
            operations.append({"do": one.choice(["dispatch", "dispatch", "dispatch", "note", "grow"]), "r": request,
                               "n": 7, "b": "0.5", "c": 3, "i": 2})  # fmt: skip
        return operations

    def hold(self, request: str, account: str, key: str) -> dict:
        one = self.random
        base = one.choice(["0", "12.5", "100"])
        return {
            "do": "hold", "r": request, "a": account, "k": key, "p": one.choice([202611, 202612]),
            "l": one.choice([None, None, None, 400]), "b": base, "u": one.choice(["0", "1.6", "2"]),
            "w": one.choice([base, "1"]), "n": one.choice([0, 10, 100, 400]), "m": one.choice([0, 5]),
            "v": one.choice([None, None, 20]), "d": one.choice(["lab/a", "lab/b"]),
            "g": '{"team": "red"}' if one.random() < 0.1 else None,
        }  # fmt: skip

    def end(self, request: str, account: str, key: str) -> list[dict]:
        one = self.random
        counts = [one.randrange(50) for _ in range(11)] + one.choice([[0, 0, 0, 0]] * 3 + [[0, 0, 2, 1]])
        record = {
            "do": "record", "r": request, "a": account, "k": key, "d": "lab/c", "t": "lab/u", "o": "/chat", "x": 200,
            "s": 1, "at": NOW + 9, "c": counts, "f": one.choice([None, 3]), "w": 9, "z": "", "g": None,
            "y": one.choice(["", "x"]),
        }  # fmt: skip
        settle = {"do": "settle", "r": request, "c": one.choice([0, 1, 30, 30, 900]), "s": one.choice([1, 1, 1, 2, 3]),
                  "d": one.choice(["lab/a", ""]), "x": one.choice([0, 0, 0, 5])}  # fmt: skip
        settle["c"] = 0 if settle["s"] == 3 else settle["c"]
        mark = {"do": "dispatch", "r": request}
        kinds = [[record, settle]] * 6 + [[mark, record, settle], [settle, record], [record, record, settle],
                 [record, settle, settle], [record], [settle], [{"do": "void", "r": request}],
                 [record, {"do": "void", "r": request}]]  # fmt: skip
        return one.choice(kinds)


def _beyond(end: list[dict]) -> bool:
    """Whether an end may cost more than was held."""
    return any(operation.get("c") == 900 for operation in end)


async def ledgers(databases, url, batches, together):
    """All answers and all books, after the batches went in whole, or one operation after the other."""
    await asyncio.to_thread(databases.migrated)
    connection = await connect(url)
    try:
        await connection.execute(START)
        answers, number = [], 0
        for batch in batches:
            parts = [batch] if together else [[operation] for operation in batch]
            for part in parts:
                number += 1
                answers += await connection.fetchval("SELECT gw_run($1, $2, $3, $4, $5)", LEASE, 0, number, NOW, part)
        return answers, {name: [tuple(row) for row in await connection.fetch(sql)] for name, sql in BOOKS.items()}
    finally:
        await connection.close()


@pytest.mark.parametrize("seed", range(8))
async def test_a_batch_is_what_its_operations_are_one_by_one(databases, database_url, seed):
    traffic = Traffic(seed)
    batches = [traffic.batch() for _ in range(25)]
    answers, books = await ledgers(databases, database_url, batches, True)
    said, kept = await ledgers(databases, database_url, batches, False)
    assert answers == said
    for entries in (books["entries"], kept["entries"]):
        for account in {entry[1] for entry in entries}:
            balance = 1500 if account == "poor" else 1_000_000
            for entry in (entry for entry in entries if entry[1] == account):
                balance += entry[3]
                assert entry[6] == balance, "it is told with each entry"
    # In which order entries of one batch stand, and so the balance after each, is the database's to choose.
    mine, theirs = (sorted((*row[:6], *row[7:]) for row in found.pop("entries")) for found in (books, kept))
    assert mine == theirs
    assert books == kept
    assert {row[8] for row in books["holds"]} >= {0, 1, 2}
    assert all(books.values()), "something happened"


ASKS = [("a", 3), ("b", 1000), ("c", 1)]
WINDOWS = "SELECT name, length, newest FROM windows ORDER BY 1, 2"
HITS = "SELECT name, length, slot, n, times FROM hits ORDER BY 1, 2, 3"


@pytest.mark.parametrize("seed", range(4))
async def test_questions_about_windows_are_answered_together_as_one_by_one(databases, database_url, tmp_path, seed):
    one = random.Random(seed)
    batches, now = [], float(NOW)
    for _ in range(30):
        now += one.choice([0.0, 0.7, 3.0])
        asks = []
        for _ in range(one.randrange(1, 7)):
            names = (
                one.sample(ASKS, one.randrange(1, 3))
                if one.random() < 0.4
                else [("b", 1000), (f"d{one.randrange(3)}", 500)]
            )
            place = one.choice([0, 1, len(names), len(names)])
            asks.append((names[:place], names[place:], one.choice([60.0, 60.0, 60.0, 5.0])))
        batches.append((asks, now))
    answers, clock = {}, [0.0]
    for together in (True, False):
        await asyncio.to_thread(databases.migrated)
        async with await open_stores(database_url, settings(tmp_path), monotonic=lambda: clock[0]) as stores:
            found = answers[together] = []
            for asks, clock[0] in batches:
                told = [stores.counters.hit(counted, length, seen=seen) for counted, seen, length in asks]
                found += await asyncio.gather(*told) if together else [await one for one in told]
            found += [[tuple(row) for row in await stores.database.rows(sql)] for sql in (WINDOWS, HITS)]
    assert answers[True] == answers[False]


@pytest.fixture
async def stores(database_url, tmp_path):
    async with await open_stores(database_url, settings(tmp_path)) as stores:
        yield stores


async def test_a_request_that_ends_soon_needs_no_mark_and_others_get_theirs(stores, monkeypatch):
    account = await stores.accounts.create_account("ada", grant=1000)
    sent = []
    ask = Lane._ask

    async def noted(lane, operations):
        sent.extend((operation["do"], operation["r"]) for operation in operations)
        return await ask(lane, operations)

    monkeypatch.setattr(Lane, "_ask", noted)
    for name in ("settled", "void", "runs", "runs on"):
        await stores.ledger.hold(HoldRequest(name, account.id, "", "2026-11", None, Decimal(9), Decimal(0), 1, 1, "m"))
        stores.ledger.mark_dispatched(name)
    await stores.ledger.settle("settled", 5, "provider", Usage(1, 1), "m")
    await stores.ledger.void("void")
    await stores.lanes.drain()
    # Nobody asks for the last one: it goes by itself.
    stores.ledger.mark_dispatched("late")
    async with asyncio.timeout(PATIENCE):
        while ("dispatch", "late") not in sent:
            await asyncio.sleep(0.01)
    assert {name for kind, name in sent if kind == "dispatch"} == {"runs", "runs on", "late"}
    assert await stores.database.rows("SELECT request_id FROM holds WHERE dispatched ORDER BY 1") == [
        ("runs",), ("runs on",)]  # fmt: skip


async def test_what_many_wait_for_goes_in_one_batch(stores, monkeypatch):
    account = await stores.accounts.create_account("ada", grant=1000)
    batches = []
    ask = Lane._ask

    async def noted(lane, operations):
        batches.append(len(operations))
        return await ask(lane, operations)

    monkeypatch.setattr(Lane, "_ask", noted)

    async def live_through(name):
        await stores.ledger.hold(HoldRequest(name, account.id, "", "2026-11", None, Decimal(9), Decimal(0), 1, 1, "m"))
        stores.ledger.mark_dispatched(name)
        await stores.ledger.settle(name, 5, "provider", Usage(1, 1), "m")

    await asyncio.gather(*(live_through(f"r{number}") for number in range(20)))
    assert batches == [20, 20], "who is answered together goes on together"
