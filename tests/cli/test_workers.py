"""`gateway serve --workers N`: several processes on one port, one truth."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import sys
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import orjson
import pytest

CONFIG = """
server: {drain: 5s}
providers: {echo: {plugin: echo}}
models: {echo/echo: {price: {input: 1, output: 2}, context: 8000, max_output: 1000}}
default_model: echo/echo
"""
HELLO = {"messages": [{"role": "user", "content": "Hello!"}], "max_tokens": 20}


@dataclass
class Served:
    process: asyncio.subprocess.Process
    url: str
    key: str

    def workers(self) -> list[int]:
        """Process ids of the workers."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text()
        return [int(pid) for pid in children.split()]


@asynccontextmanager
async def served(folder: Path, workers: int) -> AsyncIterator[Served]:
    (folder / "config.yaml").write_text(CONFIG)
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "gateway", "serve", "--config", str(folder / "config.yaml")),
        *("--port", "0", "--workers", str(workers)),
        env={**os.environ, "GATEWAY_DATA": str(folder / "data")},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    assert process.stdout is not None
    try:
        async with asyncio.timeout(20):
            greeting = ""
            while "-d '" not in greeting:
                greeting += (await process.stdout.readline()).decode()
            url = re.search(r"http://[\d.:]+", greeting)
            key = re.search(r"mghp_\w+", greeting)
            assert url is not None
            assert key is not None
            one = Served(process, url.group(), key.group())
            while len(one.workers()) < workers:
                await asyncio.sleep(0.05)
        yield one
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGTERM)
            try:
                async with asyncio.timeout(30):
                    await process.wait()
            finally:
                if process.returncode is None:
                    process.kill()


async def ask(session: aiohttp.ClientSession, gateway: Served) -> int:
    headers = {"Authorization": f"Bearer {gateway.key}", "Connection": "close"}
    async with session.post(gateway.url + "/v1/chat/completions", json=HELLO, headers=headers) as answer:
        await answer.read()
        return answer.status


@pytest.mark.slow
async def test_the_rate_window_is_exact_over_all_workers_and_a_dead_one_is_replaced(tmp_path: Path) -> None:
    async with served(tmp_path, 3) as gateway:
        async with aiohttp.ClientSession() as session:
            statuses = Counter(await asyncio.gather(*(ask(session, gateway) for _ in range(90))))
            assert statuses == {200: 60, 429: 30}

            before = set(gateway.workers())
            assert len(before) == 3
            victim = before.pop()
            os.kill(victim, signal.SIGKILL)
            async with asyncio.timeout(30):
                while victim in gateway.workers() or len(gateway.workers()) < 3:
                    await asyncio.sleep(0.05)
                # The replaced worker remembers the window, too: it is not its own.
                assert await ask(session, gateway) == 429

        gateway.process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(30):
            assert await gateway.process.wait() == 0


@pytest.mark.slow
async def test_one_scrape_shows_all_workers_and_forgets_none_that_died(tmp_path: Path) -> None:
    async with served(tmp_path, 2) as gateway, aiohttp.ClientSession() as session:

        async def answered() -> float:
            async with session.get(gateway.url + "/metrics", headers={"Connection": "close"}) as page:
                text = await page.text()
            found = re.findall(r'gateway_requests_total\{.*route="/v1/chat/completions".*\} ([0-9.]+)', text)
            return sum(map(float, found))

        assert await asyncio.gather(*(ask(session, gateway) for _ in range(20))) == [200] * 20
        assert {await answered() for _ in range(6)} == {20.0}, "whoever answers the scrape"
        before = gateway.workers()
        os.kill(before[0], signal.SIGKILL)
        async with asyncio.timeout(30):
            while before[0] in gateway.workers() or len(gateway.workers()) < 2:
                await asyncio.sleep(0.05)
            assert {await answered() for _ in range(6)} == {20.0}
            assert await ask(session, gateway) == 200
            assert await answered() == 21.0


@pytest.mark.slow
async def test_workers_end_with_a_supervisor_that_was_killed(tmp_path: Path) -> None:
    async with served(tmp_path, 2) as gateway:
        workers = gateway.workers()
        os.kill(gateway.process.pid, signal.SIGKILL)
        await gateway.process.wait()
        async with asyncio.timeout(15):
            while any(Path(f"/proc/{worker}").exists() for worker in workers):
                await asyncio.sleep(0.05)


@pytest.mark.slow
async def test_a_worker_that_is_told_to_stop_refuses_nothing_that_another_can_take(tmp_path: Path) -> None:
    async with served(tmp_path, 2) as gateway, aiohttp.ClientSession() as session:
        one = gateway.workers()[0]
        asked = [asyncio.ensure_future(ask(session, gateway)) for _ in range(5)]
        os.kill(one, signal.SIGTERM)
        while Path(f"/proc/{one}").exists() and one in gateway.workers():
            asked.append(asyncio.ensure_future(ask(session, gateway)))
            await asyncio.sleep(0.02)
        statuses = await asyncio.gather(*asked[:50])
        assert set(statuses) == {200}


async def reload(folder: Path, *words: str) -> tuple[int | None, str]:
    """Exit status and all output of `gateway reload`."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "gateway", "reload", "--config", str(folder / "config.yaml"), *words),
        env={**os.environ, "GATEWAY_DATA": str(folder / "data")},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    said, _ = await process.communicate()
    return process.returncode, said.decode()


@pytest.mark.slow
async def test_a_reload_says_what_came_of_it_in_all_workers(tmp_path: Path) -> None:
    async with served(tmp_path, 2):
        file = tmp_path / "config.yaml"
        status, said = await reload(tmp_path)
        assert (status, f"reloaded {file} in 2 processes" in said) == (0, True), said
        await asyncio.to_thread(file.write_text, CONFIG + "modles: {}\n")
        status, said = await reload(tmp_path)
        assert status == 2
        assert f"{file}:6: modles: unknown key; did you mean models?" in said
        assert "the configuration of before stays" in said
        status, said = await reload(tmp_path, "--json")
        assert (status, orjson.loads(said)["ok"]) == (2, False)
