"""docs/plugin-tutorial.md, followed to the letter."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
import pytest
import yaml

from gateway.testing import FakeUpstream, Received, Reply, json_reply, running_gateway
from gateway.testing.check import check, find_plugin

from .conftest import ROOT
from .test_docs import code_blocks

PAGE = (ROOT / "docs/plugin-tutorial.md").read_text()
HELLO = {"messages": [{"role": "user", "content": "Hi"}], "max_tokens": 5}


@pytest.fixture
def configuration(tmp_path: Path, fake_upstream: FakeUpstream) -> dict[str, Any]:
    """The page's configuration and files; only the address of the server is the test's."""
    policy, provider = code_blocks(PAGE, "python")
    (tmp_path / "plugins.d").mkdir()
    (tmp_path / "plugins.d" / "office_hours.py").write_text(policy)
    (tmp_path / "plugins.d" / "shout.py").write_text(provider)
    (text,) = code_blocks(PAGE, "yml")
    made: dict[str, Any] = yaml.safe_load(text.replace("http://127.0.0.1:9999", fake_upstream.url))
    return made


def server(received: Received) -> Reply:
    assert received.path == "/shout"
    if not received.json["live"]:
        return json_reply({"said": "HELLO YOU", "words": [3, 2]})
    lines = [{"said": "HELLO"}, {"said": " YOU"}, {"words": [3, 2]}]
    raw = b"".join(orjson.dumps(line) + b"\n" for line in lines)
    return Reply([raw[:7], raw[7:20], raw[20:]], media_type="application/x-ndjson")


async def test_the_provider_answers_in_every_dialect(
    tmp_path: Path, configuration: dict[str, Any], fake_upstream: FakeUpstream
) -> None:
    fake_upstream.answer(server)
    async with running_gateway(tmp_path, configuration) as gateway:
        status, headers, raw = await gateway.post("/v1/chat/completions", {**HELLO, "seed": 1})
        assert status == 200, raw
        assert headers["x-gateway-dropped-params"] == "seed"
        assert orjson.loads(raw)["usage"]["cost"] == 3 * 1 + 2 * 2
        assert fake_upstream.requests[0].json == {"lines": ["user: Hi"], "live": False, "most": 5}
        status, _, raw = await gateway.post("/v1/responses", {"input": "Hi"})
        assert b"HELLO YOU" in raw
        status, _, raw = await gateway.post("/v1/messages", {"model": "shout/one", **HELLO})
        assert b"HELLO YOU" in raw
        status, _, raw = await gateway.post("/v1/chat/completions", {**HELLO, "stream": True})
        assert (status, raw.count(b"HELLO"), raw.count(b" YOU")) == (200, 1, 1)
        assert raw.endswith(b"data: [DONE]\n\n")
        fake_upstream.reply(json_reply({}, 400))
        assert (await gateway.post("/v1/chat/completions", HELLO))[0] >= 400


async def test_the_policy_keeps_hours_and_explains_itself(
    tmp_path: Path, configuration: dict[str, Any], fake_upstream: FakeUpstream
) -> None:
    fake_upstream.answer(server)
    configuration["default_model"] = "shout/one"
    async with running_gateway(tmp_path, configuration) as gateway:
        told = orjson.loads((await gateway.post("/v1/explain", {"body": HELLO}))[2])
        figures = [step["figures"] for step in told["steps"] if step["plugin"] == "office_hours"]
        assert figures[0]["to_hour"] == 24
        assert told["targets"][0]["requests"][0]["url"].endswith("/shout")
        assert fake_upstream.requests == []


@pytest.mark.parametrize("hour", [0, 12])
async def test_outside_of_them_it_refuses(
    tmp_path: Path, configuration: dict[str, Any], fake_upstream: FakeUpstream, hour: int
) -> None:
    import time

    now = time.gmtime().tm_hour
    closed = (now + 2 + hour) % 24
    configuration["office_hours"] = {"from_hour": closed, "to_hour": closed + 1}
    async with running_gateway(tmp_path, configuration) as gateway:
        status, _, raw = await gateway.post("/v1/chat/completions", HELLO)
        assert (status, orjson.loads(raw)["error"]["code"]) == (403, "closed")
        assert (await gateway.get("/v1/models"))[0] == 200


@pytest.mark.slow
@pytest.mark.blocking_allowed  # a command, in a process of its own otherwise
def test_the_policy_passes_the_check(tmp_path: Path, configuration: dict[str, Any]) -> None:
    results = check(find_plugin(str(tmp_path / "plugins.d" / "office_hours.py")))
    assert [result.name for result in results] == ["hooks", "a gateway with it"]
    assert results[0].ok
