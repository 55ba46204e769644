"""Through a running gateway, with a provider whose upstream takes bytes only."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import orjson
import pytest

from gateway.testing import (
    FakeUpstream,
    Reply,
    RunningGateway,
    Stall,
    json_reply,
    openai_completion,
    openai_error,
    openai_stream,
    running_gateway,
    upstream_config,
)

from .conftest import port_of

PNG = b"\x89PNG\r\n\x1a\n" + bytes(40)
INLINE = "data:image/png;base64,iVBORw0KGgo" + "A" * 53

PLUGIN = '''
"""An OpenAI-compatible upstream that takes media as bytes only."""

from __future__ import annotations

import orjson
from pydantic import BaseModel

from gateway.api import (
    Attempt, ChatReader, Profile, ProviderKind, UpstreamRequest, bound_text_tokens, hookimpl,
)


class Settings(BaseModel, extra="forbid"):
    base_url: str
    on_disconnect: str = "cancel"
    max_n: int | None = None


class BytesOnly:
    transport = None

    def __init__(self, name, settings):
        self.name = name
        self.url = settings.base_url + "/chat/completions"
        self.settings = settings

    def profile(self, target):
        settings = self.settings
        return Profile(max_choices=settings.max_n, media="bytes", on_disconnect=settings.on_disconnect)

    def media_urls(self, body):
        found = []
        for message in body["messages"]:
            for part in message["content"] if isinstance(message["content"], list) else ():
                value = part.get("image_url", {}).get("url") or part.get("file", {}).get("file_data")
                if value:
                    found.append(value)
        return found

    def prepare(self, call, target):
        call.dropped.append("nothing")
        body = {**call.body, "model": target.upstream}
        headers = {"content-type": "application/json"}
        request = UpstreamRequest(self.url, headers, orjson.dumps(body), stream=call.stream)
        return Attempt(request, ChatReader(call))

    def bound_input_tokens(self, body, target):
        return bound_text_tokens(body)


@hookimpl
def register_providers(register):
    register(ProviderKind("bytes_only", Settings, BytesOnly, ready=lambda settings: ""))
'''


@dataclass
class House:
    """media: a file server that the gateway may reach. bytes_only, plain: upstreams; `plain` fetches URLs itself."""

    gateway: RunningGateway
    media: FakeUpstream
    bytes_only: FakeUpstream
    plain: FakeUpstream

    def body(self, *parts: Any, **more: Any) -> dict[str, Any]:
        content = [{"type": "text", "text": "What is this?"}, *(parts or [self.image()])]
        return {"model": "bytes/model", "messages": [{"role": "user", "content": content}], **more}

    def image(self, path: str = "/a.png") -> dict[str, Any]:
        return {"type": "image_url", "image_url": {"url": self.media.url + path}}

    async def chat(self, body: dict[str, Any]) -> tuple[int, Any]:
        status, _, answer = await self.gateway.post("/v1/chat/completions", body)
        return status, orjson.loads(answer)

    async def held(self) -> int:
        """Credits that are still reserved, once what the gateway finishes by itself is done."""
        async with asyncio.timeout(30):
            while self.gateway.gateway._tasks:
                await asyncio.sleep(0.01)
        account = await self.gateway.gateway.stores.accounts.get_account(self.gateway.account.id)
        assert account is not None
        return account.held


@contextlib.asynccontextmanager
async def house(
    folder: Path, *, fetch: dict[str, Any] | None = None, total: str = "10s", **more: Any
) -> AsyncIterator[House]:
    (folder / "plugins").mkdir()
    (folder / "plugins" / "bytes_only.py").write_text(PLUGIN)
    async with FakeUpstream() as media, FakeUpstream() as bytes_only, FakeUpstream() as plain:
        media.reply(Reply([PNG], framing="length"))
        for upstream in (bytes_only, plain):
            upstream.reply(json_reply(openai_completion("A picture.")))
        config = upstream_config(plain.url, upstream={"total": total})
        config["plugins"] = {"dir": str(folder / "plugins")}
        config["providers"]["bytes"] = {"plugin": "bytes_only", "base_url": bytes_only.url, **more}
        config["models"]["bytes/model"] = config["models"]["fake/model"] | {"provider": "bytes", "upstream": "b"}
        config["aliases"] = {"either": ["bytes/model", "fake/model"], "other": ["fake/model", "bytes/model"]}
        config["fetch"] = {"enabled": True, "allow_hosts": [f"127.0.0.1:{port_of(media)}"], **(fetch or {})}
        async with running_gateway(folder, config) as gateway:
            yield House(gateway, media, bytes_only, plain)


async def test_bytes_in_the_place_of_a_url(tmp_path):
    async with house(tmp_path) as home:
        status, answer = await home.chat(home.body())
        assert (status, answer["choices"][0]["message"]["content"]) == (200, "A picture.")
        [request] = home.bytes_only.requests
        assert request.json == home.body({"type": "image_url", "image_url": {"url": INLINE}}, model="b")
        assert await home.held() == 0


async def test_streams_and_several_choices(tmp_path):
    async with house(tmp_path, max_n=1) as home:
        home.bytes_only.reply(Reply(openai_stream("A", " picture.")))
        _, _, answer = await home.gateway.post("/v1/chat/completions", home.body(stream=True, n=3))
        assert answer.endswith(b"data: [DONE]\n\n")
        assert len(home.media.requests) == 1
        home.bytes_only.reply(json_reply(openai_completion("A picture.")))
        assert len((await home.chat(home.body(n=3)))[1]["choices"]) == 3
        assert len(home.media.requests) == 2
        assert len(home.bytes_only.requests) == 6
        assert all(r.json["messages"][0]["content"][1]["image_url"]["url"] == INLINE for r in home.bytes_only.requests)


async def test_data_urls_need_no_fetching(tmp_path):
    async with house(tmp_path, fetch={"enabled": False}) as home:
        assert (await home.chat(home.body({"type": "image_url", "image_url": {"url": INLINE}})))[0] == 200
        assert (await home.chat(home.body({"type": "text", "text": home.media.url})))[0] == 200


async def test_each_url_once_over_retries_and_places(tmp_path):
    async with house(tmp_path) as home:
        home.bytes_only.queue(*[json_reply(openai_error("busy"), 503)] * 2)
        file = {"type": "file", "file": {"file_data": home.media.url + "/b.pdf", "filename": "b.pdf"}}
        assert (await home.chat(home.body(home.image(), file, home.image())))[0] == 200
        assert sorted(request.path for request in home.media.requests) == ["/a.png", "/b.pdf"]
        assert len(home.bytes_only.requests) == 3
        for request in home.bytes_only.requests:
            _, first, second, third = request.json["messages"][0]["content"]
            assert first["image_url"]["url"] == second["file"]["file_data"] == third["image_url"]["url"] == INLINE


async def test_other_targets_get_what_the_caller_sent(tmp_path):
    async with house(tmp_path) as home:
        home.bytes_only.reply(json_reply(openai_error("no"), 500))
        assert (await home.chat(home.body(model="either")))[0] == 200
        [request] = home.plain.requests
        assert request.json["messages"] == home.body()["messages"]
        # And the other way round: fetched only when its turn comes.
        home.media.requests.clear()
        home.bytes_only.requests.clear()
        home.bytes_only.reply(json_reply(openai_completion("A picture.")))
        assert (await home.chat(home.body(model="other")))[0] == 200
        assert home.media.requests == []
        home.plain.reply(json_reply(openai_error("no"), 500))
        assert (await home.chat(home.body(model="other")))[0] == 200
        assert len(home.media.requests) == 1
        assert home.bytes_only.requests[0].json["messages"][0]["content"][1]["image_url"]["url"] == INLINE


async def test_providers_without_the_method_are_left_alone(tmp_path):
    async with house(tmp_path) as home:
        assert (await home.chat(home.body(model="fake/model")))[0] == 200
        assert home.media.requests == []
        assert home.plain.requests[0].json["messages"] == home.body()["messages"]


@pytest.mark.parametrize("stream", [False, True])
async def test_disabled(tmp_path, stream):
    async with house(tmp_path, fetch={"enabled": False}) as home:
        status, answer = await home.chat(home.body(stream=stream))
        error = answer["error"]
        path = "messages[0].content[1].image_url.url"
        assert (status, error["code"], error["param"]) == (400, "media_fetch_disabled", path)
        assert "data: URL" in error["message"]
        assert "`fetch`" in error["message"]
        assert home.media.requests == home.bytes_only.requests == []
        assert await home.held() == 0


@pytest.mark.parametrize(
    ("url", "code"),
    [
        ("http://127.0.0.1/", "media_fetch_refused"),
        ("http://[::ffff:127.0.0.1]/", "media_fetch_refused"),
        ("http://169.254.169.254/latest/meta-data/", "media_fetch_refused"),
        ("http://localhost/", "media_fetch_refused"),
        ("{media}/moved", "media_fetch_refused"),
        ("{media}/page", "media_type_unsupported"),
        ("{media}/gone", "media_fetch_failed"),
        ("{media}/large", "media_too_large"),
        ("{plain}/v1/models", "media_fetch_refused"),
    ],
)
async def test_refusals_name_the_field(tmp_path, url, code):
    def serve(request):
        if request.path == "/moved":
            return Reply([], 302, {"location": home.plain.url + "/secret"}, framing="length")
        if request.path == "/gone":
            return Reply([PNG], 404, framing="length")
        return Reply([PNG + bytes(1000) if request.path == "/large" else b"<html>secret"], framing="length")

    async with house(tmp_path, fetch={"max_size": 500}) as home:
        home.media.answer(serve)
        url = url.format(media=home.media.url, plain=home.plain.url)
        bad = {"type": "image_url", "image_url": {"url": url}}
        status, answer = await home.chat(home.body({"type": "image_url", "image_url": {"url": INLINE}}, bad))
        path = "messages[0].content[2].image_url.url"
        assert (status, answer["error"]["code"], answer["error"]["param"]) == (400, code, path)
        assert "127.0.0.1" not in answer["error"]["message"]
        assert "secret" not in answer["error"]["message"]
        assert home.plain.requests == home.bytes_only.requests == []
        assert await home.held() == 0


async def test_one_bad_url_stops_the_others(tmp_path):
    async with house(tmp_path) as home:
        home.media.answer(lambda request: Reply([Stall()] if request.path == "/a" else [b"<html>"], framing="chunked"))
        status, answer = await home.chat(home.body(home.image("/a"), home.image("/b")))
        assert (status, answer["error"]["param"]) == (400, "messages[0].content[2].image_url.url")
        for request in home.media.requests:
            await request.wait_closed()


async def test_too_many(tmp_path):
    async with house(tmp_path, fetch={"max_per_request": 2}) as home:
        assert (await home.chat(home.body(*[home.image("/a"), home.image("/b")] * 3)))[0] == 200
        status, answer = await home.chat(home.body(*(home.image(f"/{i}") for i in range(3))))
        assert (status, answer["error"]["code"]) == (400, "media_too_many")
        assert answer["error"]["param"] == "messages[0].content[3].image_url.url"
        assert len(home.media.requests) == 2


async def test_the_whole_call_has_one_deadline(tmp_path):
    async with house(tmp_path, total="300ms") as home:
        home.media.reply(Reply([Stall()], framing="raw"))
        status, answer = await home.chat(home.body())
        assert (status, answer["error"]["code"]) == (504, "upstream_total_timeout")
        await home.media.requests[0].wait_closed()


@pytest.mark.parametrize("policy", ["cancel", "drain"])
@pytest.mark.parametrize("stream", [False, True])
async def test_leaving_aborts_the_fetch(tmp_path, policy, stream):
    async with house(tmp_path, on_disconnect=policy) as home:
        home.media.reply(Reply([Stall()], framing="raw"))
        async with aiohttp.ClientSession() as session:
            asking = asyncio.create_task(
                session.post(
                    home.gateway.url + "/v1/chat/completions",
                    json=home.body(stream=stream),
                    headers={"Authorization": f"Bearer {home.gateway.key}"},
                )
            )
            [request] = await home.media.wait_for_requests(1)
            asking.cancel()
            await asyncio.gather(asking, return_exceptions=True)
        await request.wait_closed()
        assert await home.held() == 0
        assert home.bytes_only.requests == []
