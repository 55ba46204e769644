"""A batch as it is kept and shown: what was asked, what its provider told of it, what it costs."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

import orjson

from gateway.call import Target
from gateway.profile import Dialect
from gateway.stores import KeptObject
from gateway.wire.lenient import dict_of, dicts_of
from gateway.wire.spend_tags import Tags

BATCH: Final = "batch"
WINDOW = 86_400
"""Seconds in which a batch is due."""
OVERDUE = 2 * WINDOW
"""Seconds after which the gateway asks the provider to end a batch that is still open."""
GIVEN_UP = 8 * WINDOW
"""Seconds after which a batch that its provider has not ended all the same is over here, and paid back."""
TOLD = (
    "status", "errors", "output_file_id", "error_file_id", "request_counts", "usage", "in_progress_at", "expires_at",
    "finalizing_at", "completed_at", "failed_at", "expired_at", "cancelling_at", "cancelled_at",
)  # fmt: skip
"""What a provider tells of a batch that its owner is shown."""
_MOST_ERRORS = 100
"""Of those that a provider tells of a batch, which are kept with it."""


@dataclass(slots=True, frozen=True)
class NewBatch:
    """A batch whose requests were checked.

    asked: the caller's own members of the request. requests: the file to send. count: of requests. model: as they name
    it. target: where they go, at the price of a batch. operation, dialect: of each. url: their endpoint there. bound:
    credits that all of them can cost at most; dearest: the dearest of them.
    """

    asked: Mapping[str, Any]
    requests: bytes
    count: int
    model: str
    target: Target
    operation: str
    dialect: Dialect
    url: str
    bound: int
    dearest: int
    tags: Tags = ()


def with_told(kept: KeptObject, told: Mapping[str, Any], **more: Any) -> KeptObject:
    """A batch with what its provider told of it. more: further details."""
    found = {name: told[name] for name in TOLD if told.get(name) is not None}
    if not isinstance(found.get("status"), str):
        found.pop("status", None)  # whatever it is, it is no state to go by
    if "errors" in found:
        errors = dicts_of(dict_of(found["errors"]).get("data"))
        found["errors"] = {"object": "list", "data": errors[:_MOST_ERRORS]}
    return sized(replace(kept, details={**kept.details, "told": found, **more}))


def sized(kept: KeptObject) -> KeptObject:
    """The same with its size: what is kept of it counts against its account's storage like all else."""
    return replace(kept, size=len(orjson.dumps(dict(kept.details))))


def lost(message: str) -> dict[str, Any]:
    """What is told of a batch that its provider does not know."""
    error = {"code": "batch_lost", "message": message, "param": None, "line": None}
    return {"status": "failed", "failed_at": int(time.time()), "errors": {"object": "list", "data": [error]}}


def is_overdue(kept: KeptObject, now: float) -> bool:
    """Whether its provider should be asked to end a batch, and has not begun to."""
    status = dict_of(kept.details.get("told")).get("status")
    return (
        kept.is_open
        and bool(kept.details.get("upstream"))
        and status != "cancelling"
        and (now >= kept.created + OVERDUE)
    )


def given_up(kept: KeptObject) -> dict[str, Any]:
    """What is told of a batch that its provider never ended: no answers, so nothing is due."""
    message = f"The provider did not end this batch within {GIVEN_UP // WINDOW} days; it was paid back."
    error = {"code": "batch_overdue", "message": message, "param": None, "line": None}
    told = dict_of(kept.details.get("told"))
    left = {name: value for name, value in told.items() if name not in ("request_counts", "output_file_id")}
    return {**left, "status": "expired", "expired_at": int(time.time()), "errors": {"object": "list", "data": [error]}}


def ended_at(kept: KeptObject) -> int:
    """When a batch that is over ended, in unix seconds: at the latest when it was due."""
    told, due = kept.details["told"], kept.created + WINDOW
    at = told.get(f"{told['status']}_at")
    return max(kept.created, min(at, due)) if type(at) is int else min(int(time.time()), due)


def shown(kept: KeptObject) -> dict[str, Any]:
    """A batch as its owner sees it: OpenAI's object, where it is done, and what it costs."""
    details = kept.details
    told = dict_of(details.get("told"))
    counts = dict_of(told.get("request_counts"))
    found = {
        "id": kept.id,
        "object": "batch",
        "endpoint": details["endpoint"],
        "model": details["model"],
        "input_file_id": details["input_file_id"],
        "completion_window": details["completion_window"],
        "created_at": kept.created,
        "metadata": details.get("metadata"),
        **dict.fromkeys(TOLD),
        **told,
        "provider": kept.provider,
        "cost": {
            "held": int(details["bound"]),
            "charged": details.get("charged"),
            "basis": details.get("billing"),
        },
    }
    found["status"] = told.get("status") or "validating"
    found["request_counts"] = {"total": details["count"], "completed": 0, "failed": 0, **counts}
    if not told.get("usage"):
        found.pop("usage")
    return found
