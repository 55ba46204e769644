"""Version 2: orders of credits through payment services, and vouchers that can be revoked."""

from __future__ import annotations

STATEMENTS: tuple[str, ...] = (
    # settled, returned: minor units, the sums over the order's parts. entries: how many the ledger has of it.
    """
    CREATE TABLE topups (
        n INTEGER PRIMARY KEY,
        id TEXT NOT NULL UNIQUE,
        account INTEGER NOT NULL REFERENCES accounts (n),
        method TEXT NOT NULL,
        currency TEXT NOT NULL,
        amount INTEGER NOT NULL CHECK (amount > 0),
        credits INTEGER NOT NULL CHECK (credits > 0),
        created INTEGER NOT NULL,
        state TEXT NOT NULL,
        checkout TEXT NOT NULL DEFAULT '',
        url TEXT NOT NULL DEFAULT '',
        settled INTEGER NOT NULL DEFAULT 0 CHECK (settled >= 0),
        returned INTEGER NOT NULL DEFAULT 0 CHECK (returned >= 0),
        credited INTEGER NOT NULL DEFAULT 0,
        owed INTEGER NOT NULL DEFAULT 0 CHECK (owed >= 0),
        entries INTEGER NOT NULL DEFAULT 0
    ) STRICT
    """,
    "CREATE INDEX topups_of_account ON topups (account)",
    """
    CREATE TABLE topup_parts (
        topup INTEGER NOT NULL REFERENCES topups (n),
        name TEXT NOT NULL,
        amount INTEGER NOT NULL,
        rank INTEGER NOT NULL,
        PRIMARY KEY (topup, name)
    ) STRICT, WITHOUT ROWID
    """,
    "ALTER TABLE vouchers ADD COLUMN revoked INTEGER",
)
