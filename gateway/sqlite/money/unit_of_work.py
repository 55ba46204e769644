"""The unit of work: rows one batch touches, loaded with a few set-wise statements, changed in memory, written back
with a few set-wise statements, all inside the writer's transaction.

Why not one statement after the other: every call into SQLite lets go of Python's interpreter lock and has to win it
back from the busy event loop. A batch of 32 holds costs about ten statements this way instead of a hundred and
sixty (`gateway.sqlite.money.many_rows`), and the loops over rows run in C without the lock. The rows stay in memory
(`gateway.sqlite.money.rows`) until somebody else writes.

Sums (`balance`, `held`, `used`) are written as differences, never as values.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Iterable, Sequence
from typing import Any, get_args

import orjson

from gateway.api.stores import MOST_TAG_VALUES, EntryKind
from gateway.sqlite.money.many_rows import change, insertion
from gateway.sqlite.money.rows import OPEN, AccountRow, HoldRow, KeyRow, MonthRow, Rows, to_json

KINDS: tuple[str, ...] = get_args(EntryKind)
"""Entry kinds; the database stores the position."""
KIND_NUMBER = {kind: number for number, kind in enumerate(KINDS)}
BASES: tuple[str, ...] = ("", "provider", "estimated", "void")
BASIS_NUMBER = {basis: number for number, basis in enumerate(BASES)}

_ADD_HOLDS = insertion(
    "holds",
    "n, request_id, account, key, period, created, model, amount, units, state, charged, logged, target, process,"
    " dispatched, base, unit_price, ceiling, known, known_prompt, known_completion, tags",
)
_CHANGE_OPEN = change(
    "holds",
    "amount = @2, units = @3, logged = @4, dispatched = @5, base = @6, known = @7, known_prompt = @8,"
    " known_completion = @9",
    "holds.n = @1",
    9,
)
_CHANGE_CLOSED = change(
    "holds",
    "state = @2, charged = @3, logged = @4, target = @5, amount = @6, units = @7, process = NULL, dispatched = NULL,"
    " base = NULL, unit_price = NULL, ceiling = NULL, known = NULL, known_prompt = NULL, known_completion = NULL",
    "holds.n = @1",
    7,
)
_ADD_ENTRIES = insertion(
    "entries", "account, kind, amount, reserved, unpaid, balance, created, hold, basis, idem, note"
)
_MOVE_ACCOUNTS = change("accounts", "balance = balance + @2, held = held + @3", "accounts.n = @1", 3)
_ADD_MONTHS = insertion("months", "key, period, used, held")
_MOVE_MONTHS = change("months", "used = used + @3, held = held + @4", "months.key = @1 AND months.period = @2", 4)
_ADD_USAGE = insertion(
    "usage",
    "account, key, hold, request_id, model, target, route, status, basis, created, prompt, completion, cached,"
    " cache_write, reasoning, audio_input, audio_output, image_input, image_output, web_searches, cache_write_1h,"
    " images, characters, seconds, searches, first_byte_ms, total_ms, error, tags, tries",
)
_ADD_ROLLUPS = insertion(
    "rollups",
    "account, day, key, model, credits, requests, prompt, completion, images, characters, seconds, searches",
    """ON CONFLICT (account, day, key, model) DO UPDATE SET credits = credits + excluded.credits,
        requests = requests + excluded.requests, prompt = prompt + excluded.prompt,
        completion = completion + excluded.completion, images = images + excluded.images,
        characters = characters + excluded.characters, seconds = seconds + excluded.seconds,
        searches = searches + excluded.searches""",
)
_REFUNDED = "SELECT coalesce(sum(amount), 0) FROM entries WHERE account = ? AND hold = ? AND kind = ?"
# Of too many values of a tag the further ones come under "".
_ADD_TAG_SUMS = """
    INSERT INTO tag_sums (account, day, name, value, key, credits, requests, tokens)
    SELECT d.value ->> 0, d.value ->> 1, d.value ->> 2,
        CASE WHEN EXISTS (SELECT 1 FROM tag_sums AS t WHERE t.account = d.value ->> 0 AND t.day = d.value ->> 1
                AND t.name = d.value ->> 2 AND t.value = d.value ->> 3)
            OR (SELECT count(DISTINCT t.value) FROM tag_sums AS t WHERE t.account = d.value ->> 0
                AND t.day = d.value ->> 1 AND t.name = d.value ->> 2) < ?2
        THEN d.value ->> 3 ELSE '' END,
        d.value ->> 4, d.value ->> 5, d.value ->> 6, d.value ->> 7
    FROM json_each(?1) AS d WHERE true
    ON CONFLICT (account, day, name, value, key) DO UPDATE SET credits = credits + excluded.credits,
        requests = requests + excluded.requests, tokens = tokens + excluded.tokens
