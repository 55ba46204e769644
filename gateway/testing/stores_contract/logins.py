"""Logins, identities at other services, and links that let people in once."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from gateway.errors import CallerFault, Refusal
from gateway.stores import Account, AccountChange, Link, NewLink, SignUp


class LoginsPromises:
    """An address, and an identity of elsewhere, is one account's; erasing leaves no way in."""

    async def test_logins_are_found_by_address_in_any_case_and_hide_the_hash(self, house: Any) -> None:
        logins = house.stores.logins
        assert await logins.login_of(house.account.id) is None
        made = await logins.set_login(house.account.id, email=" Ada@Example.org ", password_hash="hash-1")
        assert (made.email, made.password_hash) == ("ada@example.org", "hash-1")
        assert made.changed_at == int(house.clock.unix)
        assert await logins.find_login("ADA@example.org") == made == await logins.login_of(house.account.id)
        assert "hash-1" not in repr(made)
        assert await logins.find_login("a%@example.org") is None
        assert await logins.find_login("no address") is None

    @pytest.mark.parametrize("wrong", ["", "ada", "a@b@c", "a b@c.org", "ada@", "@c.org", "a\n@c.org", "<a>@c.org"])
    async def test_logins_what_is_no_address_is_refused(self, house: Any, wrong: Any) -> None:
        with pytest.raises(CallerFault, match="email"):
            await house.stores.logins.set_login(house.account.id, email=wrong, password_hash="h")

    async def test_logins_an_address_is_one_accounts(self, house: Any) -> None:
        logins, other = house.stores.logins, await house.stores.accounts.create_account("eve")
        await logins.set_login(house.account.id, email="ada@example.org", password_hash="h")
        with pytest.raises(Refusal) as taken:
            await logins.set_login(other.id, email="Ada@example.org", password_hash="h")
        with pytest.raises(Refusal) as unknown:
            await logins.set_login("acct_nobody", email="new@example.org", password_hash="h")
        with pytest.raises(CallerFault, match="email"):
            await logins.set_login(other.id, password_hash="h")
        assert (taken.value.status, taken.value.code, unknown.value.status) == (409, "email_taken", 404)
        assert await logins.login_of(other.id) is None

    async def test_logins_a_new_password_ends_all_sessions_but_one(self, house: Any) -> None:
        logins, sessions = house.stores.logins, house.stores.sessions
        other = await house.stores.accounts.create_account("eve")
        _, others = await sessions.open_session(other.id, lifetime=100)
        first = await logins.set_login(house.account.id, email="ada@example.org", password_hash="h1")
        opened = [await sessions.open_session(house.account.id, lifetime=100) for _ in range(3)]
        moved = await logins.set_login(house.account.id, email="lovelace@example.org")
        assert (moved.password_hash, moved.changed_at) == ("h1", first.changed_at)
        assert len(await sessions.list_sessions(house.account.id)) == 3
        await logins.set_login(house.account.id, password_hash="h2", keep=opened[1][0].id)
        assert [one.id for one in await sessions.list_sessions(house.account.id)] == [opened[1][0].id]
        assert await sessions.find_session(others) is not None

    async def test_logins_erasing_leaves_no_way_in(self, house: Any) -> None:
        logins, account = house.stores.logins, house.account.id
        await logins.set_login(account, email="ada@example.org", password_hash="h")
        await logins.add_identity(account, "https://id.example.org", "7")
        _, token = await logins.create_link(NewLink("sign_in", lifetime=60, account_id=account))
        _, session = await house.stores.sessions.open_session(account, lifetime=100)
        assert await logins.erase_login(account)
        assert await logins.login_of(account) is None
        assert await logins.find_identity("https://id.example.org", "7") is None
        assert await logins.find_link(token, "sign_in") is None
        assert await house.stores.sessions.find_session(session) is None
        assert not await logins.erase_login(account)
        assert not await logins.erase_login("acct_nobody")

    async def test_logins_identities_belong_to_one_account(self, house: Any) -> None:
        logins, other = house.stores.logins, await house.stores.accounts.create_account("eve")
        for _ in range(2):
            await logins.add_identity(house.account.id, "https://id.example.org", "7")
        assert await logins.find_identity("https://id.example.org", "7") == house.account.id
        assert await logins.find_identity("https://id.example.org", "8") is None
        assert await logins.find_identity("https://other.example.org", "7") is None
        with pytest.raises(Refusal) as taken:
            await logins.add_identity(other.id, "https://id.example.org", "7")
        assert taken.value.status == 409


