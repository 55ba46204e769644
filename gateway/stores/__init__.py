"""What the gateway remembers, as protocols. The SQLite implementation lives in `gateway.sqlite`;
another one, for another database, has to keep the same promises.

Every method that changes something is durable when it returns, unless it says otherwise, and is safe against
cancellation of the caller: an operation once handed over is applied whole or not at all. A method that cannot reach
its database raises `GatewayFault` (503) and has changed nothing.
Credits are integers of at most `MAX_CREDITS`. Times are unix seconds. Months are UTC period ids such as `2026-11`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from gateway.stores.accounts import Account, AccountChange, Accounts, Key, Keys, KeySettings
from gateway.stores.idempotency import Answers
from gateway.stores.money import MAX_CREDITS, Discrepancy, Entry, EntryKind, Hold, HoldRequest, Ledger, Voucher
from gateway.stores.responses import Chain, Responses, StoredConversation, StoredResponse, Turn
from gateway.stores.topups import TopUp, TopUps, TopUpStatus
from gateway.stores.usage import Counters, LoggedRequest, UsageLog, UsageRow, UsageSummary, Window

__all__ = [
    "MAX_CREDITS",
    "Account",
    "AccountChange",
    "Accounts",
    "Chain",
    "Counters",
    "Discrepancy",
    "Entry",
    "EntryKind",
    "Hold",
    "HoldRequest",
    "Key",
    "KeySettings",
    "Keys",
    "Ledger",
    "LoggedRequest",
    "Responses",
    "StoredConversation",
    "StoredResponse",
    "Stores",
    "TopUp",
    "TopUpStatus",
    "TopUps",
    "Turn",
    "UsageLog",
    "UsageRow",
    "UsageSummary",
    "Voucher",
    "Window",
]


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
