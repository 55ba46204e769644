"""The usage log on SQLite, and the windows of rate limits."""
