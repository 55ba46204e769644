"""gateway demo-data: figures that are true to each other, in an empty database only."""

from __future__ import annotations

import re
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import orjson
import pytest

from gateway.cli import main

CONFIG = {
    "providers": {"echo": {"plugin": "echo"}},
    "models": {"echo/echo": {"price": {"input": 1, "output": 2}, "context": 8000}, "echo/free": {"free": True}},
}


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("GATEWAY_DATA", str(tmp_path / "data"))
    file = tmp_path / "config.yaml"
    file.write_bytes(orjson.dumps(CONFIG))
    return file


def said(capsys: pytest.CaptureFixture[str], config: Path, *words: str, status: int = 0) -> str:
    capsys.readouterr()
    assert main([*words, "--config", str(config)]) == status
    captured = capsys.readouterr()
    return captured.out + captured.err


def test_a_month_is_made_up_and_the_books_are_right(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    told = said(capsys, config, "demo-data", "--days", "3")
    found = re.search(r"([\d,]+) requests were made up", told)
    assert found
    assert int(found[1].replace(",", "")) > 50
    assert re.search(r"mghp_\w+", told)
    assert "every sum is right" in said(capsys, config, "ledger", "check")
    accounts: list[Any] = orjson.loads(said(capsys, config, "accounts", "list", "--json"))
    assert [account["role"] for account in accounts] == ["admin", *["user"] * (len(accounts) - 1)]
    assert all(account["balance"] > 0 and account["held"] == 0 for account in accounts)
    with closing(sqlite3.connect(config.parent / "data" / "gateway.db")) as database:
        users = {value for (value,) in database.execute("SELECT value FROM tag_sums WHERE name = 'user'")}
        untried = set(database.execute("SELECT status FROM usage WHERE tries = ''"))
    assert "visitor-1" in users, "some of it is told apart by end users"
    assert untried <= {(429,), (400,)}, "what was answered, or failed at its provider, has an attempt"
    again = said(capsys, config, "demo-data", status=2)
    assert "has accounts already" in again


def test_without_a_priced_model_there_is_nothing_to_use(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    models = {"echo/free": {"free": True}}
    config.write_bytes(orjson.dumps({**CONFIG, "models": models}))
    assert "none has a price" in said(capsys, config, "demo-data", status=2)
