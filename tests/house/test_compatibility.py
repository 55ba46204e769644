"""docs/compatibility.md says what the providers' tests prove, and nothing else."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator
from types import ModuleType

import pytest

BUNDLED = {"anthropic", "google", "mistralai", "moonshotai", "openai", "openai-compatible"}
DOORS = {"at /completions", "at /responses", "at /messages", "at generateContent"}


@pytest.fixture(scope="module")
def table(root) -> Iterator[ModuleType]:
    spec = importlib.util.spec_from_file_location("compatibility_table", root / "scripts/compatibility_table.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    try:
        spec.loader.exec_module(module)
        yield module
    finally:
        del sys.modules[spec.name]


@pytest.fixture(scope="module")
def rows(root, table) -> list:
    return table.load_rows(table.find_matrices(root))


def test_the_page_is_current(root, table, rows):
    assert (root / "docs/compatibility.md").read_text("utf-8") == table.render(rows), "run scripts/compatibility"


def test_every_translating_provider_is_in_it(rows):
    assert {row.provider for row in rows} == BUNDLED | DOORS


def test_every_cell_is_true(rows):
    """The plugins' own tests say the same, cell by cell; this holds where one of them forgets to."""
    for row in rows:
        row.check()


def test_the_order_of_the_modules_changes_nothing(table, rows):
    assert table.render(reversed(rows)) == table.render(rows)


def test_every_row_has_as_many_cells_as_the_head(root):
    lines = [line for line in (root / "docs/compatibility.md").read_text().splitlines() if line.startswith("|")]
    assert len(lines) > 50
    assert {line.replace("\\|", "").count("|") for line in lines} == {len(BUNDLED | DOORS) + 2}


def test_every_footnote_is_used_and_told(root):
    before, _, after = (root / "docs/compatibility.md").read_text().partition("\n[^1]: ")
    numbers = [f"[^{number}]" for number in range(1, after.count("\n[^") + 2)]
    assert all(number in before for number in numbers)
    assert f"[^{len(numbers) + 1}]" not in before


def entry(**changes: object) -> dict:
    return {"parameter": "a", "provider": "p", "how": "mapped", "note": "", "check": lambda: None, **changes}


@pytest.mark.parametrize(
    "entries", [[entry(how="guessed")], [entry(check=None)], [entry(), entry()], [{"parameter": "a"}]]
)
def test_a_matrix_out_of_form_is_refused(table, monkeypatch, tmp_path, entries):
    monkeypatch.setattr(table, "_module", lambda path: type("M", (), {"matrix_rows": entries}))
    with pytest.raises(ValueError, match=r"told twice|must be one of"):
        table.load_rows([tmp_path])


def test_the_form_of_a_row(table, monkeypatch, tmp_path):
    entries = [
        entry(parameter="b"),
        entry(parameter="a: x_y (old ones)", how="reported", note="why"),
        entry(parameter="a: x_y"),
        entry(parameter="any other", provider="q"),
    ]
    monkeypatch.setattr(table, "_module", lambda path: type("M", (), {"matrix_rows": entries}))
    lines = [line for line in table.render(table.load_rows([tmp_path])).splitlines() if line[:1] in ("|", "[")]
    assert lines == [
        "| parameter | p | q |",
        "|---|---|---|",
        "| `a`: x\\_y | mapped<br>old ones: reported[^1] |  |",
        "| `b` | mapped |  |",
        "| any other |  | mapped |",
        "[^1]: why",
    ]
