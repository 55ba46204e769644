"""Anthropic's Messages API as a provider kind, `plugin: anthropic`.

The provider itself is imported where a configuration names it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from gateway.api import ProviderKind, Router, hookimpl, later, named_in

from .settings import ANTHROPIC, Settings

if TYPE_CHECKING:
    from .inbound import add_routes
    from .provider import AnthropicProvider
else:
    add_routes = later("tollgate_anthropic.inbound:add_routes")

__all__ = ["AnthropicProvider", "Settings", "create", "ready", "register_providers", "register_routes"]

__getattr__ = named_in(__name__, {".provider": "AnthropicProvider"})

create: Callable[[str, Settings], AnthropicProvider] = later("tollgate_anthropic.provider:AnthropicProvider")
"""Makes one instance for one section of the configuration, out of its name and settings."""

routes_can_wait = True
"""They replace none that a gateway has from its start (`gateway.hookspecs.register_routes`)."""


def ready(settings: Settings) -> str:
    """ "" or why the instance is switched off. A server of one's own may do without a key."""
    if settings.api_key.get_secret_value() or settings.base_url != ANTHROPIC:
        return ""
    return "no api_key is set"


@hookimpl
def register_providers(register: Callable[[ProviderKind], None]) -> None:
    """Offer the kind `anthropic`."""
    register(
        ProviderKind(kind="anthropic", settings_model=Settings, create=create, ready=ready, price_source="anthropic")
    )


@hookimpl
def register_routes(router: Router) -> None:
    """Let callers speak Anthropic's dialect, to every model."""
    add_routes(router)
