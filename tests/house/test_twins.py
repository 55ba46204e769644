"""`tests/` mirrors `gateway/`: the rooms with the hardest state machines are tested bare, not over HTTP alone.

`gateway/runner/rounds.py` has its twin in `tests/runner/test_rounds.py`. A module that only declares (protocols, data)
or that is a part of one state machine with another may share that one's twin.
"""

from __future__ import annotations

import ast

from .conftest import ROOT

ROOMS = ("upstream", "builtin", "responses", "stores", "runner")

# Module -> where it is tested bare, or why not yet. What is not yet only shrinks.
ALLOWED: dict[str, str] = {
    "gateway/responses/compaction.py": "not yet: over HTTP in tests/http",
    "gateway/responses/dialect.py": "not yet: over HTTP in tests/http",
    "gateway/responses/services.py": "holds what others do",
    "gateway/runner/answering.py": "tests/runner/test_lifecycle.py",
    "gateway/runner/drain.py": "tests/runner/test_lifecycle.py",
    "gateway/runner/ending.py": "tests/runner/test_lifecycle.py",
    "gateway/stores/amounts.py": "tests/sqlite/money",
    "gateway/stores/checks.py": "tests/sqlite",
    "gateway/stores/failover.py": "tests/sqlite/money/test_recovery.py",
    "gateway/stores/kind.py": "tests/sqlite/test_database.py",
    "gateway/stores/ledger.py": "tests/sqlite/money",
    "gateway/stores/orders.py": "tests/sqlite/money/test_topups.py",
    "gateway/stores/topups.py": "tests/sqlite/money/test_topups.py",
    "gateway/stores/windows.py": "tests/sqlite/usage/test_counters.py",
    "gateway/upstream/back_reading.py": "tests/upstream/test_translation.py",
    "gateway/upstream/fan_out.py": "not yet: over HTTP in tests/http",
    "gateway/upstream/pool.py": "tests/upstream/test_transports.py",
    "gateway/upstream/proxied.py": "tests/upstream/test_transports.py",
}


def twins(sources, there) -> list[str]:
    """The modules of ROOMS without a twin. there: says whether a path of the project exists. Packages' own files, and
    modules without a function that does something, need none."""
    missing = []
    for source in sources:
        parts = source.path.split("/")
        if len(parts) < 3 or parts[1] not in ROOMS or parts[-1] == "__init__.py" or not _does_something(source.tree):
            continue
        twin = "/".join(["tests", *parts[1:-1], f"test_{parts[-1]}"])
        if not there(twin):
            missing.append(source.path)
    return missing


def _does_something(tree: ast.AST) -> bool:
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            body = node.body[1:] if ast.get_docstring(node) is not None else node.body
            if any(not (isinstance(one, ast.Expr) and isinstance(one.value, ast.Constant)) for one in body):
                return True
    return False


def test_every_module_has_its_twin(gateway_sources):
    missing = twins(gateway_sources, lambda path: (ROOT / path).is_file())
    assert not sorted(set(missing) - set(ALLOWED)), "write tests without HTTP"
    assert not sorted(set(ALLOWED) - set(missing)), "these exceptions are no longer needed"


def test_a_missing_twin_is_found(parse_source):
    sources = [
        parse_source("gateway/runner/rounds.py", "def f():\n    return 1"),
        parse_source("gateway/runner/protocols.py", "class A(Protocol):\n    def f(self):\n        '''What.'''\n"),
        parse_source("gateway/wire/sse.py", "def f():\n    return 1"),
    ]
    assert twins(sources, lambda path: False) == ["gateway/runner/rounds.py"]
    assert twins(sources, lambda path: path == "tests/runner/test_rounds.py") == []
