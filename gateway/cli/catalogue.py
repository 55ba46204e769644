"""gateway catalogue: prices and limits of known models, out of a kept-up list, for the operator to review.

Nothing is changed by itself: a price that is configured stays in what is written, and the list's stands beside it as a
comment, unless `--take` says otherwise.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import orjson

from gateway.blueprint import Blueprint
from gateway.cli.common import add_config, add_json, blueprint_of, print_json
from gateway.cli.pricelist import Amounts, Listed, PriceList, Tiers, edition, price_text, read_list
from gateway.config import ModelEntry, ModelSettings, PriceSettings
from gateway.errors import GatewayFault

# What can be a model's name; the list also has beginnings of names, which end with a dash.
_ID = re.compile(r"[A-Za-z0-9._:@+~-]+(/[A-Za-z0-9._:@+~-]+)*(?<!-)")
_LISTED = frozenset({"provider", "upstream", "price", "free", "context"})
"""Of a model's settings, what is written from the list or beside it."""
_SELLS = frozenset({"input", "per_minute", "characters"})
"""Prices of which a model has one at least; what has none of them is no model that is asked here."""


@dataclass(slots=True)
class Found:
    """One model: as configured (None when it is not), and as the list has it (None when it does not know it)."""

    id: str
    provider: str
    entry: ModelEntry | None
    listed: Listed | None

    def differences(self) -> list[str]:
        """What the list says differently, one line each; nothing for models that are not on both sides."""
        if self.entry is None or self.listed is None:
            return []
        here, there = _prices(self.entry.settings.price), (self.listed.prices, self.listed.tiers)
        found = []
        if self.entry.settings.free:
            if self.listed.prices:
                found.append(f"price: free here, {price_text(*there)} in the list")
        elif _whole(here) != _whole(there):
            found.append(f"price: {price_text(*here)} here, {price_text(*there)} in the list")
        context = self.entry.settings.context
        if self.listed.context is not None and context != self.listed.context:
            found.append(f"context: {context} here, {self.listed.context} in the list")
        return found


def add_commands(commands: Any) -> None:
    """Register the commands of this module."""
    parser = commands.add_parser(
        "catalogue", help="print a `models:` section with the prices and limits of known models, to be reviewed"
    )
    add_config(parser)
    add_json(parser)
    parser.add_argument("--output", type=Path, help="write it to this file, and print only the differences")
    parser.add_argument("--configured", action="store_true", help="only models that are configured already")
    parser.add_argument("--take", action="store_true", help="write the list's figures where configured ones differ")
    parser.set_defaults(run=run_catalogue)


def run_catalogue(options: argparse.Namespace) -> int:
    """Exit status 0. Raises ConfigFault, and GatewayFault when the list is not installed or the file exists."""
    blueprint = blueprint_of(options)
    lists = _lists(blueprint)
    models = list(_models(blueprint, lists, configured=options.configured))
    if options.json:
        print_json([_as_json(model) for model in models])
        return 0
    text = "\n".join(_fragment(models, lists, take=options.take)) + "\n"
    if options.output is None:
        print(text, end="")
        return 0
    try:
        with options.output.open("x", encoding="utf-8") as file:
            file.write(text)
    except OSError as problem:
        raise GatewayFault(f"{options.output} cannot be written: {problem.strerror}") from problem
    print(f"{options.output}: {sum(model.listed is not None for model in models)} models from {edition()}")
    for model in models:
        for line in model.differences():
            print(f"{model.id}: {line}")
    return 0


def _lists(blueprint: Blueprint) -> dict[str, PriceList | None]:
    """The list for each provider section; None for those that no list is known for."""
    edition()
    lists: dict[str, PriceList | None] = {}
    for name, entry in blueprint.config.providers.items():
        kind = blueprint.kinds[entry.plugin]
        source = kind.price_source(entry.settings) if callable(kind.price_source) else kind.price_source
        lists[name] = read_list(source) if source else None
    return lists


