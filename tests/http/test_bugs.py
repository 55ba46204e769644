"""Plugins and providers with bugs: the call fails closed with our 500, what it reserved is released, and a stream that
has begun ends with an error event."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import orjson
import pytest

from gateway.testing import Reply, chunk, json_reply, openai_completion, openai_stream, sse

HEAD = "from gateway.api import *\n\n"


async def with_plugin(serve: Any, tmp_path: Path, text: str, **sections: Any) -> Any:
    folder = tmp_path / "plugins"
    folder.mkdir()
    await asyncio.to_thread((folder / "buggy.py").write_text, HEAD + text)
    site = await serve(plugins={"dir": str(folder)}, **sections)
    site.noisy = True
    site.upstream.reply(json_reply(openai_completion("Hi")))
    return site


def errors(site: Any) -> list[dict[str, Any]]:
    return [line for line in site.log if line["level"] == "error"]


@pytest.mark.parametrize("phase", ["identify_caller", "authorize_call", "admit_call", "choose_targets"])
@pytest.mark.parametrize("first", [True, False], ids=["first in its phase", "last in its phase"])
async def test_a_phase_that_raises_fails_closed(serve: Any, tmp_path: Path, phase: str, first: bool) -> None:
    steps = ["auth", "model_allow_list", "rate_limit", "quota", "routing", "usage_log"]
    order = ["buggy", *steps] if first else [*steps, "buggy"]
    text = f"@hookimpl\nasync def {phase}(call):\n    raise KeyError('a secret of mine')\n"
    site = await with_plugin(serve, tmp_path, text, pipeline=order)
    skipped = phase in ("identify_caller", "choose_targets") and not first  # an earlier plugin's answer counts
    for stream in (False, True):
        site.upstream.reply(Reply(openai_stream("Hi")) if stream else json_reply(openai_completion("Hi")))
        answer = await site.ask(stream=stream)
        assert answer.status == (200 if skipped else 500)
        if not skipped:
            assert answer.error["type"] == "server_error"
            assert answer.headers["x-request-id"] in answer.error["message"]
            assert "secret" not in answer.body.decode()
            assert any("KeyError" in line.get("trace", "") for line in errors(site))
    assert len(site.upstream.requests) == (2 if skipped else 0)
    assert (await site.spent() == 0) is not skipped


async def test_before_dispatch_that_raises(serve: Any, tmp_path: Path) -> None:
    site = await with_plugin(serve, tmp_path, "@hookimpl\ndef before_dispatch(call):\n    raise KeyError('x')\n")
    for stream in (False, True):
        assert (await site.ask(stream=stream)).status == 500
    assert site.upstream.requests == []
    assert await site.spent() == 0


@pytest.mark.parametrize("at", [1, 2, 3])
async def test_a_watcher_that_raises_in_the_middle(serve: Any, tmp_path: Path, at: int) -> None:
    text = f"""
class Plugin:
    def __init__(self):
        self.seen = 0

    @hookimpl
    def watch_event(self, event):
        self.seen += 1
        if self.seen == {at}:
            raise KeyError("x")
"""
    site = await with_plugin(serve, tmp_path, text)
    events = [sse(chunk({"content": word})) for word in ("a", "b", "c", "d")]
    site.upstream.reply(Reply([*(step for event in events for step in (event, b": wait\n\n")), *openai_stream("e")]))
    answer = await site.ask(stream=True)
    if answer.status == 200:
        assert answer.events[-1]["error"]["type"] == "server_error"
    else:
        assert (answer.status, answer.error["type"]) == (500, "server_error")
    assert b"[DONE]" not in answer.body
    assert (await site.row()).row.status == 500


async def test_watchers_see_every_chunk(serve: Any, tmp_path: Path) -> None:
    text = """
class Plugin:
    @hookimpl
    async def start_up(self, app):
        app.stores.extra["seen"] = self.seen = []

    @hookimpl
    def watch_event(self, call, event):
        self.seen.append((call.id, event["choices"]))
