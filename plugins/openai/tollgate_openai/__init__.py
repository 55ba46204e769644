"""OpenAI, and every server that speaks its Chat Completions dialect, as a provider plugin."""

from __future__ import annotations

from collections.abc import Callable

from gateway.api import ProviderKind, hookimpl
from tollgate_openai.provider import OpenAIProvider
from tollgate_openai.settings import OpenAISettings, why_not_ready

__all__ = ["OpenAIProvider", "OpenAISettings", "register_providers"]


@hookimpl
def register_providers(register: Callable[[ProviderKind], None]) -> None:
    """Offer the kind `openai`."""
    register(
        ProviderKind(
            "openai",
            OpenAISettings,
            OpenAIProvider,
            why_not_ready,
            price_source=lambda settings: settings.base_url,
        )
    )
