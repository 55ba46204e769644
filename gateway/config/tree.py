"""YAML text to a tree of nodes that know their lines.

The tree is built from parser events with an explicit stack, never by recursion, and never makes a Python object
from a YAML tag: so no text, however deep or hostile, can do more than be refused.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import yaml

MAX_DEPTH = 64
"""How deep sections and lists may be nested; PyYAML's own loaders fail with a RecursionError or worse far below
what a file of one megabyte can hold."""

_LOADER: Any = getattr(yaml, "CLoader", yaml.Loader)
# What YAML 1.1 (section 5.1) does not count as printable: refused before parsing, because the two parsers of PyYAML
# report such characters differently and without a line.
_FORBIDDEN = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")

Report = Callable[[int, str], None]
"""Takes a line (from 1) and a sentence."""


@dataclass(slots=True, eq=False)
class Scalar:
    """A single value as text. plain: written without quotes, so its type follows from how it looks.
    broken: a problem was reported for it already, its text means nothing."""

    line: int
    text: str = ""
    plain: bool = False
    broken: bool = False


@dataclass(slots=True, eq=False)
class Sequence:
    line: int
    items: list[Node] = field(default_factory=list)


@dataclass(slots=True, eq=False)
class Mapping:
    """entries: keys and values in the order of the file, duplicates included. key: one that awaits its value."""

    line: int
    entries: list[tuple[Node, Node]] = field(default_factory=list)
    key: Node | None = None


Node = Scalar | Sequence | Mapping


class Unreadable(Exception):
    """The text is not YAML, or not of a kind that is accepted at all."""

    def __init__(self, line: int, message: str) -> None:
        super().__init__(message)
        self.line = line
        self.message = message


def compose(text: str, report: Report) -> Node | None:
    """The root node of the only document in `text`, None when there is none.

    Tags and unknown or circular aliases are reported and leave a broken scalar behind.
    Raises Unreadable when nothing further can be said about the text.
    """
    found = _FORBIDDEN.search(text)
    if found:
        line = text.count("\n", 0, found.start()) + 1
        raise Unreadable(line, f"the character U+{ord(found.group()):04X} is not allowed in YAML")
    composer = _Composer(report)
    try:
        for event in _events(text):
            composer.take(event)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark else 1
        raise Unreadable(line, f"not valid YAML: {error.problem or error.context}{_hint(text, line)}") from None
    except yaml.YAMLError as error:
        raise Unreadable(1, f"not valid YAML: {type(error).__name__}") from None
    return composer.root


def _events(text: str) -> Iterator[Any]:
    events: Iterator[Any] = yaml.parse(text, Loader=_LOADER)
    return events


def _hint(text: str, line: int) -> str:
    """What most often causes a syntax error that the parser words in its own terms."""
    lines = text.splitlines()
    here = lines[line - 1] if line <= len(lines) else ""
    if here[: len(here) - len(here.lstrip())].count("\t"):
        return " (YAML does not take tabs as indentation: use spaces)"
    if "${" in here:
        return ' (inside { } and [ ] a value with ${...} must stand in quotes: "${NAME}")'
    return ""


class _Composer:
    def __init__(self, report: Report) -> None:
        self.root: Node | None = None
        self.report = report
        self.documents = 0
        self.open: list[Sequence | Mapping] = []
        self.anchors: dict[str, Node] = {}

    def take(self, event: Any) -> None:
        line = event.start_mark.line + 1
        if isinstance(event, yaml.ScalarEvent):
            node: Node = Scalar(line, event.value, plain=bool(event.implicit[0]))
            self.add(event, self.checked(event, node))
        elif isinstance(event, yaml.AliasEvent):
            self.place(self.aliased(str(event.anchor), line))
        elif isinstance(event, yaml.MappingStartEvent | yaml.SequenceStartEvent):
            node = Mapping(line) if isinstance(event, yaml.MappingStartEvent) else Sequence(line)
            self.checked(event, node)
            self.add(event, node)
            if len(self.open) >= MAX_DEPTH:
                raise Unreadable(line, f"nested more than {MAX_DEPTH} levels deep")
            self.open.append(node)
        elif isinstance(event, yaml.MappingEndEvent | yaml.SequenceEndEvent):
            self.open.pop()
        elif isinstance(event, yaml.DocumentStartEvent):
            self.documents += 1
            if self.documents > 1:
                raise Unreadable(line, "a second YAML document begins here: keep everything in one")

    def checked(self, event: Any, node: Node) -> Node:
        if event.tag is None:
            return node
        self.report(node.line, "YAML tags (!...) are not accepted: write the plain value")
        return Scalar(node.line, broken=True)

    def aliased(self, anchor: str, line: int) -> Node:
        node = self.anchors.get(anchor)
        if node is None:
            self.report(line, f"there is no anchor &{anchor} above this alias")
        elif any(node is parent for parent in self.open):
            self.report(line, f"the alias *{anchor} stands inside its own anchor")
        else:
            return node
        return Scalar(line, broken=True)

    def add(self, event: Any, node: Node) -> None:
        if event.anchor is not None:
            self.anchors[event.anchor] = node
        self.place(node)

    def place(self, node: Node) -> None:
        if not self.open:
            self.root = node
            return
        parent = self.open[-1]
        if isinstance(parent, Sequence):
            parent.items.append(node)
        elif parent.key is None:
            parent.key = node
        else:
            parent.entries.append((parent.key, node))
            parent.key = None
