"""The programs of the API documents (programs.md), run with another base URL and key and nothing else changed.

They run twice: against the echo model, and against recorded answers of OpenAI.
"""

from __future__ import annotations

import contextlib
import gc
import io
import json
import re
import shutil
import subprocess
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pytest

from gateway.testing import (
    Reply,
    json_reply,
    load_transcript,
    openai_completion,
    openai_error,
    openai_stream,
    refused_url,
)

pytestmark = pytest.mark.sdk

DOCUMENT = (Path(__file__).parent / "programs.md").read_text()
PROGRAMS = dict(re.findall(r"^## ([^\n]+)\n.*?^```\w+\n(.*?)^```$", DOCUMENT, re.M | re.S))
BASE_URLS = ("https://mume.ai/api/v1", "https://api.muhgpt.com/v1")
KEYS = ("your-api-key", "mghp_your_key_here", "$MUME_API_KEY", "$MUHGPT_API_KEY")
POEM = ["The moon ", "is a round 🌕 ", "lamp."]
curl = pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")


@pytest.fixture(scope="session")
def echo_world(make_world: Callable[..., Any]) -> Any:
    """The models of the documents, all answered by echo; no upstream at all."""
    echo = {"provider": "echo", "upstream": "echo", "price": {"input": 1, "output": 2}}
    config = {
        "providers": {"echo": {"plugin": "echo"}},
        "models": {"openai/gpt-4.1-mini": {**echo, "input_modalities": ["text", "image"]}},
        "aliases": {"muh-chat": "openai/gpt-4.1-mini"},
        "default_model": "muh-chat",
    }
    return make_world(lambda _: config)


def adapted(name: str, world: Any, key: str | None = None) -> str:
    """A program with its base URL and key replaced; the path of the URL stays what it was."""
    text = PROGRAMS[name]
    for url in BASE_URLS:
        text = text.replace(url, world.gateway.url + url[url.index("/", 8) :])
    for written in KEYS:
        text = text.replace(written, key or world.gateway.key)
    assert world.gateway.url in text
    return text


def run_python(text: str) -> str:
    """What the program prints. Those of the documents leave their clients open: collected here, without complaint."""
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed), warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        names = {"__name__": "__main__"}
        exec(compile(text, "program", "exec"), names)
        names.clear()
        gc.collect()
    return printed.getvalue()


def run_curl(text: str) -> str:
    done = subprocess.run(["bash", "-c", text.replace("curl ", "curl -sS ", 1)], capture_output=True, timeout=20)
    assert done.returncode == 0, done.stderr
    return done.stdout.decode()


def streamed_text(printed: str) -> str:
    events = [line[6:] for line in printed.splitlines() if line.startswith("data: ")]
    assert events[-1] == "[DONE]"
    chunks = [json.loads(event) for event in events[:-1]]
    assert chunks[-1]["usage"]["total_tokens"] > 0
    return "".join(chunk["choices"][0]["delta"].get("content") or "" for chunk in chunks)


def test_all_programs_are_read():
    assert len(PROGRAMS) == 18
    assert all(any(url in text for url in BASE_URLS) for name, text in PROGRAMS.items() if "body" not in name)


@curl
@pytest.mark.parametrize("name", ["basic: cURL", "environment variable: cURL", "quickstart: cURL"])
def test_curl_on_echo(echo_world, name):
    answer = json.loads(run_curl(adapted(name, echo_world)))
    assert re.search(r"2\+2=|Hello!", answer["choices"][0]["message"]["content"])
    assert answer["usage"]["total_tokens"] > 0


@curl
def test_curl_streams_on_echo(echo_world):
    assert "poem about the moon" in streamed_text(run_curl(adapted("streaming: cURL", echo_world)))


@curl
def test_curl_on_openai(world):
    requests = world.play(json_reply(openai_completion("4")))
    assert json.loads(run_curl(adapted("basic: cURL", world)))["choices"][0]["message"]["content"] == "4"
    assert requests[0].json == {
        "model": "gpt-4.1-mini",
        "messages": [{"role": "user", "content": "2+2="}],
    }
    world.play(Reply(openai_stream(*POEM)))
    assert streamed_text(run_curl(adapted("streaming: cURL", world))) == "".join(POEM)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("basic: Python", "2+2="),
        ("streaming: Python", "poem about the moon"),
        ("async streaming: Python", "poem about the moon"),
        ("error handling: Python", "Hello!"),
        ("quickstart: Python", "Write a haiku"),
    ],
)
def test_python_on_echo(echo_world, name, said):
    assert said in run_python(adapted(name, echo_world))


