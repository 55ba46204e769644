"""From a document to the frozen configuration, with every problem reported at once."""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace
from decimal import Decimal, localcontext
from types import MappingProxyType
from typing import Any, TypeVar

from pydantic import BaseModel

from gateway.call import Price
from gateway.config import checks
from gateway.config.document import Document, quote
from gateway.config.endpoints import read_endpoints
from gateway.config.explain import Checker
from gateway.config.price_sections import PriceClasses, PriceSettings
from gateway.config.provider_sections import ProviderTerms
from gateway.config.sections import (
    AliasEntry,
    Core,
    ModelSettings,
    PaymentTerms,
    PluginSettings,
)
from gateway.config.settings import Alias, Config, ModelEntry, PaymentEntry, ProviderEntry, SearchEntry
from gateway.config.tool_sections import McpServerSettings
from gateway.payments import PaymentKind
from gateway.provider import ProviderKind
from gateway.stores import CountersKind, StoresKind
from gateway.tools import SearchKind

_Kind = TypeVar("_Kind", ProviderKind, PaymentKind, SearchKind)
_MAPS = ("providers", "models", "aliases", "payments", "mcp_servers")
_LABEL = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,63}", re.ASCII)
_INSTANCE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}", re.ASCII)
_SEGMENT = r"[A-Za-z0-9._:@+~-]+"
_MODEL_ID = re.compile(rf"(?!.*\.\.)(?!\.|.*/\.(?:/|$)){_SEGMENT}(?:/{_SEGMENT})+", re.ASCII)
_MODEL_PATTERN = re.compile(rf"(?!.*\.\.)(?!\.|.*/\.){_SEGMENT}/(?:{_SEGMENT}/)*(?:{_SEGMENT})?\*", re.ASCII)
_ALIAS = re.compile(rf"(?!.*\.\.)(?!\.){_SEGMENT}(?:/{_SEGMENT})*", re.ASCII)
_LONGEST_ID = 200
_CORE_PRICES = MappingProxyType(
    {"search": ("price", "page_price"), "tools": ("mcp_call_price",), "console": ("currency_per_usd",)}
)


def plugin_settings(document: Document) -> PluginSettings:
    """The `plugins:` section alone, needed to find the plugins whose models `build` asks for. `dir` is made
    absolute. Raises ConfigFault, which then also names the problems of the text that `read` found."""
    settings = Checker(document).check(PluginSettings, document.values.get("plugins"), ("plugins",))
    if settings is None or ("plugins",) in document.broken:
        raise document.fault()
    found = _absolute(settings, document)
    if found.dir is not None:
        try:
            os.scandir(found.dir).close()
        except OSError as error:
            reason = error.strerror or type(error).__name__
            document.report(("plugins", "dir"), f"the folder {found.dir} cannot be read: {reason}")
            raise document.fault() from None
    return found


_MADE_ANEW = ("plugins", "pipeline")
"""What of the core's own keys does not stay as it was written."""


def build(
    document: Document,
    sections: Mapping[str, type[BaseModel]],
    kinds: Mapping[str, ProviderKind],
    *,
    plugins: Collection[str] | None = None,
    left_out: Collection[str] = (),
    payments: Mapping[str, PaymentKind] = MappingProxyType({}),
    searches: Mapping[str, SearchKind] = MappingProxyType({}),
    stores: Mapping[str, StoresKind] | None = None,
    counters: Mapping[str, CountersKind] = MappingProxyType({}),
) -> Config:
    """Check the whole document. Raises ConfigFault with every problem, sorted by line.

    sections: the models of the plugins' own top-level sections, by plugin name. kinds, payments, searches: by their
    `kind`. stores, counters: by URL scheme; stores None leaves `database.url` unchecked.
    plugins: the names of all loaded plugins, None leaves them unchecked; left_out: of those that are not to be loaded.
    """
    builder = _Builder(document, sections, kinds)
    core = builder.core()
    plugin_sections = builder.plugin_sections()
    providers = builder.providers()
    models, patterns = builder.models(core.credits.per_usd if core else 1_000_000)
    aliases = builder.aliases()
    services, search_services = builder.payments(payments), builder.searches(searches)
    mcp_servers = builder.mcp_servers()
    builder.places(core, stores, counters)
    names = builder.names("models") | builder.names("aliases")
    checks.check_aliases(builder.checker, aliases, names)
    checks.check_names(builder.checker, names, plugins, left_out)
    if document.problems or core is None:
        raise document.fault()
    return Config(
        file=document.name,
        data=document.data,
        modified=document.modified,
        plugins=_absolute(core.plugins, document),
        pipeline=_pipeline(document, core, plugins),
        providers=MappingProxyType(providers),
        models=MappingProxyType(models),
        patterns=MappingProxyType(patterns),
        aliases=MappingProxyType(aliases),
        sections=MappingProxyType(plugin_sections),
        secrets=frozenset(document.secrets),
        warnings=checks.warnings(document, core, providers, {**models, **patterns}),
        payments=MappingProxyType(services),
        searches=MappingProxyType(search_services),
        mcp_servers=MappingProxyType(mcp_servers),
        **{name: getattr(core, name) for name in Core.model_fields if name not in _MADE_ANEW},
    )


