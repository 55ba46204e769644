"""The server secret: made once, kept in the data folder, readable by its owner only."""

from __future__ import annotations

import base64
import contextlib
import os
import secrets
import stat
from collections.abc import Iterator
from pathlib import Path

from gateway.credentials import ADMIN_SECRET, derive
from gateway.errors import ConfigFault

FILE_NAME = "secret"
_BYTES = 32


def has_secret(data: Path) -> bool:
    """Whether a gateway was ever started with this data folder."""
    return (data / FILE_NAME).exists()


def server_secret(data: Path) -> bytes:
    """The secret of this installation, 32 random bytes; created with mode 0600 when it does not exist yet.

    Everything else (the pepper of keys, sessions, ...) is derived from it; see `gateway.credentials.derive`. Raises
    ConfigFault when the file is damaged or readable by others.
    """
    path = data / FILE_NAME
    with data_folder(data):
        if not path.exists():
            _create(path)
        return _read(path)


@contextlib.contextmanager
def data_folder(data: Path) -> Iterator[None]:
    """Work in the data folder, made when it is not there. Raises ConfigFault for one that cannot be made, read or
    written in."""
    try:
        data.mkdir(parents=True, exist_ok=True, mode=0o700)
        yield
    except OSError as error:
        raise ConfigFault(
            [
                f"{data}: the data folder cannot be used: {error.strerror or error}; give the gateway's user a folder "
                "that it may write in (environment variable GATEWAY_DATA)"
            ]
        ) from error


def _create(path: Path) -> None:
    # Written aside and linked into place, so that a process which starts at the same moment never reads half a file.
    aside = path.with_name(f"{FILE_NAME}.{secrets.token_hex(8)}")
    descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "w") as file:
            file.write(secrets.token_hex(_BYTES) + "\n")
            file.flush()
            os.fsync(file.fileno())
        with contextlib.suppress(FileExistsError):
            os.link(aside, path)
    finally:
        aside.unlink()


def _read(path: Path) -> bytes:
    mode = stat.S_IMODE(path.stat().st_mode)
    if mode & 0o077:
        raise ConfigFault([f"{path}: the server secret can be read by others (mode {mode:04o}); run: chmod 600 {path}"])
    try:
        secret = bytes.fromhex(path.read_text().strip())
    except ValueError:
        secret = b""
    if len(secret) != _BYTES:
        raise ConfigFault([f"{path}: this is not a server secret ({_BYTES} bytes in hex); restore it from your backup"])
    return secret


def admin_secret(secret: bytes) -> str:
    """The operator's own credential for console and admin API: 160 bits, derived, so that it need not be stored."""
    return "mgas_" + base64.b32encode(derive(secret, ADMIN_SECRET, 20)).decode().lower()
