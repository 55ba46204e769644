"""One generation of the configuration: what was read, checked and built of it, ready to serve.

It is built whole and swapped whole (`gateway.runtime`); requests that began under an older generation finish under it.
"""

from __future__ import annotations

import asyncio
import functools
import logging
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Protocol, cast

from gateway.aside import Aside
from gateway.blueprint import (
    Blueprint,
    available_providers,
    catalog_of,
    demo_note,
    payment_methods,
    report,
    switched_off,
)
from gateway.budgets import alert_post
from gateway.call import Call
from gateway.config.limits import BodyLimits
from gateway.deferred import later
from gateway.discovery import Discovery
from gateway.doors import Doors
from gateway.fetch import Links, MediaFetcher
from gateway.pipeline import Pipeline
from gateway.provider import Provider, UpstreamReply, UpstreamRequest
from gateway.records import AttemptRecord
from gateway.responses.running import RunningResponses
from gateway.responses.sealer import Sealer
from gateway.responses.services import ResponsesServices
from gateway.runner.lifecycle import CallRunner
from gateway.runner.recorder import make_recorder
from gateway.runner.rounds import Host
from gateway.servertools.toolbox import Toolbox
from gateway.storage import StorageQuota
from gateway.stores import Stores
from gateway.upstream.attempts import Dispatcher
from gateway.upstream.exchanges import Exchanges
from gateway.upstream.health import HealthBook
from gateway.upstream.lanes import Lanes
from gateway.upstream.limits import limits_at
from gateway.upstream.plan import RetryPolicy
from gateway.upstream.transports import make_transport

if TYPE_CHECKING:
    from gateway.batches import Batches
    from gateway.provider_files import ProviderFiles
else:
    Batches = later("gateway.batches:Batches")
    ProviderFiles = later("gateway.provider_files:ProviderFiles")


class Process(Host, Protocol):
    """What the process has, whichever generation serves."""

    log: logging.Logger
    stores: Stores
    health: HealthBook
    running_responses: RunningResponses
    sealer: Sealer

    def record_attempt(self, call: Call, record: AttemptRecord) -> None:
        """One attempt at a target is over."""

    def redact(self, text: str) -> str:
        """The text without secrets."""