"""
    site = await with_plugin(serve, tmp_path, text)
    site.upstream.reply(Reply(openai_stream("Hello", " world")))
    answer = await site.ask(stream=True)
    seen = site.running.gateway.stores.extra["seen"]
    assert {found for found, _ in seen} == {answer.headers["x-request-id"]}
    assert "".join(c["delta"].get("content") or "" for _, choices in seen for c in choices) == "Hello world"


async def test_finish_that_raises_does_not_hurt_the_answer_or_the_bill(serve: Any, tmp_path: Path) -> None:
    site = await with_plugin(serve, tmp_path, "@hookimpl\nasync def finish_call(call):\n    raise KeyError('x')\n")
    assert (await site.ask()).status == 200
    assert await site.spent() == 20
    assert "plugin buggy failed in finish_call" in errors(site)[0]["message"]


PROVIDER = """
from gateway.api import Attempt, ChatReader
from tollgate_openai.provider import OpenAIProvider, OpenAISettings


class Decoder:
    done = False

    def __init__(self, inner):
        self.inner = inner

    def feed(self, data):
        if b"BUG" in data:
            raise KeyError("x")
        items = self.inner.feed(data)
        self.done = self.inner.done
        return items

    def finish(self):
        raise KeyError("x")


class Buggy(OpenAIProvider):
    def prepare(self, call, target):
        if call.body.get("user") == "build":
            raise KeyError("x")
        attempt = super().prepare(call, target)
        return Attempt(attempt.request, Reader(call, attempt.reader))


class Reader(ChatReader):
    def __init__(self, call, inner):
        super().__init__(call)
        self.inner = inner

    def read_body(self, reply):
        raise KeyError("x")

    def read_fault(self, reply):
        raise KeyError("x")

    def open_stream(self):
        if self.call.body.get("user") == "open":
            raise KeyError("x")
        return Decoder(self.inner.open_stream())


@hookimpl
def register_providers(register):
    register(ProviderKind("buggy", OpenAISettings, Buggy, lambda settings: ""))
"""


@pytest.mark.parametrize(
    ("stream", "user", "reply"),
    [
        (False, "build", None),
        (True, "build", None),
        (True, "open", None),
        (False, "", json_reply(openai_completion("Hi"))),
        (True, "", json_reply(openai_completion("Hi"))),
        (False, "", json_reply({}, 400)),
        (True, "", json_reply({}, 400)),
        (True, "", Reply([b"data: BUG\n\n"])),
        (True, "", Reply([b": nothing\n\n"])),
        (True, "", Reply([sse(chunk({"content": "x"})), b"data: BUG\n\n"])),
        (True, "", Reply([sse(chunk({"content": "x"}))])),
    ],
)
async def test_a_provider_with_a_bug(serve: Any, tmp_path: Path, stream: bool, user: str, reply: Reply | None) -> None:
    site = await with_plugin(serve, tmp_path, PROVIDER)
    path = site.running.config_path
    config = orjson.loads(await asyncio.to_thread(path.read_bytes))
    config["providers"]["fake"]["plugin"] = "buggy"
    await asyncio.to_thread(path.write_bytes, orjson.dumps(config))
    await site.running.gateway.reload()
    if reply is not None:
        site.upstream.reply(reply)
    async with asyncio.timeout(30):
        answer = await site.ask(stream=stream, user=user)
    error = answer.events[-1]["error"] if answer.status == 200 else answer.error
    assert error["type"] == "server_error"
    assert any("KeyError" in line.get("trace", "") for line in errors(site))
    assert (await site.row()).row.status == 500


async def test_headers_from_plugins_cannot_split_an_answer(serve: Any, tmp_path: Path) -> None:
    text = """
@hookimpl
async def authorize_call(call):
    call.answer_headers["x-mine"] = "a\\r\\nset-cookie: x=y"
    call.dropped.append("odd\\r\\nset-cookie: z\\u2713")
"""
    site = await with_plugin(serve, tmp_path, text)
    for stream in (False, True):
        site.upstream.reply(Reply(openai_stream("Hi")) if stream else json_reply(openai_completion("Hi")))
        answer = await site.ask(stream=stream)
        assert answer.status == 200
        assert "set-cookie" not in answer.headers
        assert answer.headers["x-mine"].startswith("a")
        assert answer.headers["x-gateway-dropped-params"].startswith("odd")


async def test_a_plugin_file_is_told_with_its_line_when_it_is_wrong(serve: Any, tmp_path: Path) -> None:
    from gateway.errors import ConfigFault

    with pytest.raises(ConfigFault) as caught:
        await with_plugin(serve, tmp_path, "@hookimpl\ndef admit_call(call): ...\n")
    assert caught.value.problems[0].endswith("admit_call: must be `async def`")
    assert "buggy.py:3" in caught.value.problems[0]
