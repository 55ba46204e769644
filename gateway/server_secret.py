"""The server secret: made once, kept in the data folder, readable by its owner only; and what replaces it.

The file has a line for each version, the newest first: 32 bytes in hex, and behind an older one until when it still
opens the admin API. Digests of keys, sessions, links and vouchers stay under the first, so that a rotation ends none of
them: they are of 100 random bits and more, which nobody finds by knowing the secret. What is derived for people, the
admin secret, is derived from the newest.
"""

from __future__ import annotations

import base64
import contextlib
import hmac
import os
import secrets
import stat
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from gateway.credentials import ADMIN_SECRET, derive
from gateway.errors import ConfigFault

FILE_NAME = "secret"
_BYTES = 32


def has_secret(data: Path) -> bool:
    """Whether a gateway was ever started with this data folder."""
    return (data / FILE_NAME).exists()


def server_secret(data: Path) -> bytes:
    """The first secret of this installation, 32 random bytes; created with mode 0600 when it does not exist yet.

    The peppers of keys, sessions, links and vouchers are derived from it; see `gateway.credentials.derive`. Raises
    ConfigFault when the file is damaged or readable by others.
    """
    path = data / FILE_NAME
    with data_folder(data):
        if not path.exists():
            _create(path)
        return _read(path)[-1][0]


def forget_secret(data: Path) -> None:
    """Take back one that was just made beside a database that belongs to another: it opens nothing, and would be shown
    for the real one."""
    with data_folder(data):
        (data / FILE_NAME).unlink(missing_ok=True)


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
    aside = _aside(path, secrets.token_hex(_BYTES) + "\n")
    try:
        with contextlib.suppress(FileExistsError):
            os.link(aside, path)
    finally:
        aside.unlink()


def _aside(path: Path, text: str) -> Path:
    """A new private file beside `path`, whose text is on the disk."""
    aside = path.with_name(f"{FILE_NAME}.{secrets.token_hex(8)}")
    descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    return aside


def _read(path: Path) -> list[tuple[bytes, float]]:
    """Every version with the time until which it opens the admin API, the newest first."""
    mode = stat.S_IMODE(path.stat().st_mode)
    if mode & 0o077:
        raise ConfigFault([f"{path}: the server secret can be read by others (mode {mode:04o}); run: chmod 600 {path}"])
    found: list[tuple[bytes, float]] = []
    try:
        for line in path.read_text().splitlines():
            text, _, until = line.strip().partition(" until=")
            found.append((bytes.fromhex(text), float(until or 0)))
    except ValueError:
        found = []
    if not found or any(len(secret) != _BYTES for secret, _ in found):
        raise ConfigFault([f"{path}: this is not a server secret ({_BYTES} bytes in hex); restore it from your backup"])
    return found


def admin_secret(secret: bytes) -> str:
    """The operator's own credential for console and admin API: 160 bits, derived, so that it need not be stored."""
    return "mgas_" + base64.b32encode(derive(secret, ADMIN_SECRET, 20)).decode().lower()


def admin_secrets(data: Path, now: float) -> list[str]:
    """The admin secrets that are good at `now` (unix seconds), the newest first. Raises ConfigFault as `server_secret`
    does."""
    with data_folder(data):
        newest, *older = _read(data / FILE_NAME)
    return [admin_secret(newest[0]), *(admin_secret(secret) for secret, until in older if now < until)]


class AdminSecrets:
    """The admin secrets of a running gateway. told: shown each that is read, to keep it out of logs. Reads files, so it
    belongs on a thread. Raises ConfigFault."""

    def __init__(self, data: Path, told: Callable[[Sequence[str]], None]) -> None:
        self._data = data
        self._told = told
        self._read()

    @property
    def newest(self) -> str:
        """The one to show."""
        return self._good[0]

    def opens(self, given: bytes) -> bool:
        """Whether this one is good now. The file is read each time: it may have been rotated, or the time be over."""
        with contextlib.suppress(ConfigFault):  # a file that is away takes nobody's access
            self._read()
        return any(hmac.compare_digest(given, secret.encode()) for secret in self._good)

    def _read(self) -> None:
        self._good = admin_secrets(self._data, time.time())
        self._told(self._good)


def rotate(data: Path, until: float) -> int:
    """Put a new version in front; the one that was opens the admin API until then (unix seconds). Returns how many
    versions there are. Raises ConfigFault."""
    with data_folder(data):
        (newest, _), *older = _read(data / FILE_NAME)
        versions = [(secrets.token_bytes(_BYTES), 0.0), (newest, until), *older]
        _write(data / FILE_NAME, versions)
    return len(versions)


def undo_rotation(data: Path) -> int:
    """Take the newest version away again, which is forgotten, and use the one before. Returns how many versions there
    are. Raises ConfigFault, also when there is only one."""
    with data_folder(data):
        _, *older = _read(data / FILE_NAME)
        if not older:
            raise ConfigFault([f"{data / FILE_NAME}: the server secret was never rotated"])
        _write(data / FILE_NAME, [(older[0][0], 0.0), *older[1:]])
    return len(older)


def _write(path: Path, versions: Sequence[tuple[bytes, float]]) -> None:
    lines = (secret.hex() + (f" until={int(until)}" if until else "") for secret, until in versions)
    aside = _aside(path, "".join(f"{line}\n" for line in lines))
    os.replace(aside, path)
