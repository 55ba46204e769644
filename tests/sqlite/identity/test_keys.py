"""Keys: settings, limits, rotation, revocation, and who a key turns out to be."""

from __future__ import annotations

import sqlite3
from dataclasses import replace

import pytest

from gateway.credentials import new_key
from gateway.errors import CallerFault, Refusal
from gateway.stores import AccountChange, KeySettings


async def who(house, plain, remote="192.0.2.7"):
    return await house.stores.keys.authenticate(plain, remote)


class TestCreate:
    async def test_tells_everything_but_the_secret(self, house):
        settings = KeySettings("lab", house.clock.unix + 60, 500, ("openai/*",), 5, ("192.0.2.0/24", "::1"))
        settings = replace(settings, expires_at=int(house.clock.unix) + 60)
        key, plain = await house.stores.keys.create_key(house.account.id, settings)
        assert key.label == "mghp_..." + plain[-4:]
        assert (key.name, key.monthly_limit, key.models, key.requests_per_minute) == ("lab", 500, ("openai/*",), 5)
        assert key.ip_allow == ("192.0.2.0/24", "::1/128")
        assert await house.stores.keys.get_key(key.id) == key
        assert plain not in repr(key)

    async def test_the_eleventh_active_key_is_refused(self, house):
        keys = house.stores.keys
        made = [await keys.create_key(house.account.id, KeySettings()) for _ in range(9)]
        with pytest.raises(Refusal, match="10 active keys") as refused:
            await keys.create_key(house.account.id, KeySettings())
        assert (refused.value.status, refused.value.code) == (400, "too_many_keys")
        await keys.revoke_key(made[0][0].id)
        await keys.create_key(house.account.id, KeySettings(expires_at=int(house.clock.unix) + 5))
        with pytest.raises(Refusal):
            await keys.create_key(house.account.id, KeySettings())
        house.clock.move(5)
        await keys.create_key(house.account.id, KeySettings())

    async def test_needs_an_account(self, house):
        with pytest.raises(Refusal) as refused:
            await house.stores.keys.create_key("acct_nobody", KeySettings())
        assert refused.value.status == 404

    @pytest.mark.parametrize(
        ("member", "value", "named"),
        [
            ("name", "x" * 101, "name"),
            ("name", "a\nb", "name"),
            ("expires_at", 1000, "expires_at"),
            ("monthly_limit", -1, "monthly_limit"),
            ("monthly_limit", 2**53 + 1, "monthly_limit"),
            ("models", (), "models"),
            ("models", ("ok", "not ok"), r"models\[1\]"),
            ("requests_per_minute", 0, "requests_per_minute"),
            ("ip_allow", (), "ip_allow"),
            ("ip_allow", ("192.0.2.1/24",), r"ip_allow\[0\]"),
            ("ip_allow", ("::1", "here"), r"ip_allow\[1\]"),
        ],
    )
    async def test_wrong_settings_are_named(self, house, member, value, named):
        with pytest.raises(CallerFault, match=named):
            await house.stores.keys.create_key(house.account.id, replace(KeySettings(), **{member: value}))

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
    async def test_finds_the_caller(self, house):
        caller = await who(house, house.plain)
        assert (caller.account_id, caller.key_id, caller.key_label) == (house.account.id, house.key.id, house.key.label)
        assert await who(house, house.plain) is caller

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

    async def test_expires_to_the_second_also_when_it_was_kept(self, house):
        end = int(house.clock.unix) + 10
        _, plain = await house.stores.keys.create_key(house.account.id, KeySettings(expires_at=end))
        assert await who(house, plain)
        house.clock.move(9.9)
        assert await who(house, plain)
        house.clock.move(0.1)
        assert await who(house, plain) is None

    @pytest.mark.parametrize(
        ("remote", "allowed"),
        [("192.0.2.7", True), ("::ffff:192.0.2.7", True), ("2001:db8::5", True), ("192.0.3.7", False), ("", False)],
    )
    async def test_only_from_allowed_addresses(self, house, remote, allowed):
        settings = KeySettings(ip_allow=("192.0.2.0/24", "2001:db8::/32"))
        _, plain = await house.stores.keys.create_key(house.account.id, settings)
        for _ in range(2):
            if allowed:
                assert await who(house, plain, remote)
            else:
                with pytest.raises(Refusal) as refused:
                    await who(house, plain, remote)
                assert refused.value.status == 403

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
    async def test_counts_at_once_here_and_within_a_second_elsewhere(self, house, opening):
        other = await opening()
        assert await who(house, house.plain)
        assert await other.keys.authenticate(house.plain, "192.0.2.7")
        revoked = await house.stores.keys.revoke_key(house.key.id)
        assert revoked.revoked_at == int(house.clock.unix)
        assert await who(house, house.plain) is None
        house.clock.move(0.99)
        assert await other.keys.authenticate(house.plain, "192.0.2.7") is None

    async def test_disabling_an_account_counts_as_fast(self, house, opening):
        other = await opening()
        assert await other.keys.authenticate(house.plain, "192.0.2.7")
        change = AccountChange(("disabled",), disabled=True)
        await house.stores.accounts.update_account(house.account.id, change)
        assert await who(house, house.plain) is None
        house.clock.move(0.99)
        assert await other.keys.authenticate(house.plain, "192.0.2.7") is None

    async def test_a_kept_answer_does_not_read_the_database_again(self, house, monkeypatch):
        await who(house, house.plain)

        async def never(*_):
            raise AssertionError("the database was asked")

        monkeypatch.setattr(house.stores.core.reader, "rows", never)
        assert await who(house, house.plain)

    async def test_twice_keeps_the_first_time(self, house):
        first = await house.stores.keys.revoke_key(house.key.id)
        house.clock.move(100)
        assert await house.stores.keys.revoke_key(house.key.id) == first
        assert await house.stores.keys.revoke_key("key_unknown") is None


