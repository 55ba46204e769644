"""URLs of SQLite databases; `tests/cli` restores real backups."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.sqlite import SqliteKind


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("sqlite:///data/gateway.db", "/srv/data/gateway.db"),
        ("sqlite:///gateway.db", "/srv/data/gateway.db"),
        ("sqlite:///data/sub/x.db", "/srv/data/sub/x.db"),
        ("sqlite:////var/lib/x.db", "/var/lib/x.db"),
    ],
)
def test_where_the_database_lies(url, path):
    assert SqliteKind().check(url) == ""
    assert SqliteKind().path(url, "/srv/data") == Path(path)


@pytest.mark.parametrize("url", ["sqlite://a.db", "sqlite:///", "sqlite:///folder/", "sqlite:///:memory:"])
def test_what_is_no_file(url):
    assert SqliteKind().check(url)
