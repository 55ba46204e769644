"""Workers of one gateway know of each other by way of their supervisor: a pair of sockets for each of them, one JSON
document a line.

    worker  -> hub    {"ask": n, "what": w, "with": {...}}     what do all of them say to w?
    hub     -> worker {"give": n, "what": w, "with": {...}}    say it
    worker  -> hub    {"given": n, "data": d}
    hub     -> worker {"answer": n, "data": [d, ...], "gone": d}
    worker  -> hub    {"tell": t, "data": d}         to all others, and to the supervisor
    hub     -> worker {"told": t, "data": d}

What a worker gave last is kept when it dies and folded into `gone`: what it has counted is not forgotten. A gateway of
one process is `Alone`, which answers itself.
"""

from __future__ import annotations

import asyncio
import itertools
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import orjson

Give = Callable[..., Any]
Hear = Callable[[Any], None]
Fold = Callable[[Any, Any], Any]

PATIENCE = 2.0
"""Seconds that the supervisor waits for the workers; for one that hangs, what it said last is taken."""
SUPERVISOR = 10.0
"""Seconds that a worker waits for the supervisor."""
_LONGEST = 64 << 20
"""Bytes of one line."""


@dataclass(slots=True, frozen=True)
class Said:
    """What the processes of a gateway say to one question. all: of those that live, this one included. gone: what is
    left of those that died, None without any."""

    all: list[Any]
    gone: Any = None


class Siblings(Protocol):
    """The other processes of this gateway."""

    gives: dict[str, Give]
    hears: dict[str, Hear]

    async def ask(self, what: str, **arguments: Any) -> Said:
        """What all of them say. arguments: of whoever gives it."""

    def tell(self, topic: str, data: Any) -> None:
        """Tell the others, without waiting."""


class Alone:
    """A gateway of one process. gives: what it says to each question."""

    def __init__(self) -> None:
        self.gives: dict[str, Give] = {}
        self.hears: dict[str, Hear] = {}

    async def ask(self, what: str, **arguments: Any) -> Said:
        """What this process says."""
        return Said([self.gives[what](**arguments)])

    def tell(self, topic: str, data: Any) -> None:
        """There is nobody."""


class Link:
    """A worker's end. connection: the socket that the supervisor passed on.

    gives: what this worker says to each question. hears: who is told of what others tell, by topic.
    """

    def __init__(self, connection: socket.socket) -> None:
        self.gives: dict[str, Give] = {}
        self.hears: dict[str, Hear] = {}
        self._connection = connection
        self._numbers = itertools.count(1)
        self._asked: dict[int, asyncio.Future[Said]] = {}
        self._writer: asyncio.StreamWriter | None = None

    async def start(self) -> None:
        """Begin to listen to the supervisor."""
        reader, self._writer = await asyncio.open_connection(sock=self._connection, limit=_LONGEST)
        self._listening = asyncio.get_running_loop().create_task(self._listen(reader), name="siblings")

    async def close(self) -> None:
        """Let go of the socket."""
        self._listening.cancel()
        await asyncio.gather(self._listening, return_exceptions=True)
        if self._writer is not None:
            self._writer.close()

    async def ask(self, what: str, **arguments: Any) -> Said:
        """What all workers say; what this one says when the supervisor is silent."""
        number = next(self._numbers)
        answer: asyncio.Future[Said] = asyncio.get_running_loop().create_future()
        self._asked[number] = answer
        self._send({"ask": number, "what": what, "with": arguments})
        try:
            async with asyncio.timeout(SUPERVISOR):
                return await answer
        except TimeoutError:
            return Said([self.gives[what](**arguments)])
        finally:
            del self._asked[number]

    def tell(self, topic: str, data: Any) -> None:
        """Tell the others and the supervisor, without waiting."""
        self._send({"tell": topic, "data": data})

    def _send(self, message: Mapping[str, Any]) -> None:
        if self._writer is not None:
            self._writer.write(orjson.dumps(message) + b"\n")

    async def _listen(self, reader: asyncio.StreamReader) -> None:
        while line := await reader.readline():
            message = orjson.loads(line)
            if "give" in message:
                give = self.gives.get(message["what"])
                self._send({"given": message["give"], "data": None if give is None else give(**message["with"])})
            elif "answer" in message:
                asked = self._asked.get(message["answer"])
                if asked is not None and not asked.done():
                    asked.set_result(Said(message["data"], message["gone"]))
            elif (hear := self.hears.get(message["told"])) is not None:
                hear(message["data"])


