"""What the gateway remembers, as protocols. The SQLite implementation lives in `gateway.ledger`;
a plugin may register others (`register_stores`) that keep the same promises.

Every method that changes something is durable when it returns, unless it says otherwise, and is safe against
cancellation of the caller: an operation once handed over is applied whole or not at all. A method that cannot reach
its database raises `GatewayFault` (503) and has changed nothing.
Credits are integers of at most `MAX_CREDITS`. Times are unix seconds. Months are UTC period ids such as `2026-11`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Literal, Protocol

from gateway.answers import Answers
from gateway.call import Basis, Caller, Usage
from gateway.payments import TopUps

MAX_CREDITS = 2**53
"""The largest amount of credits anywhere: JSON numbers stay exact up to here."""

EntryKind = Literal[
    "grant", "topup", "voucher", "hold", "hold_grow", "charge", "void", "refund", "overrun", "correction"
]
"""What a ledger entry did. `hold`, `hold_grow` and `void` move only `reserved`; `charge` ends a hold; `overrun` is
what a call cost beyond its hold: the part that could still be paid as `amount`, the rest as `unpaid`. So does a
`correction` that takes back what a payment service paid out again: what was spent meanwhile is `unpaid`."""


@dataclass(slots=True, frozen=True)
class Account:
    """balance: credits left (settled); held: credits reserved by running calls; `held <= balance` always."""

    id: str
    name: str
    role: str
    balance: int
    held: int
    created_at: int
    requests_per_minute: int | None = None
    disabled: bool = False


@dataclass(slots=True, frozen=True)
class AccountChange:
    """The members of an account that may be changed, each only when its name is in `change`: never the balance.

    change: the names of the members to set, e.g. `("name", "disabled")`.
    """

    change: tuple[str, ...]
    name: str = ""
    role: str = "user"
    disabled: bool = False
    requests_per_minute: int | None = None


@dataclass(slots=True, frozen=True)
class Key:
    """A key without its secret. label: prefix and last four characters, fit for display and logs."""

    id: str
    account_id: str
    name: str
    label: str
    created_at: int
    expires_at: int | None = None
    revoked_at: int | None = None
    last_used_at: int | None = None
    monthly_limit: int | None = None
    models: tuple[str, ...] | None = None
    requests_per_minute: int | None = None
    ip_allow: tuple[str, ...] | None = None


@dataclass(slots=True, frozen=True)
class KeySettings:
    """What its creator decides about a key; see `Key` and `gateway.call.Caller` for meanings and units."""

    name: str = ""
    expires_at: int | None = None
    monthly_limit: int | None = None
    models: tuple[str, ...] | None = None
    requests_per_minute: int | None = None
    ip_allow: tuple[str, ...] | None = None


@dataclass(slots=True, frozen=True)
class HoldRequest:
    """Reserve `base + unit_price * units` credits (rounded up) for one call.

    base: cost of the bounded input and of everything not measured in output tokens.
    units: output tokens wanted; the hold is clamped to what balance and key ceiling can pay, down to
    least_units, below which it is refused. period: the UTC month the key's ceiling counts in.
    key_id: "" for a call without a key (the console); then no ceiling applies.
    monthly_limit: a ceiling for the key; the one stored with the key counts too, the lower of both wins.
    reserve: output tokens to reserve at first, of those that could be paid; the rest comes by `grow`. None: all.
    model: the model the caller asked for; the bill appears under it in `UsageLog.summary`.
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


@dataclass(slots=True, frozen=True)
class Hold:
    """What was reserved: `amount` credits. units: output tokens that balance and ceiling can pay; covered: those that
    are reserved, None for all of them."""

    request_id: str
    amount: int
    units: int
    covered: int | None = None


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


@dataclass(slots=True, frozen=True)
class UsageRow:
    """One request in the usage log. created: unix seconds; milliseconds for the two durations.
    model: what the caller asked for; target: the model that answered, "" when none did."""

    request_id: str
    account_id: str
    key_id: str
    model: str
    target: str
    route: str
    status: int
    usage: Usage
    basis: Basis
    created: int
    first_byte_ms: int | None = None
    total_ms: int = 0
    error: str = ""


