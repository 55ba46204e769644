"""gateway --version: what runs here, how it was built, and which plugins came with it."""

from __future__ import annotations

import argparse
import platform
from collections.abc import Iterator, Sequence
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

from gateway import __version__
from gateway.cli.common import is_frozen
from gateway.pluginload import API_VERSION, ENTRY_POINT_GROUP

_BUILD = Path(__file__).resolve().parents[1] / "shared" / "build.txt"


class ShowVersion(argparse.Action):
    """Prints and exits; looks around only when it is asked."""

    def __init__(self, option_strings: Sequence[str], dest: str, **more: Any) -> None:
        super().__init__(option_strings, dest, nargs=0, **more)

    def __call__(self, parser: argparse.ArgumentParser, *_: Any) -> None:
        print("\n".join(lines()))
        parser.exit(0)


def lines() -> Iterator[str]:
    """Version, build, and the installed plugins with their versions."""
    yield f"tollgate {__version__}"
    kind = "single binary" if is_frozen() else "Python package"
    made = build() or ("a wheel" if _BUILD.parent.is_dir() else "from source")
    yield f"build      {made}, {kind}, Python {platform.python_version()}, {platform.machine()}"
    yield f"interface  plugins of version {API_VERSION}"
    found = {f"{point.name} {point.dist.version if point.dist else ''}".strip() for point in _points()}
    yield "plugins    " + (", ".join(sorted(found)) or "none beside the gateway's own")


def build() -> str:
    """What `scripts/release` wrote: the commit, and a mark for one with changes; "" where nothing was written."""
    return _BUILD.read_text(encoding="utf-8").strip() if _BUILD.is_file() else ""


def _points() -> Any:
    return entry_points(group=ENTRY_POINT_GROUP)
