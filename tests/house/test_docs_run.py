"""The examples of the documentation in a real gateway: plugins as files in its folder, configurations as written."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
import pytest
import yaml

from gateway.blueprint import read_blueprint
from gateway.errors import ConfigFault
from gateway.testing import FakeUpstream, Reply, json_reply, openai_completion, running_gateway, upstream_config
from gateway.testing.pytest_plugin import fake_upstream

from .conftest import ROOT
from .test_docs import block_with, code_blocks

__all__ = ["fake_upstream"]

MARKS = {"max_images": "max_images", "plain": "register_providers", "models_by_price": "models-by-price"}
"""Name of a file -> what only that example of docs/plugins.md contains."""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Every example that is a plugin, as an operator would install it."""
    place = tmp_path / "plugins"
    place.mkdir()
    page = (ROOT / "docs/plugins.md").read_text()
    for name, mark in MARKS.items():
        (place / f"{name}.py").write_text(block_with(page, mark))
    (place / "max_messages.py").write_text(block_with((ROOT / "README.md").read_text(), "max_messages"))
    return place


def configuration(upstream: str, folder: Path) -> dict[str, Any]:
    made = upstream_config(upstream + "/v1", plugins={"dir": str(folder)})
    made["providers"]["plain"] = {"plugin": "plain", "base_url": upstream}
    made["models"]["plain/one"] = {"provider": "plain", "price": {"input": 1, "output": 1}, "max_output": 50}
    return made


def many(count: int) -> list[dict[str, Any]]:
    return [{"role": "user", "content": "Hi"}] * count


IMAGE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
VECTOR = {"object": "list", "data": [{"object": "embedding", "index": 0, "embedding": [0.1]}], "model": "x"}
VECTOR |= {"usage": {"prompt_tokens": 1, "total_tokens": 1}}
TURNS = [{"role": "user", "parts": [{"text": "Hi"}]}]

# path -> a body that the policies let pass, and one that they refuse (None: nothing there counts as too many)
POSTS: dict[str, tuple[dict[str, Any], dict[str, Any] | None]] = {
    "/v1/chat/completions": ({"messages": many(2)}, {"messages": many(201)}),
    "/v1/responses": ({"input": "Hi"}, {"input": many(201)}),
    "/v1/messages": (
        {"model": "fake/model", "max_tokens": 5, "messages": many(1)},
        {"model": "fake/model", "max_tokens": 5, "messages": [*many(1), {"role": "assistant", "content": "Yes"}] * 101},
    ),
    "/v1beta/models/fake%2Fmodel:generateContent": (
        {"contents": TURNS},
        {"contents": [*TURNS, {"role": "model", "parts": [{"text": "Yes"}]}] * 101},
    ),
    "/v1/messages/count_tokens": ({"model": "fake/model", "messages": many(1)}, None),
    "/v1beta/models/fake%2Fmodel:countTokens": ({"contents": TURNS}, None),
    "/v1/embeddings": ({"input": ["Hi"] * 300}, None),
}


@pytest.mark.parametrize("path", POSTS)
async def test_the_policies_of_the_examples_decide_at_every_door(
    tmp_path: Path, folder: Path, fake_upstream: FakeUpstream, path: str
) -> None:
    good, bad = POSTS[path]
    answer = VECTOR if path.endswith("embeddings") else openai_completion("Good day")
    fake_upstream.reply(json_reply(answer))
    async with running_gateway(tmp_path, configuration(fake_upstream.url, folder)) as gateway:
        status, _, raw = await gateway.post(path, good)
        assert status == 200, raw
        if bad is not None:
            status, _, raw = await gateway.post(path, bad)
            assert (status, b"more than 200" in raw) == (403, True), raw


