"""The chain a request passes through, compiled once at start-up into tuples of plain callables.

Execution does not go through pluggy: it would create coroutines without awaiting them, and a compiled phase
costs a fraction per request. A policy that fails unexpectedly fails closed: the call ends with our fault.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Any

from gateway import hookspecs
from gateway.call import BilledRound, Call, Form, Outcome, Target
from gateway.errors import Fault, GatewayFault, Refusal
from gateway.explanation import ExplainedStep, Explanation
from gateway.operations import OPERATIONS
from gateway.pluginload import Plugins, arguments_of

Step = Callable[..., Awaitable[Any]]
Watcher = Callable[[Call, Mapping[str, Any]], None]


_AWAY = 503


@dataclass(slots=True, eq=False)
class Unfinished:
    """The end of a call that some plugins could not do their part of. fault: of the first. steps: theirs, in order."""

    call: Call
    outcome: Outcome
    fault: GatewayFault
    steps: list[Step]

    async def again(self) -> bool:
        """Ask them again; whether all have done their part now."""
        while self.steps:
            try:
                await self.steps[0](self.call, self.outcome)
            except Exception as error:  # whatever is wrong now may be right later: a bill is never thrown away
                if isinstance(error, GatewayFault):
                    self.fault = error
                return False
            del self.steps[0]
        return True


class Pipeline:
    """The compiled phases. Steps of one phase run in plugin order; `finish` runs in reverse, and then what is `last`,
    which is no plugin's."""

    __slots__ = (
        "_admit",
        "_admit_fees",
        "_admit_round",
        "_authorize",
        "_choose",
        "_count",
        "_dispatch",
        "_extend",
        "_filter",
        "_finish",
        "_identify",
        "_log",
        "watchers",
    )

    def __init__(self, plugins: Plugins, log: logging.Logger, last: Sequence[tuple[str, Step]] = ()) -> None:
        self._identify = compile_hook(plugins, "identify_caller")
        self._count = compile_hook(plugins, "count_request")
        self._authorize = compile_hook(plugins, "authorize_call")
        self._admit = compile_hook(plugins, "admit_call")
        self._choose = compile_hook(plugins, "choose_targets")
        self._finish = (*reversed(compile_hook(plugins, "finish_call")), *last)
        self._admit_round = compile_hook(plugins, "admit_round")
        self._admit_fees = compile_hook(plugins, "admit_fees")
        self._extend = compile_hook(plugins, "extend_call")
        self._filter = compile_hook(plugins, "filter_answer")
        self._dispatch = tuple(step for _, step in compile_hook(plugins, "before_dispatch"))
        self.watchers: tuple[Watcher, ...] = tuple(step for _, step in compile_hook(plugins, "watch_event"))
        self._log = log

    async def identify(self, call: Call) -> None:
        """Set `call.caller`. Raises Refusal(401) when nobody knows the credential."""
        for _, step in self._identify:
            caller = await step(call)
            if caller is not None:
                call.caller = caller
                return
        raise Refusal(
            "Missing API key. Send it as 'Authorization: Bearer YOUR_KEY'.", status=401, code="invalid_api_key"
        )

    async def count(self, call: Call, generates: bool) -> None:
        """Count a request whose caller is known and whose body is not read yet. Raises Refusal."""
        for _, step in self._count:
            await step(call, generates)

    async def authorize(self, call: Call) -> None:
        """May this caller make this call? Raises Refusal."""
        for _, step in self._authorize:
            await step(call)

    async def admit(self, call: Call) -> None:
        """Reserve what the call needs, in order. Raises Refusal; `finish` must follow in any case."""
        for _, step in self._admit:
            await step(call)

    async def choose(self, call: Call) -> None:
        """Set `call.targets`. Raises GatewayFault when no plugin chose any."""
        for _, step in self._choose:
            targets = await step(call)
            if targets:
                call.targets = targets
                return
        raise GatewayFault("No plugin chose a target for this call; is `routing` loaded?", code="no_target")

    def set_filters(self, call: Call) -> None:
        """Ask the plugins whether they change the text of the answer; where one does, only chat is spoken."""
        if not self._filter or not OPERATIONS[call.operation].in_dialects:
            return
        call.answer_filters = tuple(make for _, step in self._filter if (make := step(call)) is not None)
        if call.answer_filters and call.forms:
            call.forms = {"chat": call.forms.get("chat") or Form(call.body)}

    def dispatch(self, call: Call, target: Target) -> Mapping[str, str]:
        """A request goes out to `target` now. Returns what headers plugins want to go with it."""
        headers: dict[str, str] = {}
        for step in self._dispatch:
            step(call, target, headers)
        return headers

    async def admit_round(self, call: Call, billed: Sequence[BilledRound]) -> None:
        """Reserve what a further round needs, after those that were `billed`. call: what it sends. Raises Refusal."""
        for _, step in self._admit_round:
            await step(call, billed)

    async def admit_fees(self, call: Call, billed: Sequence[BilledRound], fees: int) -> None:
        """Reserve what tools will have cost, beside the rounds that were `billed`. Raises Refusal."""
        for _, step in self._admit_fees:
            await step(call, billed, fees)

    async def extend(self, call: Call, tokens: int) -> bool:
        """May a stream with so many output tokens go on beyond what is covered? Raises what a plugin raises."""
        for _, step in self._extend:
            if not await step(call, tokens):
                return False
        return True

    async def finish(self, call: Call, outcome: Outcome) -> Unfinished | None:
        """Tell every plugin how the call ended. All run, whatever one of them raises. Returns those that could not do
        their part because something is away (GatewayFault 503), to be asked again; None when there are none."""
        unfinished: Unfinished | None = None
        for name, step in self._finish:
            try:
                await step(call, outcome)
            except Exception as error:  # the others must still settle and log; this one is reported with its trace
                if isinstance(error, GatewayFault) and error.status == _AWAY:
                    unfinished = unfinished or Unfinished(call, outcome, error, [])
                    unfinished.steps.append(step)
                    continue
                self._log.exception("plugin %s failed in finish_call", name, extra={"request_id": call.id})
        return unfinished

    def traced(self, explanation: Explanation) -> Pipeline:
        """The same chain for one call that is explained: each step before the first request notes that it was taken."""
        traced = object.__new__(Pipeline)
        for name in self.__slots__:
            setattr(traced, name, getattr(self, name))
        for phase, slot in _TRACED.items():
            steps = (_trace(phase, plugin, step, explanation) for plugin, step in getattr(self, slot))
            setattr(traced, slot, tuple(steps))
        return traced

    def describe(self) -> dict[str, list[str]]:
        """Plugin names per phase, in the order they run, for `gateway plugins`."""
        return {
            "identify_caller": [name for name, _ in self._identify],
            "count_request": [name for name, _ in self._count],
            "authorize_call": [name for name, _ in self._authorize],
            "admit_call": [name for name, _ in self._admit],
            "choose_targets": [name for name, _ in self._choose],
            "admit_fees": [name for name, _ in self._admit_fees],
            "admit_round": [name for name, _ in self._admit_round],
            "filter_answer": [name for name, _ in self._filter],
            "extend_call": [name for name, _ in self._extend],
            "finish_call": [name for name, _ in self._finish],
        }