class Runtime:
    """One generation of the configuration, ready to serve. Implements `gateway.hookspecs.App` for its plugins."""

    def __init__(self, blueprint: Blueprint, process: Process) -> None:
        config = blueprint.config
        self.config = config
        self.plugins = blueprint.plugins
        self.users = 0
        self.routes: Any = None  # what `http` made of it; here, so that both end together
        self.doors = Doors()
        self._process = process
        self.switched_off = switched_off(blueprint)
        self._providers = blueprint.providers
        self.payments, self.payments_off = payment_methods(blueprint)
        self.catalog = catalog_of(blueprint)
        self._transport = make_transport(config, process.log)
        self._exchanges = Exchanges(self._transport)
        self._discovery = Discovery(
            config,
            blueprint.providers,
            blueprint.profiles,
            available_providers(blueprint),
            self._exchanges.whole,
            process.log,
        )
        self.demo, self.demo_note = blueprint.demo, demo_note(blueprint)
        server = config.server
        self.body_limits = BodyLimits(
            server.max_body, server.body_timeout, server.min_body_rate, server.max_body_time, "server.max_body"
        )
        self.form_limits = replace(self.body_limits, max_body=server.max_upload, setting="server.max_upload")
        recorder = make_recorder(config, process.redact, process.log)
        last = () if recorder is None else (("record", recorder.finish_call),)
        self.pipeline = Pipeline(blueprint.plugins, process.log, last)
        self.quota = StorageQuota(process.stores, config.storage)
        upstream = config.upstream
        self._fetcher = MediaFetcher(config.fetch) if config.fetch.enabled else None
        self.post = alert_post(config.alerts)
        self.toolbox = Toolbox(config, blueprint.offers, self.exchange, process.log)
        self.lanes = Lanes(
            blueprint.endpoints.__getitem__,
            process.health,
            lambda target: limits_at(self.config, target),
            lambda provider: config.providers[provider].terms.balance,
        )
        self.endpoint_versions = {found.version for several in blueprint.endpoints.values() for found in several}
        self._dispatcher = Dispatcher(
            self.lanes,
            self._transport,
            upstream.total,
            RetryPolicy(upstream.retries, upstream.backoff, upstream.max_backoff),
            self.pipeline.dispatch,
            self._fetcher,
            process.record_attempt,
            process.aside,
            None if recorder is None else recorder.tap,
            Links(config.fetch),
            owns=lambda call, target, kept: self.files.owns(call, target, kept),
        )

    def report(self, log: logging.Logger) -> None:
        """Tell the operator what is served from now on."""
        off = {
            "provider": self.switched_off,
            "search service": self.toolbox.switched_off,
            "payment service": self.payments_off,
        }
        report(log, self.config, self.catalog, self.demo_note, off)

    @functools.cached_property
    def files(self) -> ProviderFiles:
        """Files that are kept at providers."""
        return ProviderFiles(self.config.files, self._providers, self._process, self.quota, self._exchanges)

    @functools.cached_property
    def batches(self) -> Batches:
        """Batches that providers answer."""
        return Batches(self.config.batches, self.files, self._process)

    async def look_after_batches(self) -> None:
        """See `Batches.look_after`; most gateways have none."""
        if await self.stores.objects.open_objects(after=0, limit=1):
            await self.batches.look_after()

    @property
    def aside(self) -> Aside:
        return self._process.aside

    @property
    def stores(self) -> Stores:
        return self._process.stores

    @property
    def waiting(self) -> int:
        """Requests that wait for a connection to a provider."""
        return self._transport.waiting

    def section(self, name: str) -> Any:
        return self.config.section(name)

    def provider(self, name: str) -> Provider:
        return self._providers[name]

    def spawn(self, work: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
        return self._process.spawn(work, name)

    async def exchange(self, request: UpstreamRequest, *, seconds: float, most: int) -> UpstreamReply:
        """Send one request that is no model call over the upstream connections, and wait for the whole answer,
        whatever its status: at most `seconds` and `most` bytes. Raises UpstreamFault."""
        return await self._exchanges.whole(request, seconds=seconds, most=most)

    def responses_services(self) -> ResponsesServices:
        """What the Responses API works with in this generation."""
        return ResponsesServices(
            store=self.stores.responses,
            conversations=self.stores.conversations,
            running=self._process.running_responses,
            settings=self.config.responses,
            retention=self.config.database.response_retention,
            log=self._process.log,
            toolbox=self.toolbox,
            aside=self.aside,
            quota=self.quota,
            sealer=self._process.sealer,
        )

    def runner(self, call: Call) -> CallRunner:
        """What takes `call` through this generation's chain."""
        return CallRunner(
            call,
            self._process,
            self.pipeline if call.explanation is None else self.pipeline.traced(call.explanation),
            self._dispatcher,
            self._process.log,
            self.config.upstream.drain,
        )

    async def open(self) -> None:
        """Run every plugin's `start_up`."""
        for _, step in self.plugins.implementations("start_up"):
            await _call(step.function, step.argnames, app=self)
        await self.discover()

    async def discover(self) -> None:
        """Ask the providers of patterns for their models, and serve what they list."""
        if self._discovery.asks and (found := await self._discovery.refresh()) is not None:
            self.config, self.catalog = found

    async def close(self) -> None:
        """Run every plugin's `shut_down` in reverse, then close the connections to upstreams."""
        for name, step in reversed(list(self.plugins.implementations("shut_down"))):
            try:
                await _call(step.function, step.argnames, app=self)
            except Exception:  # one plugin's trouble must not keep the others open
                self._process.log.exception("plugin %s failed in shut_down", name)
        await self._transport.close()
        if self._fetcher is not None:
            await self._fetcher.close()
        await self.toolbox.close()
        if self.post is not None:
            self.post.close()


async def _call(function: Callable[..., object], names: tuple[str, ...], **arguments: object) -> None:
    # Which hooks are async was checked when the plugins were loaded.
    await cast("Awaitable[object]", function(*(arguments[name] for name in names)))
