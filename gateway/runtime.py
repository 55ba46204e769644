"""A running gateway: the process's own things (stores, tasks, logs, metrics) and the current configuration's.

`Gateway` lives as long as the process. `Runtime` (`gateway.generation`) is one generation of the configuration:
plugins, providers, catalogue, pipeline, connection pool. It is built whole and swapped whole; requests that began under
an older generation finish under it.
"""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import Coroutine, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, TextIO

from gateway.aside import Aside
from gateway.blueprint import (
    Blueprint,
    open_counters,
    open_stores,
    read_blueprint,
)
from gateway.budgets import BudgetWatch
from gateway.call import Call, Caller, Outcome
from gateway.config import Config
from gateway.credentials import COMPACTION_KEY, derive
from gateway.errors import ConfigFault, Fault, GatewayFault
from gateway.exposition import merge, render
from gateway.generation import Runtime
from gateway.keeping import (
    hear_cancellations,
    hear_others,
    keep_batches,
    keep_house,
    keep_lease,
    keep_listing,
)
from gateway.logs import BodyCopy, RequestLog, attempt_entry, log_body, make_logger, request_entry, style_of
from gateway.metrics import Metrics, store_gauges
from gateway.passwords import Passwords
from gateway.records import AttemptRecord
from gateway.responses.running import RunningResponses, interrupted
from gateway.responses.sealer import Sealer
from gateway.runner.ground import Ground
from gateway.server_secret import AdminSecrets, server_secret
from gateway.siblings import Alone, Siblings
from gateway.stores import FailedOver, Stores, fail_over
from gateway.upstream.health import CooldownPolicy, Cooling, HealthBook
from gateway.upstream.recent import RecentAttempts
from gateway.upstream.shared_health import SharedHealth
from gateway.wire.redact import Redactor, redact

_MOST_REASON = 1000
"""Characters that are kept of why an attempt failed."""
LAST_TRIES = 5.0
"""Seconds at the end of the process for what could not be written."""


