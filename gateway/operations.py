"""What a call can ask a model to do: one row each. Whoever adds one adds a row here, a dialect at the door, and the
providers that do it; nothing in between asks which it is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from gateway.call import Target
from gateway.profile import COMPLETIONS
from gateway.provider import Provider
from gateway.wire.embeddings import embedding_input_tokens, estimate_embedding_tokens
from gateway.wire.tokens import estimate_input_tokens

Body = Mapping[str, Any]


@dataclass(slots=True, frozen=True)
class ModelOperation:
    """One operation.

    name: `Call.operation`, and what `Profile.operations` holds. cannot: ends the sentence "The model 'x' ...".
    in_dialects: its body may be said in several dialects (`Call.forms`), and bridged from one into another.
    takes_media: its body may hold URLs of media, which some upstreams need as bytes.
    writes: the answer is text that is billed by its tokens and bounded by `max_output`.
    choices: how many answers a body asks for. bound_input: an upper bound of its input in tokens, for the hold.
    estimate_input: its expected input in tokens, for a bill when no usage came.
    """

    name: str
    cannot: str
    in_dialects: bool
    takes_media: bool
    writes: bool
    choices: Callable[[Body], int]
    bound_input: Callable[[Provider, Body, Target], int]
    estimate_input: Callable[[Body], int]


def _choices(body: Body) -> int:
    return body.get("n") or 1


def _one(body: Body) -> int:
    # An `n` here is a stranger's member that nobody has checked.
    return 1


def _bound_chat(provider: Provider, body: Body, target: Target) -> int:
    return provider.bound_input_tokens(body, target)


def _bound_embeddings(provider: Provider, body: Body, target: Target) -> int:
    return embedding_input_tokens(body)


OPERATIONS: Mapping[str, ModelOperation] = MappingProxyType(
    {
        row.name: row
        for row in (
            ModelOperation(
                name="chat",
                cannot="makes no chat completions",
                in_dialects=True,
                takes_media=True,
                writes=True,
                choices=_choices,
                bound_input=_bound_chat,
                estimate_input=estimate_input_tokens,
            ),
            # Of models that know no chat. A call of theirs is a chat for everybody else (`gateway.text_dialect`).
            ModelOperation(
                name=COMPLETIONS,
                cannot="goes on from no texts",
                in_dialects=True,
                takes_media=False,
                writes=True,
                choices=_choices,
                bound_input=_bound_chat,
                estimate_input=estimate_input_tokens,
            ),
            ModelOperation(
                name="compact",
                cannot="compacts no conversations",
                in_dialects=True,
                takes_media=True,
                writes=True,
                choices=_one,
                bound_input=_bound_chat,
                estimate_input=estimate_input_tokens,
            ),
            ModelOperation(
                name="embeddings",
                cannot="makes no embeddings",
                in_dialects=False,
                takes_media=False,
                writes=False,
                choices=_one,
                bound_input=_bound_embeddings,
                estimate_input=estimate_embedding_tokens,
            ),
        )
    }
)
"""All operations by name."""
