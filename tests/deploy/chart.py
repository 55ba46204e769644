"""Renders the chart as Helm would, as far as its templates go: a small part of Go's template language, in which
anything else is an error, so that the templates stay that simple."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

_TAG = re.compile(r"(\s*)\{\{(-?)\s*(.*?)\s*(-?)\}\}(\s*)", re.DOTALL)
_WORD = re.compile(r'"[^"]*"|\S+')


class Chart:
    """A chart's folder. release: its name."""

    def __init__(self, folder: Path, values: dict[str, Any], release: str = "lab") -> None:
        meta = yaml.safe_load((folder / "Chart.yaml").read_text())
        self._root = {
            "Values": values,
            "Release": {"Name": release, "Service": "Helm"},
            "Chart": {name[0].upper() + name[1:]: value for name, value in meta.items()},
        }
        self._named: dict[str, list[Any]] = {}
        for path in (folder / "templates").glob("*.tpl"):
            self._render(self._parse(path.read_text()), self._root)
        self._folder = folder

    def text(self, name: str) -> str:
        """A template, rendered."""
        return self._render(self._parse((self._folder / "templates" / name).read_text()), self._root)

    def objects(self) -> list[dict[str, Any]]:
        """All objects of the chart."""
        found: list[dict[str, Any]] = []
        for path in sorted((self._folder / "templates").glob("*.yaml")):
            found += (one for one in yaml.safe_load_all(self.text(path.name)) if one)
        return found

    def _parse(self, text: str) -> list[Any]:
        tokens = self._tokens(text)
        tree, end = self._block(tokens)
        assert end is None, end
        return tree

    @staticmethod
    def _tokens(text: str) -> Iterator[tuple[str, str]]:
        at, trim = 0, False
        for found in _TAG.finditer(text):
            before, left, action, right, after = found.groups()
            plain = text[at : found.start()] + before
            if trim:
                plain = plain.lstrip()
            yield "text", plain.rstrip() if left else plain
            yield "do", action
            # What follows a tag may be what stands before the next one.
            at, trim = found.end() - len(after), bool(right)
        yield "text", text[at:].lstrip() if trim else text[at:]

    def _block(self, tokens: Iterator[tuple[str, str]]) -> tuple[list[Any], str | None]:
        tree: list[Any] = []
        for kind, text in tokens:
            if kind == "text":
                tree.append(text)
                continue
            word, _, rest = text.partition(" ")
            if word == "end":
                return tree, "end"
            if word in ("if", "with", "define"):
                inner, end = self._block(tokens)
                assert end == "end", f"{text} does not end"
                tree.append((word, rest, inner))
            else:
                tree.append(("say", text, []))
        return tree, None

    def _render(self, tree: list[Any], dot: Any) -> str:
        said = []
        for node in tree:
            if isinstance(node, str):
                said.append(node)
                continue
            word, text, inner = node
            if word == "define":
                self._named[json.loads(text)] = inner
            elif word == "say":
                value = self._pipeline(text, dot)
                said.append(str(value).lower() if isinstance(value, bool) else str(value))
            elif value := self._pipeline(text, dot):
                said.append(self._render(inner, value if word == "with" else dot))
        return "".join(said)

    def _pipeline(self, text: str, dot: Any) -> Any:
        steps = [_WORD.findall(step) for step in text.split(" | ")]
        value = self._first(steps[0], dot)
        for name, *arguments in steps[1:]:
            given = [self._value(argument, dot) for argument in arguments]
            if name == "nindent":
                pad = "\n" + " " * given[0]
                value = pad + str(value).replace("\n", pad)
            elif name == "quote":
                value = json.dumps(str(value))
            elif name == "default":
                value = value or given[0]
            elif name == "sha256sum":
                value = hashlib.sha256(value.encode()).hexdigest()
            else:
                raise AssertionError(f"{name}: the renderer does not know this function")
        return value

    def _first(self, words: list[str], dot: Any) -> Any:
        if words[0] == "include":
            return self._render(self._named[json.loads(words[1])], self._value(words[2], dot))
        if words[0] == "toYaml":
            return yaml.safe_dump(self._value(words[1], dot), sort_keys=True).rstrip("\n")
        [word] = words
        return self._value(word, dot)

    def _value(self, word: str, dot: Any) -> Any:
        if word == ".":
            return dot
        if word.startswith("."):
            # In a `with`, dot is the value itself, and the chart asks for nothing of it but itself.
            assert dot is self._root, word
            value = dot
            for part in word[1:].split("."):
                value = value[part]
            return value
        return json.loads(word)
