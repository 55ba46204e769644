"""Which models there are, what a name leads to, and how both are shown to callers.

Built once per configuration; a look-up is one dict access.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from difflib import get_close_matches
from types import MappingProxyType
from typing import Any

from gateway.call import Target
from gateway.config import Alias, Config, Document, ModelEntry, PriceClasses, PriceSettings
from gateway.errors import CallerFault, Fault, GatewayFault, UpstreamFault
from gateway.operations import OPERATIONS
from gateway.profile import Profile
from gateway.provider import Provider

_LONGEST_GUESS = 64
_LONGEST_SHOWN = 100

# The member of `pricing` in GET /models (after OpenRouter's /models) -> our price class.
PER_TOKEN: Mapping[str, str] = MappingProxyType(
    {
        "prompt": "input",
        "completion": "output",
        "input_cache_read": "cached_input",
        "input_cache_write": "cache_write",
        "audio": "audio_input",
        "audio_output": "audio_output",
        "image_token": "image_input",
        "image_output": "image_output",
        "character": "characters",
    }
)
"""Members of `pricing` in USD per token or character, and the prices that they show."""
PER_EVENT: Mapping[str, str] = MappingProxyType(
    {
        "request": "per_request",
        "web_search": "per_web_search",
        "minute": "per_minute",
        "search": "per_search",
    }
)
"""The same per event. Images have prices by kind, in `images`."""
NOT_OF_TEXT = ("character", "minute", "search", "images")
"""Members of `pricing` by which models are paid that write no text: tokens may cost nothing beside them."""

_Group = tuple[tuple[str, float], ...]


@dataclass(slots=True, frozen=True)
class Resolution:
    """What a requested name means. model: the name itself (the default's when none was given), which is also the
    `model` of the answer. candidates: all usable targets in fallback order; see `Target.group`."""

    model: str
    candidates: tuple[Target, ...]


class Catalog:
    """The models and aliases of one configuration, with the availability of their providers."""

    def __init__(
        self, config: Config, available: Mapping[str, bool], profiles: Mapping[str, Profile] | None = None
    ) -> None:
        self._config = config
        self._available = {name for name, on in available.items() if on}
        # Nonsense never stands in for a model, also not for one that nobody named: with one other provider there, the
        # embedded one answers whoever names its models.
        embedded = {name for name, entry in config.providers.items() if entry.embedded}
        self._only_by_name = embedded if self._available - embedded else set()
        found = profiles or {}
        self._targets = {
            model.id: replace(
                _with_terms(target_of(model), config), profile=_narrowed(found.get(model.id, Profile()), model)
            )
            for model in config.models.values()
        }
        self._usable = {model.id for model in config.models.values() if self._why_not(model) is None}
        groups: dict[str, tuple[_Group, ...]] = {}
        self._resolutions = {name: self._resolution(name, groups) for name in (*config.models, *config.aliases)}
        self._by_tail: dict[str, str] = {}
        for name in config.models:
            self._by_tail.setdefault(name.rpartition("/")[2], name)
        self._folded = {name.casefold(): name for name in self._resolutions}
        self._doing = {
            operation: {
                name: replace(found, candidates=able)
                for name, found in self._resolutions.items()
                if (able := tuple(one for one in found.candidates if row.done_by(one.profile)))
            }
            for operation, row in OPERATIONS.items()
        }

    @classmethod
    def from_config(
        cls, config: Config, available: Mapping[str, bool], profiles: Mapping[str, Profile] | None = None
    ) -> Catalog:
        """available: for each provider instance whether it is switched on; one that is not named counts as off.
        profiles: what each model can, by its id; a model that is not named can what any chat server can."""
        return cls(config, available, profiles)

    def __contains__(self, name: object) -> bool:
        return name in self._resolutions

    def resolve(self, name: str | None, operation: str | None = None) -> Resolution:
        """The targets that a model id or alias leads to; None is the default model, and where that does not do the
        operation, the first model that does (of the embedded provider only where there is no other). operation: those
        that do it, None for all.

        A target whose provider is switched off, or that has no price and is not free, is left out.
        Raises CallerFault 400 when there is no default or the model does not do the operation, CallerFault 404
        `model_not_found` for an unknown name, and 503 `model_unavailable` or `model_unpriced` when no target is left.
        """
        able = self._resolutions if operation is None else self._doing[operation]
        if name is None:
            name = self._config.default_model
            if operation not in (None, "chat") and name not in able:
                name = self._first(able) or self._switched_off(operation) or name
            if name is None:
                raise CallerFault("model: is missing, and this gateway has no default model.", param="model")
        resolution = able.get(name) if isinstance(name, str) else None
        if resolution is not None and resolution.candidates:
            return resolution
        resolution = self._resolutions.get(name) if isinstance(name, str) else None
        if resolution is None:
            raise self.not_found(name)
        if not resolution.candidates:
            raise self._unavailable(name, operation)
        assert operation is not None
        other = self._first(able)
        hint = f" '{other}' does." if other else ""
        raise CallerFault(
            f"The model '{name}' {OPERATIONS[operation].cannot}.{hint}", code="unsupported_operation", param="model"
        )

    def _first(self, able: Mapping[str, Resolution]) -> str | None:
        """A model of those: the first that does not talk besides, else the first; of a server of which no more is known
        than its dialect, models are taken to do everything."""
        models = [
            name
            for name, model in self._config.models.items()
            if name in able and model.provider not in self._only_by_name
        ]
        special = (name for name in models if "chat" not in able[name].candidates[0].profile.operations)
        return next(special, next(iter(models), None))

    def _switched_off(self, operation: str | None) -> str | None:
        """The first model that the operator has for an operation, and that nothing is left of."""
        models = self._config.models.items()
        return next((name for name, model in models if operation in (model.settings.operations or ())), None)

    def usable(self) -> str | None:
        """A name that a request would be accepted for now: the default model's if that is one, else the first."""
        names = (self._config.default_model, *self._config.aliases, *self._config.models)
        return next((name for name in names if name is not None and self._resolutions[name].candidates), None)

    def candidates(self, name: str) -> tuple[Target, ...]:
        """All usable targets that a name may lead to; none for a name that is not known."""
        resolution = self._resolutions.get(name)
        return () if resolution is None else resolution.candidates

    def public_list(self) -> list[dict[str, Any]]:
        """The `data` of GET /models: aliases first, then models, each in the order of the file.

        OpenAI's keys, and after OpenRouter's example name, context_length, max_output_tokens, architecture,
        pricing (USD per token or event as decimal strings; None when unknown) and supported_parameters.
        `available` tells whether a request would be accepted now. An alias also has `alias_of`, the model that
        it leads to first, which all other facts are about.
        """
        return [self._public(name) for name in (*self._config.aliases, *self._config.models)]

    def public_one(self, name: str) -> dict[str, Any]:
        """One entry of `public_list`. Raises CallerFault 404 `model_not_found`."""
        if name not in self._resolutions:
            raise self.not_found(name)
        return self._public(name)

    def _why_not(self, model: ModelEntry) -> str | None:
        if model.provider not in self._available:
            return "model_unavailable"
        if model.price is None and not model.settings.free:
            return "model_unpriced"
        return None

    def _resolution(self, name: str, groups: dict[str, tuple[_Group, ...]]) -> Resolution:
        candidates: dict[str, Target] = {}
        position = 0
        for group in self._groups(name, groups):
            # An alias inside an alias may name a model again; its first place counts.
            fresh = [(model, weight) for model, weight in group if model not in candidates]
            for model, weight in fresh:
                candidates[model] = replace(self._targets[model], weight=weight, group=position)
            position += bool(fresh)
        return Resolution(name, tuple(candidates.values()))

    def _groups(self, name: str, known: dict[str, tuple[_Group, ...]]) -> tuple[_Group, ...]:
        """The usable models behind a name; the rules are those of `gateway.config.Alias`."""
        alias = self._config.aliases.get(name)
        if alias is None:
            return (((name, 1.0),),) if name in self._usable else ()
        if name not in known:
            known[name] = self._alias_groups(alias, known)
        return known[name]

    def _alias_groups(self, alias: Alias, known: dict[str, tuple[_Group, ...]]) -> tuple[_Group, ...]:
        result: list[_Group] = []
        sharing = False
        for entry in alias.entries:
            if entry.weight is None:
                sharing = False
            if entry.when == "unavailable" and result:
                continue
            inner = self._groups(entry.model, known)
            if not inner:
                continue
            if entry.weight is None:
                result.extend(inner)
                continue
            member = (inner[0][0][0], entry.weight)
            if sharing:
                result[-1] = (*result[-1], member)
            else:
                result.append((member,))
            sharing = True
        return tuple(result)

    def _first_model(self, name: str) -> ModelEntry:
        """The model that a name leads to first, switched off or not."""
        candidates = self._resolutions[name].candidates
        if candidates:
            return self._config.models[candidates[0].model]
        while name in self._config.aliases:
            name = self._config.aliases[name].entries[0].model
        return self._config.models[name]

    def _public(self, name: str) -> dict[str, Any]:
        model = self._first_model(name)
        settings = model.settings
        is_alias = name in self._config.aliases
        entry: dict[str, Any] = {
            "id": name,
            "object": "model",
            "created": self._config.modified,
            "owned_by": model.id.partition("/")[0],
            "name": name if is_alias else settings.name or name,
            "description": settings.description,
            "context_length": settings.context,
            "max_output_tokens": settings.max_output,
            "architecture": {
                "input_modalities": list(settings.input_modalities),
                "output_modalities": list(settings.output_modalities),
            },
            "pricing": _pricing(settings.price, settings.free),
            "supported_parameters": list(settings.supported_parameters),
            "operations": [name for name in OPERATIONS if name in self._targets[model.id].profile.operations],
            "available": bool(self._resolutions[name].candidates),
        }
        if is_alias:
            entry["alias_of"] = model.id
        return entry

    def not_found(self, name: object, *, hints: bool = True) -> Fault:
        """What is told to whoever names a model that is not there. hints: it may be told of others."""
        text = name if isinstance(name, str) else ""
        shown = text if text.isprintable() else ascii(text)[1:-1]
        if len(shown) > _LONGEST_SHOWN:
            shown = shown[: _LONGEST_SHOWN - 3] + "..."
        guess = self._guess(text) if hints else None
        hint = f" Did you mean '{guess}'?" if guess else " GET /models lists the models there are."
        return CallerFault(
            f"The model '{shown}' does not exist.{hint}", status=404, code="model_not_found", param="model"
        )

    def _guess(self, name: str) -> str | None:
        # Names come from strangers: a long one would make the comparison below cost milliseconds.
        if not name or len(name) > _LONGEST_GUESS:
            return None
        folded = name.casefold()
        exact = self._folded.get(folded) or self._by_tail.get(folded)
        if exact is not None:
            return exact
        close = get_close_matches(folded, self._folded, n=1)
        return self._folded[close[0]] if close else None

    def _unavailable(self, name: str, operation: str | None) -> Fault:
        """Why nothing is left behind `name`, and what does the operation (None for a chat) instead. Asking again does
        not help, and SDKs are told so."""
        headers = {"x-should-retry": "false"}
        if self._why_not(self._first_model(name)) == "model_unpriced":
            return GatewayFault(
                f"The model '{name}' has no price, so it cannot be billed. The operator must set `price` or "
                "`free: true` for it.",
                status=503,
                type="upstream_error",
                code="model_unpriced",
                param="model",
                headers=headers,
            )
        provider = self._config.providers[self._first_model(name).provider]
        why = f", because {' and '.join(provider.unset)} is not set there" if provider.unset else ""
        other = self.usable() if operation in (None, "chat") else self._first(self._doing[operation])
        hint = f" '{other}' can be used now." if other else ""
        return UpstreamFault(
            f"The model '{name}' is not available: its provider is switched off at this gateway{why}.{hint}",
            status=503,
            code="model_unavailable",
            param="model",
            headers=headers,
        )


def _with_terms(target: Target, config: Config) -> Target:
    entry = config.providers.get(target.provider)
    if entry is None or not (entry.terms.hosted_tools or entry.terms.shared_ids):
        return target
    terms = entry.terms
    return replace(target, hosted_tools=frozenset(terms.hosted_tools), shared_ids=frozenset(terms.shared_ids))


def target_of(model: ModelEntry) -> Target:
    """The target that a model of the configuration is, before its provider was asked what it can."""
    settings = model.settings
    return Target(
        model=model.id,
        provider=model.provider,
        upstream=model.upstream,
        price=model.price,
        free=settings.free,
        context=settings.context,
        max_output=settings.max_output,
        input_modalities=settings.input_modalities,
        output_modalities=settings.output_modalities,
        options=settings.options,
        thinks="reasoning_effort" in settings.supported_parameters,
    )


def resolve_profiles(config: Config, providers: Mapping[str, Provider], document: Document) -> dict[str, Profile]:
    """Model id -> what its provider says that it can, for the models of `providers`. Raises ConfigFault, with the lines
    of `document`, for options of models that make no sense."""
    found: dict[str, Profile] = {}
    for model in config.models.values():
        provider = providers.get(model.provider)
        if provider is None:
            continue
        try:
            profile = found[model.id] = provider.profile(target_of(model))
        except (ValueError, Fault) as error:
            said = (error.detail or error.message) if isinstance(error, Fault) else str(error)
            # A provider that knows which option it is says so: `models.ID.options.NAME: why`.
            option, _, why = said.removeprefix(f"models.{model.id}.options.").partition(": ")
            named = said.startswith(f"models.{model.id}.options.") and option in model.settings.options
            where = ("models", model.id, "options", *([option] if named else []))
            document.report(where, "; ".join((why if named else said).split("\n")))
            continue
        _check_operations(model, profile, document)
    if document.problems:
        raise document.fault()
    return found


def _check_operations(model: ModelEntry, profile: Profile, document: Document) -> None:
    where = ("models", model.id, "operations")
    for name in model.settings.operations or ():
        if name not in OPERATIONS:
            document.report(where, f"there is no {name!r}; known are {', '.join(OPERATIONS)}")
        elif name not in profile.operations:
            document.report(where, f"its provider does no {name!r}")


def _narrowed(profile: Profile, model: ModelEntry) -> Profile:
    """What is left of what a provider says where the operator says what the model does."""
    said = model.settings.operations
    return profile if said is None else replace(profile, operations=frozenset(said))


def _pricing(price: PriceSettings | None, free: bool) -> dict[str, Any] | None:
    """Prices in USD as plain decimal strings, without exponents: `{"prompt": "0.0000004", ...}`; `tiers` with the
    prices of requests that are longer than `above_prompt_tokens`, `batch` the part of them that is due in a batch."""
    if price is None:
        return {"prompt": "0", "completion": "0"} if free else None
    tiers = [{"above_prompt_tokens": tier.above, **_amounts(tier)} for tier in price.tiers]
    # Clients of the format read these two without asking whether they are there.
    more = {"tiers": tiers} if tiers else {}
    batch = {"batch": _plain(price.batch)} if price.batch is not None else {}
    return {"prompt": "0", "completion": "0", **_amounts(price)} | more | batch


def _amounts(price: PriceClasses) -> dict[str, Any]:
    amounts = {name: getattr(price, field) for name, field in PER_TOKEN.items()}
    shown: dict[str, Any] = {name: _plain(usd.scaleb(-6)) for name, usd in amounts.items() if usd is not None}
    events = {name: getattr(price, field) for name, field in PER_EVENT.items()}
    images = price.per_image
    if images is not None:
        shown["images"] = {name: _plain(usd) for name, usd in images.items()}
    return shown | {name: _plain(usd) for name, usd in events.items() if usd is not None}


def _plain(amount: Decimal) -> str:
    text = format(amount, "f")
    return (text.rstrip("0").rstrip(".") if "." in text else text) or "0"
