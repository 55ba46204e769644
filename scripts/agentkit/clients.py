"""The agents: which package, how it is told about the gateway, and how what a script wants is called there."""

from __future__ import annotations

import abc
import asyncio
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from .script import Use

MCP_SERVER = Path(__file__).with_name("mcp_server.py")


@dataclass(frozen=True, slots=True)
class Run:
    """What a scenario wants of an agent. tap: the address of the gateway, without a path. picture: a file to show;
    searches: the agent's web search is on; mcp: our MCP server is set up; compacts: it compacts early."""

    tap: str
    key: str
    model: str
    home: Path
    work: Path
    prompt: str = "Please do the work."
    picture: Path | None = None
    searches: bool = False
    mcp: bool = False
    compacts: bool = False


@dataclass(frozen=True, slots=True)
class Ended:
    """How an agent ended. status: None when its time was up."""

    status: int | None
    output: str
    errors: str


class Agent(abc.ABC):
    """A coding agent from the npm registry."""

    name: str
    package: str
    version: str
    binary: str
    undocumented: frozenset[str] = frozenset()
    """Variables that serve the script alone, and are not on the agent's page of the documentation."""
    page: str = ""
    """The page, where it is not `use-with-NAME...`."""
    asks: tuple[str, ...] = ()
    """Beginnings of the names of hosts that it asks for and does without."""

    def __init__(self, cache: Path) -> None:
        self.folder = cache / f"{self.name}-{self.version}"

    @property
    def executable(self) -> Path:
        return self.folder / "node_modules" / ".bin" / self.binary

    async def install(self) -> None:
        """Install the pinned version into the cache folder, unless it is there. Raises RuntimeError."""
        if self.executable.exists():
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        process = await asyncio.create_subprocess_exec(
            "npm", "install", "--no-save", "--no-audit", "--no-fund", "--prefix", str(self.folder),
            f"{self.package}@{self.version}", stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
        )  # fmt: skip
        output, _ = await process.communicate()
        if process.returncode:
            raise RuntimeError(f"npm could not install {self.package}: {output.decode()[-500:]}")

    @abc.abstractmethod
    def prepare(self, run: Run) -> tuple[Sequence[str], Mapping[str, str]]:
        """Write the configuration; returns the arguments and the environment."""

    @abc.abstractmethod
    def shell(self, command: str) -> Use:
        """The tool call that runs a command in the working folder."""

    def write(self, path: str, text: str) -> Use:
        """The tool call that writes a file in the working folder."""
        return self.shell(f"printf %s {text} > {path}")

    def find_mcp(self) -> Use | None:
        """The call that makes the MCP server's tool known to the model; None where it is from the beginning."""
        return None

    def add(self, first: int, second: int) -> Use:
        """The call of our MCP server's tool."""
        return Use("add_numbers", {"a": first, "b": second})

    @abc.abstractmethod
    def look(self, path: Path) -> Use | None:
        """The call that reads a picture; None when a picture goes with the prompt."""

    def find_search(self) -> Use | None:
        """The call that makes the search tool known to the model; None where it is from the beginning."""
        return None

    @abc.abstractmethod
    def search(self, query: str) -> Use | None:
        """The call of the agent's own search tool; None where the search is the provider's."""

    @abc.abstractmethod
    def said(self, ended: Ended) -> str:
        """The final text that it printed."""

    async def start(self, run: Run, refusing: str) -> asyncio.subprocess.Process:
        """Start it. refusing: a proxy that lets nothing out, for everything but loopback."""
        arguments, environment = self.prepare(run)
        clean = {
            "PATH": os.environ["PATH"], "HOME": str(run.home), "TERM": "dumb", "NO_COLOR": "1", "CI": "1",
            "XDG_CONFIG_HOME": str(run.home / ".config"), "XDG_CACHE_HOME": str(run.home / ".cache"),
            "HTTP_PROXY": refusing, "HTTPS_PROXY": refusing, "http_proxy": refusing, "https_proxy": refusing,
            "NO_PROXY": "127.0.0.1,localhost", "no_proxy": "127.0.0.1,localhost",
        }  # fmt: skip
        return await asyncio.create_subprocess_exec(
            str(self.executable), *arguments, env={**clean, **environment}, cwd=run.work,
            stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
            start_new_session=True,
        )  # fmt: skip

    async def finish(self, process: asyncio.subprocess.Process, patience: float) -> Ended:
        """Wait for its end; after `patience` seconds it is killed, with its children."""
        try:
            output, errors = await asyncio.wait_for(process.communicate(), patience)
            return Ended(process.returncode, output.decode("utf-8", "replace"), errors.decode("utf-8", "replace"))
        except TimeoutError:
            end_group(process, signal.SIGKILL)
            await process.wait()
            return Ended(None, "", "its time was up")


def end_group(process: asyncio.subprocess.Process, number: int) -> None:
    """Send a signal to a process that we started, and to what it started in its own session."""
    try:
        os.killpg(process.pid, number)
    except ProcessLookupError:
        pass


