"""What the models of a provider tolerate, as data that an operator may override: for providers' plugins.

The rows are the plugin's own: a frozen dataclass with one member for each deviation, and a function that finds the row
of a model's name. Here stands what is the same for all: which of two rows fits better, the overrides from the
configuration, and which effort stands in for one that a model does not know.

TABLE = QuirkTable(Quirks, find)                     # in the module of the rows
self.quirks = TABLE.of_instance(settings.quirks)     # in the provider
self.quirks.of(target).efforts                       # for a request
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Generic, TypeVar

import orjson
from pydantic import ConfigDict, TypeAdapter

from gateway.call import Target
from gateway.errors import GatewayFault
from gateway.wire.efforts import EFFORTS


@dataclass(slots=True, frozen=True)
class ModelQuirks:
    """Base of the rows: one member for each thing that a model may tolerate otherwise than others."""

    # Read by pydantic, when overrides from the configuration are laid over a row.
    __pydantic_config__ = ConfigDict(extra="forbid")


_MOST_FOUND = 1000

Q = TypeVar("Q", bound=ModelQuirks)


class QuirkTable(Generic[Q]):
    """The rows of one kind of provider. kind: the dataclass of a row. find: the row of a model's name as the upstream
    has it, in whatever spelling; always finds one."""

    def __init__(self, kind: type[Q], find: Callable[[str], Q]) -> None:
        self._find = find
        self._reader = TypeAdapter(kind)

    def resolve(self, model: str, *overrides: Mapping[str, Any] | None) -> Q:
        """The quirks of an upstream model name, with the operator's overrides laid over them, the last one on top.

        Raises ValueError (pydantic's) when an override names an unknown member or a value of the wrong kind, and
        TypeError for what is no mapping.
        """
        found = self._find(model)
        for changes in overrides:
            if changes:
                found = self._reader.validate_python({**asdict(found), **changes})
        return found

    def check(self, overrides: dict[str, Any]) -> dict[str, Any]:
        """The overrides themselves, for a validator of settings. Raises ValueError like `resolve`."""
        self.resolve("", overrides)
        return overrides

    def of_instance(self, overrides: Mapping[str, Any]) -> InstanceQuirks[Q]:
        """The same for one configured instance, with its `quirks` from the settings."""
        return InstanceQuirks(self, overrides)


class InstanceQuirks(Generic[Q]):
    """What models tolerate at one configured instance of a provider. Found once per model: a request asks twice or
    more, and looking up costs 3 to 50 us."""

    def __init__(self, table: QuirkTable[Q], overrides: Mapping[str, Any]) -> None:
        self._table = table
        self._overrides = overrides
        self._found: dict[tuple[str, bytes], Q] = {}

    def of(self, target: Target) -> Q:
        """The row of the target's model, the instance's overrides, then the model's own (`quirks` in its options).
        Raises GatewayFault when the model's make no sense."""
        own = target.options.get("quirks")
        try:
            key = (target.upstream, orjson.dumps(own) if own else b"")
            found = self._found.get(key)
            if found is None:
                found = self._table.resolve(target.upstream, self._overrides, own)
                if len(self._found) >= _MOST_FOUND:  # a pattern of models may have any number of names
                    self._found.clear()
                self._found[key] = found
            return found
        except (ValueError, TypeError) as error:
            raise GatewayFault(
                f"The options of the model {target.model} are wrong; the operator has to correct them.",
                detail=f"models.{target.model}.options.quirks: {error}",
            ) from None


def longest_match(rows: Iterable[tuple[str, Q]], name: str, *, whole_words: bool = False) -> Q | None:
    """The row whose first part is the longest that `name` begins with, or None.

    whole_words: `a-1` begins `a-1-2025`, but neither `a-1.5` nor `a-10`, which are other models.
    """
    fitting = [
        row
        for row in rows
        if name.startswith(row[0]) and not (whole_words and name[len(row[0]) : len(row[0]) + 1] not in ("", "-"))
    ]
    return max(fitting, key=lambda row: len(row[0]))[1] if fitting else None


def nearest_effort(wanted: str, known: Sequence[str]) -> str:
    """The known effort that stands in for `wanted`: itself, else the next higher one, else the highest.

    Without thinking is what comes closest to `minimal`, where a model knows `none` but not `minimal`; a greater effort
    never becomes `none`.
    wanted: one of EFFORTS or of `known`, which is not empty. A word in `known` that is none of EFFORTS has no place
    among them, and stands in for another only when there is nothing else.
    """
    if wanted in known:
        return wanted
    ranked = [name for name in EFFORTS if name in known] or list(known[-1:])
    if wanted in ("none", "minimal"):
        return ranked[0]
    above = [name for name in EFFORTS[EFFORTS.index(wanted) :] if name in ranked]
    return above[0] if above else ranked[-1]
