"""What coding agents send, at every upstream dialect: tools reach the model under names that lead back, and are billed.

The upstream is the scripted one of `scripts/agents`, which runs the agents themselves.
"""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from gateway.testing import FakeUpstream, RunningGateway, running_gateway

from .responses_kit import check_stream, read_stream, schema

SCRIPTS = Path(__file__).resolve().parents[2] / "scripts"
sys.path.insert(0, str(SCRIPTS))

from agentkit.house import configuration  # noqa: E402
from agentkit.script import Answer, Plan, Use  # noqa: E402
from agentkit.speech import DIALECTS  # noqa: E402
from agentkit.upstream import Stage  # noqa: E402

pytestmark = pytest.mark.usefixtures("keep_to_published_schemas")

Json = dict[str, Any]
FIXTURES = Path(__file__).resolve().parents[1] / "fixtures" / "agents"
ROADS = {
    "codex": "/v1/responses",
    "claude-code": "/v1/messages?beta=true",
    "gemini-cli": "/v1beta/models/$MODEL:streamGenerateContent?alt=sse",
}
SUM = Use("add_numbers", {"a": 1, "b": 2})


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[tuple[RunningGateway, Stage]]:
    async with FakeUpstream() as upstream:
        config = configuration(0, upstream.url)
        async with running_gateway(tmp_path, config) as gateway:
            yield gateway, Stage(upstream)


def request_of(agent: str, dialect: str) -> tuple[str, Json]:
    """The road and the body of an agent's request."""
    model = f"{dialect}/model"
    text = (FIXTURES / f"{agent}.json").read_text().replace("$MODEL", model)
    return ROADS[agent].replace("$MODEL", model), orjson.loads(text)


async def balance(gateway: RunningGateway) -> int:
    """The account's credits."""
    _, _, body = await gateway.get("/v1/usage")
    return int(orjson.loads(body)["balance"])


def events_of(body: bytes) -> list[Json]:
    """The events of a stream."""
    lines = [line for line in body.splitlines() if line.startswith(b"data: ") and line != b"data: [DONE]"]
    return [orjson.loads(line.removeprefix(b"data: ")) for line in lines]


def calls_of(agent: str, events: list[Json]) -> list[tuple[Any, str, Json]]:
    """The tool calls of an answer as the agent reads them: (namespace, name, arguments)."""
    if agent == "codex":
        items = events[-1]["response"]["output"]
        calls = [item for item in items if item["type"] == "function_call"]
        return [(call.get("namespace"), call["name"], orjson.loads(call["arguments"])) for call in calls]
    if agent == "claude-code":
        starts = [event["content_block"] for event in events if event["type"] == "content_block_start"]
        pieces = [event["delta"].get("partial_json", "") for event in events if event["type"] == "content_block_delta"]
        return [(None, one["name"], orjson.loads("".join(pieces))) for one in starts if one["type"] == "tool_use"]
    parts = [part for event in events for one in event["candidates"] for part in one["content"].get("parts", ())]
    calls = [part["functionCall"] for part in parts if "functionCall" in part]
    return [(None, call["name"], call["args"]) for call in calls]


CALLED = {
    "codex": ("mcp__calc", "add_numbers"),
    "claude-code": (None, "mcp__calc__add_numbers"),
    "gemini-cli": (None, "mcp_calc_add_numbers"),
}


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("agent", list(ROADS))
async def test_a_tool_of_an_mcp_server_is_offered_called_and_billed(site: Any, agent: str, dialect: str) -> None:
    gateway, stage = site
    stage.play(Plan([Answer("Adding.", [SUM], 1000, 40)]))
    road, body = request_of(agent, dialect)
    before = await balance(gateway)
    status, _, answer = await gateway.post(road, body)
    assert status == 200, answer[:400]
    assert stage.complaints == []
    (asked,) = stage.asked
    assert calls_of(agent, events_of(answer)) == [(*CALLED[agent], {"a": 1, "b": 2})]
    assert b"sum=42" in asked.raw or agent != "codex"
    assert before - await balance(gateway) == 1000 + 5 * 40


