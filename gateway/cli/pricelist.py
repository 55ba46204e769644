"""The kept-up list of models and prices, read from the data package `genai-prices` (MIT licence): what it says of one
provider's models, in the terms of our configuration.

The package's prices are USD per million tokens (`..._mtok`) or characters (`..._mchars`), per thousand events
(`..._kcount`) or per hour (`..._hours`). A tier holds for the
whole request whose input is longer than its start, as ours do. What has no counterpart is reported, not dropped.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import ROUND_CEILING, Decimal
from importlib.metadata import PackageNotFoundError, version
from types import MappingProxyType
from typing import Any

from gateway.errors import GatewayFault

PACKAGE = "genai-prices"
Amounts = Mapping[str, Decimal | Mapping[str, Decimal]]
"""Prices by their names in `models.*.price`; those of images by kind."""
Tiers = Sequence[tuple[int, Amounts]]
"""Prices above so many tokens of input."""
_THOUSAND = Decimal(1000)
_LEAST = Decimal("1e-12")

# Price of the package -> (ours, how many of the package's units are one of ours).
_CLASSES = MappingProxyType(
    {
        "input_mtok": ("input", Decimal(1)),
        "cache_read_mtok": ("cached_input", Decimal(1)),
        "cache_write_mtok": ("cache_write", Decimal(1)),
        "cache_write_1h_mtok": ("cache_write_1h", Decimal(1)),
        "output_mtok": ("output", Decimal(1)),
        "input_audio_mtok": ("audio_input", Decimal(1)),
        "output_audio_mtok": ("audio_output", Decimal(1)),
        "input_image_mtok": ("image_input", Decimal(1)),
        "output_image_mtok": ("image_output", Decimal(1)),
        "requests_kcount": ("per_request", _THOUSAND),
        "web_searches_kcount": ("per_web_search", _THOUSAND),
        "input_audio_hours": ("per_minute", Decimal(60)),
        "audio_hours": ("per_minute", Decimal(60)),
        "input_mchars": ("characters", Decimal(1)),
    }
)


@dataclass(slots=True)
class Listed:
    """One model of the list. prices: USD as in `models.*.price`. tiers: (tokens, prices) in ascending order. context:
    tokens, None when it is not said. notes: what an operator should know. matches: whether a name at the provider means
    this model."""

    id: str
    name: str
    prices: dict[str, Decimal]
    tiers: list[tuple[int, dict[str, Decimal]]]
    context: int | None
    deprecated: bool
    notes: list[str] = field(default_factory=list)
    entry: Any = None

    def matches(self, upstream: str) -> bool:
        """Whether the provider's name `upstream` means this model."""
        return upstream == self.id or bool(self.entry.is_match(upstream))


@dataclass(slots=True, frozen=True)
class PriceList:
    """What the package says of one provider. origin: addresses of its price pages."""

    name: str
    origin: Sequence[str]
    models: Sequence[Listed]

    def find(self, upstream: str) -> Listed | None:
        """The model that a name at the provider means: the one of exactly that name before those that match it."""
        exact = [model for model in self.models if model.id == upstream]
        return next(iter(exact or [model for model in self.models if model.matches(upstream)]), None)


def edition() -> str:
    """Name and version of the package. Raises GatewayFault when it is not installed."""
    try:
        return f"{PACKAGE} {version(PACKAGE)}"
    except PackageNotFoundError:
        raise GatewayFault(
            f"The package {PACKAGE} is not installed; add it with: "
            f"{sys.executable} -m pip install 'tollgate[catalogue]'"
        ) from None


def read_list(source: str, now: datetime | None = None) -> PriceList | None:
    """The models of a provider, named by its id in the package, or by the address of its API; None when the package
    does not know it. now: the moment whose prices are wanted."""
    edition()
    from genai_prices.data import providers  # takes a moment to import, and only this command needs it

    def means(provider: Any) -> bool:
        return re.match(provider.api_pattern, source) is not None if "://" in source else provider.id == source

    found = next((provider for provider in providers if means(provider)), None)
    if found is None:
        return None
    moment = now or datetime.now(UTC)
    return PriceList(found.name, tuple(found.pricing_urls or ()), [_listed(model, moment) for model in found.models])


def _listed(model: Any, now: datetime) -> Listed:
    listed = Listed(model.id, model.name or model.id, {}, [], model.context_window, bool(model.deprecated), entry=model)
    raised: dict[int, dict[str, Decimal]] = {}
    for key, price in model.get_prices(now).__dict__.items():
        if price is None or key.startswith("_"):
            continue
        ours, units = _CLASSES.get(key, ("", Decimal(1)))
        tiers = getattr(price, "tiers", ())
        base = price.base if hasattr(price, "base") else price
        if not ours:
            listed.notes.append(f"not billed here: {key} {_plain(base)}")
            continue
        listed.prices[ours] = _written(base / units)
        for tier in tiers:
            raised.setdefault(tier.start, {})[ours] = _written(tier.price / units)
    listed.tiers = sorted(raised.items())
    if listed.tiers:
        listed.notes.append(f"tiered: other prices above {listed.tiers[0][0]:,} tokens of input")
    if not isinstance(model.prices, list):
        return listed
    for conditional in model.prices:
        constraint = conditional.constraint
        start = getattr(constraint, "start_date", None)
        if start is not None and start > now.date():
            listed.notes.append(f"changes on {start}")
        elif constraint is not None and start is None:
            listed.notes.append("costs more at some hours of the day: this is the price at the time of writing")
    return listed


def _written(amount: Decimal) -> Decimal:
    """A price with as many decimal places as the configuration takes; rather too high than too low."""
    return amount if amount == amount.quantize(_LEAST) else amount.quantize(_LEAST, ROUND_CEILING)


def _plain(amount: Decimal) -> str:
    """A price without exponent and trailing zeros."""
    text = format(amount, "f")
    return (text.rstrip("0").rstrip(".") if "." in text else text) or "0"


def _amount(price: Decimal | Mapping[str, Decimal]) -> str:
    if isinstance(price, Decimal):
        return _plain(price)
    return f"{{{', '.join(f'{kind}: {_plain(one)}' for kind, one in price.items())}}}"


def price_text(prices: Amounts, tiers: Tiers, *, batch: Decimal | None = None) -> str:
    """Prices as they stand in the YAML: `{input: 0.4, output: 1.6}`. batch: the part of them that is due in a batch."""

    def members(found: Amounts) -> str:
        listed = [name for name, _ in _CLASSES.values() if name in found]
        return ", ".join(f"{name}: {_amount(found[name])}" for name in dict.fromkeys([*listed, *found]))

    raised = ", ".join(f"{{above: {above}, {members(found)}}}" for above, found in tiers)
    more = f", tiers: [{raised}]" if raised else ""
    return f"{{{members(prices)}{more}{'' if batch is None else f', batch: {_plain(batch)}'}}}"
