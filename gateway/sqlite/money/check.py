"""The audit: recompute every sum from the append-only entries and compare. Reads one snapshot of the database, so it
can run beside a busy gateway, and works on a backup as well.

What was found right once need not be added up again: entries are never changed. A clean check therefore leaves its
sums in a file beside the database (`gateway.db-checked`), and a check of what is new goes on from there. A full check
is the same, from nothing. The file may be deleted at any time, and one that does not belong to the database is not
believed.
"""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path

from gateway.api.stores import Discrepancy

SUFFIX = "-checked"
"""What the name of the file with the last clean check's sums adds to the database's."""

_SUMS = (
    # entry, hold: the last ones that are in the sums. account, amount, balance, created: of that entry, by which the
    # database is known again.
    "CREATE TABLE IF NOT EXISTS was_at (entry, hold, account, amount, balance, created)",
    "CREATE TABLE IF NOT EXISTS was_accounts (account INTEGER PRIMARY KEY, amount, reserved)",
    # Holds that were open; of those that had ended nothing can be new.
    "CREATE TABLE IF NOT EXISTS was_holds (hold INTEGER PRIMARY KEY, charged, reserved, charges, voids)",
    "CREATE TABLE IF NOT EXISTS was_months (key, period, used, PRIMARY KEY (key, period)) WITHOUT ROWID",
    """
    CREATE TABLE IF NOT EXISTS was_days (account, day, key, model, credits,
        PRIMARY KEY (account, day, key, model)) WITHOUT ROWID
    """,
)
_FITS = """
SELECT 1 FROM was_at AS w JOIN entries AS e ON e.n = w.entry
WHERE e.account = w.account AND e.amount = w.amount AND e.balance = w.balance AND e.created = w.created
"""

_NEW = (
    "CREATE TEMP TABLE since AS SELECT coalesce(max(entry), 0) AS entry, coalesce(max(hold), 0) AS hold FROM was_at",
    """
    CREATE TEMP TABLE new_accounts AS
    SELECT account, sum(amount) AS amount, sum(reserved) AS reserved FROM (
        SELECT account, amount, reserved FROM was_accounts
        UNION ALL SELECT account, amount, reserved FROM entries WHERE n > (SELECT entry FROM since))
    GROUP BY account
    """,
    # Every hold that is new, was open, or has new entries, with the sums of all its entries.
    """
    CREATE TEMP TABLE new_holds (
        hold INTEGER PRIMARY KEY, ends INTEGER, charged INTEGER, reserved INTEGER, charges INTEGER, voids INTEGER)
    """,
    """
    INSERT INTO new_holds
    SELECT hold, sum(charges + voids), sum(charged), sum(reserved), sum(charges), sum(voids) FROM (
        SELECT hold, charged, reserved, charges, voids FROM was_holds
        UNION ALL SELECT hold, CASE WHEN kind IN (5, 8) THEN -amount ELSE 0 END, reserved, kind = 5, kind = 6
            FROM entries WHERE n > (SELECT entry FROM since) AND hold IS NOT NULL
        UNION ALL SELECT n, 0, 0, 0, 0 FROM holds WHERE n > (SELECT hold FROM since))
    GROUP BY hold
    """,
    # What new entries of holds add up to, by everything that is summed elsewhere.
    """
    CREATE TEMP TABLE new_charges AS
    SELECT h.account, h.key, h.period, h.created / 86400 AS day, h.model, -sum(e.amount) AS credits
    FROM entries AS e JOIN holds AS h ON h.n = e.hold WHERE e.n > (SELECT entry FROM since)
    GROUP BY h.account, h.key, h.period, day, h.model
    """,
)

