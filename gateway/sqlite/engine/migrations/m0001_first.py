"""Version 1: accounts, keys, the ledger, vouchers, the usage log.

Public ids are text; inside, rows refer to each other by small integers, which keeps the long tables short.
The CHECKs repeat what the program already ensures: should it ever be wrong, the database refuses.
"""

from __future__ import annotations

STATEMENTS: tuple[str, ...] = (
    """
    CREATE TABLE facts (
        name TEXT PRIMARY KEY,
        value ANY
    ) STRICT, WITHOUT ROWID
    """,
    # The generation changes with everything `authenticate` may have cached.
    "INSERT INTO facts (name, value) VALUES ('generation', 0)",
    """
    CREATE TABLE names (
        n INTEGER PRIMARY KEY,
        text TEXT NOT NULL UNIQUE
    ) STRICT
    """,
    """
    CREATE TABLE accounts (
        n INTEGER PRIMARY KEY,
        id TEXT NOT NULL UNIQUE,
        name TEXT NOT NULL UNIQUE,
        role TEXT NOT NULL,
        balance INTEGER NOT NULL DEFAULT 0 CHECK (balance BETWEEN 0 AND 9007199254740992),
        held INTEGER NOT NULL DEFAULT 0 CHECK (held >= 0),
        requests_per_minute INTEGER,
        disabled INTEGER NOT NULL DEFAULT 0,
        created INTEGER NOT NULL,
        CHECK (held <= balance)
    ) STRICT
    """,
    """
    CREATE TABLE keys (
        n INTEGER PRIMARY KEY,
        id TEXT NOT NULL UNIQUE,
        account INTEGER NOT NULL REFERENCES accounts (n),
        name TEXT NOT NULL,
        label TEXT NOT NULL,
        created INTEGER NOT NULL,
        expires INTEGER,
        revoked INTEGER,
        last_used INTEGER,
        monthly_limit INTEGER CHECK (monthly_limit >= 0),
        models TEXT,
        requests_per_minute INTEGER,
        ip_allow TEXT
    ) STRICT
    """,
    "CREATE INDEX keys_of_account ON keys (account)",
    # One row for the present secret of a key, and one for each rotated one in its grace (`until`).
    """
    CREATE TABLE secrets (
        digest BLOB PRIMARY KEY,
        key INTEGER NOT NULL REFERENCES keys (n),
        until INTEGER
    ) STRICT, WITHOUT ROWID
    """,
    "CREATE INDEX secrets_of_key ON secrets (key)",
    """
    CREATE TABLE months (
        key INTEGER NOT NULL,
        period INTEGER NOT NULL,
        used INTEGER NOT NULL DEFAULT 0 CHECK (used >= 0),
        held INTEGER NOT NULL DEFAULT 0 CHECK (held >= 0),
        PRIMARY KEY (key, period)
    ) STRICT, WITHOUT ROWID
    """,
    # A number is never used again: another process may still be busy burying its former bearer.
    """
    CREATE TABLE processes (
        n INTEGER PRIMARY KEY AUTOINCREMENT,
        token TEXT NOT NULL UNIQUE,
        started INTEGER NOT NULL
    ) STRICT
    """,
    # state: 0 open, 1 settled, 2 voided, 3 voided because its process was dead.
    # The columns from `process` on are set only while it is open.
    """
    CREATE TABLE holds (
        n INTEGER PRIMARY KEY,
        request_id TEXT NOT NULL UNIQUE,
        account INTEGER NOT NULL REFERENCES accounts (n),
        key INTEGER NOT NULL,
        period INTEGER NOT NULL,
        created INTEGER NOT NULL,
        model INTEGER NOT NULL REFERENCES names (n),
        amount INTEGER NOT NULL CHECK (amount >= 0),
        units INTEGER NOT NULL CHECK (units >= 0),
        state INTEGER NOT NULL CHECK (state BETWEEN 0 AND 3),
        charged INTEGER NOT NULL CHECK (charged >= 0),
        logged INTEGER NOT NULL,
        target INTEGER REFERENCES names (n),
        process INTEGER,
        dispatched INTEGER,
        base TEXT,
        unit_price TEXT,
        ceiling INTEGER,
        known INTEGER,
        known_prompt INTEGER,
        known_completion INTEGER
    ) STRICT
    """,
    "CREATE INDEX open_holds ON holds (process) WHERE state = 0",
    """
    CREATE TABLE entries (
        n INTEGER PRIMARY KEY,
        account INTEGER NOT NULL REFERENCES accounts (n),
        kind INTEGER NOT NULL,
        amount INTEGER NOT NULL,
        reserved INTEGER NOT NULL,
        unpaid INTEGER NOT NULL CHECK (unpaid >= 0),
        balance INTEGER NOT NULL CHECK (balance >= 0),
        created INTEGER NOT NULL,
        hold INTEGER REFERENCES holds (n),
        basis INTEGER,
        idem TEXT,
        note TEXT
    ) STRICT
    """,
    "CREATE INDEX entries_of_account ON entries (account)",
    "CREATE UNIQUE INDEX entries_once ON entries (idem) WHERE idem IS NOT NULL",
    """
    CREATE TRIGGER entries_stay BEFORE UPDATE ON entries
    BEGIN SELECT raise(ABORT, 'ledger entries are never changed'); END
    """,
    """
    CREATE TRIGGER entries_remain BEFORE DELETE ON entries
    BEGIN SELECT raise(ABORT, 'ledger entries are never deleted'); END
    """,
    """
    CREATE TABLE vouchers (
        n INTEGER PRIMARY KEY,
        digest BLOB NOT NULL UNIQUE,
        label TEXT NOT NULL,
        credits INTEGER NOT NULL CHECK (credits > 0),
        created INTEGER NOT NULL,
        expires INTEGER,
        redeemed INTEGER,
        account INTEGER REFERENCES accounts (n),
        note TEXT NOT NULL
    ) STRICT
    """,
    """
    CREATE TABLE usage (
        n INTEGER PRIMARY KEY,
        account INTEGER NOT NULL,
        key INTEGER NOT NULL,
        hold INTEGER,
        request_id TEXT,
        model INTEGER NOT NULL,
        target INTEGER,
        route INTEGER NOT NULL,
        status INTEGER NOT NULL,
        basis INTEGER NOT NULL,
        created INTEGER NOT NULL,
        prompt INTEGER NOT NULL,
        completion INTEGER NOT NULL,
        cached INTEGER NOT NULL,
        cache_write INTEGER NOT NULL,
        reasoning INTEGER NOT NULL,
        audio_input INTEGER NOT NULL,
        audio_output INTEGER NOT NULL,
        image_input INTEGER NOT NULL,
        image_output INTEGER NOT NULL,
        web_searches INTEGER NOT NULL,
        first_byte_ms INTEGER,
        total_ms INTEGER NOT NULL,
        error INTEGER
    ) STRICT
    """,
    "CREATE INDEX usage_of_account ON usage (account)",
    """
    CREATE TABLE rollups (
        account INTEGER NOT NULL,
        day INTEGER NOT NULL,
        key INTEGER NOT NULL,
        model INTEGER NOT NULL,
        credits INTEGER NOT NULL,
        requests INTEGER NOT NULL,
        prompt INTEGER NOT NULL,
        completion INTEGER NOT NULL,
        PRIMARY KEY (account, day, key, model)
    ) STRICT, WITHOUT ROWID
    """,
)
