"""Version 6: how people sign in to the console."""

from __future__ import annotations

STATEMENTS: tuple[str, ...] = (
    # password: a hash that is made to be slow, "" for none.
    """
    CREATE TABLE logins (
        account INTEGER PRIMARY KEY REFERENCES accounts (n),
        email TEXT NOT NULL UNIQUE,
        password TEXT NOT NULL,
        changed INTEGER NOT NULL
    ) STRICT
    """,
    """
    CREATE TABLE identities (
        issuer TEXT NOT NULL,
        subject TEXT NOT NULL,
        account INTEGER NOT NULL REFERENCES accounts (n),
        PRIMARY KEY (issuer, subject)
    ) STRICT, WITHOUT ROWID
    """,
    "CREATE INDEX identities_of_account ON identities (account)",
    # digest: of the token. account: NULL for invitations.
    """
    CREATE TABLE links (
        n INTEGER PRIMARY KEY,
        id TEXT NOT NULL UNIQUE,
        digest BLOB NOT NULL UNIQUE,
        purpose TEXT NOT NULL,
        account INTEGER REFERENCES accounts (n),
        email TEXT NOT NULL,
        role TEXT NOT NULL,
        credits INTEGER NOT NULL CHECK (credits >= 0),
        created INTEGER NOT NULL,
        expires INTEGER NOT NULL
    ) STRICT
    """,
    "CREATE INDEX links_of_account ON links (account)",
    "CREATE INDEX links_by_end ON links (expires)",
)
