"""The parts of `scripts/agents`, without an agent: the scripted upstream in each dialect, the tap, the table."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

import aiohttp
import pytest

SCRIPTS = Path(__file__).resolve().parents[2] / "scripts"
sys.path.insert(0, str(SCRIPTS))

from agentkit import cli, mcp_server  # noqa: E402
from agentkit.agents import AGENTS  # noqa: E402
from agentkit.clients import Run  # noqa: E402
from agentkit.gaps import GAPS  # noqa: E402
from agentkit.scenarios import FULLY_TRIED, SCENARIOS, cost  # noqa: E402
from agentkit.script import Answer, Plan, Use  # noqa: E402
from agentkit.speech import DIALECTS, Offer, read_offer, say  # noqa: E402
from agentkit.tap import Tap, Wire, read_wire  # noqa: E402
from agentkit.upstream import Stage  # noqa: E402

from gateway.testing import FakeUpstream  # noqa: E402

DOCS = SCRIPTS.parent / "docs"
OFFERS: dict[str, list[dict[str, Any]]] = {
    "chat": [{"type": "function", "function": {"name": "t_add"}}],
    "native": [{"type": "namespace", "name": "t", "tools": [{"type": "function", "name": "add"}]}],
    "only": [{"type": "function", "name": "t_add"}, {"type": "web_search"}],
    "anthropic": [{"name": "t_add", "input_schema": {}}],
    "google": [{"functionDeclarations": [{"name": "t_add"}]}, {"googleSearch": {}}],
    "mistral": [{"type": "function", "function": {"name": "t_add"}}],
    "moonshot": [{"type": "function", "function": {"name": "t_add"}}],
}
ROADS = {
    "native": "/native/v1/responses",
    "only": "/only/v1/responses",
    "anthropic": "/anthropic/v1/messages",
    "google": "/google/v1beta/models/m:streamGenerateContent?alt=sse",
}


@pytest.mark.parametrize("dialect", DIALECTS)
def test_an_offered_tool_is_found_by_its_end(dialect: str) -> None:
    offer = read_offer(dialect, ROADS.get(dialect, ""), {"tools": OFFERS[dialect], "stream": True})
    assert offer.find("add") == (("t", "add") if dialect == "native" else ("", "t_add"))
    assert offer.find("dd") is None
    assert offer.streams
    assert offer.searches == (dialect in ("only", "google"))


@pytest.mark.parametrize("streams", [True, False])
@pytest.mark.parametrize("dialect", DIALECTS)
def test_every_dialect_says_text_call_and_usage(dialect: str, streams: bool) -> None:
    offer = Offer((("", "t_add"),), False, streams)
    reply = say(dialect, Answer("Some words that are long.", [Use("add", {"a": 1})], 123, 45), offer)
    data = b"".join(step for step in reply.body if isinstance(step, bytes))
    assert reply.status == 200
    assert (reply.media_type == "text/event-stream") == streams
    for word in (b"t_add", b"123", b"45"):
        assert word in data


@pytest.mark.parametrize("failure", ["overloaded", "busy", "limited", "context"])
@pytest.mark.parametrize("dialect", DIALECTS)
def test_failures_are_errors_of_the_provider(dialect: str, failure: Any) -> None:
    reply = say(dialect, Answer(failure=failure), Offer((), False, True))
    assert (
        reply.status in {"context": (400,), "overloaded": (429, 503, 529), "busy": (503,), "limited": (429,)}[failure]
    )
    assert "message" in b"".join(step for step in reply.body if isinstance(step, bytes)).decode()


def test_a_tool_that_is_not_offered_is_a_complaint() -> None:
    with pytest.raises(LookupError, match="'add'"):
        say("chat", Answer(uses=[Use("add", {})]), Offer((("", "other"),), False, True))


async def test_a_stage_plays_its_plan_and_counts_what_it_told() -> None:
    async with FakeUpstream() as upstream, aiohttp.ClientSession() as session:
        stage = Stage(upstream)
        stage.play(Plan([Answer("One.", [Use("add", {})], 10, 2), Answer(failure="busy"), Answer("Two.", (), 20, 3)]))
        statuses = []
        for body in [{"tools": OFFERS["chat"]}] * 3 + [{}]:
            async with session.post(upstream.url + "/chat/v1/chat/completions", json=body) as answer:
                statuses.append(answer.status)
    assert statuses == [200, 503, 200, 200]
    aside = stage.plan.aside
    assert cost(stage.asked) == 10 + 5 * 2 + 20 + 5 * 3 + aside.tokens_in + 5 * aside.tokens_out
    assert stage.complaints == []


async def test_the_tap_passes_everything_and_reads_it_afterwards() -> None:
    async with FakeUpstream() as upstream:
        stage = Stage(upstream)
        stage.play(Plan([Answer("Words that come in pieces.", (), 1, 1)]))
        async with Tap(int(upstream.url.rpartition(":")[2])) as tap, aiohttp.ClientSession() as session:
            url = f"http://127.0.0.1:{tap.port}/chat/v1/chat/completions"
            for number in range(2):
                async with session.post(url, json={"stream": True, "n": number}) as answer:
                    body = await answer.read()
            taken = tap.take()
            assert tap.take() == []
    assert [(one.method, one.status, json.loads(one.body)["n"]) for one in taken] == [
        ("POST", 200, 0),
        ("POST", 200, 1),
    ]
    assert taken[1].answer == body


def test_an_answer_that_was_cut_is_read_as_far_as_it_came() -> None:
    wire = Wire(bytearray(b"POST /a HTTP/1.1\r\ncontent-length: 1\r\n\r\nx"))
    assert read_wire(wire)[0].status is None
    wire.got += b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n5\r\nde"
    assert (read_wire(wire)[0].status, read_wire(wire)[0].answer) == (200, b"abcde")


def test_cells_are_chosen_by_pattern() -> None:
    assert len(cli.chosen([])) == sum(len(one.agents) for one in SCENARIOS) * len(DIALECTS)
    assert {(agent.name, dialect) for agent, dialect, _ in cli.chosen(["codex/chat"])} == {("codex", "chat")}
    assert len(cli.chosen(["*/google/mcp", "claude/google/mcp"])) == len(FULLY_TRIED)
    with pytest.raises(SystemExit, match="nobody"):
        cli.chosen(["nobody"])
    assert cli.parse(["--only", "codex", "--list"]).list


def test_known_gaps_are_cells() -> None:
    names = {f"{agent.name}/{dialect}/{scenario.name}" for agent, dialect, scenario in cli.chosen([])}
    assert set(GAPS) <= names


def test_the_table_tells_known_gaps_from_failures() -> None:
    results = [
        cli.Result("codex", "chat", "mcp", [], 1, 1),
        cli.Result("codex", "google", "mcp", ["wrong"], 1, 1),
        cli.Result("codex", "native", "mcp", ["wrong"], 1, 1),
    ]
    gaps = {"codex/google/mcp": "why"}
    lines = cli.table(results, gaps).splitlines()
    assert lines[0].split() == ["chat", "native", "google"]
    assert lines[1].split() == ["codex", "mcp", "ok", "FAIL", "gap"]
    assert cli.mark(cli.Result("codex", "google", "mcp", [], 1, 1), gaps) == "mended"


@pytest.mark.parametrize("kind", AGENTS, ids=lambda kind: kind.name)
def test_the_documentation_says_what_the_script_configures(kind: Any, tmp_path: Path) -> None:
    """Each variable and each setting of the gateway's that the script gives an agent stands on the agent's page."""
    page = next(DOCS.glob(kind.page or f"use-with-{kind.name}*.md")).read_text()
    run = Run("http://gateway.example", "mghp_key", "a/model", tmp_path, tmp_path)
    _, environment = kind(tmp_path).prepare(run)
    assert [name for name in environment if name not in page and name not in kind.undocumented] == []
    for file in tmp_path.rglob("config.toml"):
        names = [line.partition(" = ")[0] for line in file.read_text().splitlines() if " = " in line]
        assert [name for name in names if name not in page] == []


async def test_the_mcp_server_answers_line_by_line() -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable, mcp_server.__file__, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    asked = [
        {"id": 1, "method": "initialize", "params": {"protocolVersion": "2025-06-18"}},
        {"method": "notifications/initialized"},
        {"id": 2, "method": "tools/list"},
        {"id": 3, "method": "tools/call", "params": {"name": "add_numbers", "arguments": {"a": 19, "b": 23}}},
        {"id": 4, "method": "resources/list"},
    ]
    output, _ = await process.communicate("".join(json.dumps(one) + "\n" for one in asked).encode())
    answers = [json.loads(line) for line in output.splitlines()]
    assert [one["id"] for one in answers] == [1, 2, 3, 4]
    assert answers[1]["result"]["tools"][0]["name"] == "add_numbers"
    assert answers[2]["result"]["content"][0]["text"] == "sum=42"
    assert answers[3]["error"]["code"] == -32601
