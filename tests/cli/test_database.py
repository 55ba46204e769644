"""gateway db copy and gateway db migrate, as an operator types them."""

from __future__ import annotations

import sqlite3

import orjson
import pytest

from gateway.claim import Claim
from gateway.cli import main
from gateway.sqlite.engine.migrations import STEPS
from gateway.sqlite.engine.presence import ProcessLock, folder_of

CONFIG = """
providers: {echo: {plugin: echo}}
models: {echo/echo: {price: {input: 1, output: 2}, context: 8000, max_output: 1000}}
default_model: echo/echo
"""
HERE, THERE = "sqlite:///data/gateway.db", "sqlite:///data/copy.db"


@pytest.fixture
def data(tmp_path, monkeypatch):
    monkeypatch.setenv("GATEWAY_DATA", str(tmp_path / "data"))
    return tmp_path / "data"


@pytest.fixture
def run(data, tmp_path, capsys):
    """Runs a command; returns what it printed. Its errors are in `.errors`."""
    config = tmp_path / "config.yaml"
    config.write_text(CONFIG)

    def command(*words, status=0):
        capsys.readouterr()
        found = main([*words, "--config", str(config)])
        captured = capsys.readouterr()
        command.errors = captured.err
        assert found == status, captured.err
        return captured.out

    return command


@pytest.fixture
def key(run):
    run("accounts", "create", "ada", "--credits", "1000")
    return orjson.loads(run("keys", "create", "--account", "ada", "--json"))["key"]


def test_a_copy_is_the_same_and_says_which_secret_it_needs(run, key, data):
    said = run("db", "copy", HERE, THERE)
    assert "1,000 credits, 0 of them held" in said
    assert str(data / "secret") in said
    with sqlite3.connect(data / "copy.db") as copy, sqlite3.connect(data / "gateway.db") as original:
        query = "SELECT digest, key FROM secrets"
        assert copy.execute(query).fetchall() == original.execute(query).fetchall() != []
    audit = orjson.loads(run("audit", "--json"))
    assert audit[0]["action"] == "database.copy"


def test_as_json(run, key):
    found = orjson.loads(run("db", "copy", HERE, THERE, "--json"))
    assert (found["rows"]["accounts"], found["balance"], found["held"]) == (1, 1000, 0)


def test_a_target_with_accounts_is_refused(run, key):
    run("db", "copy", HERE, THERE)
    run("db", "copy", HERE, THERE, status=1)
    assert "only an empty database" in run.errors


@pytest.mark.parametrize(
    ("source", "target", "status", "words"),
    [
        ("sqlite:///data/typo.db", THERE, 1, "there is no database at FROM"),
        (HERE, HERE, 1, "the same database"),
        ("oracle://x", THERE, 2, "no plugin offers such a database; there are"),
        (HERE, "sqlite://x", 2, "three slashes"),
    ],
)
def test_what_cannot_be_copied(run, key, data, source, target, status, words):
    run("db", "copy", source, target, status=status)
    assert words in run.errors
    assert not (data / "typo.db").exists()
    assert not (data / "copy.db").exists() or source == "sqlite:///data/typo.db"


def test_beside_a_running_gateway_it_is_said_what_is_not_in_the_copy(run, key, data):
    claim = Claim(data)
    run("db", "copy", HERE, THERE)
    claim.release()
    assert "A gateway is running" in run.errors


def test_migrate_tells_what_would_be_done_does_it_and_has_nothing_left(run, key, data):
    assert "nothing is to be done" in run("db", "migrate", "--plan")
    (data / "gateway.db").unlink()
    for beside in data.glob("gateway.db-*"):
        if beside.is_file():
            beside.unlink()
    with sqlite3.connect(data / "gateway.db") as connection:
        for statement in (statement for step in STEPS[:6] for statement in step):
            connection.execute(statement)
        connection.execute("PRAGMA user_version = 6")
    connection.close()
    planned = orjson.loads(run("db", "migrate", "--plan", "--json"))
    assert (planned["version"], planned["newest"], planned["done"]) == (6, len(STEPS), False)
    assert planned["steps"][0]["stage"] == "expand"
    assert "how much is kept for each account" in planned["steps"][0]["what"]
    assert "how much is kept" in run("db", "migrate", "--plan")
    lock = ProcessLock(folder_of(data / "gateway.db"))
    run("db", "migrate", status=1)
    assert "stop them first" in run.errors
    assert "not now: 1 of the gateway's processes" in run("db", "migrate", "--plan")
    lock.release()
    assert "done" in run("db", "migrate")
    assert "nothing was to be done" in run("db", "migrate")
    run("ledger", "check")
    with sqlite3.connect(data / "gateway.db") as connection:
        connection.execute("PRAGMA user_version = 99")
    connection.close()
    run("db", "migrate", "--plan", status=1)
    assert "made by a newer gateway" in run.errors


def test_migrate_where_no_gateway_was_started(run, data):
    run("db", "migrate", "--plan", status=2)
    assert "no gateway has used this data folder yet" in run.errors
    assert not data.exists()


def test_migrate_where_there_is_no_database(run, key, data):
    (data / "gateway.db").unlink()
    assert "there is no database yet" in run("db", "migrate", "--plan")
    assert not (data / "gateway.db").exists()
