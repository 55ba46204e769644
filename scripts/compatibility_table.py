"""docs/compatibility.md, written from the tests: the `matrix_rows` of every provider and door, whose cells tests prove.

A module `plugins/<name>/tests/test_matrix.py` (for a door, `test_doors.py`) has `matrix_rows`, a list of dicts:
`parameter` (a name; a value of it after a colon; a condition in brackets at the end), `provider`, `how` (a word of
HOW), `note` (may be empty), `check`. Needs the environment of the tests: those modules import pytest and the plugins.
"""

from __future__ import annotations

import importlib.util
import re
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "compatibility.md"
HOW = {
    "passed": "sent on untouched: the provider speaks the same dialect.",
    "mapped": "said in the provider's own words.",
    "emulated": "brought about by other means.",
    "refused": "a 400 that names the field; nothing is sent.",
    "reported": "left out, or replaced by the nearest that can be said, and listed in\n"
    "  `x-gateway-dropped-params`; under strict mode a 400 that names the field.",
}
LAST = "any other"
_CONDITION = re.compile(r"^(?P<name>.*?)(?: \((?P<condition>[^()]*)\))?$", re.DOTALL)
_HEAD = """# What becomes of a parameter

<!-- Written by scripts/compatibility from plugins/*/tests/test_matrix.py; edit those. -->

One row per parameter of `POST /v1/chat/completions`, or value of it; one column per provider, then one per other door,
which says by what name the parameter is given there. Every filled cell is a test of a plugin or of that door, which
fails when the cell stops being true. The table speaks of the plugins: what
the gateway refuses for every provider alike never reaches them ([HTTP API](http-api.md), "Requests"): fields that
would move a request to another server, model or account, and service tiers that cost more than the price list says.
"""
_TAIL = """Where a cell has several lines, those with a condition count before the line without one. An empty cell says
nothing of its own: look at the row of the parameter's name, at the rows of its values, or, for a parameter that is
not OpenAI's, at the last row. Which model falls under which condition is a table in the provider's plugin.
"""


class Row(NamedTuple):
    """One proven statement. name: the parameter without its condition; condition: "" or when the row applies."""

    name: str
    condition: str
    provider: str
    how: str
    note: str
    check: Callable[[], object]


def load_rows(paths: Iterable[Path]) -> list[Row]:
    """The rows of the test modules at `paths`. Raises ValueError when one is not in the form, or told twice."""
    rows: dict[tuple[str, str, str], Row] = {}
    for path in paths:
        for entry in _module(path).matrix_rows:
            row = _row(entry, path)
            if rows.setdefault(row[:3], row) is not row:
                raise ValueError(f"{path}: {entry['parameter']} is told twice for {row.provider}")
    return list(rows.values())


def _module(path: Path) -> Any:
    # By path and under a name of its own: all of them are called `test_matrix`.
    name = f"compatibility_{path.parent.parent.name}_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ValueError(f"{path} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    finally:
        del sys.modules[name]
    return module


def _row(entry: dict[str, Any], path: Path) -> Row:
    if entry.get("how") not in HOW or not callable(entry.get("check")):
        raise ValueError(f"{path}: {entry.get('parameter')}: `how` must be one of {', '.join(HOW)}, with a `check`")
    found = _CONDITION.match(entry["parameter"])
    assert found is not None  # every text matches
    return Row(
        found["name"], found["condition"] or "", entry["provider"], entry["how"], entry.get("note", ""), entry["check"]
    )


def find_matrices(root: Path) -> list[Path]:
    """The test modules that hold a matrix, in the order of their paths."""
    doors = [*root.glob("tests/wire/**/test_*doors.py"), *(root / "plugins").glob("*/tests/inbound/test_doors.py")]
    return sorted((root / "plugins").glob("*/tests/test_matrix.py")) + sorted(doors)


def render(rows: Iterable[Row]) -> str:
    """The whole page as Markdown. The order of `rows` does not matter."""
    cells: dict[tuple[str, str], list[Row]] = {}
    for row in sorted(rows, key=lambda row: (_place(row.name), row.condition, row.provider)):
        cells.setdefault((row.name, row.provider), []).append(row)
    names = list(dict.fromkeys(name for name, _ in cells))
    # The doors, whose names begin with "at", stand behind the providers.
    providers = sorted({provider for _, provider in cells}, key=lambda name: (name.startswith("at "), name))
    notes: dict[str, int] = {}
    lines = [f"| parameter | {' | '.join(providers)} |", "|---" * (len(providers) + 1) + "|"]
    for name in names:
        told = [_cell(cells.get((name, provider), []), notes) for provider in providers]
        lines.append(f"| {_parameter(name)} | {' | '.join(told)} |")
    legend = "\n".join(f"- **{how}**: {text}" for how, text in HOW.items())
    feet = "\n".join(f"[^{number}]: {_plain(note)}" for note, number in notes.items())
    return "\n".join([_HEAD, legend, "", _TAIL, *lines, "", feet, ""])


def _place(name: str) -> tuple[bool, str, str]:
    """Parameters by the alphabet, each before its values, and the rest of the world at the end."""
    base = re.split(r"[: ]", name)[0]
    return (name == LAST, base.lower(), name[len(base) :])


def _parameter(name: str) -> str:
    if name == LAST:
        return LAST
    base, rest = re.findall(r"^([^: ]+)(.*)$", name)[0]
    return f"`{base}`{_plain(rest)}"


def _cell(rows: list[Row], notes: dict[str, int]) -> str:
    told = []
    for row in rows:
        mark = f"[^{notes.setdefault(row.note, len(notes) + 1)}]" if row.note else ""
        told.append((f"{_plain(row.condition)}: " if row.condition else "") + row.how + mark)
    return "<br>".join(told)


def _plain(text: str) -> str:
    """`text` without what Markdown would read as a mark."""
    for mark in ("\\", "|", "*", "_", "<", "`", "$"):
        text = text.replace(mark, "\\" + mark)
    return text


if __name__ == "__main__":
    PAGE.write_text(render(load_rows(find_matrices(ROOT))), "utf-8")
