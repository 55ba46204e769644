"""`gateway init`: a configuration that is right, and secrets that only their owner can read."""

from __future__ import annotations

import getpass
import os
import sys
from pathlib import Path

import pytest

from gateway.blueprint import read_blueprint
from gateway.cli import main
from gateway.cli.init import write_secrets


def test_the_configuration_is_good_and_the_key_is_used(tmp_path: Path) -> None:
    assert main(["init", str(tmp_path / "new"), "--set", "OPENAI_API_KEY=sk-a b#c"]) == 0
    file = tmp_path / "new" / "config.yaml"
    assert "#" in file.read_text()
    blueprint = read_blueprint(file, {})
    assert "openai" in blueprint.providers
    assert "sk-a b#c" in blueprint.config.secrets
    assert os.stat(tmp_path / "new" / ".env").st_mode & 0o777 == 0o600


def test_it_asks_for_what_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def answer(prompt: str) -> str:
        asked.append(prompt)
        return "sk-typed-in" if "OPENAI" in prompt else ""

    monkeypatch.setattr(getpass, "getpass", answer)
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True)
    monkeypatch.setenv("MISTRAL_API_KEY", "set-already")
    assert main(["init", str(tmp_path)]) == 0
    assert any("OPENAI_API_KEY (openai)" in prompt for prompt in asked)
    assert not any("MISTRAL" in prompt for prompt in asked)
    assert "OPENAI_API_KEY=sk-typed-in" in (tmp_path / ".env").read_text()


def test_nothing_is_overwritten(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / ".env").write_text("OPENAI_API_KEY=mine\n")
    assert main(["init", str(tmp_path), "--no-input", "--set", "OPENAI_API_KEY=other", "--set", "X=1"]) == 0
    assert (tmp_path / ".env").read_text() == "OPENAI_API_KEY=mine\nX=1\n"
    assert os.stat(tmp_path / ".env").st_mode & 0o777 == 0o600
    assert main(["init", str(tmp_path), "--no-input"]) == 1
    assert "is there already" in capsys.readouterr().err


def test_what_cannot_be_set(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["init", str(tmp_path), "--set", "no value"]) == 2
    assert "expected NAME=VALUE" in capsys.readouterr().err
    assert not (tmp_path / "config.yaml").exists()


def test_secrets_are_never_readable_for_others_in_between(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        write_secrets(tmp_path / ".env", {"A": "b"})
    finally:
        os.umask(before)
    assert os.stat(tmp_path / ".env").st_mode & 0o777 == 0o600
