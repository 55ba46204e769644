"""The request under construction, and the ways to say that something cannot be carried."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from gateway.api import Call, CallerFault

from .quirks import Quirks


@dataclass(slots=True)
class Draft:
    """One request being built.

    body: the chat body it is built from, never changed. out: the upstream body. thinks: the model will think.
    """

    call: Call
    body: dict[str, Any]
    quirks: Quirks
    out: dict[str, Any] = field(default_factory=dict)
    thinks: bool = False

    def report(self, name: str, why: str) -> None:
        """Note that parameter `name` was not carried. Under strict mode that is a CallerFault instead."""
        self.call.report_dropped(name, why)


def refuse(path: str, why: str) -> CallerFault:
    """A 400 that names the field: `path: why`."""
    return CallerFault(f"{path}: {why}", param=path)
