"""A configuration with everything it names, read and checked before anything runs."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import time
from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import orjson
from pydantic import BaseModel, SecretStr

from gateway import config as configuration
from gateway.catalog import Catalog, resolve_profiles
from gateway.config import Config, ModelEntry, ProviderEntry
from gateway.config.types import FrozenDict
from gateway.errors import ConfigFault, Fault, GatewayFault
from gateway.own_plugins import OWN_PLUGINS
from gateway.payments import PaymentKind, PaymentMethod
from gateway.pluginload import (
    Plugins,
    check_providers,
    late_faults,
    load,
    registered_creations,
    registered_providers,
    registered_schemes,
)
from gateway.profile import Profile
from gateway.provider import (
    BatchesProvider,
    CountingProvider,
    FilesProvider,
    ListingProvider,
    MediaProvider,
    ProviderKind,
)
from gateway.server_secret import forget_secret, has_secret, server_secret
from gateway.servertools.toolbox import Offers, collect
from gateway.stores import CountersKind, Stores, StoresKind, StoresSettings
from gateway.stores.counters import SpareCounters
from gateway.stores.refusals import OTHER_SECRET
from gateway.upstream.lanes import Endpoint


class Blueprint:
    """A configuration that has been checked completely, with the plugins it needs; nothing is running yet.

    providers: the instances that are switched on, by name; of several endpoints the first. endpoints: all of those that
    have what they need, by the provider's name. profiles: what each of their models can, by its id.
    demo: the ids of the models that the embedded one stands in for; empty outside demo mode. written: the models as the
    file has them, whoever stands in for them.
    """

    def __init__(
        self,
        config: Config,
        plugins: Plugins,
        kinds: Mapping[str, ProviderKind],
        payments: Mapping[str, PaymentKind],
        offers: Offers,
        stores: Mapping[str, StoresKind],
        counters: Mapping[str, CountersKind],
        endpoints: Mapping[str, tuple[Endpoint, ...]],
        profiles: Mapping[str, Profile],
        demo: frozenset[str],
        written: Mapping[str, ModelEntry],
    ) -> None:
        self.config = config
        self.plugins = plugins
        self.kinds = kinds
        self.payments = payments
        self.offers = offers
        self.stores = stores
        self.counters = counters
        self.providers = {name: found[0].provider for name, found in endpoints.items()}
        self.endpoints = endpoints
        self.profiles = profiles
        self.demo = demo
        self.written = written

    def stores_kind(self) -> StoresKind:
        """The kind of store that `database.url` names."""
        return self.stores[self.config.database.url.partition("://")[0]]


def read_blueprint(
    path: Path,
    env: Mapping[str, str],
    more: Mapping[str, object] = MappingProxyType({}),
    flags: Mapping[str, Any] = MappingProxyType({}),
) -> Blueprint:
    """Read and check a configuration with everything it names. more: plugins beside the gateway's own and those that
    are installed, name -> module or class. flags: what the command line says instead of `server`'s own values, checked
    as they are. Raises ConfigFault with all problems found."""
    document = configuration.read(path, env)
    settings = configuration.plugin_settings(document)
    plugins = load(
        {**OWN_PLUGINS, **more},
        directory=settings.dir,
        enabled=settings.enable,
        disabled=settings.disable,
    )
    kinds, owners = registered_providers(plugins)
    payments: dict[str, PaymentKind] = registered_creations(
        plugins, "register_payments", PaymentMethod, "a payment service"
    )
    offers = collect(plugins)
    stores: dict[str, StoresKind] = registered_schemes(plugins, "register_stores", StoresKind, "a store")
    counters: dict[str, CountersKind] = registered_schemes(
        plugins, "register_counters", CountersKind, "a place for rate windows"
    )
    sections = {name: model for name, model in plugins.call("config_model") if model is not None}
    config = configuration.build(
        document,
        sections,
        kinds,
        plugins=plugins.names,
        left_out=plugins.left_out,
        payments=payments,
        searches=offers.searches,
        stores=stores,
        counters=counters,
    )
    if flags:
        config = replace(config, server=config.server.model_copy(update=dict(flags)))
    _load((owners[entry.plugin], kinds[entry.plugin].create) for entry in config.providers.values())
    _load((entry.plugin, payments[entry.plugin].create) for entry in config.payments.values())
    made = {name: _endpoints(name, entry, kinds[entry.plugin]) for name, entry in config.providers.items()}
    endpoints = {name: found for name, found in made.items() if found}
    providers = {name: found[0].provider for name, found in endpoints.items()}
    written = config.models
    config, demo = demo_mode(config, kinds, providers)
    owned = {name: (owners[config.providers[name].plugin], made) for name, made in providers.items()}
    check_providers(owned.values())
    listing = dict.fromkeys(pattern.provider for pattern in config.patterns.values())
    check_providers((owned[name] for name in listing if name in owned), ListingProvider)
    for at, name in enumerate(config.files.providers):
        if name not in config.providers:
            document.report(("files", "providers", at), f"there is no provider {name!r}")
    check_providers((owned[name] for name in config.files.providers if name in owned), FilesProvider)
    for at, name in enumerate(config.batches.providers):
        if name not in config.files.providers:
            document.report(("batches", "providers", at), f"{name!r} is not among files.providers, which batches need")
    check_providers((owned[name] for name in config.batches.providers if name in owned), BatchesProvider)
    profiles = resolve_profiles(config, providers, document)
    for protocol, asked in ((MediaProvider, _takes_bytes), (CountingProvider, _counts)):
        bound = {config.models[model].provider for model, profile in profiles.items() if asked(profile)}
        check_providers((owned[name] for name in sorted(bound)), protocol)
    return Blueprint(
        config, plugins.order(config.pipeline), kinds, payments, offers, stores, counters, endpoints, profiles, demo,
        written,
    )  # fmt: skip


def _load(creations: Iterable[tuple[str, object]]) -> None:
    """Import what makes an instance, each with the plugin that offers it. Raises ConfigFault for what cannot be."""
    problems = [problem for plugin, create in creations for problem in late_faults(plugin, create)]
    if problems:
        raise ConfigFault(list(dict.fromkeys(problems)))


def _takes_bytes(profile: Profile) -> bool:
    return profile.media == "bytes"


def _counts(profile: Profile) -> bool:
    return bool(profile.counts)


def _endpoints(name: str, entry: ProviderEntry, kind: ProviderKind) -> tuple[Endpoint, ...]:
    """The endpoints of a provider that have what they need."""
    return tuple(
        Endpoint(found.label, kind.create(name, found.settings), found.weight, _fingerprint(found.settings))
        for found in entry.each_endpoint()
        if not kind.ready(found.settings)
    )


def _fingerprint(settings: BaseModel) -> str:
    """Tells settings from others, in every process alike; nothing of them can be read from it."""

    def reveal(value: object) -> str:
        return value.get_secret_value() if isinstance(value, SecretStr) else str(value)

    text = orjson.dumps(settings.model_dump(), default=reveal, option=orjson.OPT_NON_STR_KEYS)
    return hashlib.blake2b(text, digest_size=8).hexdigest()


def demo_mode(
    config: Config, kinds: Mapping[str, ProviderKind], ready: Collection[str]
) -> tuple[Config, frozenset[str]]:
    """The configuration in which the embedded model stands in, free, for all models whose provider lacks what it needs,
    and the ids of those models.

    Only while no other provider is `ready`: with one key set nonsense never stands in for a model. So the first run
    works offline, with the names that programs use.
    """
    embedded = [name for name in ready if kinds[config.providers[name].plugin].embedded]
    if not embedded or len(embedded) < len(ready):
        return config, frozenset()
    models = dict(config.models)
    demo = frozenset(name for name, model in models.items() if model.provider not in ready)
    for name in demo:
        model = models[name]
        # Options are another plugin's.
        settings = model.settings.model_copy(update={"free": True, "price": None, "options": FrozenDict()})
        models[name] = replace(model, provider=embedded[0], price=None, settings=settings)
    return replace(config, models=MappingProxyType(models)), demo


def catalog_of(blueprint: Blueprint) -> Catalog:
    """The models and aliases, with the availability of their providers."""
    return Catalog.from_config(blueprint.config, available_providers(blueprint), blueprint.profiles)


def default_problem(config: Config, catalog: Catalog) -> str:
    """Why requests that name no model would fail, "" when they would not or when there is no default model."""
    try:
        catalog.resolve(config.default_model)
    except Fault as fault:
        return "" if config.default_model is None else f"default_model: {fault.message}"
    return ""


def report(
    log: logging.Logger, config: Config, catalog: Catalog, note: str, off: Mapping[str, Mapping[str, str]]
) -> None:
    """What the operator is told of a configuration that is served from now on. note: of demo mode. off: what is
    switched off and why, by its kind and name."""
    for warning in (*config.warnings, note, default_problem(config, catalog)):
        if warning:
            log.warning(warning)
    for kind, names in off.items():
        for name, reason in names.items():
            log.info("%s %s is switched off: %s", kind, name, reason)


def demo_note(blueprint: Blueprint) -> str:
    """What is said of demo mode where the gateway starts or is checked, "" outside of it."""
    if not blueprint.demo:
        return ""
    names = [name for entry in blueprint.config.providers.values() for name in entry.unset]
    key = f"such as {names[0]}" if names else "under providers"
    return (
        "demo mode: no provider has a key, so the embedded model stands in for all models, free of charge; its answers "
        f"are no model's. Set a provider's key, {key}, and start again"
    )


def available_providers(blueprint: Blueprint) -> dict[str, bool]:
    """Provider instance -> whether it has what it needs (an API key, usually)."""
    return {name: name in blueprint.providers for name in blueprint.config.providers}


def switched_off(blueprint: Blueprint) -> dict[str, str]:
    """Provider instance that is switched off -> why, with the environment variables that would change it."""
    return {
        name: blueprint.kinds[entry.plugin].ready(entry.settings)
        + (f" ({', '.join(entry.unset)} not set)" if entry.unset else "")
        for name, entry in blueprint.config.providers.items()
        if name not in blueprint.providers
    }


def payment_methods(blueprint: Blueprint) -> tuple[dict[str, PaymentMethod], dict[str, str]]:
    """Payment services by name, and why the others are switched off."""
    methods: dict[str, PaymentMethod] = {}
    off: dict[str, str] = {}
    for name, entry in blueprint.config.payments.items():
        kind = blueprint.payments[entry.plugin]
        reason = kind.ready(entry.settings)
        if reason:
            off[name] = reason
        else:
            methods[name] = kind.create(name, entry.settings)
    return methods, off


def stores_settings(config: Config, *, shared: bool = False) -> StoresSettings:
    """What the store is told; makes the server secret when there is none yet, so it belongs on a thread."""
    return StoresSettings(
        str(config.data.absolute()),
        server_secret(config.data),
        config.keys.prefix,
        config.keys.per_account,
        shared=shared,
        min_free=config.database.min_free,
    )


async def open_stores(blueprint: Blueprint, *, shared: bool = False) -> Stores:
    """The stores that the configuration names. Works beside a running gateway. shared: rate windows count over all
    processes that open it so. Raises GatewayFault."""
    config = blueprint.config
    is_new = not await asyncio.to_thread(has_secret, config.data)
    settings = await asyncio.to_thread(stores_settings, config, shared=shared)
    try:
        return await blueprint.stores_kind().open(config.database.url, settings)
    except GatewayFault as fault:
        if not is_new or fault.code != OTHER_SECRET:
            raise
        await asyncio.to_thread(forget_secret, config.data)
        raise GatewayFault(
            f"There is no server secret in {config.data}, and the database was made with one: without it no key works. "
            "Put the file `secret` of its gateway, or of its backup, there.",
            code=OTHER_SECRET,
        ) from fault


async def open_counters(blueprint: Blueprint, stores: Stores, log: logging.Logger) -> SpareCounters | None:
    """The place for rate windows that the configuration names, with the store's in reserve; None when it names none."""
    settings = blueprint.config.counters
    if not settings.url:
        return None
    kind = blueprint.counters[settings.url.partition("://")[0]]
    spare = stores.counters if settings.away == "store" else None

    def told(error: Exception) -> None:
        log.error("the place of counters.url failed", exc_info=error)

    return SpareCounters(await kind.open(settings.url), spare, told, monotonic=time.monotonic)
