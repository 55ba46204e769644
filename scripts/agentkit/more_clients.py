"""Agents that speak Chat Completions and are tried with a few scenarios only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import orjson

from .clients import Agent, Ended, Run
from .script import Use


class ChatAgent(Agent):
    """What is alike: neither picture nor search, and what it prints is what it says."""

    page = "use-with-other-agents.md"

    def look(self, path: Path) -> Use | None:
        return None

    def search(self, query: str) -> Use | None:
        return None

    def said(self, ended: Ended) -> str:
        return ended.output


class OpenCode(ChatAgent):
    """opencode: Chat Completions by Vercel's AI SDK."""

    name, package, version, binary = "opencode", "opencode-ai", "1.18.33", "opencode"
    undocumented = frozenset({"XDG_DATA_HOME", "OPENCODE_DISABLE_LSP_DOWNLOAD", "OPENCODE_DISABLE_MODELS_FETCH"})
    # It looks for newer packages of its own plugins at every start, and goes on without.
    asks = ("registry.",)

    def prepare(self, run: Run) -> tuple[Sequence[str], Mapping[str, str]]:
        provider = {
            "npm": "@ai-sdk/openai-compatible",
            "name": "Tollgate",
            "options": {"baseURL": f"{run.tap}/v1", "apiKey": "{env:TOLLGATE_KEY}"},
            "models": {run.model: {"name": run.model}},
        }
        settings = {
            "autoupdate": False,
            "share": "disabled",
            "provider": {"tollgate": provider},
            "small_model": f"tollgate/{run.model}",
            "permission": {"bash": "allow", "edit": "allow"},
        }
        (run.work / "opencode.json").write_bytes(orjson.dumps(settings))
        environment = {
            "TOLLGATE_KEY": run.key,
            "XDG_DATA_HOME": str(run.home / ".local/share"),
            "OPENCODE_DISABLE_LSP_DOWNLOAD": "1",
            "OPENCODE_DISABLE_MODELS_FETCH": "1",
        }
        return ["run", "--model", f"tollgate/{run.model}", run.prompt], environment

    def shell(self, command: str) -> Use:
        return Use("bash", {"command": command, "description": "a step of the work"})


class QwenCode(ChatAgent):
    """Qwen Code: Chat Completions by OpenAI's SDK."""

    name, package, version, binary = "qwen", "@qwen-code/qwen-code", "0.15.10", "qwen"
    undocumented = frozenset({"HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"})

    def prepare(self, run: Run) -> tuple[Sequence[str], Mapping[str, str]]:
        home = run.home / ".qwen"
        home.mkdir(parents=True, exist_ok=True)
        settings = {
            "security": {"auth": {"selectedType": "openai"}},
            "privacy": {"usageStatisticsEnabled": False},
            "telemetry": {"enabled": False},
            "general": {"enableAutoUpdate": False},
        }
        (home / "settings.json").write_bytes(orjson.dumps(settings))
        environment = {
            "OPENAI_BASE_URL": f"{run.tap}/v1",
            "OPENAI_API_KEY": run.key,
            "OPENAI_MODEL": run.model,
            # It sends loopback through a proxy, too, so it runs without: what else it asks for is not seen.
            **dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"), ""),
        }
        return ["-p", run.prompt, "--approval-mode", "yolo"], environment

    def shell(self, command: str) -> Use:
        return Use("run_shell_command", {"command": command, "description": "a step", "is_background": False})
