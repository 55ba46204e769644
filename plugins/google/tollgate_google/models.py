"""Google's list of models (Gemini API reference, `models.list`)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from gateway.api import ListedModel, UpstreamReply, UpstreamRequest, listed_models

from .request import headers
from .settings import Settings

_DOES = frozenset({"generateContent", "embedContent", "batchEmbedContents", "predict"})
"""Methods of which a model of the gateway's has one; the others are of services that it does not call."""


def models(settings: Settings) -> UpstreamRequest:
    """The request for the list: one page of the most that is given at once."""
    return UpstreamRequest(settings.root + "/models?pageSize=1000", headers(settings), b"", method="GET")


def read_models(reply: UpstreamReply) -> list[ListedModel]:
    """The models in the answer, by the names that requests use. Raises UpstreamFault when it is no list."""
    found = listed_models(
        reply,
        entries="models",
        name="name",
        contexts=("inputTokenLimit",),
        outputs=("outputTokenLimit",),
        keep=_is_ours,
    )
    return [replace(model, id=model.id.removeprefix("models/")) for model in found]


def _is_ours(entry: dict[str, Any]) -> bool:
    methods = entry.get("supportedGenerationMethods")
    return not isinstance(methods, list) or not _DOES.isdisjoint(name for name in methods if isinstance(name, str))
