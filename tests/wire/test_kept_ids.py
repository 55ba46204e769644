"""Ids of what a provider keeps are found wherever a body may name them, and nothing else is taken for one."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.wire.kept_ids import KeptId, kept_ids

FILE_1 = {"type": "input_file", "file_id": "1"}


def parts(*found: Any) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": "Hi"}, {"role": "user", "content": list(found)}]}


def part(**more: Any) -> dict[str, Any]:
    return parts({"type": "x", **more})


def item(**more: Any) -> dict[str, Any]:
    return {"input": [{"type": "x", **more}]}


def tool(**more: Any) -> dict[str, Any]:
    return {"tools": [{"type": "x", **more}]}


PART = "messages[1].content[0]"
SKILLS = {"skills": [{"skill_id": "1"}]}


@pytest.mark.parametrize(
    ("body", "kind", "path"),
    [
        (part(file={"file_id": "1"}), "file", f"{PART}.file.file_id"),
        (part(image_file={"fileId": "1"}), "file", f"{PART}.image_file.fileId"),
        (part(source={"type": "file", "file_id": "1"}), "file", f"{PART}.source.file_id"),
        (part(file_id="1"), "file", f"{PART}.file_id"),
        (item(content=[{"type": "input_image", "file_id": "1"}]), "file", "input[0].content[0].file_id"),
        (item(output=[FILE_1]), "file", "input[0].output[0].file_id"),
        (item(output={"file_id": "1"}), "file", "input[0].output.file_id"),
        (item(container_id="1"), "container", "input[0].container_id"),
        (tool(vector_store_ids=["1"]), "vector_store", "tools[0].vector_store_ids[0]"),
        (tool(container="1"), "container", "tools[0].container"),
        (tool(container={"file_ids": ["1"]}), "file", "tools[0].container.file_ids[0]"),
        (tool(environment=SKILLS), "skill", "tools[0].environment.skills[0].skill_id"),
        ({"prompt": {"id": "1"}}, "prompt", "prompt.id"),
        ({"cachedContent": "1"}, "cache", "cachedContent"),
        ({"cached_content": "1"}, "cache", "cached_content"),
        ({"conversation": "1"}, "conversation", "conversation"),
        ({"conversation": {"id": "1"}}, "conversation", "conversation.id"),
        ({"thread": "1"}, "conversation", "thread"),
        ({"thread": {"type": "continue", "previous_message_id": "1"}}, "conversation", "thread.previous_message_id"),
        ({"container": "1"}, "container", "container"),
        ({"container": {"id": "1"}}, "container", "container.id"),
        ({"previous_response_id": "1"}, "response", "previous_response_id"),
        ({"audio": {"voice": {"id": "1"}}}, "voice", "audio.voice.id"),
        # where a server of its own, or another tool, has them
        ({"google": {"cached_content": "1"}}, "cache", "google.cached_content"),
        ({"extra_body": {"google": {"cached_content": "1"}}}, "cache", "extra_body.google.cached_content"),
        (
            item(type="additional_tools", **tool(vector_store_ids=["1"])),
            "vector_store",
            "input[0].tools[0].vector_store_ids[0]",
        ),
        ({"tools": [[{"vector_store_ids": ["1"]}]]}, "vector_store", "tools[0][0].vector_store_ids[0]"),
        (item(environment={"container_id": "1"}), "container", "input[0].environment.container_id"),
        ({"prompt": {"variables": {"file_id": FILE_1, "x": "1"}}}, "file", "prompt.variables.file_id.file_id"),
        ({"tools": [{"type": "function", "function": {"file_id": "1"}}]}, "file", "tools[0].function.file_id"),
        # what is no conversation
        ({"input": "Hi", "voice": {"id": "1"}}, "voice", "voice.id"),
        ({"prompt": "Hi", "file_id": "1"}, "file", "file_id"),
        ({"prompt": "Hi", "image": {"file_id": "1"}}, "file", "image.file_id"),
        ({"prompt": "Hi", "images": [{"image_url": "x"}, {"file_id": "1"}]}, "file", "images[1].file_id"),
        ({"input": [{"type": "image_url", "image_url": {"fileId": "1"}}]}, "file", "input[0].image_url.fileId"),
        ({"file_ids": ["1"]}, "file", "file_ids[0]"),
    ],
)
def test_an_id_is_found_where_it_stands(body: dict[str, Any], kind: str, path: str) -> None:
    assert list(kept_ids(body)) == [KeptId(kind, "1", path)]


@pytest.mark.parametrize("value", [7, True, [None, 7], [{"id": "x"}]])
def test_what_is_no_id_is_told_too(value: Any) -> None:
    assert [kept.id for kept in kept_ids({"file_ids": value})] == [""]


@pytest.mark.parametrize(
    "body",
    [
        parts({"type": "text", "text": "file_id", "annotations": [{"file_id": "f"}]}),
        {"input": [{"type": "message", "content": [{"type": "output_text", "annotations": [{"file_id": "f"}]}]}]},
        {"input": [{"type": "file_search_call", "results": [{"file_id": "f"}]}]},
        {"input": "file_id", "prompt": "file_id", "metadata": {"file_id": "f"}, "container": None, "thread": {}},
        {"tools": [{"type": "function", "function": {"parameters": {"properties": {"file_id": {"type": "string"}}}}}]},
        {"tools": [{"type": "function", "name": "f", "parameters": {"container": {"id": "x"}}}]},
        {"tools": [{"type": "tool", "input_schema": {"properties": {"file_id": {"type": "string"}}}}]},
        {"audio": {"voice": "alloy", "format": "wav"}, "messages": [None, "x"]},
        {"messages": [{"annotations": [{"file_id": "f"}], "reasoning_details": [{"part": {"file_uri": "f"}}]}]},
        {"input": "Hi", "voice": "alloy", "prompt": "file_id"},
        {"input": [[1, 2], [3]]},
        {"query": "q", "documents": [{"text": "a", "thread_id": "1", "file_id": "2"}]},
        {"prompt": {"variables": {"file_id": "x", "thread": "x"}}},
    ],
)
def test_words_of_callers_are_none(body: dict[str, Any]) -> None:
    assert list(kept_ids(body)) == []
