"""A terminal beside a database, for tests of commands."""

from __future__ import annotations

from pathlib import Path

import orjson
import pytest

from gateway.cli import main

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