class ClaudeCode(Agent):
    """Claude Code: Anthropic's Messages."""

    name, package, version, binary = "claude", "@anthropic-ai/claude-code", "2.1.332", "claude"
    undocumented = frozenset({"DISABLE_AUTOUPDATER", "CLAUDE_CODE_MAX_RETRIES"})

    def prepare(self, run: Run) -> tuple[Sequence[str], Mapping[str, str]]:
        tools = "Write,Read,Bash,mcp__calc__add_numbers" + (",WebSearch" if run.searches else "")
        arguments = ["-p", run.prompt, "--model", run.model, "--output-format", "json", "--allowedTools", tools]
        if not run.searches:
            arguments += ["--disallowedTools", "WebSearch"]
        if run.mcp:
            server = {"type": "stdio", "command": sys.executable, "args": [str(MCP_SERVER)]}
            path = run.home / "mcp.json"
            path.write_bytes(orjson.dumps({"mcpServers": {"calc": server}}))
            arguments += ["--mcp-config", str(path), "--strict-mcp-config"]
        environment = {
            "ANTHROPIC_BASE_URL": run.tap,
            "ANTHROPIC_AUTH_TOKEN": run.key,
            "ANTHROPIC_DEFAULT_HAIKU_MODEL": run.model,
            "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
            "DISABLE_AUTOUPDATER": "1",
            "CLAUDE_CODE_MAX_RETRIES": "4",
        }
        return arguments, environment

    def shell(self, command: str) -> Use:
        return Use("Bash", {"command": command, "description": "a step of the work"})

    def find_mcp(self) -> Use | None:
        return Use("ToolSearch", {"query": "select:mcp__calc__add_numbers"})

    def look(self, path: Path) -> Use | None:
        return Use("Read", {"file_path": str(path)})

    def find_search(self) -> Use | None:
        return Use("ToolSearch", {"query": "select:WebSearch"})

    def search(self, query: str) -> Use | None:
        return Use("WebSearch", {"query": query})

    def said(self, ended: Ended) -> str:
        try:
            return str(orjson.loads(ended.output).get("result", ""))
        except orjson.JSONDecodeError:
            return ended.output


class Codex(Agent):
    """Codex: OpenAI's Responses."""

    name, package, version, binary = "codex", "@openai/codex", "0.171.0", "codex"
    undocumented = frozenset({"CODEX_HOME"})

    def prepare(self, run: Run) -> tuple[Sequence[str], Mapping[str, str]]:
        home = run.home / ".codex"
        home.mkdir(parents=True, exist_ok=True)
        lines = [
            f'model = "{run.model}"',
            'model_provider = "tollgate"',
            "check_for_update_on_startup = false",
            *([] if run.searches else ['web_search = "disabled"']),
            *(["model_auto_compact_token_limit = 60000"] if run.compacts else []),
            "[analytics]",
            "enabled = false",
            "[features]",
            # Each of them asks hosts of its own at every start.
            "plugins = false",
            "apps = false",
            "remote_plugin = false",
            "[model_providers.tollgate]",
            'name = "Tollgate"',
            f'base_url = "{run.tap}/v1"',
            'env_key = "TOLLGATE_KEY"',
            'wire_api = "responses"',
        ]
        if run.mcp:
            lines += ["[mcp_servers.calc]", f'command = "{sys.executable}"', f'args = ["{MCP_SERVER}"]']
        (home / "config.toml").write_text("\n".join(lines) + "\n")
        arguments = ["exec", "--skip-git-repo-check", "--dangerously-bypass-approvals-and-sandbox"]
        if run.picture:
            arguments += ["-i", str(run.picture), "--"]
        return [*arguments, run.prompt], {"CODEX_HOME": str(home), "TOLLGATE_KEY": run.key}

    def shell(self, command: str) -> Use:
        return Use("exec_command", {"cmd": command})

    def look(self, path: Path) -> Use | None:
        return None

    def search(self, query: str) -> Use | None:
        return None

    def said(self, ended: Ended) -> str:
        return ended.output.strip()


class GeminiCli(Agent):
    """Gemini CLI: Google's generateContent."""

    name, package, version, binary = "gemini", "@google/gemini-cli", "0.61.0", "gemini"

    def prepare(self, run: Run) -> tuple[Sequence[str], Mapping[str, str]]:
        home = run.home / ".gemini"
        home.mkdir(parents=True, exist_ok=True)
        settings: dict[str, Any] = {
            "security": {"auth": {"selectedType": "gemini-api-key"}},
            "privacy": {"usageStatisticsEnabled": False},
            "telemetry": {"enabled": False},
            "general": {"enableAutoUpdate": False, "enableAutoUpdateNotification": False},
        }
        if not run.searches:
            settings["tools"] = {"exclude": ["google_web_search"]}
        if run.mcp:
            settings["mcpServers"] = {"calc": {"command": sys.executable, "args": [str(MCP_SERVER)], "trust": True}}
        (home / "settings.json").write_bytes(orjson.dumps(settings))
        prompt = f"{run.prompt} @{run.picture.name}" if run.picture else run.prompt
        arguments = ["-p", prompt, "-m", run.model, "--approval-mode", "yolo", "--skip-trust", "-o", "json"]
        return arguments, {"GOOGLE_GEMINI_BASE_URL": run.tap, "GEMINI_API_KEY": run.key}

    def shell(self, command: str) -> Use:
        return Use("run_shell_command", {"command": command, "description": "a step of the work"})

    def look(self, path: Path) -> Use | None:
        return None

    def search(self, query: str) -> Use | None:
        return Use("google_web_search", {"query": query})

    def said(self, ended: Ended) -> str:
        start = ended.output.find("{")
        try:
            return str(orjson.loads(ended.output[start:]).get("response", ""))
        except orjson.JSONDecodeError:
            return ended.output
