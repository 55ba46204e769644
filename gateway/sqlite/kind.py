"""`sqlite:///data/gateway.db`: the kind of store, with the rules of its URLs."""

from __future__ import annotations

import asyncio
import hmac
import sqlite3
import time
from contextlib import closing
from pathlib import Path

from gateway.api import GatewayFault
from gateway.api.stores import (
    DATABASE_MARK,
    MigrationPlan,
    MigrationStep,
    Stores,
    StoresSettings,
    derive,
    other_secret,
)
from gateway.sqlite.database import backup_database, open_stores
from gateway.sqlite.engine.migrations import STEPS, WHAT
from gateway.sqlite.engine.presence import folder_of, in_use, living_in
from gateway.sqlite.money.check import SUFFIX, check_database

PATIENCE = 1.5
"""Seconds that a writer waits for another process's lock: a caller is to be told within two."""


class SqliteKind:
    """`gateway.stores.StoresKind` for SQLite files.

    A relative path begins in the data folder, and a leading `data/` in it stands for that folder itself, so that
    `sqlite:///data/gateway.db` is the file gateway.db there.
    """

    @property
    def schemes(self) -> tuple[str, ...]:
        """`sqlite`"""
        return ("sqlite",)

    def check(self, url: str) -> str:
        """A path after three or four slashes, and a real file."""
        rest = url.partition("://")[2]
        if not rest.startswith("/") or rest == "/" or rest.endswith("/"):
            return (
                "a SQLite URL has three slashes before a relative path, sqlite:///data/gateway.db, "
                "and four before an absolute one, sqlite:////var/lib/gateway.db"
            )
        if rest == "/:memory:":
            return "the database must be a file: balances have to survive a restart"
        return ""

    def path(self, url: str, data: str) -> Path:
        """The file that a URL means, absolute."""
        return Path(data).absolute() / url.partition("://")[2][1:].removeprefix("data/")

    async def open(self, url: str, settings: StoresSettings) -> Stores:
        """Open or create the file; see `open_stores`."""
        return await open_stores(
            self.path(url, settings.data),
            settings.secret,
            key_prefix=settings.key_prefix,
            keys_per_account=settings.keys_per_account,
            shared_counters=settings.shared,
            clock=settings.clock or time.time,
            min_free=settings.min_free,
            patience=PATIENCE,
        )

    async def plan(self, url: str, settings: StoresSettings) -> MigrationPlan:
        """Of a file: whoever has it open would read a shape that changes under it, so nobody may while it does."""
        return await asyncio.to_thread(_plan, self.path(url, settings.data))

    async def migrate(self, url: str, settings: StoresSettings) -> MigrationPlan:
        """By opening it; a copy of the file as it was is kept."""
        plan = await self.plan(url, settings)
        if plan.blocked:
            raise GatewayFault(plan.blocked)
        await (await self.open(url, settings)).close()
        return plan

    async def restore(self, url: str, data: str, source: str, *, replace: bool, secret: bytes | None = None) -> str:
        """Check the backup, copy it, check the copy, and swap; what the old database left beside its file goes with it.
        Refused while a process has the old one open, whatever its pid file says."""
        target = self.path(url, data)
        await asyncio.to_thread(_restore, Path(source), target, replace, secret)
        return str(target)


def _plan(path: Path) -> MigrationPlan:
    version, living = 0, living_in(folder_of(path))
    if path.exists():
        try:
            with closing(sqlite3.connect(path, timeout=PATIENCE)) as connection:
                connection.execute("PRAGMA query_only = ON")
                version = int(connection.execute("PRAGMA user_version").fetchone()[0])
        except sqlite3.Error as error:
            raise GatewayFault(f"{path} is not a database of this gateway: {error}") from error
    steps = tuple(MigrationStep("expand", number, WHAT[number - 1]) for number in range(version + 1, len(STEPS) + 1))
    blocked = ""
    if version > len(STEPS):
        blocked = _newer(version)
    elif steps and living:
        blocked = f"{living} of the gateway's processes have {path} open: stop them first"
    return MigrationPlan(version, len(STEPS), steps, living, blocked)


def _check_backup(source: Path, secret: bytes | None) -> None:
    """Raise GatewayFault for what this program could not open, and for what is not sound."""
    if not source.is_file():  # SQLite would make one
        raise GatewayFault(f"{source}: there is no such file")
    try:
        with closing(sqlite3.connect(source, timeout=PATIENCE)) as connection:
            connection.execute("PRAGMA query_only = ON")
            version = int(connection.execute("PRAGMA user_version").fetchone()[0])
            if version > len(STEPS):
                raise GatewayFault(f"{source}: {_newer(version)}; install that one, and restore it with its command")
            mark = connection.execute("SELECT value FROM facts WHERE name = 'secret'").fetchone()
        found = check_database(source)
    except sqlite3.Error as error:
        raise GatewayFault(f"{source} is not a database of this gateway: {error}") from error
    if found:
        raise GatewayFault(f"{source} is not sound: {found[0]}")
    if mark and secret is not None and not hmac.compare_digest(mark[0], derive(secret, DATABASE_MARK)):
        raise other_secret(f"{source} was")


def _newer(version: int) -> str:
    return f"the database has version {version}, made by a newer gateway; this one knows {len(STEPS)}"


def _restore(source: Path, target: Path, replace: bool, secret: bytes | None) -> None:
    _check_backup(source, secret)
    if target.exists() and not replace:
        raise GatewayFault(f"{target} exists; add --force to replace it")
    if in_use(folder_of(target)):
        raise GatewayFault(f"{target} is in use: a gateway, or one of its workers, still runs on it; stop it first")
    target.parent.mkdir(parents=True, exist_ok=True)
    # Copied and checked before anything is touched: a full disk must not cost both.
    making = target.with_name(target.name + ".restoring")
    try:
        backup_database(source, making)
        found = check_database(making)
        if found:
            raise GatewayFault(f"the copy of {source} is not sound: {found[0]}")
        _swap(making, target)
    except (OSError, sqlite3.Error) as error:
        raise GatewayFault(f"{source} could not be restored, and nothing was changed: {error}") from error
    finally:
        making.unlink(missing_ok=True)


def _swap(fresh: Path, target: Path) -> None:
    """Put `fresh` in the place of a database that nobody has open. What the old one left beside its file is not yet in
    it, so it moves aside with it, and is deleted when the new one stands."""
    moved: list[tuple[Path, Path]] = []
    try:
        for ending in ("", "-wal", "-shm"):
            old = target.with_name(target.name + ending)
            if old.exists():
                place = target.with_name(target.name + ".replaced" + ending)
                old.replace(place)
                moved.append((place, old))
        # Sums of the old one's entries.
        target.with_name(target.name + SUFFIX).unlink(missing_ok=True)
        fresh.replace(target)
    except OSError:
        for place, old in reversed(moved):
            place.replace(old)
        raise
    for place, _ in moved:
        place.unlink(missing_ok=True)
