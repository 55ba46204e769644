"""Keys: settings, limits, rotation, revocation, and who a key turns out to be."""

from __future__ import annotations

import sqlite3

from gateway.credentials import new_key


async def who(house, plain, remote="192.0.2.7"):
    return await house.stores.keys.authenticate(plain, remote)


class TestCreate:
    async def test_only_a_digest_is_stored_and_it_is_no_credential(self, house, tmp_path):
        connection = sqlite3.connect(tmp_path / "gateway.db")
        (stored,) = connection.execute("SELECT digest FROM secrets").fetchone()
        connection.close()
        for file in tmp_path.glob("gateway.db*"):
            if file.is_file():
                assert house.plain.encode() not in file.read_bytes()
        assert len(stored) == 32
        for text in (stored.hex(), stored.decode("latin-1"), "mghp_" + stored.hex()):
            assert await who(house, text) is None


class TestAuthenticate:
    async def test_an_unknown_key_is_nobody_and_takes_no_memory(self, house):
        authenticator = house.stores.keys._authenticator
        await who(house, house.plain)
        for _ in range(20):
            assert await who(house, new_key("mghp_")) is None
        assert len(authenticator._kept) == 1

    async def test_a_bad_checksum_does_not_reach_the_database(self, house, monkeypatch):
        async def never(*_):
            raise AssertionError("the database was asked")

        monkeypatch.setattr(house.stores.core.reader, "rows", never)
        assert await who(house, house.plain[:-1] + ("a" if house.plain[-1] != "a" else "b")) is None

    async def test_last_use_is_noted_once_a_minute(self, house):
        async def last_used():
            return (await house.stores.keys.get_key(house.key.id)).last_used_at

        before = house.stores.core.writer.operations
        for _ in range(50):
            await who(house, house.plain)
        await house.stores.write(lambda _: None)
        assert await last_used() == int(house.clock.unix)
        assert house.stores.core.writer.operations == before + 2
        first = await last_used()
        house.clock.move(59)
        await who(house, house.plain)
        await house.stores.write(lambda _: None)
        assert await last_used() == first
        house.clock.move(1)
        await who(house, house.plain)
        await house.stores.write(lambda _: None)
        assert await last_used() == first + 60


class TestRevocation:
    async def test_a_kept_answer_does_not_read_the_database_again(self, house, monkeypatch):
        await who(house, house.plain)

        async def never(*_):
            raise AssertionError("the database was asked")

        monkeypatch.setattr(house.stores.core.reader, "rows", never)
        assert await who(house, house.plain)
