"""Passwords: what they must be, and what is kept of them.

Argon2id (RFC 9106), with the least parameters that OWASP's Password Storage Cheat Sheet recommends: 19 MiB, two passes.
Hashing is done beside the event loop, of few at once: so a flood of sign-ins costs neither the API's time nor much
memory.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TypeVar

from gateway.errors import CallerFault, GatewayFault

_T = TypeVar("_T")

SHORTEST = 10
LONGEST = 200
_AT_ONCE = 2
_MOST_WAITING = 50
_TIME_COST, _MEMORY_KIB, _LANES = 2, 19 * 1024, 1
# The hash of a random password that was thrown away: what is checked when nobody has such a login, so that this takes
# as long as for one that somebody has.
_NOBODY = "$argon2id$v=19$m=19456,t=2,p=1$a/qupoloKzLpqlnK7yYKZA$y69gd8S7y9Z9xT1YQcPd75a1S8zBQFOA+UnNTemN/eM"


def check_password(password: str, email: str = "") -> str:
    """The password, if it can be one. Raises CallerFault (400) that says what is missing."""
    if not SHORTEST <= len(password) <= LONGEST:
        raise CallerFault(f"password: use {SHORTEST} to {LONGEST} characters.", param="password")
    if len(set(password)) < 4:
        raise CallerFault("password: this is too easy to guess; use more different characters.", param="password")
    address = email.strip().lower()
    if address and password.lower() in (address, address.partition("@")[0]):
        raise CallerFault("password: this is your e-mail address; choose something else.", param="password")
    return password


class Passwords:
    """Hashes and compares passwords."""

    def __init__(self) -> None:
        self._room = asyncio.Semaphore(_AT_ONCE)
        self._waiting = 0

    async def hash(self, password: str) -> str:
        """What to store of a password; see `check_password` for what may be one. Raises GatewayFault(503)."""
        return await self._apart(_hash, password)

    async def matches(self, password: str, stored: str) -> bool:
        """Whether a stored hash is of this password; stored: "" for none, which takes as long. Raises
        GatewayFault(503) when too many ask at once."""
        # Nobody can have a longer one, and hashing megabytes would be dear.
        same = await self._apart(_matches, password[: LONGEST + 1], stored or _NOBODY)
        return same and stored != ""

    async def _apart(self, work: Callable[..., _T], *arguments: str) -> _T:
        if self._waiting >= _MOST_WAITING:
            raise GatewayFault(
                "Too many people are signing in at this moment; try again in a few seconds.",
                status=503,
                type="overloaded",
                code="overloaded",
                retry_after=2.0,
            )
        self._waiting += 1
        try:
            async with self._room:
                return await asyncio.to_thread(work, *arguments)
        finally:
            self._waiting -= 1


def _hash(password: str) -> str:
    from argon2 import PasswordHasher  # loaded when somebody signs in, which most processes never see

    return PasswordHasher(_TIME_COST, _MEMORY_KIB, _LANES).hash(password)


def _matches(password: str, stored: str) -> bool:
    from argon2 import PasswordHasher
    from argon2.exceptions import InvalidHashError, VerificationError

    try:
        return PasswordHasher().verify(stored, password)
    except (VerificationError, InvalidHashError):
        return False
