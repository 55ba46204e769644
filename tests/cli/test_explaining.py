"""`gateway explain` on the configuration on disk, beside its database."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
import pytest

from gateway.cli import main

CONFIG = """
providers: {fake: {plugin: openai, base_url: "http://127.0.0.1:9/v1", api_key: sk-operator-secret-1}}
models: {fake/m: {upstream: up, price: {input: 1, output: 2}, context: 8000, max_output: 1000}}
default_model: fake/m
"""
HELLO = {"messages": [{"role": "user", "content": "Hello!"}], "max_tokens": 5000}


@pytest.fixture
def explain(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Any:
    """Runs `gateway explain` with a key of an account with so many credits; returns what it printed."""
    monkeypatch.setenv("GATEWAY_DATA", str(tmp_path / "data"))
    config = tmp_path / "config.yaml"
    config.write_text(CONFIG)
    here = ["--config", str(config)]

    def run(*words: str, credits: int = 100_000, body: Any = HELLO, status: int = 0) -> str:
        assert main(["accounts", "create", f"a{credits}", "--credits", str(credits), *here]) == 0
        capsys.readouterr()
        assert main(["keys", "create", "--account", f"a{credits}", "--json", *here]) == 0
        monkeypatch.setenv("GATEWAY_KEY", orjson.loads(capsys.readouterr().out)["key"])
        file = tmp_path / "body.json"
        file.write_bytes(orjson.dumps(body))
        assert main(["explain", str(file), *words, *here]) == status
        captured = capsys.readouterr()
        return captured.out + captured.err

    return run


def test_a_request_that_would_be_sent(explain: Any) -> None:
    told = orjson.loads(explain("--json"))
    assert told["allowed"]
    (request,) = told["targets"][0]["requests"]
    assert request["url"] == "http://127.0.0.1:9/v1/chat/completions"
    assert orjson.loads(request["body"])["model"] == "up"
    shown = explain(credits=90_000)
    assert "changed: max_tokens from 5000 to 1000" in shown
    assert "credits at most" in shown
    assert "sk-operator" not in shown


def test_one_that_would_be_refused(explain: Any) -> None:
    assert "refused with status 402" in explain(credits=1, status=1)


def test_other_kinds(explain: Any) -> None:
    told = orjson.loads(explain("--as", "responses", "--json", body={"input": "Hi"}))
    assert told["request"]["dialect"] == "responses"
    path = "/v1beta/models/fake/m:generateContent"
    body = {"contents": [{"parts": [{"text": "Hi"}]}]}
    told = orjson.loads(explain("--path", path, "--json", body=body, credits=5000))
    assert told["request"]["dialect"] == "generate_content"


def test_what_cannot_be_asked(explain: Any) -> None:
    assert "takes no model calls" in explain("--path", "/v1/explain", status=2)
    assert "expected NAME:VALUE" in explain("--header", "x", status=2, credits=7)