async def test_requests_that_call_no_model_pass_the_policies(
    tmp_path: Path, folder: Path, fake_upstream: FakeUpstream
) -> None:
    async with running_gateway(tmp_path, configuration(fake_upstream.url, folder)) as gateway:
        for path in ("/v1/models", "/v1/models/fake/model", "/v1/usage"):
            assert (await gateway.get(path))[0] == 200
        status, _, raw = await gateway.get("/v1/models-by-price")
        assert (status, orjson.loads(raw)) == (200, {"data": ["plain/one", "fake/model"]})
        assert (await gateway.get("/v1/models-by-price", key="mghp_unknown"))[0] == 401
        content = [IMAGE] * 5
        status, _, raw = await gateway.post(
            "/v1/chat/completions", {"messages": [{"role": "user", "content": content}]}
        )
        assert (status, b"at most 4 are allowed" in raw) == (403, True), raw


async def test_the_provider_of_the_examples_answers(tmp_path: Path, folder: Path, fake_upstream: FakeUpstream) -> None:
    async with running_gateway(tmp_path, configuration(fake_upstream.url, folder)) as gateway:
        body: dict[str, Any] = {"model": "plain/one", "messages": many(1), "max_tokens": 50}
        fake_upstream.reply(json_reply({"text": "Hello"}))
        status, _, raw = await gateway.post("/v1/chat/completions", body)
        assert status == 200, raw
        assert orjson.loads(raw)["choices"][0]["message"]["content"] == "Hello"
        assert fake_upstream.requests[0].json == {"prompt": "user: Hi", "limit": 50, "stream": False}
        status, _, raw = await gateway.post("/v1/responses", {"model": "plain/one", "input": "Hi"})
        assert orjson.loads(raw)["output"][0]["content"][0]["text"] == "Hello", raw
        events = [b'data: {"text": "Hel"}\n\n', b'data: {"text": "lo"}\n\n', b'data: {"end": true}\n\n']
        fake_upstream.reply(Reply(events))
        status, _, raw = await gateway.post("/v1/chat/completions", {**body, "stream": True})
        assert (status, raw.endswith(b"data: [DONE]\n\n")) == (200, True)
        assert b'"Hel"' in raw
        fake_upstream.reply(json_reply({"error": "busy"}, status=400))
        assert (await gateway.post("/v1/chat/completions", body))[0] in (400, 502)
        assert not [line for line in gateway.log if line["level"] == "error"]


PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")), *sorted((ROOT / "plugins").glob("*/README.md"))]
SNIPPETS = [
    pytest.param(block, id=f"{page.relative_to(ROOT)}-{number}")
    for page in PAGES
    for number, block in enumerate(code_blocks(page.read_text(), "yaml"))
]
# What the snippets that show aliases alone speak of.
MODELS = {
    "openai/gpt-4.1-mini": {"provider": "openai", "free": True},
    "openai/gpt-4o": {"provider": "openai", "free": True},
    "local/llama3.2": {"provider": "local", "free": True},
}
PROVIDERS = {"local": {"plugin": "openai", "base_url": "http://127.0.0.1:11434/v1"}}


class Anything(dict[str, str]):
    """An environment in which every variable that a snippet names is set."""

    def __missing__(self, name: str) -> str:
        return "https://value.example" if name.endswith("URL") else "value-of-a-variable"

    def __contains__(self, name: object) -> bool:
        return True

    def get(self, name: str, default: Any = None) -> Any:
        return self[name]


def start(block: str, tmp_path: Path) -> None:
    """Read a snippet as a part of the shipped configuration. Raises ConfigFault."""
    whole = yaml.safe_load((ROOT / "config.yaml").read_text())
    whole["providers"] = {**whole["providers"], **PROVIDERS}
    whole["models"] = {**whole["models"], **MODELS}
    for name, section in yaml.safe_load(block).items():
        merge = isinstance(section, dict) and isinstance(whole.get(name), dict)
        whole[name] = {**whole[name], **section} if merge else section
    file = tmp_path / "config.yaml"
    file.write_text(yaml.safe_dump(whole))
    read_blueprint(file, Anything({"GATEWAY_DATA": str(tmp_path / "data")}))


@pytest.mark.parametrize("block", SNIPPETS)
def test_configurations_can_be_started_with(block: str, tmp_path: Path) -> None:
    start(block, tmp_path)


def test_a_wrong_configuration_is_found(tmp_path: Path) -> None:
    with pytest.raises(ConfigFault):
        start("providers:\n  openai: {plugin: openai, api_kye: x}", tmp_path)
