"""How well each target does, and whether it is asked just now.

A circuit is the record of one thing that can fail alone: an endpoint of a provider (its address and key), or one model
at that endpoint. After several failures in a row, or when the target itself named a time (`retry-after`), the circuit
cools: requests go elsewhere. When the time is over, one request is let through as a trial while all others still go
elsewhere, those of other processes too; its success closes the circuit, its failure doubles the time.

The record is one process's own. `HealthBook.told` is told of everything that others should know, and `adopt` takes it:
so processes share what they learn by whatever carries a `Cooling`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from gateway.errors import Fault, UpstreamFault

State = Literal["closed", "cooling", "half_open"]

_TRIAL = 60.0
"""Seconds for which the other processes leave the trial to the one that began it. It tells them what came of it as soon
as it knows; this is for one that dies meanwhile, or waits for a target that hangs."""
_WEIGHT = 0.2
"""Of the newest latency in the moving average."""
# What says nothing of the target: the answer was larger than the operator allows.
_NOT_ITS_FAULT = frozenset({"upstream_reply_too_large", "upstream_event_too_large"})
# What is the same for all models there: the address, and the key.
_WHOLE_ENDPOINT = frozenset(
    {
        "upstream_unreachable",
        "upstream_connect_timeout",
        "upstream_credentials_refused",
        "upstream_quota_exhausted",
    }
)


class CircuitName(NamedTuple):
    """Which circuit: a provider's endpoint, and one model at it, "" for the endpoint itself. version: tells an
    endpoint from the one that had its place before its settings were changed."""

    provider: str
    endpoint: str
    model: str = ""
    version: str = ""


@dataclass(slots=True, frozen=True)
class CooldownPolicy:
    """failures: so many in a row let a target cool; 0 never. pause: seconds of the first time, doubled each time the
    trial fails. longest: seconds, also of what a target asks for itself."""

    failures: int = 3
    pause: float = 5.0
    longest: float = 300.0


@dataclass(slots=True, frozen=True)
class Cooling:
    """What one process tells the others: this circuit is to cool for so many seconds, 0 when it is well again. level:
    how often the time was doubled. trial: only that a trial goes on there."""

    name: CircuitName
    seconds: float
    asked: bool
    fault: str
    level: int = 0
    trial: bool = False

    def data(self) -> dict[str, Any]:
        """As JSON."""
        return {"name": list(self.name), "seconds": self.seconds, "asked": self.asked, "fault": self.fault,
                "level": self.level, "trial": self.trial}  # fmt: skip

    @classmethod
    def of(cls, data: Mapping[str, Any]) -> Cooling:
        """One that came as JSON, from an older gateway too."""
        more = data.get("level", 0), data.get("trial", False)
        return cls(CircuitName(*data["name"]), data["seconds"], data["asked"], data["fault"], *more)


class Circuit:
    """The record of one target; all times are the loop's, but `failed_at`, which is in unix seconds.

    until: when it may be tried again; 0 while it is well. asked: the target named that time itself. elsewhere: until
    then another process tries it.
    latency: moving average of the seconds to the first byte of an answer, None before the first.
    """

    __slots__ = (
        "_book",
        "_cooled_at",
        "asked",
        "consecutive",
        "elsewhere",
        "failed_at",
        "failures",
        "in_flight",
        "last_fault",
        "latency",
        "level",
        "name",
        "successes",
        "trial",
        "until",
    )

    def __init__(self, name: CircuitName, book: HealthBook) -> None:
        self.name = name
        self._book = book
        self.successes = self.failures = self.consecutive = self.in_flight = self.level = 0
        self.latency: float | None = None
        self.until = self._cooled_at = 0.0
        self.asked = self.trial = self.elsewhere = False
        self.last_fault = ""
        self.failed_at: float | None = None

    def usable(self, now: float) -> bool:
        """Whether a request may be sent to it now."""
        return not self.until or (now >= self.until and not self.trial)

    def state(self, now: float) -> State:
        """`half_open`: its time is over, and it is not known yet whether it is well."""
        if not self.until:
            return "closed"
        return "half_open" if now >= self.until else "cooling"

    def began(self, now: float) -> bool:
        """A request goes out; True when it is the trial: the first one after the time is over."""
        self.in_flight += 1
        if not self.until or now < self.until or self.trial:
            return False
        self.trial = True
        self._book.tell(self, min(_TRIAL, self._book.policy.longest), trial=True)
        return True

    def answered(self, began: float, seconds: float | None) -> None:
        """It answers a request that went out at `began`; the first byte came after so many seconds."""
        if seconds is not None:
            known = self.latency
            self.latency = seconds if known is None else known + _WEIGHT * (seconds - known)
        # What went out before the target began to cool says nothing about what came after.
        if self.until and began >= self._cooled_at:
            self.until = 0.0
            self.trial = self.asked = self.elsewhere = False
            self._book.tell(self, 0.0)

    def succeeded(self) -> None:
        """An answer came to its good end."""
        self.in_flight -= 1
        self.successes += 1
        if not self.until:
            self.consecutive = self.level = 0

    def released(self, trial: bool) -> None:
        """A request is over that says nothing of the target. trial: it was the trial; the next one is another."""
        self.in_flight -= 1
        if trial:
            self.trial = False

    def failed(self, now: float, fault: UpstreamFault, trial: bool) -> None:
        """A request failed, and that is the target's doing."""
        self.in_flight -= 1
        self.failures += 1
        self.consecutive += 1
        self.last_fault = fault.code or fault.type
        self.failed_at = time.time()
        policy = self._book.policy
        if trial:
            self.trial = False
        if not policy.failures:
            return
        if fault.retry_after:
            self._cool(now, min(fault.retry_after, policy.longest), asked=True)
        elif trial or (self.consecutive >= policy.failures and now >= self.until):
            pause = min(policy.pause * 2 ** min(self.level, 30), policy.longest)
            self.level += 1
            self._cool(now, pause, asked=False)

    def adopt(self, now: float, told: Cooling) -> None:
        """Another process learnt this."""
        if not told.seconds:
            self.until, self.level, self.asked, self.elsewhere = 0.0, 0, False, False
            return
        self.level = max(self.level, told.level)
        if told.trial:
            if self.until and not self.trial:
                self.until, self.elsewhere = max(self.until, now + told.seconds), True
        elif now + told.seconds > self.until or self.elsewhere:
            self.until, self.asked, self._cooled_at = now + told.seconds, told.asked, now
            self.last_fault, self.failed_at, self.elsewhere = told.fault, time.time(), False

    def _cool(self, now: float, seconds: float, *, asked: bool) -> None:
        if now + seconds <= self.until:
            return
        self.until, self.asked, self.elsewhere, self._cooled_at = now + seconds, asked, False, now
        self._book.tell(self, seconds)

    def describe(self, now: float) -> dict[str, Any]:
        """The record as JSON. cooling_seconds: how long it still cools."""
        return {
            "provider": self.name.provider,
            "endpoint": self.name.endpoint,
            "model": self.name.model or None,
            "state": self.state(now),
            "cooling_seconds": round(max(0.0, self.until - now), 3),
            "successes": self.successes,
            "failures": self.failures,
            "consecutive_failures": self.consecutive,
            "in_flight": self.in_flight,
            "latency_ms": None if self.latency is None else round(self.latency * 1000, 1),
            "last_error": self.last_fault or None,
            "last_failed_at": None if self.failed_at is None else int(self.failed_at),
        }


