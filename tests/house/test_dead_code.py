"""Code that nobody uses: functions, classes, methods, constants and fields without a reader in the project.

Tests are no users, except of what is published for tests (`gateway.testing`). A name counts as used wherever it is
read, whatever object it is read from; so the check misses some dead code, and finds no living one by mistake. What is
used only by dead code is dead, too.
"""

from __future__ import annotations

import ast
import keyword
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

import pytest

import gateway.api
import gateway.hookspecs
import gateway.testing
from gateway import pluginload

from .conftest import NOT_OURS, ROOT, Source

# "path:name" or "path:Class.name" -> who uses it, since no name in the project does. This list only shrinks.
ALLOWED = {
    "gateway/transcripts.py:Transcript.license": "who publishes transcripts",
    "gateway/console/charts.py:bar_chart": "the pages of an account's usage",
    "gateway/console/page.py:Visit.redirect": "pages with forms",
    "gateway/http/server/router.py:RouteTable.undocumented": "the test that every route is documented",
    "gateway/call.py:Caller.key_name": "for policies of plugins",
    "gateway/config/types.py:FrozenDict.popitem": "forbids it",
    "gateway/http/server/connection.py:Connection.eof_received": "asyncio",
    "gateway/config/tool_sections.py:SearchSettings.backends": "read from the document, an entry by an entry",
    "gateway/config/tool_sections.py:SearchSettings.page_price": "read by its name, like the other prices of tools",
    "gateway/fetch/download.py:Download.on_body": "httptools",
    "gateway/fetch/pages.py:PageDownload.on_body": "httptools",
    "gateway/fetch/post.py:_StatusReader.on_headers_complete": "httptools",
    "gateway/fetch/download.py:Download.on_header": "httptools",
    "gateway/fetch/download.py:Download.on_headers_complete": "httptools",
    "gateway/fetch/download.py:Download.on_message_complete": "httptools",
    "gateway/http/server/connection.py:Connection.handle_error": "aiohttp",
    "gateway/stores/keys.py:Key.last_used_at": "written whole into JSON by the commands for keys",
    "gateway/stores/usage.py:UsageLog.recent": "the list of an account's calls, for plugins that show it",
    "gateway/sqlite/usage/usage_log.py:SqliteUsage.recent": "the list of an account's calls, for plugins that show it",
    "gateway/upstream/pool.py:_Connection.eof_received": "asyncio",
    "gateway/upstream/pool.py:_Connection.on_body": "httptools",
    "gateway/upstream/pool.py:_Connection.on_header": "httptools",
    "gateway/upstream/pool.py:_Connection.on_headers_complete": "httptools",
    "gateway/upstream/pool.py:_Connection.on_message_begin": "httptools",
    "gateway/upstream/pool.py:_Connection.on_message_complete": "httptools",
    "gateway/wire/bridge/stream.py:BridgeStream.next_round": "tools that the gateway runs itself",
    "gateway/wire/bridge/stream.py:BridgeStream.server_event": "tools that the gateway runs itself",
    "gateway/wire/bridge/stream.py:BridgeStream.server_item": "tools that the gateway runs itself",
    "gateway/wire/bridge/stream.py:BridgeStream.server_item_done": "tools that the gateway runs itself",
    "gateway/wire/bridge/tools.py:ChatTools.hosted_choice": "tools that the gateway runs itself",
    "gateway/wire/chat/fold.py:ChatFold.finished": "published to plugins",
    "gateway/wire/tokens.py:Weights.file_least": "weighed by the name of its unit",
    "gateway/wire/tokens.py:Weights.file_reference": "weighed by the name of its unit",
    "gateway/wire/tokens.py:Weights.image_low": "weighed by the name of its unit",
    "gateway/wire/tokens.py:Weights.tools_base": "weighed by the name of its unit",
}
# What pydantic, pluggy and others call by themselves is marked by a decorator.
CALLED_BY_OTHERS = {"hookspec", "hookimpl", "field_validator", "model_validator", "field_serializer", "fixture"}
# Calls that read an attribute by its name.
BY_NAME = {"later", "Later", "getattr", "hasattr", "attrgetter", "methodcaller"}


@dataclass(frozen=True)
class Definition:
    """Where a name is defined. owner: the class it stands in, "" outside of one."""

    path: str
    owner: str
    name: str
    node: ast.stmt

    @property
    def key(self) -> str:
        return f"{self.path}:{self.owner}.{self.name}" if self.owner else f"{self.path}:{self.name}"


def reads(nodes: Iterable[ast.AST]) -> Counter[str]:
    """How often each name is read. A class's own name and a write do not count; an import alone does not either."""
    found: Counter[str] = Counter()
    for node in nodes:
        if isinstance(node, ast.Name | ast.Attribute) and isinstance(node.ctx, ast.Load):
            found[node.id if isinstance(node, ast.Name) else node.attr] += 1
        elif isinstance(node, ast.AugAssign) and isinstance(node.target, ast.Name):
            found[node.target.id] += 1
        elif isinstance(node, ast.MatchClass):
            found.update(node.kwd_attrs)
        elif isinstance(node, ast.Call) and _last_name(node.func) in BY_NAME:
            texts = [arg.value for arg in node.args if isinstance(arg, ast.Constant) and isinstance(arg.value, str)]
            found.update(word for text in texts for word in re.split("[.:]", text))
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and " " not in node.value[:60]:
            # Annotations in quotes: `cast("Awaitable[object]", ...)`.
            found.update(part for part in _words(node.value) if part[:1].isupper())
    return found


