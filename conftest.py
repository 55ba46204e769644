"""Fixtures and settings for every test: those of tests/ and those of the plugins."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from blockbuster import blockbuster_ctx
from hypothesis import HealthCheck, settings

pytest_plugins = ["gateway.testing.pytest_plugin"]

# One machine is slow, another is busy: no example fails for its duration. In CI the same examples run every time,
# so that a red build is about the change; a developer's runs explore, and keep what they find in .hypothesis/.
settings.register_profile("explore", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("ci", parent=settings.get_profile("explore"), derandomize=True, print_blob=True)
settings.load_profile("ci" if os.environ.get("CI") else "explore")


@pytest.fixture(autouse=True)
def never_block_the_event_loop(request: pytest.FixtureRequest) -> Iterator[None]:
    """Code of the gateway that sleeps, reads a file or waits for a socket inside the event loop fails the test.

    One blocking call stops every stream of the process. `@pytest.mark.blocking_allowed` switches this off.
    """
    if request.node.get_closest_marker("blocking_allowed"):
        yield
        return
    with blockbuster_ctx("gateway"):
        yield
