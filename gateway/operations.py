"""What a call can ask a model to do: one row each. Whoever adds one adds a row here, a dialect at the door, and the
providers that do it; nothing in between asks which it is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from gateway.call import Target
from gateway.deferred import LateModule
from gateway.profile import COMPLETIONS, Profile
from gateway.provider import Provider
from gateway.wire.multipart import Upload
from gateway.wire.tokens import any_bytes, estimate_input_tokens

if TYPE_CHECKING:
    from gateway.wire import embeddings, images, moderation, rerank, speech, transcription
    from gateway.wire.validators import Validator
else:
    embeddings = LateModule("gateway.wire.embeddings")
    images = LateModule("gateway.wire.images")
    moderation = LateModule("gateway.wire.moderation")
    rerank = LateModule("gateway.wire.rerank")
    speech = LateModule("gateway.wire.speech")
    transcription = LateModule("gateway.wire.transcription")

Body = Mapping[str, Any]
Counts = dict[str, Any]
"""Members of `Usage` that are no tokens, with their values."""


def _one(body: Body) -> int:
    # An `n` here is a stranger's member that nobody has checked, or asks for that many parts of one answer.
    return 1


@dataclass(slots=True, frozen=True)
class ModelOperation:
    """One operation.

    name: `Call.operation`, and what `Profile.operations` holds. cannot: ends the sentence "The model 'x' ...".
    bound_input: an upper bound of its input in tokens, for the hold.
    estimate_input: its expected input in tokens, for a bill when no usage came.
    in_dialects: its body may be said in several dialects (`Call.forms`), and bridged from one into another.
    takes_media: its body may hold URLs of media, which some upstreams need as bytes.
    writes: the answer is text that is billed by its tokens and bounded by `max_output`.
    tells_limit: whether its upstream is told how much it may write.
    choices: how many answers a body asks for. over: an operation that it can be said as, for targets that do only that.

    For what is neither text nor vectors, so that its answer is paid for whole, whoever waits for it:
    count: what an answer comes to besides tokens, by the request and the answer's body, as far as that is known.
    bound_output: an upper bound of its answer in tokens at a target.
    estimate_output: its answer in tokens, for a bill when no usage came; rather too many than too few.
    bound_counts: an upper bound of `count`. expect_counts: what is expected of it, where that may be much less.
    """

    name: str
    cannot: str
    bound_input: Callable[[Provider, Body, Target], int]
    estimate_input: Callable[[Body], int]
    in_dialects: bool = False
    takes_media: bool = False
    writes: bool = False
    tells_limit: bool = True
    choices: Callable[[Body], int] = _one
    over: str = ""
    count: Callable[[Body, Mapping[str, Any]], Counts] | None = None
    bound_output: Callable[[Body, Target], int] | None = None
    estimate_output: Callable[[Body, Target | None], int] | None = None
    bound_counts: Callable[[Body], Counts] | None = None
    expect_counts: Callable[[Body], Counts] | None = None

    def done_by(self, profile: Profile) -> bool:
        """Whether a target does it, as it is or as what it can be said as."""
        return self.name in profile.operations or self.over in profile.operations


def _choices(body: Body) -> int:
    return body.get("n") or 1


def _bound_chat(provider: Provider, body: Body, target: Target) -> int:
    return provider.bound_input_tokens(body, target)


def _bound_by(known: Callable[[], tuple[Callable[[Body], int], Validator]]) -> Callable[[Provider, Body, Target], int]:
    """known: what measures a body, and what checks it; asked for when it is needed."""

    def bound(provider: Provider, body: Body, target: Target) -> int:
        # What `request` does not know travels on, and a server that does know it may read it.
        measure, request = known()
        members = request.tree["properties"]
        return measure(body) + sum(_bytes_of(value) for name, value in body.items() if name not in members)

    return bound


def _bytes_of(value: Any) -> int:
    items = value if isinstance(value, list) else [value]
    return sum(len(item.content) if isinstance(item, Upload) else any_bytes(item) for item in items)


def _image_row(name: str, cannot: str, request: Callable[[], Validator]) -> ModelOperation:
    def count(body: Body, answer: Mapping[str, Any]) -> Counts:
        made = images.images_in(answer) or images.images_wanted(body)
        return {"images": made, "image_kind": images.image_kind(body, answer)}

    def bound(body: Body, target: Target | None) -> int:
        return images.image_output_tokens(body, None if target is None else target.max_output)

    return ModelOperation(
        name=name,
        cannot=cannot,
        bound_input=_bound_by(lambda: (images.image_input_tokens, request())),
        estimate_input=lambda body: images.estimate_image_input(body),
        count=count,
        bound_output=bound,
        estimate_output=bound,
        bound_counts=lambda body: count(body, {}),
    )


def _hearing_row(name: str, cannot: str, request: Callable[[], Validator]) -> ModelOperation:
    return ModelOperation(
        name=name,
        cannot=cannot,
        bound_input=_bound_by(lambda: (transcription.heard_input_tokens, request())),
        estimate_input=lambda body: transcription.estimate_heard_input(body),
        count=lambda body, answer: {"seconds": transcription.heard_seconds(body, answer)},
        bound_output=lambda body, target: transcription.heard_output_tokens(body, target.max_output),
        estimate_output=lambda body, target: transcription.estimate_heard_output(body),
        bound_counts=lambda body: {"seconds": transcription.most_seconds(body)},
        expect_counts=lambda body: {"seconds": transcription.expected_seconds(body)},
    )


OPERATIONS: Mapping[str, ModelOperation] = MappingProxyType(
    {
        row.name: row
        for row in (
            ModelOperation(
                name="chat",
                cannot="makes no chat completions",
                bound_input=_bound_chat,
                estimate_input=estimate_input_tokens,
                in_dialects=True,
                takes_media=True,
                writes=True,
                choices=_choices,
            ),
            ModelOperation(
                name=COMPLETIONS,
                cannot="goes on from no texts",
                bound_input=_bound_chat,
                estimate_input=estimate_input_tokens,
                in_dialects=True,
                writes=True,
                choices=_choices,
                over="chat",
            ),
            ModelOperation(
                name="compact",
                cannot="compacts no conversations",
                bound_input=_bound_chat,
                estimate_input=estimate_input_tokens,
                in_dialects=True,
                takes_media=True,
                writes=True,
                tells_limit=False,
            ),
            ModelOperation(
                name="embeddings",
                cannot="makes no embeddings",
                bound_input=_bound_by(lambda: (embeddings.embedding_input_tokens, embeddings.EMBEDDINGS_REQUEST)),
                estimate_input=lambda body: embeddings.estimate_embedding_tokens(body),
            ),
            _image_row("images", "makes no images", lambda: images.GENERATION_REQUEST),
            _image_row("image_edits", "edits no images", lambda: images.EDIT_REQUEST),
            _image_row("image_variations", "varies no images", lambda: images.VARIATION_REQUEST),
            ModelOperation(
                name="speech",
                cannot="does not speak",
                bound_input=_bound_by(lambda: (speech.speech_input_tokens, speech.SPEECH_REQUEST)),
                estimate_input=lambda body: speech.estimate_speech_input(body),
                count=lambda body, answer: {"characters": speech.characters_of(body)},
                bound_output=lambda body, target: speech.speech_output_tokens(body),
                estimate_output=lambda body, target: speech.estimate_speech_output(body),
                bound_counts=lambda body: {"characters": speech.characters_of(body)},
            ),
            _hearing_row("transcriptions", "transcribes no recordings", lambda: transcription.TRANSCRIPTION_REQUEST),
            _hearing_row("translations", "translates no recordings", lambda: transcription.TRANSLATION_REQUEST),
            ModelOperation(
                name="rerank",
                cannot="ranks no documents",
                bound_input=_bound_by(lambda: (rerank.rerank_input_tokens, rerank.RERANK_REQUEST)),
                estimate_input=lambda body: rerank.estimate_rerank_input(body),
                count=lambda body, answer: {"searches": rerank.searches_of(body, answer)},
                bound_output=lambda body, target: 0,
                estimate_output=lambda body, target: 0,
                bound_counts=lambda body: {"searches": rerank.most_searches(body)},
                expect_counts=lambda body: {"searches": rerank.searches_of(body, {})},
            ),
            ModelOperation(
                name="moderations",
                cannot="moderates no content",
                bound_input=_bound_by(lambda: (moderation.moderation_input_tokens, moderation.MODERATION_REQUEST)),
                estimate_input=lambda body: moderation.estimate_moderation_input(body),
            ),
        )
    }
)
"""All operations by name."""
