"""Money: holds, entries, vouchers and the ledger; see `gateway.stores`."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal, Protocol

from gateway.call import Basis, Usage
from gateway.wire.spend_tags import Tags

MAX_CREDITS = 2**53
"""The largest amount of credits anywhere: JSON numbers stay exact up to here."""

CRASHED = "gateway_crash"
"""The error in the usage log of a request whose process died in the middle of it."""

EntryKind = Literal[
    "grant", "topup", "voucher", "hold", "hold_grow", "charge", "void", "refund", "overrun", "correction"
]
"""What a ledger entry did. `hold`, `hold_grow` and `void` move only `reserved`; `charge` ends a hold; `overrun` is
what a call cost beyond its hold: the part that could still be paid as `amount`, the rest as `unpaid`. So does a
`correction` that takes back what a payment service paid out again: what was spent meanwhile is `unpaid`."""


@dataclass(slots=True)
class HoldRequest:
    """Reserve `base + unit_price * units` credits (rounded up) for one call.

    base: cost of the bounded input and of everything not measured in output tokens. least_base: what that is expected
    to be; where balance and ceiling cannot pay `base` beside all `units`, the hold has this base, and as much more of
    `base` as they can pay beside the units. None: `base`, or nothing.
    units: output tokens wanted; the hold is clamped to what balance and key ceiling can pay, down to
    least_units, below which it is refused. period: the UTC month the key's ceiling counts in.
    key_id: "" for a call without a key (the console); then no ceiling applies.
    monthly_limit: a ceiling for the key; the one stored with the key counts too, the lower of both wins.
    reserve: output tokens to reserve at first, of those that could be paid; the rest comes by `grow`. None: all.
    model: the model the caller asked for; the bill appears under it in `UsageLog.summary`.
    tags: for whom it is; the bill appears under them in `UsageLog.by_tag`.
    """

    request_id: str
    account_id: str
    key_id: str
    period: str
    monthly_limit: int | None
    base: Decimal
    unit_price: Decimal
    units: int
    least_units: int
    model: str
    reserve: int | None = None
    least_base: Decimal | None = None
    tags: Tags = ()


@dataclass(slots=True)
class Hold:
    """What was reserved: `amount` credits. units: output tokens that balance and ceiling can pay; covered: those that
    are reserved, None for all of them. base: what of it is not for units, None for all that was asked."""

    request_id: str
    amount: int
    units: int
    covered: int | None = None
    base: Decimal | None = None


@dataclass(slots=True, frozen=True)
class Entry:
    """One line of the append-only ledger; see `EntryKind`.

    seq: grows with every entry. amount: what it did to the balance (charges are negative); reserved: what it did to
    the credits held; unpaid: what should have been taken besides, but was not there. balance: the account's balance
    after it. basis: of a charge or void, "" otherwise. key: the idempotency key of a credit operation, "" otherwise.
    """

    seq: int
    account_id: str
    kind: EntryKind
    amount: int
    reserved: int
    unpaid: int
    balance: int
    created_at: int
    request_id: str = ""
    key_id: str = ""
    model: str = ""
    basis: str = ""
    key: str = ""
    note: str = ""


@dataclass(slots=True, frozen=True)
class Voucher:
    """A voucher without its code. label: the last four characters; redeemed_by: an account id, "" while unused."""

    id: int
    label: str
    credits: int
    created_at: int
    expires_at: int | None = None
    redeemed_at: int | None = None
    redeemed_by: str = ""
    note: str = ""
    revoked_at: int | None = None


@dataclass(slots=True, frozen=True)
class Discrepancy:
    """Two figures that should be equal and are not. subject: whose, e.g. `account acct_x: balance`."""

    subject: str
    expected: int | str
    found: int | str

    def __str__(self) -> str:
        return f"{self.subject}: expected {self.expected}, found {self.found}"


class Ledger(Protocol):
    """Money. At every moment, in every process and after every crash:

    - `0 <= held <= balance` for each account, and used + held of a key's month is within its ceiling when a hold is
      granted. Checks and changes are one atomic step over all processes.
    - Each hold ends in exactly one charge or void, whatever is called how often and in what order: the first of
      `settle` and `void` counts, and whoever comes later learns what it was.
    - Every change of a balance is one entry of an append-only list; sums are theirs.

    Awaited methods are durable when they return. A caller that is cancelled meanwhile, or that gets a GatewayFault(503)
    because the connection broke, may ask again with the same id or key: the answer is that of the first time. What is
    handed over by one process for one request takes effect in that order.
    """

    async def hold(self, request: HoldRequest) -> Hold:
        """Reserve atomically against every limit. The hold belongs to the lease of this process. Asking again for an
        open hold of the same request returns it. Raises Refusal(402, code `insufficient_quota`), Refusal(401 or 403)
        for an account or key that is unknown, revoked or disabled, Refusal(409) for a request id that was used before,
        GatewayFault(503, code `lease_lost`) when the lease of this process was buried."""

    async def grow(self, request_id: str, units: int, *, base: Decimal = Decimal(0)) -> int:
        """Add up to `units` output tokens (and all of `base` credits) to an open hold, at the hold's unit price.
        Returns the units really added: fewer when balance or ceiling end, 0 when nothing was changed. Not idempotent:
        a caller that lost the answer has at worst reserved more than it knows, which ends with the hold."""

    def mark_dispatched(self, request_id: str) -> None:
        """Note, without waiting, that the upstream may have begun to work for this hold. May be batched and delayed by
        a second: what dies with the process before it is durable counts as not dispatched, and costs nothing, as it
        would have with the mark, because usage that was noted (`note_usage`) marks as well."""

    def note_usage(self, request_id: str, charge: int, usage: Usage) -> None:
        """Note, without waiting, what the call has cost so far; this is billed should the process die. May be batched
        and delayed by a fraction of a second, and only the last note needs to be written."""

    async def settle(
        self, request_id: str, charge: int, basis: Basis, usage: Usage, model: str, *, disputed: int = 0
    ) -> int:
        """Turn the hold into one posted entry; returns the credits really charged. Idempotent by request id, over all
        processes: later calls return what the first one charged, 0 after a void.

        disputed: credits of usage that the provider told and that this request cannot have caused; they are noted as
        `unpaid` in an `overrun` entry of their own, and nobody pays them.

        model: the model that answered. Beyond the hold, what balance and ceiling can still pay is charged, and the
        rest is booked as `unpaid`. A hold that was resolved by others because the lease was buried is not settled
        a second time: one that was voided is charged late, without a hold, as far as the free balance reaches; of one
        that was charged for what was known, what it cost beyond that is charged so, unless it was given back. Never
        queued behind holds. Raises GatewayFault when the charge is no integer from 0 to
        MAX_CREDITS, or when there never was a hold."""

    async def void(self, request_id: str) -> None:
        """Release the hold, charging nothing. Idempotent; unknown ids are fine."""

    async def grant(self, account_id: str, credits: int, *, kind: str, key: str, note: str = "") -> int:
        """Add credits (may be negative for corrections, never below what is held); `key` makes it idempotent, over all
        accounts: one payment cannot credit two of them. kind: grant, topup or correction. Returns the balance.
        Raises Refusal(404, 409, 400)."""

    async def refund(self, request_id: str, credits: int, *, key: str, note: str = "") -> int:
        """Give back credits of a settled call, at most what it was charged, to account and key's month. Idempotent by
        `key`. Returns the balance. Raises Refusal(404, 409, 400)."""

    async def create_vouchers(
        self, count: int, credits: int, *, expires_at: int | None = None, note: str = ""
    ) -> list[str]:
        """New single-use codes, each worth `credits`, at most 10,000 at once; only their digests are kept."""

    async def redeem(self, account_id: str, code: str, *, key: str = "") -> tuple[int, int]:
        """Turn a voucher into credits, once over all accounts; returns (credits, balance). The same non-empty `key` may
        ask again. Raises Refusal(400) alike when the code is unknown, used, expired or revoked."""

    async def list_vouchers(self, *, after: int = 0, limit: int = 100) -> list[Voucher]:
        """A page in order of creation; `after` is the id of the last voucher of the page before. limit: 1 to 1000."""

    async def revoke_voucher(self, voucher_id: int) -> Voucher | None:
        """Make an unused voucher worthless; None when there is no such voucher. Revoking again changes nothing.
        Raises Refusal(409) when it was redeemed."""

    async def entries(
        self, account_id: str | None = None, *, after: int = 0, limit: int = 100, newest_first: bool = False
    ) -> list[Entry]:
        """A page of the ledger; `after` is the `seq` of the last entry of the page before (0: from the start). `seq`
        grows with every entry of an account; `Entry.balance` is the running sum in that order. limit: 1 to 1000."""

    async def entries_of(self, request_id: str) -> list[Entry]:
        """What the ledger says of one request, oldest first: its hold, how it grew and ended, refunds. May look through
        all entries of its account, so it is for people who ask, not for requests."""

    def export(self, account_id: str | None = None) -> AsyncIterator[Entry]:
        """Every entry, oldest first, read in pages. Entries made meanwhile may come along."""

    async def fail_over(self, lease: str) -> int:
        """Resolve the open holds of a dead lease: charge what is known of dispatched ones (basis `estimated`) and log
        them with status 500, void the rest. Returns how many. Idempotent, and safe from several processes at once: each
        hold is resolved once. A hold of the dead that is granted later must be impossible, or found the next time."""