def _models(blueprint: Blueprint, lists: dict[str, PriceList | None], *, configured: bool) -> Iterator[Found]:
    """The configured models in the order of the file, then those that are only in the lists."""
    known: set[tuple[str, str]] = set()
    ids = set(blueprint.written) | set(blueprint.config.aliases)
    for entry in blueprint.written.values():
        prices = lists[entry.provider]
        listed = prices.find(entry.upstream) if prices is not None else None
        if listed is not None:
            known.add((entry.provider, listed.id))
        yield Found(entry.id, entry.provider, entry, listed)
    if configured:
        return
    for provider, prices in lists.items():
        for listed in prices.models if prices is not None else ():
            model_id = f"{provider}/{listed.id}"
            usable = not listed.deprecated and listed.prices.keys() & _SELLS and _ID.fullmatch(listed.id)
            if usable and (provider, listed.id) not in known and model_id not in ids:
                yield Found(model_id, provider, None, listed)


def _fragment(models: list[Found], lists: dict[str, PriceList | None], *, take: bool) -> Iterator[str]:
    yield f"# Prices (USD per million tokens) and limits from {edition()}, written {datetime.now(UTC):%Y-%m-%d}."
    yield "# Check them against the providers' own pages before you resell; names are those of the list."
    for name, prices in lists.items():
        if prices is None:
            yield f"# {name}: no price list is known for this provider"
        else:
            yield f"# {name}: {prices.name}, {' '.join(prices.origin)}"
    yield "models:"
    for model in models:
        yield from _model(model, take)


def _model(model: Found, take: bool) -> Iterator[str]:
    listed, entry = model.listed, model.entry
    if listed is None:
        yield f"  # {model.id}: not in the list; it stays as it is in the configuration"
        return
    yield f"  {model.id}:"
    for note in [*model.differences(), *listed.notes, *(["deprecated by the provider"] if listed.deprecated else [])]:
        yield f"    # {note}"
    yield f"    provider: {model.provider}"
    yield f"    upstream: {entry.upstream if entry is not None else listed.id}"
    prices: Amounts = listed.prices
    tiers: Tiers = listed.tiers
    context = listed.context
    if entry is not None and not take:
        if entry.settings.price is not None:
            prices, tiers = _prices(entry.settings.price)
        context = entry.settings.context or context
    if entry is not None and entry.settings.free and not (take and prices):
        yield "    free: true"
    elif prices:
        yield f"    price: {price_text(*_whole((prices, tiers)), batch=_batch(entry))}"
    if context is not None:
        yield f"    context: {context}"
    elif entry is None or entry.settings.max_output is None:
        yield "    # no limit is known: set `context` or `max_output`"
    if entry is not None:
        yield from _kept(entry.settings)


def _batch(entry: ModelEntry | None) -> Decimal | None:
    """The part that is due in a batch: no list tells it, so it stays."""
    price = None if entry is None else entry.settings.price
    return None if price is None else price.batch


def _kept(settings: ModelSettings) -> Iterator[str]:
    """What the configuration says of a model and no list does, so that this can stand in its place. Each as JSON, which
    is YAML too."""
    told = settings.model_dump(mode="json", exclude=set(_LISTED), exclude_unset=True)
    for name in ModelSettings.model_fields:
        if name in told:
            value = {key: f"{seconds:g}s" for key, seconds in told[name].items()} if name == "timeouts" else told[name]
            yield f"    {name}: {orjson.dumps(value).decode().replace('${', '$${')}"


def _prices(settings: PriceSettings | None) -> tuple[Amounts, Tiers]:
    if settings is None:
        return {}, []
    return settings.given(), [(tier.above, tier.given()) for tier in settings.tiers]


def _whole(prices: tuple[Amounts, Tiers]) -> tuple[Amounts, Tiers]:
    """With an output price beside that of input: lists leave out that of models that only read."""
    base, tiers = prices
    return ({"output": Decimal(0), **base} if "input" in base else base), tiers


def _as_json(model: Found) -> dict[str, Any]:
    listed = model.listed
    return {
        "id": model.id,
        "provider": model.provider,
        "configured": model.entry is not None,
        "listed": None
        if listed is None
        else {
            "id": listed.id,
            "prices": listed.prices,
            "tiers": [{"above": above, **prices} for above, prices in listed.tiers],
            "context": listed.context,
            "deprecated": listed.deprecated,
            "notes": listed.notes,
        },
        "differences": model.differences(),
    }
