"""What all processes of a memory store share, and who of them lives."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any, TypeVar

from gateway.api import Usage
from gateway.api.stores import (
    MOST_TAG_VALUES,
    Account,
    AuditEntry,
    Entry,
    EntryKind,
    HoldRequest,
    KeptObject,
    Key,
    Lease,
    Link,
    LoggedRequest,
    Login,
    Session,
    SlidingWindows,
    StoredConversation,
    StoredResponse,
    StoresSettings,
    Tags,
    TopUp,
    Voucher,
    no_account,
)

T = TypeVar("T")


@dataclass
class Held:
    """A hold. state: open, settled, voided, or forsaken: voided because its lease was dead. known: what the call has
    cost so far, None when nothing was noted. target: the model that answered."""

    request: HoldRequest
    lease: str
    base: Decimal
    amount: int
    units: int
    ceiling: int | None
    created: int
    state: str = "open"
    charged: int = 0
    known: int | None = None
    usage: Usage = field(default_factory=Usage)
    dispatched: bool = False
    logged: bool = False
    target: str | None = None


@dataclass
class Answer:
    """A keyed request. lease: of who runs it, "" when nobody does. status: None while there is no answer."""

    body: bytes
    request_id: str
    expires: int
    lease: str
    account_id: str
    status: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    content: bytes = b""


@dataclass
class World:
    """One database."""

    clock: Callable[[], float] = time.time
    monotonic: Callable[[], float] = time.monotonic
    leases: dict[str, bool] = field(default_factory=dict)
    """Lease -> whether its process lives."""
    accounts: dict[str, Account] = field(default_factory=dict)
    keys: dict[str, Key] = field(default_factory=dict)
    secrets: dict[bytes, tuple[str, int | None]] = field(default_factory=dict)
    sessions: dict[bytes, Session] = field(default_factory=dict)
    logins: dict[str, Login] = field(default_factory=dict)
    """By account."""
    identities: dict[tuple[str, str], str] = field(default_factory=dict)
    links: dict[bytes, Link] = field(default_factory=dict)
    holds: dict[str, Held] = field(default_factory=dict)
    entries: list[Entry] = field(default_factory=list)
    once: dict[str, Entry] = field(default_factory=dict)
    vouchers: dict[bytes, Voucher] = field(default_factory=dict)
    usage: list[LoggedRequest] = field(default_factory=list)
    sums: dict[tuple[str, int, str, str], list[int]] = field(default_factory=dict)
    tag_sums: dict[tuple[str, int, str, str, str], list[int]] = field(default_factory=dict)
    topups: dict[str, TopUp] = field(default_factory=dict)
    parts: dict[str, dict[str, Any]] = field(default_factory=dict)
    responses: dict[str, tuple[StoredResponse, str]] = field(default_factory=dict)
    cancelled: set[str] = field(default_factory=set)
    conversations: dict[str, tuple[StoredConversation, dict[str, Mapping[str, Any]]]] = field(default_factory=dict)
    answers: dict[bytes, Answer] = field(default_factory=dict)
    audit: list[AuditEntry] = field(default_factory=list)
    objects: dict[tuple[str, str], KeptObject] = field(default_factory=dict)
    """By provider and id."""
    numbers: int = 0
    given: dict[str, dict[Any, int]] = field(default_factory=dict)
    """Table -> name -> the number of a row that came from another store."""

    def __post_init__(self) -> None:
        self.windows = SlidingWindows(lambda: self.monotonic())

    def now(self) -> int:
        """Unix seconds, whole."""
        return int(self.clock())

    def number(self) -> int:
        """A number that was never given before."""
        self.numbers += 1
        return self.numbers

    def account(self, account_id: str) -> Account:
        """Raises Refusal(404)."""
        found = self.accounts.get(account_id)
        if found is None:
            raise no_account()
        return found

    def month(self, key_id: str, period: str) -> tuple[int, int]:
        """Credits charged to and held for a key in a month."""
        own = {name: held for name, held in self.holds.items()
               if held.request.key_id == key_id and held.request.period == period}  # fmt: skip
        used = -sum(entry.amount for entry in self.entries if entry.request_id in own)
        return used, sum(held.amount for held in own.values() if held.state == "open")

    def post(
        self,
        account_id: str,
        kind: EntryKind,
        amount: int = 0,
        reserved: int = 0,
        unpaid: int = 0,
        hold: Held | None = None,
        basis: str = "",
        key: str = "",
        note: str = "",
    ) -> int:
        """One entry with what it does to the account and to the sums of a day; returns the balance."""
        old = self.accounts[account_id]
        account = self.accounts[account_id] = replace(old, balance=old.balance + amount, held=old.held + reserved)
        assert 0 <= account.held <= account.balance
        asked = hold.request if hold is not None else None
        entry = Entry(
            self.number(), account_id, kind, amount, reserved, unpaid, account.balance, self.now(),
            asked.request_id if asked else "", asked.key_id if asked else "", asked.model if asked else "",
            basis, key, note,
        )  # fmt: skip
        self.entries.append(entry)
        if key:
            self.once[key] = entry
        if hold is not None and amount:
            asked = hold.request
            self.add(account_id, hold.created, asked.key_id, asked.model, asked.tags, -amount, 0, 0)
        return account.balance

    def add(
        self, account: str, created: int, key: str, model: str, tags: Tags, credits: int, requests: int, tokens: int,
        others: Sequence[int] = (0, 0, 0, 0),
    ) -> None:  # fmt: skip
        """Add to the sums of a UTC day. others: images, characters, seconds and searches."""
        day = created // 86_400
        whole = self.sums.setdefault((account, day, key, model), [0] * 7)
        for at, more in enumerate(others, 3):
            whole[at] += more
        found = [whole]
        for name, value in tags:
            known = {one[3] for one in self.tag_sums if one[:3] == (account, day, name)}
            counted = value if value in known or len(known) < MOST_TAG_VALUES else ""
            found.append(self.tag_sums.setdefault((account, day, name, counted, key), [0, 0, 0]))
        for sums in found:
            for place, more in enumerate((credits, requests, tokens)):
                sums[place] += more


def refunded(world: World, request_id: str) -> int:
    """Credits of a request that were given back."""
    return sum(one.amount for one in world.entries if one.request_id == request_id and one.kind == "refund")


def page(rows: Iterable[T], limit: int) -> list[T]:
    """The first of them: 1 to 1000."""
    return list(rows)[: min(max(limit, 1), 1000)]


class MemoryPresence:
    """`gateway.stores.Presence`: who lives is written down, so that a test can kill."""

    def __init__(self, world: World) -> None:
        self.world = world
        self._lease = Lease("")

    @property
    def lease(self) -> Lease:
        """The lease of this process."""
        return self._lease

    async def join(self) -> Lease:
        """A new number; the old lease is over."""
        if self._lease.id in self.world.leases:
            self.world.leases[self._lease.id] = False
        self._lease = Lease(f"lease_{self.world.number()}")
        self.world.leases[self._lease.id] = True
        return self._lease

    async def renew(self) -> bool:
        """Whether it was not buried."""
        return self._lease.id in self.world.leases

    async def leave(self) -> None:
        """What is open stays named by a lease that is dead."""
        if self._lease.id in self.world.leases:
            self.world.leases[self._lease.id] = False
            if self._lease.id not in self._named():
                del self.world.leases[self._lease.id]

    async def dead(self) -> list[str]:
        """Those written down as dead, and those that are only named."""
        known = self.world.leases
        return sorted(
            {lease for lease, lives in known.items() if not lives} | {one for one in self._named() if one not in known}
        )

    async def bury(self, lease: str) -> None:
        """Forget it."""
        self.world.leases.pop(lease, None)

    def _named(self) -> set[str]:
        holds = {held.lease for held in self.world.holds.values() if held.state == "open"}
        return holds | {lease for response, lease in self.world.responses.values() if response.running}


class Store:
    """What every store of one process has."""

    def __init__(self, world: World, settings: StoresSettings, presence: MemoryPresence) -> None:
        self.world = world
        self.settings = settings
        self.presence = presence
