"""Whatever a process that serves says on stderr is a line of its log, in one format."""

from __future__ import annotations

import asyncio
import logging
import os
import re
import socket
import sys
import threading
import warnings
from pathlib import Path
from typing import Any

import orjson
import pytest

from gateway.cli import main
from gateway.cli.loglines import log_lines
from gateway.cli.supervisor import listen
from gateway.http.server.service import Service
from gateway.server_secret import server_secret
from gateway.wire.redact import Redactor


def lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    return [orjson.loads(line) for line in capsys.readouterr().err.splitlines()]


def test_libraries_warnings_and_what_nobody_caught_are_log_lines(capsys: pytest.CaptureFixture[str]) -> None:
    before = (sys.excepthook, threading.excepthook, list(logging.getLogger().handlers))
    with log_lines("auto", Redactor({"hunter2-of-ours"})) as log, warnings.catch_warnings():
        warnings.simplefilter("always")
        log.info("started")
        logging.getLogger("asyncio").error("a task failed, hunter2-of-ours\nand a second line")
        warnings.warn("old", UserWarning, stacklevel=1)
        sys.excepthook(ValueError, ValueError("boom"), None)
        sys.excepthook(KeyboardInterrupt, KeyboardInterrupt(), None)
        thread = threading.Thread(target=lambda: 1 / 0)  # type: ignore[arg-type]
        thread.start()
        thread.join()
    said = lines(capsys)
    assert [(one["level"], one["logger"]) for one in said] == [
        ("info", "gateway"), ("error", "asyncio"), ("warning", "py.warnings"), ("critical", "gateway"),
        ("critical", "gateway"),
    ]  # fmt: skip
    assert "hunter2" not in said[1]["message"]
    assert "boom" in said[3]["trace"]
    assert "ZeroDivisionError" in said[4]["trace"]
    assert (sys.excepthook, threading.excepthook, list(logging.getLogger().handlers)) == before


def test_text_where_it_is_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    with log_lines("text", Redactor()):
        logging.getLogger("asyncio").error("a task failed")
    assert capsys.readouterr().err.rstrip().endswith("error   a task failed")


@pytest.mark.parametrize("worker", [False, True])
def test_no_secret_is_in_what_others_say_while_it_serves(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, worker: bool
) -> None:
    """Neither the server's own nor one of the configuration, in a process that serves alone or as one of several."""
    monkeypatch.setenv("GATEWAY_DATA", str(tmp_path / "data"))
    path = tmp_path / "config.yaml"
    path.write_text("providers: {openai: {plugin: openai, api_key: hunter2-of-ours}}\n")

    async def serve(_: Service) -> None:
        secret = (await asyncio.to_thread(server_secret, tmp_path / "data")).hex()
        logging.getLogger("asyncio").error("a task failed: hunter2-of-ours %s", secret)

    monkeypatch.setattr(Service, "serve", serve)
    monkeypatch.setattr("gateway.cli.serve._spare_the_collector", lambda: None)
    words = ["--port", "0"]
    if worker:
        words = ["--listen-fd", str(listen("127.0.0.1", 0).detach()), "--supervisor", str(os.getppid())]
    assert main(["serve", "--config", str(path), *words]) == 0
    [said] = [line["message"] for line in lines(capsys) if line["logger"] == "asyncio"]
    assert said == "a task failed: [redacted] [redacted]"


def test_a_start_that_fails_is_told_in_log_lines(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GATEWAY_DATA", str(tmp_path / "data"))
    path = tmp_path / "config.yaml"
    path.write_text("prviders: {}\nserver: {port: high}\n")
    assert main(["serve", "--config", str(path)]) == 2
    said = lines(capsys)
    assert [one["level"] for one in said] == ["error", "error"]
    assert "did you mean providers?" in said[0]["message"]
    path.write_text("providers: {}\nlog: {format: text}\n")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        assert main(["serve", "--config", str(path), "--port", str(taken.getsockname()[1])]) == 1
    assert re.search(r"^\S+ error +cannot listen on", capsys.readouterr().err, re.MULTILINE)
    path.write_text("prviders: {}\nserver: {port: high}\n")
    monkeypatch.setattr("gateway.cli.serve.is_watched", lambda: True)
    assert main(["serve", "--config", str(path)]) == 2
    assert capsys.readouterr().err.startswith(f"{path}:1: prviders")
