"""Model calls, responses, conversations and models."""

from __future__ import annotations

from dataclasses import replace

from gateway.http.api.operations.common import (
    CALL_ERRORS,
    CALL_HEADERS,
    CALL_PARAMETERS,
    ITEM_PAGE,
    READ_ERRORS,
    WRITE_ERRORS,
)
from gateway.wire.chat.answers import CHAT_EVENTS, COMPLETION, constant, listing, members
from gateway.wire.chat.request import CHAT_REQUEST
from gateway.wire.completions import COMPLETION_REQUEST, TEXT_COMPLETION, TEXT_EVENTS
from gateway.wire.json_schema import Component, Tree, or_null
from gateway.wire.openapi import KEY, SESSION, Operation, Parameter
from gateway.wire.responses import answers
from gateway.wire.responses.request import RESPONSES_REQUEST, items, metadata
from gateway.wire.validators import object_tree

_TEXT: Tree = {"type": "string"}
_RESPONSES_REQUEST = Component("ResponsesRequest", RESPONSES_REQUEST.tree)

CHAT = Operation(
    "Create a chat completion",
    "Chat",
    "OpenAI's chat completions, on every model; streamed with `stream: true`.",
    auth=(KEY, SESSION),
    parameters=CALL_PARAMETERS,
    request=Component("ChatCompletionRequest", CHAT_REQUEST.tree),
    answer=COMPLETION,
    events=CHAT_EVENTS,
    errors=CALL_ERRORS,
    headers=CALL_HEADERS,
)
COMPLETIONS = Operation(
    "Create a completion",
    "Completions",
    "OpenAI's older completions, on every model: where its provider does not have this API, the prompt is a message.",
    parameters=CALL_PARAMETERS,
    request=Component("CompletionRequest", COMPLETION_REQUEST.tree),
    answer=TEXT_COMPLETION,
    events=TEXT_EVENTS,
    errors=CALL_ERRORS,
    headers=CALL_HEADERS,
)
RESPONSES = Operation(
    "Create a response",
    "Responses",
    "OpenAI's Responses API, on every model; streamed with `stream: true`.",
    auth=(KEY, SESSION),
    parameters=CALL_PARAMETERS,
    request=_RESPONSES_REQUEST,
    answer=answers.RESPONSE,
    events=answers.STREAM_EVENT,
    errors=CALL_ERRORS,
    headers=CALL_HEADERS,
)
_MAYBE_COUNT = or_null({"type": "integer"})
_OBJECT: Tree = {"type": "object"}
EXPLANATION = Component(
    "Explanation",
    members(
        ("object", "allowed", "refusal", "request", "caller", "steps", "candidates", "targets", "maximum_cost"),
        object=constant("explanation"),
        allowed={"type": "boolean", "description": "Whether it would be sent."},
        refusal=or_null(_OBJECT),
        request=_OBJECT,
        caller=or_null(_OBJECT),
        steps={"type": "array", "items": members(("phase", "plugin", "refused", "figures"), figures=_OBJECT)},
        candidates={"type": "array", "items": _OBJECT},
        targets={"type": "array", "items": members(("model", "why", "requests", "dropped", "changed"))},
        tools=_OBJECT,
        output_limit=_MAYBE_COUNT,
        clamped=or_null(_TEXT),
        hold=_MAYBE_COUNT,
        maximum_cost=_MAYBE_COUNT,
    ),
)
EXPLAIN = Operation(
    "Explain a model call",
    "Account",
    "What would happen to a request, in any dialect: checks, targets, the upstream request, the most it can cost. "
    "Nothing is sent or charged.",
    auth=(KEY, SESSION),
    request=members(
        ("body",),
        path={"type": "string", "description": "Where it would be sent.", "default": "/v1/chat/completions"},
        body={"type": "object", "description": "What would be sent there."},
        headers={"type": "object", "additionalProperties": {"type": "string"}},
    ),
    answer=EXPLANATION,
    errors=WRITE_ERRORS,
)
COUNT_INPUT = Operation(
    "Count the input tokens of a response",
    "Responses",
    "About how many tokens the input of such a request makes.",
    request=_RESPONSES_REQUEST,
    answer=answers.INPUT_TOKENS,
    errors=WRITE_ERRORS,
)
COMPACT = Operation(
    "Compact a conversation",
    "Responses",
    "A shorter conversation to go on with: the user's latest messages, and an item that stands for the rest.",
    parameters=CALL_PARAMETERS,
    request=_RESPONSES_REQUEST,
    answer=answers.COMPACTED,
    errors=CALL_ERRORS,
    headers=CALL_HEADERS,
)
GET_RESPONSE = Operation(
    "Read a response",
    "Responses",
    "A stored response, or one that is being made; with `?stream=true` its events.",
    parameters=(
        Parameter("stream", "Answer with its events.", {"type": "boolean", "default": False}),
        Parameter("starting_after", "Only the events above this number; only with `stream=true`.", {"type": "integer"}),
    ),
    answer=answers.RESPONSE,
    events=answers.STREAM_EVENT,
)
DELETE_RESPONSE = Operation(
    "Delete a response", "Responses", "One that runs in the background is stopped.", answer=answers.DELETED
)
CANCEL_RESPONSE = Operation(
    "Cancel a background response", "Responses", "What it had said stays, and is billed.", answer=answers.RESPONSE
)
INPUT_ITEMS = Operation(
    "List what a response was made from", "Responses", parameters=ITEM_PAGE, answer=answers.ITEM_LIST
)

