"""No module-level mutable state: two gateways run in one process, and neither sees the other."""

from __future__ import annotations

import ast

import pytest

CONTAINERS = set("list dict set bytearray defaultdict deque Counter OrderedDict ChainMap WeakValueDictionary".split())
CONTAINERS |= set("WeakKeyDictionary WeakSet".split())
# These hold running state, or register themselves process-wide, whatever their name is.
LIVE = set("Lock Event Condition Semaphore BoundedSemaphore Queue LifoQueue PriorityQueue Gauge Histogram".split())
LIVE |= set("Summary Info CollectorRegistry ClientSession PluginManager count".split())
MUTATORS = set("append extend insert remove pop popitem clear update setdefault add discard appendleft".split())
MUTATORS |= set("extendleft popleft sort reverse __setitem__".split())

# "path:name" -> why it is not shared state.
ALLOWED: dict[str, str] = {}


def called_name(node: ast.expr) -> str:
    called = node.func if isinstance(node, ast.Call) else None
    while isinstance(called, ast.Subscript):
        called = called.value
    return called.attr if isinstance(called, ast.Attribute) else called.id if isinstance(called, ast.Name) else ""


def is_container(node: ast.expr | None) -> bool:
    literal = ast.List | ast.Dict | ast.Set | ast.ListComp | ast.DictComp | ast.SetComp
    return isinstance(node, literal) or (isinstance(node, ast.Call) and called_name(node) in CONTAINERS)


def module_names(tree: ast.Module) -> dict[str, ast.expr | None]:
    """Names assigned at module level, also inside `if` and `try`, with what they are bound to."""
    names: dict[str, ast.expr | None] = {}
    waiting: list[ast.stmt] = list(tree.body)
    while waiting:
        node = waiting.pop(0)
        if isinstance(node, ast.Assign):
            names.update({target.id: node.value for target in node.targets if isinstance(target, ast.Name)})
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            names[node.target.id] = node.value
        elif isinstance(node, ast.If | ast.Try | ast.With | ast.For):
            waiting.extend(child for child in ast.walk(node) if isinstance(child, ast.Assign | ast.AnnAssign))
    return names


def mutated_names(tree: ast.Module) -> dict[str, int]:
    """Names whose contents are changed inside a function, with the line. Locals of the same name are left out."""
    found = {}
    for function in ast.walk(tree):
        if not isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        arguments = function.args
        local = {a.arg for a in [*arguments.args, *arguments.posonlyargs, *arguments.kwonlyargs]}
        local |= {n.id for n in ast.walk(function) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}
        for node in ast.walk(function):
            changed: ast.expr | None = None
            if isinstance(node, ast.Subscript) and isinstance(node.ctx, ast.Store | ast.Del):
                changed = node.value
            elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in MUTATORS:
                changed = node.func.value
            if isinstance(changed, ast.Name) and changed.id not in local:
                found[changed.id] = node.lineno
    return found


def state_faults(sources) -> list[str]:
    faults = []
    for source in sources:
        mutated = mutated_names(source.tree)
        for node in source.nodes:
            if isinstance(node, ast.Global):
                faults.append(f"{source.path}:{node.lineno}: `global {', '.join(node.names)}`: give it an owner")
        for name, value in module_names(source.tree).items():
            if f"{source.path}:{name}" in ALLOWED or name == "__all__" or value is None:
                continue
            where = f"{source.path}:{value.lineno}: `{name}`"
            if called_name(value) in LIVE:
                faults.append(f"{where} lives in the module; make one per gateway")
            elif is_container(value) and name != name.upper():
                faults.append(f"{where} is a mutable container; write it in capitals if it is a constant table")
            elif is_container(value) and name in mutated:
                faults.append(f"{where} is changed in line {mutated[name]}; constants stay as they are")
    return faults


def test_modules_hold_no_state(gateway_sources, plugin_sources):
    assert not state_faults([*gateway_sources, *(s for s in plugin_sources if "/tests/" not in s.path)])


@pytest.mark.parametrize(
    "text",
    [
        "cache = {}",
        "_seen: set[str] = set()",
        "if True:\n    table = [1]",
        "TABLE = {}\ndef f():\n    TABLE['a'] = 1",
        "TABLE = []\ndef f():\n    TABLE.append(1)",
        "lock = asyncio.Lock()",
        "REQUESTS = Histogram('a', 'b')",
        "x = 1\ndef f():\n    global x\n    x = 2",
    ],
)
def test_state_is_found(parse_source, text):
    assert len(state_faults([parse_source("gateway/a.py", text)])) == 1


def test_constants_are_accepted(parse_source):
    text = "TABLE = {1: 2}\n__all__ = ['a']\ndef f():\n    table = {}\n    table[1] = TABLE[1]\n    return table"
    assert not state_faults([parse_source("gateway/a.py", text)])
