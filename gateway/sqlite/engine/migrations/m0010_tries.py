"""Version 10: the attempts of a request at its targets, in its row of the usage log."""

from __future__ import annotations

STATEMENTS: tuple[str, ...] = (
    # tries: as `gateway.stores.pack_tries` writes them; NULL for none.
    "ALTER TABLE usage ADD COLUMN tries TEXT",
)
