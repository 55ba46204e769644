"""What is imported later can be imported: every place that is named is there, and is what its types say."""

from __future__ import annotations

import ast
import importlib
from collections.abc import Iterator
from types import ModuleType

import pytest

from gateway.deferred import Later

CALLS = ("later", "Later", "LateModule")


def called(node: ast.AST) -> str:
    function = node.func if isinstance(node, ast.Call) else None
    return function.id if isinstance(function, ast.Name) else ""


def places(source) -> Iterator[tuple[int, str, str]]:
    """(line, place, the name that it is bound to) of every `later("...")`."""
    for node in source.nodes:
        if called(node) in CALLS and node.args and isinstance(node.args[0], ast.Constant):
            yield node.lineno, node.args[0].value, bound(source, node)


def bound(source, call: ast.AST) -> str:
    for node in source.nodes:
        if isinstance(node, ast.Assign) and node.value is call and isinstance(node.targets[0], ast.Name):
            return node.targets[0].id
    return ""


def typed(source) -> dict[str, str]:
    """What is imported under TYPE_CHECKING: name -> `module:name`."""
    found = {}
    for node in source.nodes:
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            for one in node.body:
                if isinstance(one, ast.ImportFrom):
                    names = {alias.asname or alias.name: f"{one.module}:{alias.name}" for alias in one.names}
                    found.update(names if one.level == 0 else dict.fromkeys(names, ""))
    return found


def late_faults(sources) -> list[str]:
    faults = []
    for source in sources:
        types = typed(source)
        for line, place, name in places(source):
            try:
                found = Later(place).load() if ":" in place else importlib.import_module(place)
            except (ImportError, AttributeError) as error:
                faults.append(f"{source.path}:{line}: {place}: {error}")
                continue
            if not (callable(found) or isinstance(found, ModuleType)):
                faults.append(f"{source.path}:{line}: {place} is not called")
            if types.get(name, "").replace(":", ".") not in ("", place.replace(":", ".")):
                faults.append(f"{source.path}:{line}: {name} is {types[name]} to type checkers and {place} at run time")
    return faults


def test_everything_that_comes_later_is_there(gateway_sources, plugin_sources):
    sources = [*gateway_sources, *(source for source in plugin_sources if "/tests/" not in source.path)]
    assert len([place for source in sources for place in places(source)]) > 25
    assert late_faults(sources) == []


@pytest.mark.parametrize(
    "text",
    [
        "x = later('gateway.no_such_module:name')",
        "x = later('gateway.deferred:no_such_name')",
        "x = later('gateway:__version__')",
        "x = LateModule('gateway.no_such_module')",
        "if TYPE_CHECKING:\n    from gateway import call\nelse:\n    call = LateModule('gateway.price')",
        "if TYPE_CHECKING:\n    from json import loads\nelse:\n    loads = later('json:dumps')",
    ],
)
def test_what_is_not_there_is_found(parse_source, text):
    assert len(late_faults([parse_source("gateway/a.py", text)])) == 1


def exported(source) -> dict[str, str]:
    """The table of a package's names: name -> `module:name`."""
    for node in source.nodes:
        if called(node) == "named_in":
            table = node.args[1]
            if isinstance(table, ast.Name):
                table = next(
                    one.value
                    for one in source.nodes
                    if isinstance(one, ast.Assign) and getattr(one.targets[0], "id", "") == table.id
                )
            places = ast.literal_eval(table)
            return {name: f"{module}:{name}" for module, names in places.items() for name in names.split()}
    return {}


def export_faults(source, package) -> list[str]:
    table, types = exported(source), typed(source)
    faults = [f"{source.path}: {name} is not there" for name in package.__all__ if not hasattr(package, name)]
    for name in table:
        place = table[name]
        whole = package.__name__ + place if place.startswith(".") else place
        if types.get(name, whole) not in ("", whole):
            faults.append(f"{source.path}: {name} is {types[name]} to type checkers and {place} at run time")
    return faults


def test_packages_give_the_names_that_they_show(gateway_sources, plugin_sources):
    found = [source for source in [*gateway_sources, *plugin_sources] if exported(source)]
    assert len(found) > 8
    for source in found:
        assert export_faults(source, importlib.import_module(source.module)) == []


def test_a_name_from_elsewhere_is_found(parse_source):
    text = "if TYPE_CHECKING:\n    from json import loads\n__getattr__ = named_in(__name__, {'pickle': 'loads'})\n"
    package = ModuleType("package")
    package.__all__ = ["loads"]
    assert len(export_faults(parse_source("gateway/a/__init__.py", text), package)) == 2