@dataclass(slots=True, frozen=True)
class LoggedRequest:
    """A usage row as read back; seq: grows with every row; credits: what the ledger charged for it."""

    seq: int
    credits: int
    row: UsageRow


@dataclass(slots=True, frozen=True)
class UsageSummary:
    """The figures of `GET /usage`: totals; `(day, credits, requests)` per UTC day with any use, ascending;
    `(model, credits)`, most credits first. The credits are the ledger's own charges, booked on the day and under
    the model of their hold; tokens and requests come from the usage log."""

    balance: int
    credits: int
    tokens: int
    requests: int
    daily: Sequence[tuple[str, int, int]] = ()
    by_model: Sequence[tuple[str, int]] = ()


@dataclass(slots=True, frozen=True)
class Window:
    """State of a sliding window after a hit. `reset`: seconds until the window is wholly free again;
    `retry_after`: seconds until the next hit would be allowed, 0.0 when it is now."""

    allowed: bool
    limit: int
    remaining: int
    reset: float
    retry_after: float


class Accounts(Protocol):
    """Who may call, and how much is left to them."""

    async def create_account(self, name: str, *, role: str = "user", grant: int = 0) -> Account:
        """A new account; `grant` credits are booked as its first entry. Raises Refusal(409) when the name is taken."""

    async def get_account(self, account_id: str) -> Account | None: ...

    async def find_account(self, id_or_name: str) -> Account | None: ...

    async def list_accounts(self, *, after: str = "", limit: int = 100) -> list[Account]:
        """In order of creation; `after` is the id of the last account of the page before."""

    async def update_account(self, account_id: str, change: AccountChange) -> Account | None:
        """Set what `change` names; None when there is no such account. A disabled account counts within one second."""


class Keys(Protocol):
    """Credentials. Where `account_id` is given, a key of another account is as good as unknown."""

    async def create_key(self, account_id: str, settings: KeySettings) -> tuple[Key, str]:
        """A new key and its plain text, which is not kept. Raises Refusal when the account has too many."""

    async def authenticate(self, plain: str, remote: str) -> Caller | None:
        """The caller behind a plain key, or None when it is unknown, expired, revoked, or of a disabled account.
        Raises Refusal(403) when the key may not be used from `remote`. A revocation counts within one second."""

    async def get_key(self, key_id: str, *, account_id: str | None = None) -> Key | None: ...

    async def list_keys(self, account_id: str | None = None) -> list[Key]: ...

    async def update_key(self, key_id: str, settings: KeySettings, *, account_id: str | None = None) -> Key | None:
        """Replace all settings of a key that is not revoked; None when there is none."""

    async def rotate_key(
        self, key_id: str, *, grace: float = 0.0, account_id: str | None = None
    ) -> tuple[Key, str] | None:
        """A new secret for the same key: its id, settings and use stay. The old secret works `grace` seconds more."""

    async def revoke_key(self, key_id: str, *, account_id: str | None = None) -> Key | None: ...

    async def month_use(self, key_id: str, period: str) -> tuple[int, int]:
        """Credits (charged, held) of a key in a UTC month."""