_TRACED = {
    "identify_caller": "_identify",
    "count_request": "_count",
    "authorize_call": "_authorize",
    "admit_call": "_admit",
    "choose_targets": "_choose",
}
"""The phases that an explanation shows, and where they are kept."""


def _trace(phase: str, plugin: str, step: Step, explanation: Explanation) -> tuple[str, Step]:
    async def run(*arguments: Any) -> Any:
        taken = ExplainedStep(phase, plugin)
        explanation.steps.append(taken)
        try:
            return await step(*arguments)
        except Fault:
            taken.refused = True
            raise

    return plugin, run


def compile_hook(plugins: Plugins, hook: str) -> tuple[tuple[str, Callable[..., Any]], ...]:
    """The implementations of `hook` as (plugin name, callable) that take exactly the specification's arguments."""
    offered = arguments_of(getattr(hookspecs, hook))
    return tuple((name, _adapt(impl.function, impl.argnames, offered)) for name, impl in plugins.implementations(hook))


def _adapt(function: Callable[..., Any], taken: tuple[str, ...], offered: tuple[str, ...]) -> Callable[..., Any]:
    if tuple(taken) == tuple(offered):
        return function
    positions = [offered.index(argument) for argument in taken]
    if len(positions) > 1:
        pick = itemgetter(*positions)
        return lambda *arguments: function(*pick(arguments))
    if not positions:
        return lambda *arguments: function()
    [place] = positions
    return lambda *arguments: function(arguments[place])
