"""`gateway doctor`: each thing that can be wrong is found, with what to do."""

from __future__ import annotations

import asyncio
import os
import socket
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from email.utils import formatdate
from pathlib import Path
from typing import Any

import orjson
import pytest

from gateway.cli import main
from gateway.sqlite.engine.migrations import STEPS
from gateway.testing import FakeUpstream, Reply, json_reply, openai_completion, openai_error

FINE = openai_completion("Hi")


class Upstream:
    """A fake upstream in a thread of its own, because commands have their own loop."""

    def __init__(self) -> None:
        self.reply: Reply = json_reply(FINE)
        self.asked: list[bytes] = []
        self.ready = threading.Event()
        self.thread = threading.Thread(target=lambda: asyncio.run(self.live()))

    async def live(self) -> None:
        self.loop, self.stopped = asyncio.get_running_loop(), asyncio.Event()
        async with FakeUpstream() as upstream:
            self.url = upstream.url
            upstream.answer(lambda received: self.asked.append(received.body) or self.reply)  # type: ignore[func-returns-value]
            self.ready.set()
            await self.stopped.wait()


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    made = Upstream()
    made.thread.start()
    assert made.ready.wait(10)
    yield made
    made.loop.call_soon_threadsafe(made.stopped.set)
    made.thread.join(10)


@pytest.fixture
def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


@pytest.fixture
def doctor(
    tmp_path: Path, upstream: Upstream, free_port: int, capsys: pytest.CaptureFixture[str], monkeypatch: Any
) -> Any:
    """Writes a configuration and runs the command; returns what -> finding."""
    monkeypatch.delenv("GATEWAY_DATA", raising=False)

    def run(*words: str, status: int = 0, **sections: Any) -> dict[str, dict[str, str]]:
        config: dict[str, Any] = {
            "server": {"port": free_port},
            "providers": {"fake": {"plugin": "openai", "base_url": upstream.url, "api_key": "sk-secret-1234567"}},
            "models": {
                "fake/dear": {"upstream": "dear", "price": {"input": 9, "output": 9}},
                "fake/cheap": {"upstream": "cheap", "price": {"input": 1, "output": 1}},
            },
            **sections,
        }
        file = tmp_path / "config.yaml"
        file.write_bytes(orjson.dumps(config))
        assert main(["doctor", "--config", str(file), "--json", *words]) == status
        return {finding["what"]: finding for finding in orjson.loads(capsys.readouterr().out)}

    return run


def test_all_is_well(doctor: Any, upstream: Upstream) -> None:
    upstream.reply = json_reply(FINE, headers={"date": formatdate(time.time(), usegmt=True)})
    found = doctor()
    assert {finding["state"] for finding in found.values()} <= {"ok", "warning"}
    assert found["provider fake"]["detail"] == "fake/cheap answers"
    assert found["clock"]["state"] == "ok"
    (body,) = upstream.asked
    assert orjson.loads(body)["model"] == "cheap"
    assert b'"max_tokens":16' in body or b'"max_completion_tokens":16' in body


def test_no_calls(doctor: Any, upstream: Upstream) -> None:
    assert "provider fake" not in doctor("--no-calls")
    assert upstream.asked == []


@pytest.mark.parametrize(
    ("status", "state", "advice"),
    [(401, "fault", "key"), (404, "fault", "upstream"), (429, "warning", "quota"), (500, "warning", "")],
)
def test_what_a_provider_says(doctor: Any, upstream: Upstream, status: int, state: str, advice: str) -> None:
    upstream.reply = json_reply(openai_error("sk-secret-1234567 is bad"), status)
    found = doctor(status=1 if state == "fault" else 0)["provider fake"]
    assert (found["state"], advice in found["advice"]) == (state, True)
    assert "sk-secret" not in found["detail"]


def test_a_provider_that_is_not_there(doctor: Any, refused_address: str) -> None:
    fake = {"plugin": "openai", "base_url": refused_address, "api_key": "sk-secret-1234567"}
    assert doctor(status=1, providers={"fake": fake})["provider fake"]["state"] == "fault"


def test_a_clock_that_is_wrong(doctor: Any, upstream: Upstream) -> None:
    upstream.reply = json_reply(FINE, headers={"date": formatdate(time.time() - 900, usegmt=True)})
    found = doctor(status=1)["clock"]
    assert "s apart from providers" in found["detail"]


def test_a_port_that_is_taken(doctor: Any, free_port: int) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", free_port))
        taken.listen()
        found = doctor("--no-calls", status=1)
    assert found[f"port {free_port} on 127.0.0.1"]["state"] == "fault"


def test_a_data_folder_that_is_a_file(doctor: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = tmp_path / "a file"
    data.touch()
    monkeypatch.setenv("GATEWAY_DATA", str(data / "data"))
    found = doctor("--no-calls", status=1)[f"data folder {data / 'data'}"]
    assert (found["state"], found["detail"]) == ("fault", f"{data} is no folder")


def test_files_that_others_can_read(doctor: Any, tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("A=b\n")
    os.chmod(tmp_path / ".env", 0o644)
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "secret").write_text("x")
    os.chmod(tmp_path / "data" / "secret", 0o644)
    found = doctor("--no-calls", status=1)
    assert found[str(tmp_path / ".env")]["advice"] == f"chmod 600 {tmp_path / '.env'}"
    assert found[str(tmp_path / "data" / "secret")]["state"] == "fault"


def test_a_database_that_cannot_be_used(doctor: Any, tmp_path: Path, capsys: Any) -> None:
    assert doctor("--no-calls")["database"]["detail"].startswith("none yet")
    assert main(["accounts", "create", "Ada", "--config", str(tmp_path / "config.yaml")]) == 0
    capsys.readouterr()
    assert doctor("--no-calls")["database"]["detail"] == f"version {len(STEPS)}"
    secret = tmp_path / "data" / "secret"
    kept = secret.read_text()
    secret.unlink()
    found = doctor("--no-calls", status=1)["database"]
    assert (found["state"], "secret is missing" in found["detail"]) == ("fault", True)
    assert not secret.exists()
    secret.write_text(kept)
    secret.chmod(0o600)
    for version, state, words in ((4, "ok", "the next start"), (99, "fault", "newer gateway")):
        with closing(sqlite3.connect(tmp_path / "data" / "gateway.db")) as connection:
            connection.execute(f"PRAGMA user_version = {version}")
        found = doctor("--no-calls", status=int(state == "fault"))["database"]
        assert (found["state"], words in found["detail"]) == (state, True)


def test_a_configuration_that_is_wrong(doctor: Any) -> None:
    found = doctor(status=1, log={"level": "loud"})
    assert "log.level" in found["configuration"]["detail"]


def test_a_provider_without_a_key(doctor: Any) -> None:
    found = doctor("--no-calls", status=1, providers={"fake": {"plugin": "openai", "api_key": "${NOBODY_SETS_THIS:-}"}})
    assert "NOBODY_SETS_THIS" in found["provider fake"]["detail"]
    assert found["providers"]["state"] == "fault"
