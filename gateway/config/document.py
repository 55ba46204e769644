"""The configuration file as plain values that remember where they came from.

`read` never judges meaning: it gives values, their lines, and the problems of the text itself. The sections are
validated by `gateway.config.build`, which reports those problems together with its own.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from math import isfinite
from pathlib import Path
from typing import Any

from gateway.config import tree
from gateway.config.dotenv import with_dotenv
from gateway.config.environment import expand, is_file, looks_secret
from gateway.errors import ConfigFault

Where = tuple[str | int, ...]
"""The way to a value from the root: keys and list positions."""

MAX_BYTES = 1 << 20
MAX_VALUES = 100_000
"""Upper bounds of the file's size, and of its values after aliases are followed (a few lines of aliases to aliases
could otherwise stand for billions)."""

_SHORTEST_SECRET = 4
_NULL = frozenset({"", "~", "null", "Null", "NULL"})
_BOOL = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
# A number with a leading zero stays text: YAML 1.1 reads 010 as 8 and YAML 1.2 as 10.
_INT = re.compile(r"[-+]?(?:0|[1-9][0-9]*(?:_[0-9]+)*)")
_FLOAT = re.compile(r"[-+]?(?:(?:0|[1-9][0-9]*(?:_[0-9]+)*)(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][-+]?[0-9]+)?")
_LONGEST_NUMBER = 100


@dataclass(slots=True, frozen=True, order=True)
class Problem:
    """One thing that is wrong. line: from 1. where: the key as it is shown, "" for the file as a whole."""

    line: int
    where: str
    message: str

    def render(self, file: str) -> str:
        where = f"{self.where}: " if self.where else ""
        # A message of a plugin may repeat anything, and a problem is one line on a terminal.
        text = "".join(part if part.isprintable() else ascii(part)[1:-1] for part in self.message)
        return f"{file}:{self.line}: {where}{text}"


@dataclass(slots=True, repr=False)
class Document:
    """name: the file as its reader called it. folder: where it lies; relative paths to plugins begin there.
    data: the data folder (GATEWAY_DATA, or `data` beside the file), absolute.
    modified: when the file last changed, unix seconds.
    values: the root section: str, int, float, bool, None, lists and dicts.
    texts: floating point numbers as they are written, so that money need not pass through binary floats.
    origins: what stands in a value from the environment: variables' names and values (or their defaults).
    broken: values for which a problem was reported already; what follows from them is not reported again.
    secrets: values to redact wherever text leaves the process: those of keys or variables whose name ends in key,
        secret, token, password or the like; shorter ones than four characters are left out, for they would
        blacken half of every log.
    """

    name: str
    folder: Path
    data: Path
    modified: int
    values: dict[str, Any] = field(default_factory=dict)
    lines: dict[Where, int] = field(default_factory=dict)
    key_lines: dict[Where, int] = field(default_factory=dict)
    texts: dict[Where, str] = field(default_factory=dict)
    origins: dict[Where, dict[str, str]] = field(default_factory=dict)
    broken: set[Where] = field(default_factory=set)
    secrets: set[str] = field(default_factory=set)
    problems: list[Problem] = field(default_factory=list)

    def line(self, where: Where) -> int:
        """The line of a value (of a section's or list's key), or of the nearest section around a missing one."""
        while where:
            found = self.lines.get(where)
            if found is not None:
                return found
            where = where[:-1]
        return 1

    def report(self, where: Where, message: str, *, key: bool = False) -> None:
        """Note a problem with the value at `where`, or with the key itself; not if it was broken before."""
        if any(where[:length] in self.broken for length in range(1, len(where) + 1)):
            return
        line = self.key_lines.get(where) if key else None
        self.problems.append(Problem(line or self.line(where), show_path(where), message))

    def fault(self) -> ConfigFault:
        """All problems so far, sorted by line, each once."""
        return ConfigFault([problem.render(self.name) for problem in sorted(set(self.problems))])

    def render(self, where: Where, message: str) -> str:
        """A remark in the form of a problem, for warnings."""
        return Problem(self.line(where), show_path(where), message).render(self.name)

    def unset(self, where: Where) -> tuple[str, ...]:
        """The environment variables that the section at `where` names and that are not set, without a default."""
        inside = (values for path, values in self.origins.items() if path[: len(where)] == where)
        return tuple(dict.fromkeys(name for values in inside for name, value in values.items() if not value))

    def is_secret(self, where: Where) -> bool:
        """Whether the value at `where` must not be shown because of its key's name."""
        names = [part for part in where if isinstance(part, str)]
        if not names:
            return False
        # Those in a provider's list `keys`; there are other lists and sections of that name.
        listed = names[0] == "providers" and names[-1] == "keys" and isinstance(where[-1], int)
        return listed or looks_secret(names[-1])


