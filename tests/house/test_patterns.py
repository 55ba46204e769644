"""No possessive quantifiers and no atomic groups: Python has them since 3.11.0, but its first releases match wrongly
where groups repeat (seen with 3.11.2, which Debian 12 has: half an escape counted as whole)."""

from __future__ import annotations

import importlib
import pkgutil
import re
from collections.abc import Iterator
from re import _constants, _parser  # type: ignore[attr-defined]
from types import ModuleType
from typing import Any

import gateway

NEVER = {_constants.POSSESSIVE_REPEAT, _constants.ATOMIC_GROUP}


def operations(parsed: Any) -> Iterator[Any]:
    """Every operation of a parsed expression that is never to be used, those inside others too."""
    for item in parsed:
        if isinstance(item, tuple) and item and item[0] in NEVER:
            yield item[0]
        if isinstance(item, tuple | list | _parser.SubPattern):
            yield from operations(item)


def is_broken(pattern: re.Pattern[Any]) -> bool:
    # The parser finds by itself that a pattern is of text.
    return any(True for _ in operations(_parser.parse(pattern.pattern, pattern.flags & ~re.UNICODE)))


def modules(plugin_sources: Any) -> Iterator[ModuleType]:
    for found in pkgutil.walk_packages(gateway.__path__, "gateway."):
        if not found.name.endswith(("__main__", "pytest_plugin")):
            yield importlib.import_module(found.name)
    for name in sorted({source.module for source in plugin_sources if "tests" not in source.path.split("/")}):
        yield importlib.import_module(name)


def test_no_pattern_that_older_pythons_match_wrongly(plugin_sources):
    found = {
        f"{module.__name__}.{name}"
        for module in modules(plugin_sources)
        for name, value in vars(module).items()
        if isinstance(value, re.Pattern) and is_broken(value)
    }
    assert not found, "unroll the repetition, or bound it"


def test_such_patterns_are_found():
    for bad in (r"a++", r"(?:[^x]|y)*+", r"(?>ab)c", rb"x(?:y(z?+))", r"(?:a{2}+)"):
        assert is_broken(re.compile(bad))
    for good in (r"a+", r"[+*]+", rb"(a|b)*\+", r"\*+"):
        assert not is_broken(re.compile(good))