class Ledger(Protocol):
    """Money. Each hold ends in exactly one charge or void, whatever is called how often and in what order:
    the first of `settle` and `void` counts."""

    async def hold(self, request: HoldRequest) -> Hold:
        """Reserve atomically against every limit. Raises Refusal(402, code `insufficient_quota`)."""

    async def grow(self, request_id: str, units: int, *, base: Decimal = Decimal(0)) -> int:
        """Add up to `units` output tokens (and all of `base` credits) to an open hold, at the hold's unit price.
        Returns the units really added: fewer when balance or ceiling end, 0 when nothing was changed."""

    def mark_dispatched(self, request_id: str) -> None:
        """Note (without waiting) that the upstream may have begun to work for this hold."""

    def note_usage(self, request_id: str, charge: int, usage: Usage) -> None:
        """Note (without waiting) what the call has cost so far; this is billed should the process die."""

    async def settle(self, request_id: str, charge: int, basis: Basis, usage: Usage, model: str) -> int:
        """Turn the hold into one posted entry; returns the credits really charged. Idempotent by request id.
        model: the model that answered. Beyond the hold, what balance and ceiling can still pay is charged, and the
        rest is booked as `unpaid`. A hold that another process gave up for dead is charged late, without a hold."""

    async def void(self, request_id: str) -> None:
        """Release the hold, charging nothing. Idempotent; unknown ids are fine."""

    async def grant(self, account_id: str, credits: int, *, kind: str, key: str, note: str = "") -> int:
        """Add credits (may be negative for corrections, never below what is held); `key` makes it idempotent.
        kind: grant, topup or correction. Returns the balance. Raises Refusal(404, 409, 400)."""

    async def refund(self, request_id: str, credits: int, *, key: str, note: str = "") -> int:
        """Give back credits of a settled call, at most what it was charged. Idempotent by `key`.
        Returns the balance. Raises Refusal(404, 409, 400)."""

    async def create_vouchers(
        self, count: int, credits: int, *, expires_at: int | None = None, note: str = ""
    ) -> list[str]:
        """New single-use codes, each worth `credits`; only their digests are kept."""

    async def redeem(self, account_id: str, code: str, *, key: str = "") -> tuple[int, int]:
        """Turn a voucher into credits, once; returns (credits, balance). The same non-empty `key` may ask again.
        Raises Refusal(400) when the code is unknown, used or expired."""

    async def list_vouchers(self, *, after: int = 0, limit: int = 100) -> list[Voucher]: ...

    async def revoke_voucher(self, voucher_id: int) -> Voucher | None:
        """Make an unused voucher worthless; None when there is no such voucher. Revoking again changes nothing.
        Raises Refusal(409) when it was redeemed."""

    async def entries(
        self, account_id: str | None = None, *, after: int = 0, limit: int = 100, newest_first: bool = False
    ) -> list[Entry]:
        """A page of the ledger; `after` is the `seq` of the last entry of the page before (0: from the start)."""

    def export(self, account_id: str | None = None) -> AsyncIterator[Entry]:
        """Every entry, oldest first, read in pages."""

    async def fail_over_holds(self) -> int:
        """Resolve the open holds of processes that are dead: charge what is known of dispatched ones, void the rest.
        Returns how many. Safe to call from every process at any time."""

    async def check(self) -> list[Discrepancy]:
        """Recompute every sum from the entries and compare; an empty list when all is well."""


@dataclass(slots=True, frozen=True)
class StoredResponse:
    """An answer of the Responses API as it is kept.

    input: the canonical items of its own turn. response: the whole object. previous_id: the response that it
    continues, "" for none. conversation_id: where its items go when it is saved, "" for none. background: it runs
    without its caller. running: the process that makes it is still at it. events: the events that were streamed, ""
    when they were not kept. request_id: of the call that made it. expires: unix seconds.
    """

    id: str
    account_id: str
    status: str
    created: int
    expires: int
    request_id: str
    input: Sequence[Mapping[str, Any]]
    response: Mapping[str, Any]
    previous_id: str = ""
    conversation_id: str = ""
    background: bool = False
    running: bool = False
    events: bytes = b""


@dataclass(slots=True, frozen=True)
class StoredConversation:
    """A conversation without its items. created, expires: unix seconds."""

    id: str
    account_id: str
    created: int
    expires: int
    metadata: Mapping[str, str]


@dataclass(slots=True, frozen=True)
class Turn:
    """One response of a chain: its canonical input items and what it answered."""

    id: str
    status: str
    input: Sequence[Mapping[str, Any]]
    output: Sequence[Mapping[str, Any]]


@dataclass(slots=True, frozen=True)
class Chain:
    """A response and all that it continues, oldest first. lost: an earlier one of them is not there any more."""

    turns: Sequence[Turn]
    lost: bool = False