class TestChange:
    async def test_update_replaces_the_settings(self, house):
        changed = await house.stores.keys.update_key(house.key.id, KeySettings(name="new", models=("a/*",)))
        assert (changed.name, changed.models) == ("new", ("a/*",))
        assert (await who(house, house.plain)).models == ("a/*",)

    async def test_rotate_keeps_everything_but_the_secret(self, house):
        await house.stores.ledger.hold(house.request("r"))
        key, plain = await house.stores.keys.rotate_key(house.key.id)
        assert plain != house.plain
        assert replace(key, label=house.key.label) == house.key
        assert await who(house, house.plain) is None
        assert (await who(house, plain)).key_id == house.key.id
        assert await house.stores.keys.month_use(house.key.id, "2026-11") == (0, 50)

    async def test_rotate_with_a_grace(self, house):
        _, second = await house.stores.keys.rotate_key(house.key.id, grace=60)
        _, third = await house.stores.keys.rotate_key(house.key.id, grace=3600)
        assert all([await who(house, plain) for plain in (house.plain, second, third)])
        house.clock.move(60)
        assert await who(house, house.plain) is None
        assert await who(house, second)
        house.clock.move(3600)
        assert await who(house, second) is None
        assert await who(house, third)
        await house.stores.keys.revoke_key(house.key.id)
        assert await who(house, third) is None

    async def test_a_key_of_another_account_is_unknown(self, house):
        keys = house.stores.keys
        assert await keys.get_key(house.key.id, account_id="acct_other") is None
        assert await keys.update_key(house.key.id, KeySettings(), account_id="acct_other") is None
        assert await keys.rotate_key(house.key.id, account_id="acct_other") is None
        assert await keys.revoke_key(house.key.id, account_id="acct_other") is None
        assert await who(house, house.plain)

    async def test_a_revoked_key_stays_as_it_is(self, house):
        await house.stores.keys.revoke_key(house.key.id)
        assert await house.stores.keys.update_key(house.key.id, KeySettings(name="x")) is None
        assert await house.stores.keys.rotate_key(house.key.id) is None

    async def test_lists(self, house):
        other = await house.stores.accounts.create_account("eve")
        key, _ = await house.stores.keys.create_key(other.id, KeySettings())
        assert [one.id for one in await house.stores.keys.list_keys()] == [house.key.id, key.id]
        assert [one.id for one in await house.stores.keys.list_keys(other.id)] == [key.id]
