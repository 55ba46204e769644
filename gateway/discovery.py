"""Models that nobody typed: an entry such as `local/*` takes what its provider lists.

The provider says how it is asked (`ListingProvider`); the pattern says what the models cost. Of several patterns that
fit a name, the longest counts; a model that is configured by itself is never replaced. A list that cannot be had leaves
the one before in force.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Awaitable, Iterable, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Protocol, cast

from gateway.catalog import Catalog, target_of
from gateway.config import Config, ModelEntry
from gateway.errors import Fault
from gateway.profile import Profile
from gateway.provider import ListedModel, ListingProvider, Provider, Transport, UpstreamReply, UpstreamRequest

_ID = re.compile(r"(?!.*\.\.)[A-Za-z0-9._:@+~-]{1,150}(?:/[A-Za-z0-9._:@+~-]{1,150})*", re.ASCII)
_MOST_MODELS = 5_000
"""Models of one provider."""
_MOST_REPLY = 16 << 20
_SECONDS = 5.0


class Exchange(Protocol):
    """Sends one request to a provider; see `gateway.upstream.exchanges.Exchanges.whole`."""

    def __call__(
        self, request: UpstreamRequest, *, seconds: float, most: int, transport: Transport | None
    ) -> Awaitable[UpstreamReply]: ...


def found_models(config: Config, listed: Mapping[str, Iterable[ListedModel]]) -> dict[str, ModelEntry]:
    """The models that the patterns of `config` make of what providers list, by their ids.

    listed: by the provider's name. Names that cannot stand in an id are left out.
    """
    configured = {(model.provider, model.upstream) for model in config.models.values()}
    taken = {*config.models, *config.aliases}
    found: dict[str, ModelEntry] = {}
    for provider, models in listed.items():
        patterns = sorted(
            (entry for entry in config.patterns.values() if entry.provider == provider),
            key=lambda entry: -len(entry.upstream),
        )
        for model in list(models)[:_MOST_MODELS]:
            pattern = next((entry for entry in patterns if model.id.startswith(entry.upstream[:-1])), None)
            if pattern is None or not _ID.fullmatch(model.id) or (provider, model.id) in configured:
                continue
            name = f"{pattern.id.partition('/')[0]}/{model.id}"
            if name not in taken and name not in found:
                found[name] = _entry(pattern, name, model)
    return found


def _entry(pattern: ModelEntry, name: str, model: ListedModel) -> ModelEntry:
    settings = pattern.settings
    update = {
        "context": settings.context or model.context,
        "max_output": settings.max_output or model.max_output,
    }
    return replace(pattern, id=name, upstream=model.id, settings=settings.model_copy(update=update))


class Discovery:
    """Asks the providers of one generation of the configuration.

    config: as it is in the file. available, profiles: as for `Catalog.from_config`.
    """

    def __init__(
        self,
        config: Config,
        providers: Mapping[str, Provider],
        profiles: Mapping[str, Profile],
        available: Mapping[str, bool],
        exchange: Exchange,
        log: logging.Logger,
    ) -> None:
        self._config = config
        self._providers = providers
        self._profiles = profiles
        self._available = available
        self._exchange = exchange
        self._log = log
        self._listed: dict[str, list[ListedModel]] = {}
        self._failed: set[str] = set()
        names = dict.fromkeys(entry.provider for entry in config.patterns.values())
        self.asks = [name for name in names if name in providers]

    async def refresh(self) -> tuple[Config, Catalog] | None:
        """Ask each provider; the configuration and the catalogue with what they list, None when nothing changed."""
        before = {name: list(models) for name, models in self._listed.items()}
        for name in self.asks:
            await self._ask(name)
        if self._listed == before:
            return None
        found = found_models(self._config, self._listed)
        profiles = dict(self._profiles)
        for name, model in list(found.items()):
            try:
                profiles[name] = self._providers[model.provider].profile(target_of(model))
            except (ValueError, Fault) as error:
                self._log.warning("the model %s is left out: %s", name, error)
                del found[name]
        self._log.info("models of patterns", extra={"models": len(found), "providers": self.asks})
        config = replace(self._config, models=MappingProxyType({**self._config.models, **found}))
        return config, Catalog.from_config(config, self._available, profiles)

    async def _ask(self, name: str) -> None:
        provider = cast(ListingProvider, self._providers[name])  # checked when it was loaded
        try:
            reply = await self._exchange(
                provider.models_request(), seconds=_SECONDS, most=_MOST_REPLY, transport=provider.transport
            )
            self._listed[name] = provider.read_models(reply)
            self._failed.discard(name)
        except Fault as fault:
            if name not in self._failed:  # once, not at every look
                self._log.warning(
                    "the models of a provider could not be listed", extra={"provider": name, "reason": fault.message}
                )
            self._failed.add(name)