@dataclass(slots=True, eq=False)
class Seat:
    """One worker, as the hub sees it. child: the socket that the worker inherits. last: what it gave, by question."""

    own: socket.socket
    child: socket.socket
    last: dict[str, Any] = field(default_factory=dict)
    writer: asyncio.StreamWriter | None = None
    listening: asyncio.Task[None] | None = None


class Hub:
    """The supervisor's end. fold: by question, how what a dead worker gave last is added to what is kept of the dead
    (None at first); a question that is not named is forgotten. hears: who is told of what workers tell, by topic."""

    def __init__(self, fold: Mapping[str, Fold]) -> None:
        self.hears: dict[str, Hear] = {}
        self._fold = fold
        self._gone: dict[str, Any] = {}
        self._seats: set[Seat] = set()
        self._numbers = itertools.count(1)
        self._given: dict[tuple[Seat, int], asyncio.Future[Any]] = {}
        self._answers: set[asyncio.Task[None]] = set()

    async def add(self) -> Seat:
        """A place for a worker that is about to be started."""
        own, child = socket.socketpair()
        child.set_inheritable(True)
        seat = Seat(own, child)
        own.setblocking(False)
        reader, seat.writer = await asyncio.open_connection(sock=own, limit=_LONGEST)
        self._seats.add(seat)
        seat.listening = asyncio.get_running_loop().create_task(self._listen(seat, reader), name="worker")
        return seat

    def remove(self, seat: Seat) -> None:
        """Its worker is gone; what it counted stays."""
        self._seats.discard(seat)
        for what, fold in self._fold.items():
            if seat.last.get(what) is not None:
                self._gone[what] = fold(self._gone.get(what), seat.last[what])
        for (other, _), waiting in self._given.items():
            if other is seat and not waiting.done():
                waiting.set_result(None)
        if seat.listening is not None:
            seat.listening.cancel()
        if seat.writer is not None:
            seat.writer.close()

    async def _listen(self, seat: Seat, reader: asyncio.StreamReader) -> None:
        while line := await reader.readline():
            message = orjson.loads(line)
            if "ask" in message:
                task = asyncio.get_running_loop().create_task(self._answer(seat, message))
                self._answers.add(task)
                task.add_done_callback(self._answers.discard)
            elif "given" in message:
                waiting = self._given.get((seat, message["given"]))
                if waiting is not None and not waiting.done():
                    waiting.set_result(message["data"])
            else:
                for other in self._seats - {seat}:
                    self._send(other, {"told": message["tell"], "data": message["data"]})
                hear = self.hears.get(message["tell"])
                if hear is not None:
                    hear(message["data"])

    async def _answer(self, asker: Seat, message: Mapping[str, Any]) -> None:
        what = message["what"]
        said = await asyncio.gather(*(self._ask(seat, what, message["with"]) for seat in self._seats))
        # Those that died meanwhile are among the gone.
        living = [data for seat, data in said if seat in self._seats and data is not None]
        self._send(asker, {"answer": message["ask"], "data": living, "gone": self._gone.get(what)})

    async def _ask(self, seat: Seat, what: str, arguments: Mapping[str, Any]) -> tuple[Seat, Any]:
        number = next(self._numbers)
        waiting: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._given[seat, number] = waiting
        self._send(seat, {"give": number, "what": what, "with": arguments})
        try:
            async with asyncio.timeout(PATIENCE):
                data = await waiting
        except TimeoutError:
            return seat, seat.last.get(what)
        finally:
            del self._given[seat, number]
        if what in self._fold and data is not None:
            seat.last[what] = data
        return seat, data

    def _send(self, seat: Seat, message: Mapping[str, Any]) -> None:
        if seat.writer is not None and not seat.writer.is_closing():
            seat.writer.write(orjson.dumps(message) + b"\n")
