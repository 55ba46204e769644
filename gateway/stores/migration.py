"""How the shape of a database changes with the program; see `gateway.stores`.

Steps of the stage `expand` only add. Older gateways do not notice them, so they are made as soon as a newer gateway
opens the database. Steps of the stage `contract` take away what only older gateways used; `StoresKind.migrate` alone
makes them, and not while such a gateway lives.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal


@dataclass(slots=True, frozen=True)
class MigrationStep:
    """One change of the shape. version: that the database has after it; what: in words."""

    stage: Literal["expand", "contract"]
    version: int
    what: str


@dataclass(slots=True, frozen=True)
class MigrationPlan:
    """What would be done. version: the database's, 0 when there is none yet; newest: this program's. steps: in their
    order. living: how many gateways have it open. blocked: why `migrate` would refuse now, "" when it would not."""

    version: int
    newest: int
    steps: Sequence[MigrationStep]
    living: int = 0
    blocked: str = ""
