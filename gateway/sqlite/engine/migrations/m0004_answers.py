"""Version 4: answers to requests with an `Idempotency-Key`."""

from __future__ import annotations

STATEMENTS: tuple[str, ...] = (
    # name: digest of account, route and key. body: digest of the request's body. process: set while it runs; with
    # neither a process nor a status it was broken off and may run again. status: of the HTTP answer, 0 when the answer
    # was too large to be kept. content: the answer's body, zlib.
    """
    CREATE TABLE answers (
        n INTEGER PRIMARY KEY,
        name BLOB NOT NULL UNIQUE,
        account INTEGER NOT NULL REFERENCES accounts (n),
        body BLOB NOT NULL,
        request_id TEXT NOT NULL,
        expires INTEGER NOT NULL,
        process INTEGER,
        status INTEGER,
        headers TEXT,
        content BLOB
    ) STRICT
    """,
    "CREATE INDEX answers_by_end ON answers (expires)",
)
