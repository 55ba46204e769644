"""The path of a stranger: start the shipped configuration, paste the printed curl, stop, start again."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
# Seconds until what does not come counts as never: far above what a start takes (docs/operations.md).
PATIENCE = 60.0


class Process:
    """`python -m gateway serve` on a free port, until `stop`. base: `http://host:port`."""

    def __init__(self, folder: Path) -> None:
        names = ("PATH", "HOME", "LANG", "VIRTUAL_ENV")
        environment = {name: os.environ[name] for name in names if name in os.environ}
        environment["GATEWAY_DATA"] = str(folder / "data")
        self._out = folder / "out.txt"
        self._pid_file = folder / "data" / "gateway.pid"
        self.started = time.monotonic()
        with self._out.open("w") as out, (folder / "log.txt").open("w") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "gateway", "serve", "--port", "0", "--config", str(folder / "config.yaml")],
                cwd=folder,
                env=environment,
                stdout=out,
                stderr=log,
            )

    @property
    def printed(self) -> str:
        return self._out.read_text()

    def wait_for(self, pattern: str) -> re.Match[str]:
        """The first match in what was printed. Fails when the process ends or takes too long."""
        while (found := re.search(pattern, self.printed, re.S)) is None:
            assert self._process.poll() is None, self.printed + self._out.with_name("log.txt").read_text()
            assert time.monotonic() - self.started < PATIENCE, self.printed
            time.sleep(0.01)
        return found

    def stop(self) -> int:
        """SIGTERM, once the process has said by its pid file that it takes signals; returns the exit status."""
        while not self._pid_file.exists():
            assert time.monotonic() - self.started < PATIENCE, "no pid file"
            time.sleep(0.01)
        self._process.send_signal(signal.SIGTERM)
        return self._process.wait(PATIENCE)

    def kill(self) -> None:
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[[], Process]]:
    shutil.copy(ROOT / "config.yaml", tmp_path)
    processes: list[Process] = []

    def run() -> Process:
        processes.append(Process(tmp_path))
        return processes[-1]

    yield run
    for process in processes:
        process.kill()


def signed_in_by(base: str, token: str) -> str:
    """Whose session a link opens, as a program sees it."""
    jar = urllib.request.build_opener(urllib.request.HTTPCookieProcessor())
    headers = {"Content-Type": "application/json"}
    body = json.dumps({"link": token}).encode()
    jar.open(urllib.request.Request(base + "/account/sign-in", body, headers), timeout=10)
    with jar.open(base + "/account/me", timeout=10) as answer:
        return str(json.load(answer)["name"])


def ask(base: str, key: str) -> str:
    """A question without any tool but Python."""
    body = json.dumps({"messages": [{"role": "user", "content": "Still there?"}]}).encode()
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
    request = urllib.request.Request(base + "/v1/chat/completions", body, headers)
    with urllib.request.urlopen(request, timeout=10) as answer:
        return str(json.load(answer)["choices"][0]["message"]["content"])


def a_taken_port_is_said_in_one_line(port: str, folder: Path) -> None:
    command = [sys.executable, "-m", "gateway", "serve", "--port", port, "--config", str(folder / "config.yaml")]
    environment = {**os.environ, "GATEWAY_DATA": str(folder / "other")}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=PATIENCE)
    assert done.returncode == 1
    assert f"cannot listen on 127.0.0.1, port {port}: " in done.stderr
    assert "Traceback" not in done.stderr


def test_first_and_second_start(start, tmp_path):
    first = start()
    command = first.wait_for(r"\n  (curl .*?'\{.*?\}')\n")[1]
    key = first.wait_for(r"(mghp_\w+)")[1]
    base = first.wait_for(r"serves (http://127\.0\.0\.1:\d+)/v1")[1]
    assert "Demo mode: no provider has a key" in first.printed
    assert first.wait_for(r"admin secret\s+(\S+)")[1] not in ("", key)
    link = first.wait_for(r"console\s+(http://\S+)/sign-in/(\S+)")
    assert link[1] == base
    assert signed_in_by(base, link[2]) == "admin"
    if shutil.which("curl"):
        done = subprocess.run(["bash", "-c", command], capture_output=True, timeout=PATIENCE)
        assert done.returncode == 0, done.stderr
        answer = json.loads(done.stdout)
        assert "Hello!" in answer["choices"][0]["message"]["content"]
        assert answer["model"] == "muh-chat"
    assert "Still there?" in ask(base, key)
    a_taken_port_is_said_in_one_line(base.rpartition(":")[2], tmp_path)
    assert first.stop() == 0

    database = tmp_path / "data" / "gateway.db"
    assert database.exists()
    assert all(path.stat().st_mode & 0o077 == 0 for path in (tmp_path / "data").iterdir() if "secret" in path.name)

    second = start()
    base = second.wait_for(r"serves (http://127\.0\.0\.1:\d+)/v1")[1]
    assert "Still there?" in ask(base, key), "the key of the first start goes on working"
    assert second.stop() == 0
    assert "mghp_" not in second.printed
    assert "secret" not in second.printed
    assert key not in (tmp_path / "log.txt").read_text()
