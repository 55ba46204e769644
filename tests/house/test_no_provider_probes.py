"""The core asks no provider object what it is or has: what a target can stands in its profile, and what a provider must
have is checked once, when it is loaded."""

from __future__ import annotations

import ast
from collections.abc import Iterable

PROBES = {"getattr", "hasattr", "isinstance", "callable"}
LOADERS = {"gateway.pluginload"}


def probe_faults(sources: Iterable) -> list[str]:
    faults = []
    for source in sources:
        if source.module in LOADERS or not source.module.startswith("gateway"):
            continue
        for node in source.nodes:
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in PROBES and node.args:
                shown = ast.unparse(node.args[0])
                if "provider" in shown.lower():
                    faults.append(f"{source.path}:{node.lineno}: {node.func.id}({shown}, ...): ask the profile instead")
    return faults


def test_the_core_probes_no_provider(gateway_sources):
    assert probe_faults(gateway_sources) == []


def test_probes_are_found(parse_source):
    code = "def f(p, provider):\n    hasattr(provider, 'x')\n    isinstance(p.provider(), int)\n    getattr(p, 'y')\n"
    [first, second] = probe_faults([parse_source("gateway/x.py", code)])
    assert "x.py:2" in first
    assert "x.py:3" in second
