"""What a generateContent request asks for that a chat request cannot say, and how its members are found."""

from __future__ import annotations

import re
from typing import Any

from gateway.api import CallerFault, DroppedParams
from tollgate_google.draft import refuse

_ELSEWHERE = "only models of a provider that speaks Google's API can take it; leave it out, or ask such a model"


class Notes:
    """Collected while a request is translated.

    dropped: paths of what is left out for providers that do not speak Google's dialect. fault: the first thing that
    they cannot do without changing the meaning, None when there is none. At a provider that does speak it, the request
    goes out as the caller wrote it, and none of this counts.
    """

    def __init__(self) -> None:
        self.dropped = DroppedParams()
        self.fault: CallerFault | None = None

    def report(self, path: str) -> None:
        """`path` is left out elsewhere."""
        self.dropped.append(path)

    def blame(self, path: str, what: str) -> None:
        """Elsewhere the request is refused because of `path`."""
        if self.fault is None:
            self.fault = refuse(path, f"{what}: {_ELSEWHERE}")

    def report_rest(self, found: dict[str, Any], known: frozenset[str], path: str) -> None:
        """Report the members of `found` that are not `known`."""
        for key in found:
            if key not in known and found[key] is not None:
                self.report(f"{path}.{key[:64]}")


def camel(found: dict[str, Any]) -> dict[str, Any]:
    """The same object with its own members in lowerCamelCase: protobuf's JSON mapping takes either spelling."""
    return {_camel(key): value for key, value in found.items()}


def _camel(name: str) -> str:
    return re.sub(r"_([a-z0-9])", lambda match: match[1].upper(), name) if "_" in name else name
