"""A docstring says what its function does. One that only points elsewhere sends every reader on an errand, and editors
show nothing of it."""

from __future__ import annotations

import ast
import re

import pytest

ERRAND = re.compile(
    r"(?:See|As in|As|Implements|Like) (?:the (?:protocol|module|class|base)|`[^`]+`)(?: above| below)?\.?\s*"
)

# "path" -> why it is still so. This list only shrinks.
ALLOWED: dict[str, str] = {}


def errands(sources) -> list[str]:
    found = []
    for source in sources:
        for node in source.nodes:
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                text = ast.get_docstring(node) or ""
                if ERRAND.fullmatch(text.strip()):
                    found.append(f"{source.path}:{node.lineno}: {node.name}: {text}")
    return found


def test_docstrings_say_something(gateway_sources, plugin_sources):
    code = [*gateway_sources, *(source for source in plugin_sources if "/tests/" not in source.path)]
    left = [one for one in errands(code) if one.split(":")[0] not in ALLOWED]
    assert not left, "say what it does"


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("See the protocol.", 1),
        ("See `Relay`.", 1),
        ("See `gateway.stores.Keys.authenticate`.", 1),
        ("See the module", 1),
        ("As in `Ledger`.", 1),
        ("See `Relay`. The number of the event that was taken back goes with it.", 0),
        ("Take the next bytes.", 0),
        ("", 0),
    ],
)
def test_errands_are_found(parse_source, text, count):
    assert len(errands([parse_source("gateway/a.py", f"def f():\n    '''{text}'''")])) == count
