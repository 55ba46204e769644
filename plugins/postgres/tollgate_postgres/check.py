"""The audit: recompute every sum from the append-only entries and compare, in one consistent state, beside running
calls."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.api.stores import Discrepancy

if TYPE_CHECKING:
    import asyncpg

CHECKS: tuple[tuple[str, str], ...] = (
    (
        "account {}: balance against the sum of its entries",
        "SELECT a.id, coalesce(e.total, 0)::bigint, a.balance FROM accounts AS a LEFT JOIN "
        "(SELECT account, sum(amount) AS total FROM entries GROUP BY account) AS e ON e.account = a.n "
        "WHERE coalesce(e.total, 0) <> a.balance",
    ),
    (
        "account {}: held against the sum of its entries",
        "SELECT a.id, coalesce(e.total, 0)::bigint, a.held FROM accounts AS a LEFT JOIN "
        "(SELECT account, sum(reserved) AS total FROM entries GROUP BY account) AS e ON e.account = a.n "
        "WHERE coalesce(e.total, 0) <> a.held",
    ),
    (
        "account {}: held against its open holds",
        "SELECT a.id, coalesce(h.total, 0)::bigint, a.held FROM accounts AS a LEFT JOIN "
        "(SELECT account, sum(amount) AS total FROM holds WHERE state = 0 GROUP BY account) AS h ON h.account = a.n "
        "WHERE coalesce(h.total, 0) <> a.held",
    ),
    (
        "entry {}: balance after it against the running sum",
        "SELECT n, running::bigint, balance FROM (SELECT n, balance, sum(amount) OVER (PARTITION BY account "
        "ORDER BY n) AS running FROM entries) AS e WHERE running <> balance",
    ),
    (
        "request {}: charged against its entries",
        "SELECT h.request_id, coalesce(e.total, 0)::bigint, h.charged FROM holds AS h LEFT JOIN (SELECT hold, "
        "-sum(amount) AS total FROM entries WHERE kind IN (5, 8) GROUP BY hold) AS e ON e.hold = h.n "
        "WHERE coalesce(e.total, 0) <> h.charged",
    ),
    (
        "request {}: reserved credits left over after its end",
        "SELECT h.request_id, CASE WHEN h.state = 0 THEN h.amount ELSE 0 END, e.total::bigint FROM holds AS h JOIN "
        "(SELECT hold, sum(reserved) AS total FROM entries WHERE hold IS NOT NULL GROUP BY hold) AS e ON e.hold = h.n "
        "WHERE e.total <> CASE WHEN h.state = 0 THEN h.amount ELSE 0 END",
    ),
    (
        "request {}: number of charges and voids",
        "SELECT h.request_id, 1, coalesce(e.charges + e.voids, 0) FROM holds AS h LEFT JOIN (SELECT hold, "
        "count(*) FILTER (WHERE kind = 5) AS charges, count(*) FILTER (WHERE kind = 6) AS voids FROM entries "
        "WHERE kind IN (5, 6) GROUP BY hold) AS e ON e.hold = h.n WHERE NOT CASE h.state WHEN 0 THEN e.hold IS NULL "
        "WHEN 1 THEN coalesce(e.charges = 1 AND e.voids <= 1, false) "
        "ELSE coalesce(e.voids = 1 AND e.charges = 0, false) END",
    ),
    (
        "key {}: credits used in a month against its charges",
        "SELECT k.id || ' ' || m.period, coalesce(e.total, 0)::bigint, m.used FROM months AS m JOIN keys AS k "
        "ON k.n = m.key LEFT JOIN (SELECT h.key, h.period, -sum(e.amount) AS total FROM entries AS e JOIN holds AS h "
        "ON h.n = e.hold GROUP BY h.key, h.period) AS e ON e.key = m.key AND e.period = m.period "
        "WHERE coalesce(e.total, 0) <> m.used",
    ),
    (
        "key {}: credits held in a month against its open holds",
        "SELECT k.id || ' ' || m.period, coalesce(h.total, 0)::bigint, m.held FROM months AS m JOIN keys AS k "
        "ON k.n = m.key LEFT JOIN (SELECT key, period, sum(amount) AS total FROM holds WHERE state = 0 "
        "GROUP BY key, period) AS h ON h.key = m.key AND h.period = m.period WHERE coalesce(h.total, 0) <> m.held",
    ),
    (
        "usage of account {}: credits against the ledger",
        "SELECT a.id, coalesce(e.total, 0)::bigint, coalesce(r.total, 0)::bigint FROM accounts AS a LEFT JOIN "
        "(SELECT account, -sum(amount) AS total FROM entries WHERE hold IS NOT NULL GROUP BY account) AS e "
        "ON e.account = a.n LEFT JOIN (SELECT account, sum(credits) AS total FROM rollups GROUP BY account) AS r "
        "ON r.account = a.n WHERE coalesce(e.total, 0) <> coalesce(r.total, 0)",
    ),
    (
        "top-up {}: credited against its entries",
        "SELECT t.id, coalesce(sum(e.amount), 0)::bigint, t.credited FROM topups AS t LEFT JOIN entries AS e "
        "ON e.idem LIKE 'topup:' || t.id || ':%' GROUP BY t.n HAVING coalesce(sum(e.amount), 0) <> t.credited",
    ),
    (
        "top-up {}: money received and given back against its parts",
        "SELECT t.id, coalesce(p.total, 0)::bigint, t.settled - t.returned FROM topups AS t LEFT JOIN (SELECT topup, "
        "sum(amount) AS total FROM topup_parts GROUP BY topup) AS p ON p.topup = t.n "
        "WHERE coalesce(p.total, 0) <> t.settled - t.returned",
    ),
    (
        "voucher {}: redeemed without an entry",
        "SELECT v.n, v.credits, 0 FROM vouchers AS v WHERE v.redeemed IS NOT NULL AND NOT EXISTS "
        "(SELECT 1 FROM entries AS e WHERE e.account = v.account AND e.kind = 2 AND e.amount = v.credits)",
    ),
)


async def check(connection: asyncpg.Connection[asyncpg.Record]) -> list[Discrepancy]:
    """Every discrepancy, in one snapshot."""
    found = []
    async with connection.transaction(isolation="repeatable_read", readonly=True):
        for subject, sql in CHECKS:
            for row in await connection.fetch(sql, timeout=3600.0):
                found.append(Discrepancy(subject.replace("{}", str(row[0])), row[1], row[2]))
    return found