class SignUpPromises:
    """Account, login and grant come in one step, once per address; an invitation is used up by it, or not at all."""

    async def test_sign_up_makes_account_login_and_grant_in_one_step(self, house: Any) -> None:
        made = await house.stores.logins.sign_up(SignUp("New@example.org", "h", grant=70, identity=("https://i", "1")))
        assert made == Account(made.id, "new@example.org", "user", 70, 0, int(house.clock.unix))
        assert (await house.stores.logins.find_login("new@example.org")).account_id == made.id
        assert await house.stores.logins.find_identity("https://i", "1") == made.id
        assert [entry.amount for entry in await house.stores.ledger.entries(made.id)] == [70]

    async def test_sign_up_of_one_address_succeeds_once(self, house: Any) -> None:
        made = await asyncio.gather(
            *(house.stores.logins.sign_up(SignUp("new@example.org", "h")) for _ in range(10)), return_exceptions=True
        )
        assert sum(isinstance(one, Account) for one in made) == 1
        assert {one.code for one in made if isinstance(one, Refusal)} == {"email_taken"}
        await house.stores.accounts.create_account("named@example.org")
        with pytest.raises(Refusal) as taken:
            await house.stores.logins.sign_up(SignUp("named@example.org", "h"))
        assert taken.value.code == "email_taken"

    async def test_sign_up_by_an_invitation_uses_it_up(self, house: Any) -> None:
        logins = house.stores.logins
        _, token = await logins.create_link(
            NewLink("invitation", lifetime=60, email="Boss@example.org", role="admin", credits=500)
        )
        with pytest.raises(Refusal) as stranger:
            await logins.sign_up(SignUp("eve@example.org", "h", invitation=token))
        assert (stranger.value.status, stranger.value.code) == (404, "invalid_link")
        made = await logins.sign_up(SignUp("boss@example.org", "h", grant=5, invitation=token))
        assert (made.role, made.balance) == ("admin", 505)
        with pytest.raises(Refusal):
            await logins.sign_up(SignUp("boss2@example.org", "h", invitation=token))

    async def test_sign_up_that_fails_leaves_the_invitation(self, house: Any) -> None:
        logins = house.stores.logins
        await logins.set_login(house.account.id, email="ada@example.org", password_hash="h")
        _, token = await logins.create_link(NewLink("invitation", lifetime=60))
        with pytest.raises(Refusal) as taken:
            await logins.sign_up(SignUp("ada@example.org", "h", invitation=token))
        assert taken.value.code == "email_taken"
        assert (await logins.sign_up(SignUp("eve@example.org", "h", invitation=token))).role == "user"


class LinksPromises:
    """A link works once, until its time, for what it was made for."""

    async def test_links_work_once_and_for_one_purpose(self, house: Any, opening: Any) -> None:
        logins, other = house.stores.logins, (await opening()).logins
        link, token = await logins.create_link(NewLink("sign_in", lifetime=60, account_id=house.account.id))
        now = int(house.clock.unix)
        assert link == Link(link.id, "sign_in", now, now + 60, house.account.id)
        assert len(token) >= 43
        assert await other.find_link(token, "sign_in") == link
        assert await other.find_link(token, "password") is None
        assert await other.take_link(token, "invitation") is None
        taken = await asyncio.gather(*(store.take_link(token, "sign_in") for store in (logins, other) * 5))
        assert [one for one in taken if one is not None] == [link]
        assert await logins.find_link(token, "sign_in") is None

    async def test_links_end_by_time_revocation_and_with_their_account(self, house: Any) -> None:
        logins, account = house.stores.logins, house.account.id
        made = [await logins.create_link(NewLink("sign_in", lifetime=60 + n, account_id=account)) for n in range(3)]
        assert [link.id for link in await logins.list_links()] == [link.id for link, _ in reversed(made)]
        house.clock.move(60)
        assert await logins.take_link(made[0][1], "sign_in") is None
        assert await logins.prune_links(int(house.clock.unix)) == 1
        assert await logins.revoke_link(made[1][0].id)
        assert not await logins.revoke_link(made[1][0].id)
        assert await logins.find_link(made[1][1], "sign_in") is None
        await house.stores.accounts.update_account(account, AccountChange(("disabled",), disabled=True))
        assert await logins.find_link(made[2][1], "sign_in") is None

    @pytest.mark.parametrize(
        "wrong", [{"email": "nobody"}, {"role": "root"}, {"credits": -1}, {"account_id": "acct_no"}]
    )
    async def test_links_wrong_values_are_refused(self, house: Any, wrong: Any) -> None:
        with pytest.raises((CallerFault, Refusal)):
            await house.stores.logins.create_link(NewLink("invitation", lifetime=60, **wrong))

    async def test_links_a_password_link_sets_it_once_and_ends_sessions(self, house: Any) -> None:
        logins, account = house.stores.logins, house.account.id
        await logins.set_login(account, email="ada@example.org", password_hash="h1")
        _, token = await logins.create_link(NewLink("password", lifetime=60, account_id=account))
        _, session = await house.stores.sessions.open_session(account, lifetime=100)
        login = await logins.reset_password(token, "h2", email="thief@example.org")
        assert (login.email, login.password_hash) == ("ada@example.org", "h2"), "the address stays"
        assert await house.stores.sessions.find_session(session) is None
        assert await logins.reset_password(token, "h3") is None

    async def test_links_a_password_link_gives_an_account_its_first_login(self, house: Any) -> None:
        logins = house.stores.logins
        _, token = await logins.create_link(NewLink("password", lifetime=60, account_id=house.account.id))
        with pytest.raises(CallerFault, match="email"):
            await logins.reset_password(token, "h")
        login = await logins.reset_password(token, "h", email="ada@example.org")
        assert (login.email, login.account_id) == ("ada@example.org", house.account.id)
