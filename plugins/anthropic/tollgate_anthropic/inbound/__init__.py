"""Anthropic's Messages API as a way to speak to the gateway: `POST /messages`, `POST /messages/count_tokens`, and
`GET /models` as Anthropic's SDKs read it."""

from __future__ import annotations

from gateway.api import Router

from . import operations
from .counting import count_tokens
from .dialect import MessagesDialect
from .models import models_for

__all__ = ["MessagesDialect", "add_routes"]


def add_routes(router: Router) -> None:
    """Register the routes of this dialect."""
    router.add_dialect("POST", "/messages", MessagesDialect(), operations.MESSAGES)
    router.add("POST", "/messages/count_tokens", count_tokens, operations.COUNT_TOKENS)
    for template in ("/models", "/models/{id...}"):
        earlier = router.serving("GET", template)
        if earlier is not None:
            router.add("GET", template, models_for(earlier))
