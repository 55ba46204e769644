"""Passwords: what they must be, what is kept, and that many at once are refused instead of waiting for ever."""

from __future__ import annotations

import asyncio

import pytest

from gateway.errors import CallerFault, GatewayFault
from gateway.passwords import _MOST_WAITING, _NOBODY, Passwords, check_password


async def test_a_hash_is_argon2id_salted_and_of_its_password_only():
    passwords = Passwords()
    one, other = await passwords.hash("correct horse"), await passwords.hash("correct horse")
    assert one.startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    assert one != other
    assert await passwords.matches("correct horse", one)
    assert not await passwords.matches("correct horsE", one)
    assert not await passwords.matches("correct horse", "")
    assert not await passwords.matches("correct horse", "no hash")


async def test_nobodys_hash_costs_what_everybodys_does():
    assert (
        _NOBODY.rpartition("$")[0].rpartition("$")[0]
        == (await Passwords().hash("x")).rpartition("$")[0].rpartition("$")[0]
    )


async def test_too_many_at_once_are_sent_away():
    passwords = Passwords()
    stored = await passwords.hash("correct horse")
    results = await asyncio.gather(
        *(passwords.matches("wrong", stored) for _ in range(_MOST_WAITING + 3)), return_exceptions=True
    )
    assert [type(one) for one in results].count(GatewayFault) == 3
    assert results.count(False) == _MOST_WAITING


@pytest.mark.parametrize("password", ["short", "x" * 201, "abababababab", "ADA@example.org", "lovelace12"])
def test_what_is_no_password(password):
    with pytest.raises(CallerFault, match="password"):
        check_password(password, "lovelace12@example.org" if password == "lovelace12" else "ada@example.org")


def test_what_is_one():
    assert check_password("correct horse", "ada@example.org") == "correct horse"
