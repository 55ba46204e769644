"""gateway tools."""

from __future__ import annotations

from pathlib import Path

import orjson
import pytest

from gateway.cli import main


def run(folder: Path, capsys, config: dict, *words: str) -> tuple[int, str]:
    path = folder / "config.yaml"
    path.write_bytes(orjson.dumps({"providers": {"echo": {"plugin": "echo"}}, **config}))
    capsys.readouterr()
    status = main(["tools", *words, "--config", str(path)])
    return status, capsys.readouterr().out


@pytest.fixture(autouse=True)
def data(tmp_path, monkeypatch):
    monkeypatch.setenv("GATEWAY_DATA", str(tmp_path / "data"))


def test_what_is_there(tmp_path, capsys):
    config = {
        "search": {"backends": {"searxng": {}, "sample": {"plugin": "folder"}}},
        "mcp_servers": {"files": {"url": "http://files.lan/mcp"}},
    }
    status, shown = run(tmp_path, capsys, config)
    assert status == 0
    lines = [line.split() for line in shown.splitlines()]
    assert ["search", "searxng", "off", "url", "is", "empty"] in lines
    assert ["mcp", "files", "ready", "http://files.lan/mcp"] in lines
    assert any(line[:3] == ["pages", "reader", "ready"] for line in lines)


def test_trying_it(tmp_path, capsys):
    config = {
        "search": {"backends": {"sample": {"plugin": "folder"}}},
        "mcp_servers": {"bad": {"command": ["/no/such"]}},
    }
    status, shown = run(tmp_path, capsys, config, "--test", "--query", "lighthouse", "--json")
    rows = {row["name"]: row for row in orjson.loads(shown)}
    assert status == 1
    assert rows["sample"]["ok"]
    assert "lighthouse" in rows["sample"]["detail"]
    assert not rows["bad"]["ok"]
