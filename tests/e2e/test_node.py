"""The official Node SDK: its own checks (node/checks.mjs), and the JavaScript programs of the API documents."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gateway.stores import KeySettings
from gateway.testing import Received, Reply, json_reply, openai_completion, openai_error, openai_stream, slices

pytestmark = pytest.mark.sdk

FOLDER = Path(__file__).parent / "node"
CHECKS = re.findall(r"^check\('([^']+)'", (FOLDER / "checks.mjs").read_text(), re.M)
CHECKS += ["runTools, stream: false", "runTools, stream: true"]
DOCUMENT = (FOLDER.parent / "programs.md").read_text()
PROGRAMS = dict(re.findall(r"^## (\w[^\n]+): JavaScript\n.*?^```\w+\n(.*?)^```$", DOCUMENT, re.M | re.S))
TEXT = "Grüße 世界 👩‍👩‍👧‍👦"


def run_node(file: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    values = {"PATH": os.environ["PATH"], **environment}
    return subprocess.run(["node", str(file)], env=values, capture_output=True, text=True, timeout=60)


def upstream_for_node() -> Callable[[Received], Reply]:
    """Busy for as long as the gateway tries itself, when the message says so; otherwise a text in single bytes."""
    busy = [json_reply(openai_error("Slow down."), 429, headers={"retry-after-ms": "20"})] * 3

    def decide(received: Received) -> Reply:
        if received.json["messages"][0]["content"] == "busy":
            return busy.pop() if busy else json_reply(openai_completion("At last."))
        return Reply(slices(b"".join(openai_stream(TEXT))))

    return decide


@pytest.fixture(scope="module")
def results(world: Any, modules: Path) -> dict[str, dict[str, str]]:
    """What each check of checks.mjs had to say."""
    world.upstream.answer(upstream_for_node())
    done = run_node(
        FOLDER / "checks.mjs",
        BASE_URL=world.base_url,
        API_KEY=world.gateway.key,
        NARROW_KEY=world.key(KeySettings(models=("echo/*",))),
        POOR_KEY=world.key(credits=0),
        SLOW_KEY=world.key(KeySettings(requests_per_minute=1)),
    )
    assert done.returncode == 0, done.stderr
    return {line["name"]: line for line in map(json.loads, done.stdout.splitlines())}


@pytest.mark.parametrize("name", CHECKS)
def test_check(world, results, name):
    result = results[name]
    assert "error" not in result, result["error"]
    if name in ("abort", "leaving the loop"):
        row = world.usage_row(result["note"]).row
        assert (row.status, row.error) == (499, "client_disconnected")
        assert 0 < row.usage.completion_tokens < 100


def test_every_check_is_listed(results):
    assert results.keys() == set(CHECKS)


@pytest.fixture
def run_program(world: Any, modules: Path, tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs a program of the documents with its base URL and key replaced, and nothing else."""
    (tmp_path / "node_modules").symlink_to(modules)

    def run(name: str, key: str = "", url: str = "") -> subprocess.CompletedProcess[str]:
        text = PROGRAMS[name]
        for host in ("https://mume.ai", "https://api.muhgpt.com"):
            text = text.replace(host, url or world.gateway.url)
        for written in ("your-api-key", "mghp_your_key_here"):
            text = text.replace(written, key or world.gateway.key)
        file = tmp_path / "program.mjs"
        file.write_text(text)
        return run_node(file)

    return run


def test_the_programs_answer(world, run_program):
    world.play(json_reply(openai_completion("4")))
    assert run_program("basic").stdout == "4\n"
    assert run_program("error handling").stdout == "4\n"
    assert "Hello!" in run_program("quickstart").stdout
    world.play(Reply(openai_stream("The moon ", "is round 🌕")))
    assert run_program("streaming").stdout == "The moon is round 🌕"


def test_the_programs_handle_errors(world, run_program):
    name = "error handling"
    assert run_program(name, key="mghp_wrong").stderr.startswith("API error: 401 - 401 ")
    world.play(json_reply(openai_error("Slow down."), 429, headers={"retry-after-ms": "10"}))
    assert run_program(name).stderr.startswith("Rate limit exceeded: 429 ")


def test_all_programs_are_read():
    assert PROGRAMS.keys() == {"basic", "streaming", "error handling", "quickstart", "web search"}
