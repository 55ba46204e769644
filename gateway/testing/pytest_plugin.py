"""Fixtures for plugin authors: `pytest_plugins = ["gateway.testing.pytest_plugin"]` in a top-level conftest.py."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest
import pytest_asyncio

from gateway.testing.upstream import FakeUpstream, refused_url


@pytest_asyncio.fixture
async def fake_upstream() -> AsyncIterator[FakeUpstream]:
    """A running fake upstream; see `gateway.testing.FakeUpstream`."""
    async with FakeUpstream() as upstream:
        yield upstream


@pytest.fixture
def refused_address() -> Iterator[str]:
    """A URL on which nobody listens."""
    with refused_url() as url:
        yield url
