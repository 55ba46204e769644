"""The audit: recompute every sum from the append-only entries and compare. Reads one snapshot of the database, so it
can run beside a busy gateway, and works on a backup as well."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from gateway.api.stores import Discrepancy

_CHECKS: tuple[tuple[str, str], ...] = (
    (
        "account {}: balance against the sum of its entries",
        """
        SELECT a.id, coalesce(e.total, 0), a.balance FROM accounts AS a
        LEFT JOIN (SELECT account, sum(amount) AS total FROM entries GROUP BY account) AS e ON e.account = a.n
        WHERE coalesce(e.total, 0) != a.balance
        """,
    ),
    (
        "account {}: held against the sum of its entries",
        """
        SELECT a.id, coalesce(e.total, 0), a.held FROM accounts AS a
        LEFT JOIN (SELECT account, sum(reserved) AS total FROM entries GROUP BY account) AS e ON e.account = a.n
        WHERE coalesce(e.total, 0) != a.held
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
            SELECT n, balance, sum(amount) OVER (PARTITION BY account ORDER BY n) AS running FROM entries)
        WHERE running != balance
        """,
    ),
    (
        "request {}: charged against its entries",
        """
        SELECT h.request_id, coalesce(e.total, 0), h.charged FROM holds AS h
        LEFT JOIN (SELECT hold, -sum(amount) AS total FROM entries WHERE kind IN (5, 8) GROUP BY hold) AS e
            ON e.hold = h.n
        WHERE coalesce(e.total, 0) != h.charged
        """,
    ),
    (
        "request {}: reserved credits left over after its end",
        """
        SELECT h.request_id, CASE WHEN h.state = 0 THEN h.amount ELSE 0 END, e.total FROM holds AS h
        JOIN (SELECT hold, sum(reserved) AS total FROM entries WHERE hold IS NOT NULL GROUP BY hold) AS e
            ON e.hold = h.n
        WHERE e.total != CASE WHEN h.state = 0 THEN h.amount ELSE 0 END
        """,
    ),
    (
        "request {}: number of charges and voids",
        """
        SELECT h.request_id, CASE h.state WHEN 0 THEN 0 ELSE 1 END, coalesce(e.ends, 0) FROM holds AS h
        LEFT JOIN (SELECT hold, count(*) AS ends, sum(kind = 5) AS charges, sum(kind = 6) AS voids
            FROM entries WHERE kind IN (5, 6) GROUP BY hold) AS e ON e.hold = h.n
        WHERE NOT CASE h.state
            WHEN 0 THEN e.ends IS NULL
            WHEN 1 THEN e.charges = 1 AND e.voids <= 1
            ELSE e.voids = 1 AND e.charges = 0 END
            OR (h.state != 0 AND e.ends IS NULL)
        """,
    ),
    (
        "key {}: credits used in a month against its charges",
        """
        SELECT coalesce(k.id, '') || ' ' || m.period, coalesce(e.total, 0), m.used FROM months AS m
        LEFT JOIN keys AS k ON k.n = m.key
        LEFT JOIN (SELECT h.key, h.period, -sum(e.amount) AS total FROM entries AS e JOIN holds AS h ON h.n = e.hold
            GROUP BY h.key, h.period) AS e ON e.key = m.key AND e.period = m.period
        WHERE coalesce(e.total, 0) != m.used
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
        WHERE h.key != 0 AND NOT EXISTS (SELECT 1 FROM months AS m WHERE m.key = h.key AND m.period = h.period)
        GROUP BY h.key, h.period
        """,
    ),
    (
        "usage of {}: credits of a day against the ledger",
        """
        WITH booked AS (
            SELECT h.account, h.created / 86400 AS day, h.key, h.model, -sum(e.amount) AS total
            FROM entries AS e JOIN holds AS h ON h.n = e.hold GROUP BY 1, 2, 3, 4),
        summed AS (SELECT account, day, key, model, credits FROM rollups)
        SELECT account || ' day ' || day || ' key ' || key || ' model ' || model, sum(booked), sum(summed) FROM (
            SELECT account, day, key, model, total AS booked, 0 AS summed FROM booked
            UNION ALL SELECT account, day, key, model, 0, credits FROM summed)
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


def check_database(path: Path) -> list[Discrepancy]:
    """Every discrepancy of the database at `path`; blocking, for a thread or a command. Raises sqlite3.Error when the
    file cannot be read at all."""
    connection = sqlite3.connect(path, isolation_level=None, timeout=5.0)
    try:
        connection.execute("PRAGMA query_only = ON")
        connection.execute("BEGIN")
        found = [
            Discrepancy(subject.replace("{}", str(row[0])), row[1], row[2])
            for subject, sql in _CHECKS
            for row in connection.execute(sql)
        ]
        found += [
            Discrepancy("database file", "ok", str(row[0]))
            for row in connection.execute("PRAGMA quick_check")
            if row[0] != "ok"
        ]
        found += [
            Discrepancy("row of table " + str(row[0]), "a row of " + str(row[2]), "none")
            for row in connection.execute("PRAGMA foreign_key_check")
        ]
        connection.execute("COMMIT")
    finally:
        connection.close()
    return found
