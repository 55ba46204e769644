"""Mistral's chat completions as a provider kind, `plugin: mistral`.

The provider itself is imported where a configuration names it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from gateway.api import ProviderKind, hookimpl, later, named_in

from .settings import Settings

if TYPE_CHECKING:
    from .provider import MistralProvider

__all__ = ["MistralProvider", "Settings", "create", "ready", "register_providers"]

__getattr__ = named_in(__name__, {".provider": "MistralProvider"})

create: Callable[[str, Settings], MistralProvider] = later("tollgate_mistral.provider:MistralProvider")
"""Makes one instance for one section of the configuration, out of its name and settings."""


def ready(settings: Settings) -> str:
    """ "" or why the instance is switched off. A server of one's own may do without a key."""
    return "" if settings.api_key.get_secret_value() or not settings.needs_key else "no api_key is set"


@hookimpl
def register_providers(register: Callable[[ProviderKind], None]) -> None:
    """Offer the kind `mistral`."""
    register(ProviderKind(kind="mistral", settings_model=Settings, create=create, ready=ready, price_source="mistral"))