def read(path: Path, env: Mapping[str, str]) -> Document:
    """Read a configuration file, with the variables of `.env` beside it. Raises ConfigFault when it cannot be read or
    is no YAML mapping; lesser problems (duplicate keys, missing variables) stay in `document.problems` for `build` to
    report with the others."""
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_BYTES + 1)
        modified = int(path.stat().st_mtime)
        folder = path.resolve().parent
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise ConfigFault([f"{path}: cannot be read: {reason or type(error).__name__}"]) from None
    return parse(raw, with_dotenv(folder, env), name=str(path), folder=folder, modified=modified)


def parse(
    raw: bytes, env: Mapping[str, str], *, name: str = "config.yaml", folder: Path | None = None, modified: int = 0
) -> Document:
    """`read` for bytes already in memory."""
    folder = folder or Path.cwd()
    given = env.get("GATEWAY_DATA")
    data = Path(given).absolute() if given else folder / "data"
    document = Document(name=name, folder=folder, data=data, modified=modified)
    try:
        root = tree.compose(_decode(raw), lambda line, message: document.problems.append(Problem(line, "", message)))
        _Reader(document, env).root(root)
    except tree.Unreadable as unreadable:
        document.problems.append(Problem(unreadable.line, "", unreadable.message))
        raise document.fault() from None
    return document


def _decode(raw: bytes) -> str:
    if len(raw) > MAX_BYTES:
        raise tree.Unreadable(1, f"the file is larger than {MAX_BYTES} bytes")
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise tree.Unreadable(raw.count(b"\n", 0, error.start) + 1, "the file is not UTF-8 text") from None


