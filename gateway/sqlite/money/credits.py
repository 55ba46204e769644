"""Credit operations outside of calls: grants, refunds, vouchers. All idempotent by key, all entries of the ledger."""

from __future__ import annotations

import sqlite3

from gateway.api import CallerFault, Refusal
from gateway.api.stores import (
    MAX_CREDITS,
    VOUCHER_PEPPER,
    EntryKind,
    Voucher,
    asked_credits,
    checked_text,
    derive,
    digest,
    new_code,
    no_account,
    read_code,
)
from gateway.sqlite.engine.core import Core
from gateway.sqlite.money.rows import SETTLED, AccountRow, HoldRow
from gateway.sqlite.money.unit_of_work import KIND_NUMBER, Names, UnitOfWork

GRANT_KINDS: tuple[EntryKind, ...] = ("grant", "topup", "correction")
_MOST_VOUCHERS = 10_000
_EARLIER = """
    SELECT e.account, e.kind, e.amount, h.request_id FROM entries AS e LEFT JOIN holds AS h ON h.n = e.hold
    WHERE e.idem = ?
"""
_VOUCHER = "SELECT n, credits, expires, redeemed, label, revoked FROM vouchers WHERE digest = ?"
_REDEEM = "UPDATE vouchers SET redeemed = ?, account = ? WHERE n = ? AND redeemed IS NULL"
_ADD_VOUCHER = "INSERT INTO vouchers (digest, label, credits, created, expires, note) VALUES (?, ?, ?, ?, ?, ?)"
_VOUCHERS = """
    SELECT v.n, v.label, v.credits, v.created, v.expires, v.redeemed, coalesce(a.id, ''), v.note,
        v.revoked
    FROM vouchers AS v LEFT JOIN accounts AS a ON a.n = v.account WHERE v.n > ? ORDER BY v.n LIMIT ?
"""
_REVOKE = "UPDATE vouchers SET revoked = ? WHERE n = ? AND redeemed IS NULL AND revoked IS NULL"


def _checked_key(key: str) -> str:
    if not key:
        raise CallerFault("key: an idempotency key is needed.", param="key")
    return checked_text(key, "key", least=1, most=200)


def _account(unit: UnitOfWork, account_id: str) -> AccountRow:
    unit.load((), (account_id,))
    account = unit.account_by_id.get(account_id)
    if account is None:
        raise no_account()
    return account


def _earlier(unit: UnitOfWork, key: str, account: AccountRow, kind: EntryKind, credits: int, request_id: str) -> bool:
    """Whether this very operation was booked before; Refusal (409) when the key was used for another one."""
    row = unit.connection.execute(_EARLIER, (key,)).fetchone()
    if row is None:
        return False
    if tuple(row) != (account.n, KIND_NUMBER[kind], credits, request_id or None):
        raise Refusal(
            "key: this idempotency key was used for another operation.",
            status=409,
            code="idempotency_conflict",
            param="key",
        )
    return True


def _check_sum(account: AccountRow, credits: int) -> None:
    if account.balance + credits > MAX_CREDITS:
        raise Refusal("credits: the balance would become too large.", status=400, code="too_many_credits")
    if account.balance + credits < account.held or account.balance + credits < 0:
        raise Refusal(
            f"credits: only {account.balance - account.held} credits can be taken away.",
            status=400,
            code="insufficient_credits",
        )


