"""The last attempts at targets, for the operator who asks what happened to a request."""

from __future__ import annotations

from collections import deque
from dataclasses import asdict
from typing import Any

from gateway.records import AttemptRecord

MOST = 5_000
"""Attempts that are remembered, of one process."""


class RecentAttempts:
    """A ring of them. It is memory: a restart begins it anew."""

    def __init__(self) -> None:
        self._kept: deque[tuple[str, AttemptRecord]] = deque(maxlen=MOST)

    def add(self, request_id: str, record: AttemptRecord) -> None:
        """Keep one; the oldest goes when there are too many."""
        self._kept.append((request_id, record))

    def find(
        self, *, request_id: str = "", target: str = "", outcome: str = "", limit: int = 100
    ) -> list[dict[str, Any]]:
        """The newest first, as JSON; "" for any."""
        found: list[dict[str, Any]] = []
        for known, record in reversed(self._kept):
            if len(found) >= limit:
                break
            if (
                (not request_id or known == request_id)
                and (not target or record.target == target)
                and (not outcome or record.outcome == outcome)
            ):
                found.append({"request_id": known, **asdict(record)})
        return found
