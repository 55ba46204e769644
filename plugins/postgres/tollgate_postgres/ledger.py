"""The ledger: what happens to holds goes through the lanes, credits through functions of the database."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from decimal import Decimal
from typing import Any, Literal, get_args

import orjson

from gateway.api import Basis, CallerFault, GatewayFault, Refusal, Usage
from gateway.api.stores import (
    CRASHED,
    MAX_CREDITS,
    VOUCHER_PEPPER,
    Entry,
    EntryKind,
    Hold,
    HoldRequest,
    Tags,
    Voucher,
    asked_credits,
    checked_count,
    checked_price,
    checked_text,
    derive,
    digest,
    new_code,
    no_account,
    read_code,
    read_period,
    too_poor,
)
from tollgate_postgres.engine import REPORT_WITHIN, Database
from tollgate_postgres.lanes import Lanes
from tollgate_postgres.presence import PostgresPresence

KINDS: tuple[EntryKind, ...] = get_args(EntryKind)
"""Kinds of entries; the database keeps the position."""
BASES: tuple[Basis | Literal[""], ...] = ("", "provider", "estimated", "void")
_AT_ONCE = 200
_PAGE = 1000
_ENTRIES = "SELECT * FROM gw_entries WHERE n > $1 AND ($3 = '' OR account = $3) ORDER BY n LIMIT $2"
_OF_REQUEST = """
    SELECT v.* FROM holds AS h JOIN entries AS e ON e.hold = h.n JOIN gw_entries AS v ON v.n = e.n
    WHERE h.request_id = $1 ORDER BY v.n
"""
_NEWEST = """
    SELECT * FROM gw_entries WHERE ($1 = 0 OR n < $1) AND ($3 = '' OR account = $3) ORDER BY n DESC LIMIT $2
