"""What the Responses API needs of the gateway around it, in one value."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass

from gateway.aside import Aside
from gateway.config import ResponsesSettings
from gateway.responses.running import RunningResponses
from gateway.responses.sealer import Sealer
from gateway.servertools.toolbox import Toolbox
from gateway.storage import StorageQuota
from gateway.stores import Conversations, Responses


@dataclass(slots=True, frozen=True)
class ResponsesServices:
    """The stores and settings of one generation of the configuration.

    store, conversations: what is kept.
    running: what is being made in this process.
    settings: the `responses` section.
    retention: seconds that a response is kept.
    toolbox: the tools that the gateway runs itself.
    aside: where work on big requests is done.
    quota: how much may be kept for an account.
    sealer: opens what `POST /responses/compact` made.
    clock: unix seconds, whole.
    """

    store: Responses
    conversations: Conversations
    running: RunningResponses
    settings: ResponsesSettings
    retention: float
    log: logging.Logger
    toolbox: Toolbox
    aside: Aside
    quota: StorageQuota
    sealer: Sealer
    clock: Callable[[], int] = lambda: int(time.time())

    def expires(self) -> int:
        """When what is written now may be forgotten."""
        return self.clock() + int(self.retention)
