"""The command line beside a database: what an operator does at the terminal."""

from __future__ import annotations

import argparse
import contextlib
import os
import re
import socket
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from gateway.claim import PID_FILE, Claim
from gateway.cli import build_parser, main
from gateway.cli.common import with_stores
from gateway.sqlite import kind
from gateway.sqlite.engine.presence import ProcessLock, folder_of
from gateway.stores import KeptObject

CONFIG = """
providers: {echo: {plugin: echo}}
models: {echo/echo: {price: {input: 1, output: 2}, context: 8000, max_output: 1000}}
default_model: echo/echo
"""


class Terminal:
    """Runs commands; `json` parses what they print."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.config = folder / "config.yaml"
        self.config.write_text(CONFIG)
        self._capsys = capsys

    def __call__(self, *words: str, status: int = 0) -> str:
        self._capsys.readouterr()
        assert main([*words, "--config", str(self.config)]) == status, self._capsys.readouterr().err
        captured = self._capsys.readouterr()
        return captured.out if status == 0 else captured.out + captured.err

    def json(self, *words: str) -> object:
        return orjson.loads(self(*words, "--json"))


@pytest.fixture
def gateway(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Terminal:
    monkeypatch.setenv("GATEWAY_DATA", str(tmp_path / "data"))
    return Terminal(tmp_path, capsys)


def test_accounts_and_keys(gateway: Terminal) -> None:
    assert "1,000 credits" in gateway("accounts", "create", "Ada", "--credits", "1000")
    assert "1,500 credits" in gateway("accounts", "grant", "Ada", "500", "--key", "order 1")
    assert "1,500 credits" in gateway("accounts", "grant", "Ada", "500", "--key", "order 1")
    assert "Ada" in gateway("accounts", "list")
    made = gateway.json("keys", "create", "--account", "Ada", "--name", "laptop", "--models", "echo/*", "gpt-*")
    assert isinstance(made, dict)
    assert made["key"].startswith("mghp_")
    assert made["models"] == ["echo/*", "gpt-*"]
    shown = gateway("keys", "list", "--account", "Ada")
    assert "laptop" in shown
    assert "active" in shown
    assert made["key"] not in shown
    rotated = gateway.json("keys", "rotate", str(made["id"]))
    assert isinstance(rotated, dict)
    assert rotated["key"] != made["key"]
    assert "revoked" in gateway("keys", "revoke", str(made["id"]))
    assert "revoked" in gateway("keys", "list")


def test_the_secret_is_rotated_and_the_rotation_undone(gateway: Terminal) -> None:
    assert "no gateway has used" in gateway("secret", "show", status=2)
    gateway("accounts", "create", "Ada")
    first = gateway("secret", "show").strip()
    assert first.startswith("mgas_")
    turned = gateway.json("secret", "rotate", "--grace", "60")
    assert isinstance(turned, dict)
    assert (turned["versions"], turned["admin_secret"] != first) == (2, True)
    assert gateway.json("secret", "show") == {"admin_secrets": [turned["admin_secret"], first]}
    assert gateway("secret", "show").strip() == turned["admin_secret"], "what a script reads"
    assert first in gateway("secret", "undo")
    assert gateway("secret", "show").strip() == first
    assert "never rotated" in gateway("secret", "undo", status=2)
    third = gateway.json("secret", "rotate", "--grace", "0")
    assert isinstance(third, dict)
    assert gateway.json("secret", "show") == {"admin_secrets": [third["admin_secret"]]}
    assert "Ada" in gateway("accounts", "list"), "the database knows it still"


def test_updates_touch_what_they_name(gateway: Terminal) -> None:
    gateway("accounts", "create", "Ada")
    changed = gateway.json("accounts", "update", "Ada", "--requests-per-minute", "5", "--disabled", "yes")
    assert isinstance(changed, dict)
    assert (changed["name"], changed["requests_per_minute"], changed["disabled"]) == ("Ada", 5, True)
    changed = gateway.json("accounts", "update", "Ada", "--requests-per-minute", "none", "--disabled", "no")
    assert isinstance(changed, dict)
    assert (changed["requests_per_minute"], changed["disabled"]) == (None, False)
    made = gateway.json("keys", "create", "--account", "Ada", "--name", "a", "--monthly-limit", "9", "--models", "x/*")
    assert isinstance(made, dict)
    key = gateway.json("keys", "update", str(made["id"]), "--monthly-limit", "none", "--expires-in-days", "1")
    assert isinstance(key, dict)
    assert (key["name"], key["monthly_limit"], key["models"]) == ("a", None, ["x/*"])
    assert key["expires_at"] > key["created_at"]
    assert "no active key" in gateway("keys", "update", "key_x", "--name", "b", status=1)
    assert "gateway: " in gateway("accounts", "refund", "req_unknown", "5", status=1)


def test_an_account_is_found_by_its_address(gateway: Terminal) -> None:
    """As docs/console.md has it; a name that is somebody's address names nobody."""
    gateway("demo-data", "--days", "1")
    reset = gateway.json("accounts", "reset-password", "ADA@example.org")
    assert isinstance(reset, dict)
    accounts: Any = gateway.json("accounts", "list")
    ada = next(account for account in accounts if account["name"] == "Ada Lovelace")
    assert reset["account_id"] == ada["id"]
    gateway("accounts", "update", "ada@example.org", "--disabled", "yes")
    gateway("accounts", "erase-login", "ada@example.org")
    assert "there is no account" in gateway("accounts", "reset-password", "ada@example.org", status=1)
    gateway("accounts", "create", "grace@example.org")
    assert "give the id" in gateway("accounts", "grant", "grace@example.org", "5", status=2)


