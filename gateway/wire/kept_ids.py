"""Ids in a request that name something which the provider keeps: files, vector stores, containers,
prompts, caches, conversations, voices.

The provider knows one account, the operator's; whoever names such an id would get at what another caller keeps there.
Source: OpenAI's `openapi.yaml`, CreateChatCompletionRequest and CreateResponse, and the documents of the servers that
added to it (`cached_content`, `thread`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

from gateway.wire.structure import Place, objects_of, path_of, spellings


class KeptId(NamedTuple):
    """kind: what it names: `file`, `vector_store`, `container`, `prompt`, `cache`, `conversation`, `response`, `skill`,
    `voice`. id: the id itself, "" where a value stands that is none. path: of the member that holds it, such as
    `messages[0].content[1].file.file_id`."""

    kind: str
    id: str
    path: str


_KINDS = {
    "file_id": "file",
    "file_ids": "file",
    "file_uri": "file",
    "vector_store_id": "vector_store",
    "vector_store_ids": "vector_store",
    "file_search_store_names": "vector_store",
    "container": "container",
    "container_id": "container",
    "container_ids": "container",
    "prompt": "prompt",
    "prompt_id": "prompt",
    "assistant_id": "prompt",
    "cached_content": "cache",
    "cache_id": "cache",
    "conversation": "conversation",
    "conversation_id": "conversation",
    "thread": "conversation",
    "thread_id": "conversation",
    "previous_response_id": "response",
    "previous_interaction_id": "response",
    "previous_message_id": "conversation",
    "skill_id": "skill",
    "voice": "voice",
}

KINDS: Mapping[str, str] = MappingProxyType(
    {spelled: kind for name, kind in _KINDS.items() for spelled in (*spellings(name), name.replace("_", "-"))}
)
"""Members whose value names what is kept, in the spellings that servers take. The value is an id, an object with an
`id`, or a list of those."""

_WORDS = frozenset({"voice", "prompt"})
"""Members that name something only by an object with an `id`: a text there is a word of the API, or a text."""
_NAMES = frozenset(KINDS)


def kept_ids(body: Mapping[str, Any]) -> Iterator[KeptId]:
    """The ids in a body, whatever its dialect and wherever they stand. Linear, and blind to texts."""
    for place, node in objects_of(body):
        yield from ids_in(place, node)


def ids_in(place: Place | None, node: Mapping[str, Any]) -> Sequence[KeptId]:
    """The ids that an object names itself, not those in the objects that it holds (`gateway.wire.structure`)."""
    if _NAMES.isdisjoint(node):
        return ()  # nearly always
    return [kept for name, value in node.items() if name in KINDS for kept in _named(name, value, path_of(place, name))]


def _named(name: str, value: Any, path: str) -> Iterator[KeptId]:
    kind = KINDS[name]
    if isinstance(value, str):
        if value and name not in _WORDS:
            yield KeptId(kind, value, path)
    elif isinstance(value, dict):
        if value.get("id"):
            yield KeptId(kind, str(value["id"]), f"{path}.id")
    elif isinstance(value, list):
        for at, one in enumerate(value):
            if one is not None:
                yield KeptId(kind, one if isinstance(one, str) else "", f"{path}[{at}]")
    elif value is not None and value is not False:
        yield KeptId(kind, "", path)
