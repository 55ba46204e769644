"""Version 7: how much is kept for each account, counted by the database itself, so that no way to write or delete is
forgotten."""

from __future__ import annotations

STATEMENTS: tuple[str, ...] = (
    # bytes: of responses (with their input and events), items of conversations, and answers. objects: rows
    # of those, and conversations.
    """
    CREATE TABLE stored (
        account INTEGER PRIMARY KEY REFERENCES accounts (n),
        bytes INTEGER NOT NULL,
        objects INTEGER NOT NULL
    ) STRICT
    """,
    """
    INSERT INTO stored (account, bytes, objects)
    SELECT account, sum(bytes), count(*) FROM (
        SELECT account, size + coalesce(length(events), 0) AS bytes FROM responses
        UNION ALL SELECT account, length(metadata) FROM conversations
        UNION ALL SELECT c.account, length(i.item) FROM conversation_items AS i
            JOIN conversations AS c ON c.n = i.conversation
        UNION ALL SELECT account, coalesce(length(content), 0) FROM answers
    ) GROUP BY account
    """,
    """
    CREATE TRIGGER response_stored AFTER INSERT ON responses
    BEGIN
        INSERT INTO stored VALUES (new.account, new.size + coalesce(length(new.events), 0), 1)
        ON CONFLICT (account) DO UPDATE SET bytes = bytes + excluded.bytes, objects = objects + 1;
    END
    """,
    """
    CREATE TRIGGER response_changed AFTER UPDATE OF size, events ON responses
    BEGIN
        UPDATE stored SET bytes = bytes + new.size + coalesce(length(new.events), 0)
            - old.size - coalesce(length(old.events), 0) WHERE account = new.account;
    END
    """,
    """
    CREATE TRIGGER response_gone AFTER DELETE ON responses
    BEGIN
        UPDATE stored SET bytes = bytes - old.size - coalesce(length(old.events), 0), objects = objects - 1
        WHERE account = old.account;
    END
    """,
    """
    CREATE TRIGGER conversation_stored AFTER INSERT ON conversations
    BEGIN
        INSERT INTO stored VALUES (new.account, length(new.metadata), 1)
        ON CONFLICT (account) DO UPDATE SET bytes = bytes + excluded.bytes, objects = objects + 1;
    END
    """,
    """
    CREATE TRIGGER conversation_changed AFTER UPDATE OF metadata ON conversations
    BEGIN
        UPDATE stored SET bytes = bytes + length(new.metadata) - length(old.metadata) WHERE account = new.account;
    END
    """,
    """
    CREATE TRIGGER conversation_gone AFTER DELETE ON conversations
    BEGIN
        UPDATE stored SET bytes = bytes - length(old.metadata), objects = objects - 1 WHERE account = old.account;
    END
    """,
    """
    CREATE TRIGGER item_stored AFTER INSERT ON conversation_items
    BEGIN
        UPDATE stored SET bytes = bytes + length(new.item), objects = objects + 1
        WHERE account = (SELECT account FROM conversations WHERE n = new.conversation);
    END
    """,
    """
    CREATE TRIGGER item_changed AFTER UPDATE OF item ON conversation_items
    BEGIN
        UPDATE stored SET bytes = bytes + length(new.item) - length(old.item)
        WHERE account = (SELECT account FROM conversations WHERE n = new.conversation);
    END
    """,
    """
    CREATE TRIGGER item_gone AFTER DELETE ON conversation_items
    BEGIN
        UPDATE stored SET bytes = bytes - length(old.item), objects = objects - 1
        WHERE account = (SELECT account FROM conversations WHERE n = old.conversation);
    END
    """,
    """
    CREATE TRIGGER answer_stored AFTER INSERT ON answers
    BEGIN
        INSERT INTO stored VALUES (new.account, coalesce(length(new.content), 0), 1)
        ON CONFLICT (account) DO UPDATE SET bytes = bytes + excluded.bytes, objects = objects + 1;
    END
    """,
    """
    CREATE TRIGGER answer_changed AFTER UPDATE OF content ON answers
    BEGIN
        UPDATE stored SET bytes = bytes + coalesce(length(new.content), 0) - coalesce(length(old.content), 0)
        WHERE account = new.account;
    END
    """,
    """
    CREATE TRIGGER answer_gone AFTER DELETE ON answers
    BEGIN
        UPDATE stored SET bytes = bytes - coalesce(length(old.content), 0), objects = objects - 1
        WHERE account = old.account;
    END
    """,
)
