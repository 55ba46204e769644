"""Several choices from a provider that gives one per request: `n` requests side by side, answered as one.

Whole answers are merged; streams are interleaved as they come, their choices renumbered. Each part's usage is
counted, because each part was paid for: the prompt `n` times.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any, TypeVar

import orjson

from gateway.call import Call, Target
from gateway.errors import Fault
from gateway.provider import Answer, Exchange, Reader, StreamItem
from gateway.readers import measure_chat
from gateway.upstream.proxied import cut
from gateway.upstream.reading import StreamReading, let_go
from gateway.upstream.timeouts import Limits
from gateway.wire.usage import add_usage, find_usage

T = TypeVar("T")


def parts_needed(wanted: int, target: Target) -> int:
    """How many requests so many choices take at `target`: 1 unless it gives fewer at once."""
    most = target.profile.max_choices
    return wanted if most is not None and wanted > most else 1


def part_of(call: Call) -> Call:
    """The call for a single choice."""
    return call.view(call.dialect, {name: value for name, value in call.body.items() if name != "n"})


def merge_answers(answers: Sequence[Answer]) -> Answer:
    """One answer with the choices of all."""
    return measure_chat(merge_completions([answer.body for answer in answers]))


def merge_completions(completions: list[dict[str, Any]]) -> dict[str, Any]:
    """One completion with the choices of all, renumbered, and the sum of their usage."""
    merged = dict(completions[0])
    choices: list[dict[str, Any]] = []
    for completion in completions:
        found = completion.get("choices")
        for choice in found if isinstance(found, list) else ():
            if isinstance(choice, dict):
                choices.append({**choice, "index": len(choices)})
    merged["choices"] = choices
    usage = add_usage(completion.get("usage") for completion in completions)
    if usage is not None:
        merged["usage"] = usage
    return merged


class FanOut:
    """The parts of one streamed call, running side by side; to the pump they are one exchange.

    readers: one per part. deliver, end: the pump's. start: sends one part's request into the given sink.
    """

    def __init__(
        self,
        readers: Sequence[Reader],
        limits: Limits,
        deliver: Callable[[list[StreamItem]], None],
        end: Callable[[Fault | None], None],
    ) -> None:
        self._deliver = deliver
        self._end = end
        self._over = False
        self.parts = [_Part(self, number, reader, limits) for number, reader in enumerate(readers)]

    def pause(self) -> None:
        for part in self.parts:
            if part.exchange is not None:
                part.exchange.pause()

    def resume(self) -> None:
        for part in self.parts:
            if part.exchange is not None:
                part.exchange.resume()

    def cancel(self) -> None:
        self._over = True
        for part in self.parts:
            if part.exchange is not None:
                part.exchange.cancel()

    def take(self, part: _Part, items: list[StreamItem]) -> None:
        """Items of one part, on their way to the caller."""
        if not self._over and items:
            self._deliver([part.renumber(item) for item in items])

    def part_over(self, fault: Fault | None) -> None:
        """One part ended; the last one ends the whole, a broken one breaks the whole."""
        if self._over:
            return
        if fault is None:
            if not all(part.over for part in self.parts):
                return
            usage = add_usage(part.usage for part in self.parts)
            if usage is not None:
                self._deliver([{"choices": [], "usage": usage}])
        self._over = True
        self._end(fault)


class _Part:
    """The sink of one part."""

    def __init__(self, fan_out: FanOut, number: int, reader: Reader, limits: Limits) -> None:
        self.exchange: Exchange | None = None
        self.usage: dict[str, Any] | None = None
        self.over = False
        self._fan_out = fan_out
        self._number = number
        self._finished = False
        self._reading = StreamReading(reader, limits)

    def head(self, status: int, headers: Mapping[str, str]) -> None:
        self._reading.head(status, headers)

    def data(self, chunk: bytes) -> None:
        if self.over:
            return
        try:
            self._fan_out.take(self, self._reading.feed(chunk))
        except Fault as fault:
            self._finish(fault)
            return
        if self._reading.done:
            self._finish(None)

    def end(self, fault: Fault | None) -> None:
        if self.over:
            return
        if fault is None:
            try:
                self._fan_out.take(self, self._reading.end())
            except Fault as error:
                fault = error
            if fault is None and not (self._reading.done or self._finished):
                fault = cut("a part of the stream ended without a finish_reason")
        self._finish(fault)

    def renumber(self, item: StreamItem) -> StreamItem:
        """The item with this part's number as its choice's index, and without usage, which is summed at the end."""
        if isinstance(item, Fault):
            return item
        chunk = orjson.loads(item) if isinstance(item, bytes) else item
        if not isinstance(chunk, dict):
            return item
        self.usage = find_usage(chunk) or self.usage
        choices = chunk.get("choices")
        numbered = []
        for choice in choices if isinstance(choices, list) else ():
            if isinstance(choice, dict):
                self._finished = self._finished or bool(choice.get("finish_reason"))
                numbered.append({name: value for name, value in choice.items() if name != "usage"})
                numbered[-1]["index"] = self._number
        return {**chunk, "choices": numbered, "usage": None}

    def _finish(self, fault: Fault | None) -> None:
        self.over = True
        if self.exchange is not None:
            let_go(self.exchange)
        self._fan_out.part_over(fault)


async def gather_all(work: Sequence[Coroutine[Any, Any, T]]) -> list[T]:
    """Await all; when one fails the others are cancelled before its exception is raised."""
    loop = asyncio.get_running_loop()
    tasks = [loop.create_task(item) for item in work]
    try:
        return list(await asyncio.gather(*tasks))
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
