"""State of the Responses API and of keyed requests on SQLite."""
