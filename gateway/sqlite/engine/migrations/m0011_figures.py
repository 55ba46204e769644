"""Version 11: figures of what is no text in the usage log and its sums; thresholds of alerts for one account or key."""

from __future__ import annotations

STATEMENTS: tuple[str, ...] = (
    "ALTER TABLE usage ADD COLUMN cache_write_1h INTEGER NOT NULL DEFAULT 0",
    "ALTER TABLE usage ADD COLUMN images INTEGER NOT NULL DEFAULT 0",
    "ALTER TABLE usage ADD COLUMN characters INTEGER NOT NULL DEFAULT 0",
    "ALTER TABLE usage ADD COLUMN seconds INTEGER NOT NULL DEFAULT 0",
    "ALTER TABLE usage ADD COLUMN searches INTEGER NOT NULL DEFAULT 0",
    "ALTER TABLE rollups ADD COLUMN images INTEGER NOT NULL DEFAULT 0",
    "ALTER TABLE rollups ADD COLUMN characters INTEGER NOT NULL DEFAULT 0",
    "ALTER TABLE rollups ADD COLUMN seconds INTEGER NOT NULL DEFAULT 0",
    "ALTER TABLE rollups ADD COLUMN searches INTEGER NOT NULL DEFAULT 0",
    # What the log tells of a call is net of what was given back: entries of the kind `refund`.
    "CREATE INDEX refunds_of_hold ON entries (hold) WHERE kind = 7",
    # A JSON list of percents; NULL for those of the configuration.
    "ALTER TABLE accounts ADD COLUMN alert_thresholds TEXT",
    "ALTER TABLE keys ADD COLUMN alert_thresholds TEXT",
)
