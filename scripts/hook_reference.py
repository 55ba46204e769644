"""The list of hooks in docs/plugins.md, written from gateway/hookspecs.py: signatures and docstrings.

Reads the source as text, so that it needs nothing installed.
"""

from __future__ import annotations

import ast
import inspect
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "plugins.md"
SPECS = ROOT / "gateway" / "hookspecs.py"
BEGIN = "<!-- hooks: written by scripts/docs from gateway/hookspecs.py -->"
END = "<!-- end of hooks -->"


def is_hook(node: ast.stmt) -> bool:
    return isinstance(node, ast.FunctionDef) and any("hookspec" in ast.unparse(mark) for mark in node.decorator_list)


def signature(node: ast.FunctionDef, is_async: bool) -> str:
    returns = ast.unparse(node.returns) if node.returns else "None"
    return f"{'async ' if is_async else ''}{node.name}({ast.unparse(node.args)}) -> {returns}"


def render(specs: str) -> str:
    """The section as Markdown. `specs` is the source of hookspecs.py."""
    tree = ast.parse(specs)
    asynchronous: set[str] = set()
    for node in tree.body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "ASYNC_HOOKS":
            asynchronous = {name.value for name in ast.walk(node) if isinstance(name, ast.Constant)}
    parts = [BEGIN]
    for node in tree.body:
        if isinstance(node, ast.FunctionDef) and is_hook(node):
            text = inspect.cleandoc(ast.get_docstring(node) or "")
            if not text:
                raise SystemExit(f"{SPECS}:{node.lineno}: {node.name} has no docstring")
            parts += ["", f"### `{signature(node, node.name in asynchronous)}`", "", text]
    return "\n".join([*parts, "", END])


def put_in(page: str, section: str) -> str:
    """The page with the text between the two marks replaced."""
    before, rest = page.split(BEGIN)
    return before + section + rest.split(END)[1]


if __name__ == "__main__":
    PAGE.write_text(put_in(PAGE.read_text("utf-8"), render(SPECS.read_text("utf-8"))), "utf-8")
