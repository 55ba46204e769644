"""Credits on SQLite: holds, entries, vouchers, top-ups, and their proof."""