class _Reader:
    """Turns nodes into values; depth and number are bounded here again, because aliases multiply both."""

    def __init__(self, document: Document, env: Mapping[str, str]) -> None:
        self.document = document
        self.env = env
        self.count = 0

    def root(self, node: tree.Node | None) -> None:
        if node is None or (isinstance(node, tree.Scalar) and node.plain and node.text in _NULL):
            return
        if not isinstance(node, tree.Mapping):
            raise tree.Unreadable(node.line, "the file must consist of `section:` lines, as in `server:`")
        self.document.values = self.mapping(node, ())

    def value(self, node: tree.Node, where: Where) -> Any:
        self.charge(1, node.line)
        if len(where) > tree.MAX_DEPTH:
            raise tree.Unreadable(node.line, f"nested more than {tree.MAX_DEPTH} levels deep")
        if isinstance(node, tree.Scalar):
            self.document.lines[where] = node.line
            return self.scalar(node, where)
        self.document.lines[where] = self.document.key_lines.get(where, node.line)
        if isinstance(node, tree.Mapping):
            return self.mapping(node, where)
        return [self.value(item, (*where, index)) for index, item in enumerate(node.items)]

    def mapping(self, node: tree.Mapping, where: Where) -> dict[str, Any]:
        values: dict[str, Any] = {}
        merged: list[tree.Node] = []
        for key, child in node.entries:
            if not isinstance(key, tree.Scalar):
                self.document.problems.append(Problem(key.line, show_path(where), "a key must be a single word"))
            elif key.broken:
                continue
            elif key.plain and key.text == "<<":
                self.document.lines[(*where, "<<")] = key.line
                merged.extend(child.items if isinstance(child, tree.Sequence) else [child])
            else:
                self.entry(key, child, where, values)
        for child in merged:
            self.merge(child, where, values)
        return values

    def entry(self, key: tree.Scalar, child: tree.Node, where: Where, values: dict[str, Any]) -> None:
        here = (*where, key.text)
        if key.text in values:
            first = self.document.key_lines[here]
            self.document.problems.append(
                Problem(key.line, show_path(here), f"the key is given twice, first on line {first}")
            )
            return
        self.document.key_lines[here] = key.line
        values[key.text] = self.value(child, here)

    def merge(self, child: tree.Node, where: Where, values: dict[str, Any]) -> None:
        """`<<: *base`: the keys of `base` that are not given here."""
        if not isinstance(child, tree.Mapping):
            self.document.report((*where, "<<"), "only a section, or a list of sections, can be merged")
            return
        self.charge(len(child.entries), child.line)
        for key, value in child.entries:
            if not isinstance(key, tree.Scalar) or key.broken or key.text in values:
                continue
            if key.plain and key.text == "<<":
                self.document.report((*where, "<<"), "a section that merges another cannot be merged itself")
            else:
                self.entry(key, value, where, values)

    def charge(self, values: int, line: int) -> None:
        self.count += values
        if self.count > MAX_VALUES:
            raise tree.Unreadable(line, f"more than {MAX_VALUES} values, those behind aliases counted each time")

    def scalar(self, node: tree.Scalar, where: Where) -> Any:
        document = self.document
        if node.broken:
            document.broken.add(where)
            return None
        if "${" not in node.text:
            value = self.resolve(node.text, where) if node.plain else node.text
            if isinstance(value, str) and document.is_secret(where):
                self.keep_secret(value)
            return value
        expanded = expand(node.text, self.env, document.folder)
        for problem in expanded.problems:
            document.report(where, problem)
        if expanded.problems:
            document.broken.add(where)
            return None
        if expanded.values:
            document.origins[where] = expanded.values
        if document.is_secret(where):
            self.keep_secret(expanded.text)
        for name, value in expanded.values.items():
            if is_file(name) or looks_secret(name) or document.is_secret(where):
                self.keep_secret(value)
        # An empty variable is empty text, not null: `api_key: ${KEY:-}` means "no key", with quotes or without.
        return self.resolve(expanded.text, where) if node.plain and expanded.text else expanded.text

    def keep_secret(self, value: str) -> None:
        if len(value) >= _SHORTEST_SECRET:
            self.document.secrets.add(value)

    def resolve(self, text: str, where: Where) -> Any:
        """The value of a plain scalar in YAML 1.2's core schema, where `no`, `on` and `1:30` are text."""
        if text in _NULL:
            return None
        if text in _BOOL:
            return _BOOL[text]
        is_int = _INT.fullmatch(text)
        if not is_int and not _FLOAT.fullmatch(text):
            return text
        if len(text) > _LONGEST_NUMBER:
            self.document.report(where, f"the number has more than {_LONGEST_NUMBER} characters")
            self.document.broken.add(where)
            return None
        if is_int:
            return int(text)
        number = float(text)
        if not isfinite(number):
            self.document.report(where, "the number is out of range")
            self.document.broken.add(where)
            return None
        self.document.texts[where] = text.replace("_", "")
        return number


def show_path(where: Where) -> str:
    """A way to a value as people write it: `aliases."gpt-4.1"[1].weight`."""
    shown = ""
    for part in where:
        if isinstance(part, int):
            shown += f"[{part}]"
        else:
            plain = part and not re.search(r'[.\[\]"\s:]', part) and part.isprintable()
            text = part if plain and len(part) <= 80 else quote(part)
            shown += f".{text}" if shown else text
    return shown


def quote(text: str, limit: int = 80) -> str:
    """Text in double quotes, shortened, with everything escaped that could spoil a terminal or a log."""
    short = text if len(text) <= limit else text[: limit - 3] + "..."
    return json.dumps(short, ensure_ascii=not short.isprintable())
