"""Whose the data folder is: the gateway that serves there holds a lock for as long as it lives.

The number in the pid file tells whom to signal, and the lock whether that is still true: a number is used again by the
next program, a lock ends with its holder, however that ends. The number is there once signals are heard.
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from gateway.errors import GatewayFault

PID_FILE = "gateway.pid"
ADDRESS_FILE = "gateway.address"
"""Beside it: the host that was configured and the port that is listened on, which the command line may have chosen."""
LOCK_FILE = "gateway.lock"


class Claim:
    """The claim of this process to serve with the data folder `data`, which exists. Raises GatewayFault when another
    gateway does."""

    def __init__(self, data: Path) -> None:
        self._file = os.open(data / LOCK_FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(self._file)
            raise GatewayFault(
                f"another gateway (process {_number(data) or 'unknown'}) serves with the data folder {data}; stop it, "
                "give this one a folder of its own (GATEWAY_DATA), or let one gateway have several workers "
                "(server.workers)"
            ) from None

    def release(self) -> None:
        """This process serves there no more. Idempotent."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1


def announce(data: Path, host: str, port: int) -> None:
    """Say whom to signal, and where this gateway listens. Blocks on the disk."""
    (data / ADDRESS_FILE).write_text(f"{host} {port}\n")
    (data / PID_FILE).write_text(f"{os.getpid()}\n")


def withdraw(data: Path) -> None:
    """Take back what `announce` said. Idempotent."""
    (data / PID_FILE).unlink(missing_ok=True)
    (data / ADDRESS_FILE).unlink(missing_ok=True)


def served_address(data: Path) -> tuple[str, int] | None:
    """Host and port of the gateway that serves with a data folder; None when none does, or none that says it yet."""
    if not is_claimed(data):
        return None
    try:
        host, port = (data / ADDRESS_FILE).read_text().split()
        return host, int(port)
    except (OSError, ValueError):
        return None


def is_claimed(data: Path) -> bool:
    """Whether a gateway serves with a data folder."""
    try:
        file = os.open(data / LOCK_FILE, os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(file)
    return False


def holder(data: Path) -> int | None:
    """The process to signal, which serves with a data folder; None when there is none, or none that hears yet."""
    return _number(data) if is_claimed(data) else None


def _number(data: Path) -> int | None:
    try:
        return int((data / PID_FILE).read_text())
    except (OSError, ValueError):
        return None