@pytest.mark.parametrize("dialect", [one for one in DIALECTS if one not in ("native", "only")])
async def test_the_kinds_of_tools_of_codex_elsewhere(site: Any, dialect: str) -> None:
    """Shell and search come back in their own kinds; what was found later is offered; a search nobody has is named."""
    gateway, stage = site
    uses = [Use("local_shell", {"command": ["ls"], "timeout_ms": 5}), Use("tool_search", {"query": "sum"})]
    stage.play(Plan([Answer("", uses, 1000, 40)]))
    road, body = request_of("codex", dialect)
    body["tools"].append({"type": "local_shell"})
    status, headers, answer = await gateway.post(road, body)
    assert status == 200, answer[:400]
    items = events_of(answer)[-1]["response"]["output"]
    shell, search = [item for item in items if item["type"] not in ("message", "reasoning")]
    assert (shell["type"], shell["action"]["command"], shell["action"]["timeout_ms"]) == ("local_shell_call", ["ls"], 5)
    assert (search["type"], search["execution"], search["arguments"]) == (
        "tool_search_call",
        "client",
        {"query": "sum"},
    )
    (asked,) = stage.asked
    assert {name for _, name in asked.offer.tools} >= {"found_later", "apply_patch", "multi_agent__spawn_agent"}
    assert b"total 0" in asked.raw
    if dialect not in ("anthropic", "google"):
        assert "tools[5]" in headers["x-gateway-dropped-params"]


@pytest.mark.parametrize("dialect", [one for one in DIALECTS if one not in ("native", "only")])
async def test_shells_and_patches_that_models_elsewhere_do_not_know(site: Any, dialect: str) -> None:
    """They are functions there, and items of their own kinds here: streamed, billed, and answered in the next turn."""
    gateway, stage = site
    shell = Use("shell", {"commands": ["ls -l", "pwd"], "timeout_ms": 900})
    patch = Use("apply_patch", {"type": "update_file", "path": "a.txt", "diff": "@@\n-a\n+b\n"})
    stage.play(Plan([Answer("", [shell, patch], 1000, 40), Answer("Done.", [], 1000, 40)]))
    tools = [{"type": "shell", "environment": {"type": "local"}}, {"type": "apply_patch"}]
    body = {"model": f"{dialect}/model", "input": "Do it.", "tools": tools, "stream": True}
    before = await balance(gateway)
    status, _, answer = await gateway.post("/v1/responses", {**body, "tool_choice": "required"})
    assert status == 200, answer[:400]
    assert before - await balance(gateway) == 1000 + 5 * 40
    events = read_stream(answer)
    final = check_stream(events)
    told = [event["type"].removeprefix("response.shell_call_command.") for event in events if "shell" in event["type"]]
    assert told == ["added", "delta", "done"] * 2
    begun = [event["item"] for event in events if event["type"] == "response.output_item.added"]
    assert [item.get("operation", {}).get("path") for item in begun if item["type"] == "apply_patch_call"] == ["a.txt"]
    first, second = [item for item in final["output"] if item["type"].endswith("_call")]
    assert first["action"] == {"commands": ["ls -l", "pwd"], "timeout_ms": 900, "max_output_length": None}
    assert second["operation"] == {"type": "update_file", "path": "a.txt", "diff": "@@\n-a\n+b\n"}
    outcome = {"stdout": "total 0", "stderr": "", "outcome": {"type": "exit", "exit_code": 0}}
    results = [
        {"type": "shell_call_output", "call_id": first["call_id"], "output": [outcome]},
        {"type": "apply_patch_call_output", "id": second["id"], "status": "failed", "output": "no such line"},
    ]
    again = {**body, "input": results, "previous_response_id": final["id"], "stream": False}
    status, _, answer = await gateway.post("/v1/responses", again)
    assert status == 200, answer[:400]
    schema("Response").validate(orjson.loads(answer))
    asked = stage.asked[1]
    assert b"total 0" in asked.raw
    assert b"no such line" in asked.raw
    assert {name for _, name in asked.offer.tools} == {"shell", "apply_patch"}


@pytest.mark.parametrize("dialect", [one for one in DIALECTS if one != "anthropic"])
async def test_the_line_that_changes_stays_with_anthropic(site: Any, dialect: str) -> None:
    gateway, stage = site
    stage.play(Plan([Answer("Done.")]))
    road, body = request_of("claude-code", dialect)
    status, _, answer = await gateway.post(road, body)
    assert status == 200, answer[:400]
    assert b"cch=" not in stage.asked[0].raw
    assert b"You work in a shell." in stage.asked[0].raw


