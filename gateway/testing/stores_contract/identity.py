"""Accounts, keys, sessions and the audit log."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from gateway.errors import CallerFault, Refusal
from gateway.stores import Account, AccountChange, KeySettings
from gateway.stores.checks import erased_name
from gateway.testing.stores_contract.usage import row


async def who(house: Any, plain: Any, remote: Any = "192.0.2.7") -> Any:
    return await house.stores.keys.authenticate(plain, remote)


class AccountsPromises:
    """Accounts are found by id or name, change only in what is named, and leave nothing personal when erased."""

    async def test_accounts_create_with_a_grant(self, stores: Any, clock: Any) -> None:
        account = await stores.accounts.create_account("ada", role="admin", grant=70)
        assert account == Account(account.id, "ada", "admin", 70, 0, int(clock.unix))
        assert [entry.amount for entry in await stores.ledger.entries(account.id)] == [70]
        assert await stores.check() == []

    async def test_accounts_names_are_unique_also_at_once(self, stores: Any) -> None:
        made = await asyncio.gather(*(stores.accounts.create_account("ada") for _ in range(20)), return_exceptions=True)
        assert sum(isinstance(one, Account) for one in made) == 1
        assert {one.status for one in made if isinstance(one, Refusal)} == {409}

    @pytest.mark.parametrize(
        "wrong", [{"name": ""}, {"name": "a\tb"}, {"role": "root"}, {"grant": -1}, {"grant": 2**60}]
    )
    async def test_accounts_wrong_values_are_refused(self, stores: Any, wrong: Any) -> None:
        with pytest.raises(CallerFault):
            await stores.accounts.create_account(**({"name": "ada"} | wrong))

    async def test_accounts_erased_have_nothing_personal_left(self, house: Any) -> None:
        stores, account = house.stores, house.account
        key, plain = await stores.keys.create_key(account.id, KeySettings(name="Ada's", ip_allow=("192.0.2.7",)))
        await stores.logins.set_login(account.id, email="ada@example.org", password_hash="h")
        _, token = await stores.sessions.open_session(account.id, lifetime=100, remote="192.0.2.7")
        talk = await stores.conversations.create_conversation(
            account.id, {"who": "Ada"}, [], expires=int(house.clock.unix) + 100
        )
        stores.usage.record(row(house, "r"))
        other = await stores.accounts.create_account("eve")
        stores.usage.record(row(house, "eves", account_id=other.id, key_id=""))
        _, others = await stores.keys.create_key(other.id, KeySettings(name="Eve's"))
        assert await who(house, plain) is not None
        wanted = replace(account, name=erased_name(account.id), role="user", disabled=True)
        assert await stores.accounts.erase_account(account.id) == wanted
        assert await stores.accounts.erase_account(account.id) == wanted
        assert await who(house, plain) is None
        [kept] = [one for one in await stores.keys.list_keys(account.id) if one.id == key.id]
        assert (kept.name, kept.ip_allow, kept.revoked_at) == ("", None, int(house.clock.unix))
        assert await stores.logins.find_login("ada@example.org") is None
        assert await stores.sessions.find_session(token) is None
        assert await stores.conversations.get_conversation(account.id, talk.id) is None
        assert await who(house, others) is not None
        kept_rows = {one.row.request_id: one.row.tries for one in await stores.usage.recent()}
        assert kept_rows == {"r": "", "eves": row(house, "eves").tries}, (
            "what a provider wrote may quote what was asked"
        )
        assert await stores.accounts.erase_account("acct_nobody") is None
        assert await stores.check() == []

    async def test_accounts_find_by_id_or_name(self, stores: Any) -> None:
        account = await stores.accounts.create_account("ada")
        assert await stores.accounts.find_account("ada") == account
        assert await stores.accounts.find_account(account.id) == account
        assert await stores.accounts.find_account("%") is None
        assert await stores.accounts.get_account("ada") is None

    async def test_accounts_pages(self, stores: Any) -> None:
        made = [await stores.accounts.create_account(f"n{9 - i}") for i in range(5)]
        first = await stores.accounts.list_accounts(limit=3)
        second = await stores.accounts.list_accounts(after=first[-1].id, limit=3)
        assert first + second == made
        assert await stores.accounts.list_accounts(after="acct_unknown") == []

    async def test_accounts_update_sets_only_what_is_named(self, stores: Any) -> None:
        account = await stores.accounts.create_account("ada", grant=5)
        change = AccountChange(
            ("requests_per_minute",), name="other", role="admin", disabled=True, requests_per_minute=9
        )
        changed = await stores.accounts.update_account(account.id, change)
        assert (changed.name, changed.role, changed.disabled, changed.requests_per_minute) == ("ada", "user", False, 9)
        assert await stores.accounts.update_account("acct_unknown", change) is None
        for thresholds in ((50, 80), (), None):
            change = AccountChange(("alert_thresholds",), alert_thresholds=thresholds)
            changed = await stores.accounts.update_account(account.id, change)
            assert changed.alert_thresholds == thresholds
            assert await stores.accounts.get_account(account.id) == changed
        for wrong in ((80, 50), (0,), (101,), (50, 50)):
            with pytest.raises(CallerFault, match="alert_thresholds"):
                await stores.accounts.update_account(
                    account.id, AccountChange(("alert_thresholds",), alert_thresholds=wrong)
                )

    @pytest.mark.parametrize("member", ["balance", "held", "id", "created_at", "n", "name = 'x', balance"])
    async def test_accounts_money_is_never_set(self, stores: Any, member: Any) -> None:
        account = await stores.accounts.create_account("ada", grant=5)
        with pytest.raises(CallerFault):
            await stores.accounts.update_account(account.id, AccountChange((member,)))

    async def test_accounts_a_taken_name_changes_nothing(self, stores: Any) -> None:
        await stores.accounts.create_account("ada")
        eve = await stores.accounts.create_account("eve")
        with pytest.raises(Refusal):
            await stores.accounts.update_account(eve.id, AccountChange(("disabled", "name"), name="ada", disabled=True))
        assert await stores.accounts.get_account(eve.id) == eve


class CreateKeysPromises:
    """A key is told once, counted against its account, and never kept in plain."""

    async def test_keys_create_tells_everything_but_the_secret(self, house: Any) -> None:
        settings = KeySettings("lab", house.clock.unix + 60, 500, ("openai/*",), 5, ("192.0.2.0/24", "::1"))
        settings = replace(settings, expires_at=int(house.clock.unix) + 60)
        key, plain = await house.stores.keys.create_key(house.account.id, settings)
        assert key.label == "mghp_..." + plain[-4:]
        assert (key.name, key.monthly_limit, key.models, key.requests_per_minute) == ("lab", 500, ("openai/*",), 5)
        assert key.ip_allow == ("192.0.2.0/24", "::1/128")
        assert await house.stores.keys.get_key(key.id) == key
        assert plain not in repr(key)

    async def test_keys_create_the_eleventh_active_key_is_refused(self, house: Any) -> None:
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

    async def test_keys_create_needs_an_account(self, house: Any) -> None:
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
    async def test_keys_create_wrong_settings_are_named(self, house: Any, member: Any, value: Any, named: Any) -> None:
        with pytest.raises(CallerFault, match=named):
            await house.stores.keys.create_key(house.account.id, replace(KeySettings(), **{member: value}))


class AuthenticateKeysPromises:
    """A key stands for its account and its limits, as long as it is valid."""

    async def test_keys_authenticate_finds_the_caller(self, house: Any) -> None:
        caller = await who(house, house.plain)
        assert (caller.account_id, caller.key_id, caller.key_label) == (house.account.id, house.key.id, house.key.label)
        assert await who(house, house.plain) == caller

    async def test_keys_authenticate_expires_to_the_second_also_when_it_was_kept(self, house: Any) -> None:
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
    async def test_keys_authenticate_only_from_allowed_addresses(self, house: Any, remote: Any, allowed: Any) -> None:
        settings = KeySettings(ip_allow=("192.0.2.0/24", "2001:db8::/32"))
        _, plain = await house.stores.keys.create_key(house.account.id, settings)
        for _ in range(2):
            if allowed:
                assert await who(house, plain, remote)
            else:
                with pytest.raises(Refusal) as refused:
                    await who(house, plain, remote)
                assert refused.value.status == 403


class RevocationKeysPromises:
    """A key that was revoked or replaced is worth nothing from its time on."""

    async def test_keys_revocation_counts_at_once_here_and_within_a_second_elsewhere(
        self, house: Any, opening: Any
    ) -> None:
        other = await opening()
        assert await who(house, house.plain)
        assert await other.keys.authenticate(house.plain, "192.0.2.7")
        revoked = await house.stores.keys.revoke_key(house.key.id)
        assert revoked.revoked_at == int(house.clock.unix)
        assert await who(house, house.plain) is None
        house.clock.move(0.99)
        assert await other.keys.authenticate(house.plain, "192.0.2.7") is None

    async def test_keys_revocation_disabling_an_account_counts_as_fast(self, house: Any, opening: Any) -> None:
        other = await opening()
        assert await other.keys.authenticate(house.plain, "192.0.2.7")
        change = AccountChange(("disabled",), disabled=True)
        await house.stores.accounts.update_account(house.account.id, change)
        assert await who(house, house.plain) is None
        house.clock.move(0.99)
        assert await other.keys.authenticate(house.plain, "192.0.2.7") is None

    async def test_keys_revocation_twice_keeps_the_first_time(self, house: Any) -> None:
        first = await house.stores.keys.revoke_key(house.key.id)
        house.clock.move(100)
        assert await house.stores.keys.revoke_key(house.key.id) == first
        assert await house.stores.keys.revoke_key("key_unknown") is None


class ChangeKeysPromises:
    """Limits, lists and labels of a key can be changed, and count from the next request."""

    async def test_keys_change_update_replaces_the_settings(self, house: Any) -> None:
        changed = await house.stores.keys.update_key(house.key.id, KeySettings(name="new", models=("a/*",)))
        assert (changed.name, changed.models) == ("new", ("a/*",))
        assert (await who(house, house.plain)).models == ("a/*",)

    async def test_keys_change_rotate_keeps_everything_but_the_secret(self, house: Any) -> None:
        await house.stores.ledger.hold(house.request("r"))
        key, plain = await house.stores.keys.rotate_key(house.key.id)
        assert plain != house.plain
        assert replace(key, label=house.key.label) == house.key
        assert await who(house, house.plain) is None
        assert (await who(house, plain)).key_id == house.key.id
        assert await house.stores.keys.month_use(house.key.id, "2026-11") == (0, 50)

    async def test_keys_change_rotate_with_a_grace(self, house: Any) -> None:
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

    async def test_keys_change_a_key_of_another_account_is_unknown(self, house: Any) -> None:
        keys = house.stores.keys
        assert await keys.get_key(house.key.id, account_id="acct_other") is None
        assert await keys.update_key(house.key.id, KeySettings(), account_id="acct_other") is None
        assert await keys.rotate_key(house.key.id, account_id="acct_other") is None
        assert await keys.revoke_key(house.key.id, account_id="acct_other") is None
        assert await who(house, house.plain)

    async def test_keys_change_a_revoked_key_stays_as_it_is(self, house: Any) -> None:
        await house.stores.keys.revoke_key(house.key.id)
        assert await house.stores.keys.update_key(house.key.id, KeySettings(name="x")) is None
        assert await house.stores.keys.rotate_key(house.key.id) is None

    async def test_keys_change_lists(self, house: Any) -> None:
        other = await house.stores.accounts.create_account("eve")
        key, _ = await house.stores.keys.create_key(other.id, KeySettings())
        assert [one.id for one in await house.stores.keys.list_keys()] == [house.key.id, key.id]
        assert [one.id for one in await house.stores.keys.list_keys(other.id)] == [key.id]


class SessionsPromises:
    """A session ends by itself, by its owner, and with its account."""

    async def test_sessions_a_session_from_sign_in_to_its_end(self, house: Any) -> None:
        sessions = house.stores.sessions
        session, token = await sessions.open_session(
            house.account.id, lifetime=100, remote="192.0.2.1", agent="b" * 300
        )
        assert len(token) >= 43
        assert len(session.agent) == 200
        assert await sessions.find_session(token) == session
        assert await sessions.find_session(token[:-1]) is None
        house.clock.move(60)
        await sessions.find_session(token)
        await house.stores.ledger.void("flushes what was handed over")
        assert (await sessions.find_session(token)).last_seen_at == session.created_at + 60
        house.clock.move(39)
        assert await sessions.find_session(token) is not None
        house.clock.move(1)
        assert await sessions.find_session(token) is None
        assert not await sessions.end_session(session.id), "it is over already"
        assert await sessions.prune(int(house.clock.time())) == 1

    async def test_sessions_ending_one_and_all(self, house: Any, opening: Any) -> None:
        sessions, other = house.stores.sessions, (await opening()).sessions
        opened = [await sessions.open_session(house.account.id, lifetime=100) for _ in range(4)]
        operator, operators_token = await sessions.open_session("", lifetime=100)
        assert [one.id for one in await other.list_sessions(house.account.id)] == [
            one.id for one, _ in reversed(opened)
        ]
        assert [one.id for one in await other.list_sessions("")] == [operator.id]
        assert not await other.end_session(opened[0][0].id, account_id="acct_other")
        assert not await other.end_session(operator.id, account_id="acct_other"), "not even the operator's"
        assert await other.end_session(opened[0][0].id, account_id=house.account.id)
        assert await sessions.find_session(opened[0][1]) is None, "at once, in every process"
        assert await sessions.end_sessions("acct_other") == 0
        assert await sessions.end_sessions(house.account.id, but=opened[1][0].id) == 2
        assert await sessions.find_session(opened[1][1]) is not None
        assert await sessions.find_session(operators_token) is not None

    async def test_sessions_who_may_not(self, house: Any) -> None:
        sessions = house.stores.sessions
        _, token = await sessions.open_session(house.account.id, lifetime=100)
        await house.stores.accounts.update_account(house.account.id, AccountChange(change=("disabled",), disabled=True))
        assert await sessions.find_session(token) is None
        with pytest.raises(Refusal) as disabled:
            await sessions.open_session(house.account.id, lifetime=100)
        with pytest.raises(Refusal) as unknown:
            await sessions.open_session("acct_nobody", lifetime=100)
        assert (disabled.value.status, unknown.value.status) == (403, 404)

    async def test_sessions_the_audit_log_is_read_in_pages_and_only_grows(self, house: Any) -> None:
        audit = house.stores.audit
        for number in range(5):
            await audit.record("admin", "key.revoke", f"key_{number}", remote="192.0.2.1", detail={"n": number})
        await audit.record("cli:ada", "account.create", "acct_1", detail={"text": "x" * 9000})
        newest = await audit.entries(limit=2)
        assert [entry.subject for entry in newest] == ["acct_1", "key_4"]
        assert "was not kept" in newest[0].detail["note"]
        assert [entry.subject for entry in await audit.entries(before=newest[-1].seq, limit=2)] == ["key_3", "key_2"]
        [only] = await audit.entries(subject="key_0", actor="admin", action="key.revoke")
        assert (only.remote, only.detail, only.at) == ("192.0.2.1", {"n": 0}, int(house.clock.time()))
        assert await audit.entries(subject="key_0", actor="cli:ada") == []
        await house.stores.prune(2**40, usage_before=2**40)
        assert len(await audit.entries()) == 6, "nothing ever prunes it"
