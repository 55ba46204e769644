"""A runner before a fake dispatcher: no sockets, no providers, and a plugin that knows everybody."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from typing import Any

from gateway.api import Answer, Call, Caller, Outcome, Profile, hookimpl, measure_chat
from gateway.aside import Aside
from gateway.errors import Fault
from gateway.logs import make_logger
from gateway.pipeline import Pipeline
from gateway.pluginload import load
from gateway.runner.ground import Ground
from gateway.runner.lifecycle import CallRunner
from gateway.runner.sink import Flow
from gateway.testing import make_call, make_target
from gateway.wire.chat.encoder import ChatRelay
from gateway.wire.chat.tally import ChatTally
from gateway.wire.redact import Redactor


class Recorder:
    """A plugin that knows everybody and notes what happens. hang: the phase that never ends."""

    def __init__(self) -> None:
        self.phases: list[str] = []
        self.outcomes: list[Outcome] = []
        self.slow: asyncio.Event | None = None
        self.hang = ""
        self.targets: Any = [make_target()]

    async def _phase(self, name: str) -> None:
        self.phases.append(name)
        if self.hang == name:
            await asyncio.Event().wait()

    @hookimpl
    async def identify_caller(self, call: Call) -> Caller:
        await self._phase("identify")
        return Caller("acct", "key", "k...")

    @hookimpl
    async def authorize_call(self, call: Call) -> None:
        await self._phase("authorize")

    @hookimpl
    async def admit_call(self, call: Call) -> None:
        await self._phase("admit")

    @hookimpl
    async def choose_targets(self, call: Call) -> Any:
        await self._phase("choose")
        return self.targets

    @hookimpl
    async def finish_call(self, call: Call, outcome: Outcome) -> None:
        self.phases.append("finish")
        if self.slow is not None:
            await self.slow.wait()
        self.outcomes.append(outcome)
        call.cost = 7


class Host:
    def __init__(self) -> None:
        self.tasks: list[asyncio.Task[None]] = []
        self.aside = Aside()
        self.ground = Ground()

    def spawn(self, work: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work, name=name)
        self.tasks.append(task)
        return task

    async def rest(self) -> None:
        """Until no task of the process runs any more."""
        while pending := [task for task in self.tasks if not task.done()]:
            await asyncio.wait(pending)


class Dispatcher:
    """Answers each request with the next of `answers`: a dict, a fault, or an event to wait for."""

    def __init__(self, answers: list[Any]) -> None:
        self.answers = answers
        self.sent: list[dict[str, Any]] = []
        self.cancelled = False

    def deadline(self) -> float:
        return asyncio.get_running_loop().time() + 60

    async def whole(self, call: Call, deadline: float) -> Any:
        call.attempts += 1
        call.target = call.targets[0]
        self.sent.append(call.body)
        answer = self.answers.pop(0)
        try:
            if isinstance(answer, asyncio.Event):
                await answer.wait()
                answer = self.answers.pop(0)
        except asyncio.CancelledError:
            self.cancelled = True
            raise
        if isinstance(answer, Exception):
            raise answer
        return measure_chat(answer) if isinstance(answer, dict) else answer

    async def stream(
        self,
        call: Call,
        deadline: float,
        make_relay: Callable[[str], ChatRelay],
        quiet: float,
        on_silence: Callable[[], Awaitable[None]],
        on_try: Callable[[ChatTally], None],
    ) -> Any:
        answer = await self.whole(call, deadline)
        pump = answer(make_relay("chat"))
        on_try(pump.tally)
        return pump


class FakePump:
    """A stream that was received already. items: what the upstream said; fault: how it ended."""

    def __init__(self, relay: ChatRelay, items: list[Any], fault: Fault | None = None) -> None:
        self.relay = relay
        self.tally = ChatTally()
        self.ended = False
        self.closed = False
        self.fault = fault
        self.meter: Any = None
        self.limit: Any = None
        self.overran = False
        self._items = items
        self._more = asyncio.Event()

    def attach(self, outlet: Any) -> None:
        for item in self._items:
            data, fault = self.relay.feed(self.tally.add([item]))
            if data:
                outlet.write(data)
            self.fault = self.fault or fault
            if self.meter is not None:
                self.meter.look()
        self.ended = self.tally.complete or self.fault is not None

    def detach(self) -> None:
        self.relay.feed(self.tally.add(self._items))
        self.ended = True

    def flow(self, on: bool) -> None:
        return None

    def hold_back(self, on: bool) -> None:
        return None

    async def wait(self) -> None:
        if not self.ended:
            await self._more.wait()

    def close(self) -> None:
        self.closed = self.ended = True
        self._more.set()


def stream_of(*items: Any, fault: Fault | None = None) -> Callable[[ChatRelay], FakePump]:
    """An answer for `Dispatcher`: a stream of these chunks."""
    return lambda relay: FakePump(relay, list(items), fault)


class FakeSink:
    """Remembers what it was given."""

    quiet = 0.0

    def __init__(self) -> None:
        self.begun = False
        self.ended = False
        self.data = b""
        self.answer: dict[str, Any] | None = None
        self.fault: Fault | None = None

    async def begin(self, flow: Flow) -> None:
        self.begun = True

    def write(self, data: bytes) -> None:
        assert not self.ended
        self.data += data

    def keep_alive(self) -> None:
        self.write(b": alive\n\n")

    async def end(self, last: bytes, fault: Fault | None, seconds: float) -> None:
        self.write(last)
        self.fault, self.ended = fault, True

    async def give(self, answer: dict[str, Any]) -> None:
        self.answer = answer


class Inbound:
    """A chat call. body: what `read` puts into the call."""

    def __init__(self, call: Call) -> None:
        self._call = call

    def relay(self, watch: Any, dialect: str = "chat") -> ChatRelay:
        return ChatRelay(self._call.model, True, 1, watch)

    def whole(self, answer: Answer) -> dict[str, Any]:
        return {**answer.body, "model": self._call.model, "usage": answer.usage}


class Bench:
    """One runner with everything around it."""

    def __init__(
        self,
        *answers: Any,
        on_disconnect: str = "cancel",
        drain: float = 5,
        stream: bool = False,
        plugins: Mapping[str, Any] | None = None,
    ) -> None:
        self.recorder, self.host, self.dispatcher = Recorder(), Host(), Dispatcher(list(answers))
        profile: Any = {"on_disconnect": on_disconnect}
        self.recorder.targets = [make_target(profile=Profile(**profile))]
        self.sink = FakeSink()
        self.log = io.StringIO()
        log = make_logger("test", level="info", style="json", redact=Redactor(), stream=self.log)
        pipeline = Pipeline(load({"recorder": self.recorder, **(plugins or {})}, entry_point_group=None), log)
        self.call = make_call(stream=stream)
        self.inbound: Any = Inbound(self.call)
        found: Any = (self.call, self.host, pipeline, self.dispatcher, log, drain)
        self.runner = CallRunner(*found)

    async def read(self) -> Any:
        await self.recorder._phase("read")
        return self.inbound

    async def run(self, next_body: Any = None) -> None:
        """All phases, as a handler runs them."""
        inbound = await self.runner.open(self.read)
        await self.runner.admit()
        await self.runner.answer(inbound, self.sink, next_body)

    async def begin(self, next_body: Any = None) -> asyncio.Task[None]:
        """`run` in a task of its own, which has gone as far as it can."""
        task = asyncio.get_running_loop().create_task(self.run(next_body))
        for _ in range(20):
            await asyncio.sleep(0)
        return task

    async def leave(self, task: asyncio.Task[None]) -> None:
        """The caller's connection is gone."""
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
