"""Everything that can go wrong, sorted by whose fault it is.

    Fault
    +-- CallerFault       the request is wrong, not allowed, not paid for, or too fast (4xx)
    |   +-- Refusal       a policy plugin said no (auth, allow-list, rate limit, quota)
    +-- UpstreamFault     a provider failed, timed out, or answered nonsense (502/503/504; 400/429 relayed)
    +-- GatewayFault      our own bug or our own dependency (500/503)

A fault knows how it looks over HTTP (status, OpenAI `type`, `code`, `param`), because the same value becomes
either an HTTP error body or an error event inside a stream that has already begun (`gateway.wire.errors.render`).
This module imports nothing of the gateway.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


class Fault(Exception):
    """A failure with a defined appearance on the wire.

    message: one sentence for the caller that names the field and the fix; never contains secrets.
    status: HTTP status, used while no byte of the answer has been sent.
    type, code, param: the members of OpenAI's error object.
    retry_after: seconds after which a retry makes sense, or None when unknown.
    headers: extra response headers (lower-case names), e.g. `x-should-retry`.
    detail: text for the operator's log only (upstream bodies, addresses); redacted before it is written.
    usage: what an answer had used when it failed, as its provider told it inside the stream; None when it did not.
    """

    usage: dict[str, Any] | None = None
    default_status = 500
    default_type = "server_error"

    def __init__(
        self,
        message: str,
        *,
        status: int | None = None,
        type: str | None = None,
        code: str | None = None,
        param: str | None = None,
        retry_after: float | None = None,
        headers: Mapping[str, str] | None = None,
        detail: str = "",
    ) -> None:
        super().__init__(message)
        self.message = message
        self.status = self.default_status if status is None else status
        self.type = self.default_type if type is None else type
        self.code = code
        self.param = param
        self.retry_after = retry_after
        self.headers: dict[str, str] = dict(headers or {})
        self.detail = detail

    def add(self, sentence: str) -> None:
        """Say more in the message."""
        end = "" if self.message.endswith((".", "!", "?")) else "."
        self.message = f"{self.message}{end} {sentence}"
        self.args = (self.message,)


class CallerFault(Fault):
    """The caller can mend it: wrong JSON, type, range, route, size, or an unsupported parameter."""

    default_status = 400
    default_type = "invalid_request_error"


class Refusal(CallerFault):
    """A policy refused the call; what earlier plugins reserved is released in `finish_call`."""


def too_fast(message: str, *, retry_after: float, code: str = "rate_limit_exceeded") -> Refusal:
    """The refusal (429) of what came too often, or is too much at once. retry_after: seconds until it may come."""
    return Refusal(message, status=429, type="rate_limit", code=code, retry_after=retry_after)


class UpstreamFault(Fault):
    """The provider's side failed.

    retryable: whether the same request may be sent again (to this or another target) while no byte
        of an answer has been relayed.
    upstream_status: the provider's own HTTP status, or None when there was none (connect, time limit, cut).
    """

    default_status = 502
    default_type = "upstream_error"

    def __init__(
        self,
        message: str,
        *,
        retryable: bool = False,
        upstream_status: int | None = None,
        status: int | None = None,
        type: str | None = None,
        code: str | None = None,
        param: str | None = None,
        retry_after: float | None = None,
        headers: Mapping[str, str] | None = None,
        detail: str = "",
    ) -> None:
        super().__init__(
            message,
            status=status,
            type=type,
            code=code,
            param=param,
            retry_after=retry_after,
            headers=headers,
            detail=detail,
        )
        self.retryable = retryable
        self.upstream_status = upstream_status

    def name(self, what: str, name: str) -> None:
        """Say in the message whom it is about, unless it says so. what: `Model` or `Provider`; name: its name here, by
        which callers know it, never an address."""
        if repr(name) not in self.message:
            self.add(f"{what}: {name!r}.")


class GatewayFault(Fault):
    """Ours: a bug, a full disk, a database that is gone."""


class ConfigFault(Exception):
    """The configuration cannot be used.

    problems: every fault found, each already formatted as `file:line: key: what, and what was meant`.
    """

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems
