"""The one writer of a process: a thread that owns the only connection that writes.

Callers on the event loop hand over small operations and wait for a future; the thread takes everything that waits,
runs it in one transaction, commits (one fsync for all), and tells the loop once. While it commits, the next batch
gathers; when nothing is going on, an operation is committed at once. When several callers wait at a time, batches keep
a small distance: a batch costs the same for one as for many, and its thread takes the interpreter from the loop at
every statement. What a lone caller waits for is committed on the loop itself, as long as the disk is quick: handing it
over to the thread and back costs as much as the commit. No caller ever owns a transaction, so a cancelled caller cannot
leave one open: its operation is applied all the same, only nobody looks at the result.

What must not be lost with the process (the ends of calls) goes to the journal as soon as it has to wait: for others'
lock, or after a batch that the disk refused.
"""

from __future__ import annotations

import asyncio
import logging
import random
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from queue import SimpleQueue
from typing import Any

from gateway.api import GatewayFault
from gateway.api.stores import Journal
from gateway.sqlite.engine.operation import Operation, Runner, unavailable

LINGER = 0.05
"""Seconds an operation nobody waits for may gather company."""
GATHER = 0.004
"""Seconds from the beginning of a batch to that of the next, while more than one caller waits at a time."""
_MOST_CARRIED = 10_000
_IMPATIENT = 0.2
"""Seconds to wait for the write lock after a batch that failed."""
_QUICK = 0.002
"""Seconds that a commit may take on the event loop. After a longer one the thread shows when the disk is quick
again."""
_TO_DISK = "PRAGMA synchronous = FULL"
_TO_SYSTEM = "PRAGMA synchronous = NORMAL"
"""How far a commit goes before it counts as done: what only the system has outlives everything but a loss of power."""
_JOURNAL_AFTER = 0.1
"""Seconds of waiting for the write lock after which the ends of calls go to the journal."""