class _Builder:
    def __init__(
        self, document: Document, sections: Mapping[str, type[BaseModel]], kinds: Mapping[str, ProviderKind]
    ) -> None:
        self.document = document
        self.sections = sections
        self.kinds = kinds
        self.checker = Checker(document)

    def names(self, section: str) -> set[str]:
        """All names in one of the open sections, also of entries with problems: what refers to such an
        entry is not wrong for that."""
        values = self.document.values.get(section)
        # Patterns of models are no names.
        return {name for name in values if not name.endswith("*")} if isinstance(values, dict) else set()

    def core(self) -> Core | None:
        """The core's own sections. A section with nothing below it counts as absent."""
        values = self.document.values
        known = {*Core.model_fields, *_MAPS}
        for name in self.sections:
            if name in known:
                self.document.report((), f"the plugin {name} cannot have a section: the core has one of that name")
        for key in values:
            if key not in known and key not in self.sections:
                self.checker.unknown_key((key,), known | set(self.sections))
        given = {key: value for key, value in values.items() if key in Core.model_fields and value is not None}
        for section, prices in _CORE_PRICES.items():
            if section in given:
                given[section] = self.priced(given[section], (section,), prices)
        return self.checker.check(Core, given, ())

    def plugin_sections(self) -> dict[str, BaseModel]:
        checked = {}
        for name, model in self.sections.items():
            if name in Core.model_fields or name in _MAPS:
                continue  # reported by `core`
            section = self.checker.check(model, self.document.values.get(name), (name,), foreign=True)
            if section is not None:
                checked[name] = section
        return checked

    def entries(self, *section: str) -> dict[str, Any]:
        values: Any = self.document.values
        for key in section:
            values = values.get(key) if isinstance(values, dict) else None
        if values is None or isinstance(values, dict):
            return values or {}
        self.document.report(section, "must be a section with `name:` lines")
        return {}

    def priced(self, values: Any, path: tuple[str, ...], keys: Collection[str]) -> Any:
        """A section in which these prices are the text that was written, not binary floats."""
        if not isinstance(values, dict):
            return values
        texts = self.document.texts
        return {key: texts.get((*path, key), value) if key in keys else value for key, value in values.items()}

    def where(self, *path: str) -> str:
        return f"{self.document.name}:{self.document.line(path)}"

    def providers(self) -> dict[str, ProviderEntry]:
        checked = {}
        for path, name, kind, settings in self.instances(("providers",), "provider", self.kinds):
            own = {key: settings.pop(key) for key in ProviderTerms.model_fields if key in settings}
            terms = self.checker.check(ProviderTerms, own, path)
            made = None if terms is None else read_endpoints(self.checker, path, terms, kind.settings_model, settings)
            if terms is not None and made:
                unset = self.document.unset(path)
                checked[name] = ProviderEntry(
                    name, kind.kind, made[0].settings, self.where(*path), unset, terms, tuple(made), kind.embedded
                )
        return checked

    def payments(self, kinds: Mapping[str, PaymentKind]) -> dict[str, PaymentEntry]:
        checked = {}
        for path, name, kind, settings in self.instances(("payments",), "payment", kinds):
            # As text, so that money does not pass through binary floats.
            own = {
                key: self.document.texts.get((*path, key), settings.pop(key))
                for key in PaymentTerms.model_fields
                if key in settings
            }
            terms = self.checker.check(PaymentTerms, own, path)
            section = self.checker.check(
                kind.settings_model, settings, path, foreign=True, beside=PaymentTerms.model_fields
            )
            if section is not None and terms is not None:
                checked[name] = PaymentEntry(
                    name, kind.kind, section, int(terms.minimum * 100), int(terms.maximum * 100), self.where(*path)
                )
        return checked

    def searches(self, kinds: Mapping[str, SearchKind]) -> dict[str, SearchEntry]:
        checked = {}
        for path, name, kind, settings in self.instances(("search", "backends"), "search service", kinds):
            section = self.checker.check(kind.settings_model, settings, path, foreign=True)
            if section is not None:
                checked[name] = SearchEntry(name, kind.kind, section, self.where(*path))
        return checked

    def mcp_servers(self) -> dict[str, McpServerSettings]:
        checked = {}
        for label, values in self.entries("mcp_servers").items():
            path = ("mcp_servers", label)
            if not _LABEL.fullmatch(label):
                self.document.report(path, "a server's label is a letter and then letters, digits, - and _", key=True)
            section = self.checker.check(McpServerSettings, self.priced(values, path, ("price",)), path)
            if section is not None:
                checked[label] = section
        provided = [(kind, label) for label, section in checked.items() for kind in section.provides]
        for kind, label in provided:
            if [other for other, _ in provided].count(kind) > 1:
                self.document.report(("mcp_servers", label, "provides"), f"two servers provide {quote(kind)}")
        return checked

    def places(
        self, core: Core | None, stores: Mapping[str, StoresKind] | None, counters: Mapping[str, CountersKind]
    ) -> None:
        """Where things are kept: the URLs of the database and of the rate windows."""
        if core is not None and stores is not None:
            self.place(("database", "url"), core.database.url, "a store", stores)
        if core is not None and core.counters.url:
            self.place(("counters", "url"), core.counters.url, "counters", counters)

    def place(
        self, path: tuple[str, ...], url: str, what: str, kinds: Mapping[str, StoresKind] | Mapping[str, CountersKind]
    ) -> None:
        """The scheme of the URL must be offered, and the rest must mean something to who offers it."""
        scheme = url.partition("://")[0]
        kind = kinds.get(scheme)
        if kind is None:
            known = ", ".join(f"{name}://" for name in sorted(kinds)) or "none"
            said = f"no plugin offers {what} for {scheme[:40]}://; the kinds that there are: {known}"
            self.document.report(path, said)
        elif problem := kind.check(url):
            self.document.report(path, problem)

    def instances(
        self, section: tuple[str, ...], what: str, kinds: Mapping[str, _Kind]
    ) -> Iterator[tuple[tuple[str, ...], str, _Kind, dict[str, Any]]]:
        """The named instances of plugins in an open section: path, name, kind, and settings without `plugin`."""
        for name, values in self.entries(*section).items():
            path = (*section, name)
            if not _INSTANCE.fullmatch(name):
                self.document.report(path, f"a {what}'s name consists of letters, digits, - _ and .", key=True)
            if values is not None and not isinstance(values, dict):
                self.document.report(path, "must be a section with `key: value` lines")
                continue
            settings = dict(values or {})
            kind_name = settings.pop("plugin", name)
            kind = kinds.get(kind_name) if isinstance(kind_name, str) else None
            if kind is None:
                self.unknown_kind(path, what, kind_name, kinds)
            else:
                yield path, name, kind, settings

    def unknown_kind(self, path: tuple[str, ...], what: str, kind: Any, kinds: Collection[str]) -> None:
        installed = f"; installed: {', '.join(sorted(kinds))}" if kinds else "; none is installed"
        guess = self.checker.guess(kind, kinds) or installed
        named = (*path, "plugin")
        if named in self.document.lines:
            self.document.report(named, f"no plugin offers this kind of {what}{guess}{self.checker.found(named)}")
        else:
            message = f"no plugin offers a kind of {what} with this section's name{guess}"
            self.document.report(path, f"{message} (`plugin:` names the kind when it differs)", key=True)

    def models(self, per_usd: int) -> tuple[dict[str, ModelEntry], dict[str, ModelEntry]]:
        """Single models, and patterns of them."""
        checked: dict[str, ModelEntry] = {}
        patterns: dict[str, ModelEntry] = {}
        providers = self.names("providers")
        for name, values in self.entries("models").items():
            path = ("models", name)
            pattern = _MODEL_PATTERN.fullmatch(name) is not None
            if not (pattern or _MODEL_ID.fullmatch(name)) or len(name) > _LONGEST_ID:
                self.document.report(
                    path,
                    "a model's id is written provider/model, of letters, digits and . _ : @ + ~ -, without `..`",
                    key=True,
                )
            settings = self.checker.check(ModelSettings, self.with_texts(values, path), path)
            if settings is None:
                continue
            first, _, rest = name.partition("/")
            provider = settings.provider or first
            if provider not in providers:
                guess = self.checker.guess(provider, providers)
                key = "the provider" if settings.provider else f"`provider` is missing, and the provider {quote(first)}"
                here = (*path, "provider") if settings.provider else path
                self.document.report(here, f"{key} is not configured under providers{guess}{self.shown(here)}")
            price = to_credits(settings.price, per_usd) if settings.price else None
            if pattern and settings.upstream:
                self.document.report(
                    (*path, "upstream"), "a pattern takes the names that the provider lists; leave upstream out"
                )
            (patterns if pattern else checked)[name] = ModelEntry(
                name, provider, settings.upstream or rest, price, settings, self.where(*path)
            )
        return checked, patterns

    def shown(self, path: tuple[str, ...]) -> str:
        return self.checker.found(path) if len(path) > 2 else ""

    def with_texts(self, values: Any, path: tuple[str, ...]) -> Any:
        """A model's section in which prices are the text that was written, not binary floats."""
        if not isinstance(values, dict) or not isinstance(values.get("price"), dict):
            return values
        texts = self.document.texts
        place = (*path, "price")
        price = {
            key: {kind: texts.get((*place, key, kind), one) for kind, one in value.items()}
            if isinstance(value, dict)
            else texts.get((*place, key), value)
            for key, value in values["price"].items()
        }
        return {**values, "price": price}

    def aliases(self) -> dict[str, Alias]:
        checked = {}
        models = self.names("models")
        for name, value in self.entries("aliases").items():
            path = ("aliases", name)
            if not _ALIAS.fullmatch(name) or len(name) > _LONGEST_ID:
                self.document.report(
                    path, "an alias consists of letters, digits and . _ : @ + ~ - /, without `..`", key=True
                )
            if name in models:
                self.document.report(path, "there is a model of the same name; choose another", key=True)
            items = value if isinstance(value, list) else [value]
            if value is None or not items:
                self.document.report(path, "must name a model, or list several")
                continue
            entries = []
            for index, item in enumerate(items):
                here = (*path, index) if isinstance(value, list) else path
                entry = self.alias_entry(item, here)
                if entry is not None:
                    entries.append(entry)
            if len(entries) == len(items):
                checked[name] = Alias(name, tuple(entries), self.where(*path))
        return checked

    def alias_entry(self, item: Any, path: tuple[str | int, ...]) -> AliasEntry | None:
        if isinstance(item, dict):
            return self.checker.check(AliasEntry, item, path)
        if isinstance(item, str) and item:
            return AliasEntry(model=item)
        self.document.report(
            path, f"must be a model's id, or a section with model, weight or when{self.checker.found(path)}"
        )
        return None


