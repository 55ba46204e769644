"""Fixtures for plugin authors. pytest finds them by itself wherever the gateway is installed.

`fake_upstream` plays what a test says; `gateway` is a running gateway before it, and `client` speaks to that. A test
module overrides `gateway_plugins` and `gateway_config` to have its own plugin loaded and configured. Nothing is
imported before a test asks for a fixture; where pytest-asyncio is not installed (`tollgate[testing]`), none is offered.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from gateway.testing import Client, FakeUpstream, RunningGateway

if find_spec("pytest_asyncio") is not None:
    import pytest_asyncio

    @pytest_asyncio.fixture
    async def fake_upstream() -> AsyncIterator[FakeUpstream]:
        """A running fake upstream; see `gateway.testing.FakeUpstream`."""
        from gateway.testing.upstream import FakeUpstream

        async with FakeUpstream() as upstream:
            yield upstream

    @pytest_asyncio.fixture
    async def gateway(
        tmp_path: Path, gateway_config: Mapping[str, Any], gateway_plugins: Mapping[str, object]
    ) -> AsyncIterator[RunningGateway]:
        """A gateway that serves `gateway_config`, with `gateway_plugins`; see `gateway.testing.RunningGateway`."""
        from gateway.testing.running import running_gateway

        async with running_gateway(tmp_path, gateway_config, plugins=gateway_plugins) as running:
            yield running

    @pytest.fixture
    def gateway_plugins() -> Mapping[str, object]:
        """Plugins that the gateway loads beside its own and the installed ones: name -> module or class."""
        return {}

    @pytest.fixture
    def gateway_config(fake_upstream: FakeUpstream) -> dict[str, Any]:
        """The configuration: one OpenAI-compatible provider at the fake upstream, and its model as the default."""
        from gateway.testing.running import upstream_config

        return upstream_config(fake_upstream.url + "/v1")

    @pytest.fixture
    def client(gateway: RunningGateway) -> Client:
        """Speaks to `gateway`; see `gateway.testing.Client`."""
        from gateway.testing.client import Client

        return Client(gateway)

    @pytest.fixture
    def refused_address() -> Iterator[str]:
        """A URL on which nobody listens."""
        from gateway.testing.upstream import refused_url

        with refused_url() as url:
            yield url
