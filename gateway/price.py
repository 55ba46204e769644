"""What is used, and what it costs: counts, and exact decimal arithmetic on them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from decimal import Decimal
from types import MappingProxyType
from typing import Any


@dataclass(slots=True)
class Usage:
    """Token counts in OpenAI's sense: prompt_tokens includes cached, cache-write and audio tokens;
    completion_tokens includes reasoning and audio tokens; cache_write_1h_tokens are among cache_write_tokens.
    images: that were made, of `image_kind` (`QUALITY/SIZE`, what is not known of it empty); characters: of text that
    was spoken; seconds: of sound that was heard; searches: of a query among up to a hundred documents, which were
    ranked. All counts are >= 0."""

    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_tokens: int = 0
    cache_write_tokens: int = 0
    reasoning_tokens: int = 0
    audio_input_tokens: int = 0
    audio_output_tokens: int = 0
    image_input_tokens: int = 0
    image_output_tokens: int = 0
    web_searches: int = 0
    cache_write_1h_tokens: int = 0
    images: int = 0
    characters: int = 0
    seconds: int = 0
    searches: int = 0
    image_kind: str = ""

    @property
    def counts(self) -> bool:
        """Whether there is anything that is counted otherwise than in tokens."""
        return bool(self.images or self.characters or self.seconds or self.searches)

    @property
    def total_tokens(self) -> int:
        return self.prompt_tokens + self.completion_tokens

    @property
    def has_classes(self) -> bool:
        """Whether some of the tokens may have a price of their own."""
        return bool(
            self.cached_tokens
            or self.cache_write_tokens
            or self.cache_write_1h_tokens
            or self.audio_input_tokens
            or self.audio_output_tokens
            or self.image_input_tokens
            or self.image_output_tokens
        )


_NOT_IN_BATCH = ("batch", "per_web_search")
"""What a batch does not make cheaper: searches are somebody else's work."""


def _no_images() -> Mapping[str, Decimal]:
    return MappingProxyType({})


