"""Event streams to callers."""