def test_links_let_people_in_and_are_listed_without_their_secret(gateway: Terminal) -> None:
    gateway("accounts", "create", "Ada")
    said = gateway("accounts", "invite", "Bob@example.org", "--credits", "5", "--role", "admin")
    assert "http://127.0.0.1:8080/invite/" in said
    assert "shown only now" in said
    made = gateway.json("accounts", "sign-in-link", "Ada")
    assert isinstance(made, dict)
    assert made["url"].startswith("http://127.0.0.1:8080/sign-in/")
    assert made["expires_at"] - made["created_at"] == 3600
    reset = gateway.json("accounts", "reset-password", "Ada", "--email", "ada@example.org", "--hours", "2")
    assert isinstance(reset, dict)
    assert "/reset/" in reset["url"]
    listed = gateway("accounts", "links")
    assert "bob@example.org" in listed
    for link in (made, reset):
        assert link["id"] in listed
        assert link["url"].rpartition("/")[2] not in listed + gateway("audit")
    assert "revoked" in gateway("accounts", "revoke-link", made["id"])
    assert "no link" in gateway("accounts", "revoke-link", made["id"], status=1)
    assert "nobody signs in" in gateway("accounts", "erase-login", "Ada")
    links = gateway.json("accounts", "links")
    assert isinstance(links, list)
    assert [link["purpose"] for link in links] == ["invitation"]


def test_what_cannot_be_done_says_why(gateway: Terminal) -> None:
    gateway("accounts", "create", "Ada")
    assert "there is no account 'nobody'" in gateway("keys", "create", "--account", "nobody", status=1)
    assert "there is no key" in gateway("keys", "revoke", "key_x", status=1)
    assert "no gateway is running" in gateway("reload", status=1)
    gateway.config.write_text(CONFIG + "servers: {}\n")
    assert "config.yaml:5: servers: " in gateway("check", status=2)


