"""The request under construction, and the two ways to say that something cannot be carried."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, field
from typing import Any

from gateway.api import Call, CallerFault

from .quirks import Quirks

_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")


@dataclass(slots=True)
class Draft:
    """One Messages request being built.

    body: the chat body it is built from, never changed. out: the upstream body. betas: values of `anthropic-beta`.
    json_tool: the name of the tool whose input stands for the answer's content, "" when there is none.
    json_text: the answer was asked for as JSON by instruction alone, so a code fence around it is taken off.
    """

    call: Call
    body: dict[str, Any]
    quirks: Quirks
    out: dict[str, Any] = field(default_factory=dict)
    betas: list[str] = field(default_factory=list)
    json_tool: str = ""
    json_text: bool = False

    def report(self, name: str, why: str) -> None:
        """Note that parameter `name` was not carried. Under strict mode that is a CallerFault instead."""
        self.call.report_dropped(name, why)

    def add_beta(self, name: str) -> None:
        if name not in self.betas:
            self.betas.append(name)


def refuse(path: str, why: str) -> CallerFault:
    """A 400 that names the field: `path: why`."""
    return CallerFault(f"{path}: {why}", param=path)


def safe_id(foreign: str) -> str:
    """A tool call id in Anthropic's alphabet (`^[a-zA-Z0-9_-]+$`); the same foreign id always gives the same one."""
    if _ID.fullmatch(foreign):
        return foreign
    return "call_" + hashlib.sha256(foreign.encode("utf-8", "replace")).hexdigest()[:32]