@pytest.mark.parametrize("dialect", DIALECTS)
async def test_the_last_block_for_claude_code_is_the_text(site: Any, dialect: str) -> None:
    gateway, stage = site
    stage.play(Plan([Answer("All done.")]))
    road, body = request_of("claude-code", dialect)
    _, _, answer = await gateway.post(road, body)
    starts = [event for event in events_of(answer) if event["type"] == "content_block_start"]
    assert starts[-1]["content_block"]["type"] == "text"


@pytest.mark.parametrize("dialect", DIALECTS)
async def test_a_full_window_is_told_in_words_that_make_claude_code_compact(site: Any, dialect: str) -> None:
    gateway, stage = site
    stage.play(Plan([Answer(failure="context")]))
    road, body = request_of("claude-code", dialect)
    status, _, answer = await gateway.post(road, body)
    error = orjson.loads(answer)["error"]
    assert (status, error["type"]) == (400, "invalid_request_error")
    assert error["message"].startswith("prompt is too long: ")
    if dialect not in ("native", "only"):
        found, most = [int(word) for word in error["message"].split() if word.isdigit()]
        assert found > most > 100_000


@pytest.mark.parametrize("dialect", DIALECTS)
async def test_the_search_of_claude_code_is_asked_of_the_provider(site: Any, dialect: str) -> None:
    """It asks in a request of its own, with nothing but the search. Where neither the provider nor the gateway can
    search, an answer without one would be made up."""
    gateway, stage = site
    stage.play(Plan([Answer("Never.")]))
    road, body = request_of("claude-code", dialect)
    body["tools"] = [{"type": "web_search_20250305", "name": "web_search", "max_uses": 8}]
    body["messages"] = [{"role": "user", "content": "Search for: how high is the tower"}]
    status, _, answer = await gateway.post(road, body)
    if dialect in ("anthropic", "google"):
        assert status == 200, answer[:400]
        assert b"330 metres" in answer
    elif dialect == "only":
        # Whoever is spoken to in the Responses API alone is asked for the tool that it has.
        assert status == 200, answer[:400]
        assert [tool["type"] for tool in stage.asked[0].body["tools"]] == ["web_search"]
    else:
        assert status == 400
        assert b"search.backends" in answer


@pytest.mark.unpublished  # a code that Codex knows, and the published list of codes does not
async def test_codex_is_told_in_a_stream_that_the_credits_have_run_out(site: Any) -> None:
    """It repeats any status but 400 and 429; others get the 402."""
    gateway, stage = site
    stage.play(Plan([Answer("Never.")]))
    road, body = request_of("codex", "chat")
    poor = await gateway.new_key(credits=0)
    status, _, answer = await gateway.post(road, body, key=poor, headers={"originator": "codex_exec"})
    created, failed = events_of(answer)
    assert (status, created["type"], failed["type"]) == (200, "response.created", "response.failed")
    assert failed["response"]["error"]["code"] == "insufficient_quota"
    assert [event["sequence_number"] for event in (created, failed)] == [0, 1]
    status, headers, _ = await gateway.post(road, body, key=poor)
    assert (status, headers["x-should-retry"]) == (402, "false")
    whole = {**body, "stream": False}
    assert (await gateway.post(road, whole, key=poor, headers={"originator": "codex_exec"}))[0] == 402
    assert stage.asked == []


@pytest.mark.unpublished  # a code that Codex knows, and the published list of codes does not
@pytest.mark.parametrize("dialect", DIALECTS)
async def test_codex_is_told_in_a_stream_that_the_window_is_full(site: Any, dialect: str) -> None:
    gateway, stage = site
    stage.play(Plan([Answer(failure="context")]))
    road, body = request_of("codex", dialect)
    status, _, answer = await gateway.post(road, body, headers={"originator": "codex_cli_rs"})
    assert (status, events_of(answer)[-1]["response"]["error"]["code"]) == (200, "context_length_exceeded")
    status, _, answer = await gateway.post(road, body)
    assert (status, orjson.loads(answer)["error"]["code"]) == (400, "context_length_exceeded")
