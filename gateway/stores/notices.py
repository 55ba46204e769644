"""Short words between the gateways of one database; see `gateway.stores`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol


class Notices(Protocol):
    """What one process learnt and the others had better know, such as that a provider is down. A store whose processes
    are all on one machine needs none: they have other ways. Words may be lost, and come a second late: whoever relies
    on them must do without. Raises GatewayFault while the database is away."""

    async def post(self, name: str, data: Mapping[str, Any], seconds: float) -> None:
        """Leave a word for so many seconds, by the store's clock, in the place of the last one of this name."""

    async def heard(self) -> Sequence[tuple[Mapping[str, Any], float]]:
        """What others have left and this process has not heard yet, oldest first, and for how many seconds it still
        holds. Asked once a second."""
