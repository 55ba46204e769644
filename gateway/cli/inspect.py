"""gateway check, gateway plugins, gateway models: what the configuration means, without serving."""

from __future__ import annotations

import argparse
import logging
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from gateway.blueprint import catalog_of, default_problem, demo_note, switched_off
from gateway.cli.common import add_config, add_json, blueprint_of, print_json, print_table
from gateway.config import ModelEntry
from gateway.errors import ConfigFault
from gateway.pipeline import Pipeline
from gateway.pluginload import check_late


def add_commands(commands: Any) -> None:
    """Register the commands of this module."""
    for name, run, text in (
        ("check", run_check, "check the configuration and say everything that is wrong with it"),
        ("plugins", run_plugins, "list the plugins and the order in which each hook runs"),
        ("models", run_models, "list the models and aliases, their prices and whether they can be called"),
    ):
        parser = commands.add_parser(name, help=text)
        add_config(parser)
        add_json(parser)
        parser.set_defaults(run=run)


def run_check(options: argparse.Namespace) -> int:
    """Exit status 0 for a good configuration (warnings allowed). Without `--json` raises ConfigFault for others."""
    try:
        blueprint = blueprint_of(options, complete=True)
        check_late(blueprint.plugins)
    except ConfigFault as fault:
        if not options.json:
            raise
        print_json({"ok": False, "problems": list(fault.problems)})
        return 2
    warnings = list(blueprint.config.warnings)
    warnings += filter(None, (demo_note(blueprint), default_problem(blueprint.config, catalog_of(blueprint))))
    off = switched_off(blueprint)
    if options.json:
        print_json({"ok": True, "warnings": warnings, "switched_off": off})
        return 0
    for warning in warnings:
        print(f"warning: {warning}")
    for name, reason in off.items():
        print(f"note: provider {name} is switched off: {reason}")
    print(f"{options.config}: ok")
    return 0


def run_plugins(options: argparse.Namespace) -> int:
    """Names, and per hook the order of execution."""
    blueprint = blueprint_of(options)
    phases = Pipeline(blueprint.plugins, logging.getLogger("gateway")).describe()
    if options.json:
        kinds = {"providers": sorted(blueprint.kinds), "payments": sorted(blueprint.payments)}
        print_json({"plugins": list(blueprint.plugins.names), **kinds, "phases": phases})
        return 0
    print("plugins:   " + ", ".join(blueprint.plugins.names))
    print("providers: " + ", ".join(sorted(blueprint.kinds)))
    print("payments:  " + (", ".join(sorted(blueprint.payments)) or "(none)"))
    for phase, names in phases.items():
        print(f"{phase:17} " + (" -> ".join(names) or "(none)"))
    return 0


def run_models(options: argparse.Namespace) -> int:
    """The catalogue as callers see it, and for people the patterns that a running gateway fills."""
    blueprint = blueprint_of(options)
    models = catalog_of(blueprint).public_list()
    if options.json:
        print_json(models)
        return 0
    rows: list[tuple[object, ...]] = []
    for model in models:
        pricing = model.get("pricing") or {}
        other = _other_prices(pricing)
        # Of a model that is priced by something else alone, the two are there for other programs' sake.
        by_tokens = not other or any(Decimal(pricing[name]) for name in ("prompt", "completion"))
        rows.append(
            (
                model["id"],
                model.get("alias_of") or "",
                "yes" if model.get("available") else "no",
                "chat" if "chat" in model["operations"] else ", ".join(model["operations"]),
                _per_million(pricing.get("prompt")) if by_tokens else None,
                _per_million(pricing.get("completion")) if by_tokens else None,
                other,
                model.get("context_length"),
            )
        )
    patterns = blueprint.config.patterns
    rows += [_pattern_row(entry) for entry in patterns.values()]
    print_table(("MODEL", "ALIAS OF", "AVAILABLE", "DOES", "USD/M IN", "USD/M OUT", "USD", "CONTEXT"), rows)
    if patterns:
        print("A pattern takes what its provider lists; `GET /models` of the running gateway names those models.")
    return 0


def _pattern_row(entry: ModelEntry) -> tuple[object, ...]:
    price = entry.settings.price
    sums = (price.input, price.output) if price is not None else (0, 0) if entry.settings.free else (None, None)
    return (entry.id, "", "as listed", "", *sums, "", entry.settings.context)


def _other_prices(pricing: Mapping[str, Any]) -> str:
    """What costs something beside tokens, where a model makes no text: `0.006 a minute`."""
    found = []
    if "character" in pricing:
        found.append(f"{_per_million(pricing['character'])} a million characters")
    if "minute" in pricing:
        found.append(f"{pricing['minute']} a minute")
    if "search" in pricing:
        found.append(f"{pricing['search']} a search")
    if "images" in pricing:
        least, most = (choose(pricing["images"].values(), key=Decimal) for choose in (min, max))
        found.append(f"{least} an image" if least == most else f"{least} to {most} an image")
    return ", ".join(found)


def _per_million(price: str | None) -> str | None:
    """USD per million tokens, as prices are written everywhere else, of USD per token."""
    if price is None:
        return None
    text = format(Decimal(price).scaleb(6), "f")
    return text.rstrip("0").rstrip(".") if "." in text else text
