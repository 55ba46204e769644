"""What the gateway remembers, as protocols. A plugin that offers a store implements them all and registers a
`StoresKind`; the scheme of `database.url` chooses it. `gateway.testing.stores_contract` tests the promises.

Promises of every method, where it does not say otherwise:

- **Durable.** What an awaited method has changed survives the end of the process, of the machine's power and of the
  database's, once it returns. What is handed over without waiting (`mark_dispatched`, `note_usage`, `record`) may be
  batched; its docstring says what may be lost.
- **Whole or not at all.** Each method is one atomic step. A `Fault` means that nothing was changed.
- **Cancellation.** A caller that is cancelled while it waits stops waiting, and nothing else: the step is applied
  whole or not at all, and nothing stays open or locked. Callers that must know ask again.
- **Asking again.** A method is idempotent where it says so or takes a key; then a repetition, also by another process
  and after a fault that hid the first success, changes nothing and gives the answer of the first time.
- **Order.** Of one process, a method sees what earlier ones have changed, and later ones do not overtake what was
  handed over before. Between processes there is no order but that of the atomic steps.
- **Isolation.** Rows read in one answer belong to one state. No answer shows what is rolled back later.
- **Away.** A store that cannot reach its database raises `GatewayFault` (503) and has changed nothing that it knows of;
  it keeps nobody waiting longer than a few seconds, and it recovers by itself.
- **Times.** Unix seconds from the store's clock. Months are UTC period ids such as `2026-11`. Credits are integers of
  at most `MAX_CREDITS`.
"""

from __future__ import annotations

from gateway.stores.accounts import Account, AccountChange, Accounts
from gateway.stores.audit import Audit, AuditEntry
from gateway.stores.conversations import Conversations, StoredConversation
from gateway.stores.counters import Counters, CountersKind, OpenCounters, Window
from gateway.stores.failover import FailedOver, fail_over
from gateway.stores.idempotency import Claim, ClaimState, Idempotency, KeptAnswer
from gateway.stores.keys import Key, Keys, KeySettings
from gateway.stores.kind import DISK_FULL, Stored, Stores, StoresKind, StoresSettings
from gateway.stores.ledger import (
    CRASHED,
    MAX_CREDITS,
    Discrepancy,
    Entry,
    EntryKind,
    Hold,
    HoldRequest,
    Ledger,
    Voucher,
)
from gateway.stores.logins import Link, LinkPurpose, Login, Logins, NewLink, SignUp
from gateway.stores.migration import MigrationPlan, MigrationStep
from gateway.stores.notices import Notices
from gateway.stores.objects import KeptObject, ObjectKind, Objects
from gateway.stores.presence import Lease, Presence
from gateway.stores.responses import Chain, Responses, StoredResponse, Turn
from gateway.stores.sessions import Session, Sessions
from gateway.stores.topups import TopUp, TopUps, TopUpStatus
from gateway.stores.transfer import TABLES, Row, Snapshot
from gateway.stores.tries import pack_tries, unpack_tries
from gateway.stores.usage import (
    ALL_USE,
    MOST_TAG_VALUES,
    OTHER_COUNTS,
    LoggedRequest,
    TagSum,
    UsageFilter,
    UsageLog,
    UsageRow,
    UsageSummary,
)

__all__ = [
    "ALL_USE",
    "CRASHED",
    "DISK_FULL",
    "MAX_CREDITS",
    "MOST_TAG_VALUES",
    "OTHER_COUNTS",
    "TABLES",
    "Account",
    "AccountChange",
    "Accounts",
    "Audit",
    "AuditEntry",
    "Chain",
    "Claim",
    "ClaimState",
    "Conversations",
    "Counters",
    "CountersKind",
    "Discrepancy",
    "Entry",
    "EntryKind",
    "FailedOver",
    "Hold",
    "HoldRequest",
    "Idempotency",
    "KeptAnswer",
    "KeptObject",
    "Key",
    "KeySettings",
    "Keys",
    "Lease",
    "Ledger",
    "Link",
    "LinkPurpose",
    "LoggedRequest",
    "Login",
    "Logins",
    "MigrationPlan",
    "MigrationStep",
    "NewLink",
    "Notices",
    "ObjectKind",
    "Objects",
    "OpenCounters",
    "Presence",
    "Responses",
    "Row",
    "Session",
    "Sessions",
    "SignUp",
    "Snapshot",
    "Stored",
    "StoredConversation",
    "StoredResponse",
    "Stores",
    "StoresKind",
    "StoresSettings",
    "TagSum",
    "TopUp",
    "TopUpStatus",
    "TopUps",
    "Turn",
    "UsageFilter",
    "UsageLog",
    "UsageRow",
    "UsageSummary",
    "Voucher",
    "Window",
    "fail_over",
    "pack_tries",
    "unpack_tries",
]
