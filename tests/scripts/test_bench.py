"""The benchmark kit measures itself: its load generator against its upstream, whole, sliced and broken."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

SCRIPTS = Path(__file__).resolve().parents[2] / "scripts"
pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the kit reads /proc")
sys.path.insert(0, str(SCRIPTS))
LIMIT = 60.0
"""Seconds for what must come; a busy machine may take its time."""

from benchkit import cli, history, load, measures, procs, report, stats, targets, translation, wire  # noqa: E402


@pytest.fixture(scope="module")
def upstream() -> Iterator[int]:
    """The port of a paced upstream in a process of its own."""
    command = [sys.executable, "-m", "benchkit.upstream"]
    with subprocess.Popen(command, cwd=SCRIPTS, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield int(process.stdout.readline().split()[1])
        finally:
            process.terminate()


@asynccontextmanager
async def relay(upstream: int, change: Any) -> AsyncIterator[int]:
    """A proxy that writes `change(bytes)` (a list of pieces; None cuts) for everything the upstream sends."""

    handlers: set[asyncio.Task[None] | None] = set()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        handlers.add(asyncio.current_task())
        up_reader, up_writer = await asyncio.open_connection("127.0.0.1", upstream)
        try:
            # One request on one connection: what the kit's streams send.
            up_writer.write(await reader.read(65536))
            while not reader.at_eof() and (data := await up_reader.read(65536)):
                for piece in change(data):
                    if piece is None:
                        writer.transport.abort()
                        return
                    writer.write(piece)
                    await asyncio.sleep(0)
        finally:
            up_writer.transport.abort()
            writer.close()
            await asyncio.gather(up_writer.wait_closed(), writer.wait_closed(), return_exceptions=True)

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for task in handlers:
            assert task is not None
            task.cancel()
        await asyncio.gather(*handlers, return_exceptions=True)
        await asyncio.sleep(0)


async def streamed(port: int, upstream: int, count: int = 3, seconds: float = 0.1) -> load.StreamLoad:
    """Open, record and end `count` streams at 10 ms through `port`."""
    running = load.StreamLoad(port, wire.request(wire.stream_body(10), port, None))
    await running.open(count, LIMIT)
    await running.record(seconds)
    await load.control(upstream, "release")
    await running.close(LIMIT)
    return running


@pytest.mark.parametrize(
    ("values", "share", "expected"),
    [([], 0.5, None), ([7], 0.99, 7), ([3, 1, 2], 0.5, 2), ([4, 1, 3, 2], 0.5, 2), (range(1, 101), 0.99, 99)],
)
def test_percentile_is_nearest_rank(values: list[int], share: float, expected: int | None) -> None:
    assert stats.percentile(values, share) == expected


def test_percentile_of_the_ends() -> None:
    assert stats.percentile([5, 1, 9], 0) == 1
    assert stats.percentile([5, 1, 9], 1) == 9


def test_median_and_spread() -> None:
    assert stats.median([]) is None
    assert stats.median([3, 1, 2]) == 2
    assert stats.median([4, 1, 3, 2]) == 2.5
    assert stats.spread([8, 10, 12]) == pytest.approx(0.4)
    assert stats.spread([8]) is None


def test_the_stream_the_upstream_sends_is_openai_s_format() -> None:
    before, after = wire.event_parts(with_usage=True)
    framed = before + b"%019d" % time.monotonic_ns() + after
    size, _, rest = framed.partition(b"\r\n")
    event = rest.removesuffix(b"\r\n")
    assert int(size, 16) == len(event)
    chunk = json.loads(event.removeprefix(b"data: "))
    assert chunk["object"] == "chat.completion.chunk"
    assert chunk["usage"] is None
    assert chunk["choices"][0]["delta"]["content"].startswith("@t=")
    assert 200 <= len(event) <= 350
    end = wire.stream_end(17, with_usage=True)
    assert b'"completion_tokens":17' in end
    assert end.endswith(b"data: [DONE]\n\n\r\n0\r\n\r\n")


def test_answer_size_waits_for_the_whole_answer() -> None:
    answer = wire.completion()
    assert all(load.answer_size(answer[:cut]) == 0 for cut in range(len(answer)))
    assert load.answer_size(answer) == len(answer)
    chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n"
    assert load.answer_size(chunked[:-1]) == 0
    assert load.answer_size(chunked) == len(chunked)
    with pytest.raises(load.BadAnswer):
        load.answer_size(b"HTTP/1.1 200 OK\r\n\r\n{}")


async def test_calls_are_counted_as_the_upstream_counts_them(upstream: int) -> None:
    before = await load.control(upstream, "stats")
    request = wire.request(wire.call_body(), upstream, None)
    got = await load.run_calls(upstream, request, connections=4, warm=0, seconds=0.2)
    after = await load.control(upstream, "stats")
    assert not got.errors
    assert got.reconnects == 0
    # Answers that come after the window are not recorded: at most one per connection.
    assert 0 <= after["requests"] - before["requests"] - len(got.latencies) <= 4
    assert min(got.latencies) > 0
    assert got.seconds >= 0.2


async def test_a_wrong_answer_is_an_error(upstream: int) -> None:
    request = wire.request(wire.call_body(), upstream, None, path="/v1/nothing")
    got = await load.run_calls(upstream, request, connections=1, warm=0, seconds=0.1)
    assert got.latencies == []
    assert any("404" in text for text in got.errors)


async def test_streams_are_paced_and_every_event_arrives(upstream: int) -> None:
    began = time.monotonic()
    running = await streamed(upstream, upstream, count=10, seconds=0.2)
    took = time.monotonic() - began
    assert not running.errors
    assert (running.opened, running.finished) == (10, 10)
    # 10 streams, an event every 10 ms; that none is lost is what their ends say.
    assert 0 < len(running.lags) <= took * 1000 * 1.2
    assert min(running.lags) > 0
    assert (await load.control(upstream, "stats"))["open"] == 0


async def test_streams_are_read_at_any_split(upstream: int) -> None:
    async with relay(upstream, lambda data: [data[at : at + 1] for at in range(len(data))]) as port:
        running = await streamed(port, upstream, count=1, seconds=0.05)
    assert not running.errors
    assert running.finished == 1


async def test_a_lost_event_is_seen(upstream: int) -> None:
    lost: list[bytes] = []

    def change(data: bytes) -> list[bytes]:
        if not lost and b"@t=" in data and not data.startswith(b"HTTP"):
            lost.append(data)
            return []
        return [data]

    async with relay(upstream, change) as port:
        running = await streamed(port, upstream, count=1)
    assert lost
    assert any("events sent" in text for text in running.errors)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda data: [data.replace(b"data: [DONE]", b": comment  ")], "without [DONE]"),
        (lambda data: [None if b"[DONE]" in data else data], "was cut"),
        (lambda data: [data.replace(b"HTTP/1.1 200 OK", b"HTTP/1.1 500 No")], "HTTP/1.1 500"),
    ],
)
async def test_a_bad_end_is_seen(upstream: int, change: Any, reason: str) -> None:
    async with relay(upstream, change) as port:
        running = await streamed(port, upstream, count=1)
    assert running.finished == 0
    assert any(reason in text for text in running.errors)


def test_cpu_and_memory_are_read_from_the_kernel() -> None:
    before = procs.cpu_ns(os.getpid())
    until = time.process_time_ns() + 30_000_000
    while time.process_time_ns() < until:
        pass
    assert 25_000_000 <= procs.cpu_ns(os.getpid()) - before <= 500_000_000
    assert 5e6 < procs.tree_rss(os.getpid()) < 5e9
    assert os.getpid() in procs.tree(os.getpid())


def test_a_child_is_ended_with_its_children(tmp_path: Path) -> None:
    script = "import subprocess, sys, time; p = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])"
    child = procs.Child([sys.executable, "-c", script + "; time.sleep(60)"], os.sched_getaffinity(0), tmp_path / "log")
    until = time.monotonic() + LIMIT
    while len(procs.tree(child.pid)) < 2 and time.monotonic() < until:
        time.sleep(0.01)
    family = procs.tree(child.pid)
    assert len(family) == 2
    child.stop()
    assert not child.alive()
    while Path(f"/proc/{family[1]}/exe").exists() and time.monotonic() < until:
        time.sleep(0.01)
    assert not Path(f"/proc/{family[1]}/exe").exists()


RESULTS: report.Results = {
    "requests_1": {
        "direct": {"per_second": 1000.0, "p50_ms": 0.1, "errors": {}},
        "nginx": {"per_second": 500.0, "p50_ms": 0.2, "errors": {}},
        "gateway": {"per_second": 250.0, "p50_ms": 0.9, "errors": {}},
    },
    "streams_200": {
        "nginx": {"per_second": 4000.0, "expected_per_second": 4000.0, "cpu_us": 10.0, "errors": {}},
        "gateway": {"per_second": 3000.0, "expected_per_second": 4000.0, "cpu_us": 40.0, "errors": {}},
    },
}


def test_report_of_differences_ratios_and_floors() -> None:
    results: report.Results = json.loads(json.dumps(RESULTS))
    report.add_differences(results)
    assert results["requests_1"]["gateway"]["added_p50_ms"] == pytest.approx(0.8)
    names = ["direct", "nginx", "gateway"]
    assert report.ratios(results, names)["requests_1.per_second"] == {
        "nginx:direct": 0.5,
        "gateway:direct": 0.25,
        "gateway:nginx": 0.5,
    }
    verdicts = {line["name"]: (line["value"], line["verdict"]) for line in report.floors(results, "gateway")}
    assert verdicts["added latency p50, ms"] == (0.8, "PASS")
    assert verdicts["CPU per event / nginx, 200 streams"] == (4.0, "FAIL")
    assert verdicts["idle memory, MB"] == (None, "not measured")
    assert "gateway:nginx" in report.table(results, names, {})
    assert "not installed" in report.table(results, ["direct", "gateway"], {"nginx": "not installed"})
    assert any("saturated" in line for line in report.warnings(results))


def test_repeats_are_joined_by_their_median() -> None:
    runs = [{"cpu_us": value, "p50_ms": None, "errors": {"cut": 1}} for value in (30.0, 10.0, 20.0)]
    joined = report.join(runs)
    assert joined["cpu_us"] == 20.0
    assert joined["p50_ms"] is None
    assert joined["errors"] == {"cut": 3}
    assert joined["spread"]["cpu_us"] == 1.0


def test_comparison_takes_the_machine_out() -> None:
    new: report.Results = json.loads(json.dumps(RESULTS))
    new["streams_200"]["nginx"]["cpu_us"] = 20.0
    new["streams_200"]["gateway"]["cpu_us"] = 40.0
    text = report.comparison({"results": RESULTS}, {"results": new})
    line = next(line for line in text.splitlines() if line.startswith("CPU us per event") and " gateway " in line)
    assert line.split()[-3:] == ["1.00", "0.500", "better"]


def run_of(cpu_us: float, nginx_us: float, cpu: str = "a") -> dict[str, Any]:
    results = {
        "requests_32": {
            "gateway": {"cpu_us": cpu_us, "runs": [{"cpu_us": cpu_us}], "errors": {}},
            "nginx": {"cpu_us": nginx_us, "errors": {}},
        }
    }
    machine = {"cpu": cpu, "cores": 2, "python": "3.11.2"}
    return {"taken": "now", "machine": machine, "settings": {}, "results": results}


def test_a_history_tells_what_got_worse_than_usual(tmp_path: Path) -> None:
    path = tmp_path / "history.jsonl"
    assert history.read(path) == []
    for cpu_us in (400, 1000, 410):
        history.add(path, run_of(cpu_us, 10))
    history.add(path, run_of(50, 10, cpu="another machine"))
    known = history.read(path)
    assert len(known) == 4
    past = history.alike(known, run_of(1, 1))
    assert len(past) == 3
    assert history.usual(past)["results"]["requests_32"]["gateway"] == {"cpu_us": 410}
    assert history.regressions(past, run_of(440, 10)) == []
    assert history.regressions(past, run_of(820, 20)) == [], "the machine was half as fast"
    (told,) = history.regressions(past, run_of(820, 10))
    assert "2.00 times the usual" in told
    assert history.regressions([], run_of(820, 10)) == []


def test_a_file_that_is_no_history_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "other.json"
    path.write_text("[1]\n")
    assert cli.main(["--history", str(path)]) == 2
    assert "no history" in capsys.readouterr().err


@pytest.mark.parametrize(
    "words",
    [
        ["--only", "nothing"],
        ["--duration", "1000"],
        ["--repeat", "0"],
        ["--url", "http://192.0.2.1:8080"],
        ["--proxy", "no-command"],
    ],
)
def test_a_wrong_command_line_ends_with_status_2(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.options(words)
    assert ended.value.code == 2
    assert words[0] in capsys.readouterr().err


def test_only_takes_the_beginning_of_names() -> None:
    assert cli.wanted(["streams", "start"]) == ["streams_200", "streams_1000", "start"]
    assert cli.wanted([]) == list(cli.MEASURES)


def test_a_gateway_that_does_not_exist_says_so(tmp_path: Path) -> None:
    cores = os.sched_getaffinity(0)
    place = targets.Place(tmp_path, cores, cores, cores)
    with pytest.raises(targets.CannotMeasure, match="--gateway-command"):
        targets.Gateway(place, str(tmp_path / "no-such-gateway") + " serve").prepare()


def bench_of(seconds: float) -> measures.Bench:
    return measures.Bench(seconds, 0, 0, 0, os.sched_getaffinity(0))


def test_translation_is_measured_for_every_provider() -> None:
    found = measures.translation(bench_of(0.1), sys.executable)
    assert found["errors"] == {}
    assert found["conversation_bytes"] >= 200_000
    assert found["rounds"] >= 3
    for key in [row.key for row in report.ROWS if row.measure == "translation"]:
        assert found[key] > 0, key
    lines = report.floors({"translation": {"gateway": found}}, "gateway")
    judged = [line for line in lines if line["floor"] in (2.0, 3.0) and line["verdict"] in ("PASS", "FAIL")]
    assert len(judged) == len(report.TRANSLATED) + len(report.CONVERSED)
    assert "Google's stream / relay" in report.table({"translation": {"gateway": found}}, ["gateway"], {})


def test_the_conversation_has_its_size_and_the_streams_their_events() -> None:
    body = translation.conversation()
    assert len(body["messages"]) == translation.MESSAGES == 100
    assert 200_000 <= len(wire.compact(body)) <= 210_000
    assert set(translation.STREAMS) == set(translation.EVENTS)
    assert all(len(make()) > 450 for make in translation.EVENTS.values())


@pytest.mark.parametrize("name", translation.STREAMS)
def test_what_is_measured_is_the_whole_translation(name: str) -> None:
    plugin = name if name in translation.MODELS else "openai"
    took, out = translation.stream_once(name, translation._provider(plugin), translation.EVENTS[name]())
    assert took > 0
    for text in (translation.THOUGHTS[-1], translation.TEXTS[-1], translation.TOOL_NAME, "word 47"):
        assert text.encode() in out, text


def test_a_python_without_the_gateway_is_an_error(tmp_path: Path) -> None:
    broken = tmp_path / "python"
    broken.write_text("#!/bin/sh\necho no gateway here >&2\nexit 1\n")
    broken.chmod(0o755)
    assert measures.translation(bench_of(0.1), str(broken)) == {"errors": {"no gateway here": 1}}
    assert cli.gateway_python(f"{tmp_path}/gateway serve") == str(broken)
    assert cli.gateway_python("no-such-gateway serve") == sys.executable


def test_the_kit_imports_no_gateway() -> None:
    script = "import sys, benchkit.cli, benchkit.translation; print('gateway' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], cwd=SCRIPTS, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_the_whole_run_as_a_command(tmp_path: Path) -> None:
    out = tmp_path / "bench.json"
    command = [SCRIPTS / "bench", "--targets", "direct", "--only", "requests_1", "--duration", "0.2", "--quick"]
    done = subprocess.run([*command, "--json", out], capture_output=True, text=True, timeout=LIMIT, check=False)
    assert done.returncode == 0, done.stderr
    assert "requests/s, 1 connection" in done.stdout
    whole = json.loads(out.read_text())
    assert whole["results"]["requests_1"]["direct"]["requests"] > 0
    assert whole["errors"] == []