def test_python_on_openai(world):
    world.play(json_reply(openai_completion("4")))
    assert run_python(adapted("basic: Python", world)) == "4\n"
    assert run_python(adapted("error handling: Python", world)) == "4\n"
    world.play(Reply(openai_stream(*POEM)))
    assert run_python(adapted("streaming: Python", world)) == "".join(POEM)
    assert run_python(adapted("async streaming: Python", world)) == "".join(POEM)


def test_error_handling_in_python(world):
    name = "error handling: Python"
    assert run_python(adapted(name, world, key="mghp_wrong")).startswith("API error: 401 - ")
    world.play(json_reply(openai_error("Slow down."), 429, headers={"retry-after-ms": "10"}))
    assert run_python(adapted(name, world)).startswith("Rate limit exceeded: Error code: 429")
    world.play(json_reply(openai_error("max_tokens: too many", "invalid_request_error"), 400))
    printed = run_python(adapted(name, world))
    assert printed.startswith("API error: 400 - ")
    assert "max_tokens: too many" in printed
    with refused_url() as url:
        closed = adapted(name, world).replace(world.gateway.url, url).replace("base_url", "max_retries=0, base_url")
    assert run_python(closed) == "Connection error: Connection error.\n"


@pytest.mark.parametrize("path", ["/v1", "/api/v1"])
def test_the_function_calling_body(echo_world, path):
    body = orjson.loads(PROGRAMS["function calling: body"])
    status, _, answer = echo_world.run(echo_world.gateway.post(path + "/chat/completions", body))
    choice = orjson.loads(answer)["choices"][0]
    assert (status, choice["finish_reason"]) == (200, "tool_calls")
    assert choice["message"]["tool_calls"][0]["function"] == {"name": "get_weather", "arguments": '{"city":"Lisbon"}'}
    status, _, answer = echo_world.run(echo_world.gateway.post(path + "/chat/completions", {**body, "stream": True}))
    assert (status, answer.count(b'"finish_reason":"tool_calls"')) == (200, 1)


def test_the_vision_body(echo_world, world):
    body = orjson.loads(PROGRAMS["vision: body"])
    status, _, answer = echo_world.run(echo_world.gateway.post("/v1/chat/completions", body))
    assert status == 200
    assert "What is in this image? [image]" in orjson.loads(answer)["choices"][0]["message"]["content"]
    recorded = Path(__file__).resolve().parents[2] / "plugins/openai/transcripts/gpt-4-vision.json"
    transcript = load_transcript(recorded)
    requests = world.play(json_reply(transcript.body))
    status, _, answer = world.run(world.gateway.post("/v1/chat/completions", {**body, "model": "openai/gpt-4.1-mini"}))
    assert status == 200
    assert orjson.loads(answer)["choices"] == orjson.loads(transcript.body)["choices"]
    assert requests[0].json["messages"] == body["messages"]


def test_usage(echo_world):
    """The document's answer, member by member."""
    key = echo_world.key(credits=5000)
    body = {"model": "muh-chat", "messages": [{"role": "user", "content": "Hello!"}]}
    costs = []
    for _ in range(2):
        _, headers, _ = echo_world.run(echo_world.gateway.post("/v1/chat/completions", body, key=key))
        costs.append(int(headers["x-gateway-cost"]))
    status, _, answer = echo_world.run(echo_world.gateway.get("/v1/usage", key=key))
    usage = orjson.loads(answer)
    assert (status, usage["object"]) == (200, "usage")
    assert usage["balance"] == 5000 - sum(costs)
    assert usage["totals"].keys() == {"credits", "tokens", "requests"}
    assert (usage["totals"]["credits"], usage["totals"]["requests"]) == (sum(costs), 2)
    (day,) = usage["daily"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\d", day.pop("day"))
    assert day == {"credits": sum(costs), "requests": 2}
    assert usage["by_model"] == [{"model": "muh-chat", "credits": sum(costs)}]