@dataclass(slots=True, frozen=True)
class Price:
    """Credits per unit of each class; 1 credit per token equals 1 USD per million tokens by default.

    A class that a model does not list is billed as its nearest listed parent:
    cached_input, cache_write, audio_input and image_input as input; cache_write_1h (what stays there for an hour) as
    cache_write; audio_output and image_output as output.
    characters: of text that is spoken; per_minute: of sound that is heard; per_image: that is made, by
    `QUALITY/SIZE`, `QUALITY`, `SIZE` or `default`, of which the first that is there counts; per_search: for each
    ranking of up to a hundred documents.
    tiers: (tokens, price) in ascending order; a request whose input is more than so many tokens is billed, all of it,
    by that price instead.
    batch: what part of all this, but of searches of the web, a request costs in a batch; None for all of it.
    """

    input: Decimal = Decimal(0)
    output: Decimal = Decimal(0)
    cached_input: Decimal | None = None
    cache_write: Decimal | None = None
    cache_write_1h: Decimal | None = None
    audio_input: Decimal | None = None
    audio_output: Decimal | None = None
    image_input: Decimal | None = None
    image_output: Decimal | None = None
    per_request: Decimal = Decimal(0)
    per_web_search: Decimal = Decimal(0)
    characters: Decimal = Decimal(0)
    per_minute: Decimal = Decimal(0)
    per_search: Decimal = Decimal(0)
    per_image: Mapping[str, Decimal] = field(default_factory=_no_images, hash=False)
    tiers: tuple[tuple[int, Price], ...] = ()
    batch: Decimal | None = None
    _dearest: tuple[Decimal, Decimal] = field(init=False, repr=False, compare=False)
    """Of one token of input and of output, without tiers: every hold asks."""

    def __post_init__(self) -> None:
        inputs = (self.cached_input, self.cache_write, self.cache_write_1h, self.audio_input, self.image_input)
        dearest_input = max(Decimal(0), self.input, *(price for price in inputs if price is not None))
        outputs = (self.audio_output, self.image_output)
        dearest_output = max(Decimal(0), self.output, *(price for price in outputs if price is not None))
        object.__setattr__(self, "_dearest", (dearest_input, dearest_output))

    def at(self, prompt_tokens: int) -> Price:
        """The price that holds for an input of so many tokens."""
        found = self
        for above, price in self.tiers:
            if prompt_tokens > above:
                found = price
        return found

    def in_batch(self) -> Price:
        """The price of a request that comes in a batch."""
        part = self.batch
        return self if part is None else self._scaled(part)

    def _scaled(self, part: Decimal) -> Price:
        scaled: dict[str, Any] = {
            name: amount * part for name, amount in self._amounts().items() if name not in _NOT_IN_BATCH
        }
        images = MappingProxyType({kind: amount * part for kind, amount in self.per_image.items()})
        tiers = tuple((above, price._scaled(part)) for above, price in self.tiers)
        return Price(**scaled, per_web_search=self.per_web_search, per_image=images, tiers=tiers)

    def _amounts(self) -> dict[str, Decimal]:
        found = {member.name: getattr(self, member.name) for member in fields(self) if member.init}
        return {name: amount for name, amount in found.items() if isinstance(amount, Decimal)}

    def data(self) -> dict[str, Any]:
        """As JSON, exactly, to be kept; `of_data` reads it."""
        kept: dict[str, Any] = {name: str(amount) for name, amount in self._amounts().items()}
        if self.per_image:
            kept["per_image"] = {kind: str(amount) for kind, amount in self.per_image.items()}
        if self.tiers:
            kept["tiers"] = [[above, price.data()] for above, price in self.tiers]
        return kept

    @classmethod
    def of_data(cls, kept: Mapping[str, Any]) -> Price:
        """What `data` made."""
        amounts: dict[str, Any] = {name: Decimal(text) for name, text in kept.items() if isinstance(text, str)}
        images = MappingProxyType({kind: Decimal(text) for kind, text in kept.get("per_image", {}).items()})
        tiers = tuple((above, cls.of_data(price)) for above, price in kept.get("tiers", ()))
        return cls(**amounts, per_image=images, tiers=tiers)

    def charge(self, usage: Usage) -> int:
        """What `usage` costs in credits: the exact decimal sum over all classes, rounded up once."""
        if self.tiers:
            tier = self.at(usage.prompt_tokens)
            if tier is not self:
                return tier.charge(usage)
        plain_input = usage.prompt_tokens
        plain_output = usage.completion_tokens
        total = self.per_request + self.per_web_search * usage.web_searches
        if usage.counts:
            total += self.of_counts(usage)
        if not usage.has_classes:
            return math.ceil(total + self.input * plain_input + self.output * plain_output)
        hour = self.cache_write if self.cache_write_1h is None else self.cache_write_1h
        for tokens, price in (
            (usage.cached_tokens, self.cached_input),
            (usage.cache_write_1h_tokens, hour),
            (usage.cache_write_tokens - usage.cache_write_1h_tokens, self.cache_write),
            (usage.audio_input_tokens, self.audio_input),
            (usage.image_input_tokens, self.image_input),
        ):
            if price is not None and tokens:
                # Classes may overlap in what a provider reports; a token is never taken off the input twice.
                tokens = min(tokens, plain_input)
                plain_input -= tokens
                total += price * tokens
        for tokens, price in (
            (usage.audio_output_tokens, self.audio_output),
            (usage.image_output_tokens, self.image_output),
        ):
            if price is not None and tokens:
                tokens = min(tokens, plain_output)
                plain_output -= tokens
                total += price * tokens
        total += self.input * plain_input + self.output * plain_output
        return math.ceil(total)

    @property
    def by_tokens(self) -> bool:
        """Whether tokens cost anything."""
        return any(self._dearest) or bool(self.tiers)

    @property
    def charges(self) -> bool:
        """Whether anything costs anything."""
        others = (self.per_request, self.per_web_search, self.characters, self.per_minute, self.per_search)
        return self.by_tokens or any(others) or any(self.per_image.values())

    def of_counts(self, usage: Usage) -> Decimal:
        """What `usage` costs besides its tokens, searches and the request itself."""
        images = self.of_image(usage.image_kind) * usage.images if usage.images else Decimal(0)
        others = self.characters * usage.characters + self.per_search * usage.searches
        return images + others + self.per_minute * usage.seconds / 60

    def of_image(self, kind: str) -> Decimal:
        """The price of one image. kind: `QUALITY/SIZE`, in any case; for what is not known of it, or not listed, the
        dearest that it may be."""
        prices = {name.lower(): price for name, price in self.per_image.items()}
        known = [part for part in kind.lower().split("/") if part]
        if len(known) > 1:
            for name in (kind.lower(), *known, "default"):
                if name in prices:
                    return prices[name]
        alike = [price for name, price in prices.items() if known and known[0] in name.split("/")]
        return max(alike or prices.values(), default=Decimal(0))

    def most_for(self, usage: Usage) -> Decimal:
        """The most that the answer, of which `usage` is an upper bound, can cost besides the request and its input."""
        return self.dearest_output(usage.prompt_tokens) * usage.completion_tokens + self.of_counts(usage)

    def dearest_input(self, most: int) -> Decimal:
        """The highest price that one token of an input of at most `most` tokens can have."""
        if not self.tiers:
            return self._dearest[0]
        tiers = (price.dearest_input(most) for above, price in self.tiers if most > above)
        return max((self._dearest[0], *tiers))

    def dearest_output(self, most: int) -> Decimal:
        """The highest price that one token of output can have after an input of at most `most` tokens."""
        if not self.tiers:
            return self._dearest[1]
        tiers = (price.dearest_output(most) for above, price in self.tiers if most > above)
        return max((self._dearest[1], *tiers))
