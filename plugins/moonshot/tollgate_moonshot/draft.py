"""The request under construction, and the ways to say that something cannot be carried."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, field
from typing import Any

from gateway.api import Call, CallerFault

from .quirks import Quirks

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{2,63}")


@dataclass(slots=True)
class Draft:
    """One request being built.

    body: the chat body it is built from, never changed. out: the upstream body. thinks: the model will think.
    renamed: names of functions as they are sent, where they differ, to the caller's own.
    """

    call: Call
    body: dict[str, Any]
    quirks: Quirks
    out: dict[str, Any] = field(default_factory=dict)
    thinks: bool = False
    renamed: dict[str, str] = field(default_factory=dict)

    def report(self, name: str, why: str) -> None:
        """Note that parameter `name` was not carried. Under strict mode that is a CallerFault instead."""
        self.call.report_dropped(name, why)

    def name_of(self, own: str) -> str:
        """A function's name as Moonshot takes it; a changed one is noted, so that the answer has the caller's own."""
        sent = safe_name(own)
        if sent != own:
            self.renamed[sent] = own
        return sent


def refuse(path: str, why: str) -> CallerFault:
    """A 400 that names the field: `path: why`."""
    return CallerFault(f"{path}: {why}", param=path)


def safe_name(own: str) -> str:
    """A function's name by Moonshot's rule: a letter or underscore, then 2 to 63 letters, digits, underscores or
    dashes. OpenAI's may be shorter or begin with a digit, others have dots. The same name always gives the same one."""
    if _NAME.fullmatch(own):
        return own
    digest = hashlib.sha256(own.encode("utf-8", "surrogatepass")).hexdigest()[:8]
    return f"fn_{re.sub(r'[^A-Za-z0-9_-]', '_', own)[:48]}_{digest}"
