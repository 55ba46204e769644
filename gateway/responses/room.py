"""What the Responses API needs of the gateway around it, in one value."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from gateway.provider import Provider
from gateway.responses.live import LiveResponses
from gateway.stores import Responses


class Limits(Protocol):
    """`gateway.config.ResponsesSettings`."""

    store: bool
    max_stored: int
    max_context: int
    max_items: int
    max_background: int
    live_events: int


@dataclass(slots=True, frozen=True)
class Room:
    """store: what is kept. live: what runs in this process. settings: the `responses` section. retention: seconds.
    find_provider: the instance by name. clock: unix seconds, whole."""

    store: Responses
    live: LiveResponses
    settings: Limits
    retention: float
    find_provider: Callable[[str], Provider]
    log: logging.Logger
    clock: Callable[[], int] = lambda: int(time.time())

    def expires(self) -> int:
        """When what is written now may be forgotten."""
        return self.clock() + int(self.retention)
