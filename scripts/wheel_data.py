"""Build hook: an installed wheel has no repository around it, so it carries config.yaml and docs/ inside the package.

They appear as `gateway/shared/config.yaml` and `gateway/shared/docs/`. An editable install needs no copies.
"""

from __future__ import annotations

from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class WheelData(BuildHookInterface):  # type: ignore[type-arg]
    """Called by hatchling before it builds; `version` is "standard" for a wheel and "editable" for `pip install -e`."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        if version == "standard":
            build_data["force_include"].update(
                {"config.yaml": "gateway/shared/config.yaml", "docs": "gateway/shared/docs"}
            )
