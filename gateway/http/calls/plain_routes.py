"""The routes of model calls beside conversations: a line for each."""

from __future__ import annotations

from typing import Any

from gateway.dialect import EVENT_STREAM, RawAnswer
from gateway.hookspecs import Router
from gateway.http.api.operations import plain
from gateway.plain_dialect import PlainDialect, show_costs, show_usage
from gateway.provider import Answer
from gateway.wire import images, speech, transcription
from gateway.wire.embeddings import EMBEDDINGS_REQUEST
from gateway.wire.lenient import text_of
from gateway.wire.moderation import MODERATION_REQUEST
from gateway.wire.rerank import RERANK_REQUEST, shown_ranking

Json = dict[str, Any]

_TEXT_TYPES = {"srt": "application/x-subrip", "vtt": "text/vtt"}


def _speech_type(body: Json) -> str:
    return EVENT_STREAM if speech.as_events(body) else speech.media_type_of(body)


def _always(body: Json) -> bool:
    return True


def _never(body: Json) -> bool:
    return False


def _show_transcript(answer: Answer, body: Json) -> Json | RawAnswer:
    """JSON, or the text alone where that was asked for."""
    wanted = body.get("response_format")
    if wanted not in transcription.TEXTS:
        return show_costs(answer)
    media_type = _TEXT_TYPES.get(wanted, "text/plain")
    return RawAnswer(f"{media_type}; charset=utf-8", text_of(answer.body.get("text")).encode("utf-8", "replace"))


def _show_ranking(answer: Answer, body: Json) -> Json | RawAnswer:
    return {**shown_ranking(answer.body, body), "usage": answer.usage}


def add_plain_routes(router: Router) -> None:
    """Add them to `router`."""
    router.add_dialect(
        "POST",
        "/embeddings",
        PlainDialect(
            "embeddings",
            EMBEDDINGS_REQUEST,
            streams=_never,
            show=lambda answer, body: show_usage(answer),
            names_model=True,
        ),
        plain.EMBEDDINGS,
    )
    _add_image_routes(router)
    router.add_dialect(
        "POST",
        "/audio/speech",
        PlainDialect("speech", speech.SPEECH_REQUEST, streams=_always, stream_type=_speech_type),
        plain.SPEECH,
    )
    router.add_dialect(
        "POST",
        "/audio/transcriptions",
        PlainDialect(
            "transcriptions",
            transcription.TRANSCRIPTION_REQUEST,
            transcription.TRANSCRIPTION_FIELDS,
            prepare=transcription.with_length,
            show=_show_transcript,
        ),
        plain.TRANSCRIPTIONS,
    )
    router.add_dialect(
        "POST",
        "/audio/translations",
        PlainDialect(
            "translations",
            transcription.TRANSLATION_REQUEST,
            transcription.TRANSLATION_FIELDS,
            prepare=transcription.with_length,
            streams=_never,
            show=_show_transcript,
        ),
        plain.TRANSLATIONS,
    )
    router.add_dialect(
        "POST",
        "/rerank",
        PlainDialect("rerank", RERANK_REQUEST, streams=_never, show=_show_ranking, names_model=True),
        plain.RERANK,
    )
    router.add_dialect(
        "POST",
        "/moderations",
        PlainDialect("moderations", MODERATION_REQUEST, streams=_never, names_model=True),
        plain.MODERATIONS,
    )


def _add_image_routes(router: Router) -> None:
    router.add_dialect(
        "POST", "/images/generations", PlainDialect("images", images.GENERATION_REQUEST), plain.IMAGE_GENERATION
    )
    router.add_dialect(
        "POST",
        "/images/edits",
        PlainDialect("image_edits", images.EDIT_REQUEST, images.EDIT_FIELDS, prepare=images.with_uploads),
        plain.IMAGE_EDIT,
    )
    router.add_dialect(
        "POST",
        "/images/variations",
        PlainDialect("image_variations", images.VARIATION_REQUEST, images.VARIATION_FIELDS, streams=_never),
        plain.IMAGE_VARIATION,
    )
