"""What the routes of this dialect take and answer, for the gateway's OpenAPI document: one operation for each method
behind the colon.

Source: Google's API reference (`models.generateContent` and its neighbours). Members that are not named travel on.
"""

from __future__ import annotations

from typing import Any

from gateway.api import Component, Operation, Parameter, SecurityScheme

Json = dict[str, Any]

_TEXT: Json = {"type": "string"}
_COUNT: Json = {"type": "integer", "minimum": 0}
_OBJECT: Json = {"type": "object"}
_OBJECTS: Json = {"type": "array", "items": _OBJECT}
_CONTENT: Json = {"type": "object", "properties": {"role": _TEXT, "parts": _OBJECTS}}


def _object(required: tuple[str, ...] = (), **properties: Any) -> Json:
    return {"type": "object", "properties": properties, **({"required": list(required)} if required else {})}


_AUTH = (
    SecurityScheme(
        "xGoogApiKey",
        {
            "type": "apiKey",
            "in": "header",
            "name": "x-goog-api-key",
            "description": "A key of an account, as Google's SDKs send it; `Authorization: Bearer` counts before it.",
        },
    ),
)
_MODEL = Parameter("model", "A model, an alias, or the last part of a model's name.", place="path")
_PROVIDER = Parameter("provider", "The part of a model's id before its slash.", place="path")
_ERRORS = (400, 401, 402, 403, 404, 408, 409, 413, 415, 429, 500, 502, 503, 504)
_COST = {"x-gateway-cost": "What the call cost, in credits."}

ERROR = Component(
    "GoogleError",
    _object(
        ("error",),
        error=_object(
            ("code", "message", "status", "details"),
            code={"type": "integer"},
            message=_TEXT,
            status=_TEXT,
            details=_OBJECTS,
        ),
    ),
)
_REQUEST = Component(
    "GenerateContentRequest",
    {
        **_object(
            contents={"type": "array", "items": _CONTENT, "minItems": 1},
            systemInstruction={"anyOf": [_CONTENT, {"type": "null"}]},
            tools=_OBJECTS,
            toolConfig=_OBJECT,
            generationConfig=_OBJECT,
            safetySettings=_OBJECTS,
        ),
        "description": "Members may be written in camel case or with underscores.",
    },
)
_ANSWER = Component(
    "GenerateContentResponse",
    _object(
        candidates={
            "type": "array",
            "items": _object(content=_CONTENT, finishReason={"type": ["string", "null"]}, index=_COUNT),
        },
        usageMetadata=_object(promptTokenCount=_COUNT, candidatesTokenCount=_COUNT, totalTokenCount=_COUNT),
        modelVersion=_TEXT,
        responseId=_TEXT,
    ),
)
_EVENT = Component(
    "GenerateContentStreamEvent", {"anyOf": [_ANSWER, ERROR], "description": "The JSON of one `data:` line."}
)
_EMBED_REQUEST = Component("EmbedContentRequest", _object(content=_CONTENT, outputDimensionality=_COUNT))
_VALUES = _object(("values",), values={"type": "array", "items": {"type": "number"}})


_SHOWN = Component(
    "GoogleModel",
    _object(
        ("name", "displayName", "supportedGenerationMethods"),
        name=_TEXT,
        version=_TEXT,
        displayName=_TEXT,
        description=_TEXT,
        inputTokenLimit=_COUNT,
        outputTokenLimit=_COUNT,
        supportedGenerationMethods={"type": "array", "items": _TEXT},
    ),
)
LIST_MODELS = Operation(
    "List the models, as Google's SDKs read them",
    "Gemini",
    auth=_AUTH,
    parameters=(
        Parameter("pageSize", "Models on a page, 50 by default, at most 1000.", {"type": "integer", "minimum": 1}),
        Parameter("pageToken", "`nextPageToken` of the page before."),
    ),
    answer=_object(("models",), models={"type": "array", "items": _SHOWN}, nextPageToken=_TEXT),
    errors=(400, 401),
    fault=ERROR,
)


def get_model(folder: str) -> Operation:
    """The operation of `GET {folder}/models/{model}`."""
    return Operation(
        "One model, as Google's SDKs read it",
        "Gemini",
        path=f"{folder}/models/{{model}}",
        auth=_AUTH,
        parameters=(_MODEL,),
        answer=_SHOWN,
        errors=(401, 404),
        fault=ERROR,
    )


def operations(folder: str, only: str = "") -> tuple[Operation, ...]:
    """The operations of `POST {folder}/{model}:METHOD`. only: this METHOD, "" for all."""
    places = (_PROVIDER, _MODEL) if "{provider}" in folder else (_MODEL,)

    def made(method: str, summary: str, request: Component, answer: Component | Json, **more: Any) -> Operation:
        return Operation(
            summary,
            "Gemini",
            path=f"{folder}/{{model}}:{method}",
            auth=_AUTH,
            parameters=(*places, *more.pop("parameters", ())),
            request=request,
            answer=answer,
            errors=_ERRORS,
            fault=ERROR,
            **more,
        )

    sse = Parameter("alt", "Streams are server-sent events here.", {"type": "string", "const": "sse"}, required=True)
    all_of_them = (
        made("generateContent", "Generate content", _REQUEST, _ANSWER, headers=_COST),
        made(
            "streamGenerateContent",
            "Generate content, streamed",
            _REQUEST,
            _ANSWER,
            events=_EVENT,
            events_only=True,
            parameters=(sse,),
        ),
        made(
            "countTokens",
            "Count the input tokens of a request",
            _REQUEST,
            _object(("totalTokens",), totalTokens=_COUNT),
            headers={"x-gateway-token-count": "`exact` or `estimated`."},
        ),
        made("embedContent", "Embed a text", _EMBED_REQUEST, _object(("embedding",), embedding=_VALUES), headers=_COST),
        made(
            "batchEmbedContents",
            "Embed texts",
            _BATCH,
            _object(("embeddings",), embeddings={"type": "array", "items": _VALUES}),
            headers=_COST,
        ),
    )
    return tuple(one for one in all_of_them if not only or (one.path or "").endswith(f":{only}"))


_BATCH = Component(
    "BatchEmbedContentsRequest",
    _object(("requests",), requests={"type": "array", "items": _EMBED_REQUEST, "minItems": 1}),
)