def test_no_command_makes_a_database_by_mistake(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("GATEWAY_DATA", raising=False)
    (tmp_path / "here").mkdir()
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    gateway = Terminal(tmp_path / "here", capsys)
    for words in (["keys", "list"], ["accounts", "list"], ["ledger", "check"], ["keys", "create"], ["audit"]):
        said = gateway(*words, status=2)
        assert str(tmp_path / "here" / "data") in said
        assert "GATEWAY_DATA" in said
    assert list((tmp_path / "here").iterdir()) == [gateway.config]
    gateway("accounts", "create", "Ada")
    assert "Ada" in gateway("accounts", "list")
    assert (tmp_path / "here" / "data" / "gateway.db").exists(), "beside the file, wherever one stands"
    assert list((tmp_path / "elsewhere").iterdir()) == []


@pytest.mark.parametrize(
    ("flag", "value"),
    [("--port", "65536"), ("--port", "-1"), ("--port", "http"), ("--workers", "0"), ("--workers", "-2"),
     ("--workers", "1000"), ("--host", "http://127.0.0.1"), ("--host", "")],
)  # fmt: skip
def test_flags_take_what_the_file_takes(gateway: Terminal, capsys: Any, flag: str, value: str) -> None:
    with pytest.raises(SystemExit) as caught:
        gateway("serve", f"{flag}={value}")
    assert caught.value.code == 2
    said = capsys.readouterr().err
    assert f"argument {flag}: server.{flag[2:]}: " in said
    assert not (gateway.config.parent / "data").exists()


def _flags(parser: argparse.ArgumentParser, path: tuple[str, ...] = ()) -> Iterator[tuple[str, argparse.Action]]:
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for name, below in action.choices.items():
                yield from _flags(below, (*path, name))
        elif action.type is not None:
            yield " ".join((*path, action.dest)), action


def test_no_flag_takes_a_number_that_is_none(gateway: Terminal) -> None:
    """Hidden flags too: what is no number, or beyond all reason, is argparse's to refuse, and never a trace."""
    numbers = 0
    for name, action in _flags(build_parser()):
        assert action.type not in (int, float), f"{name} takes any number: use whole() or number()"
        if action.type in (Path, str):
            continue
        assert callable(action.type), name
        for odd in ("nan", "inf", "1e400", "-1e400", "9" * 40, "", "💥", "-1e3", "1_0", "٣"):
            with contextlib.suppress(argparse.ArgumentTypeError, ValueError):
                value = action.type(odd)
                assert not isinstance(value, int | float) or action.choices, (name, odd)
        numbers += 1
    assert numbers > 15


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("serve", "--listen-fd=77"), "77 is no socket of this process"),
        (("serve", "--siblings-fd=0"), "0 is no socket of this process"),
        (("serve", "--supervisor=-1"), "expected a whole number from 1"),
        (("accounts", "invite", "--days=nan"), "expected a number from 0.001 to 3650, got 'nan'"),
        (("usage", "--key=\udce4"), "'--key=\\udce4' is not valid UTF-8"),
        (("ledger", "show", "a\0b"), "is not valid UTF-8"),
    ],
)
def test_nonsense_on_the_command_line_is_no_traceback(
    gateway: Terminal, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], said: str
) -> None:
    with pytest.raises(SystemExit) as caught:
        gateway(*words)
    assert (caught.value.code, said in capsys.readouterr().err) == (2, True)


def test_a_socket_that_does_not_listen_and_a_file_that_cannot_be_are_said(gateway: Terminal) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        assert "does not listen" in gateway("serve", f"--listen-fd={ours.fileno()}", status=1)
    gateway("accounts", "create", "ada")
    assert "File name too long" in gateway("backup", "x" * 5000, status=1)


def test_check_tells_machines_of_faults_too(gateway: Terminal) -> None:
    good = gateway.json("check")
    assert good == {"ok": True, "warnings": [], "switched_off": {}}
    gateway.config.write_text(CONFIG + "servers: {}\n")
    bad = orjson.loads(gateway("check", "--json", status=2))
    assert bad["ok"] is False
    assert "config.yaml:5: servers: " in bad["problems"][0]


