"""The request under construction, and the ways to say that something cannot be carried."""

from __future__ import annotations

import hashlib
import re
import string
from dataclasses import dataclass, field
from typing import Any

from gateway.api import Call, CallerFault

from .quirks import Quirks

_SHORT = re.compile(r"[A-Za-z0-9]{9}")
_ALPHABET = string.digits + string.ascii_letters


@dataclass(slots=True)
class Draft:
    """One request being built. body: the chat body it is built from, never changed. out: the upstream body."""

    call: Call
    body: dict[str, Any]
    quirks: Quirks
    out: dict[str, Any] = field(default_factory=dict)

    def report(self, name: str, why: str) -> None:
        """Note that parameter `name` was not carried. Under strict mode that is a CallerFault instead."""
        self.call.report_dropped(name, why)

    def call_id(self, foreign: str) -> str:
        """A tool call id as the model takes it."""
        return short_id(foreign) if self.quirks.short_ids else foreign


def refuse(path: str, why: str) -> CallerFault:
    """A 400 that names the field: `path: why`."""
    return CallerFault(f"{path}: {why}", param=path)


def short_id(foreign: str) -> str:
    """A tool call id that Mistral accepts: nine letters or digits. An id of that form stays, any other gives the
    same one in every request, so that calls and results of a conversation keep together."""
    if _SHORT.fullmatch(foreign):
        return foreign
    number = int.from_bytes(hashlib.sha256(foreign.encode("utf-8", "surrogatepass")).digest()[:8])
    letters = []
    for _ in range(9):
        number, place = divmod(number, len(_ALPHABET))
        letters.append(_ALPHABET[place])
    return "".join(letters)
