"""A store is chosen by the hook. Outside of its package, nothing may know which one there is."""

from __future__ import annotations

import re

import pytest

# Where the default of `database.url` and the list of the gateway's own plugins name it: as data.
ALLOWED = ("gateway/sqlite/", "gateway/own_plugins.py", "gateway/config/sections.py", "gateway/journal.py")
TRACE = re.compile(r"sqlite|\bWAL\b|write-ahead|\bfsync\b|\bSELECT\b.*\bFROM\b", re.IGNORECASE)
INNER = re.compile(r"stores\.(core|read|write|opened)\b")


def traces(sources) -> list[str]:
    return [
        f"{source.path}:{number}: {line.strip()}"
        for source in sources
        if not source.path.startswith(ALLOWED)
        for number, line in enumerate(source.text.splitlines(), 1)
        if TRACE.search(line) or INNER.search(line)
    ]


def test_nothing_outside_of_its_package_knows_sqlite(gateway_sources):
    # The server secret is a file of its own, and synced to the disk as such; so is a store's journal.
    assert [trace for trace in traces(gateway_sources) if not trace.startswith("gateway/server_secret.py")] == []


@pytest.mark.parametrize(
    "line",
    ["from gateway.sqlite import x", "# the WAL", "await stores.read(x)", "stores.core.writer", "import sqlite3"],
)
def test_a_trace_is_found(parse_source, line):
    assert traces([parse_source("gateway/http/x.py", line)])
