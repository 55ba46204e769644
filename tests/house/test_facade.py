"""Plugins reach nothing but the facade: neither by import (`test_layers.py`) nor by attribute. What `gateway.api` hands
them is typed, and behind its types they see nothing."""

from __future__ import annotations

import ast
import inspect

import pytest

from gateway import hookspecs
from gateway.http.server.request_context import RequestContext

HANDED = {"context": "RequestContext", "app": "App", "router": "Router"}
"""What a hook or handler is given by these names, and the type it has to be declared with: mypy then sees what the
plugin does with it."""

SEALED = {*HANDED, "call"}
"""What no private member is read of. (`call` may be declared as something else: tools are called, too.)"""

INTERNAL = {"runtime", "gateway", "pipeline", "runner", "_gateway"}
"""Attributes that lead behind the facade from whatever they are read."""


def faults(sources) -> list[str]:
    found = []
    for source in sources:
        for node in source.nodes:
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                for argument in [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]:
                    wanted = HANDED.get(argument.arg)
                    given = "" if argument.annotation is None else ast.unparse(argument.annotation)
                    if wanted and given in ("", "Any", "object"):
                        found.append(f"{source.path}:{node.lineno}: declare `{argument.arg}: {wanted}`")
            elif isinstance(node, ast.Attribute):
                owner = ast.unparse(node.value)
                if node.attr in INTERNAL and owner.split(".")[0] not in ("self", "cls"):
                    found.append(f"{source.path}:{node.lineno}: `{owner}.{node.attr}` leads behind the facade")
                private = node.attr.startswith("_") and not node.attr.startswith("__")
                if private and owner.split(".")[0].split("(")[0] in SEALED:
                    found.append(f"{source.path}:{node.lineno}: `{owner}.{node.attr}` is private")
            elif isinstance(node, ast.Call) and ast.unparse(node.func) in ("getattr", "setattr", "vars", "cast"):
                shown = [ast.unparse(argument) for argument in node.args]
                handed = next((one for one in shown if one in SEALED), None)
                if handed and not (len(shown) > 1 and ast.unparse(node.func) == "cast" and shown[0] != "Any"):
                    found.append(f"{source.path}:{node.lineno}: `{ast.unparse(node)}` hides what it does with {handed}")
    return found


def members(cls: type) -> dict[str, object]:
    return {name: value for name, value in vars(cls).items() if not name.startswith("_")}


def test_plugins_stay_before_the_facade(plugin_sources):
    assert not faults([source for source in plugin_sources if "/tests/" not in source.path])


def test_what_handlers_are_given_keeps_the_promise():
    """Every member that is published is there, with the same arguments, and says the same about itself."""
    for name, promised in members(hookspecs.RequestContext).items():
        kept = inspect.getattr_static(RequestContext, name)
        if inspect.isfunction(promised):
            given, wanted = inspect.signature(kept), inspect.signature(promised)
            assert list(given.parameters) == list(wanted.parameters), name
            assert inspect.iscoroutinefunction(kept) == inspect.iscoroutinefunction(promised), name
    assert set(hookspecs.RequestContext.__annotations__) <= set(RequestContext.__annotations__)


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("def handler(context): ...", 1),
        ("async def handler(context: Any): ...", 1),
        ("async def handler(context: RequestContext):\n    context.runtime.catalog", 1),
        ("def start(app: App):\n    app._gateway.stores", 2),
        ("def f(call: Call):\n    call._frozen = False", 1),
        ("def f(call: Call):\n    getattr(call, 'x')", 1),
        ("def f(context: RequestContext):\n    cast(Any, context).whatever", 1),
        ("class A:\n    def f(self, call: Call):\n        self.runner = call.body\n        self._x = self.runner", 0),
        ("async def handler(context: RequestContext):\n    return context.json({})", 0),
    ],
)
def test_ways_around_it_are_found(parse_source, text, count):
    assert len(faults([parse_source("plugins/a/b.py", text)])) == count
