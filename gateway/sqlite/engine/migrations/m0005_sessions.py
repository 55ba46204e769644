"""Version 5: sessions of the console, and the audit log."""

from __future__ import annotations

STATEMENTS: tuple[str, ...] = (
    # account: NULL for the operator, who signs in with the admin secret. digest: of the token.
    """
    CREATE TABLE sessions (
        n INTEGER PRIMARY KEY,
        id TEXT NOT NULL UNIQUE,
        digest BLOB NOT NULL UNIQUE,
        account INTEGER REFERENCES accounts (n),
        created INTEGER NOT NULL,
        expires INTEGER NOT NULL,
        seen INTEGER NOT NULL,
        remote TEXT NOT NULL,
        agent TEXT NOT NULL
    ) STRICT
    """,
    "CREATE INDEX sessions_of_account ON sessions (account)",
    "CREATE INDEX sessions_by_end ON sessions (expires)",
    """
    CREATE TABLE audit (
        n INTEGER PRIMARY KEY AUTOINCREMENT,
        at INTEGER NOT NULL,
        actor TEXT NOT NULL,
        remote TEXT NOT NULL,
        action TEXT NOT NULL,
        subject TEXT NOT NULL,
        detail TEXT NOT NULL
    ) STRICT
    """,
    "CREATE INDEX audit_of_subject ON audit (subject)",
    """
    CREATE TRIGGER audit_stays BEFORE UPDATE ON audit
    BEGIN SELECT raise(ABORT, 'audit entries are never changed'); END
    """,
    """
    CREATE TRIGGER audit_remains BEFORE DELETE ON audit
    BEGIN SELECT raise(ABORT, 'audit entries are never deleted'); END
    """,
)
