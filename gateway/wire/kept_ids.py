"""Ids in a request that name something which the provider keeps: files, vector stores, containers,
prompts, caches, conversations, voices.

The provider knows one account, the operator's; whoever names such an id would get at what another caller keeps there.
Source: OpenAI's `openapi.yaml`, CreateChatCompletionRequest and CreateResponse, and the documents of the servers that
added to it (`cached_content`, `thread`). What an answer tells of such ids (annotations, results of a file search) is
given back in a later turn and names nothing that is then read.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple


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


def _spellings(name: str) -> tuple[str, ...]:
    first, *words = name.split("_")
    return name, first + "".join(word.title() for word in words), name.replace("_", "-")


KINDS: Mapping[str, str] = MappingProxyType(
    {spelled: kind for name, kind in _KINDS.items() for spelled in _spellings(name)}
)
"""Members whose value names what is kept, in the spellings that servers take. The value is an id, an object with an
`id`, or a list of those."""

_WORDS = frozenset({"voice", "prompt"})
"""Members that name something only by an object with an `id`: a text there is a word of the API, or a text."""
_OWN = frozenset({"parameters", "input_schema", "arguments", "schema", "metadata"})
"""Members of the caller's own words, below which a name means what the caller says."""
TEXT_PARTS = ("text", "input_text", "output_text")
"""Types of parts that hold words and nothing else that a provider reads."""
_OF_ITEMS = ("file_id", "container_id")
_BELOW = 4
"""How deep a part or a tool is looked into."""


def kept_ids(body: Mapping[str, Any]) -> Iterator[KeptId]:
    """The ids in a body, in its order. Linear in the number of its parts, and blind to texts."""
    for name, value in body.items():
        if name == "messages" or name == "input":
            yield from _in_turns(name, value)
        elif name == "tools":
            for at, tool in enumerate(value if isinstance(value, list) else ()):
                if isinstance(tool, dict) and tool.get("type") not in ("function", "custom"):
                    yield from _inside(tool, f"tools[{at}]", _BELOW)
        elif name == "audio":
            yield from _inside(value, name, _BELOW)
        elif name in KINDS:
            yield from _named(name, value, name)
            yield from _inside(value, name, _BELOW)


def kept_ids_of_plain(body: Mapping[str, Any]) -> Iterator[KeptId]:
    """The same in a body without turns (images, audio, moderations): in each of its members, and the objects in them.
    What is ranked is the caller's own."""
    for name, value in body.items():
        if name in KINDS:
            yield from _named(name, value, name)
        if name in _OWN or name == "documents":
            continue
        yield from _inside(value, name, _BELOW)
        for at, item in enumerate(value if isinstance(value, list) else ()):
            if isinstance(item, dict):
                yield from _inside(item, f"{name}[{at}]", _BELOW)


def _in_turns(name: str, turns: Any) -> Iterator[KeptId]:
    for at, turn in enumerate(turns if isinstance(turns, list) else ()):
        if not isinstance(turn, dict):
            continue
        for holder in ("content", "output"):
            content = turn.get(holder)
            if content is None or type(content) is str:
                continue  # nearly always
            if isinstance(content, list):
                for place, part in enumerate(content):
                    if isinstance(part, dict) and part.get("type") not in TEXT_PARTS:
                        yield from _inside(part, f"{name}[{at}].{holder}[{place}]", _BELOW)
            else:
                yield from _inside(content, f"{name}[{at}].{holder}", _BELOW)
        for member in _OF_ITEMS:
            if member in turn:
                yield from _named(member, turn[member], f"{name}[{at}].{member}")


def _inside(value: Any, path: str, below: int) -> Iterator[KeptId]:
    """The ids in a part or a tool, and in the objects that it holds."""
    for name, inner in value.items() if isinstance(value, dict) else ():
        if name in KINDS:
            yield from _named(name, inner, f"{path}.{name}")
        if isinstance(inner, dict) and below and name not in _OWN:
            yield from _inside(inner, f"{path}.{name}", below - 1)
        elif name == "skills" and below:
            for at, skill in enumerate(inner if isinstance(inner, list) else ()):
                yield from _inside(skill, f"{path}.{name}[{at}]", below - 1)


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
