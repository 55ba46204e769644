"""The ways to a target: the endpoints of its provider, each with a circuit of its own, and the choice among them."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from gateway.call import Call, Target
from gateway.errors import Fault, UpstreamFault
from gateway.provider import Provider
from gateway.records import AttemptRecord
from gateway.upstream.health import Circuit, CircuitName, HealthBook, blames_endpoint, blames_target
from gateway.upstream.timeouts import Limits

Choice = Literal["least_busy", "weighted"]
Observe = Callable[[Call, AttemptRecord], None]


@dataclass(slots=True, frozen=True)
class Endpoint:
    """One address and key of a provider, ready to be spoken to. label: its name, shown to the operator.
    weight: its share. version: another one when its settings changed."""

    label: str
    provider: Provider
    weight: float = 1.0
    version: str = ""


@dataclass(slots=True, frozen=True, eq=False)
class Lane:
    """One way to one target. own: the circuit of the model at this endpoint. shared: that of the endpoint."""

    endpoint: Endpoint
    own: Circuit
    shared: Circuit

    def usable(self, now: float) -> bool:
        """Whether a request may take it now."""
        return self.own.usable(now) and self.shared.usable(now)

    def rests_until(self) -> float:
        """When it may be tried again, in the loop's time; 0 when it is well."""
        return max(self.own.until, self.shared.until)

    def asked_to_rest(self) -> bool:
        """The target named the time itself that it rests."""
        return self.own.asked if self.own.until >= self.shared.until else self.shared.asked


class Lanes:
    """Finds the lanes and the limits of targets; one per generation of the configuration.

    endpoints: of a provider, by its name. choices: how one of several is chosen, by the provider's name.
    limits: of a target.
    """

    def __init__(
        self,
        endpoints: Callable[[str], Sequence[Endpoint]],
        book: HealthBook,
        limits: Callable[[Target], Limits],
        choices: Callable[[str], Choice] = lambda provider: "least_busy",
    ) -> None:
        self._endpoints = endpoints
        self._book = book
        self._limits = limits
        self._choices = choices
        # By the model's id, which a catalogue has once: a key of several parts would cost more than the rest.
        self._known: dict[str, tuple[tuple[Lane, ...], Limits]] = {}
        self._random = random.Random()

    def of(self, target: Target) -> tuple[tuple[Lane, ...], Limits]:
        """The ways to a target, and the limits that hold there."""
        found = self._known.get(target.model)
        if found is None:
            found = self._known[target.model] = (tuple(self._make(target)), self._limits(target))
        return found

    def _make(self, target: Target) -> Iterable[Lane]:
        for endpoint in self._endpoints(target.provider):
            name = CircuitName(target.provider, endpoint.label, "", endpoint.version)
            own = self._book.circuit(name._replace(model=target.upstream))
            yield Lane(endpoint, own, self._book.circuit(name))

    def choose(self, target: Target, now: float, spent: Collection[Lane]) -> Lane | None:
        """One of the lanes of a target that may be used now and is not `spent`, None when there is none."""
        lanes = self.of(target)[0]
        if len(lanes) == 1:
            lane = lanes[0]
            well = not (lane.own.until or lane.shared.until) or lane.usable(now)
            return lane if well and lane not in spent else None
        usable = [lane for lane in lanes if lane.usable(now) and lane not in spent]
        if len(usable) < 2:
            return usable[0] if usable else None
        weights = [lane.endpoint.weight for lane in usable]
        if self._choices(target.provider) == "weighted":
            return self._random.choices(usable, weights)[0]
        # Equally busy ones share the work by lot: the first of them would get all of a quiet hour.
        return min(usable, key=lambda lane: ((lane.shared.in_flight + 1) / lane.endpoint.weight, self._random.random()))

    def least_bad(self, targets: Sequence[Target], spent: Collection[Lane]) -> tuple[Target, Lane] | None:
        """Of lanes that all rest: the one that may be used again first."""
        all_of_them = [(target, lane) for target in targets for lane in self.of(target)[0] if lane not in spent]
        return min(all_of_them, key=lambda found: found[1].rests_until(), default=None)


class Try:
    """One attempt under way: what it means for the health of its lane is noted once, when it is over."""

    __slots__ = ("_began", "_call", "_clock", "_lane", "_observe", "_seconds", "_target", "_trial", "over")

    def __init__(self, call: Call, target: Target, lane: Lane, clock: Callable[[], float], observe: Observe) -> None:
        self._call, self._target, self._lane, self._clock, self._observe = call, target, lane, clock, observe
        self._began = now = clock()
        self._seconds: float | None = None
        self.over = False
        self._trial = (lane.own.began(now), lane.shared.began(now))

    def answers(self) -> None:
        """The answer has begun."""
        if self._seconds is None:
            self._seconds = seconds = self._clock() - self._began
            self._lane.own.answered(self._began, seconds)
            self._lane.shared.answered(self._began, seconds)

    def end(self, fault: Fault | None) -> None:
        """The answer came to its good end, or `fault` did, which from now on names the model that was tried."""
        if self.over:
            return
        if isinstance(fault, UpstreamFault):
            # Of a group or chain the caller cannot know which it was; where the fault is made, nobody does.
            fault.name("Model", self._target.model)
        if fault is None:
            self.answers()
            self._lane.own.succeeded()
            self._lane.shared.succeeded()
            self._note("ok", 200, "")
            return
        late = fault.code == "upstream_total_timeout" and self._seconds is not None
        if isinstance(fault, UpstreamFault) and blames_target(fault) and not late:
            self._fail(fault)
        else:
            # Whoever refuses a request is there, and understood it.
            self._release()
        upstream = fault.upstream_status if isinstance(fault, UpstreamFault) else fault.status
        outcome = "failed" if isinstance(fault, UpstreamFault) else "refused"
        self._note(outcome, upstream, fault.code or fault.type, fault.detail or fault.message)

    def give_up(self) -> None:
        """The attempt is let go of: its caller left, or the gateway ended the answer."""
        if not self.over:
            self._release()
            self._note("left", None, "")

    def _fail(self, fault: UpstreamFault) -> None:
        now = self._clock()
        own, shared = self._trial
        if blames_endpoint(fault):
            self._lane.own.released(own)
            self._lane.shared.failed(now, fault, shared)
            return
        self._lane.own.failed(now, fault, own)
        if fault.upstream_status is None:
            self._lane.shared.released(shared)
        else:
            # It answered, if only with an error: the endpoint is there.
            self._lane.shared.answered(self._began, None)
            self._lane.shared.succeeded()

    def _release(self) -> None:
        own, shared = self._trial
        self._lane.own.released(own)
        self._lane.shared.released(shared)

    def _note(self, outcome: str, status: int | None, code: str, reason: str = "") -> None:
        self.over = True
        target = self._target
        # By position: names would double its cost, which every request pays.
        record = AttemptRecord(
            target.model,
            target.provider,
            self._lane.endpoint.label,
            outcome,
            status,
            code,
            reason,
            time.time(),
            self._clock() - self._began,
            self._seconds,
        )
        self._call.progress.tries.append(record)
        self._observe(self._call, record)
