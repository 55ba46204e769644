"""The attempts of a request in the compact form that a usage log keeps: text of a bounded size, which a store neither
reads nor changes."""

from __future__ import annotations

from collections.abc import Sequence

import orjson

from gateway.records import AttemptRecord

MOST_TRIES = 32
"""Attempts that are kept of one request: of more, the first ones and the last ones."""
_FIRST = 8
_PER_SECOND = 10_000
"""Times are kept as whole numbers of this part of a second, which costs a third of rounding them."""
_MOST_TEXT = 200
"""Characters of a text from outside; names are the configuration's."""


def pack_tries(tries: Sequence[AttemptRecord]) -> str:
    """JSON, one array for each attempt; "" for none."""
    if not tries:
        return ""
    if len(tries) > MOST_TRIES:
        tries = [*tries[:_FIRST], *tries[_FIRST - MOST_TRIES :]]
    return orjson.dumps(
        [
            (
                one.target, one.provider, one.endpoint, one.outcome, one.status, one.error and _text(one.error),
                one.reason and _text(one.reason), int(one.at * _PER_SECOND), int(one.seconds * _PER_SECOND),
                None if one.first_byte is None else int(one.first_byte * _PER_SECOND),
            )
            for one in tries
        ]
    ).decode()  # fmt: skip


def _text(text: str) -> str:
    """Short, and without halves of surrogate pairs, which an upstream's words may hold and JSON cannot."""
    text = text[:_MOST_TEXT]
    return text if text.isascii() else text.encode("utf-8", "replace").decode()


def unpack_tries(kept: str) -> list[AttemptRecord]:
    """What `pack_tries` was given, in its order."""
    found = []
    for target, provider, endpoint, outcome, status, error, reason, at, seconds, first in orjson.loads(kept or "[]"):
        times = at / _PER_SECOND, seconds / _PER_SECOND, None if first is None else first / _PER_SECOND
        found.append(AttemptRecord(target, provider, endpoint, outcome, status, error, reason, *times))
    return found
