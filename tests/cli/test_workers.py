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

from gateway.cli import main

LIMIT = 60.0
"""Seconds for what must come; a busy machine may take its time."""
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

    async def replaced(self, one: int, workers: int) -> None:
        """Wait until a process that was told to end is gone, and there are as many workers as before."""
        async with asyncio.timeout(LIMIT):
            while one in self.workers() or len(self.workers()) < workers:
                await asyncio.sleep(0.05)


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
        async with asyncio.timeout(LIMIT):
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
                async with asyncio.timeout(LIMIT):
                    await process.wait()
            finally:
                if process.returncode is None:
                    process.kill()


async def ask(session: aiohttp.ClientSession, gateway: Served) -> int:
    headers = {"Authorization": f"Bearer {gateway.key}", "Connection": "close"}
    async with session.post(gateway.url + "/v1/chat/completions", json=HELLO, headers=headers) as answer:
        await answer.read()
        return answer.status


async def answered(session: aiohttp.ClientSession, gateway: Served) -> set[float]:
    """How many calls were answered, as several scrapes in a row tell it, whichever worker takes each."""
    found = set()
    for _ in range(6):
        async with session.get(gateway.url + "/metrics", headers={"Connection": "close"}) as page:
            text = await page.text()
        counts = re.findall(r'gateway_requests_total\{.*route="/v1/chat/completions".*\} ([0-9.]+)', text)
        found.add(sum(map(float, counts)))
    return found


@pytest.mark.slow
@pytest.mark.blocking_allowed  # the command beside the event loop
async def test_several_processes_are_one_gateway(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """One window, one scrape, one configuration; a worker that ends takes nothing with it. All in one test, because
    each start of a process costs more than everything that is asked of it."""
    monkeypatch.setenv("GATEWAY_DATA", str(tmp_path / "data"))
    async with served(tmp_path, 3) as gateway, aiohttp.ClientSession() as session:
        # The rate window is exact over all of them, and so is the scrape.
        statuses = Counter(await asyncio.gather(*(ask(session, gateway) for _ in range(90))))
        assert statuses == {200: 60, 429: 30}
        assert await answered(session, gateway) == {90.0}

        # The replacement of a dead one remembers the window, which is not its own, and no call is forgotten.
        victim, *others = gateway.workers()
        assert len(others) == 2
        os.kill(victim, signal.SIGKILL)
        await gateway.replaced(victim, 3)
        assert await ask(session, gateway) == 429
        assert await answered(session, gateway) == {91.0}

        # Other commands find the port that the command line chose: they read the file alone.
        file = tmp_path / "config.yaml"

        def command(*words: str) -> tuple[int, str]:
            status = main([*words, "--config", str(file)])
            return status, capsys.readouterr().out

        assert await asyncio.to_thread(command, "health") == (0, "")
        status, said = await asyncio.to_thread(command, "accounts", "invite")
        assert (status, said.startswith(gateway.url + "/invite/")) == (0, True), said

        # A reload says what came of it in all of them.

        def reload(text: str, *words: str) -> tuple[int, str]:
            file.write_text(text)
            status = main(["reload", "--config", str(file), *words])
            printed = capsys.readouterr()
            return status, printed.out + printed.err

        wide = CONFIG + "rate_limit: {requests_per_minute: 100000}\n"
        status, said = await asyncio.to_thread(reload, wide)
        assert (status, f"reloaded {file} in 3 processes" in said) == (0, True), said
        status, said = await asyncio.to_thread(reload, wide + "modles: {}\n")
        assert status == 2
        assert f"{file}:7: modles: unknown key; did you mean models?" in said
        assert "the configuration of before stays" in said
        status, said = await asyncio.to_thread(reload, wide + "modles: {}\n", "--json")
        assert (status, orjson.loads(said)["ok"]) == (2, False)
        assert set(await asyncio.gather(*(ask(session, gateway) for _ in range(30)))) == {200}, "the wider window"

        # A worker that is told to stop refuses nothing that another can take.
        one = gateway.workers()[0]
        asked = [asyncio.ensure_future(ask(session, gateway)) for _ in range(5)]
        os.kill(one, signal.SIGTERM)
        while Path(f"/proc/{one}").exists() and one in gateway.workers():
            asked.append(asyncio.ensure_future(ask(session, gateway)))
            await asyncio.sleep(0.02)
        assert set(await asyncio.gather(*asked)) == {200}

        gateway.process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(LIMIT):
            assert await gateway.process.wait() == 0


@pytest.mark.slow
async def test_workers_end_with_a_supervisor_that_was_killed(tmp_path: Path) -> None:
    async with served(tmp_path, 2) as gateway:
        workers = gateway.workers()
        os.kill(gateway.process.pid, signal.SIGKILL)
        await gateway.process.wait()
        async with asyncio.timeout(LIMIT):
            while any(Path(f"/proc/{worker}").exists() for worker in workers):
                await asyncio.sleep(0.05)