"""


class Names:
    """Texts that repeat in long tables (models, routes), as small integers.

    Lives as long as the writer, on its thread. Numbers found inside a transaction count only once it is committed.
    """

    def __init__(self, most: int = 10_000) -> None:
        self._most = most
        self._known: dict[str, int] = {}
        self._fresh: dict[str, int] = {}

    def number(self, connection: sqlite3.Connection, text: str) -> int:
        """The number of a text (cut at 200 characters), made when it is new."""
        found = self._known.get(text) or self._fresh.get(text)
        if found:
            return found
        stored = text[:200]
        connection.execute("INSERT INTO names (text) VALUES (?) ON CONFLICT (text) DO NOTHING", (stored,))
        number = int(connection.execute("SELECT n FROM names WHERE text = ?", (stored,)).fetchone()[0])
        self._fresh[text] = number
        return number

    def committed(self) -> None:
        """The transaction is durable: keep what it found."""
        if self._fresh:
            if len(self._known) + len(self._fresh) > self._most:
                self._known.clear()
            self._known.update(self._fresh)
            self._fresh.clear()

    def rolled_back(self) -> None:
        """The transaction is gone, and the numbers with it."""
        self._fresh.clear()


class UnitOfWork:
    """Rows of one transaction. Load, change through the methods, `flush`; then forget it.

    rows: those that are in memory from earlier ones, None for a transaction that keeps nothing.
    """

    def __init__(self, connection: sqlite3.Connection, names: Names, rows: Rows | None = None) -> None:
        self.connection = connection
        self.names = names
        self._rows = rows = Rows() if rows is None else rows
        self.holds: dict[str, HoldRow] = rows.holds
        self.accounts: dict[int, AccountRow] = rows.accounts
        self.account_by_id: dict[str, AccountRow] = rows.account_by_id
        self.keys: dict[str, KeyRow] = rows.keys
        self.leases: set[int] = rows.leases
        self._new: list[HoldRow] = []
        self._changed: dict[int, HoldRow] = {}
        self._moved: dict[int, AccountRow] = {}
        self._moved_months: dict[tuple[int, int], MonthRow] = {}
        self._entries: list[tuple[Any, ...]] = []
        self._usage: list[tuple[Any, ...]] = []
        self._rollups: dict[tuple[int, int, int, int], list[int]] = {}
        self._tag_sums: dict[tuple[int, int, str, str, int], list[int]] = {}

    def load(self, request_ids: Collection[str], account_ids: Iterable[str] = (), key_ids: Iterable[str] = ()) -> None:
        """Read the holds of these requests with their accounts, and these accounts and keys."""
        self._rows.load(self.connection, request_ids, account_ids, key_ids)

    def load_leases(self, wanted: Iterable[int]) -> None:
        """Look which of these leases still stand."""
        self._rows.load_leases(self.connection, wanted)

    def load_months(self, wanted: Iterable[tuple[int, int]]) -> None:
        """Read months by (key number, period)."""
        self._rows.load_months(self.connection, wanted)

    def month(self, key: int, period: int) -> MonthRow | None:
        """A key's month, new when it has none; None for calls without a key."""
        return self._rows.month(key, period)

    def add_hold(self, hold: HoldRow) -> None:
        """A new hold; its number is given here."""
        hold.n = self._rows.next_hold(self.connection)
        self._rows.keep(hold)
        self._new.append(hold)
        self._changed[hold.n] = hold

    def touch(self, hold: HoldRow) -> None:
        """Remember that a hold was changed."""
        self._changed[hold.n] = hold

    def refunded(self, hold: HoldRow) -> int:
        """Credits of a settled hold that were given back."""
        found = self.connection.execute(_REFUNDED, (hold.account, hold.n, KIND_NUMBER["refund"]))
        return int(found.fetchall()[0][0])

    def post(
        self,
        account: AccountRow,
        kind: EntryKind,
        created: int,
        *,
        amount: int = 0,
        reserved: int = 0,
        unpaid: int = 0,
        hold: HoldRow | None = None,
        basis: int | None = None,
        idem: str | None = None,
        note: str | None = None,
    ) -> None:
        """One entry, together with what it does to the account, to the key's month and to the sums of `/usage`."""
        account.balance += amount
        account.held += reserved
        account.moved += amount
        account.reserved += reserved
        self._moved[account.n] = account
        at = hold.n if hold else None
        self._entries.append(
            (account.n, KIND_NUMBER[kind], amount, reserved, unpaid, account.balance, created, at, basis, idem, note)
        )
        if hold is None:
            return
        month = self.month(hold.key, hold.period)
        if month is not None:
            month.used -= amount
            month.held += reserved
            month.moved -= amount
            month.reserved += reserved
            self._moved_months[(month.key, month.period)] = month
        if amount:
            self.roll_up(hold.account, hold.created, hold.key, hold.model, hold.tags, credits=-amount)

    def roll_up(
        self,
        account: int,
        created: int,
        key: int,
        model: int,
        tags: str | None,
        *,
        credits: int = 0,
        requests: int = 0,
        prompt: int = 0,
        completion: int = 0,
        others: Sequence[int] = (0, 0, 0, 0),
    ) -> None:
        """Add to the sums of a UTC day. tags: a JSON object, None for none. others: images, characters, seconds and
        searches."""
        day = created // 86_400
        place = (account, day, key, model)
        sums = self._rollups.get(place)
        if sums is None:
            self._rollups[place] = [credits, requests, prompt, completion, *others]
        else:
            sums[0] += credits
            sums[1] += requests
            sums[2] += prompt
            sums[3] += completion
            for at, more in enumerate(others, 4):
                sums[at] += more
        if tags is not None:
            for name, value in orjson.loads(tags).items():
                tagged = self._tag_sums.setdefault((account, day, name, value, key), [0, 0, 0])
                for at, more in enumerate((credits, requests, prompt + completion)):
                    tagged[at] += more

    def log(self, row: tuple[Any, ...]) -> None:
        """One row of the usage log, in the order of its columns."""
        self._usage.append(row)

    def flush(self) -> None:
        """Write everything back."""
        connection = self.connection
        if self._new:
            _ADD_HOLDS.run(connection, [_whole(hold) for hold in self._new])
            for hold in self._new:
                del self._changed[hold.n]
        if self._changed:
            self._flush_changed()
        if self._entries:
            _ADD_ENTRIES.run(connection, self._entries)
            self._flush_sums()
        if self._rollups:
            _ADD_ROLLUPS.run(connection, [(*place, *sums) for place, sums in self._rollups.items()])
        if self._tag_sums:
            sums = to_json((*place, *sums) for place, sums in self._tag_sums.items())
            connection.execute(_ADD_TAG_SUMS, (sums, MOST_TAG_VALUES))
        if self._usage:
            _ADD_USAGE.run(connection, self._usage)

    def _flush_changed(self) -> None:
        still_open = []
        closed = []
        for h in self._changed.values():
            if h.state == OPEN:
                known = (h.known, h.known_prompt, h.known_completion)
                still_open.append((h.n, h.amount, h.units, h.logged, h.dispatched, h.base, *known))
            else:
                closed.append((h.n, h.state, h.charged, h.logged, h.target, h.amount, h.units))
        if still_open:
            _CHANGE_OPEN.run(self.connection, still_open)
        if closed:
            _CHANGE_CLOSED.run(self.connection, closed)

    def _flush_sums(self) -> None:
        accounts = [(a.n, a.moved, a.reserved) for a in self._moved.values() if a.moved or a.reserved]
        if accounts:
            _MOVE_ACCOUNTS.run(self.connection, accounts)
        for account in self._moved.values():
            account.moved = account.reserved = 0
        months = self._moved_months.values()
        new = [(m.key, m.period, m.moved, m.reserved) for m in months if not m.stored]
        moved = [(m.key, m.period, m.moved, m.reserved) for m in months if m.stored and (m.moved or m.reserved)]
        if new:
            _ADD_MONTHS.run(self.connection, new)
        if moved:
            _MOVE_MONTHS.run(self.connection, moved)
        for month in months:
            month.stored, month.moved, month.reserved = True, 0, 0


def _whole(h: HoldRow) -> tuple[Any, ...]:
    live = h.state == OPEN
    return (
        h.n, h.request_id, h.account, h.key, h.period, h.created, h.model, h.amount, h.units, h.state, h.charged,
        h.logged, h.target,
        *(
            (h.process, h.dispatched, h.base, h.unit_price, h.ceiling, h.known, h.known_prompt, h.known_completion)
            if live
            else (None,) * 8
        ),
        h.tags,
    )  # fmt: skip