class HealthBook:
    """All circuits of one process. policy may be set anew. told: hears of every circuit that begins or ends to cool."""

    def __init__(self, policy: CooldownPolicy | None = None) -> None:
        self.policy = policy or CooldownPolicy()
        self.told: Callable[[Cooling], None] | None = None
        self._circuits: dict[CircuitName, Circuit] = {}

    def circuit(self, name: CircuitName) -> Circuit:
        """The circuit of this name; a new one the first time."""
        found = self._circuits.get(name)
        if found is None:
            found = self._circuits[name] = Circuit(name, self)
        return found

    def __iter__(self) -> Iterator[Circuit]:
        return iter(self._circuits.values())

    def forget_all_but(self, versions: set[str]) -> None:
        """Drop the circuits of endpoints that are configured no more."""
        self._circuits = {name: found for name, found in self._circuits.items() if name.version in versions}

    def tell(self, circuit: Circuit, seconds: float, *, trial: bool = False) -> None:
        """A circuit begins to cool for so many seconds; 0: it is well again. trial: a trial begins, which is for nobody
        else to make meanwhile."""
        if self.told is not None:
            self.told(Cooling(circuit.name, seconds, circuit.asked, circuit.last_fault, circuit.level, trial))

    def adopt(self, now: float, told: Cooling) -> None:
        """Take over what another process learnt, should this one know the circuit."""
        found = self._circuits.get(told.name)
        if found is not None:
            found.adopt(now, told)


def blames_target(fault: Fault) -> bool:
    """Whether a fault speaks against the target, and not against the request or us."""
    return isinstance(fault, UpstreamFault) and fault.code not in _NOT_ITS_FAULT


def blames_endpoint(fault: UpstreamFault) -> bool:
    """Whether a fault speaks against all models of the endpoint: its address, or the key that is used there."""
    return fault.code in _WHOLE_ENDPOINT


_WORSE: tuple[State, ...] = ("closed", "half_open", "cooling")


def merge_health(several: Iterable[list[dict[str, Any]]]) -> list[dict[str, Any]]:
    """The records of several processes (`Circuit.describe`) as one: counts are sums, and the worst state counts."""
    merged: dict[tuple[str, str, str], dict[str, Any]] = {}
    for entry in (entry for one in several for entry in one):
        key = (entry["provider"], entry["endpoint"], entry["model"] or "")
        known = merged.get(key)
        merged[key] = dict(entry) if known is None else _add(known, entry)
    return [merged[key] for key in sorted(merged)]


def _add(one: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    sums = {name: one[name] + other[name] for name in ("successes", "failures", "in_flight")}
    most = {name: max(one[name], other[name]) for name in ("cooling_seconds", "consecutive_failures")}
    later = max(one, other, key=lambda entry: entry["last_failed_at"] or 0)
    known = [entry for entry in (one, other) if entry["latency_ms"] is not None]
    weights = [max(1, entry["successes"]) for entry in known]
    latency = sum(entry["latency_ms"] * weight for entry, weight in zip(known, weights, strict=True))
    return {
        **one,
        **sums,
        **most,
        "state": max(one["state"], other["state"], key=_WORSE.index),
        "latency_ms": round(latency / sum(weights), 1) if known else None,
        "last_error": later["last_error"],
        "last_failed_at": later["last_failed_at"],
    }