_MOST_ITEMS = {**items.tree, "minItems": 0, "maxItems": 20}
_METADATA = object_tree({"metadata": metadata})
CREATE_CONVERSATION = Operation(
    "Create a conversation",
    "Conversations",
    request={"type": "object", "properties": {"items": or_null(_MOST_ITEMS), "metadata": or_null(metadata.tree)}},
    answer=answers.CONVERSATION,
    errors=WRITE_ERRORS,
)
GET_CONVERSATION = Operation("Read a conversation", "Conversations", answer=answers.CONVERSATION)
UPDATE_CONVERSATION = Operation(
    "Set a conversation's metadata",
    "Conversations",
    request=_METADATA,
    answer=answers.CONVERSATION,
    errors=WRITE_ERRORS,
)
DELETE_CONVERSATION = Operation("Delete a conversation with its items", "Conversations", answer=answers.DELETED)
LIST_ITEMS = Operation("List a conversation's items", "Conversations", parameters=ITEM_PAGE, answer=answers.ITEM_LIST)
CREATE_ITEMS = Operation(
    "Append items to a conversation",
    "Conversations",
    request={"type": "object", "properties": {"items": _MOST_ITEMS}, "required": ["items"]},
    answer=answers.ITEM_LIST,
    errors=WRITE_ERRORS,
)
GET_ITEM = Operation("Read an item", "Conversations", answer=answers.ITEM)
DELETE_ITEM = Operation(
    "Delete an item", "Conversations", "The answer is the conversation.", answer=answers.CONVERSATION
)

_NUMBER = or_null({"type": "integer"})
_WORDS: Tree = {"type": "array", "items": _TEXT}
MODEL = Component(
    "Model",
    members(
        ("id", "object", "created", "owned_by", "name", "pricing", "available"),
        id={"type": "string", "description": "`provider/model`, or an alias."},
        object=constant("model"),
        created={"type": "integer"},
        owned_by=_TEXT,
        name=_TEXT,
        description=or_null(_TEXT),
        context_length=_NUMBER,
        max_output_tokens=_NUMBER,
        architecture=members(input_modalities=_WORDS, output_modalities=_WORDS),
        pricing={"type": ["object", "null"], "description": "USD per token or event, as decimal strings."},
        supported_parameters=_WORDS,
        operations={**_WORDS, "description": "What it does: `chat`, `embeddings`, `images`, ..."},
        available={"type": "boolean", "description": "Whether a request would be accepted now."},
        alias_of=_TEXT,
    ),
)
LIST_MODELS = Operation(
    "List the models",
    "Models",
    "The models this gateway serves, aliases included.",
    auth=(KEY, SESSION),
    answer=Component("ModelList", listing(MODEL)),
    errors=READ_ERRORS,
)
GET_MODEL = replace(
    LIST_MODELS,
    summary="Read a model",
    auth=(KEY,),
    description="",
    parameters=(Parameter("id", "`provider/model` or an alias; the slash may be written `%2F`.", place="path"),),
    answer=MODEL,
)