class Writer:
    """Takes operations in batches, each batch one transaction. Made and used on one event loop; `start` opens the
    connection, `close` finishes the queue.

    connect: opens the connection, on the thread. run: see `Runner`. settled: told after each transaction whether it
    was committed, on the thread. limit: operations that may wait before callers have to queue for a place.
    patience: seconds to wait for the write lock when other processes hold it. journal: where the ends of calls are
    while they cannot be written. log: where rollbacks are reported.
    """

    def __init__(
        self,
        connect: Callable[[], sqlite3.Connection],
        run: Runner,
        settled: Callable[[bool], None],
        *,
        limit: int = 4096,
        most: int = 512,
        patience: float = 5.0,
        journal: Journal,
        log: logging.Logger,
    ) -> None:
        self._connect = connect
        self._run = run
        self._settled = settled
        self._limit = limit
        self._most = most
        self._patience = patience
        self._journal = journal
        self._log = log
        self._loop = asyncio.get_running_loop()
        self._queue: deque[Operation] = deque()
        self._signal: SimpleQueue[None] = SimpleQueue()
        self._signalled = False
        self._waiting = 0
        self._room: deque[asyncio.Future[None]] = deque()
        self._lingering: asyncio.TimerHandle | None = None
        self._carried: list[Operation] = []
        self._well = True
        # Of the thread: when its last batch began, and whether more than one caller waited for that.
        self._began = 0.0
        self._crowded = False
        # The connection, and whose turn it is to use it: the thread's, or the loop's for a lone caller.
        self._connection: sqlite3.Connection | None = None
        self._turn = threading.Lock()
        self._quick = True
        self._synced = True
        self._closing = False
        self._ended: asyncio.Future[None] = self._loop.create_future()
        self._thread = threading.Thread(target=self._work, name="gateway-ledger", daemon=True)
        self.batches = 0
        self.operations = 0

    @property
    def backlog(self) -> int:
        """Operations that wait to be committed."""
        return len(self._queue)

    async def start(self) -> None:
        """Open the connection; raises what opening raised."""
        opened: asyncio.Future[None] = self._loop.create_future()
        self._opened = opened
        self._thread.start()
        await opened

    async def submit(self, operation: Operation, *, queue: bool = True, lone: bool = False) -> Any:
        """Hand over and wait until it is durable; returns its result or raises its fault.

        queue: wait for a place when too many operations wait already. What ends a hold does not: there are no more
        of these than of holds, and a caller cancelled in the row would leave its hold open. lone: nobody else is being
        served, so the event loop may wait for the disk."""
        if lone and self._commit_here(operation):
            if operation.fault is not None:
                raise operation.fault
            return operation.result
        while queue and self._waiting >= self._limit:
            await self._wait_for_room()
        if self._closing:
            raise GatewayFault("The gateway is stopping.", status=503, code="stopping", retry_after=1.0)
        future: asyncio.Future[Any] = self._loop.create_future()
        operation.future = future
        self._waiting += 1
        self._queue.append(operation)
        self._wake()
        return await future

    def post(self, operation: Operation, *, within: float = LINGER) -> None:
        """Hand over without waiting. It goes before everything submitted later, and with it. within: seconds that it
        may wait for company."""
        if self._closing:
            self._log.error("an operation came after the ledger was closed: %s", type(operation).__name__)
            return
        self._queue.append(operation)
        if self._signalled:
            return
        lingering, latest = self._lingering, self._loop.time() + within
        if lingering is None or lingering.when() > latest:
            if lingering is not None:
                lingering.cancel()
            self._lingering = self._loop.call_at(latest, self._wake)

    async def close(self) -> None:
        """Commit what waits, close the connection, end the thread. Idempotent."""
        if not self._closing:
            self._closing = True
            if self._lingering is not None:
                self._lingering.cancel()
            self._signal.put(None)
        await asyncio.shield(self._ended)

    async def _wait_for_room(self) -> None:
        place: asyncio.Future[None] = self._loop.create_future()
        self._room.append(place)
        try:
            await place
        except asyncio.CancelledError:
            if not place.cancelled():
                self._give_room()  # the place was ours already: the next in the row shall have it
            raise

    def _give_room(self) -> None:
        places = self._limit - self._waiting
        while self._room and places > 0:
            place = self._room.popleft()
            if not place.done():
                place.set_result(None)
                places -= 1

    def _stop_lingering(self) -> None:
        if self._lingering is not None:
            self._lingering.cancel()
            self._lingering = None

    def _wake(self) -> None:
        self._stop_lingering()
        if not self._signalled:
            self._signalled = True
            self._signal.put(None)

    def _commit_here(self, operation: Operation) -> bool:
        """Commit what waits, and this, on the event loop; False when that is for the thread."""
        if self._waiting or self._signalled or self._carried or self._closing or not (self._quick and self._well):
            return False
        if len(self._journal):
            return False  # forgetting what is in there is a file's affair
        connection = self._connection
        if connection is None or not self._turn.acquire(blocking=False):
            return False
        try:
            posted = list(self._queue)
            batch, began = [*posted, operation], time.perf_counter()
            try:
                self._sync(connection, batch)
                connection.execute("BEGIN IMMEDIATE")
                self._apply(connection, batch)
            except Exception:  # the thread tries again, waits if it must, and tells what is wrong
                self._roll_back(connection)
                return False
            self._quick = time.perf_counter() - began < _QUICK
            self._queue.clear()
            self._stop_lingering()
            self._committed(batch)
        finally:
            self._turn.release()
        self._deliver(posted)
        return True

    # Everything below runs on the thread, `_deliver` and `_end` excepted, and what commits also on the loop.

    def _work(self) -> None:
        try:
            connection = self._connect()
        except BaseException as problem:  # carried over to whoever called `start`
            self._tell(self._opened.set_exception, problem)
            self._tell(self._end)
            return
        self._connection = connection
        self._tell(self._opened.set_result, None)
        try:
            while True:
                self._signal.get()
                self._gather()
                # Cleared before the queue is read: what comes from now on signals again.
                self._signalled = False
                while taken := self._take_turn(connection):
                    if taken < self._most and not self._closing:
                        break  # what has come meanwhile has signalled
                if self._closing and not self._queue:
                    break
            if self._carried:
                self._take_turn(connection)
        finally:
            self._connection = None
            with self._turn:
                connection.close()
            self._tell(self._end)

    def _gather(self) -> None:
        """Let the next batch grow, as long as there is somebody to come: a lone caller never waits."""
        if self._crowded and not self._closing:
            rest = self._began + GATHER - time.monotonic()
            if rest > 0:
                time.sleep(rest)
        self._began = time.monotonic()

    def _take(self) -> list[Operation]:
        """The next batch: what a failed one left over, then the queue in order."""
        if not self._queue and not self._closing:
            return []
        batch, self._carried = self._carried, []
        queue = self._queue
        for _ in range(min(len(queue), self._most - len(batch))):
            batch.append(queue.popleft())
        waiting = 0
        for operation in batch:
            if operation.future is not None:
                waiting += 1
        self._crowded = waiting > 1
        return batch

    def _take_turn(self, connection: sqlite3.Connection) -> int:
        """Commit the next batch; returns how many operations it had."""
        with self._turn:
            batch, began = self._take(), time.perf_counter()
            if not batch:
                return 0
            self._commit(connection, batch)
            self._quick = time.perf_counter() - began < _QUICK
        # When the turn is over: who is told may have something to commit at once.
        self._tell(self._deliver, batch)
        return len(batch)

    def _commit(self, connection: sqlite3.Connection, batch: list[Operation]) -> None:
        problem = self._try(connection, batch)
        if problem is None:
            return
        if len(batch) > 1 and not isinstance(problem, sqlite3.OperationalError):
            # A bug or a constraint, not the disk: one operation must not spoil the others.
            for operation in tuple(batch):
                alone = [operation]
                self._commit(connection, alone)
                batch += alone[1:]  # what came while it waited for the lock
            return
        self._fail(batch, problem)

    def _try(self, connection: sqlite3.Connection, batch: list[Operation]) -> Exception | None:
        try:
            self._begin(connection, batch)
            self._apply(connection, batch)
        except Exception as problem:  # whatever it is, the transaction must end; the caller of _try logs it
            self._roll_back(connection)
            self._well = not isinstance(problem, sqlite3.OperationalError)
            return problem
        self._well = True
        self._committed(batch)
        return None

    def _apply(self, connection: sqlite3.Connection, batch: Sequence[Operation]) -> None:
        """All of it in the open transaction, and commit."""
        for operation in batch:
            operation.fault = None
        self._run(connection, batch)
        connection.execute("COMMIT")

    def _roll_back(self, connection: sqlite3.Connection) -> None:
        if connection.in_transaction:
            try:
                connection.execute("ROLLBACK")
            except sqlite3.Error:
                self._log.exception("rolling back failed")
        self._settled(False)

    def _committed(self, batch: Sequence[Operation]) -> None:
        self._settled(True)
        self.batches += 1
        self.operations += len(batch)
        if len(self._journal):
            self._journal.forget([name for operation in batch if (name := operation.kept_as)])

    def _sync(self, connection: sqlite3.Connection, batch: Sequence[Operation]) -> None:
        """Have the next commit wait for the disk, or not, as the batch needs it. Before the transaction."""
        synced = any(operation.outlives_power for operation in batch)
        if synced is not self._synced:
            # SQLite does this while it compiles the statement, so that must not be one that was compiled before.
            connection.executescript(_TO_DISK if synced else _TO_SYSTEM)
            self._synced = synced

    def _begin(self, connection: sqlite3.Connection, batch: list[Operation]) -> None:
        """Take the write lock. SQLite's own waiting sleeps up to 100 ms at a time; commits here take about one, so
        short naps get the turn sooner. After a while of it the ends of calls, also those that still come, are kept."""
        # After a batch that failed, nobody shall wait long for what will fail again.
        began, kept = time.monotonic(), 0
        deadline = began + (self._patience if self._well else min(self._patience, _IMPATIENT))
        while True:
            try:
                self._sync(connection, batch)
                connection.execute("BEGIN IMMEDIATE")
                return
            except sqlite3.OperationalError as problem:
                now = time.monotonic()
                if problem.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or now > deadline:
                    raise
                if now - began > _JOURNAL_AFTER:
                    while self._queue:
                        batch.append(self._queue.popleft())
                    if len(batch) > kept:
                        self._keep(batch[kept:])
                        kept = len(batch)
            time.sleep(random.uniform(0.0001, 0.001))

    def _keep(self, batch: Sequence[Operation]) -> None:
        """Have the ends of calls on disk."""
        try:
            self._journal.keep([operation.written() for operation in batch if operation.kept_as])
        except OSError as error:
            self._log.critical("the ends of calls are kept in memory only: their journal cannot be written",
                               extra={"detail": str(error)})  # fmt: skip

    def _fail(self, batch: Sequence[Operation], problem: Exception) -> None:
        disk = isinstance(problem, sqlite3.OperationalError)
        self._log.error("a batch of %d operations was rolled back: %r", len(batch), problem, exc_info=problem)
        if disk:
            self._keep(batch)
        for operation in batch:
            if operation.future is not None:
                operation.fault = unavailable(problem)
            elif not disk:
                self._log.error("an operation nobody waits for was dropped: %s", type(operation).__name__)
            elif len(self._carried) < _MOST_CARRIED and not self._closing:
                # Nobody would ask again for these, so they go with the next batch.
                self._carried.append(operation)
            else:
                self._log.error("an operation nobody waits for was lost: %s", type(operation).__name__)

    def _tell(self, function: Callable[..., Any], *values: Any) -> None:
        try:
            self._loop.call_soon_threadsafe(function, *values)
        except RuntimeError:
            # The loop was closed under us: the work is committed, but nobody is left to hear of it.
            self._log.warning("the event loop ended before the ledger was closed")

    def _deliver(self, batch: Sequence[Operation]) -> None:
        for operation in batch:
            future = operation.future
            if future is None:
                if operation.fault is not None:
                    self._log.warning("%s: %s", type(operation).__name__, operation.fault.message)
                continue
            self._waiting -= 1
            if future.done():
                continue
            if operation.fault is not None:
                future.set_exception(operation.fault)
            else:
                future.set_result(operation.result)
        self._give_room()

    def _end(self) -> None:
        self._closing = True
        self._waiting = 0
        for operation in self._queue:
            if operation.future is not None and not operation.future.done():
                operation.future.set_exception(unavailable(RuntimeError("the ledger's thread has ended")))
        self._queue.clear()
        self._give_room()
        if not self._ended.done():
            self._ended.set_result(None)
