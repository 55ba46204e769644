"""Version 9: what accounts keep at providers (files, batches), counted among what is kept for them."""

from __future__ import annotations

STATEMENTS: tuple[str, ...] = (
    """
    CREATE TABLE objects (
        n INTEGER PRIMARY KEY AUTOINCREMENT,
        id TEXT NOT NULL,
        account INTEGER NOT NULL REFERENCES accounts (n),
        provider TEXT NOT NULL,
        kind TEXT NOT NULL,
        size INTEGER NOT NULL CHECK (size >= 0),
        created INTEGER NOT NULL,
        details TEXT NOT NULL,
        is_open INTEGER NOT NULL,
        UNIQUE (provider, id)
    ) STRICT
    """,
    "CREATE INDEX objects_of_account ON objects (account, n)",
    "CREATE INDEX open_objects ON objects (n) WHERE is_open = 1",
    """
    CREATE TRIGGER object_stored AFTER INSERT ON objects
    BEGIN
        INSERT INTO stored VALUES (new.account, new.size, 1)
        ON CONFLICT (account) DO UPDATE SET bytes = bytes + excluded.bytes, objects = objects + 1;
    END
    """,
    """
    CREATE TRIGGER object_changed AFTER UPDATE OF size ON objects
    BEGIN
        UPDATE stored SET bytes = bytes + new.size - old.size WHERE account = new.account;
    END
    """,
    """
    CREATE TRIGGER object_gone AFTER DELETE ON objects
    BEGIN
        UPDATE stored SET bytes = bytes - old.size, objects = objects - 1 WHERE account = old.account;
    END
    """,
)
