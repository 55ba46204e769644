"""An exception is never swallowed: a broad `except` gives its reason in a comment, and does something.

In a gateway a swallowed error is a wrong bill or a lost answer.
"""

from __future__ import annotations

import ast

import pytest

BROAD = {"Exception", "BaseException"}


def is_broad(handler: ast.ExceptHandler) -> bool:
    caught = handler.type
    names = caught.elts if isinstance(caught, ast.Tuple) else [caught]
    return any(name is None or ast.unparse(name) in BROAD for name in names)


def swallowing_faults(sources) -> list[str]:
    faults = []
    for source in sources:
        lines = source.text.splitlines()
        for handler in source.nodes:
            if not isinstance(handler, ast.ExceptHandler) or not is_broad(handler):
                continue
            where = f"{source.path}:{handler.lineno}"
            reraises = isinstance(handler.body[-1], ast.Raise)
            near = lines[max(handler.lineno - 2, 0) : handler.body[0].lineno]
            if not reraises and not any("#" in line for line in near):
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
        ("except BaseException:\n    close()\n    raise", 0),
        ("except ValueError:\n    pass", 0),
    ],
)
def test_swallowing_is_found(parse_source, handler, count):
    assert len(swallowing_faults([parse_source("gateway/a.py", f"try:\n    f()\n{handler}")])) == count