_CHECKS: tuple[tuple[str, str], ...] = (
    (
        "account {}: balance against the sum of its entries",
        """
        SELECT a.id, coalesce(e.amount, 0), a.balance FROM accounts AS a LEFT JOIN new_accounts AS e ON e.account = a.n
        WHERE coalesce(e.amount, 0) != a.balance
        """,
    ),
    (
        "account {}: held against the sum of its entries",
        """
        SELECT a.id, coalesce(e.reserved, 0), a.held FROM accounts AS a LEFT JOIN new_accounts AS e ON e.account = a.n
        WHERE coalesce(e.reserved, 0) != a.held
        """,
    ),
    (
        "account {}: held against its open holds",
        """
        SELECT a.id, coalesce(h.total, 0), a.held FROM accounts AS a
        LEFT JOIN (SELECT account, sum(amount) AS total FROM holds WHERE state = 0 GROUP BY account) AS h
            ON h.account = a.n
        WHERE coalesce(h.total, 0) != a.held
        """,
    ),
    (
        "account {}: balance within bounds",
        "SELECT id, held, balance FROM accounts WHERE balance < 0 OR held < 0 OR held > balance",
    ),
    (
        "entry {}: balance after it against the running sum",
        """
        SELECT n, running, balance FROM (
            SELECT e.n, e.balance, coalesce(w.amount, 0)
                + sum(e.amount) OVER (PARTITION BY e.account ORDER BY e.n) AS running
            FROM entries AS e LEFT JOIN was_accounts AS w ON w.account = e.account
            WHERE e.n > (SELECT entry FROM since))
        WHERE running != balance
        """,
    ),
    (
        "request {}: charged against its entries",
        """
        SELECT h.request_id, e.charged, h.charged FROM new_holds AS e JOIN holds AS h ON h.n = e.hold
        WHERE e.charged != h.charged
        """,
    ),
    (
        "request {}: reserved credits left over after its end",
        """
        SELECT h.request_id, CASE WHEN h.state = 0 THEN h.amount ELSE 0 END, e.reserved
        FROM new_holds AS e JOIN holds AS h ON h.n = e.hold
        WHERE e.reserved != CASE WHEN h.state = 0 THEN h.amount ELSE 0 END
        """,
    ),
    (
        "request {}: number of charges and voids",
        """
        SELECT h.request_id, CASE h.state WHEN 0 THEN 0 ELSE 1 END, e.ends
        FROM new_holds AS e JOIN holds AS h ON h.n = e.hold
        WHERE NOT CASE h.state
            WHEN 0 THEN e.ends = 0
            WHEN 1 THEN e.charges = 1 AND e.voids <= 1
            ELSE e.voids = 1 AND e.charges = 0 END
        """,
    ),
    (
        "key {}: credits used in a month against its charges",
        """
        SELECT coalesce(k.id, '') || ' ' || m.period, m.charged, m.used FROM (
            SELECT key, period, sum(charged) AS charged, sum(used) AS used FROM (
                SELECT key, period, used AS charged, 0 AS used FROM was_months
                UNION ALL SELECT n.key, n.period, n.credits, 0 FROM new_charges AS n
                    WHERE EXISTS (SELECT 1 FROM months AS m WHERE m.key = n.key AND m.period = n.period)
                UNION ALL SELECT key, period, 0, used FROM months)
            GROUP BY key, period) AS m
        LEFT JOIN keys AS k ON k.n = m.key
        WHERE m.charged != m.used
        """,
    ),
    (
        "key {}: credits held in a month against its open holds",
        """
        SELECT coalesce(k.id, '') || ' ' || m.period, coalesce(h.total, 0), m.held FROM months AS m
        LEFT JOIN keys AS k ON k.n = m.key
        LEFT JOIN (SELECT key, period, sum(amount) AS total FROM holds WHERE state = 0 GROUP BY key, period) AS h
            ON h.key = m.key AND h.period = m.period
        WHERE coalesce(h.total, 0) != m.held
        """,
    ),
    (
        "key {}: a month without a row",
        """
        SELECT h.key || ' ' || h.period, 1, 0 FROM holds AS h
        WHERE h.n > (SELECT hold FROM since) AND h.key != 0
            AND NOT EXISTS (SELECT 1 FROM months AS m WHERE m.key = h.key AND m.period = h.period)
        GROUP BY h.key, h.period
        """,
    ),
    (
        "usage of {}: credits of a day against the ledger",
        """
        SELECT account || ' day ' || day || ' key ' || key || ' model ' || model, sum(booked), sum(summed) FROM (
            SELECT account, day, key, model, credits AS booked, 0 AS summed FROM was_days
            UNION ALL SELECT account, day, key, model, credits, 0 FROM new_charges
            UNION ALL SELECT account, day, key, model, 0, credits FROM rollups)
        GROUP BY account, day, key, model HAVING sum(booked) != sum(summed)
        """,
    ),
    (
        "top-up {}: credited against its entries",
        """
        SELECT t.id, coalesce(sum(e.amount), 0), t.credited FROM topups AS t
        LEFT JOIN entries AS e ON e.idem > 'topup:' || t.id || ':' AND e.idem < 'topup:' || t.id || ';'
        GROUP BY t.n HAVING coalesce(sum(e.amount), 0) != t.credited
        """,
    ),
    (
        "top-up {}: money received and given back against its parts",
        """
        SELECT t.id, coalesce(p.total, 0), t.settled - t.returned FROM topups AS t
        LEFT JOIN (SELECT topup, sum(amount) AS total FROM topup_parts GROUP BY topup) AS p ON p.topup = t.n
        WHERE coalesce(p.total, 0) != t.settled - t.returned
        """,
    ),
    (
        "voucher {}: redeemed without an entry",
        """
        SELECT v.n, v.credits, 0 FROM vouchers AS v WHERE v.redeemed IS NOT NULL
            AND (SELECT count(*) FROM entries AS e WHERE e.account = v.account AND e.kind = 2) = 0
        """,
    ),
)

