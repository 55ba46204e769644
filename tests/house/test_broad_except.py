"""An exception is never swallowed: a broad `except` gives its reason in a comment, and does something.

In a gateway a swallowed error is a wrong bill or a lost answer.
"""

from __future__ import annotations

import ast
import re

import pytest

BROAD = {"Exception", "BaseException"}
FOR_TOOLS = re.compile(r"#\s*(type:|noqa|fmt:|pragma)[^#]*")


def is_broad(handler: ast.ExceptHandler) -> bool:
    caught = handler.type
    names = caught.elts if isinstance(caught, ast.Tuple) else [caught]
    return any(name is None or ast.unparse(name) in BROAD for name in names)


def passes_on(handler: ast.ExceptHandler) -> bool:
    """Whether it always ends by raising what it caught, and never something else in its place."""
    ways = [node for each in handler.body for node in ast.walk(each) if isinstance(node, ast.Raise | ast.Return)]
    return isinstance(handler.body[-1], ast.Raise) and all(
        isinstance(node, ast.Raise) and node.exc is None for node in ways
    )


def gives_reason(handler: ast.ExceptHandler, lines: list[str]) -> bool:
    """Whether a comment for people stands between `except` and what it does first, or alone on the line before."""
    before = lines[handler.lineno - 2].strip()
    near = lines[handler.lineno - 1 : handler.body[0].lineno]
    return before.startswith("#") or any("#" in FOR_TOOLS.sub("", line) for line in near)


def swallowing_faults(sources) -> list[str]:
    faults = []
    for source in sources:
        lines = source.text.splitlines()
        for handler in source.nodes:
            if not isinstance(handler, ast.ExceptHandler) or not is_broad(handler):
                continue
            where = f"{source.path}:{handler.lineno}"
            if not passes_on(handler) and not gives_reason(handler, lines):
                faults.append(f"{where}: a broad `except` says in a comment why it is right")
            if all(isinstance(statement, ast.Pass | ast.Continue) for statement in handler.body):
                faults.append(f"{where}: swallows the exception; log it, or make it somebody's fault")
    return faults


def test_no_exception_is_swallowed(gateway_sources, plugin_sources):
    assert not swallowing_faults([*gateway_sources, *(s for s in plugin_sources if "/tests/" not in s.path)])


@pytest.mark.parametrize(
    ("handler", "count"),
    [
        ("except Exception:\n    log()", 1),
        ("except Exception:\n    pass", 2),
        ("except:\n    log()", 1),
        ("except (ValueError, BaseException):  # why\n    pass", 1),
        ("except Exception:  # why\n    log()", 0),
        ("except Exception:\n    # why\n    log()", 0),
        ("except Exception:  # noqa: BLE001\n    log()", 1),
        ("except Exception:  # type: ignore[misc]  # why\n    log()", 0),
        ("except BaseException:\n    close()\n    raise", 0),
        ("except Exception as error:\n    raise TimeoutError from error", 1),
        ("except Exception as error:\n    if late:\n        raise TimeoutError from error\n    raise", 1),
        ("except Exception:\n    if late:\n        return\n    raise", 1),
        ("except ValueError:\n    pass", 0),
    ],
)
def test_swallowing_is_found(parse_source, handler, count):
    # What is said of the line before is no reason for what follows.
    text = f"def g():\n try:\n  f()  # not it\n {handler.replace(chr(10), chr(10) + ' ')}"
    assert len(swallowing_faults([parse_source("gateway/a.py", text)])) == count
