"""Build hook: an installed wheel has no repository around it, so it carries what the repository has beside the package.

That is config.yaml and docs/, as `gateway/shared/config.yaml` and `gateway/shared/docs/`, and the bundled plugins with
their entry points, so that the shipped configuration can be served. An editable install needs no copies; there the
plugins are packages of their own (`scripts/env.sh`). What they need is among the gateway's dependencies
(pyproject.toml): some installers ask for those before anything is built.
"""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class WheelData(BuildHookInterface):  # type: ignore[type-arg]
    """Called by hatchling before it builds; `version` is "standard" for a wheel and "editable" for `pip install -e`."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        if version != "standard":
            return
        included = build_data["force_include"]
        included |= {"config.yaml": "gateway/shared/config.yaml", "docs": "gateway/shared/docs"}
        for path in sorted(Path(self.root, "plugins").glob("*/pyproject.toml")):
            plugin = tomllib.loads(path.read_text(encoding="utf-8"))
            for package in plugin["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]:
                included[str(path.parent / package)] = package
            for group, points in plugin["project"]["entry-points"].items():
                self.metadata.core.entry_points.setdefault(group, {}).update(points)
