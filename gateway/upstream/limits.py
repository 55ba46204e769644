"""The limits at one target: its model's, before its provider's, before those of all."""

from __future__ import annotations

from gateway.call import Target
from gateway.config import Config, Timeouts
from gateway.upstream.timeouts import Limits


def limits_at(config: Config, target: Target) -> Limits:
    """What holds for attempts at `target`. A model outside of the configuration has its provider's limits."""
    model, provider = config.models.get(target.model), config.providers.get(target.provider)
    own = model.settings.timeouts if model is not None else Timeouts()
    theirs = provider.terms.timeouts if provider is not None else Timeouts()
    upstream = config.upstream

    def first(*given: float | None) -> float | None:
        return next((value for value in given if value is not None), None)

    return Limits(
        first_byte=first(own.first_byte, theirs.first_byte) or upstream.first_byte,
        idle=first(own.idle, theirs.idle) or upstream.idle,
        total=first(own.total, theirs.total) or upstream.total,
        max_reply=upstream.max_reply,
        max_event=upstream.max_event,
        connect=first(own.connect, theirs.connect),
    )
