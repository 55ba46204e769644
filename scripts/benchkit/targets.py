"""What is measured: the upstream directly, nginx, the gateway, any other proxy by its command, or a running one."""

from __future__ import annotations

import getpass
import json
import os
import shlex
import shutil
import socket
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchkit import wire
from benchkit.load import BadAnswer, answer_size, excerpt
from benchkit.procs import Child, tree_cpu_ns, tree_rss

CREDITS = 10**15
START_LIMIT = 60.0


class CannotMeasure(Exception):
    """A target that cannot be set up; the message says why and what to do."""


@dataclass
class Place:
    """Where a run happens: a temporary folder, the cores, and the port of the upstream."""

    folder: Path
    target_cores: set[int]
    load_cores: set[int]
    upstream_cores: set[int]
    upstream_port: int = 0


@dataclass
class Live:
    """A target that can be called now. `pid` is None when its process is not ours to look at."""

    port: int
    key: str | None
    model: str
    pid: int | None = None
    child: Child | None = None
    start_seconds: float | None = None

    def call(self) -> bytes:
        """The bytes of a request with a whole answer."""
        return wire.request(wire.call_body(self.model), self.port, self.key)

    def stream(self, pace_ms: int) -> bytes:
        """The bytes of a request with a paced stream."""
        return wire.request(wire.stream_body(pace_ms, self.model), self.port, self.key)

    def cpu_ns(self) -> int | None:
        """CPU time of the whole target so far, in nanoseconds."""
        return None if self.pid is None else tree_cpu_ns(self.pid)

    def rss(self) -> int | None:
        """Resident bytes of the whole target."""
        return None if self.pid is None else tree_rss(self.pid)

    def stop(self) -> None:
        """End it, when we started it."""
        if self.child is not None:
            self.child.stop()


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens on at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def listens(port: int) -> bool:
    """Whether anybody accepts connections on 127.0.0.1:`port`."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def ask(port: int, request: bytes, timeout: float = 5.0) -> bytes:
    """Send one request and return the whole answer; OSError when nobody answers, BadAnswer when it has no end."""
    with socket.create_connection(("127.0.0.1", port), timeout) as client:
        client.sendall(request)
        data = b""
        while not answer_size(data):
            part = client.recv(65536)
            if not part:
                raise BadAnswer("the connection was closed before an answer: " + excerpt(data))
            data += part
        return data


def wait_for(port: int, request: bytes, child: Child | None, name: str, limit: float = START_LIMIT) -> None:
    """Ask every 2 ms until the answer is a 200.

    Raises CannotMeasure when the process ends, when it answers 4xx, or after `limit` seconds.
    """
    until = time.monotonic() + limit
    last = "no connection was accepted"
    while time.monotonic() < until:
        try:
            data = ask(port, request)
        except (OSError, BadAnswer) as fault:
            last = str(fault)
        else:
            if data.startswith(b"HTTP/1.1 200"):
                return
            last = excerpt(data, 600)
            if data.startswith(b"HTTP/1.1 4"):
                raise CannotMeasure(f"{name} refused the first request: {last}")
        if child is not None and not child.alive():
            raise CannotMeasure(f"{name} ended with status {child.process.returncode}:\n{child.output()}")
        time.sleep(0.002)
    tail = child.output() if child is not None else ""
    raise CannotMeasure(f"{name} gave no answer in {limit:.0f} s: {last}\n{tail}")


class Target:
    """A thing to measure; `name` is its column. `launch` is called as often as a measure wants a fresh process."""

    name = "target"
    has_process = True

    def __init__(self, place: Place) -> None:
        self.place = place

    def prepare(self) -> None:
        """Anything needed once before `launch`; raises CannotMeasure."""

    def close(self) -> None:
        """Let go of what `prepare` has opened."""

    def command(self) -> Sequence[str]:
        """The command that serves on `self.port`."""
        raise NotImplementedError

    def environment(self) -> dict[str, str]:
        """Variables added to the environment of `command`."""
        return {}

    def launch(self) -> Live:
        """Start a process, wait for its first answered request, and note how long both took together."""
        port, key, model = self.address()
        command = self.command()
        if listens(port):
            raise CannotMeasure(f"port {port}, meant for {self.name}, is in use: another process would be measured")
        started = time.monotonic()
        log = self.place.folder / f"{self.name}.log"
        child = Child(command, self.place.target_cores, log, self.environment())
        live = Live(port, key, model, child.pid, child)
        try:
            wait_for(port, live.call(), child, self.name)
        except BaseException:  # an interrupt too: the process that was started must not outlive the measure
            live.stop()
            raise
        live.start_seconds = time.monotonic() - started
        return live

    def address(self) -> tuple[int, str | None, str]:
        """(port, key, model) that a request uses."""
        raise NotImplementedError


class Direct(Target):
    """The upstream itself, without anything between: what the measuring costs."""

    name = "direct"
    has_process = False

    def launch(self) -> Live:
        return Live(self.place.upstream_port, None, wire.MODEL)


class Running(Target):
    """A server that somebody else runs; `pid` (when given) lets its CPU and memory be read."""

    has_process = False

    def __init__(self, place: Place, name: str, port: int, key: str | None, model: str, pid: int | None) -> None:
        super().__init__(place)
        self.name = name
        self.live = Live(port, key, model, pid)

    def prepare(self) -> None:
        wait_for(self.live.port, self.live.call(), None, self.name, limit=5.0)

    def launch(self) -> Live:
        return self.live


class Nginx(Target):
    """A bare reverse proxy: one worker, no buffering, keep-alive on both sides, no access log."""

    name = "nginx"

    def __init__(self, place: Place) -> None:
        super().__init__(place)
        self.port = free_port()

    def prepare(self) -> None:
        self.program = shutil.which("nginx", path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin")
        if self.program is None:
            raise CannotMeasure("not installed")
        folder = self.place.folder / "nginx"
        folder.mkdir(exist_ok=True)
        user = f"user {getpass.getuser()};" if os.geteuid() == 0 else ""
        paths = "".join(
            f"  {kind}_temp_path {folder}/{kind};\n" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        )
        (folder / "nginx.conf").write_text(
            f"""{user}
