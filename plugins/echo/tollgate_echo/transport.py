"""Plays a script into a sink, on the event loop's own clock: no thread, no task, no socket."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType

import orjson

from gateway.api import CallerFault, Exchange, Fault, Sink, UpstreamRequest
from tollgate_echo.answer import compose
from tollgate_echo.plain import CREATED_HEADER, ROOT, plain_steps
from tollgate_echo.script import Data, End, Head, Stall, Step, Timing, Wait, script
from tollgate_echo.shelf import BATCHES, FILES, Shelf

URL = "http://echo.invalid/v1/chat/completions"
"""Never connected to: `.invalid` is reserved (RFC 2606), and the transport stays in the process."""
URLS_OF_BATCHES: Mapping[str, str] = MappingProxyType(
    {
        "/v1/chat/completions": URL,
        "/v1/embeddings": ROOT + "embeddings",
        "/v1/moderations": ROOT + "moderations",
        "/v1/images/generations": ROOT + "images",
    }
)
"""Where the requests of a batch go, by its endpoint."""

# Events delivered in one go before other work of the loop gets its turn.
_BATCH = 32

_AT_ONCE = 64 * 1024
"""Bytes of a request that is answered in the loop's own thread. What a longer one asks for is worked out beside it."""


class EchoTransport:
    """Answers requests in this process; implements `gateway.provider.Transport`. folder, batch_delay: as in the
    settings."""

    def __init__(self, timing: Timing, use_directives: bool, folder: str = "", batch_delay: float = 0.0) -> None:
        self._timing = timing
        self._use_directives = use_directives
        self._shelf = Shelf(folder, batch_delay, self._answer_line)

    def send(self, request: UpstreamRequest, sink: Sink) -> Exchange:
        """Start to answer. The sink is first called from a later turn of the running loop, never from here."""
        exchange = EchoExchange(sink, asyncio.get_running_loop())
        if len(request.body) > _AT_ONCE or request.url.startswith((FILES, BATCHES)):
            exchange.play_later(lambda: self._steps(request))
        else:
            exchange.play(self._steps(request))
        return exchange

    def _steps(self, request: UpstreamRequest) -> Iterator[Step]:
        """What is sent when; all that depends on the request's size is worked out here."""
        try:
            if request.url.startswith((FILES, BATCHES)):
                return self._shelf.serve(request)
            if request.url.startswith(ROOT):
                return plain_steps(request)
            body = orjson.loads(request.body)
            if not isinstance(body, dict):
                raise CallerFault("The request body must be an object.")
            created = int(request.headers.get(CREATED_HEADER, "0"))
            answer = compose(body, self._use_directives, created)
        except Fault as fault:
            return iter([End(fault)])
        except ValueError as error:
            return iter([End(CallerFault("The request body is not valid JSON.", detail=str(error)))])
        return script(answer, self._timing)

    def _answer_line(self, endpoint: str, body: bytes) -> Iterator[Step]:
        """One request of a batch."""
        url = URLS_OF_BATCHES.get(endpoint)
        if url is None:
            return iter([End(CallerFault(f"url: the echo model has no {endpoint[:100]!r}.", param="url"))])
        headers = {CREATED_HEADER: str(int(time.time())), "content-type": "application/json"}
        return self._steps(UpstreamRequest(url, headers, body))


class EchoExchange:
    """One running answer; implements `gateway.provider.Exchange`."""

    def __init__(self, sink: Sink, loop: asyncio.AbstractEventLoop) -> None:
        self._steps: Iterator[Step] = iter(())
        self._ready = False
        self._sink = sink
        self._loop = loop
        self._paused = False
        self._over = False
        self._held: Step | None = None
        self._handle: asyncio.Handle | None = None

    def play(self, steps: Iterator[Step]) -> None:
        """These are the steps; the first comes with the next turn of the loop."""
        self._steps = steps
        self._ready = True
        if not self._paused and not self._over:
            self._handle = self._loop.call_soon(self._run)

    def play_later(self, make: Callable[[], Iterator[Step]]) -> None:
        """The same with steps that take time to find, in a thread."""

        def made(future: asyncio.Future[Iterator[Step]]) -> None:
            if not future.cancelled():
                self.play(future.result())

        self._loop.run_in_executor(None, make).add_done_callback(made)

    def pause(self) -> None:
        self._paused = True

    def resume(self) -> None:
        self._paused = False
        if self._handle is None and self._ready and not self._over:
            self._handle = self._loop.call_soon(self._run)

    def cancel(self) -> None:
        self._over = True
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None

    def _run(self) -> None:
        """Deliver until something has to be waited for."""
        self._handle = None
        for _ in range(_BATCH):
            if self._paused or self._over:
                return
            step = self._held or next(self._steps)
            waited, self._held = self._held is not None, None
            if isinstance(step, Data):
                if step.wait and not waited:
                    self._held = step
                    self._handle = self._loop.call_later(step.wait, self._run)
                    return
                self._sink.data(step.chunk)
            elif isinstance(step, Head):
                self._sink.head(step.status, step.headers)
            elif isinstance(step, Wait):
                self._handle = self._loop.call_later(step.seconds, self._run)
                return
            else:
                self._over = True
                if isinstance(step, End):
                    self._sink.end(step.fault)
                else:
                    assert isinstance(step, Stall)
                return
        if not self._paused and not self._over:
            self._handle = self._loop.call_soon(self._run)
