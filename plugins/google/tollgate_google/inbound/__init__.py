"""Google's Gemini API as a way to speak to the gateway, for Google's own SDKs."""

from __future__ import annotations

from .dialect import GenerateDialect
from .routes import add_routes

__all__ = ["GenerateDialect", "add_routes"]
