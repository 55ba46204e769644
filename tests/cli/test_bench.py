"""`gateway bench` and `gateway health` against a gateway that serves in another thread."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path

import aiohttp
import orjson
import pytest

from gateway.cli import main
from gateway.testing import RunningGateway, running_gateway

CONFIG = {
    "providers": {"echo": {"plugin": "echo"}},
    "models": {"echo/echo": {"free": True}},
    "default_model": "echo/echo",
    "rate_limit": {"requests_per_minute": 100_000},
}


@pytest.fixture
def serving(tmp_path: Path) -> Iterator[RunningGateway]:
    ready = threading.Event()
    found: list[RunningGateway] = []
    loop = asyncio.new_event_loop()
    stopped = asyncio.Event()

    async def live() -> None:
        async with running_gateway(tmp_path, CONFIG) as running:
            found.append(running)
            ready.set()
            await stopped.wait()

    thread = threading.Thread(target=lambda: loop.run_until_complete(live()))
    thread.start()
    assert ready.wait(20)
    yield found[0]
    loop.call_soon_threadsafe(stopped.set)
    thread.join(20)
    loop.close()


def test_figures_of_both_kinds(serving: RunningGateway, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["bench", serving.url, "--key", serving.key, "--requests", "6", "--concurrency", "2"]
    assert main([*words, "--json"]) == 0
    figures = orjson.loads(capsys.readouterr().out)
    assert [one["what"] for one in figures] == ["gateway, whole", "gateway, streamed"]
    assert all(one["requests"] == 6 and one["failed"] == 0 for one in figures)
    assert all(0 < one["p50"] <= one["p95"] <= one["p99"] for one in figures)
    direct = [*words, "--direct", serving.url + "/v1", "--direct-key", serving.key]
    assert main(direct) == 0
    assert "the gateway adds" in capsys.readouterr().out


def test_failures_are_counted(serving: RunningGateway, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["bench", serving.url + "/v1", "--key", "mghp_wrong", "--requests", "2", "--concurrency", "1", "--json"]
    assert main(words) == 1
    assert [one["failed"] for one in orjson.loads(capsys.readouterr().out)] == [2, 2]
    assert main(words[:-1]) == 1
    assert capsys.readouterr().out.count("failed: 401 ") == 1


def test_refusals_are_no_fast_answers(serving: RunningGateway, capsys: pytest.CaptureFixture[str]) -> None:
    """The limit of new accounts is soon reached: what is refused counts neither as latency nor as throughput."""
    words = ["bench", serving.url, "--key", "mghp_wrong", "--requests", "2", "--concurrency", "1", "--json"]
    assert main(words) == 1
    for one in orjson.loads(capsys.readouterr().out):
        assert one["fault"].startswith("401 ")
        assert (one["requests"], one["failed"], one["p99"], one["per_second"]) == (2, 2, 0, 0)


def test_a_rate_limit_in_the_way_is_told_with_what_to_do(
    serving: RunningGateway, capsys: pytest.CaptureFixture[str]
) -> None:
    asyncio.run(_limit(serving))
    assert main(["bench", serving.url, "--key", serving.key, "--requests", "3", "--concurrency", "1"]) == 1
    said = capsys.readouterr().out
    assert "failed: 429 Rate limit reached" in said
    assert "gateway accounts update NAME --requests-per-minute" in said


async def _limit(serving: RunningGateway) -> None:
    """As an administrator does."""
    secret = {"Authorization": f"Bearer {serving.gateway.admin_secret()}"}
    async with aiohttp.ClientSession() as session:
        address = f"{serving.url}/admin/api/accounts/{serving.account.id}"
        async with session.patch(address, json={"requests_per_minute": 1}, headers=secret) as answer:
            assert answer.status == 200, await answer.text()


def test_nobody_there(refused_address: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", refused_address, "--key", "x"]) == 1
    assert "does not answer" in capsys.readouterr().err


def test_health(serving: RunningGateway, tmp_path: Path, refused_address: str) -> None:
    def ask(url: str) -> int:
        host, port = url.removeprefix("http://").split(":")
        file = tmp_path / "health.yaml"
        file.write_bytes(orjson.dumps({**CONFIG, "server": {"host": host, "port": int(port)}}))
        return main(["health", "--config", str(file)])

    assert ask(serving.url) == 0
    assert ask(refused_address) == 1