class Responses(Protocol):
    """State of the Responses API. What belongs to another account is as good as unknown."""

    async def save(self, response: StoredResponse, *, most: int) -> None:
        """Write a new one, or the end of one that was `running`: that belongs to this process until then, and when it
        was deleted meanwhile it stays deleted. The items go to the conversation unless it is `running`.
        Raises Refusal(400) when it is larger than `most` bytes."""

    async def get(self, account_id: str, response_id: str) -> StoredResponse | None: ...

    async def delete(self, account_id: str, response_id: str) -> bool: ...

    async def chain(self, account_id: str, response_id: str, *, most: int) -> Chain | None:
        """A response and all that it continues; None when it is unknown.
        Raises Refusal(400) when they are larger than `most` bytes."""

    async def find_items(self, account_id: str, item_ids: Sequence[str]) -> dict[str, Mapping[str, Any]]:
        """Those of these items that one of the account's recent responses holds, by id."""

    async def ask_to_cancel(self, account_id: str, response_id: str) -> None:
        """Leave word for the process that makes this response."""

    async def asked_to_cancel(self) -> list[str]:
        """The ids of this process's running responses for which somebody left word."""

    async def fail_over(self, error: Mapping[str, Any]) -> int:
        """Mark the running responses of dead processes as failed with this `error`; returns how many."""

    async def prune(self, now: int) -> int:
        """Delete what expired and is not continued by anything that has not; returns how many."""

    async def create_conversation(
        self, account_id: str, metadata: Mapping[str, str], items: Sequence[Mapping[str, Any]], *, expires: int
    ) -> StoredConversation: ...

    async def get_conversation(self, account_id: str, conversation_id: str) -> StoredConversation | None: ...

    async def update_conversation(
        self, account_id: str, conversation_id: str, metadata: Mapping[str, str]
    ) -> StoredConversation | None: ...

    async def delete_conversation(self, account_id: str, conversation_id: str) -> bool:
        """Its items go with it."""

    async def conversation_items(
        self, account_id: str, conversation_id: str, *, most: int
    ) -> Sequence[Mapping[str, Any]] | None:
        """All items, oldest first; None when it is unknown. Raises Refusal(400) when they are larger than `most`
        bytes."""

    async def add_items(
        self, account_id: str, conversation_id: str, items: Sequence[Mapping[str, Any]], *, most: int
    ) -> bool:
        """Append items; each has an `id`. Raises Refusal(400) when there would be more than `most`."""

    async def delete_item(self, account_id: str, conversation_id: str, item_id: str) -> bool: ...


class UsageLog(Protocol):
    """What happened; never the source of a bill."""

    def record(self, row: UsageRow) -> None:
        """Hand over one row; it is written with the next batch, before any later operation returns.
        A second row for the same held request is ignored."""

    async def summary(self, account_id: str, *, start: int, end: int, key_id: str | None = None) -> UsageSummary:
        """Sums over rows with start <= created < end (unix seconds on UTC day borders)."""

    async def recent(
        self, account_id: str | None = None, *, before: int = 0, limit: int = 50, key_id: str | None = None
    ) -> list[LoggedRequest]:
        """Rows of the log, newest first; `before` is the `seq` of the last row of the page before."""

    async def prune(self, before: int) -> int:
        """Delete the rows created before this time (unix seconds); sums stay. Returns how many."""


class Counters(Protocol):
    """Rate windows."""

    async def hit(self, names_and_limits: Sequence[tuple[str, int]], window: float) -> Sequence[Window]:
        """Count one event in every named sliding window of `window` seconds, or, when any of them is full,
        in none of them. Exact: never more than `limit` events within any `window` seconds."""

    async def peek(self, names_and_limits: Sequence[tuple[str, int]], window: float) -> Sequence[Window]:
        """The state that `hit` would find, without counting anything."""


@dataclass(slots=True)
class Stores:
    """The stores one gateway process works with."""

    accounts: Accounts
    keys: Keys
    ledger: Ledger
    usage: UsageLog
    counters: Counters
    topups: TopUps
    responses: Responses
    answers: Answers
    extra: dict[str, Any] = field(default_factory=dict)
