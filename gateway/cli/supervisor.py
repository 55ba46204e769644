"""Several workers on one port: the parent owns the listening socket and the workers' lives, and serves nothing itself.

Every worker is a whole gateway on the inherited socket; the kernel gives each connection to whichever accepts first.
Balances, key ceilings and rate windows are exact over all of them, because they live in the database, not in memory.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from gateway.errors import GatewayFault
from gateway.exposition import keep
from gateway.http.server.service import BACKLOG
from gateway.reloading import write_outcome
from gateway.siblings import Hub

# A worker that dies is replaced, but one that cannot live is not replaced in a tight loop.
_SHORTEST_LIFE = 5.0
_LONGEST_PAUSE = 30.0


def listen(host: str, port: int) -> socket.socket:
    """A listening socket that child processes inherit. Raises OSError when the address is taken."""
    family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    listening = socket.socket(family, kind, protocol)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listening.bind(address)
    listening.listen(BACKLOG)
    listening.set_inheritable(True)
    return listening


class Supervisor:
    """Keeps `count` workers running until it is told to stop. command: starts one worker; the sockets' numbers are
    appended as `--listen-fd N --siblings-fd M`, this process's as `--supervisor N`. data: the data folder. log: of
    this process."""

    def __init__(
        self, command: Sequence[str], listening: socket.socket, count: int, data: Path, log: logging.Logger
    ) -> None:
        self._log = log
        self._command = [*command, "--listen-fd", str(listening.fileno()), "--supervisor", str(os.getpid())]
        self._listening = listening
        self._count = count
        self._workers: set[asyncio.subprocess.Process] = set()
        self._stopping = asyncio.Event()
        self._hub = Hub({"metrics": keep})
        self._hub.hears["reloaded"] = self._reloaded
        self._data = data
        self._hub.hears["ready"] = self._is_ready
        # Process ids of the workers that hear signals; of those that will be told to reload once they do.
        self._ready: set[int] = set()
        self._owed: set[int] = set()
        # Process ids of the workers that have not said yet what came of a reload, and what the others said.
        self._asked: set[int] = set()
        self._reports: list[dict[str, Any]] = []

    async def run(self) -> int:
        """Exit status 0 when every worker drained in good order after a stop was asked for, 1 otherwise."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop, number)
        loop.add_signal_handler(signal.SIGHUP, self._pass_on, signal.SIGHUP)
        statuses = await asyncio.gather(*(self._keep_alive(number) for number in range(self._count)))
        # A worker that was told to stop while it still started had nothing to drain.
        return 0 if all(status in (0, -signal.SIGTERM, -signal.SIGINT) for status in statuses) else 1

    async def _keep_alive(self, number: int) -> int:
        pause = 0.0
        loop = asyncio.get_running_loop()
        while True:
            began = loop.time()
            seat = await self._hub.add()
            if self._stopping.is_set():
                self._hub.remove(seat)
                return 0
            shared = (self._listening.fileno(), seat.child.fileno())
            worker = await asyncio.create_subprocess_exec(
                *self._command, "--siblings-fd", str(seat.child.fileno()), pass_fds=shared
            )
            seat.child.close()
            self._workers.add(worker)
            if self._stopping.is_set():
                worker.send_signal(signal.SIGTERM)
            status = await worker.wait()
            self._workers.discard(worker)
            self._hub.remove(seat)
            self._ready.discard(worker.pid)
            self._owed.discard(worker.pid)
            self._answered(worker.pid)
            if self._stopping.is_set():
                return status
            pause = 0.0 if loop.time() - began > _SHORTEST_LIFE else min(max(1.0, pause * 2), _LONGEST_PAUSE)
            self._log.error(
                "a worker ended, another is started", extra={"worker": number, "status": status, "pid": worker.pid}
            )
            try:
                async with asyncio.timeout(pause):
                    await self._stopping.wait()
                return status
            except TimeoutError:
                continue

    def _stop(self, number: signal.Signals) -> None:
        self._stopping.set()
        # Workers that drain accept no more, and a connection that nobody will accept is better refused.
        self._listening.close()
        self._pass_on(number)

    def _is_ready(self, process: int) -> None:
        """A worker serves, and hears signals."""
        self._ready.add(process)
        if process in self._owed:
            self._owed.remove(process)
            os.kill(process, signal.SIGHUP)

    def _reloaded(self, told: dict[str, Any]) -> None:
        """A worker says what came of a reload."""
        self._reports.append(told)
        self._answered(told["process"])

    def _answered(self, process: int) -> None:
        """Nothing more is to come of this worker; when all have answered or died, whoever asked is told."""
        if process in self._asked:
            self._asked.remove(process)
            if not self._asked and self._reports:
                write_outcome(self._data, self._reports)

    def _pass_on(self, number: signal.Signals) -> None:
        if number == signal.SIGHUP:
            self._asked, self._reports = {worker.pid for worker in self._workers}, []
            # To a worker that is still starting it would be the end.
            self._owed = self._asked - self._ready
        for worker in self._workers:
            if number == signal.SIGHUP and worker.pid in self._owed:
                continue
            if worker.returncode is None:
                worker.send_signal(number)


def worker_command(arguments: Sequence[str]) -> list[str]:
    """How this process was started, as the beginning of a worker's command line."""
    if getattr(sys, "frozen", False):
        # The single binary. A child of the same file takes over what its parent has unpacked.
        return [sys.executable, *arguments]
    return [sys.executable, "-m", "gateway", *arguments]


def inherited(descriptor: int) -> socket.socket:
    """The listening socket that the parent passed on. Raises GatewayFault when it is none."""
    # Not a copy: the socket closes for good when this worker stops to accept.
    listening = socket.socket(fileno=descriptor)
    if not listening.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
        listening.detach()
        raise GatewayFault(f"--listen-fd {descriptor}: this socket does not listen")
    listening.setblocking(False)
    return listening
