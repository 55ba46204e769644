"""A plugin that edits a call's body is obeyed at every door, whatever the target speaks: no form that was
written before the edit goes out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
import pytest

from gateway.testing import FakeUpstream, json_reply, openai_error, running_gateway, upstream_config

SECRET = "my secret"
EDIT = """
from gateway.api import hookimpl


@hookimpl
async def {hook}(call):
    for message in call.body["messages"]:
        content = message["content"]
        if isinstance(content, str):
            message["content"] = content.replace("{secret}", "****")
        for part in content if isinstance(content, list) else ():
            part["text"] = part["text"].replace("{secret}", "****")
"""

MESSAGE = {"role": "user", "content": f"This is {SECRET}."}
DOORS: dict[str, tuple[str, dict[str, Any]]] = {
    "chat": ("/v1/chat/completions", {"messages": [MESSAGE]}),
    "responses": ("/v1/responses", {"input": [MESSAGE], "store": False}),
    "messages": ("/v1/messages", {"messages": [MESSAGE], "max_tokens": 50}),
    "gemini": ("/v1beta/models/m/one:generateContent", {"contents": [{"role": "user", "parts": [{"text": SECRET}]}]}),
}
TARGETS: dict[str, dict[str, Any]] = {
    "chat": {"plugin": "openai", "responses": "bridge"},
    "responses": {"plugin": "openai", "responses": "native"},
    "responses only": {"plugin": "openai", "responses": "only"},
    "messages": {"plugin": "anthropic"},
    "gemini": {"plugin": "google"},
}


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("hook", ["authorize_call", "admit_call"])
@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("door", DOORS)
async def test_what_was_written_before_does_not_go_out(
    tmp_path: Path, fake_upstream: FakeUpstream, door: str, target: str, hook: str, stream: bool
) -> None:
    sent = await _sent(tmp_path, fake_upstream, door, target, EDIT.format(hook=hook, secret=SECRET), stream)
    assert SECRET.encode() not in sent
    assert b"****" in sent


@pytest.mark.parametrize(
    ("door", "own"), [("responses", b'"input"'), ("messages", b'"messages"'), ("gemini", b'"contents"')]
)
async def test_without_an_edit_the_native_form_does(
    tmp_path: Path, fake_upstream: FakeUpstream, door: str, own: bytes
) -> None:
    sent = await _sent(tmp_path, fake_upstream, door, door, "", False)
    assert own in sent
    assert SECRET.encode() in sent


async def _sent(folder: Path, upstream: FakeUpstream, door: str, target: str, plugin: str, stream: bool) -> bytes:
    (folder / "plugins").mkdir()
    (folder / "plugins" / "mask.py").write_text(plugin)
    made = upstream_config(upstream.url, plugins={"dir": str(folder / "plugins")})
    base = upstream.url if target == "gemini" else upstream.url + "/v1" if target != "messages" else upstream.url
    made["providers"] = {"fake": {**TARGETS[target], "api_key": "key-0123456789", "base_url": base}}
    made["models"] = {"m/one": {"provider": "fake", "free": True}}
    made["default_model"] = "m/one"
    made.pop("aliases", None)
    upstream.reply(json_reply(openai_error("no", code="x"), 400))
    path, body = DOORS[door]
    if stream and door == "gemini":
        path = path.replace(":generateContent", ":streamGenerateContent?alt=sse")
    elif stream:
        body = {**body, "stream": True}
    if door != "gemini":
        body = {**body, "model": "m/one"}
    async with running_gateway(folder, made) as gateway:
        status, _, answer = await gateway.post(path, body)
    assert len(upstream.requests) == 1, (status, answer)
    return orjson.dumps(upstream.requests[0].json)
