"""A deterministic model that needs no key and no network: for first steps, demonstrations and tests."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from gateway.api import ProviderKind, hookimpl, later, named_in
from tollgate_echo.settings import EchoSettings

if TYPE_CHECKING:
    from tollgate_echo.provider import EchoProvider

__all__ = ["EchoProvider", "EchoSettings", "register_providers"]

__getattr__ = named_in(__name__, {".provider": "EchoProvider"})

_create: Callable[[str, EchoSettings], EchoProvider] = later("tollgate_echo.provider:EchoProvider")


@hookimpl
def register_providers(register: Callable[[ProviderKind], None]) -> None:
    """Offer the kind `echo`. It is always ready, and stands in for other models while no provider has a key."""
    register(ProviderKind("echo", EchoSettings, _create, _always_ready, embedded=True))


def _always_ready(settings: EchoSettings) -> str:
    return ""
