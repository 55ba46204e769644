"""The frozen configuration: what the rest of the gateway reads."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

from pydantic import BaseModel

from gateway.call import Price
from gateway.config.alert_sections import AlertSettings
from gateway.config.provider_sections import ProviderTerms
from gateway.config.record_sections import RecordSettings
from gateway.config.sections import (
    AliasEntry,
    ConsoleSettings,
    CounterSettings,
    CreditSettings,
    Database,
    FetchSettings,
    KeyRules,
    LogSettings,
    MetricsSettings,
    ModelSettings,
    PluginSettings,
    Server,
    Upstream,
)
from gateway.config.state_sections import (
    BatchesSettings,
    FilesSettings,
    IdempotencySettings,
    ResponsesSettings,
    StorageSettings,
    UsageSettings,
)
from gateway.config.tool_sections import McpServerSettings, SearchSettings, ToolSettings

_FIXED = MappingProxyType({"server": ("host", "port", "workers"), "database": ("url",), "counters": ("url", "away")})


@dataclass(slots=True, frozen=True)
class EndpointEntry:
    """One address and key of a provider. label: its name within the provider. settings: an instance of the kind's
    model. weight: its share of the requests."""

    label: str
    settings: BaseModel = field(repr=False)
    weight: float = 1.0


@dataclass(slots=True, frozen=True)
class ProviderEntry:
    """One provider instance. plugin: the `ProviderKind` that makes it. settings: an instance of that kind's model, the
    first endpoint's. where: `file:line`, for messages. unset: environment variables that its section names and that are
    not set. terms: what the core reads of the section. endpoints: all of them, at least one. embedded: its model is
    part of the gateway (`ProviderKind`)."""

    name: str
    plugin: str
    settings: BaseModel = field(repr=False)
    where: str = ""
    unset: tuple[str, ...] = ()
    terms: ProviderTerms = field(default=ProviderTerms(), repr=False)
    endpoints: tuple[EndpointEntry, ...] = ()
    embedded: bool = False

    def each_endpoint(self) -> tuple[EndpointEntry, ...]:
        """Its endpoints; the section itself when it names none."""
        return self.endpoints or (EndpointEntry("1", self.settings),)


@dataclass(slots=True, frozen=True)
class PaymentEntry:
    """One payment service. plugin: the `PaymentKind` that makes it. settings: an instance of that kind's model.
    minimum, maximum: of one order, in US cents. where: `file:line`, for messages."""

    name: str
    plugin: str
    settings: BaseModel = field(repr=False)
    minimum: int
    maximum: int
    where: str = ""


@dataclass(slots=True, frozen=True)
class SearchEntry:
    """One search service. plugin: the `SearchKind` that makes it. settings: an instance of that kind's model.
    where: `file:line`, for messages."""

    name: str
    plugin: str
    settings: BaseModel = field(repr=False)
    where: str = ""


@dataclass(slots=True, frozen=True)
class ModelEntry:
    """One model. provider, upstream: filled in from the id where the file leaves them out.
    price: credits per token or event, None when there is none (refused unless `settings.free`).
    settings: the section as written; `settings.price` is in USD."""

    id: str
    provider: str
    upstream: str
    price: Price | None
    settings: ModelSettings
    where: str = ""


@dataclass(slots=True, frozen=True)
class Alias:
    """Another name for one model or for several.

    The entries are a fallback chain in the order of the file. Entries with a `weight` that directly follow each
    other form one group: its members share the requests in proportion to their weights, and stand in for each
    other before the next entry is tried. An entry with `when: unavailable` is used only when nothing before it
    can be, because every provider there is switched off; an outage does not lead to it. An entry may name another
    alias, whose own chain then stands in its place.
    """

    name: str
    entries: tuple[AliasEntry, ...]
    where: str = ""


@dataclass(slots=True, frozen=True)
class Config:
    """Everything the file says, checked and unchangeable.

    file: the configuration file as it was named. data: the data folder, absolute. modified: when the file last
    changed, unix seconds. patterns: entries such as `local/*`, whose `upstream` ends in `*`. searches: search services
    in the order they are asked. sections: the plugins' own sections by name. secrets: values to redact in every log.
    warnings: what can be used but is probably not meant, as `file:line: key: remark`, sorted by line.
    """

    file: str
    data: Path
    modified: int
    server: Server
    database: Database
    counters: CounterSettings
    upstream: Upstream
    fetch: FetchSettings
    credits: CreditSettings
    keys: KeyRules
    responses: ResponsesSettings
    idempotency: IdempotencySettings
    storage: StorageSettings
    tools: ToolSettings
    search: SearchSettings
    plugins: PluginSettings
    log: LogSettings
    metrics: MetricsSettings
    alerts: AlertSettings
    usage: UsageSettings
    files: FilesSettings
    batches: BatchesSettings
    console: ConsoleSettings
    record: RecordSettings
    pipeline: tuple[str, ...]
    default_model: str | None
    strict: bool
    providers: Mapping[str, ProviderEntry]
    models: Mapping[str, ModelEntry]
    aliases: Mapping[str, Alias]
    sections: Mapping[str, BaseModel] = field(repr=False)
    secrets: frozenset[str] = field(repr=False)
    warnings: tuple[str, ...] = ()
    payments: Mapping[str, PaymentEntry] = field(default_factory=lambda: MappingProxyType({}))
    searches: Mapping[str, SearchEntry] = field(default_factory=lambda: MappingProxyType({}))
    mcp_servers: Mapping[str, McpServerSettings] = field(default_factory=lambda: MappingProxyType({}))
    patterns: Mapping[str, ModelEntry] = field(default_factory=lambda: MappingProxyType({}))

    def fixed_differences(self, other: Config) -> list[str]:
        """What `other` changes that a running gateway cannot take over, as problems; empty when it can be swapped
        in. These settings belong to the process: its socket, its workers and its open database."""
        return [
            f"{other.file}: {section}.{key}: cannot be changed while the gateway runs; restart it"
            for section, keys in _FIXED.items()
            for key in keys
            if getattr(getattr(self, section), key) != getattr(getattr(other, section), key)
        ]

    def section(self, name: str) -> BaseModel:
        """A plugin's own section. Raises KeyError when no plugin of that name has one."""
        return self.sections[name]
