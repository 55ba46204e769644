"""What one configuration offers of tools: search, MCP servers and what plugins registered, with their prices."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from inspect import iscoroutinefunction

from gateway.config import Config
from gateway.errors import ConfigFault
from gateway.fetch import PageFetcher
from gateway.pluginload import Plugins, creation_faults
from gateway.servertools.mcp.servers import McpServers
from gateway.servertools.mcp.spec import ServerSpec, own_server
from gateway.servertools.net import Exchange, ToolNet
from gateway.servertools.websearch import Service, WebSearch
from gateway.tools import PageReader, SearchBackend, SearchKind, ServerTool

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,63}", re.ASCII)


@dataclass(slots=True)
class Offers:
    """What plugins registered."""

    tools: dict[str, ServerTool] = field(default_factory=dict)
    searches: dict[str, SearchKind] = field(default_factory=dict)
    readers: list[PageReader] = field(default_factory=list)


def collect(plugins: Plugins) -> Offers:
    """Call the hooks and check what they register. Raises ConfigFault that names every tool and search service
    that cannot work."""
    offers = Offers()
    problems: list[str] = []

    def register(tool: ServerTool) -> None:
        problems.extend(f"tool {tool.name!r}: {problem}" for problem in tool_problems(tool, offers.tools))
        offers.tools[tool.name] = tool

    def register_kind(plugin: str, kind: SearchKind) -> None:
        problems.extend(creation_faults(plugin, kind.create, SearchBackend, "a search service"))
        offers.searches[kind.kind] = kind

    plugins.call("register_tools", register=register)
    plugins.register(
        "register_search",
        register=register_kind,
        register_reader=lambda _plugin, reader: offers.readers.append(reader),
    )
    if problems:
        raise ConfigFault(problems)
    return offers


def tool_problems(tool: ServerTool, others: Mapping[str, ServerTool]) -> Iterable[str]:
    """Why a tool cannot be offered, each as half a sentence."""
    if not _NAME.fullmatch(tool.name):
        yield "a name is a letter and then letters, digits, _ and -, at most 64"
    if tool.name in others:
        yield "two plugins register it"
    if tool.parameters.get("type") != "object":
        yield "parameters must be the JSON schema of an object"
    if not iscoroutinefunction(tool.call):
        yield "call must be `async def`"
    if tool.price < 0 or not tool.price.is_finite():
        yield "price must be 0 or more"
    if not tool.timeout > 0:
        yield "timeout must be more than 0"


class Toolbox:
    """One generation's tools. switched_off: search services that are not ready, and why."""

    def __init__(self, config: Config, offers: Offers, exchange: Exchange, log: logging.Logger) -> None:
        self.config = config
        self.tools = offers.tools
        self.switched_off: dict[str, str] = {}
        self._fetcher = PageFetcher(config.fetch, config.search.max_page)
        self.net = ToolNet(exchange, self._fetcher, seconds=config.tools.timeout, most=config.tools.max_reply)
        services = []
        for entry in config.searches.values():
            kind = offers.searches[entry.plugin]
            reason = kind.ready(entry.settings)
            if reason:
                self.switched_off[entry.name] = reason
            else:
                services.append(Service(kind.create(entry.name, entry.settings), kind.development))
        self.services = tuple(services)
        reader = offers.readers[0] if offers.readers else None
        self.search = WebSearch(config.search, services, reader, self.net, log)
        self.mcp = McpServers(self._fetcher.guard, config.tools)
        self.servers: dict[str, ServerSpec] = {
            label: own_server(label, settings, config.fetch, config.tools.timeout)
            for label, settings in config.mcp_servers.items()
        }
        self.provided: dict[str, tuple[str, str]] = {
            kind: (label, tool)
            for label, settings in config.mcp_servers.items()
            for kind, tool in settings.provides.items()
        }

    def credits(self, usd: Decimal) -> Decimal:
        """USD as credits, exact."""
        return usd * self.config.credits.per_usd

    async def close(self) -> None:
        """Stop programs, let go of threads."""
        await self.mcp.close()
        self._fetcher.close()
