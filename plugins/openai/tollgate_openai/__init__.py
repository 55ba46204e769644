"""OpenAI, and every server that speaks its Chat Completions dialect, as a provider plugin."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from gateway.api import ProviderKind, hookimpl, later, named_in
from tollgate_openai.settings import OpenAISettings, why_not_ready

if TYPE_CHECKING:
    from tollgate_openai.provider import OpenAIProvider

__all__ = ["OpenAIProvider", "OpenAISettings", "register_providers"]

__getattr__ = named_in(__name__, {".provider": "OpenAIProvider"})

_create: Callable[[str, OpenAISettings], OpenAIProvider] = later("tollgate_openai.provider:OpenAIProvider")


@hookimpl
def register_providers(register: Callable[[ProviderKind], None]) -> None:
    """Offer the kind `openai`."""
    register(
        ProviderKind(
            "openai",
            OpenAISettings,
            _create,
            why_not_ready,
            price_source=lambda settings: settings.base_url,
        )
    )
