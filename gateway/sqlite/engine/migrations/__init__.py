"""The shape of the database, as numbered steps: step N takes a database from version N - 1 to N.

A step, once released, is never edited; a change is a new step. The version is `PRAGMA user_version`.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable

from gateway.api import GatewayFault
from gateway.sqlite.engine.migrations import (
    m0001_first,
    m0002_payments,
    m0003_responses,
    m0004_answers,
    m0005_sessions,
    m0006_logins,
    m0007_stored,
    m0008_tags,
    m0009_objects,
    m0010_tries,
    m0011_figures,
)

_MODULES = (
    m0001_first,
    m0002_payments,
    m0003_responses,
    m0004_answers,
    m0005_sessions,
    m0006_logins,
    m0007_stored,
    m0008_tags,
    m0009_objects,
    m0010_tries,
    m0011_figures,
)
STEPS: tuple[tuple[str, ...], ...] = tuple(module.STATEMENTS for module in _MODULES)
"""The statements of each step, in order."""
WHAT: tuple[str, ...] = tuple(
    " ".join((module.__doc__ or "").split("\n\n")[0].partition(": ")[2].split()) for module in _MODULES
)
"""What each step is for, in words."""

_SET_VERSION = tuple("PRAGMA user_version = " + str(number) for number in range(len(STEPS) + 1))


def migrate(connection: sqlite3.Connection, before: Callable[[int], None] = lambda version: None) -> int:
    """Bring a database to the newest version, all steps in one transaction; returns the version.

    Safe when several processes start at once: who waited for the lock finds it done, and nobody sees a version between.
    before: called with the version of a database that is about to be upgraded, under the lock; not for a new one.
    Raises GatewayFault when the database is newer than this program, or is not a gateway's.
    """
    # One that is at it already is only read: it may be locked by others, or its disk be full.
    if connection.execute("PRAGMA user_version").fetchone()[0] == len(STEPS):
        return len(STEPS)
    connection.execute("BEGIN IMMEDIATE")
    try:
        version = int(connection.execute("PRAGMA user_version").fetchone()[0])
        if version > len(STEPS):
            raise GatewayFault(
                f"The database has version {version}, but this gateway knows only up to {len(STEPS)}: "
                "it was made by a newer gateway. Install that version, or restore a backup."
            )
        if version == 0 and connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0]:
            raise GatewayFault("The database file exists, but it was not made by this gateway.")
        if 0 < version < len(STEPS):
            before(version)
        for number, step in enumerate(STEPS[version:], version + 1):
            for statement in step:
                connection.execute(statement)
            connection.execute(_SET_VERSION[number])
        connection.execute("COMMIT")
    except BaseException:  # cancellation too; raised again once things are put right
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
    return len(STEPS)
