"""A deterministic model that needs no key and no network: for first steps, demonstrations and tests."""

from __future__ import annotations

from collections.abc import Callable

from gateway.api import ProviderKind, hookimpl
from tollgate_echo.provider import EchoProvider, EchoSettings

__all__ = ["EchoProvider", "EchoSettings", "register_providers"]


@hookimpl
def register_providers(register: Callable[[ProviderKind], None]) -> None:
    """Offer the kind `echo`. It is always ready, and stands in for other models while no provider has a key."""
    register(ProviderKind("echo", EchoSettings, EchoProvider, _always_ready, embedded=True))


def _always_ready(settings: EchoSettings) -> str:
    return ""
