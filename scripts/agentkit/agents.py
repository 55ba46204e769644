"""All agents."""

from __future__ import annotations

from .clients import Agent, ClaudeCode, Codex, GeminiCli
from .more_clients import OpenCode, QwenCode

AGENTS: tuple[type[Agent], ...] = (ClaudeCode, Codex, GeminiCli, OpenCode, QwenCode)
