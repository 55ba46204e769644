"""The floors of the house: an entry of gateway/ imports only entries that stand above it in FLOORS.

Imports inside functions and under TYPE_CHECKING count like all others: they make the same knots.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator

import pytest

FLOORS = (
    "deferred errors aside certificates claim wire profile explanation text_filter records price call costs "
    "provider transcripts readers item_readers text_readers plain_readers sending quirks operations dialect doors "
    "plain_dialect text_dialect inbound payments tools credentials stores journal config storage catalog fetch "
    "hookspecs counting api pluginload pipeline upstream runner logs exposition metrics siblings budgets discovery "
    "host provider_files batch_object batch_bill batches erasing reloading server_secret passwords builtin sqlite "
    "own_plugins servertools responses keeping blueprint generation runtime http console cli __main__ testing"
).split()

# Entries that may use less than their floor would allow.
NARROW = {
    "wire": {"errors"},  # pure formats
    "builtin": {"api"},  # ordinary plugins: what they need, every plugin gets
    "sqlite": {"api"},  # likewise
}

# Formats have no sockets, no clock and no chance in them: the same bytes always give the same answer.
_PURE = "wire errors price call profile provider dialect plain_dialect payments tools stores"
PURE = tuple(f"gateway.{name}" for name in _PURE.split())
IMPURE = set("aiohttp aiosqlite asyncio http logging multiprocessing os pathlib random secrets signal socket".split())
IMPURE |= set("sqlite3 ssl subprocess sys tempfile threading time urllib.request uvloop yaml".split())


def imports_of(source, known: set[str]) -> Iterator[tuple[int, str]]:
    """(line, module) of every import. A name imported from a package counts as the submodule when there is one."""
    for node in source.nodes:
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, alias.name
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parents = source.module.split(".")
                parents = parents[: len(parents) - node.level + source.is_package]
                base = ".".join([*parents, base] if base else parents)
            for alias in node.names:
                longer = f"{base}.{alias.name}"
                yield node.lineno, longer if longer in known else base
        elif isinstance(node, ast.Call) and ast.unparse(node.func).split(".")[-1] in {"import_module", "__import__"}:
            for argument in node.args[:1]:
                if isinstance(argument, ast.Constant) and isinstance(argument.value, str):
                    yield node.lineno, argument.value


def entry(module: str) -> str:
    """The room of gateway/ that a module belongs to: `gateway.wire.sse` -> `wire`; "" for `gateway` itself."""
    return module.split(".")[1] if "." in module else ""


def is_gateway(module: str) -> bool:
    return module == "gateway" or module.startswith("gateway.")


def floor_faults(sources: Iterable, floors: list[str] = FLOORS) -> list[str]:
    sources = list(sources)
    known = {source.module for source in sources} | {f"gateway.{floor}" for floor in floors}
    faults = []
    for source in sources:
        own = entry(source.module)
        if own and own not in floors:
            faults.append(f"{source.path}: `{own}` has no floor; add it to FLOORS where it belongs")
            continue
        for line, target in imports_of(source, known):
            if not is_gateway(target) or target == "gateway":
                continue
            other = entry(target)
            if other == own:
                continue
            where = f"{source.path}:{line}: imports {target}"
            if not own:
                faults.append(f"{where}, but `gateway/__init__.py` imports nothing: every module imports it")
            elif other not in floors:
                faults.append(f"{where}, which has no floor")
            elif floors.index(other) > floors.index(own):
                faults.append(f"{where}, but `{other}` stands below `{own}`; pass it in, or move the code up")
            elif own in NARROW and other not in NARROW[own]:
                faults.append(f"{where}, but `{own}` imports only {', '.join(sorted(NARROW[own]))}")
    return faults


def plugin_faults(sources: Iterable) -> list[str]:
    faults = []
    for source in sources:
        doors = ["gateway.api"] + (["gateway.testing"] if "tests" in source.path.split("/") else [])
        # `from gateway.api import X` must not look like a submodule, `from gateway import api` must.
        for line, target in imports_of(source, {"gateway.api", "gateway.testing"}):
            open_door = any(target == door or target.startswith(door + ".") for door in doors)
            if is_gateway(target) and not open_door:
                faults.append(f"{source.path}:{line}: imports {target}; plugins use only {' and '.join(doors)}")
    return faults


def purity_faults(sources: Iterable) -> list[str]:
    return [
        f"{source.path}:{line}: imports {target}; {source.module} is a pure format"
        for source in sources
        if any(source.module == name or source.module.startswith(name + ".") for name in PURE)
        for line, target in imports_of(source, set())
        if target in IMPURE or target.split(".")[0] in IMPURE
    ]


def cycles(sources: Iterable) -> list[str]:
    """The first cycle found from each module, as `a -> b -> a`; every cycle once."""
    sources = list(sources)
    known = {source.module for source in sources}
    graph = {s.module: sorted({t for _, t in imports_of(s, known) if t in known and t != s.module}) for s in sources}
    done: set[str] = set()
    found: list[str] = []

    def visit(module: str, path: list[str]) -> None:
        if module in path:
            found.append(" -> ".join([*path[path.index(module) :], module]))
        elif module not in done:
            for target in graph[module]:
                visit(target, [*path, module])
            done.add(module)

    for module in sorted(graph):
        visit(module, [])
    return found


def test_entries_import_only_what_stands_above_them(gateway_sources):
    assert not floor_faults(gateway_sources)


def test_formats_are_pure(gateway_sources):
    assert not purity_faults(gateway_sources)


def test_no_import_cycles(gateway_sources):
    assert not cycles(gateway_sources)


def test_plugins_use_only_the_facade(plugin_sources):
    assert not plugin_faults(plugin_sources)


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("gateway/wire/sse.py", "from gateway.call import Call"),
        ("gateway/wire/sse.py", "def f():\n    import gateway.http.app"),
        ("gateway/call.py", "if TYPE_CHECKING:\n    from gateway import stores"),
        ("gateway/builtin/auth.py", "from gateway.stores import Keys"),
        ("gateway/builtin/auth.py", "from ..ledger import db"),
        ("gateway/stores.py", "importlib.import_module('gateway.http')"),
        ("gateway/__init__.py", "from gateway.api import Call"),
        ("gateway/nowhere.py", "x = 1"),
    ],
)
def test_a_wrong_import_is_found(parse_source, path, text):
    assert len(floor_faults([parse_source(path, text)])) == 1


def test_right_imports_are_accepted(parse_source):
    texts = {
        "gateway/builtin/auth.py": "from gateway.api import Call\nfrom gateway.builtin import window",
        "gateway/http/app.py": "from gateway import __version__\nfrom gateway.wire import sse\nfrom .chat import relay",
        "gateway/wire/__init__.py": "from .sse import events",
    }
    assert not floor_faults([parse_source(path, text) for path, text in texts.items()])


def test_impure_formats_and_nosy_plugins_are_found(parse_source):
    assert purity_faults([parse_source("gateway/wire/x.py", "import time")])
    assert plugin_faults([parse_source("plugins/x/x/a.py", "from gateway.wire import sse", below="plugins/x")])
    assert plugin_faults([parse_source("plugins/x/x/a.py", "import gateway.testing", below="plugins/x")])
    assert not plugin_faults([parse_source("plugins/x/tests/a.py", "import gateway.testing.fakes", below="plugins/x")])


def test_a_cycle_is_found(parse_source):
    texts = {"a": "from gateway.wire.b import x", "b": "import gateway.wire.c", "c": "from gateway.wire import a"}
    found = cycles(parse_source(f"gateway/wire/{name}.py", text) for name, text in texts.items())
    assert found == ["gateway.wire.a -> gateway.wire.b -> gateway.wire.c -> gateway.wire.a"]


def test_the_architecture_page_names_every_room(root):
    page = (root / "docs" / "architecture.md").read_text()
    rooms = [line.split("|")[1] for line in page.splitlines() if line.startswith("| `")]
    named = [name for cell in rooms for name in re.findall(r"`(\w+)/?`", cell)]
    # `__main__` only starts the command line.
    assert sorted(set(FLOORS) - {"__main__"} - set(named)) == []
    assert sorted(name for name in set(named) if name not in FLOORS) == []
    assert len(named) == len(set(named))
