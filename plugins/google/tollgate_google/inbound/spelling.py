"""The two spellings of a member's name."""

from __future__ import annotations

import re
from typing import Any


def camel(found: dict[str, Any]) -> dict[str, Any]:
    """The same object with its own members in lowerCamelCase: protobuf's JSON mapping takes either spelling."""
    return {_camel(key): value for key, value in found.items()}


def _camel(name: str) -> str:
    return re.sub(r"_([a-z0-9])", lambda match: match[1].upper(), name) if "_" in name else name
