"""The sections about what is kept for callers and of them: `responses`, `storage`, `idempotency`, `usage`, `files` and
`batches`."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator, Field

from gateway.config.types import Duration, ListOf, Section, Size, refuse
from gateway.wire.spend_tags import USER

SomeBytes = Annotated[Size, Field(gt=0)]


class ResponsesSettings(Section):
    """State of the Responses API; how long it is kept says `database.response_retention`.

    store: keep answers whose request does not say `store: false`; off, nothing is kept, whatever a request says.
    max_stored: the largest answer with its own input that is kept. max_context: the most that stored turns may add to
    a request. max_items: items of one request, and of one conversation. max_background: background responses that one
    account may have running. live_events: how much of a running stream is kept for callers who lost their connection,
    0 for nothing.
    """

    store: bool = True
    max_stored: SomeBytes = 16 << 20
    max_context: SomeBytes = 32 << 20
    max_items: Annotated[int, Field(ge=1, le=1_000_000)] = 10_000
    max_background: Annotated[int, Field(ge=0, le=100_000)] = 100
    live_events: Size = 4 << 20


class StorageSettings(Section):
    """How much may be kept for one account: responses, conversations and answers under an `Idempotency-Key`.

    bytes_per_account: of all of them together. objects_per_account: how many, items of conversations included.
    """

    bytes_per_account: SomeBytes = 1 << 30
    objects_per_account: Annotated[int, Field(ge=1, le=10**9)] = 100_000


class IdempotencySettings(Section):
    """Requests with an `Idempotency-Key`. keep: how long their answers are kept; 0: the header has no meaning.
    max_answer: the largest answer (as bytes of its body) that is kept."""

    keep: Duration = 86400.0
    max_answer: SomeBytes = 8 << 20


def _tag_name(name: str) -> str:
    # No `Field(pattern=...)`: pydantic's engine takes 6 MB and 30 ms for 64 letters of any script.
    if not re.fullmatch(r"[\w.-]{1,64}", name):
        refuse("must be a name of up to 64 letters, digits and . _ -")
    return name


_TagName = Annotated[str, AfterValidator(_tag_name)]


def _own_names(names: tuple[str, ...]) -> tuple[str, ...]:
    if USER in names:
        refuse(f"{USER!r} is the end user's own: switch it by tag_user")
    if len(set(names)) < len(names):
        refuse("names one twice")
    return names


class UsageSettings(Section):
    """By what spending is told apart, besides keys and models. tag_user: by the end user that a request names (`user`,
    `safety_identifier`). tag_metadata: by these members of its `metadata`, such as `[team, project]`."""

    tag_user: bool = True
    tag_metadata: Annotated[tuple[_TagName, ...], ListOf, Field(max_length=8), AfterValidator(_own_names)] = ()


class FilesSettings(Section):
    """Files that callers keep at a provider. providers: the sections of those that do, the first for whoever names
    none; empty: no files are taken. What is kept counts against `storage`."""

    providers: Annotated[tuple[Annotated[str, Field(min_length=1)], ...], ListOf] = ()


class BatchesSettings(Section):
    """Many requests at once, answered by a provider within a day. providers: the sections of those that do it, all of
    them in `files.providers`; empty: no batches are taken. most_requests: lines of one batch. most_open: batches of one
    account that are not over yet. poll: how often a batch that runs is looked after at its provider."""

    providers: Annotated[tuple[Annotated[str, Field(min_length=1)], ...], ListOf] = ()
    most_requests: Annotated[int, Field(ge=1, le=50_000)] = 10_000
    most_open: Annotated[int, Field(ge=1, le=100_000)] = 100
    poll: Annotated[Duration, Field(ge=1, le=86_400)] = 60.0