# All was right, so the sums of the entries are what the tables say.
_KEEP = (
    """
    INSERT INTO was_at SELECT n, (SELECT coalesce(max(n), 0) FROM holds), account, amount, balance, created
    FROM entries ORDER BY n DESC LIMIT 1
    """,
    "INSERT INTO was_accounts SELECT n, balance, held FROM accounts",
    """
    INSERT INTO was_holds SELECT e.hold, e.charged, e.reserved, e.charges, e.voids
    FROM new_holds AS e JOIN holds AS h ON h.n = e.hold WHERE h.state = 0
    """,
    "INSERT INTO was_months SELECT key, period, used FROM months",
    "INSERT INTO was_days SELECT account, day, key, model, credits FROM rollups",
)


_EMPTY = (
    "DELETE FROM was_at",
    "DELETE FROM was_accounts",
    "DELETE FROM was_holds",
    "DELETE FROM was_months",
    "DELETE FROM was_days",
)


def check_database(path: Path, *, full: bool = True, keep: bool = False) -> list[Discrepancy]:
    """Every discrepancy of the database at `path`; blocking, for a thread or a command.

    full: everything, also the file's pages and references; otherwise the entries and holds since the last clean check
    that was kept, and all that is summed (balances, months, days, top-ups). keep: let the next check go on from here
    if this one finds nothing. Raises sqlite3.Error when the file cannot be read at all.
    """
    connection = _begin_kept(path) if keep or not full else _begin(":memory:", path)
    try:
        if full or connection.execute(_FITS).fetchone() is None:
            _forget(connection)
        for statement in _NEW:
            connection.execute(statement)
        found = [
            Discrepancy(subject.replace("{}", str(row[0])), row[1], row[2])
            for subject, sql in _CHECKS
            for row in connection.execute(sql)
        ]
        if full:
            found += _damage(connection)
        if keep and not found:
            _forget(connection)
            for statement in _KEEP:
                connection.execute(statement)
            connection.execute("COMMIT")
        else:
            connection.execute("ROLLBACK")
    finally:
        connection.close()
    return found


def _begin_kept(path: Path) -> sqlite3.Connection:
    """With the sums of the last clean check; with none, in memory, when they cannot be had: the folder cannot be
    written, the file is none of ours, another check is using it."""
    place = path.with_name(path.name + SUFFIX)
    try:
        # Only the owner may read what the database holds; SQLite itself would ask the umask.
        os.close(os.open(place, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        return _begin(str(place), path)
    except (OSError, sqlite3.Error):
        return _begin(":memory:", path)


def _begin(place: str, path: Path) -> sqlite3.Connection:
    """A transaction on the sums at `place`, which nobody else can change until it ends; the database is attached, and
    only read."""
    connection = sqlite3.connect(place, isolation_level=None, timeout=0.0)
    try:
        for statement in _SUMS:
            connection.execute(statement)
        connection.execute("ATTACH ? AS book", (str(path),))
        connection.execute("BEGIN")
        connection.execute("UPDATE was_at SET entry = entry")
        connection.execute("PRAGMA busy_timeout = 5000")
    except BaseException:  # closed, and raised again
        connection.close()
        raise
    return connection


def _forget(connection: sqlite3.Connection) -> None:
    for statement in _EMPTY:
        connection.execute(statement)


def _damage(connection: sqlite3.Connection) -> list[Discrepancy]:
    pages = [
        Discrepancy("database file", "ok", str(row[0]))
        for row in connection.execute("PRAGMA book.quick_check")
        if row[0] != "ok"
    ]
    return pages + [
        Discrepancy("row of table " + str(row[0]), "a row of " + str(row[2]), "none")
        for row in connection.execute("PRAGMA book.foreign_key_check")
    ]
