"""Accounts and keys on SQLite."""
