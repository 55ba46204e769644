"""Version 8: for whom a request was made, and what was used under each of these tags.

The texts stand in the rows themselves, not in `names`: they may name people, and go with an account that is erased.
"""

from __future__ import annotations

STATEMENTS: tuple[str, ...] = (
    # JSON objects.
    "ALTER TABLE holds ADD COLUMN tags TEXT",
    "ALTER TABLE usage ADD COLUMN tags TEXT",
    "CREATE INDEX tagged_holds ON holds (account) WHERE tags IS NOT NULL",
    "CREATE INDEX tagged_usage ON usage (account) WHERE tags IS NOT NULL",
    """
    CREATE TABLE tag_sums (
        account INTEGER NOT NULL,
        day INTEGER NOT NULL,
        name TEXT NOT NULL,
        value TEXT NOT NULL,
        key INTEGER NOT NULL,
        credits INTEGER NOT NULL,
        requests INTEGER NOT NULL,
        tokens INTEGER NOT NULL,
        PRIMARY KEY (account, day, name, value, key)
    ) STRICT, WITHOUT ROWID
    """,
)