"""


def _faulty(answer: dict[str, Any], request: HoldRequest) -> Exception:
    """What `gw_hold` refused, in words."""
    code = answer["e"]
    if code == "used":
        return Refusal("This request id was used before.", status=409, code="request_id_used")
    if code == "lease":
        return GatewayFault("This gateway was taken for dead and has to sign on again. Try again.", status=503,
                            code="lease_lost", retry_after=1.0)  # fmt: skip
    if code == "account":
        return Refusal("The account of this key is unknown.", status=401, code="invalid_api_key")
    if code == "disabled":
        return Refusal("This account is disabled.", status=403, type="account_disabled", code="account_disabled")
    if code == "key":
        return Refusal("The API key is unknown or revoked.", status=401, code="invalid_api_key")
    return too_poor(
        request, balance=answer["balance"], held=answer["held"], room=answer["room"], ceiling=answer["ceiling"]
    )


def _refused(answer: dict[str, Any]) -> Exception:
    """What `gw_credit` refused, in words."""
    code = answer["e"]
    if code == "account":
        return no_account()
    if code == "charge":
        return Refusal("There is no charge for this request.", status=404, code="charge_not_found")
    if code == "voucher":
        return Refusal("code: this voucher is unknown, used or expired.", status=400, code="invalid_voucher",
                       param="code")  # fmt: skip
    if code == "conflict":
        return Refusal("key: this idempotency key was used for another operation.", status=409,
                       code="idempotency_conflict", param="key")  # fmt: skip
    if code == "refund":
        return Refusal(f"credits: at most {answer['left']} credits of this request can be given back.", status=400,
                       code="refund_too_large", param="credits")  # fmt: skip
    if code == "many":
        return Refusal("credits: the balance would become too large.", status=400, code="too_many_credits")
    return Refusal(f"credits: only {answer['free']} credits can be taken away.", status=400,
                   code="insufficient_credits")  # fmt: skip


def written_tags(tags: Tags) -> str | None:
    """As the database keeps them: a JSON object, NULL for none."""
    return orjson.dumps(dict(tags)).decode() if tags else None


class PostgresLedger:
    """`gateway.stores.Ledger`."""

    def __init__(self, database: Database, lanes: Lanes, presence: PostgresPresence, secret: bytes) -> None:
        self._database = database
        self._lanes = lanes
        self._presence = presence
        self._pepper = derive(secret, VOUCHER_PEPPER)

    async def hold(self, request: HoldRequest) -> Hold:
        """Through the account's lane."""
        if not request.request_id or len(request.request_id) > 200:
            raise GatewayFault("A request id must have 1 to 200 characters.")
        if request.monthly_limit is not None and not request.key_id:
            raise GatewayFault("A monthly limit belongs to a key, and this request has none.")
        checked_count(request.units, "units")
        checked_count(request.least_units, "least_units")
        if request.reserve is not None:
            checked_count(request.reserve, "reserve")
        base, price = checked_price(request.base, "base"), checked_price(request.unit_price, "unit price")
        lane = self._lanes.for_account(request.account_id, request.request_id)
        answer = await lane.submit(
            {
                "do": "hold", "r": request.request_id, "a": request.account_id, "k": request.key_id,
                "p": read_period(request.period), "l": request.monthly_limit, "b": str(base), "u": str(price),
                "w": str(base if request.least_base is None else checked_price(request.least_base, "base")),
                "n": request.units, "m": request.least_units, "v": request.reserve, "d": request.model,
                "g": written_tags(request.tags),
            }
        )  # fmt: skip
        if "e" in answer:
            self._lanes.forget(request.request_id)
            raise _faulty(answer, request)
        taken = answer.get("base")
        return Hold(
            request.request_id, answer["amount"], int(answer["units"]), answer.get("covered"),
            None if taken is None else Decimal(taken),
        )  # fmt: skip

    async def grow(self, request_id: str, units: int, *, base: Decimal = Decimal(0)) -> int:
        """Through the request's lane."""
        checked_count(units, "units")
        more = {"do": "grow", "r": request_id, "n": units, "b": str(checked_price(base, "base"))}
        return int(await self._lanes.for_request(request_id).submit(more))

    def mark_dispatched(self, request_id: str) -> None:
        """A little later, if it has not ended by then."""
        self._lanes.for_request(request_id).mark(request_id)

    def note_usage(self, request_id: str, charge: int, usage: Usage) -> None:
        """With the next batch."""
        self._lanes.for_request(request_id).post(
            {
                "do": "note", "r": request_id, "c": checked_count(charge, "charge"),
                "i": checked_count(usage.prompt_tokens, "prompt_tokens"),
                "n": checked_count(usage.completion_tokens, "completion_tokens"),
            }
        )  # fmt: skip

    async def settle(
        self, request_id: str, charge: int, basis: Basis, usage: Usage, model: str, *, disputed: int = 0
    ) -> int:
        """Stays in the lane, and in the journal, until it is written."""
        checked_count(charge, "charge")
        checked_count(disputed, "disputed")
        if basis == "void" and charge:
            raise GatewayFault("A voided bill cannot have a charge.")
        answer = await self._lanes.for_request(request_id).submit(
            {"do": "settle", "r": request_id, "c": charge, "s": BASES.index(basis), "d": model, "x": disputed}
        )
        self._lanes.forget(request_id)
        if isinstance(answer, dict):
            raise GatewayFault("There is no hold for this request; nothing was charged.", code="unknown_hold")
        return int(answer)

    async def void(self, request_id: str) -> None:
        """Stays in the lane, and in the journal, until it is written."""
        await self._lanes.for_request(request_id).submit({"do": "void", "r": request_id})
        self._lanes.forget(request_id)

    async def fail_over(self, lease: str) -> int:
        """In pieces, so that running calls are not kept waiting; those first whose end it left in its journal."""
        await self._lanes.settle_inheritance()
        resolved = 0
        while done := await self._database.value(
            "SELECT gw_fail_over($1, $2, $3, $4)", lease, self._database.now(), CRASHED, _AT_ONCE, within=REPORT_WITHIN
        ):
            resolved += done
        return resolved

    async def _credit(
        self, account: str | None, kind: str, amount: int | None, key: str, note: str = "",
        request: str | None = None, voucher: bytes | None = None,
    ) -> dict[str, Any]:  # fmt: skip
        answer: dict[str, Any] = await self._database.value(
            "SELECT gw_credit($1, $2, $3, $4, $5, $6, $7, $8)",
            account, KINDS.index(kind), amount, key, note, self._database.now(), request, voucher,
        )  # fmt: skip
        if "e" in answer:
            raise _refused(answer)
        return answer

    async def grant(self, account_id: str, credits: int, *, kind: str, key: str, note: str = "") -> int:
        """Once by its key; run again when the connection broke."""
        checked_text(key, "key", least=1, most=200)
        checked_text(note, "note", most=500)
        asked_credits(credits, "credits", least=-MAX_CREDITS)
        if kind not in ("grant", "topup", "correction"):
            raise CallerFault("kind: expected grant, topup or correction.", param="kind")
        if credits == 0 or (credits < 0 and kind != "correction"):
            raise CallerFault("credits: only a correction may take credits away, and nothing is no sum.",
                              param="credits")  # fmt: skip
        return int((await self._credit(account_id, kind, credits, key, note))["balance"])

    async def refund(self, request_id: str, credits: int, *, key: str, note: str = "") -> int:
        """At most what was charged and not given back yet."""
        checked_text(key, "key", least=1, most=200)
        checked_text(note, "note", most=500)
        asked_credits(credits, "credits", least=1)
        return int((await self._credit(None, "refund", credits, key, note, request=request_id))["balance"])

    async def create_vouchers(
        self, count: int, credits: int, *, expires_at: int | None = None, note: str = ""
    ) -> list[str]:
        """One statement for all."""
        if isinstance(count, bool) or not isinstance(count, int) or not 1 <= count <= 10_000:
            raise CallerFault("count: expected an integer from 1 to 10000.", param="count")
        asked_credits(credits, "credits", least=1)
        checked_text(note, "note", most=500)
        now = self._database.now()
        if expires_at is not None and asked_credits(expires_at, "expires_at", least=0) <= now:
            raise CallerFault("expires_at: this time has passed.", param="expires_at")
        codes = [new_code() for _ in range(count)]
        await self._database.run(
            lambda connection: connection.execute(
                "INSERT INTO vouchers (digest, label, credits, created, expires, note) "
                "SELECT d, l, $3, $4, $5, $6 FROM unnest($1::bytea[], $2::text[]) AS v (d, l)",
                [self._digest(code) for code in codes], [code[-4:] for code in codes], credits, now, expires_at, note,
            ),
            again=False, within=REPORT_WITHIN,
        )  # fmt: skip
        return codes

    def _digest(self, code: str) -> bytes:
        normal = read_code(code) if isinstance(code, str) else None
        return digest(self._pepper, normal) if normal else b""

    async def redeem(self, account_id: str, code: str, *, key: str = "") -> tuple[int, int]:
        """The voucher's row is locked with the account's."""
        checked_text(key, "key", most=200)
        answer = await self._credit(account_id, "voucher", None, key, voucher=self._digest(code))
        return int(answer["credits"]), int(answer["balance"])

    async def list_vouchers(self, *, after: int = 0, limit: int = 100) -> list[Voucher]:
        """In order of creation."""
        rows = await self._database.rows(
            "SELECT * FROM gw_vouchers WHERE n > $1 ORDER BY n LIMIT $2", after, min(max(limit, 1), _PAGE)
        )
        return [Voucher(*row) for row in rows]

    async def revoke_voucher(self, voucher_id: int) -> Voucher | None:
        """Only while it is unused."""
        await self._database.execute(
            "UPDATE vouchers SET revoked = $2 WHERE n = $1 AND revoked IS NULL AND redeemed IS NULL",
            voucher_id, self._database.now(),
        )  # fmt: skip
        row = await self._database.row("SELECT * FROM gw_vouchers WHERE n = $1", voucher_id)
        if row is not None and row[5] is not None:
            raise Refusal("This voucher was redeemed already.", status=409, code="voucher_used")
        return None if row is None else Voucher(*row)

    async def entries(
        self, account_id: str | None = None, *, after: int = 0, limit: int = 100, newest_first: bool = False
    ) -> list[Entry]:
        """By the index of the account, or by the number alone."""
        query = _NEWEST if newest_first else _ENTRIES
        most = min(max(limit, 1), _PAGE)
        rows = await self._database.rows(query, after, most, account_id or "", within=REPORT_WITHIN)
        return [replace(Entry(*row[:14]), kind=KINDS[row[2]], basis=BASES[row[11]]) for row in rows]

    async def entries_of(self, request_id: str) -> list[Entry]:
        """By the index of its hold."""
        rows = await self._database.rows(_OF_REQUEST, request_id)
        return [replace(Entry(*row[:14]), kind=KINDS[row[2]], basis=BASES[row[11]]) for row in rows]

    async def export(self, account_id: str | None = None) -> AsyncIterator[Entry]:
        """Page by page."""
        after = 0
        while page := await self.entries(account_id, after=after, limit=_PAGE):
            for entry in page:
                yield entry
            after = page[-1].seq
