"""What the house tests read: the sources of the gateway and of the bundled plugins, parsed once."""

from __future__ import annotations

import ast
import subprocess
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
NOT_OURS = {".git", ".venv", "node_modules", "build", "dist", "data", "bench-results", "__pycache__"}
NOT_OURS |= {".hypothesis", ".mypy_cache", ".pytest_cache", ".ruff_cache"}


@dataclass(frozen=True)
class Source:
    """A Python file: its path from the repository's root, its dotted module name, its text and its syntax tree."""

    path: str
    module: str
    is_package: bool
    text: str
    tree: ast.Module

    @cached_property
    def nodes(self) -> list[ast.AST]:
        """All nodes of the tree, as `ast.walk` finds them; most checks look at each."""
        return list(ast.walk(self.tree))

    @classmethod
    def parse(cls, path: str, text: str, *, below: str = "") -> Source:
        """`below` is the folder that stands on sys.path, "" for the root."""
        parts = list(Path(path).relative_to(below).with_suffix("").parts)
        is_package = parts[-1] == "__init__"
        if is_package:
            parts.pop()
        return cls(path, ".".join(parts), is_package, text, ast.parse(text, path))


def read_sources(folder: str, below: str = "") -> list[Source]:
    paths = sorted((ROOT / folder).rglob("*.py"))
    inside = [path.relative_to(ROOT) for path in paths if not NOT_OURS.intersection(path.relative_to(ROOT).parts)]
    return [Source.parse(str(path), (ROOT / path).read_text("utf-8"), below=below) for path in inside]


@pytest.fixture(scope="session")
def root() -> Path:
    return ROOT


@pytest.fixture(scope="session")
def parse_source() -> object:
    """Makes a Source out of a snippet, to show that a check can fail."""
    return Source.parse


@pytest.fixture(scope="session")
def gateway_sources() -> list[Source]:
    sources = read_sources("gateway")
    assert len(sources) > 5, "the gateway's sources were not found"
    return sources


@pytest.fixture(scope="session")
def plugin_sources() -> list[Source]:
    """Every file of every bundled plugin, tests included."""
    return [
        source
        for folder in sorted((ROOT / "plugins").iterdir())
        if folder.is_dir()
        for source in read_sources(f"plugins/{folder.name}", below=f"plugins/{folder.name}")
    ]


@pytest.fixture(scope="session")
def project_files() -> list[Path]:
    """The files that belong to the project, as paths from its root: what git tracks or would track."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    try:
        listed = subprocess.run(command, cwd=ROOT, capture_output=True, check=True).stdout.decode().split("\0")
        files = [Path(name) for name in listed if name]
    except (OSError, subprocess.CalledProcessError):  # no git, or an unpacked archive
        files = [path.relative_to(ROOT) for path in ROOT.rglob("*")]
    return sorted(path for path in files if (ROOT / path).is_file() and not NOT_OURS.intersection(path.parts))
