"""Providers of plugins in a running gateway: the documentation's example, and what stops the start."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import orjson
import pytest

from gateway.blueprint import read_blueprint
from gateway.errors import ConfigFault
from gateway.testing import (
    FakeUpstream,
    Reply,
    json_reply,
    openai_completion,
    running_gateway,
    upstream_config,
)

PAGE = Path(__file__).parents[2] / "docs/plugins.md"
ASK = {"messages": [{"role": "user", "content": "Hi"}]}


def example() -> str:
    blocks = re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    [found] = [block for block in blocks if "register_providers" in block]
    return str(found)


def configured(folder: Path, plugin: str, upstream: str, **provider: Any) -> dict[str, Any]:
    (folder / "plugins").mkdir()
    (folder / "plugins" / "plain.py").write_text(plugin)
    made = upstream_config(upstream, plugins={"dir": str(folder / "plugins")})
    made["providers"] = {"fake": {"plugin": "plain", "base_url": upstream, **provider}}
    return made


async def test_the_example_of_the_documentation_answers(tmp_path: Path, fake_upstream: FakeUpstream) -> None:
    stream = [b'data: {"text": "Hel"}\n\n', b'data: {"text": "lo"}\n\n', b'data: {"end": true}\n\n']
    fake_upstream.queue(
        json_reply({"text": "Hello"}), Reply(stream), *(json_reply({"text": f"answer {at}"}) for at in range(2)),
        json_reply({}, 400),
    )  # fmt: skip
    async with running_gateway(tmp_path, configured(tmp_path, example(), fake_upstream.url)) as gateway:
        status, headers, body = await gateway.post("/v1/chat/completions", {**ASK, "seed": 1})
        assert (status, headers["x-gateway-dropped-params"]) == (200, "seed")
        answer = orjson.loads(body)
        assert answer["choices"][0]["message"]["content"] == "Hello"
        assert answer["usage"]["completion_tokens"] == 2  # counted by the gateway
        status, _, body = await gateway.post("/v1/chat/completions", {**ASK, "stream": True})
        assert status == 200
        events = [line[6:] for line in body.split(b"\n\n") if line]
        assert events[-1] == b"[DONE]"
        said = [orjson.loads(event)["choices"][0]["delta"].get("content", "") for event in events[:-1]]
        assert "".join(said) == "Hello"
        status, _, body = await gateway.post("/v1/chat/completions", {**ASK, "n": 2})
        assert [choice["message"]["content"] for choice in orjson.loads(body)["choices"]] == ["answer 0", "answer 1"]
        status, _, body = await gateway.post("/v1/chat/completions", ASK)
        assert status >= 400
    assert fake_upstream.requests[0].path == "/complete"


BROKEN = [
    ("def bound_input_tokens(self, body: Mapping[str, Any], target: Target)", "def bound_input_tokens(self, body: Any)",
     "must take bound_input_tokens(self, body, target)"),
    ("def prepare(self, call: Call, target: Target)", "async def prepare(self, call: Call, target: Target)",
     "prepare: must be a plain `def`, not async"),
    ("    def profile(self", "    def profiles(self", "a provider needs the method profile(self, target)"),
    ("transport: Transport | None = None", "pass", "a provider needs the attribute `transport`"),
    ("Profile(max_choices=1)", 'Profile(media="bytes")', "a provider needs the method media_urls(self, body)"),
]  # fmt: skip


def problems_of(tmp_path: Path, right: str, wrong: str) -> list[str]:
    """What stops the start when `right` in the example becomes `wrong`."""
    plugin = example()
    assert right in plugin
    made = configured(tmp_path, plugin.replace(right, wrong), "http://127.0.0.1:9")
    path = tmp_path / "config.yaml"
    path.write_bytes(orjson.dumps(made))
    with pytest.raises(ConfigFault) as caught:
        read_blueprint(path, {"GATEWAY_DATA": str(tmp_path / "data")})
    return caught.value.problems


def test_a_provider_that_counts_has_what_counting_takes(tmp_path: Path) -> None:
    problems = problems_of(tmp_path, "Profile(max_choices=1)", 'Profile(counts="plain.words")')
    missing = ("build_count(self, call, body, target)", "read_count(self, reply)", "read_fault(self, reply)")
    assert [problem.partition(" needs the method ")[2] for problem in problems] == list(missing)


@pytest.mark.parametrize(("right", "wrong", "told"), BROKEN)
def test_a_wrong_provider_stops_the_start(tmp_path: Path, right: str, wrong: str, told: str) -> None:
    (problem,) = problems_of(tmp_path, right, wrong)
    assert re.match(r"plugin plain: \S+/plain\.py:\d+: ", problem)
    assert told in problem


@pytest.mark.parametrize(
    ("kind", "option", "value"),
    [
        ("openai", "responses", "nonsense"),
        *((kind, "quirks", {"nonsense": 1}) for kind in ("openai", "anthropic", "google", "mistral", "moonshot")),
    ],
)
def test_an_option_that_makes_no_sense_stops_the_start(tmp_path: Path, kind: str, option: str, value: Any) -> None:
    path = tmp_path / "config.yaml"
    options = "\n".join(f"      {name}: {orjson.dumps(given).decode()}" for name, given in [(option, value)])
    path.write_text(
        f"providers:\n  own: {{plugin: {kind}, api_key: key-0123456789}}\n"
        f"models:\n  own/one:\n    provider: own\n    free: true\n    options:\n{options}\n"
    )
    with pytest.raises(ConfigFault) as caught:
        read_blueprint(path, {"GATEWAY_DATA": str(tmp_path / "data")})
    (problem,) = caught.value.problems
    assert problem.startswith(f"{path}:8: models.own/one.options.{option}: ")


async def test_what_a_failed_target_could_not_carry_is_not_told_of_the_next(
    tmp_path: Path, fake_upstream: FakeUpstream
) -> None:
    made = configured(tmp_path, example(), fake_upstream.url)
    made["providers"]["other"] = {"plugin": "openai", "base_url": fake_upstream.url + "/v1", "api_key": "k-0123456789"}
    made["models"] = {"m/one": {"provider": "fake", "free": True}, "m/two": {"provider": "other", "free": True}}
    made["aliases"] = {"both": ["m/one", "m/two"]}
    made["default_model"] = "both"
    made["upstream"] = {**made.get("upstream", {}), "retries": 0}
    fake_upstream.queue(json_reply({}, 503), json_reply(openai_completion("Hi")))
    async with running_gateway(tmp_path, made) as gateway:
        status, headers, _ = await gateway.post("/v1/chat/completions", {**ASK, "model": "both", "seed": 1})
    assert status == 200
    assert [request.path for request in fake_upstream.requests] == ["/complete", "/v1/chat/completions"]
    assert "x-gateway-dropped-params" not in headers


async def test_geminis_choices_are_asked_for_in_one_request(tmp_path: Path, fake_upstream: FakeUpstream) -> None:
    made = upstream_config(fake_upstream.url)
    made["providers"] = {"fake": {"plugin": "google", "base_url": fake_upstream.url, "api_key": "key-0123456789"}}
    upstream = "gemini-2.5-flash"
    made["models"] = {"m/one": {"provider": "fake", "upstream": upstream, "price": {"input": 1, "output": 2}}}
    made.pop("aliases", None)
    made["default_model"] = "m/one"
    said = [{"index": at, "content": {"parts": [{"text": f"answer {at}"}]}, "finishReason": "STOP"} for at in range(2)]
    counts = {"promptTokenCount": 10, "candidatesTokenCount": 5, "totalTokenCount": 15}
    fake_upstream.reply(json_reply({"candidates": said, "usageMetadata": counts}))
    async with running_gateway(tmp_path, made) as gateway:
        status, headers, body = await gateway.post("/v1/chat/completions", {**ASK, "model": "m/one", "n": 2})
    assert status == 200
    assert [choice["message"]["content"] for choice in orjson.loads(body)["choices"]] == ["answer 0", "answer 1"]
    (request,) = fake_upstream.requests
    assert request.json["generationConfig"]["candidateCount"] == 2
    assert headers["x-gateway-cost"] == "20"


def test_a_provider_that_cannot_be_imported_stops_the_start(tmp_path: Path) -> None:
    late = """
from pydantic import BaseModel
from gateway.api import ProviderKind, hookimpl, later

class Settings(BaseModel):
    base_url: str

@hookimpl
def register_providers(register):
    for kind, place in (("plain", "nothing_of_this_name:Provider"), ("unused", "nothing_else:Provider")):
        register(ProviderKind(kind, Settings, later(place), lambda settings: ""))
"""
    config = tmp_path / "config.yaml"
    config.write_bytes(orjson.dumps(configured(tmp_path, late, "http://127.0.0.1:9")))
    with pytest.raises(ConfigFault) as caught:
        read_blueprint(config, {"GATEWAY_DATA": str(tmp_path / "data")})
    missing = "ModuleNotFoundError: No module named 'nothing_of_this_name'"
    assert caught.value.problems == [f"plugin plain (nothing_of_this_name:Provider): cannot be imported: {missing}"]