def test_check_plugins_and_models(gateway: Terminal) -> None:
    assert "ok" in gateway("check")
    assert "auth" in gateway("plugins")
    plugins = gateway.json("plugins")
    assert isinstance(plugins, dict)
    assert plugins["phases"]["admit_call"][:2] == ["rate_limit", "quota"]
    assert "echo/echo" in gateway("models")
    pattern = "local/*: {price: {input: 0.5, output: 2}, context: 4096}"
    local = "{plugin: openai, base_url: http://127.0.0.1:9/v1}"
    gateway.config.write_text(
        CONFIG.replace("{echo: {", f"{{local: {local}, echo: {{").replace("models: {", f"models: {{{pattern}, ")
    )
    assert re.search(r"local/\* +as listed +0.5 +2 +4096", gateway("models"))


def test_the_ledger(gateway: Terminal) -> None:
    gateway("accounts", "create", "Ada", "--credits", "1000")
    assert "every sum is right" in gateway("ledger", "check")
    assert "grant" in gateway("ledger", "show", "Ada")
    header, row = gateway("ledger", "export").splitlines()
    assert header.startswith("seq,account_id,kind,amount")
    assert ",grant,1000," in row
    assert orjson.loads(gateway("ledger", "export", "--json"))["amount"] == 1000
    assert "balance 1,000 credits" in gateway("usage", "Ada")


def test_backup_and_restore(gateway: Terminal, tmp_path: Path) -> None:
    gateway("accounts", "create", "Ada", "--credits", "1000")
    copy = tmp_path / "copy.db"
    assert "wrote" in gateway("backup", str(copy))
    assert "exists already" in gateway("backup", str(copy), status=1)
    gateway("accounts", "grant", "Ada", "5")
    assert "--force" in gateway("restore", str(copy), status=1)
    gateway("restore", str(copy), "--force")
    assert "1,000" in gateway("accounts", "list")
    assert "every sum is right" in gateway("ledger", "check")
    (tmp_path / "broken.db").write_bytes(b"not a database" * 100)
    assert "not a database" in gateway("restore", str(tmp_path / "broken.db"), "--force", status=1)
    assert "is not a folder" in gateway("backup", str(tmp_path / "nowhere" / "copy.db"), status=1)
    (tmp_path / "data" / "secret").rename(tmp_path / "secret")
    assert "No server secret" in gateway("restore", str(copy), "--force")


