"""A configuration with everything it names, read and checked before anything runs."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path

from gateway import config as configuration
from gateway.catalog import resolve_profiles
from gateway.config import Config
from gateway.own_plugins import OWN_PLUGINS
from gateway.payments import PaymentKind, PaymentMethod
from gateway.pluginload import Plugins, check_providers, load, registered_providers
from gateway.profile import Profile
from gateway.provider import MediaProvider, Provider, ProviderKind
from gateway.server_secret import server_secret
from gateway.servertools.toolbox import Offers, collect
from gateway.stores import Stores, StoresKind, StoresSettings


class Blueprint:
    """A configuration that has been checked completely, with the plugins it needs; nothing is running yet.

    providers: the instances that are switched on, by name. profiles: what each of their models can, by its id.
    """

    def __init__(
        self,
        config: Config,
        plugins: Plugins,
        kinds: Mapping[str, ProviderKind],
        payments: Mapping[str, PaymentKind],
        offers: Offers,
        stores: Mapping[str, StoresKind],
        providers: Mapping[str, Provider],
        profiles: Mapping[str, Profile],
    ) -> None:
        self.config = config
        self.plugins = plugins
        self.kinds = kinds
        self.payments = payments
        self.offers = offers
        self.stores = stores
        self.providers = providers
        self.profiles = profiles

    def stores_kind(self) -> StoresKind:
        """The kind of store that `database.url` names."""
        return self.stores[self.config.database.url.partition("://")[0]]


def read_blueprint(path: Path, env: Mapping[str, str]) -> Blueprint:
    """Read and check a configuration with everything it names. Raises ConfigFault with all problems found."""
    document = configuration.read(path, env)
    settings = configuration.plugin_settings(document)
    plugins = load(
        OWN_PLUGINS,
        directory=settings.dir,
        enabled=settings.enable,
        disabled=settings.disable,
    )
    kinds, owners = registered_providers(plugins)
    payments: dict[str, PaymentKind] = {}
    plugins.call("register_payments", register=lambda kind: payments.__setitem__(kind.kind, kind))
    offers = collect(plugins)
    stores: dict[str, StoresKind] = {}
    plugins.call("register_stores", register=lambda kind: stores.update(dict.fromkeys(kind.schemes, kind)))
    sections = {name: model for name, model in plugins.call("config_model") if model is not None}
    config = configuration.build(
        document,
        sections,
        kinds,
        plugins=plugins.names,
        payments=payments,
        searches=offers.searches,
        stores=stores,
    )
    providers = {
        name: kinds[entry.plugin].create(name, entry.settings)
        for name, entry in config.providers.items()
        if not kinds[entry.plugin].ready(entry.settings)
    }
    owned = {name: (owners[config.providers[name].plugin], made) for name, made in providers.items()}
    check_providers(owned.values())
    profiles = resolve_profiles(config, providers, document)
    by_bytes = {config.models[model].provider for model, profile in profiles.items() if profile.media == "bytes"}
    check_providers((owned[name] for name in by_bytes), MediaProvider)
    return Blueprint(config, plugins.order(config.pipeline), kinds, payments, offers, stores, providers, profiles)


def available_providers(blueprint: Blueprint) -> dict[str, bool]:
    """Provider instance -> whether it has what it needs (an API key, usually)."""
    return {name: name in blueprint.providers for name in blueprint.config.providers}


def switched_off(blueprint: Blueprint) -> dict[str, str]:
    """Provider instance that is switched off -> why."""
    return {
        name: blueprint.kinds[entry.plugin].ready(entry.settings)
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
        str(config.data.absolute()), server_secret(config.data), config.keys.prefix, config.keys.per_account, shared
    )


async def open_stores(blueprint: Blueprint, *, shared: bool = False) -> Stores:
    """The stores that the configuration names. Works beside a running gateway. shared: rate windows count over all
    processes that open it so."""
    settings = await asyncio.to_thread(stores_settings, blueprint.config, shared=shared)
    return await blueprint.stores_kind().open(blueprint.config.database.url, settings)