def _last_name(node: ast.expr) -> str:
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""


def _words(text: str) -> list[str]:
    return [word for word in "".join(ch if ch.isidentifier() else " " for ch in text[:200]).split() if word]


def _decorators(node: ast.stmt) -> set[str]:
    listed = getattr(node, "decorator_list", [])
    return {ast.unparse(mark.func if isinstance(mark, ast.Call) else mark).split(".")[-1] for mark in listed}


def definitions(source: Source) -> list[Definition]:
    found: list[Definition] = []

    def look(body: list[ast.stmt], owner: str) -> None:
        for node in body:
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                if not _decorators(node) & CALLED_BY_OTHERS:
                    found.append(Definition(source.path, owner, node.name, node))
                if isinstance(node, ast.ClassDef):
                    look(node.body, node.name)
            elif isinstance(node, ast.Assign | ast.AnnAssign):
                targets = node.targets if isinstance(node, ast.Assign) else [node.target]
                names = [name.id for target in targets for name in ast.walk(target) if isinstance(name, ast.Name)]
                found.extend(Definition(source.path, owner, name, node) for name in names)
            elif isinstance(node, ast.If | ast.Try):
                look(node.body, owner)

    look(source.tree.body, "")
    return [one for one in found if not one.name.startswith("__")]


def _own_reads(one: Definition) -> int:
    """How often a definition reads itself: recursion is no use, `super().name` is."""
    found = 0
    for node in ast.walk(one.node):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
            found += node.id == one.name and not one.owner
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "self":
            found += node.attr == one.name and bool(one.owner)
    return found if isinstance(one.node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) else 0


def unused(sources, users, published, allowed=()) -> list[str]:
    """Keys of the definitions in `sources` that nobody in `users` reads (which contain `sources`), except the
    `published` names. What only the dead read is dead, too; but not what the `allowed` keys read."""
    total: Counter[str] = Counter()
    for source in users:
        total.update(reads(source.nodes))
    waiting = [one for source in sources for one in definitions(source) if one.name not in published]
    own = {id(one): reads(ast.walk(one.node)) for one in waiting}
    dead: list[Definition] = []
    dead_nodes: set[int] = set()
    found = True
    while found:
        found = False
        for one in waiting:
            if id(one.node) in dead_nodes:
                continue
            if total[one.name] > _own_reads(one):
                continue
            dead.append(one)
            if one.key in allowed:
                dead_nodes.add(id(one.node))
                continue
            found = True
            # What stands inside goes with it, and so does what it reads.
            dead_nodes.update(id(node) for node in ast.walk(one.node))
            total.subtract(own[id(one)])
    return [one.key for one in dead]


@pytest.fixture(scope="module")
def scripts() -> list[Source]:
    """The programs of scripts/, with and without an ending: they use the gateway like any operator."""
    found = []
    for path in sorted((ROOT / "scripts").rglob("*")):
        if path.is_dir() or NOT_OURS.intersection(path.parts):
            continue
        if path.suffix == ".py" or b"python" in path.read_bytes().split(b"\n", 1)[0]:
            found.append(Source.parse(f"scripts/{path.name}.py", path.read_text("utf-8")))
    return found


@pytest.fixture(scope="module")
def templates() -> list[Source]:
    """The console's templates, as programs that read every name in them."""
    found = []
    for path in sorted((ROOT / "gateway/console/templates").rglob("*.html")):
        parts = re.findall(r"\{[{%](.*?)[%}]\}", path.read_text("utf-8"), re.DOTALL)
        names = {name for part in parts for name in re.findall(r"[A-Za-z_]\w*", part) if not keyword.iskeyword(name)}
        found.append(Source.parse(f"templates/{path.name}.py", "\n".join(f"read.{name}" for name in sorted(names))))
    return found


def test_nothing_is_dead(gateway_sources, plugin_sources, scripts, templates):
    code = [*gateway_sources, *(s for s in plugin_sources if "/tests/" not in s.path and "conftest" not in s.path)]
    # The kit is there for tests: what only they use of it is used.
    kit = [source for source in code if source.path.startswith("gateway/testing/")]
    hooks = {name for name, value in vars(pluginload.hookspecs).items() if hasattr(value, "gateway_spec")}
    published = {*gateway.api.__all__, *gateway.testing.__all__, *hooks, "Plugin", "request_id_header"}
    found = unused([source for source in code if source not in kit], [*code, *scripts, *templates], published, ALLOWED)
    left = sorted(set(found) - set(ALLOWED))
    assert not left, f"delete it, or say in ALLOWED who uses it: {left}"
    there = {one.key for source in code for one in definitions(source)}
    assert not sorted(set(ALLOWED) - there), f"no longer needed: {sorted(set(ALLOWED) - there)}"


BAD = """
USED = 1
UNUSED = 2
def helper(): return only_helped()
def only_helped(): return USED
def recursive(): return recursive()
class Dead:
    def method(self): return 1
class Alive:
    field: int = 0
    read: int = 0
    def method(self): return self.read
    @field_validator('x')
    def check(self): ...
Alive().method()
"""


def test_dead_code_is_found(parse_source):
    source = parse_source("gateway/a.py", BAD)
    dead = {key.split(":")[1] for key in unused([source], [source], set())}
    assert dead == {"UNUSED", "helper", "only_helped", "USED", "recursive", "Dead", "Alive.field"}
    assert "USED" not in " ".join(unused([source], [source], {"helper", "UNUSED"}))