def test_restore_asks_the_locks_and_destroys_nothing_it_cannot_replace(
    gateway: Terminal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gateway("accounts", "create", "Ada", "--credits", "1000")
    copy, database = tmp_path / "copy.db", tmp_path / "data" / "gateway.db"
    gateway("backup", str(copy))
    gateway("accounts", "grant", "Ada", "5")
    (tmp_path / "data" / PID_FILE).write_text("1\n")
    lock = ProcessLock(folder_of(database))  # a worker that outlived its supervisor
    assert "still runs on it" in gateway("restore", str(copy), "--force", status=1)
    lock.release()
    claim = Claim(tmp_path / "data")
    assert "stop it first" in gateway("restore", str(copy), "--force", status=1)
    claim.release()

    def full(*_: object) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    with monkeypatch.context() as patched:
        patched.setattr(kind, "backup_database", full)
        assert "nothing was changed" in gateway("restore", str(copy), "--force", status=1)
    real = Path.replace

    def fail_last(self: Path, target: Path) -> Path:
        if self.name.endswith(".restoring"):
            raise OSError("no space left on device")
        return real(self, target)

    with monkeypatch.context() as patched:
        patched.setattr(Path, "replace", fail_last)
        assert "nothing was changed" in gateway("restore", str(copy), "--force", status=1)
    assert "1,005" in gateway("accounts", "list")
    gateway("restore", str(copy), "--force")
    assert "1,000" in gateway("accounts", "list")
    assert (
        sorted(found.name for found in database.parent.iterdir() if "restor" in found.name or "repl" in found.name)
        == []
    )


def test_restore_takes_what_this_gateway_can_open_with_the_secret_that_is_here(
    gateway: Terminal, tmp_path: Path
) -> None:
    gateway("accounts", "create", "Ada")
    copy, newer, data = tmp_path / "copy.db", tmp_path / "newer.db", tmp_path / "data"
    for made in (copy, newer):
        gateway("backup", str(made))
    with contextlib.closing(sqlite3.connect(newer)) as connection:
        connection.execute("PRAGMA user_version = 99")
    assert "made by a newer gateway" in gateway("restore", str(newer), "--force", status=1)
    assert "there is no such file" in gateway("restore", str(tmp_path / "none.db"), "--force", status=1)
    assert not (tmp_path / "none.db").exists()
    secret = (data / "secret").read_text()
    (data / "secret").write_text("ab" * 32 + "\n")
    assert "copy.db was made with" in gateway("restore", str(copy), "--force", status=1)
    (data / "secret").unlink()
    assert "No server secret" in gateway("restore", str(copy), "--force")
    (data / "secret").write_text(secret)
    (data / "secret").chmod(0o600)
    assert "Ada" in gateway("accounts", "list")


def test_no_secret_is_made_beside_a_database_that_belongs_to_another(gateway: Terminal, tmp_path: Path) -> None:
    """`gateway secret show` would show one that opens nothing."""
    gateway("accounts", "create", "Ada")
    secret = tmp_path / "data" / "secret"
    kept = secret.read_text()
    secret.unlink()
    assert "There is no server secret" in gateway("accounts", "create", "Bob", status=1)
    assert not secret.exists()
    assert "no gateway has used" in gateway("secret", "show", status=2)
    secret.write_text("ab" * 32 + "\n")
    secret.chmod(0o600)
    assert "is not the one this database was made with" in gateway("accounts", "create", "Bob", status=1)
    secret.write_text(kept)
    assert "Ada" in gateway("accounts", "list")


def test_reload_signals_nobody_by_a_stale_number(gateway: Terminal, tmp_path: Path) -> None:
    gateway("accounts", "create", "Ada")
    (tmp_path / "data" / PID_FILE).write_text(f"{os.getpid()}\n")  # SIGHUP would end this process
    assert "no gateway is running" in gateway("reload", status=1)


def test_a_second_gateway_on_the_same_folder_is_refused(gateway: Terminal, tmp_path: Path) -> None:
    gateway("accounts", "create", "Ada")
    claim = Claim(tmp_path / "data")
    assert "another gateway" in gateway("serve", "--port", "0", status=1)
    claim.release()


def test_a_data_folder_that_cannot_be_is_no_traceback(
    gateway: Terminal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GATEWAY_DATA", str(tmp_path / "config.yaml" / "data"))
    assert "the data folder cannot be used" in gateway("serve", "--port", "0", status=2)
    assert "the data folder cannot be used" in gateway("accounts", "create", "Ada", status=2)


def test_keys_are_listed_with_what_they_may_and_did(gateway: Terminal) -> None:
    gateway("accounts", "create", "Ada", "--credits", "1000")
    gateway("keys", "create", "--account", "Ada", "--name", "small", "--monthly-limit", "2000", "--models", "echo/*")
    shown = gateway("keys", "list")
    assert re.search(r"small .* active +0 +2,000 +0 % +echo/\*", shown)
    listed = gateway.json("keys", "list")
    assert isinstance(listed, list)
    assert (listed[0]["spent_this_month"], listed[0]["monthly_limit"]) == (0, 2000)


def test_a_leaked_key_is_revoked_by_itself(gateway: Terminal) -> None:
    gateway("accounts", "create", "Ada")
    first, second = (gateway.json("keys", "create", "--account", "Ada") for _ in range(2))
    bound = gateway.json("keys", "create", "--account", "Ada", "--allow-ip", "10.0.0.1")
    assert isinstance(first, dict)
    assert isinstance(second, dict)
    assert isinstance(bound, dict)
    assert str(first["id"]) in gateway("keys", "revoke", str(first["key"]))
    assert str(bound["id"]) in gateway("keys", "revoke", str(bound["key"])), "from wherever it may be used"
    states = {key["id"]: key["revoked_at"] is None for key in gateway.json("keys", "list")}  # type: ignore[attr-defined]
    assert states == {first["id"]: False, second["id"]: True, bound["id"]: False}
    assert "unknown, expired, or revoked" in gateway("keys", "revoke", str(first["key"]), status=1)


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


def test_what_calls_no_provider_needs_no_key(gateway: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("A_KEY", raising=False)
    gateway.config.write_text(
        'providers: {echo: {plugin: echo}, openai: {plugin: openai, api_key: "${A_KEY}"}}\n'
        "models: {echo/echo: {free: true, context: 8000}}\n"
    )
    gateway("accounts", "create", "Ada")
    assert "Ada" in gateway("accounts", "list")
    assert "echo/echo" in gateway("models")
    assert "A_KEY is not set" in gateway("check", status=2)
    assert "A_KEY is not set" in gateway("serve", status=2)


def test_prices_are_shown_per_million_tokens(gateway: Terminal) -> None:
    assert re.search(r"echo/echo +yes +chat +1 +2 +8000", gateway("models"))


def test_on_a_terminal_tables_have_lines_and_hostile_names_are_text(
    gateway: Terminal, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    gateway("accounts", "create", "[bold]Ada[/]")
    plain = gateway("accounts", "list")
    assert "\u2500" not in plain
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    monkeypatch.setenv("COLUMNS", "160")
    shown = gateway("accounts", "list")
    assert "[bold]Ada[/]" in shown
    assert "\u2500" in shown


def test_the_version_names_build_and_plugins(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--version"])
    told = capsys.readouterr().out
    assert ended.value.code == 0
    assert told.startswith("tollgate ")
    assert "echo " in told
    assert "from source" in told


def test_thresholds_of_alerts(gateway: Terminal) -> None:
    gateway("accounts", "create", "Ada", "--credits", "1000")
    made: Any = gateway.json("accounts", "update", "Ada", "--alert-at", "90", "50%")
    assert made["alert_thresholds"] == [50, 90]
    key: Any = gateway.json("keys", "create", "--account", "Ada", "--monthly-limit", "5", "--alert-at", "never")
    assert key["alert_thresholds"] == []
    changed: Any = gateway.json("keys", "update", key["id"], "--alert-at", "none")
    assert (changed["alert_thresholds"], changed["monthly_limit"]) == (None, 5)
    assert "--alert-at" in gateway("accounts", "update", "Ada", "--alert-at", "soon", status=2)
    usage: Any = gateway.json("usage", "Ada")
    assert usage["budget"]["thresholds"] == [50, 90]


def test_an_account_is_exported_and_erased_at_providers_too(
    gateway: Terminal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What could not be deleted there is named, and the command says so by its status."""
    files = "files: {providers: [echo, off]}\nbatches: {providers: [echo]}\n"
    off = "providers: {echo: {plugin: echo, folder: FOLDER}, off: {plugin: openai}}"
    text = CONFIG.replace("providers: {echo: {plugin: echo}}", off).replace("FOLDER", str(tmp_path / "echo"))
    gateway.config.write_text(text + files)
    account: Any = gateway.json("accounts", "create", "Ada", "--credits", "1000")
    shelf = tmp_path / "echo"
    shelf.mkdir(mode=0o700)
    name = "file-" + "a" * 24
    (shelf / name).write_bytes(b"kept")

    async def keep(stores: Any) -> int:
        for provider, one in (("echo", name), ("off", "file-2")):
            await stores.objects.add_object(KeptObject(one, account["id"], provider, "file", 4, 1))
        return 0

    with_stores(argparse.Namespace(config=gateway.config), keep)
    exported = [orjson.loads(line) for line in gateway("accounts", "export", "Ada").splitlines()]
    assert [one["type"] for one in exported] == ["account", "entry"]
    assert "does not match" in gateway("accounts", "erase", "Ada", "--name", "ada", status=2)
    said = gateway("accounts", "erase", "Ada", "--name", "Ada", status=1)
    assert "1 files deleted, 0 batches cancelled" in said
    assert re.search(r"off +file-2 +.*switched off", said)
    assert not (shelf / name).exists()
    assert "erased " in gateway("accounts", "list")
