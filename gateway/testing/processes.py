"""Gateways as processes of their own, forked from one that has imported the program.

What a start of `gateway serve` costs is mostly imports. Proofs that kill, stop and replace gateways start dozens of
them; here each is a fork of a server that has imported everything once, and from there on it is what the command would
be. The server runs this file by its path, because importing the kit as a package imports pytest.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import select
import signal
import socket
import sys
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from importlib.metadata import entry_points
from types import TracebackType
from typing import Any, NoReturn

_LARGEST = 1 << 17
"""Bytes of a message between the two: a command line and an environment."""


class GatewayProcess:
    """One `gateway` command that runs. pid: its process id. stdout: what it writes there. returncode: its exit status,
    negative for the signal that killed it; None while it lives."""

    def __init__(self, pid: int, stdout: asyncio.StreamReader, transport: asyncio.ReadTransport) -> None:
        self.pid = pid
        self.stdout = stdout
        self.returncode: int | None = None
        self._transport = transport
        self._ended = asyncio.Event()

    async def wait(self) -> int:
        """Its exit status, once it has one."""
        await self._ended.wait()
        assert self.returncode is not None
        return self.returncode

    def send_signal(self, number: int) -> None:
        """Nothing happens to one that has ended."""
        if self.returncode is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """At once."""
        self.send_signal(signal.SIGKILL)

    def end(self, status: int) -> None:
        """The server says that it has ended."""
        self.returncode = status
        self._transport.close()
        self._ended.set()


class ForkServer:
    """Starts `gateway` commands in milliseconds. To be used with `async with`; what still runs at its end is killed."""

    def __init__(self) -> None:
        self._socket: socket.socket | None = None
        self._server: asyncio.subprocess.Process | None = None
        self._processes: dict[int, GatewayProcess] = {}
        self._born: asyncio.Queue[int] = asyncio.Queue()
        self._starting = asyncio.Lock()
        self._gone: dict[int, int] = {}

    async def __aenter__(self) -> ForkServer:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ours.setblocking(False)
        with theirs:
            self._server = await asyncio.create_subprocess_exec(
                sys.executable, "-P", __file__, str(theirs.fileno()), pass_fds=(theirs.fileno(),)
            )
        self._socket = ours
        asyncio.get_running_loop().add_reader(ours.fileno(), self._hear)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._socket is not None
        assert self._server is not None
        # The end of the connection is the server's sign to kill its children and go.
        self._socket.shutdown(socket.SHUT_WR)
        await self._server.wait()
        asyncio.get_running_loop().remove_reader(self._socket.fileno())
        self._hear()
        self._socket.close()

    async def start(self, *words: str, env: Mapping[str, str], stderr: int) -> GatewayProcess:
        """Run `gateway WORDS` with this whole environment. stderr: an open file's number."""
        assert self._socket is not None
        loop = asyncio.get_running_loop()
        reading, writing = os.pipe()
        reader = asyncio.StreamReader()
        transport, _ = await loop.connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(reading, "rb", 0)
        )
        async with self._starting:
            try:
                told = json.dumps({"words": words, "env": dict(env)}).encode()
                socket.send_fds(self._socket, [told], [writing, stderr])
            finally:
                os.close(writing)
            pid = await self._born.get()
        process = self._processes[pid] = GatewayProcess(pid, reader, transport)
        if pid in self._gone:
            process.end(self._gone.pop(pid))
        return process

    def _hear(self) -> None:
        assert self._socket is not None
        while True:
            try:
                told = self._socket.recv(_LARGEST)
            except BlockingIOError:
                return
            if not told:
                asyncio.get_running_loop().remove_reader(self._socket.fileno())
                return
            word: dict[str, Any] = json.loads(told)
            pid = word["pid"]
            if "status" not in word:
                self._born.put_nowait(pid)
            elif pid in self._processes:
                self._processes.pop(pid).end(word["status"])
            else:
                self._gone[pid] = word["status"]


def serve(connection: socket.socket) -> None:
    """The server: forks for each message until the connection ends, and tells who was born and who has died."""
    from gateway.cli import main
    from gateway.pluginload import ENTRY_POINT_GROUP

    # The command line imports a command, and the gateway its plugins, when they are wanted.
    # Each process would import for itself what comes later.
    for name in ("gateway.cli.serve", "gateway.console.site", "gateway.http.all_routes"):
        import_module(name)
    for point in entry_points(group=ENTRY_POINT_GROUP):
        # What cannot be imported is told by the gateway itself.
        with contextlib.suppress(Exception):
            point.load()
    woken, waker = os.pipe()
    os.set_blocking(waker, False)
    signal.set_wakeup_fd(waker)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    living: set[int] = set()
    while True:
        readable, _, _ = select.select([connection.fileno(), woken], [], [])
        if woken in readable:
            os.read(woken, 4096)
            _reap(connection, living)
        if connection.fileno() in readable:
            told, files, _, _ = socket.recv_fds(connection, _LARGEST, 2)
            if not told:
                break
            pid = os.fork()
            if not pid:
                for opened in (woken, waker):
                    os.close(opened)
                connection.close()
                _become(main, json.loads(told), *files)
            for opened in files:
                os.close(opened)
            living.add(pid)
            connection.send(json.dumps({"pid": pid}).encode())
    for pid in living:
        os.kill(pid, signal.SIGKILL)
    for pid in living:
        os.waitpid(pid, 0)
        connection.send(json.dumps({"pid": pid, "status": -signal.SIGKILL}).encode())


def _reap(connection: socket.socket, living: set[int]) -> None:
    while living:
        pid, status = os.waitpid(-1, os.WNOHANG)
        if not pid:
            return
        living.discard(pid)
        connection.send(json.dumps({"pid": pid, "status": os.waitstatus_to_exitcode(status)}).encode())


def _become(main: Callable[[Sequence[str]], int], told: Mapping[str, Any], stdout: int, stderr: int) -> NoReturn:
    """Be the command, in the child."""
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    for opened, number in ((stdout, 1), (stderr, 2)):
        os.dup2(opened, number)
        os.close(opened)
    os.environ.clear()
    os.environ.update(told["env"])
    sys.argv[:] = ["gateway", *told["words"]]
    status: int | str | None = 1
    try:
        status = main(told["words"])
    except SystemExit as end:
        status = end.code
    except BaseException:  # as the interpreter itself would show it
        sys.excepthook(*sys.exc_info())
    finally:
        with contextlib.suppress(OSError):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(status if isinstance(status, int) else 0 if status is None else 1)


if __name__ == "__main__":
    serve(socket.socket(fileno=int(sys.argv[1])))
