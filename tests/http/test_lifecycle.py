"""Starting, reloading, draining and stopping a gateway while it serves."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import orjson
import pytest

from gateway.errors import ConfigFault
from gateway.http.server.service import Service
from gateway.testing import (
    DONE_EVENT,
    FakeUpstream,
    Hold,
    Reply,
    Stall,
    chunk,
    json_reply,
    openai_completion,
    openai_stream,
    sse,
    upstream_config,
)

FIRST = sse(chunk({"content": "Hello"}))
FINE = json_reply(openai_completion("Hi"))


async def rewrite(site: Any, **sections: Any) -> None:
    path = site.running.config_path
    config = orjson.loads(await asyncio.to_thread(path.read_bytes))
    for name, section in sections.items():
        config[name] = {**config.get(name, {}), **section}
    await asyncio.to_thread(path.write_bytes, orjson.dumps(config, option=orjson.OPT_INDENT_2))


# Reload


async def test_a_reload_brings_a_new_model_and_running_streams_go_on(site: Any) -> None:
    go = asyncio.Event()
    site.upstream.reply(Reply([FIRST, Hold(go), *openai_stream("!")[2:]]))
    client = await site.begin(stream=True)
    await client.head()
    old = site.running.gateway.runtime
    assert (await site.ask(model="fake/new")).status == 404
    await rewrite(site, models={"fake/new": {"provider": "fake", "price": {"input": 1, "output": 1}}})
    await site.running.gateway.reload()
    assert site.running.gateway.runtime is not old
    assert old.users == 1
    site.upstream.queue(FINE)
    assert (await site.ask(model="fake/new")).status == 200
    go.set()
    body = b"".join([part async for part in client.chunks()])
    assert body.endswith(DONE_EVENT)
    await site.rest()
    assert old.users == 0
    assert any(line["message"] == "configuration reloaded" for line in site.log)


async def test_an_invalid_configuration_changes_nothing_and_says_why(site: Any) -> None:
    site.upstream.reply(FINE)
    old = site.running.gateway.runtime
    await rewrite(site, server={"drain": "soon", "prot": 1}, models={"fake/bad": {"provider": "nobody", "free": True}})
    with pytest.raises(ConfigFault) as caught:
        await site.running.gateway.reload()
    assert len(caught.value.problems) == 3
    assert all(re.match(r".*config\.yaml:\d+: ", problem) for problem in caught.value.problems)
    assert site.running.gateway.runtime is old
    assert (await site.ask()).status == 200


async def test_what_cannot_change_while_running_is_refused(site: Any) -> None:
    await rewrite(site, server={"port": 1})
    with pytest.raises(ConfigFault, match="port"):
        await site.running.gateway.reload()


async def test_a_plugin_that_fails_to_start_leaves_the_old_configuration(serve: Any, tmp_path: Path) -> None:
    site = await serve()
    site.noisy = True
    folder = tmp_path / "plugins"
    folder.mkdir()
    text = "from gateway.api import hookimpl\n\n@hookimpl\nasync def start_up(app):\n    raise RuntimeError('no')\n"
    await asyncio.to_thread((folder / "bad.py").write_text, text)
    await rewrite(site, plugins={"dir": str(folder)})
    old = site.running.gateway.runtime
    with pytest.raises(RuntimeError):
        await site.running.gateway.reload()
    assert site.running.gateway.runtime is old
    site.upstream.reply(FINE)
    assert (await site.ask()).status == 200


async def test_many_reloads_under_load_lose_no_request(site: Any) -> None:
    site.upstream.answer(lambda _: json_reply(openai_completion("Hi"), delay=0.005))

    async def load() -> None:
        for _ in range(15):
            assert (await site.ask()).status == 200

    async def reload() -> None:
        for _ in range(5):
            await site.running.gateway.reload()

    await asyncio.gather(load(), load(), load(), reload())
    assert len(await site.rows()) == 45


# Drain, in process


async def test_a_drain_turns_new_calls_away_and_lets_running_ones_finish(serve: Any) -> None:
    site = await serve(server={"drain": "5s"})
    go = asyncio.Event()
    site.upstream.reply(Reply([FIRST, Hold(go), *openai_stream("!")[2:]]))
    client = await site.begin(stream=True)
    await client.head()
    assert (await site.get("/readyz")).status == 200
    drain = asyncio.ensure_future(site.running.service.drain())
    await asyncio.sleep(0)
    ready = await site.get("/readyz")
    assert (ready.status, ready.json["reasons"]) == (503, ["draining"])
    assert (await site.get("/healthz")).status == 200
    answer = await site.ask()
    assert (answer.status, answer.error["code"]) == (503, "draining")
    assert answer.headers["retry-after"] == "1"
    assert answer.headers["connection"] == "close"
    assert not drain.done()
    go.set()
    body = b"".join([part async for part in client.chunks()])
    assert body.endswith(DONE_EVENT)
    await asyncio.wait_for(drain, 30)


async def test_a_worker_that_drains_hears_who_is_connected_already(site: Any) -> None:
    """A connection that was accepted a moment ago has its request on its way, and no other worker can take it."""
    ask = b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n"
    async with asyncio.timeout(60), AsyncExitStack() as stack:
        listening = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        listening.setblocking(False)
        service = Service(site.running.gateway, listening=listening)
        await service.start()
        stack.push_async_callback(service.close)
        used, begun = await asyncio.open_connection(*service.address)
        stack.callback(begun.close)
        begun.write(ask)
        await used.readuntil(b"\r\n\r\n")
        fresh, writer = await asyncio.open_connection(*service.address)
        stack.callback(writer.close)
        assert service._server is not None
        while len(service._server.connections) < 2:
            await asyncio.sleep(0)
        drain = asyncio.ensure_future(service.drain())
        await used.read()
        assert used.at_eof(), "an idle one is closed"
        writer.write(ask)
        answer = await fresh.read()
        assert answer.startswith(b"HTTP/1.1 200 ")
        assert b"connection: close" in answer.lower()
        await drain


async def test_before_it_drains_it_serves_on_until_balancers_have_looked_away(serve: Any) -> None:
    site = await serve(server={"drain_delay": "1h"})
    service = site.running.service
    drain = asyncio.ensure_future(service.drain())
    await asyncio.sleep(0)
    assert (await site.get("/readyz")).json["reasons"] == ["draining"]
    for stream in (False, True):
        site.upstream.reply(Reply(openai_stream("!")) if stream else FINE)
        answer = await site.ask(stream=stream)
        assert (answer.status, answer.headers["connection"]) == (200, "close")
    service.request_stop()
    service.request_stop()
    await asyncio.wait_for(drain, 30)
    assert (await site.ask()).error["code"] == "draining"


@pytest.mark.parametrize("stream", [False, True])
async def test_what_outlasts_the_drain_ends_with_an_error(serve: Any, stream: bool) -> None:
    site = await serve(server={"drain": "50ms"})
    site.upstream.reply(
        Reply([FIRST if stream else b"{", Stall()], media_type="text/event-stream" if stream else "application/json")
    )
    client = await site.begin(stream=stream)
    await site.upstream.wait_for_requests(1)
    await asyncio.sleep(0.02)
    await asyncio.wait_for(site.running.service.drain(), 1)
    answer = await client.answer()
    error = answer.events[-1]["error"] if stream else answer.error
    assert (error["type"], error["code"]) == ("overloaded", "draining")
    assert answer.status == (200 if stream else 503)
    assert b"[DONE]" not in answer.body
    row = await site.row()
    assert (row.row.status, row.row.error) == (503, "draining")
    assert (row.credits > 0) is stream
    await site.upstream.requests[0].wait_closed()


async def test_a_second_signal_does_not_wait(serve: Any) -> None:
    site = await serve(server={"drain": "10m"})
    site.upstream.reply(Reply([FIRST, Stall()]))
    client = await site.begin(stream=True)
    await client.head()
    service = site.running.service
    service.request_stop()
    drain = asyncio.ensure_future(service.drain())
    await asyncio.sleep(0.03)
    assert not drain.done()
    service.request_stop()
    await asyncio.wait_for(drain, 30)
    assert (await site.row()).row.error == "draining"


async def test_a_reader_who_stands_still_cannot_hold_up_the_stop(serve: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    import gateway.http.streaming.sse_response

    monkeypatch.setattr(gateway.http.streaming.sse_response, "LAST_BYTES", 0.1)
    site = await serve(server={"drain": "50ms"})
    site.upstream.reply(Reply([sse(chunk({"content": "x" * 16_000}))] * 3000))
    client = await site.begin(stream=True)
    await client.head()
    client.writer.transport.pause_reading()
    await asyncio.sleep(0.1)
    await asyncio.wait_for(site.running.service.drain(), 2)
    await site.rest(1)


# The real command


@asynccontextmanager
async def command(folder: Path, config: dict[str, Any], *more: str) -> AsyncIterator[tuple[Any, str, str, Path]]:
    """`gateway serve` as a process of its own; yields it, its address, the first key, and its log."""
    path = folder / "config.yaml"
    log = folder / "log"
    await asyncio.to_thread(path.write_bytes, orjson.dumps(config))
    with await asyncio.to_thread(log.open, "wb") as errors:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "gateway", "serve", "--config", str(path), "--port", "0", *more),
            env={**os.environ, "GATEWAY_DATA": str(folder / "data")},
            stdout=asyncio.subprocess.PIPE,
            stderr=errors,
        )
        try:
            assert process.stdout is not None
            greeting = b""
            async with asyncio.timeout(20):
                while b"-d '" not in greeting:
                    line = await process.stdout.readline()
                    assert line, (greeting, await asyncio.to_thread(log.read_text))
                    greeting += line
            text = greeting.decode()
            url = re.search(r"http://\S+?:\d+", text)
            key = re.search(r"mghp_\S+", text)
            assert url
            assert key
            yield process, url[0], key[0], log
        finally:
            if process.returncode is None:
                process.kill()
            await process.wait()
            process._transport.close()  # type: ignore[attr-defined]


async def lines(log: Path) -> list[dict[str, Any]]:
    return [orjson.loads(line) for line in (await asyncio.to_thread(log.read_text)).splitlines()]


async def until(log: Path, message: str) -> None:
    async with asyncio.timeout(30):
        while message not in await asyncio.to_thread(log.read_text):
            await asyncio.sleep(0.01)


@pytest.mark.slow
async def test_the_command_greets_reloads_drains_and_leaves(tmp_path: Path, fake_upstream: FakeUpstream) -> None:
    go = asyncio.Event()
    config = upstream_config(fake_upstream.url + "/v1", server={"drain": "20s"})
    async with command(tmp_path, config) as (process, url, key, log), aiohttp.ClientSession() as session:
        headers = {"Authorization": f"Bearer {key}"}
        body = {"messages": [{"role": "user", "content": "Hi"}]}

        # A reload with a fault changes nothing; one without brings the new model.
        path = tmp_path / "config.yaml"
        await asyncio.to_thread(path.write_bytes, orjson.dumps({**config, "server": {"drain": "never"}}))
        process.send_signal(signal.SIGHUP)
        await until(log, "configuration not reloaded")
        assert "config.yaml:1: server.drain: " in await asyncio.to_thread(log.read_text)
        config["models"]["fake/new"] = {"provider": "fake", "free": True}
        await asyncio.to_thread(path.write_bytes, orjson.dumps(config))
        process.send_signal(signal.SIGHUP)
        await until(log, "configuration reloaded")
        fake_upstream.queue(FINE)
        async with session.post(
            url + "/v1/chat/completions", json={**body, "model": "fake/new"}, headers=headers
        ) as answer:
            assert answer.status == 200

        # A stop lets the running stream finish.
        fake_upstream.reply(Reply([FIRST, Hold(go), *openai_stream("!")[2:]]))
        async with session.post(url + "/v1/chat/completions", json={**body, "stream": True}, headers=headers) as answer:
            assert answer.status == 200
            process.send_signal(signal.SIGTERM)
            await until(log, "draining")
            async with session.get(url + "/readyz") as ready:
                assert ready.status == 503
            go.set()
            assert (await answer.read()).endswith(DONE_EVENT)
        assert await asyncio.wait_for(process.wait(), 5) == 0
    assert not (tmp_path / "data" / "gateway.pid").exists()
    assert [line["status"] for line in await lines(log) if line["logger"] == "requests"] == [200, 503, 200]
    assert key not in await asyncio.to_thread(log.read_text)


@pytest.mark.slow
async def test_over_time_and_a_second_signal(tmp_path: Path, fake_upstream: FakeUpstream) -> None:
    fake_upstream.reply(Reply([FIRST, Stall()]))
    config = upstream_config(fake_upstream.url + "/v1", server={"drain": "60s"})
    async with command(tmp_path, config) as (process, url, key, log), aiohttp.ClientSession() as session:
        headers = {"Authorization": f"Bearer {key}"}
        body = {"messages": [{"role": "user", "content": "Hi"}], "stream": True}
        async with session.post(url + "/v1/chat/completions", json=body, headers=headers) as answer:
            await answer.content.readuntil(b"\n\n")
            process.send_signal(signal.SIGTERM)
            await until(log, "draining")
            process.send_signal(signal.SIGINT)
            rest = await answer.read()
        assert b'"code":"draining"' in rest
        assert b"[DONE]" not in rest
        assert await asyncio.wait_for(process.wait(), 5) == 0


@pytest.mark.slow
async def test_a_taken_port_is_said_in_one_line(tmp_path: Path, fake_upstream: FakeUpstream) -> None:
    path = tmp_path / "config.yaml"
    await asyncio.to_thread(path.write_bytes, orjson.dumps(upstream_config(fake_upstream.url)))
    port = fake_upstream.url.rpartition(":")[2]
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "gateway", "serve", "--config", str(path), "--port", port),
        env={**os.environ, "GATEWAY_DATA": str(tmp_path / "data")},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await asyncio.wait_for(process.communicate(), 20)
    assert process.returncode == 1
    assert b"cannot listen on 127.0.0.1, port %b: " % port.encode() in err
    assert b"Traceback" not in err
    assert b"API key" not in out


async def test_a_stop_does_not_wait_for_answers_that_are_drained_for_nobody(serve: Any) -> None:
    site = await serve(server={"drain": "80ms"}, upstream={"drain": "60s"})
    await rewrite(
        site,
        providers={
            "fake": {**upstream_config(site.upstream.url + "/v1")["providers"]["fake"], "on_disconnect": "drain"}
        },
    )
    await site.running.gateway.reload()
    site.upstream.reply(Reply([FIRST, Stall()]))
    clients = [await site.begin(stream=True), await site.begin()]
    await site.upstream.wait_for_requests(2)
    await clients[0].head()
    for client in clients:
        client.abort()
    await asyncio.sleep(0.02)
    await asyncio.wait_for(site.running.service.drain(), 1)
    await site.rest(1)
    rows = await site.rows()
    assert {row.row.status for row in rows} == {499}
    assert all(row.credits > 0 for row in rows), "both had reached the provider"
    for received in site.upstream.requests:
        await received.wait_closed()


async def test_a_stop_also_ends_what_is_no_call_of_a_model(serve: Any, tmp_path: Path) -> None:
    folder = tmp_path / "plugins"
    folder.mkdir()
    text = """