daemon off;
worker_processes 1;
worker_rlimit_nofile 16384;
pid {folder}/nginx.pid;
error_log {folder}/error.log error;
events {{ worker_connections 8192; }}
http {{
  access_log off;
  keepalive_requests 1000000000;
  client_body_buffer_size 64k;
{paths}  upstream bench {{
    server 127.0.0.1:{self.place.upstream_port};
    keepalive 1024;
    keepalive_requests 1000000000;
  }}
  server {{
    listen 127.0.0.1:{self.port} backlog=4096;
    location / {{
      proxy_pass http://bench;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_buffering off;
      proxy_read_timeout 300s;
    }}
  }}
}}
"""
        )

    def command(self) -> Sequence[str]:
        folder = self.place.folder / "nginx"
        return [str(self.program), "-p", str(folder), "-e", f"{folder}/error.log", "-c", f"{folder}/nginx.conf"]

    def address(self) -> tuple[int, str | None, str]:
        return self.port, None, wire.MODEL


class Proxy(Target):
    """Any proxy by its command line, in which `{port}` and `{upstream}` (a port too) are filled in."""

    def __init__(self, place: Place, name: str, template: str, key: str | None, model: str) -> None:
        super().__init__(place)
        self.name, self.template, self.key, self.model = name, template, key, model
        self.port = free_port()

    def command(self) -> Sequence[str]:
        filled = self.template.replace("{port}", str(self.port))
        return shlex.split(filled.replace("{upstream}", str(self.place.upstream_port)))

    def address(self) -> tuple[int, str | None, str]:
        return self.port, self.key, self.model


WITHOUT_BILLING = "plugins: {disable: [quota, usage_log]}\n"
"""Disabled, not left out of `pipeline`: a plugin that `pipeline` does not name runs all the same, after the others."""


class Gateway(Target):
    """The gateway with its whole pipeline and durable billing, on a fresh data folder and a generated YAML."""

    def __init__(self, place: Place, serve: str, name: str = "gateway", extra_yaml: str = "") -> None:
        super().__init__(place)
        self.name = name
        self.serve = shlex.split(serve)
        self.extra_yaml = extra_yaml
        self.port = free_port()
        self.key: str | None = None
        self.folder = place.folder / name
        self.config = self.folder / "bench.yaml"

    def environment(self) -> dict[str, str]:
        return {"GATEWAY_DATA": str(self.folder / "data")}

    def command(self) -> Sequence[str]:
        return [*self.serve, "--config", str(self.config)]

    def address(self) -> tuple[int, str | None, str]:
        return self.port, self.key, wire.MODEL

    def prepare(self) -> None:
        """Write the YAML, start once on an empty data folder, and make an account and a key by the command line."""
        if shutil.which(self.serve[0]) is None:
            raise CannotMeasure(f"{self.serve[0]} does not exist; name another with --gateway-command")
        (self.folder / "data").mkdir(parents=True, exist_ok=True)
        self.config.write_text(
            f"""server: {{host: 127.0.0.1, port: {self.port}}}
rate_limit: {{requests_per_minute: 1000000000}}
{self.extra_yaml}providers:
  bench: {{plugin: openai, base_url: "http://127.0.0.1:{self.place.upstream_port}/v1", api_key: x}}
models:
  {wire.MODEL}:
    provider: bench
    upstream: model
    price: {{input: 0.40, cached_input: 0.10, output: 1.60}}
    context: 1000000
    max_output: 32768
default_model: {wire.MODEL}
"""
        )
        log = self.place.folder / f"{self.name}.log"
        child = Child(self.command(), self.place.target_cores, log, self.environment())
        try:
            health = f"GET /healthz HTTP/1.1\r\nhost: 127.0.0.1:{self.port}\r\n\r\n".encode()
            wait_for(self.port, health, child, self.name)
            account = self.run_command("accounts", "create", "bench", "--credits", str(CREDITS))
            made = self.run_command("keys", "create", "--account", str(account.get("id", "bench")), "--name", "bench")
            self.key = str(made["key"])
        except KeyError as fault:
            raise CannotMeasure(f"`keys create --json` printed no {fault}") from fault
        finally:
            child.stop()

    def run_command(self, *words: str) -> dict[str, Any]:
        """Run `gateway WORDS --json --config FILE` and read what it prints."""
        at = self.serve.index("serve") if "serve" in self.serve else len(self.serve)
        command = [*self.serve[:at], *words, "--json", "--config", str(self.config)]
        done = subprocess.run(
            command, env={**os.environ, **self.environment()}, capture_output=True, text=True, timeout=30, check=False
        )
        shown = shlex.join(["gateway", *words])
        if done.returncode:
            raise CannotMeasure(f"`{shown}` ended with status {done.returncode}: {(done.stderr or done.stdout)[-600:]}")
        try:
            value = json.loads(done.stdout)
        except ValueError as fault:
            raise CannotMeasure(f"`{shown} --json` printed no JSON: {done.stdout[-300:]}") from fault
        if not isinstance(value, dict):
            raise CannotMeasure(f"`{shown} --json` printed no JSON object: {done.stdout[-300:]}")
        return value
