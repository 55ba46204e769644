"""Prometheus metrics of one gateway, in a registry of its own."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping
from itertools import accumulate
from typing import Any

from prometheus_client.metrics import Counter
from prometheus_client.metrics_core import GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector, CollectorRegistry

from gateway.call import Call, Outcome
from gateway.exposition import Families, snapshot
from gateway.records import AttemptRecord
from gateway.stores import Stores
from gateway.upstream.health import HealthBook

_FAST = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600)
_PAGE = 1000
"""Accounts that are asked for at once."""


class Live(Collector):
    """Gauges that are made when somebody asks: nothing of them costs a request."""

    def __init__(self, health: HealthBook, figures: Mapping[str, tuple[str, Callable[[], int]]]) -> None:
        self._health = health
        self._figures = figures

    def collect(self) -> Iterator[Metric]:
        cooling = GaugeMetricFamily(
            "gateway_target_cooling", "1 while a target is left alone.", labels=("provider", "endpoint", "model")
        )
        for circuit in self._health:
            name = circuit.name
            cooling.add_metric((name.provider, name.endpoint, name.model), float(circuit.until > 0))
        yield cooling
        for gauge, (documentation, read) in self._figures.items():
            yield GaugeMetricFamily(gauge, documentation, value=read())


class Timings(Collector):
    """A histogram of seconds by route. The library's own takes two locks and checks itself at each observation, which
    is dearer than all else that is counted of a request. Used on the event loop only."""

    def __init__(self, name: str, documentation: str) -> None:
        self._name = name
        self._documentation = documentation
        self._routes: dict[str, list[float]] = {}

    def observe(self, route: str, seconds: float) -> None:
        """Count one."""
        counts = self._routes.get(route)
        if counts is None:
            # One more for what is beyond the last bound, and one for the sum.
            counts = self._routes[route] = [0.0] * (len(_FAST) + 2)
        counts[bisect_left(_FAST, seconds)] += 1
        counts[-1] += seconds

    def collect(self) -> Iterator[Metric]:
        family = HistogramMetricFamily(self._name, self._documentation, labels=("route",))
        bounds = (*(str(float(bound)) for bound in _FAST), "+Inf")
        for route, counts in self._routes.items():
            family.add_metric((route,), list(zip(bounds, accumulate(counts[:-1]), strict=True)), counts[-1])
        yield family


async def store_gauges(stores: Stores, *, accounts: bool) -> list[Metric]:
    """What the store knows, the same in every process: open holds and, where the operator asked for it, accounts."""
    found: list[Metric] = []
    holds = await stores.open_holds()
    if holds is not None:
        found.append(GaugeMetricFamily("gateway_open_holds", "Calls whose credits are held.", value=holds[0]))
        found.append(GaugeMetricFamily("gateway_held_credits", "Credits that are held.", value=holds[1]))
    if accounts:
        labels = ("account", "name")
        balance = GaugeMetricFamily("gateway_account_balance_credits", "Credits of an account.", labels=labels)
        held = GaugeMetricFamily("gateway_account_held_credits", "Of these, held by running calls.", labels=labels)
        page = await stores.accounts.list_accounts(limit=_PAGE)
        while page:
            for account in page:
                balance.add_metric((account.id, account.name), account.balance)
                held.add_metric((account.id, account.name), account.held)
            page = await stores.accounts.list_accounts(after=page[-1].id, limit=_PAGE) if len(page) == _PAGE else []
        found += [balance, held]
    return found


class Metrics:
    """The Prometheus metrics of one gateway, in a registry of its own.

    health: read when somebody scrapes. figures: of gauges that are read then, by their name: what they say, and from
    where; more may be added. accounts: count credits by account too (`metrics.accounts`). active: requests that are
    being handled.
    """

    def __init__(self, health: HealthBook) -> None:
        self.registry = CollectorRegistry()
        labels = ("route", "model", "target", "status")
        registry = self.registry
        self._requests = Counter("gateway_requests", "Requests answered.", labels, registry=registry)
        self._seconds = Timings("gateway_request_seconds", "Time to the end of the answer.")
        self._first_byte = Timings("gateway_first_byte_seconds", "Time to the first byte of a model's answer.")
        registry.register(self._seconds)
        registry.register(self._first_byte)
        self._tokens = Counter("gateway_tokens", "Tokens used.", ("model", "target", "class"), registry=registry)
        self._credits = Counter("gateway_credits", "Credits charged.", ("model", "target"), registry=registry)
        self._attempts = Counter(
            "gateway_upstream_attempts",
            "Attempts at targets, by how they ended: ok, refused, left, or the code of the failure.",
            ("target", "provider", "endpoint", "outcome"),
            registry=registry,
        )
        self._disputed = Counter(
            "gateway_disputed_bills",
            "Bills for which a provider told more than the request can have caused.",
            ("target",),
            registry=registry,
        )
        self._estimated = Counter(
            "gateway_estimated_bills", "Bills that rest on our own count.", ("target",), registry=registry
        )
        self.active = 0
        self._by_account = Counter(
            "gateway_account_credits", "Credits charged to an account.", ("account",), registry=registry
        )
        self.accounts = False
        self.figures: dict[str, tuple[str, Callable[[], int]]] = {
            "gateway_active_requests": ("Requests being handled.", lambda: self.active)
        }
        registry.register(Live(health, self.figures))
        self._sums: dict[tuple[Any, ...], float] = {}
        # By route, model, target and status: requests, prompt tokens, completion tokens, credits.
        self._rows: dict[tuple[str, str, str, int], list[int]] = {}

    def snapshot(self) -> Families:
        """What this process has counted; see `gateway.exposition`."""
        sums, self._sums = self._sums, {}
        for (counter, *labels), amount in sums.items():
            counter.labels(*labels).inc(amount)
        rows, self._rows = self._rows, {}
        for (route, model, target, status), (requests, prompt, completion, credits) in rows.items():
            self._requests.labels(route, model, target, str(status)).inc(requests)
            for counter, amount, *labels in (
                (self._tokens, prompt, model, target, "prompt"),
                (self._tokens, completion, model, target, "completion"),
                (self._credits, credits, model, target),
            ):
                if amount:
                    counter.labels(*labels).inc(amount)
        return snapshot(self.registry)

    def observe(self, route: str, status: int, seconds: float, call: Call | None, outcome: Outcome | None) -> None:
        """Count one answered request. Labels come from routes and the configuration, never from callers' text."""
        resolved = call is not None and bool(call.candidates)
        model = call.model if call is not None and resolved else ""
        target = outcome.target.model if outcome is not None and outcome.target is not None else ""
        key = (route, model, target, status)
        row = self._rows.get(key)
        if row is None:
            row = self._rows[key] = [0, 0, 0, 0]
        row[0] += 1
        self._seconds.observe(route, seconds)
        if call is None or outcome is None or not target:
            return
        if outcome.first_byte is not None:
            self._first_byte.observe(route, outcome.first_byte)
        row[1] += outcome.usage.prompt_tokens
        row[2] += outcome.usage.completion_tokens
        cost = call.progress.cost
        if cost:
            row[3] += cost
            if self.accounts and call.caller is not None:
                self._add(cost, self._by_account, call.caller.account_id)
        if call.progress.disputed:
            self._add(1, self._disputed, target)
        if outcome.basis == "estimated":
            self._add(1, self._estimated, target)

    def observe_attempt(self, record: AttemptRecord) -> None:
        """Count one attempt at a target."""
        # Codes of this kind are the gateway's own words; others could be a provider's, and as many as it likes.
        coded = record.outcome == "failed" and record.error.startswith("upstream_")
        outcome = record.error if coded else record.outcome
        self._add(1, self._attempts, record.target, record.provider, record.endpoint, outcome)

    def _add(self, amount: float, counter: Counter, *labels: str) -> None:
        # Added up here, as in `observe`, and told when somebody asks: a counter takes a lock and checks itself each
        # time, and a request adds to seven of them.
        key = (counter, *labels)
        self._sums[key] = self._sums.get(key, 0) + amount