import asyncio
from gateway.api import hookimpl

async def wait(context):
    await asyncio.Event().wait()

@hookimpl
def register_routes(router):
    router.add("GET", "/wait", wait)
"""
    await asyncio.to_thread((folder / "waiting.py").write_text, text)
    site = await serve(server={"drain": "50ms"}, plugins={"dir": str(folder)})
    client = await site.connect()
    await client.send(site.head_of(path="/v1/wait", method="GET"))
    await asyncio.sleep(0.02)
    await asyncio.wait_for(site.running.service.drain(), 1)
    assert (await client.answer()).error["code"] == "draining"


async def test_secrets_of_an_earlier_configuration_stay_masked(site: Any) -> None:
    fake = upstream_config(site.upstream.url + "/v1")["providers"]["fake"]
    for key in ("first-upstream-key", "second-upstream-key"):
        await rewrite(site, providers={"fake": {**fake, "api_key": key}})
        await site.running.gateway.reload()
    site.running.gateway.log.info("first-upstream-key second-upstream-key")
    assert site.log[-1]["message"] == "[redacted] [redacted]", "requests of the old configuration may still run"


async def test_it_is_not_ready_before_the_first_key_was_shown(site: Any) -> None:
    site.running.gateway.introducing = True
    answer = await site.get("/readyz")
    assert (answer.status, answer.json["reasons"]) == (503, ["starting"])
    site.running.gateway.introducing = False
    assert (await site.get("/readyz")).status == 200
