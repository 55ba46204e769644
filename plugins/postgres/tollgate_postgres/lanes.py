"""Group commit: what happens to holds goes to the database in batches, one round trip and one transaction each.

A process has a few lanes, and all that concerns one account takes the same one: so the order in which things were
handed over is kept, and a busy account makes only its own lane wait. A lane has one connection and at most one batch on
its way; what arrives meanwhile is the next batch. A batch costs the database several times what one more operation in
it does, so a lane hears out what is ready on the event loop before it sends one, and that a request went out
(`mark_dispatched`) is written a little later, or not at all when the request has ended by then.

A batch has a number, which the database keeps with the answer (table `lanes`). When the connection breaks in the
middle, the batch is sent again under the same number over a new connection: if it had been applied, the kept answer
comes back, and nothing happens twice.

While the database is away, callers that may give up (holds, growth) hear 503 after `WAIT_WITHIN`; should their batch
turn out to have been applied, what they reserved is released. Ends of calls, their rows of the usage log among them,
stay in the lane until they are written, and meanwhile lie in a journal on this machine's disk, one file for each lane.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import zlib
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gateway.api import GatewayFault
from gateway.api.stores import Journal, inherited
from tollgate_postgres.engine import WAIT_WITHIN, away, connect, is_away, is_conflict

if TYPE_CHECKING:
    import asyncpg

    from tollgate_postgres.engine import Database

JOURNALS = "postgres-pending-"
"""How the names of the journals begin, in the data folder."""
_MOST = 128
MARKED_WITHIN = 0.2
"""Seconds until a mark is sent at the latest. A crash before that voids the hold, one after it charges what is known of
the usage, which is nothing so far."""
_PATIENT_WITHIN = 10.0
"""Seconds after which the caller of an end of a call hears 503; the end itself stays."""

Operation = dict[str, Any]
"""What `gw_run` takes: `do`, the request id as `r`, and the rest by kind."""


class Waiting:
    """An operation on its way. future: of who waits for it, None when nobody does."""

    __slots__ = ("future", "operation")

    def __init__(self, operation: Operation, future: asyncio.Future[Any] | None) -> None:
        self.operation = operation
        self.future = future

    @property
    def kept(self) -> bool:
        """Whether it must be written in the end, whoever waits."""
        return self.operation["do"] in ("settle", "void", "record")


class Lane:
    """One connection, one batch at a time, all in order."""

    def __init__(self, database: Database, number: int, lease: Callable[[], str], journal: Journal) -> None:
        self._database = database
        self._number = number
        self._lease = lease
        self._journal = journal
        self._log = logging.getLogger("gateway.postgres")
        self._queue: deque[Waiting] = deque()
        self._batch: list[Waiting] = []
        self._marks: dict[str, None] = {}
        self._older_marks: dict[str, None] = {}
        self._marking: asyncio.TimerHandle | None = None
        self._wake = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._seq = 0
        self._connection: asyncpg.Connection[asyncpg.Record] | None = None
        self._task = asyncio.get_running_loop().create_task(self._work())

    def post(self, operation: Operation) -> None:
        """Hand over without waiting."""
        self._enter(Waiting(operation, None))

    def mark(self, request_id: str) -> None:
        """The request goes out: written within `MARKED_WITHIN`, unless it ends before."""
        self._marks[request_id] = None
        if self._marking is None:
            self._marking = asyncio.get_running_loop().call_later(MARKED_WITHIN / 2, self._send_older_marks)

    def _send_older_marks(self) -> None:
        """Those that were there a timer ago, so that no mark needs one of its own."""
        older, self._older_marks, self._marks = self._older_marks, self._marks, {}
        self._marking = None
        if self._older_marks:
            self._marking = asyncio.get_running_loop().call_later(MARKED_WITHIN / 2, self._send_older_marks)
        for request_id in older:
            self.post({"do": "dispatch", "r": request_id})

    def send_marks(self) -> None:
        """All of them, now."""
        for request_id in (*self._older_marks, *self._marks):
            self.post({"do": "dispatch", "r": request_id})
        self._older_marks, self._marks = {}, {}

    def _enter(self, waiting: Waiting) -> None:
        operation = waiting.operation
        if operation["do"] in ("settle", "void"):
            # A mark says something of an open hold only.
            self._marks.pop(operation["r"], None)
            self._older_marks.pop(operation["r"], None)
        self._queue.append(waiting)
        self._idle.clear()
        self._wake.set()

    async def submit(self, operation: Operation) -> Any:
        """Hand over and wait for the answer. Raises GatewayFault(503) when the database stays away."""
        waiting = Waiting(operation, asyncio.get_running_loop().create_future())
        assert waiting.future is not None
        self._enter(waiting)
        patience = _PATIENT_WITHIN if waiting.kept else WAIT_WITHIN
        try:
            # The timer costs nothing when the answer is there within it, which is nearly always.
            async with asyncio.timeout(patience):
                return await asyncio.shield(waiting.future)
        except TimeoutError:
            waiting.future.cancel()
            self._give_up(waiting)
            raise away() from None

    def _give_up(self, waiting: Waiting) -> None:
        """The caller leaves. What is not on its way yet need not be sent, unless it must be kept."""
        if not waiting.kept and waiting in self._queue:
            self._queue.remove(waiting)

    @property
    def length(self) -> int:
        """How many operations wait or are on their way."""
        return len(self._queue) + len(self._batch)

    async def drain(self) -> None:
        """Wait until everything is written."""
        self.send_marks()
        await self._idle.wait()

    async def stop(self) -> None:
        """End, with what is still here left in the journal."""
        if self._marking is not None:
            self._marking.cancel()
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task
        await self._keep()
        self._journal.close()
        await self._disconnect()

    async def _keep(self) -> None:
        """Have the ends of calls that are here on disk."""
        ends = [one.operation for one in (*self._batch, *self._queue) if one.kept]
        try:
            await asyncio.to_thread(self._journal.keep, ends)
        except OSError as error:
            self._log.critical("the ends of calls are kept in memory only: their journal cannot be written",
                               extra={"detail": str(error)})  # fmt: skip

    async def _work(self) -> None:
        while True:
            await self._wake.wait()
            while self._queue:
                # Who was woken together with this one hands over now, and not in a batch of its own.
                await asyncio.sleep(0)
                self._batch = [self._queue.popleft() for _ in range(min(len(self._queue), _MOST))]
                await self._apply(self._batch)
                self._batch = []
            # Not before the queue is empty: what waited in it lies in the journal, too.
            self._journal.forget()
            self._wake.clear()
            self._idle.set()

    async def _apply(self, batch: list[Waiting]) -> None:
        self._seq += 1
        try:
            answers = await self._ask([one.operation for one in batch])
        except asyncio.CancelledError:
            raise
        except Exception as error:  # whatever it is, who waits must hear of it, and the lane goes on
            if len(batch) > 1:
                # One of them is to blame, and the others must not suffer for it.
                for one in batch:
                    await self._apply([one])
                return
            self._log.error("the ledger refused an operation", exc_info=error)
            self._answer(batch[0], GatewayFault("The ledger refused this operation.", detail=str(error)[:300]))
            return
        for one, answer in zip(batch, answers, strict=True):
            self._answer(one, answer)

    def _answer(self, one: Waiting, answer: Any) -> None:
        if one.future is None:
            if isinstance(answer, dict):
                # Nobody waits for it, so the log is where it is heard of.
                self._log.warning("a row of the usage log names an unknown account and was dropped",
                                  extra={"detail": one.operation["r"]})  # fmt: skip
            return
        if not one.future.done():
            if isinstance(answer, GatewayFault):
                one.future.set_exception(answer)
            else:
                one.future.set_result(answer)
        elif one.operation["do"] == "hold" and isinstance(answer, dict) and "e" not in answer:
            # Its caller has left with a 503 and will not come back for what was reserved.
            self.post({"do": "void", "r": one.operation["r"]})

    async def _ask(self, operations: list[Operation]) -> list[Any]:
        """Send a batch until there is an answer."""
        pause, kept = 0.05, False
        while True:
            try:
                if self._connection is None or self._connection.is_closed():
                    self._connection = await connect(self._database.url)
                answer: list[Any] = await self._connection.fetchval(
                    "SELECT gw_run($1, $2, $3, $4, $5)",
                    self._lease(), self._number, self._seq, self._database.now(), operations,
                )  # fmt: skip
            except Exception as error:  # only to sort it: what the batch itself did wrong is raised as it is
                if is_conflict(error):
                    continue
                if not is_away(error):
                    raise
                await self._disconnect()
                if not kept:
                    kept = True
                    self._log.warning(
                        "the database is away", extra={"detail": f"{type(error).__name__}: {error}"[:300]}
                    )
                await self._keep()
                await asyncio.sleep(pause)
                pause = min(pause * 2, 1.0)
            else:
                if kept:
                    self._log.warning("the database is back")
                return answer

    async def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.terminate()


class Lanes:
    """The lanes of a process; an account's things always take the same."""

    def __init__(self, database: Database, lease: Callable[[], str], data: str, *, count: int = 4) -> None:
        journals = [Journal(Path(data) / f"{JOURNALS}{lease()}-{number}.jsonl") for number in range(count)]
        self._lanes = [Lane(database, number, lease, journal) for number, journal in enumerate(journals)]
        self._lane_of: dict[str, Lane] = {}
        self._place = Path(data)

    def for_account(self, account_id: str, request_id: str) -> Lane:
        """The account's lane, which is the request's from now on."""
        lane = self._lanes[zlib.crc32(account_id.encode()) % len(self._lanes)]
        self._lane_of[request_id] = lane
        return lane

    def for_request(self, request_id: str) -> Lane:
        """Where the request's earlier things went."""
        return self._lane_of.get(request_id, self._lanes[0])

    def forget(self, request_id: str) -> None:
        """The request has ended."""
        self._lane_of.pop(request_id, None)

    @property
    def length(self) -> int:
        """How many operations wait or are on their way, in all lanes."""
        return sum(lane.length for lane in self._lanes)

    async def catch_up(self) -> None:
        """Wait until what was handed over before is written, and not for what comes meanwhile. Raises GatewayFault(503)
        when the database stays away."""
        for lane in self._lanes:
            lane.send_marks()
        await asyncio.gather(*(lane.submit({"do": "dispatch", "r": ""}) for lane in self._lanes))

    async def settle_inheritance(self) -> None:
        """Write the ends of calls that lie in the journals of processes of this machine that are gone. Raises
        GatewayFault (503), keeping the journals, while the database is away."""
        paths, operations = await asyncio.to_thread(inherited, self._place, JOURNALS)
        for operation in operations:
            if operation["do"] == "record":
                operation["inherited"] = True
            try:
                await self.for_request(operation["r"]).submit(operation)
            except GatewayFault as fault:
                if fault.status == 503:
                    raise
                # The lane has told of it. It would be refused again, and must not keep the gateway from starting.
        for path in paths:
            await asyncio.to_thread(path.unlink, missing_ok=True)

    async def drain(self) -> None:
        """Wait until everything that was handed over is written."""
        for lane in self._lanes:
            await lane.drain()

    async def stop(self) -> None:
        """End all lanes."""
        for lane in self._lanes:
            await lane.stop()
