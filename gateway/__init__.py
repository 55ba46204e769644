"""Tollgate: a self-hosted LLM gateway. Plugins import `gateway.api`; everything else is internal."""

__version__ = "0.1.0"
