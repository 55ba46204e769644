"""An exception is made where it is raised. One that is kept and raised again grows its traceback with every raise, and
keeps alive what the frames in it hold: requests, bodies, connections."""

from __future__ import annotations

import ast

import pytest

ENDINGS = ("Fault", "Error", "Exception", "Refusal")


def _makes_exception(value: ast.expr | None) -> bool:
    """Whether an expression is, or holds, an instance of an exception: `X(...)`, `(X(...), ...)`, `{"a": X(...)}`.
    What stands in a lambda is made anew each time."""
    waiting = [value] if value is not None else []
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.Lambda):
            continue
        if isinstance(node, ast.Call) and ast.unparse(node.func).split(".")[-1].endswith(ENDINGS):
            return True
        waiting += list(ast.iter_child_nodes(node))
    return False


def kept_exceptions(sources) -> list[str]:
    """Exceptions that live as long as their module, class or function: values, defaults of arguments, fields."""
    found = []

    def look(path: str, body: list[ast.stmt]) -> None:
        for node in body:
            if isinstance(node, ast.Assign | ast.AnnAssign | ast.AugAssign) and _makes_exception(node.value):
                found.append(f"{path}:{node.lineno}: {ast.unparse(node)[:80]}")
            elif isinstance(node, ast.ClassDef | ast.If | ast.Try | ast.With | ast.For):
                look(path, node.body)
                look(path, getattr(node, "orelse", []))

    for source in sources:
        look(source.path, source.tree.body)
        for node in source.nodes:
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
                for default in [*node.args.defaults, *node.args.kw_defaults]:
                    if _makes_exception(default):
                        found.append(f"{source.path}:{node.lineno}: default {ast.unparse(default)[:80]}")
    return found


def test_no_exception_is_kept(gateway_sources, plugin_sources):
    code = [*gateway_sources, *(source for source in plugin_sources if "/tests/" not in source.path)]
    assert not kept_exceptions(code), "make it in a function"


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("GONE = GatewayFault('gone')", 1),
        ("GONE: Fault = errors.CallerFault('gone')", 1),
        ("TABLE = {'a': (1, ValueError('x'))}", 1),
        ("if True:\n    GONE = Refusal('no', status=403)", 1),
        ("class A:\n    gone = RuntimeError()", 1),
        ("def f(fault=Fault('x')): ...", 1),
        ("def f():\n    fault = Fault('x')\n    raise fault", 0),
        ("GONE = lambda: Fault('x')", 0),
        ("KINDS = (ValueError, Fault)", 0),
        ("async def f(*, a=1, fault=None): ...", 0),
    ],
)
def test_kept_ones_are_found(parse_source, text, count):
    assert len(kept_exceptions([parse_source("gateway/a.py", text)])) == count
