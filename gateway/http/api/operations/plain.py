"""Model calls beside conversations: embeddings, images, audio, moderations, rankings."""

from __future__ import annotations

from typing import Any

from gateway.http.api.operations.common import CALL_ERRORS, CALL_HEADERS, CALL_PARAMETERS
from gateway.wire.embeddings import EMBEDDINGS_REQUEST
from gateway.wire.images import EDIT_REQUEST, GENERATION_REQUEST, VARIATION_REQUEST
from gateway.wire.json_schema import Component
from gateway.wire.moderation import MODERATION_REQUEST
from gateway.wire.openapi import KEY, SESSION, Operation
from gateway.wire.plain_answers import (
    EMBEDDING_LIST,
    IMAGE_EVENTS,
    IMAGES,
    MODERATION,
    SPEECH_EVENTS,
    TRANSCRIPT_EVENTS,
    TRANSCRIPTION,
)
from gateway.wire.rerank import RANKING, RERANK_REQUEST
from gateway.wire.speech import MEDIA_TYPES, SPEECH_REQUEST
from gateway.wire.transcription import TRANSCRIPTION_REQUEST, TRANSLATION_REQUEST


def _call(summary: str, tag: str, description: str, **more: Any) -> Operation:
    more = {"errors": (*CALL_ERRORS, 413) if "form" in more else CALL_ERRORS, **more}
    return Operation(summary, tag, description, parameters=CALL_PARAMETERS, headers=CALL_HEADERS, **more)


_TEXT_TYPES = ("text/plain", "text/vtt", "application/x-subrip")
_AUDIO_TYPES = tuple(dict.fromkeys(MEDIA_TYPES.values()))
_EDIT = Component("ImageEditRequest", EDIT_REQUEST.tree)

EMBEDDINGS = _call(
    "Create embeddings",
    "Embeddings",
    "Vectors for texts, at providers whose models make them.",
    request=Component("EmbeddingsRequest", EMBEDDINGS_REQUEST.tree),
    answer=EMBEDDING_LIST,
)
IMAGE_GENERATION = _call(
    "Make images",
    "Images",
    "Images for a text; streamed with `stream: true` where the model shows them unfinished.",
    auth=(KEY, SESSION),
    request=Component("ImageRequest", GENERATION_REQUEST.tree),
    answer=IMAGES,
    events=IMAGE_EVENTS,
)
IMAGE_EDIT = _call(
    "Edit images",
    "Images",
    "New images made of given ones, which come as files of a form, or in JSON as data URLs in `images`.",
    request=_EDIT,
    form=_EDIT,
    answer=IMAGES,
    events=IMAGE_EVENTS,
)
IMAGE_VARIATION = _call(
    "Vary an image",
    "Images",
    "Other images like a given one, which comes as a file of a form.",
    form=Component("ImageVariationRequest", VARIATION_REQUEST.tree),
    answer=IMAGES,
)
SPEECH = _call(
    "Make speech",
    "Audio",
    "Audio for a text, sent while it is made.",
    auth=(KEY, SESSION),
    request=Component("SpeechRequest", SPEECH_REQUEST.tree),
    answer_type=_AUDIO_TYPES[0],
    other_types=_AUDIO_TYPES[1:],
    events=SPEECH_EVENTS,
)
TRANSCRIPTIONS = _call(
    "Transcribe a recording",
    "Audio",
    "The text of a recording, which comes as a file of a form.",
    form=Component("TranscriptionRequest", TRANSCRIPTION_REQUEST.tree),
    answer=TRANSCRIPTION,
    other_types=_TEXT_TYPES,
    events=TRANSCRIPT_EVENTS,
)
TRANSLATIONS = _call(
    "Translate a recording into English",
    "Audio",
    "The English text of a recording in any language, which comes as a file of a form.",
    form=Component("TranslationRequest", TRANSLATION_REQUEST.tree),
    answer=TRANSCRIPTION,
    other_types=_TEXT_TYPES,
)
RERANK = _call(
    "Rank documents",
    "Rerank",
    "Texts in the order of their relevance to a query, in the shape that most servers share.",
    request=Component("RerankRequest", RERANK_REQUEST.tree),
    answer=RANKING,
)
MODERATIONS = _call(
    "Judge content",
    "Moderations",
    "Whether texts and images are of the kinds that a model knows as harmful.",
    request=Component("ModerationRequest", MODERATION_REQUEST.tree),
    answer=MODERATION,
)
