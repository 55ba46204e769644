"""Nothing stands twice: six statements' lines or more that are equal in two places belong into one function.

Lines are compared without indentation, comments, docstrings and imports, and with names of locals as they are: what was
copied and then renamed throughout is not found.
"""

from __future__ import annotations

import ast
from collections import defaultdict

LEAST = 6

# "first file, second file" -> why it may stand twice. This list only shrinks.
ALLOWED: dict[str, str] = {
    "gateway/api/stores.py, gateway/stores/__init__.py": "lists of published names",
    "gateway/price.py, gateway/wire/usage.py": "classes of usage, as billed and as read",
    "gateway/errors.py, gateway/errors.py": "keyword arguments of the two constructors",
    "gateway/logs.py, gateway/runtime.py": "arguments of one record",
    "gateway/runner/lifecycle.py, gateway/runner/rounds.py": "arguments of two constructors",
    "gateway/sqlite/database.py, gateway/testing/memory_stores/__init__.py": "two stores say what they are made of",
    "gateway/testing/memory_stores/__init__.py, plugins/postgres/tollgate_postgres/opened.py": (
        "two stores say what they are made of"
    ),
    "gateway/sqlite/database.py, plugins/postgres/tollgate_postgres/opened.py": "two stores say what they are made of",
    "gateway/sqlite/money/ledger.py, plugins/postgres/tollgate_postgres/ledger.py": (
        "stores are independent of each other"
    ),
    "gateway/sqlite/usage/usage_log.py, plugins/postgres/tollgate_postgres/usage.py": "columns of a row, by name",
    "plugins/anthropic/tollgate_anthropic/provider.py, plugins/google/tollgate_google/provider.py": (
        "constructors of two providers, and the heads of their methods"
    ),
    "plugins/mistral/tollgate_mistral/provider.py, plugins/moonshot/tollgate_moonshot/provider.py": (
        "constructors of two providers, and the heads of their methods"
    ),
}
TRIVIAL = set(") ] } ), ], }, ( [ { else: try: return pass continue break )] }) }] ()".split())


def code_lines(source) -> list[tuple[int, str]]:
    """(number, text) of the lines that do something."""
    skipped: set[int] = set()
    for node in source.nodes:
        text = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
        if text or isinstance(node, ast.Import | ast.ImportFrom):
            skipped.update(range(node.lineno, (node.end_lineno or node.lineno) + 1))
    found = []
    for number, line in enumerate(source.text.splitlines(), 1):
        text = line.split("  # ")[0].strip()
        if number not in skipped and text and not text.startswith(("#", "@", "__all__", "class ")):
            found.append((number, text))
    return found


def duplicates(sources) -> dict[str, tuple[str, int]]:
    """ "first, second" -> an example of where, and how many lines in all. A window counts when LEAST of its lines say
    something: closing brackets and the like do not."""
    seen: dict[tuple[str, ...], tuple[str, int]] = {}
    pairs: dict[str, list[str]] = defaultdict(list)
    for source in sources:
        lines = [(number, text) for number, text in code_lines(source) if text not in TRIVIAL]
        for at in range(len(lines) - LEAST + 1):
            window = tuple(text for _, text in lines[at : at + LEAST])
            here = (source.path, lines[at][0])
            before = seen.setdefault(window, here)
            if before != here and not _same_place(before, here):
                pairs[f"{before[0]}, {here[0]}"].append(f"{before[1]} and {here[1]}")
    return {names: (where[0], len(where) + LEAST - 1) for names, where in pairs.items()}


def _same_place(one: tuple[str, int], other: tuple[str, int]) -> bool:
    """Rows of a table may repeat within themselves."""
    return one[0] == other[0] and abs(one[1] - other[1]) < LEAST


def test_nothing_stands_twice(gateway_sources, plugin_sources):
    code = [*gateway_sources, *(source for source in plugin_sources if "/tests/" not in source.path)]
    code = [source for source in code if "conftest" not in source.path and "/migrations/" not in source.path]
    found = duplicates(code)
    assert not {names: found[names] for names in found if names not in ALLOWED}, "give it one home"
    assert not sorted(set(ALLOWED) - set(found)), "these exceptions are no longer needed"


BODY = "\n".join(f"    x{number} = compute({number})" for number in range(LEAST))


def test_copies_are_found(parse_source):
    one = parse_source("gateway/a.py", f"import os\n\n\ndef f():\n    '''One.'''\n{BODY}\n    return x0")
    two = parse_source("gateway/b.py", f"class B:\n    def g(self):\n{BODY.replace('    x', '        x')}  # and so on")
    short = parse_source("gateway/c.py", "def h():\n" + BODY.rpartition("\n")[0])
    assert list(duplicates([one, two, short])) == ["gateway/a.py, gateway/b.py"]
    assert duplicates([one, short]) == {}
