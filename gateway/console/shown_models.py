"""Models as the catalogue's pages show and filter them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from gateway.catalog import NOT_OF_TEXT, Catalog

_MILLION = 10**6
PRICES = (
    ("prompt", "Input"),
    ("completion", "Output"),
    ("input_cache_read", "Cached input"),
    ("input_cache_write", "Cache write"),
    ("audio", "Audio input"),
    ("audio_output", "Audio output"),
    ("image_token", "Image input"),
    ("image_output", "Image output"),
    ("character", "Characters spoken"),
)
"""Members of `pricing` that are per token, as `gateway.catalog` names them, and their words."""
_COMMON = frozenset({"prompt", "completion", "input_cache_read"})
"""Those that tables have columns for."""
EVENTS = (
    ("request", "Each request"),
    ("web_search", "Each web search by the provider"),
    ("minute", "Each minute of sound"),
    ("search", "Each ranking of up to a hundred documents"),
)
"""Those that are per event."""
ABILITIES = {
    "vision": "Images",
    "audio": "Audio",
    "video": "Video",
    "files": "Files",
    "tools": "Functions",
    "reasoning": "Reasoning",
    "json": "JSON schema",
    "draws": "Makes images",
    "edits": "Edits images",
    "speaks": "Makes audio",
    "transcribes": "Transcribes",
    "translates": "Translates audio",
    "moderates": "Moderates",
    "ranks": "Ranks documents",
    "embeds": "Embeddings",
}
"""What a model may be able to do, by the name in addresses."""
_INPUTS = {"image": "vision", "audio": "audio", "video": "video", "file": "files"}
_OUTPUTS = {"image": "draws", "audio": "speaks"}
_OPERATIONS = {
    "images": "draws",
    "image_edits": "edits",
    "image_variations": "edits",
    "speech": "speaks",
    "transcriptions": "transcribes",
    "translations": "translates",
    "moderations": "moderates",
    "rerank": "ranks",
    "embeddings": "embeds",
}
_PARAMETERS = {"tools": "tools", "reasoning_effort": "reasoning", "reasoning": "reasoning", "response_format": "json"}
SORTS = {"": "Order of the operator", "name": "Name", "price": "Price", "context": "Context"}


@dataclass(frozen=True, slots=True)
class ShownModel:
    """A model, with the names that lead to it. prices: USD per million tokens, by member of `pricing`; events: USD
    each; images: USD for one, by kind; all empty when it is free, `priced` tells that from a model without a price.
    """

    id: str
    name: str
    description: str
    provider: str
    aliases: tuple[str, ...]
    context: int | None
    max_output: int | None
    abilities: tuple[str, ...]
    operations: tuple[str, ...]
    parameters: tuple[str, ...]
    prices: Mapping[str, Decimal]
    events: Mapping[str, Decimal]
    images: Mapping[str, Decimal]
    tiers: tuple[tuple[int, Mapping[str, Decimal]], ...]
    priced: bool
    available: bool

    @property
    def free(self) -> bool:
        """Whether it costs nothing."""
        amounts = (*self.prices.values(), *self.events.values(), *self.images.values())
        return self.priced and not any(amounts)

    @property
    def more(self) -> bool:
        """Whether something is priced beside input, what is cached of it, and output."""
        return bool(self.tiers or self.events or self.images or self.prices.keys() - _COMMON)

    @property
    def words(self) -> str:
        """What a search looks in."""
        shown = [self.id, self.name, self.description, *self.aliases, *(ABILITIES[name] for name in self.abilities)]
        return " ".join(shown).lower()


def shown_models(catalog: Catalog) -> list[ShownModel]:
    """All models in the order of the configuration. An alias stands with the model that it leads to first."""
    entries = catalog.public_list()
    aliases: dict[str, list[str]] = {}
    for entry in entries:
        if "alias_of" in entry:
            aliases.setdefault(entry["alias_of"], []).append(entry["id"])
    return [shown_model(entry, aliases.get(entry["id"], ())) for entry in entries if "alias_of" not in entry]


def shown_model(entry: Mapping[str, Any], aliases: Iterable[str] = ()) -> ShownModel:
    """One model or alias. entry: as `Catalog.public_list` has it."""
    pricing = dict(entry["pricing"] or {})
    if pricing.keys() & set(NOT_OF_TEXT) and not any(Decimal(pricing[name]) for name in ("prompt", "completion")):
        # It is not priced by tokens: the two are there for other programs' sake.
        del pricing["prompt"], pricing["completion"]
    architecture = entry["architecture"]
    can = [_INPUTS.get(kind) for kind in architecture["input_modalities"]]
    can += [_OUTPUTS.get(kind) for kind in architecture["output_modalities"]]
    can += [_PARAMETERS.get(name) for name in entry["supported_parameters"]]
    if "chat" not in entry["operations"]:
        # Of one that talks besides, no more is known than which dialect its server speaks.
        can += [_OPERATIONS.get(name) for name in entry["operations"]]
    return ShownModel(
        id=entry["id"],
        name=entry["name"],
        description=entry["description"],
        provider=entry["owned_by"],
        aliases=tuple(aliases),
        context=entry["context_length"],
        max_output=entry["max_output_tokens"],
        abilities=tuple(name for name in ABILITIES if name in can),
        operations=tuple(entry["operations"]),
        parameters=tuple(entry["supported_parameters"]),
        prices=_per_million(pricing),
        events={name: Decimal(pricing[name]) for name, _ in EVENTS if name in pricing},
        images={kind: Decimal(usd) for kind, usd in pricing.get("images", {}).items()},
        tiers=tuple((tier["above_prompt_tokens"], _per_million(tier)) for tier in pricing.get("tiers", ())),
        priced=entry["pricing"] is not None,
        available=entry["available"],
    )


def _per_million(pricing: Mapping[str, Any]) -> dict[str, Decimal]:
    return {name: Decimal(pricing[name]) * _MILLION for name, _ in PRICES if name in pricing}


@dataclass(frozen=True, slots=True)
class Wish:
    """What a reader of the catalogue looks for; all of it is in the address. sort: one of `SORTS`."""

    text: str = ""
    provider: str = ""
    ability: str = ""
    sort: str = ""
    available: bool = False

    @classmethod
    def of(cls, query: Mapping[str, str]) -> Wish:
        """What an address says; what is not known is left out."""
        ability, sort = query.get("ability", ""), query.get("sort", "")
        return cls(
            text=query.get("q", "").strip()[:100],
            provider=query.get("provider", "")[:100],
            ability=ability if ability in ABILITIES else "",
            sort=sort if sort in SORTS else "",
            available=query.get("available", "") == "1",
        )

    def choose(self, models: Sequence[ShownModel]) -> list[ShownModel]:
        """The models that fit, in the order that is wished for."""
        words = self.text.lower().split()
        found = [
            model
            for model in models
            if (not self.provider or model.provider == self.provider)
            and (not self.ability or self.ability in model.abilities)
            and (model.available or not self.available)
            and all(word in model.words for word in words)
        ]
        if self.sort == "name":
            found.sort(key=lambda model: model.name.lower())
        elif self.sort == "price":
            found.sort(key=lambda model: (not model.priced, model.prices.get("completion", Decimal(0))))
        elif self.sort == "context":
            found.sort(key=lambda model: -(model.context or 0))
        return found
