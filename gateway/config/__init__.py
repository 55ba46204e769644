"""The configuration: one YAML file, read and checked into a frozen `Config`.

Two steps, because the plugins that own parts of the file are themselves named in it:

    document = read(Path("config.yaml"), os.environ)
    plugins = plugin_settings(document)         # find and load the plugins, then
    config = build(document, sections, kinds)   # check everything; ConfigFault lists every problem

Imports inside this folder go one way: types, hosts, tool_sections, sections, settings; tree, environment, document,
explain; checks, build.
"""

from __future__ import annotations

from gateway.config.alert_sections import AlertSettings
from gateway.config.build import build, plugin_settings, to_credits
from gateway.config.document import Document, Problem, parse, read
from gateway.config.environment import looks_secret
from gateway.config.hosts import AllowedHost
from gateway.config.price_sections import PriceClasses, PriceSettings
from gateway.config.provider_sections import ProviderTerms
from gateway.config.sections import (
    AliasEntry,
    ConsoleSettings,
    CreditSettings,
    Database,
    FetchSettings,
    KeyRules,
    LogSettings,
    MetricsSettings,
    ModelSettings,
    PaymentTerms,
    PluginSettings,
    Server,
    Timeouts,
    Upstream,
)
from gateway.config.settings import Alias, Config, EndpointEntry, ModelEntry, PaymentEntry, ProviderEntry, SearchEntry
from gateway.config.sign_in_sections import OidcSettings
from gateway.config.state_sections import (
    BatchesSettings,
    FilesSettings,
    IdempotencySettings,
    ResponsesSettings,
    StorageSettings,
)
from gateway.config.tool_sections import McpServerSettings, SearchMode, SearchSettings, ToolSettings
from gateway.config.types import (
    ApiKey,
    BaseUrl,
    Credits,
    Duration,
    FrozenDict,
    ListOf,
    Network,
    OptionalText,
    SecretWord,
    Section,
    Size,
    UsdPrice,
    freeze,
    refuse,
    thaw,
)

__all__ = [
    "AlertSettings",
    "Alias",
    "AliasEntry",
    "AllowedHost",
    "ApiKey",
    "BaseUrl",
    "BatchesSettings",
    "Config",
    "ConsoleSettings",
    "CreditSettings",
    "Credits",
    "Database",
    "Document",
    "Duration",
    "EndpointEntry",
    "FetchSettings",
    "FilesSettings",
    "FrozenDict",
    "IdempotencySettings",
    "KeyRules",
    "ListOf",
    "LogSettings",
    "McpServerSettings",
    "MetricsSettings",
    "ModelEntry",
    "ModelSettings",
    "Network",
    "OidcSettings",
    "OptionalText",
    "PaymentEntry",
    "PaymentTerms",
    "PluginSettings",
    "PriceClasses",
    "PriceSettings",
    "Problem",
    "ProviderEntry",
    "ProviderTerms",
    "ResponsesSettings",
    "SearchEntry",
    "SearchMode",
    "SearchSettings",
    "SecretWord",
    "Section",
    "Server",
    "Size",
    "StorageSettings",
    "Timeouts",
    "ToolSettings",
    "Upstream",
    "UsdPrice",
    "build",
    "freeze",
    "looks_secret",
    "parse",
    "plugin_settings",
    "read",
    "refuse",
    "thaw",
    "to_credits",
]