class Gateway:
    """One gateway. config_path: the YAML; env: for `${NAME}` in it and for `GATEWAY_DATA`; shared: other workers
    serve beside this one, on the same database. siblings: how to speak to them. plugins: name -> module or class,
    loaded beside the installed ones. flags: see `read_blueprint`. redact: is told every secret, for whoever else of
    this process writes lines.

    Life: `start`, then requests between `acquire_runtime` and `release_runtime`, `reload` at any time, `stop`.
    """

    runtime: Runtime
    stores: Stores

    def __init__(
        self,
        config_path: Path,
        env: Mapping[str, str],
        *,
        shared: bool = False,
        log_stream: TextIO | None = None,
        siblings: Siblings | None = None,
        plugins: Mapping[str, object] = MappingProxyType({}),
        flags: Mapping[str, Any] = MappingProxyType({}),
        redact: Redactor | None = None,
    ) -> None:
        self.config_path = config_path
        self._shared = shared
        self._plugins = plugins
        self._flags = flags
        self.leaving = False  # a stop was asked for
        self.draining = False  # new calls are refused
        self.introducing = False  # what the first start shows once is not shown yet
        self.health = HealthBook()
        self.metrics = Metrics(self.health)
        self.passwords = Passwords()
        self.running_responses = RunningResponses()
        self.attempts = RecentAttempts()
        self.siblings: Siblings = siblings or Alone()
        self.aside = Aside()
        self.ground = Ground()
        self._env = env
        self._redact = Redactor() if redact is None else redact
        self.sealer: Sealer
        self._stream = log_stream or sys.stderr
        self._tasks: set[asyncio.Task[None]] = set()
        self._reloading = asyncio.Lock()
        self.log = make_logger(
            "gateway", level="info", style=style_of("auto", self._stream), redact=self._redact, stream=self._stream
        )

    async def start(self) -> None:
        """Read the configuration, open the stores, start the plugins. Raises ConfigFault or GatewayFault."""
        blueprint = await self._read()
        self._set_up_logs(blueprint.config)
        secret = await asyncio.to_thread(server_secret, blueprint.config.data)
        self.admin_secrets = await asyncio.to_thread(AdminSecrets, blueprint.config.data, self._redact.add)
        self.sealer = Sealer(derive(secret, COMPACTION_KEY))
        self._redact.add((secret.hex(),))
        self.stores = await open_stores(blueprint, shared=self._shared)
        self.log.info("opened the database", extra=dict(self.stores.describe()))
        for warning in self.stores.warnings():
            self.log.warning(warning)
        self._counters = await open_counters(blueprint, self.stores, self.log)
        if self._counters is not None:
            self.stores.counters = self._counters
            self.metrics.figures["gateway_counters_away"] = (
                "1 while the place of counters.url cannot be asked.", lambda: int("counters" in self.degraded()),
            )  # fmt: skip
        self.metrics.figures["gateway_writer_queue"] = ("Operations that wait to be written.", self.stores.backlog)
        waiting = "Requests that wait for a connection to a provider."
        self.metrics.figures["gateway_upstream_waiting"] = (waiting, lambda: self.runtime.waiting)
        await self._take_over()
        self.runtime = await self._open(blueprint)
        self._set_up_health(self.runtime)
        self._join_siblings()
        self._budgets = BudgetWatch(
            self.stores, lambda: self.runtime.config.alerts, lambda: self.runtime.post, self.log
        )
        loop, stores = asyncio.get_running_loop(), self.stores
        self._keepers = [
            loop.create_task(keep_lease(self.stores.presence, self.log), name="lease"),
            loop.create_task(
                keep_house(self.stores, self.log, self.fail_over, lambda: self.runtime.config.database.retention),
                name="housekeeping",
            ),
            loop.create_task(self._budgets.run(), name="budgets"),
            loop.create_task(
                keep_listing(
                    self.log, lambda: self.runtime.config.upstream.list_models, lambda: self.runtime.discover()
                ),
                name="models",
            ),
            loop.create_task(
                keep_batches(
                    self.log, lambda: self.runtime.config.batches.poll, lambda: self.runtime.look_after_batches()
                ),
                name="batches",
            ),
            loop.create_task(hear_cancellations(stores.responses, self.running_responses, self.log), name="cancelling"),
            loop.create_task(self.ground.watch(self.stores, self.log), name="ground"),
        ]
        if (notices := stores.notices) is not None:
            shared = SharedHealth(self.health, notices, self.spawn, lambda: self.runtime.endpoint_versions)
            self._keepers.append(loop.create_task(hear_others(notices, shared.adopt, self.log), name="others"))
        self.runtime.report(self.log)

    async def reload(self) -> None:
        """Swap in the configuration as it is on disk now. Raises ConfigFault, in which case nothing has changed."""
        async with self._reloading:
            blueprint = await self._read()
            fixed = self.runtime.config.fixed_differences(blueprint.config)
            if fixed:
                raise ConfigFault(fixed)
            fresh = await self._open(blueprint)
            self._set_up_logs(blueprint.config)
            old, self.runtime = self.runtime, fresh
            self._set_up_health(fresh)
            fresh.report(self.log)
            self.log.info("configuration reloaded")
            if old.users == 0:
                await old.close()

    async def _read(self) -> Blueprint:
        """Files are read and plugins imported aside: running streams must not wait for that."""
        return await asyncio.to_thread(read_blueprint, self.config_path, self._env, self._plugins, self._flags)

    async def stop(self) -> None:
        """Wait for what the process owns (settlements above all), then close everything, in reverse order."""
        # The lease is kept to the end: settlements still belong to it.
        lease, *others = self._keepers
        await _end(others)
        self.running_responses.stop_background(_stopping)
        while self._tasks:
            await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.ground.unwritten.stop(LAST_TRIES, self.log)
        await self.runtime.close()
        await _end([lease])
        if self._counters is not None:
            await self._counters.close()
        await self.stores.close()
        self.aside.close()

    def acquire_runtime(self) -> Runtime:
        """The runtime that a new request is served by; `release_runtime` must follow."""
        runtime = self.runtime
        runtime.users += 1
        self.metrics.active += 1
        return runtime

    def release_runtime(self, runtime: Runtime) -> None:
        """A request is over. The last one of an old generation closes it."""
        runtime.users -= 1
        self.metrics.active -= 1
        if runtime.users == 0 and runtime is not self.runtime:
            self.spawn(runtime.close(), "close old configuration")

    def spawn(self, work: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
        """Run `work` in a task that the process owns and awaits before it ends."""
        task = asyncio.get_running_loop().create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._done)
        return task

    def record_request(
        self,
        request_id: str,
        method: str,
        route: str,
        status: int,
        seconds: float,
        fault: Fault | None,
        call: Call | None,
        outcome: Outcome | None,
    ) -> None:
        """One log line and one set of metrics for an answered request."""
        self.metrics.observe(route, status, seconds, call, outcome)
        if call is not None and call.progress.cost and call.caller is not None:
            self.charged(call.caller)
        if self._request_log.enabled:
            self._request_log.write(request_entry(request_id, method, route, status, seconds, fault, call, outcome))

    def charged(self, caller: Caller) -> None:
        """Something was charged to this account and key."""
        self._budgets.called(caller.account_id, caller.key_id)

    def record_attempt(self, call: Call, record: AttemptRecord) -> None:
        """One attempt at a target is over: counted, kept for a while, and logged when it failed."""
        self.metrics.observe_attempt(record)
        if record.reason:
            record.reason = self.redact(record.reason[:_MOST_REASON])
        if record.outcome == "failed":
            self.log.warning("attempt failed", extra=attempt_entry(call.id, record))
        self.attempts.add(call.id, record)

    def body_copy(self, config: Config) -> BodyCopy | None:
        """Where a body is to be copied to that will be logged (`log.bodies`, at level debug); None when none is."""
        return BodyCopy() if config.log.bodies and self.log.isEnabledFor(logging.DEBUG) else None

    def record_body(self, request_id: str, what: str, copy: BodyCopy) -> None:
        """One log line for a body; see `gateway.logs.log_body`."""
        log_body(self.log, request_id, what, copy, self._redact)

    def redact(self, text: str) -> str:
        """The text without the operator's secrets, and without what looks like anybody's: keys, ids, addresses."""
        return redact(self._redact.mask(text))

    def mask(self, text: str) -> str:
        """The text without the operator's secrets."""
        return self._redact.mask(text)

    def admin_secret(self) -> str:
        """What signs in to the console and the admin API; derived from the newest server secret."""
        return self.admin_secrets.newest

    async def problems(self) -> list[str]:
        """Why this process should get no requests just now; empty when it should."""
        await self.ground.look(self.stores, self.log)
        return ["draining"] * self.leaving + ["starting"] * self.introducing + self.ground.problems()

    def degraded(self) -> list[str]:
        """What is away, though requests are served without it."""
        return ["counters"] if self._counters is not None and self._counters.away else []

    async def fail_over(self) -> FailedOver:
        """Resolve what processes that died were in the middle of."""
        done = await fail_over(self.stores, interrupted())
        if done.holds:
            self.log.warning("resolved %d holds of a process that died", done.holds)
        if done.responses:
            self.log.warning("marked %d responses of a process that died as failed", done.responses)
        return done

    async def _take_over(self) -> None:
        """`fail_over` at the start. While nothing can be written it waits for the next round of housekeeping."""
        try:
            await self.fail_over()
        except GatewayFault as fault:
            if fault.status != 503:
                raise
            self.log.error("what dead processes left waits to be resolved", extra={"detail": fault.detail})

    async def _open(self, blueprint: Blueprint) -> Runtime:
        runtime = Runtime(blueprint, self)
        try:
            await runtime.open()
        except BaseException:  # cancellation too; raised again once things are put right
            await runtime.close()
            raise
        return runtime

    def _set_up_logs(self, config: Config) -> None:
        self._redact.add(config.secrets)
        level, style = config.log.level, style_of(config.log.format, self._stream)
        self.log = make_logger("gateway", level=level, style=style, redact=self._redact, stream=self._stream)
        self._request_log = RequestLog(
            enabled=level in ("debug", "info"), style=style, redact=self._redact, stream=self._stream
        )

    async def exposition(self, *, accounts: bool) -> bytes:
        """The metrics of all processes in Prometheus' text format. accounts: those of each account too."""
        said = await self.siblings.ask("metrics")
        try:
            more = await store_gauges(self.stores, accounts=accounts)
        except GatewayFault:  # a database that is away is seen by what its metrics no longer say
            more = []
        return render(merge(said.all, said.gone), more)

    def _join_siblings(self) -> None:
        """What this process says to the others and is told by them."""
        siblings, clock = self.siblings, asyncio.get_running_loop().time
        siblings.gives["metrics"] = self.metrics.snapshot
        siblings.gives["targets"] = lambda: [circuit.describe(clock()) for circuit in self.health]
        siblings.gives["attempts"] = self.attempts.find
        self.health.told = lambda told: siblings.tell("cooling", told.data())
        siblings.hears["cooling"] = lambda data: self.health.adopt(clock(), Cooling.of(data))

    def _set_up_health(self, runtime: Runtime) -> None:
        cooldown = runtime.config.upstream.cooldown
        self.health.policy = CooldownPolicy(cooldown.failures, cooldown.pause, cooldown.longest)
        self.health.forget_all_but(runtime.endpoint_versions)
        self.metrics.accounts = runtime.config.metrics.accounts

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            self.log.error("task %s failed", task.get_name(), exc_info=task.exception())


def _stopping() -> GatewayFault:
    return GatewayFault("The gateway is stopping.", status=503, type="overloaded", code="stopping", retry_after=1.0)


async def _end(tasks: Sequence[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
