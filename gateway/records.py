"""What is remembered of a call's parts when they are over: attempts at targets, runs of tools."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class AttemptRecord:
    """One attempt at a target, when it was over.

    target: the model's id. provider, endpoint: where it was sent.
    outcome: `ok`; `failed`: the target did; `refused`: it answered that the request is wrong, or the gateway could not
        go on with it; `left`: it was given up, usually because the caller left.
    status: the target's HTTP status, None when there was none. error: the fault's code, "" when there was none.
    reason: for the operator; may hold what an upstream wrote.
    at: its end in unix seconds. seconds: how long it took. first_byte: seconds to the answer's beginning, None without.
    """

    target: str
    provider: str
    endpoint: str
    outcome: str
    status: int | None
    error: str
    reason: str
    at: float
    seconds: float
    first_byte: float | None


@dataclass(slots=True, frozen=True)
class ToolRecord:
    """One run of a tool by the gateway, when it was over.

    name: as the model calls it. at: its end in unix seconds. seconds: how long it took. error: whether it failed.
    """

    name: str
    at: float
    seconds: float
    error: bool
