"""No setting that nothing reads: it would promise an operator what does not happen.

A read counts wherever an attribute of that name is read in the code, except where settings are declared, checked and
explained: a warning about a setting is no use of it.
"""

from __future__ import annotations

import ast

import pytest

DECLARING = tuple(
    f"gateway/config/{name}.py" for name in ("sections", "sign_in_sections", "state_sections", "tool_sections", "types")
)
TALKING = ("gateway/config/checks.py", "gateway/config/explain.py", "gateway/config/hosts.py")
BASES = {"Section", "BaseModel"}

# "Class.field" -> who reads it, since no attribute of that name is read.
ALLOWED: dict[str, str] = {
    "SearchSettings.backends": "from the document, an entry by an entry",
    "SearchSettings.mode": "by its own method `mode_of`",
    "SearchSettings.page_price": "by its name, like the other prices of tools",
}


def models(source) -> dict[str, ast.ClassDef]:
    """The settings that a module declares: subclasses of pydantic's models, and of one another."""
    found: dict[str, ast.ClassDef] = {}
    for node in source.tree.body:
        if isinstance(node, ast.ClassDef):
            bases = {ast.unparse(base).split(".")[-1] for base in node.bases}
            if bases & (BASES | set(found)) and node.name not in BASES:
                found[node.name] = node
    return found


def fields(node: ast.ClassDef) -> list[str]:
    names = [one.target.id for one in node.body if isinstance(one, ast.AnnAssign) and isinstance(one.target, ast.Name)]
    return [name for name in names if name != "model_config" and not name.startswith("_")]


def _is_validator(node: ast.stmt) -> bool:
    return any("validator" in ast.unparse(mark) for mark in getattr(node, "decorator_list", ()))


def reads(sources) -> set[str]:
    """Attributes that are read, a model's own methods included, but not what checks its values."""
    found: set[str] = set()
    for source in sources:
        if source.path in (*DECLARING, *TALKING):
            continue
        checks = [one for node in models(source).values() for one in node.body if _is_validator(one)]
        declared = {id(inner) for one in checks for inner in ast.walk(one)}
        for node in source.nodes:
            if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Load) and id(node) not in declared:
                found.add(node.attr)
            elif isinstance(node, ast.Call) and ast.unparse(node.func) in ("getattr", "attrgetter"):
                found.update(one.value for one in node.args if isinstance(one, ast.Constant) and type(one.value) is str)
    return found


def unread(sources) -> list[str]:
    read = reads(sources)
    return [
        f"{name}.{field}"
        for source in sources
        for name, node in models(source).items()
        for field in fields(node)
        if field not in read
    ]


def test_every_setting_of_the_core_is_read(gateway_sources):
    code = [source for source in gateway_sources if not source.path.startswith("gateway/testing/")]
    found = set(unread(code))
    assert not sorted(found - set(ALLOWED)), "make it real, or delete it"


def test_every_setting_of_a_plugin_is_read_in_it(plugin_sources):
    plugins: dict[str, list] = {}
    for source in plugin_sources:
        if "/tests/" not in source.path and "conftest" not in source.path:
            plugins.setdefault(source.path.split("/")[1], []).append(source)
    found = [f"{plugin}: {name}" for plugin, sources in plugins.items() for name in unread(sources)]
    assert not sorted(one for one in found if one.split(": ")[1] not in ALLOWED), "make it real, or delete it"


SECTION = "class Log(Section):\n    level: str = ''\n    bodies: bool = False\n"


@pytest.mark.parametrize(
    ("path", "text", "left"),
    [
        ("gateway/config/checks.py", "def f(log): return log.bodies, log.level", ["Log.level", "Log.bodies"]),
        ("gateway/logs.py", "def f(log): return log.level", ["Log.bodies"]),
        ("gateway/logs.py", "def f(log):\n    log.bodies = log.level", ["Log.bodies"]),
        ("gateway/logs.py", "def f(log): return log.level, getattr(log, 'bodies')", []),
    ],
)
def test_a_setting_that_nothing_reads_is_found(parse_source, path, text, left):
    assert unread([parse_source("gateway/config/sections.py", SECTION), parse_source(path, text)]) == left


def test_a_check_of_a_setting_is_no_use_of_it(parse_source):
    method = "    def far(self): return self.level\n"
    check = "    @field_validator('bodies')\n    def check(self): return self.bodies\n"
    assert unread([parse_source("plugins/a/b.py", SECTION + method + check)]) == ["Log.bodies"]
