"""SQL is written whole and takes parameters; a statement is never put together from values."""

from __future__ import annotations

import ast
import re

import pytest

STATEMENT = re.compile(
    r"\s*(SELECT\s|INSERT\s+(OR\s+\w+\s+)?INTO\s|REPLACE\s+INTO\s|UPDATE\s+\S+\s+SET\s|DELETE\s+FROM\s|WITH\s+\w+\s*(\(|AS\s)"
    r"|CREATE\s+(TABLE|INDEX|UNIQUE|TRIGGER|VIEW)\s|ALTER\s+TABLE\s|DROP\s+(TABLE|INDEX)\s|PRAGMA\s)"
)

# "path: start of the line of code" -> why nothing from outside can reach the statement.
ALLOWED = {
    "gateway/sqlite/engine/migrations/__init__.py: _SET_VERSION = ": "a PRAGMA takes no parameters; counted at import",
}


def literal_start(node: ast.expr) -> str:
    """The text that a string expression begins with."""
    if isinstance(node, ast.Constant):
        return node.value if isinstance(node.value, str) else ""
    if isinstance(node, ast.JoinedStr):
        return literal_start(node.values[0]) if node.values else ""
    if isinstance(node, ast.BinOp):
        return literal_start(node.left)
    return ""


def is_built(node: ast.AST) -> bool:
    """Is this expression an SQL text put together from parts?"""
    if isinstance(node, ast.JoinedStr):
        return any(isinstance(part, ast.FormattedValue) for part in node.values) and bool(
            STATEMENT.match(literal_start(node))
        )
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add | ast.Mod):
        return bool(STATEMENT.match(literal_start(node)))
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in {"format", "replace"}:
        return bool(STATEMENT.match(literal_start(node.func.value)))
    return False


def sql_faults(sources) -> list[str]:
    faults = []
    for source in sources:
        lines = source.text.splitlines()
        for node in source.nodes:
            if not is_built(node):
                continue
            here = f"{source.path}: {lines[node.lineno - 1].strip()}"
            if not here.startswith(tuple(ALLOWED)):
                faults.append(f"{source.path}:{node.lineno}: SQL put together from parts; use parameters")
    return faults


def test_no_statement_is_put_together(gateway_sources, plugin_sources):
    assert not sql_faults([*gateway_sources, *plugin_sources])


@pytest.mark.parametrize(
    "text",
    [
        "db.execute(f'SELECT * FROM keys WHERE id = {key}')",
        "db.execute('SELECT * FROM keys WHERE id = ' + key)",
        "db.execute('DELETE FROM keys WHERE id = %s' % key)",
        "query = 'UPDATE keys SET a = {}'.format(a)",
        "query = f'''\n  INSERT OR IGNORE INTO keys VALUES ({a})'''",
    ],
)
def test_a_built_statement_is_found(parse_source, text):
    assert len(sql_faults([parse_source("gateway/a.py", text)])) == 1


def test_parameters_and_prose_are_accepted(parse_source):
    text = "db.execute('SELECT * FROM keys WHERE id = ?', (key,))\nmessage = f'Select a {model}'"
    assert not sql_faults([parse_source("gateway/a.py", text)])