class Credits:
    """The credit half of `gateway.stores.Ledger`."""

    def __init__(self, core: Core, secret: bytes) -> None:
        self._core = core
        self._pepper = derive(secret, VOUCHER_PEPPER)

    async def grant(self, account_id: str, credits: int, *, kind: str, key: str, note: str = "") -> int:
        """A key counts over all accounts: one payment cannot credit two of them."""
        _checked_key(key)
        checked_text(note, "note", most=500)
        if kind not in GRANT_KINDS:
            raise CallerFault("kind: expected grant, topup or correction.", param="kind")
        asked_credits(credits, "credits", least=-MAX_CREDITS)
        if credits == 0 or (credits < 0 and kind != "correction"):
            raise CallerFault("credits: only a correction may take credits away, and nothing is no sum.",
                              param="credits")  # fmt: skip
        now = self._core.now()
        booked: EntryKind = next(known for known in GRANT_KINDS if known == kind)

        def work(connection: sqlite3.Connection, names: Names) -> int:
            unit = UnitOfWork(connection, names)
            account = _account(unit, account_id)
            if not _earlier(unit, key, account, booked, credits, ""):
                _check_sum(account, credits)
                unit.post(account, booked, now, amount=credits, idem=key, note=note or None)
                unit.flush()
            return account.balance

        return await self._core.write(work)

    async def refund(self, request_id: str, credits: int, *, key: str, note: str = "") -> int:
        """Checks the sum of earlier refunds in the same transaction."""
        _checked_key(key)
        checked_text(note, "note", most=500)
        asked_credits(credits, "credits", least=1)
        now = self._core.now()

        def work(connection: sqlite3.Connection, names: Names) -> int:
            unit = UnitOfWork(connection, names)
            unit.load((request_id,))
            hold: HoldRow | None = unit.holds.get(request_id)
            if hold is None or hold.state != SETTLED:
                raise Refusal("There is no charge for this request.", status=404, code="charge_not_found")
            account = unit.accounts[hold.account]
            if _earlier(unit, key, account, "refund", credits, request_id):
                return account.balance
            done = unit.refunded(hold)
            if credits > hold.charged - done:
                raise Refusal(
                    f"credits: at most {hold.charged - done} credits of this request can be given back.",
                    status=400,
                    code="refund_too_large",
                    param="credits",
                )
            _check_sum(account, credits)
            unit.load_months([(hold.key, hold.period)])
            unit.post(account, "refund", now, amount=credits, hold=hold, idem=key, note=note or None)
            unit.flush()
            return account.balance

        return await self._core.write(work)

    async def create_vouchers(
        self, count: int, credits: int, *, expires_at: int | None = None, note: str = ""
    ) -> list[str]:
        """At most 10,000 at once."""
        if isinstance(count, bool) or not 1 <= count <= _MOST_VOUCHERS:
            raise CallerFault(f"count: expected 1 to {_MOST_VOUCHERS}.", param="count")
        asked_credits(credits, "credits", least=1)
        checked_text(note, "note", most=500)
        now = self._core.now()
        if expires_at is not None and expires_at <= now:
            raise CallerFault("expires_at: this time has passed.", param="expires_at")
        codes = [new_code() for _ in range(count)]
        rows = [(self._digest(code), code[-4:], credits, now, expires_at, note) for code in codes]

        def work(connection: sqlite3.Connection, _: Names) -> None:
            connection.executemany(_ADD_VOUCHER, rows)

        await self._core.write(work)
        return codes

    async def redeem(self, account_id: str, code: str, *, key: str = "") -> tuple[int, int]:
        """A code that is unknown, used, expired or revoked gets the same answer, but for the one who
        used it."""
        stored = self._digest(code)
        checked_text(key, "key", most=200)
        now = self._core.now()

        def work(connection: sqlite3.Connection, names: Names) -> tuple[int, int]:
            unit = UnitOfWork(connection, names)
            account = _account(unit, account_id)
            found = connection.execute(_VOUCHER, (stored,)).fetchone() if stored else None
            if found is None:
                raise _no_voucher()
            number, credits, expires, redeemed, label, revoked = found
            # Without a key the voucher's own row says that it is used; whatever stood here could be somebody's key.
            idem = f"voucher:{account_id}:{key}" if key else None
            if idem and _earlier(unit, idem, account, "voucher", credits, ""):
                if redeemed is None:
                    raise Refusal("key: this idempotency key was used for another voucher.", status=409,
                                  code="idempotency_conflict", param="key")  # fmt: skip
                return credits, account.balance
            if redeemed is not None or revoked is not None or (expires is not None and expires <= now):
                raise _no_voucher()
            _check_sum(account, credits)
            connection.execute(_REDEEM, (now, account.n, number))
            unit.post(account, "voucher", now, amount=credits, idem=idem, note="voucher ..." + label)
            unit.flush()
            return credits, account.balance

        return await self._core.write(work)

    async def list_vouchers(self, *, after: int = 0, limit: int = 100) -> list[Voucher]:
        """A page in order of creation; `after` is the id of the last voucher of the page before."""
        rows = await self._core.reader.rows(_VOUCHERS, (after, min(max(limit, 1), 1000)), slow=True)
        return [Voucher(*row) for row in rows]

    async def revoke_voucher(self, voucher_id: int) -> Voucher | None:
        """An unused one, once."""
        now = self._core.now()

        def work(connection: sqlite3.Connection, _: Names) -> Voucher | None:
            connection.execute(_REVOKE, (now, voucher_id))
            row = connection.execute(_VOUCHERS, (voucher_id - 1, 1)).fetchone()
            if row is None or row[0] != voucher_id:
                return None
            voucher = Voucher(*row)
            if voucher.redeemed_at is not None:
                raise Refusal("This voucher was redeemed already.", status=409, code="voucher_used")
            return voucher

        return await self._core.write(work)

    def _digest(self, code: str) -> bytes:
        normal = read_code(code) if isinstance(code, str) else None
        return digest(self._pepper, normal) if normal else b""


def _no_voucher() -> Refusal:
    return Refusal("code: this voucher is unknown, used or expired.", status=400, code="invalid_voucher", param="code")
