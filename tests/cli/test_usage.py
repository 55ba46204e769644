"""`gateway usage` and `gateway ledger export`: tables for people and spreadsheets, days, keys, tags."""

from __future__ import annotations

import argparse
import re
import time
from typing import Any

import pytest

from gateway.call import Usage
from gateway.cli.common import with_stores
from gateway.stores import UsageRow

from .conftest import CONFIG, Terminal


def test_usage_of_one_and_of_all_in_the_shape_of_the_api(gateway: Terminal) -> None:
    gateway("accounts", "create", "Ada", "--credits", "1000")
    gateway("accounts", "create", "Bob", "--credits", "5")
    made = gateway.json("usage", "Ada", "--start", "2026-01-01", "--end", "2026-01-31")
    assert isinstance(made, dict)
    assert (made["object"], made["balance"], made["totals"]["credits"]) == ("usage", 1000, 0)
    assert made["budget"]["limit"] == 1000
    everybody = gateway.json("usage", "--days", "7")
    assert isinstance(everybody, list)
    assert [(one["name"], one["balance"]) for one in everybody] == [("Ada", 1000), ("Bob", 5)]
    shown = gateway("usage")
    assert re.search(r"Ada +0 +0 +0 +1,000 +0 %", shown)
    assert made.get("groups") is None
    by_user = gateway.json("usage", "Ada", "--by", "user")
    assert isinstance(by_user, dict)
    assert (by_user["group_by"], by_user["groups"]) == ("user", [])
    assert re.search(r"USER +CREDITS +REQUESTS +TOKENS", gateway("usage", "Ada", "--by", "user"))
    assert "group_by: expected `user`" in gateway("usage", "--by", "team", status=2)
    gateway.config.write_text(CONFIG + "usage: {tag_metadata: [team]}\n")
    assert re.search(r"NAME +TEAM +CREDITS +REQUESTS +TOKENS", gateway("usage", "--by", "team"))
    assert "start: expected a day" in gateway("usage", "Ada", "--start", "soon", status=2)
    assert "days: " in gateway("usage", "Ada", "--days", "0", status=2)


def test_usage_as_tables_for_spreadsheets(gateway: Terminal) -> None:
    gateway.config.write_text(CONFIG + "usage: {tag_metadata: [team]}\n")
    gateway("accounts", "create", "=Ada", "--credits", "1000")
    made: Any = gateway.json("keys", "create", "--account", "=Ada", "--name", "laptop")
    day = int(time.time())
    used = Usage(prompt_tokens=3, completion_tokens=4)

    async def use(stores: Any) -> int:
        for number, (key, tags) in enumerate([(made["id"], (("user", "eva"), ("team", ""))), ("", ())]):
            stores.usage.record(
                UsageRow(f"req_{number}", made["account_id"], key, "echo/echo", "echo/echo", "/v1/chat/completions",
                         200, used, "provider", day, None, 1, tags=tags)
            )  # fmt: skip
        return 0

    with_stores(argparse.Namespace(config=gateway.config), use)
    today = time.strftime("%Y-%m-%d", time.gmtime(day))
    tables = {
        ("--csv",): ["id,name,credits,tokens,requests,balance,budget_used",
                     f"{made['account_id']},'=Ada,0,14,2,1000,0"],
        ("--by", "key", "--csv"): ["name,key,credits,requests,key_name", f"'=Ada,{made['id']},0,1,laptop",
                                   "'=Ada,console,0,1,"],
        ("=Ada", "--csv"): ["day,credits,requests", f"{today},0,2"],
        ("=Ada", "--by", "model", "--csv"): ["model,credits", "echo/echo,0"],
        ("=Ada", "--by", "user", "--csv"): ["user,credits,requests,tokens", "eva,0,1,7", "(none),0,1,7"],
    }  # fmt: skip
    for words, wanted in tables.items():
        shown = gateway("usage", *words).splitlines()
        assert (shown[0], sorted(shown[1:])) == (wanted[0], sorted(wanted[1:])), words
    assert re.search(r"KEY +CREDITS +REQUESTS +KEY NAME", gateway("usage", "=Ada", "--by", "key"))
    assert "either" in gateway("usage", "--csv", "--json", status=2)


def test_usage_of_a_key_is_its_accounts(gateway: Terminal) -> None:
    for name in ("Ada", "Bob"):
        gateway("accounts", "create", name)
    made: Any = gateway.json("keys", "create", "--account", "Ada")
    assert gateway("usage", "--key", made["id"]).startswith("Ada: ")
    assert "of 'Bob'" in gateway("usage", "Bob", "--key", made["id"], status=1)
    assert "there is no key" in gateway("usage", "--key", "key_none", status=1)
    assert "Bob" in gateway("usage", "--key", "console")


def test_the_ledger_of_some_days(gateway: Terminal) -> None:
    gateway("accounts", "create", "Ada", "--credits", "1000")
    today = time.strftime("%Y-%m-%d", time.gmtime())
    assert len(gateway("ledger", "export", "--start", today, "--end", today).splitlines()) == 2
    assert len(gateway("ledger", "export", "--end", "2020-12-31").splitlines()) == 1
    assert "--start is after --end" in gateway("ledger", "export", "--start", today, "--end", "2020-12-31", status=2)
    with pytest.raises(SystemExit):
        gateway("ledger", "export", "--start", "yesterday")
