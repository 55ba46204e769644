"""What every provider must do inside a running gateway, as a test class that a plugin's own tests inherit.

    class TestInTheGateway(LiveProviderContract):
        transcripts = Path(__file__).parent.parent / "transcripts"
        plugins = {"mine": my_plugin}

        def section(self, base_url):
            return {"plugin": "mine", "base_url": base_url, "api_key": "sk-secret-value"}

A fake upstream plays the transcripts; no network and no key is needed.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, ClassVar

import orjson
import pytest

from gateway.testing.client import Client, ClientAnswer
from gateway.testing.running import CREDITS, running_gateway, upstream_config
from gateway.testing.streams import openai_error
from gateway.testing.transcripts import Transcript, load_transcripts
from gateway.testing.upstream import PATIENCE, FakeUpstream, Reply, Stall, json_reply, random_slices

_MODEL = "live/model"
_TOOL = {
    "type": "function",
    "function": {"name": "weather", "parameters": {"type": "object", "properties": {"city": {"type": "string"}}}},
}
_UNKNOWN = "a_member_that_nobody_knows"


class LiveProviderContract:
    """Inherit and set `transcripts`, `plugins` and `section`.

    plugins: name -> module or class, of what is not installed. upstream: the model's name at the provider.
    drains: the provider reads on when its caller leaves (`Profile.on_disconnect`).
    """

    transcripts: ClassVar[Path]
    plugins: ClassVar[Mapping[str, object]] = {}
    upstream: ClassVar[str] = "model"
    drains: ClassVar[bool] = False

    def section(self, base_url: str) -> dict[str, Any]:
        """The provider's section of the YAML, for an upstream at this address."""
        raise NotImplementedError

    async def test_a_plain_answer_and_its_bill(self, tmp_path: Path) -> None:
        async with self._site(tmp_path) as (client, upstream):
            for transcript in self._those(streamed=False):
                upstream.reply(_play(transcript))
                answer = await client.chat("Hello!", model=_MODEL)
                assert answer.status == 200, answer.body
                assert answer.json["choices"], transcript.id
                assert answer.json["model"] == _MODEL, transcript.id
                self._check_usage(answer.json["usage"], transcript)
            await _check_books(client)

    async def test_a_stream_and_its_bill(self, tmp_path: Path) -> None:
        async with self._site(tmp_path) as (client, upstream):
            for transcript in self._those(streamed=True):
                told = []
                for seed in (None, 1, 2):
                    upstream.reply(_play(transcript, seed))
                    answer = await client.chat("Hello!", model=_MODEL, stream=True, stream_options=_USAGE)
                    assert answer.status == 200, answer.body
                    assert answer.body.endswith(b"data: [DONE]\n\n"), transcript.id
                    self._check_usage(answer.events[-1]["usage"], transcript)
                    told.append((answer.text, _calls(answer)))
                assert told[0] == told[1] == told[2], transcript.id
            await _check_books(client)

    async def test_tools(self, tmp_path: Path) -> None:
        """A function that is offered reaches the upstream, or the caller is told that it does not; calls come whole."""
        async with self._site(tmp_path) as (client, upstream):
            for transcript in self._those(streamed=False):
                upstream.reply(_play(transcript))
                answer = await client.chat("Weather?", model=_MODEL, tools=[_TOOL])
                if answer.status == 400:
                    assert "tools" in answer.json["error"]["message"]
                    return
                dropped = answer.headers.get("x-gateway-dropped-params", "")
                assert b"weather" in upstream.requests[-1].body or "tools" in dropped
                for call in answer.json["choices"][0]["message"].get("tool_calls") or ():
                    assert call["id"]
                    assert isinstance(orjson.loads(call["function"]["arguments"]), dict), transcript.id

    async def test_unknown_members_survive_or_are_named(self, tmp_path: Path) -> None:
        async with self._site(tmp_path) as (client, upstream):
            upstream.reply(_play(self._those(streamed=False)[0]))
            answer = await client.chat("Hello!", model=_MODEL, **{_UNKNOWN: 1})
            assert answer.status == 200, answer.body
            dropped = answer.headers.get("x-gateway-dropped-params", "")
            assert (_UNKNOWN.encode() in upstream.requests[-1].body) != (_UNKNOWN in dropped)

    async def test_errors_of_the_upstream_are_told_as_errors(self, tmp_path: Path) -> None:
        async with self._site(tmp_path) as (client, upstream):
            replies = [_play(transcript) for transcript in self._all() if transcript.status >= 400]
            replies += [json_reply(openai_error(), status) for status in (401, 403, 429, 500, 529)]
            replies += [Reply([b"HTTP/9 what"], framing="raw"), json_reply(b"<html>"), json_reply(b"", 500)]
            for reply in replies:
                for stream in (False, True):
                    upstream.reply(reply)
                    answer = await client.chat("Hello!", model=_MODEL, stream=stream)
                    assert answer.status >= 400, answer.body
                    assert answer.json["error"]["message"]
            await _check_books(client, spent=0)

    async def test_a_caller_who_leaves(self, tmp_path: Path) -> None:
        """The upstream connection is closed at once, unless the provider drains; nothing stays held."""
        streams = self._those(streamed=True)
        async with self._site(tmp_path) as (client, upstream):
            begun = streams[0].body[: len(streams[0].body) // 2]
            upstream.reply(Reply([begun, Stall()]))
            gateway = client.gateway
            body = {"model": _MODEL, "messages": [{"role": "user", "content": "Hi"}], "stream": True}
            headers = {"Authorization": f"Bearer {gateway.key}"}
            path = gateway.url + "/v1/chat/completions"
            async with gateway.session.post(path, json=body, headers=headers) as answer:
                assert answer.status == 200
                await answer.content.readany()
            if not self.drains:
                async with asyncio.timeout(PATIENCE):
                    await upstream.requests[0].closed.wait()
                await _check_books(client)

    # Helpers.

    def _all(self) -> list[Transcript]:
        return load_transcripts(self.transcripts)

    def _those(self, *, streamed: bool) -> list[Transcript]:
        found = [one for one in self._all() if one.streamed is streamed and one.status == 200]
        if not found:
            pytest.skip(f"no recorded {'streams' if streamed else 'answers'}")
        return found

    @asynccontextmanager
    async def _site(self, folder: Path) -> AsyncIterator[tuple[Client, FakeUpstream]]:
        async with FakeUpstream() as upstream:
            config = upstream_config(
                upstream.url + "/v1",
                providers={"live": self.section(upstream.url + "/v1")},
                models={_MODEL: {**_PRICED, "provider": "live", "upstream": self.upstream}},
                upstream={"backoff": "1ms", "max_backoff": "2ms", "retries": 1},
            )
            async with running_gateway(folder, config, plugins=self.plugins) as running:
                yield Client(running), upstream

    def _check_usage(self, usage: Mapping[str, Any], transcript: Transcript) -> None:
        """Counts that can be billed, with what they cost."""
        for name in ("prompt_tokens", "completion_tokens", "total_tokens", "cost"):
            assert isinstance(usage[name], int), f"{transcript.id}: usage.{name}"
        assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"], transcript.id


_USAGE = {"include_usage": True}
_PRICED = {"price": {"input": 1, "output": 2}, "context": 128_000, "max_output": 4096}


def _play(transcript: Transcript, seed: int | None = None) -> Reply:
    """The recorded answer, in pieces of random sizes when there is a seed."""
    pieces = [transcript.body] if seed is None else list(random_slices(transcript.body, seed))
    kind = "text/event-stream" if transcript.streamed else "application/json"
    return Reply(pieces, transcript.status, media_type=kind)


def _calls(answer: ClientAnswer) -> list[str]:
    """Names and arguments of the tool calls of a stream, as far as they came, in order."""
    deltas = [choice["delta"] for event in answer.events for choice in event.get("choices", ())]
    calls = [call.get("function") or {} for delta in deltas for call in delta.get("tool_calls") or ()]
    return ["".join(call.get(part) or "" for call in calls) for part in ("name", "arguments")]


async def _check_books(client: Client, spent: int | None = None) -> None:
    """Nothing is held any more, and every sum is right. spent: credits that were charged in all, None for any."""
    gateway = client.gateway.gateway
    async with asyncio.timeout(PATIENCE):
        while gateway.runtime.users:  # noqa: ASYNC110 - a caller who left is billed by a task of the process
            await asyncio.sleep(0.005)
    account = await gateway.stores.accounts.get_account(client.gateway.account.id)
    assert account is not None
    assert account.held == 0
    assert spent is None or CREDITS - account.balance == spent
    assert await gateway.stores.check() == []
