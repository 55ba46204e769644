"""The request under construction, and the two ways to say that something cannot be carried."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from gateway.api import Call, CallerFault

from .quirks import Quirks


@dataclass(slots=True)
class Draft:
    """One generateContent request being built.

    body: the chat body it is built from, never changed. out: the upstream body without `generationConfig`.
    config: the `generationConfig`. files: the URL that `files/...` names of Google's Files API are relative to.
    """

    call: Call
    body: dict[str, Any]
    quirks: Quirks
    files: str
    out: dict[str, Any] = field(default_factory=dict)
    config: dict[str, Any] = field(default_factory=dict)

    def report(self, name: str, why: str) -> None:
        """Note that parameter `name` was not carried. Under strict mode that is a CallerFault instead."""
        self.call.report_dropped(name, why)

    def instruct(self, text: str) -> None:
        """Add a sentence to the instructions. Call it when the messages are in place."""
        if self.quirks.system:
            self.out.setdefault("systemInstruction", {"parts": []})["parts"].append({"text": text})
        else:
            self.out["contents"][0]["parts"].insert(0, {"text": text})


def refuse(path: str, why: str) -> CallerFault:
    """A 400 that names the field: `path: why`."""
    return CallerFault(f"{path}: {why}", param=path)
