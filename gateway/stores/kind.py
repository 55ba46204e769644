"""The hook's side of a store: what a plugin registers, and what it makes; see `gateway.stores`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from gateway.stores.accounts import Accounts
from gateway.stores.audit import Audit
from gateway.stores.conversations import Conversations
from gateway.stores.counters import Counters
from gateway.stores.idempotency import Idempotency
from gateway.stores.keys import Keys
from gateway.stores.ledger import Discrepancy, Ledger
from gateway.stores.logins import Logins
from gateway.stores.migration import MigrationPlan
from gateway.stores.notices import Notices
from gateway.stores.objects import Objects
from gateway.stores.presence import Presence
from gateway.stores.responses import Responses
from gateway.stores.sessions import Sessions
from gateway.stores.topups import TopUps
from gateway.stores.transfer import Snapshot
from gateway.stores.usage import UsageLog

if TYPE_CHECKING:
    from typing import Self

DISK_FULL = "disk_full"
"""The code of the fault by which `Stores.ping` tells that the disk is nearly full."""


@dataclass(slots=True, frozen=True)
class Stored:
    """What is kept for one account: responses, conversations and their items, answers under an `Idempotency-Key`,
    files and batches at providers. bytes: as they are kept. objects: how many of them."""

    bytes: int
    objects: int


@dataclass(slots=True)
class Stores(ABC):
    """The stores that one gateway process works with, and what can be done with all of them at once.

    notices: between processes on several machines; None where all are on one.
    extra: for plugins, which may keep something here for as long as the process lives.
    """

    accounts: Accounts
    keys: Keys
    sessions: Sessions
    logins: Logins
    ledger: Ledger
    usage: UsageLog
    counters: Counters
    topups: TopUps
    responses: Responses
    conversations: Conversations
    idempotency: Idempotency
    audit: Audit
    objects: Objects
    presence: Presence
    notices: Notices | None = field(default=None, kw_only=True)
    extra: dict[str, Any] = field(default_factory=dict, kw_only=True)

    @abstractmethod
    async def ping(self) -> None:
        """A question that costs next to nothing, answered by what the requests depend on; asked every second. Raises
        GatewayFault when it is away, when it is not the one any more that was opened, and, with the code `DISK_FULL`,
        when its disk is nearly full."""

    @abstractmethod
    def describe(self) -> Mapping[str, str]:
        """For logs: `kind`, `place` (without any secret) and `version` of the data's shape."""

    def backlog(self) -> int:
        """Operations of this process that wait to be written; 0 where nothing waits in it."""
        return 0

    async def open_holds(self) -> tuple[int, int] | None:
        """How many holds are open, and the credits held by them; None where that is not known."""
        return None

    @abstractmethod
    async def check(self, *, full: bool = True) -> list[Discrepancy]:
        """Recompute every sum from the entries and compare; an empty list when all is well. Reads one consistent
        state, beside running calls. full: from the first entry on; otherwise a store may go on from the last check
        that found nothing, and compares all that is summed in any case."""

    @abstractmethod
    async def prune(self, now: int, *, usage_before: int) -> Mapping[str, int]:
        """Delete what is over by `now` (kept answers, responses, conversations, sessions, links) and the rows of the
        usage log that are older than `usage_before` (both unix seconds), in steps that keep nobody waiting. Sums,
        ledger and audit log stay. Returns how many of each kind went, by its name, without those of which none did.
        Several processes may do it at once."""

    def warnings(self) -> Sequence[str]:
        """What the operator should know of this database, one sentence each; logged at the start."""
        return ()

    async def stored(self, account_id: str) -> Stored | None:
        """What is kept for an account, nothing for an unknown one. None: this store does not count it, so that no
        quota holds. Asked for every request that keeps something: it must not be slow."""
        return None

    @abstractmethod
    async def backup(self, target: str) -> int:
        """Write a consistent copy to the file `target` while the store is in use; returns its size in bytes. The file
        appears under its name only when it is complete; an existing one is replaced. Raises GatewayFault where the
        database has tools of its own for this."""

    @abstractmethod
    def snapshot(self) -> AbstractAsyncContextManager[Snapshot]:
        """All that is kept, in one state, beside running calls; see `gateway.stores.transfer`."""

    @abstractmethod
    async def take_over(self, snapshot: Snapshot, told: Callable[[str, int], None]) -> None:
        """Fill this store, which is empty, with all of `snapshot`, whole or not at all. told: called now and then with
        a table and how many of its rows are written. Raises GatewayFault when there is an account here already."""

    @abstractmethod
    async def close(self) -> None:
        """Make durable what was handed over, leave (see `Presence.leave`) and let go of everything. Idempotent."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()


@dataclass(slots=True, frozen=True)
class StoresSettings:
    """What the gateway tells a store.

    data: the absolute path of the data folder. secret: the server secret; what is kept of keys, codes and tokens is
    digested under subkeys of it (`gateway.credentials`). key_prefix, keys_per_account: the `keys` section. shared:
    other processes of this machine serve beside this one, so rate windows must count over all of them. clock: unix
    seconds, None for the machine's own; a store whose server has the clock may leave it out of account. min_free: bytes
    that must be free on the database's disk (`database.min_free`); a store on another machine's looks there, or not.
    """

    data: str
    secret: bytes = field(repr=False)
    key_prefix: str = "mghp_"
    keys_per_account: int = 10
    shared: bool = False
    clock: Callable[[], float] | None = field(default=None, repr=False)
    min_free: int = 0


class StoresKind(Protocol):
    """A kind of store, as `register_stores` takes it. The scheme of `database.url` chooses it."""

    @property
    def schemes(self) -> Sequence[str]:
        """The URL schemes it answers to, in lower case."""

    def check(self, url: str) -> str:
        """What is wrong with a URL of one of its schemes, as `must ...`; "" when nothing is. Opens nothing."""

    async def open(self, url: str, settings: StoresSettings) -> Stores:
        """Open the database, made and brought to its newest shape where that is needed, and join (see `Presence`).
        Works beside other processes that have it open. Raises GatewayFault when it is away, newer than this program,
        not a gateway's, or belongs to another server secret."""

    async def plan(self, url: str, settings: StoresSettings) -> MigrationPlan:
        """What stands between the database and the newest shape. Makes and changes nothing. Raises GatewayFault as
        `open` does, but not when there is no database yet."""

    async def migrate(self, url: str, settings: StoresSettings) -> MigrationPlan:
        """Make all steps of `plan`, and return what it was. Raises GatewayFault, having changed nothing, while a
        gateway lives that cannot live with them (`MigrationPlan.blocked`)."""

    async def restore(self, url: str, data: str, source: str, *, replace: bool, secret: bytes | None = None) -> str:
        """Put a backup in the database's place, after checking it; returns where that is. data: as in `StoresSettings`.
        secret: the server's where there is one, else None: it is not needed, and must not be made for it; but a backup
        that belongs to another one is refused. replace: also when there is a database already. Nobody else may have it
        open. Raises GatewayFault, having changed nothing, when it cannot be done."""
