"""Google's Gemini API as a provider kind, `plugin: google`.

The provider itself is imported where a configuration names it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from gateway.api import ProviderKind, Router, hookimpl, later, named_in

from .settings import Settings, ready

if TYPE_CHECKING:
    from .inbound import add_routes
    from .provider import GoogleProvider
else:
    add_routes = later("tollgate_google.inbound:add_routes")

__all__ = ["GoogleProvider", "Settings", "create", "ready", "register_providers", "register_routes"]

__getattr__ = named_in(__name__, {".provider": "GoogleProvider"})

create: Callable[[str, Settings], GoogleProvider] = later("tollgate_google.provider:GoogleProvider")
"""Makes one instance for one section of the configuration, out of its name and settings."""

routes_can_wait = True
"""They replace none that a gateway has from its start (`gateway.hookspecs.register_routes`)."""


@hookimpl
def register_providers(register: Callable[[ProviderKind], None]) -> None:
    """Offer the kind `google`."""
    register(ProviderKind(kind="google", settings_model=Settings, create=create, ready=ready, price_source="google"))


@hookimpl
def register_routes(router: Router) -> None:
    """Let callers speak Google's dialect, to every model."""
    add_routes(router)
