"""Version 3: answers of the Responses API that are kept, and conversations."""

from __future__ import annotations

STATEMENTS: tuple[str, ...] = (
    # input, output: JSON lists of items; response: the object without its output. events: the streamed events as they
    # were sent, zlib. previous: the n of the response that this one continues, -1 when that was gone already (so a
    # number is never used again). process: set while it is in progress.
    """
    CREATE TABLE responses (
        n INTEGER PRIMARY KEY AUTOINCREMENT,
        id TEXT NOT NULL UNIQUE,
        account INTEGER NOT NULL REFERENCES accounts (n),
        status TEXT NOT NULL,
        created INTEGER NOT NULL,
        expires INTEGER NOT NULL,
        previous INTEGER,
        process INTEGER,
        background INTEGER NOT NULL,
        cancelled INTEGER NOT NULL DEFAULT 0,
        request_id TEXT NOT NULL,
        size INTEGER NOT NULL,
        input BLOB NOT NULL,
        response BLOB NOT NULL,
        output BLOB NOT NULL,
        events BLOB
    ) STRICT
    """,
    "CREATE INDEX responses_of_account ON responses (account)",
    "CREATE INDEX responses_by_end ON responses (expires)",
    "CREATE INDEX responses_continued ON responses (previous) WHERE previous IS NOT NULL",
    "CREATE INDEX running_responses ON responses (process) WHERE process IS NOT NULL",
    # A number is never used again: an answer may still be on its way to a conversation that was deleted.
    """
    CREATE TABLE conversations (
        n INTEGER PRIMARY KEY AUTOINCREMENT,
        id TEXT NOT NULL UNIQUE,
        account INTEGER NOT NULL REFERENCES accounts (n),
        created INTEGER NOT NULL,
        expires INTEGER NOT NULL,
        metadata TEXT NOT NULL
    ) STRICT
    """,
    "CREATE INDEX conversations_of_account ON conversations (account)",
    "CREATE INDEX conversations_by_end ON conversations (expires)",
    """
    CREATE TABLE conversation_items (
        n INTEGER PRIMARY KEY,
        conversation INTEGER NOT NULL,
        id TEXT NOT NULL,
        item BLOB NOT NULL,
        UNIQUE (conversation, id)
    ) STRICT
    """,
    "CREATE INDEX items_of_conversation ON conversation_items (conversation)",
)