def to_credits(price: PriceSettings, per_usd: int) -> Price:
    """USD per million tokens as credits per token, and USD per event as credits per event; exact."""
    plain = replace(Price(), **_scaled(price, per_usd))
    tiers = tuple((tier.above, replace(plain, **_scaled(tier, per_usd))) for tier in price.tiers)
    return replace(plain, tiers=tiers, batch=price.batch)


def _scaled(prices: PriceClasses, per_usd: int) -> dict[str, Any]:
    with localcontext() as context:
        context.prec = 60  # 7 + 12 digits of a price times 10 of per_usd always fit
        return {name: _in_credits(name, usd, per_usd) for name, usd in prices.given().items()}


def _in_credits(name: str, usd: Decimal | Mapping[str, Decimal], per_usd: int) -> Decimal | Mapping[str, Decimal]:
    if not isinstance(usd, Decimal):
        return MappingProxyType({kind: price * per_usd for kind, price in usd.items()})
    return usd * per_usd if name.startswith("per_") else (usd * per_usd).scaleb(-6)


def _pipeline(document: Document, core: Core, plugins: Collection[str] | None) -> tuple[str, ...]:
    """The order as written; the default one without the plugins that are not there (`plugins.disable`)."""
    if document.values.get("pipeline") is not None or plugins is None:
        return core.pipeline
    return tuple(plugin for plugin in core.pipeline if plugin in plugins)


def _absolute(settings: PluginSettings, document: Document) -> PluginSettings:
    if settings.dir is None:
        return settings
    return settings.model_copy(update={"dir": document.folder / settings.dir})
