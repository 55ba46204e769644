"""What was done in an earlier turn, told in words where it stood."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.wire.chat.activity import activity_event, activity_notes, tell_activity

SEARCH = {"id": "ws_1", "type": "web_search_call", "status": "completed"}


def said(content: Any, *events: Any) -> dict[str, Any]:
    return {"role": "assistant", "content": content, "x_gateway": list(events)}


@pytest.mark.parametrize(
    ("item", "words"),
    [
        (
            {**SEARCH, "action": {"type": "search", "query": "a", "queries": ["a", "b"]}},
            '(Searched the web for "a", "b")',
        ),
        (
            {
                **SEARCH,
                "action": {"type": "search", "query": "a", "sources": [{"type": "url", "url": "https://x.example/"}]},
            },
            '(Searched the web for "a". Found:\nhttps://x.example/\n)',
        ),
        (
            {
                **SEARCH,
                "action": {"type": "search", "sources": [{"url": "https://x.example/"}]},
                "results": [{"url": "https://x.example/", "title": "X", "text": "Words."}],
            },
            "(Searched the web. Found:\nhttps://x.example/ X: Words.\n)",
        ),
        ({**SEARCH, "status": "failed", "action": {"query": "a"}}, '(Searched the web for "a"; the search failed)'),
        (
            {**SEARCH, "action": {"type": "open_page", "url": "https://x.example/"}},
            "(Opened the page https://x.example/)",
        ),
        (
            {**SEARCH, "action": {"type": "find_in_page", "url": "https://x.example/", "pattern": "p"}},
            '(Looked for "p" on the page https://x.example/)',
        ),
        (
            {"type": "file_search_call", "queries": ["q"], "results": [{"filename": "a.txt", "text": "t"}]},
            '(Searched the files for "q". Found:\na.txt t\n)',
        ),
        (
            {"type": "code_interpreter_call", "code": "1+1", "outputs": [{"type": "logs", "logs": "2"}]},
            "(Ran this code:\n1+1\nIt printed:\n2\n)",
        ),
        ({"type": "image_generation_call", "result": "iVBO", "revised_prompt": "a cat"}, '(Made a picture of "a cat")'),
        (
            {"type": "mcp_call", "name": "t", "arguments": "{}", "output": "o"},
            "(Called the tool t with {}. It brought:\no\n)",
        ),
    ],
)
def test_each_kind_has_its_words(item: dict[str, Any], words: str) -> None:
    assert tell_activity(said("", activity_event(item)))["content"] == words


def test_words_stand_where_the_work_was_done() -> None:
    first = activity_event({"type": "mcp_call", "name": "one"})
    second = activity_event({"type": "mcp_call", "name": "two"}, 4)
    assert tell_activity(said("Look here.", second, first)) == {
        "role": "assistant",
        "content": "(Called the tool one)\n\nLook\n\n(Called the tool two)\n\n here.",
    }
    parts = [{"type": "text", "text": "Look", "cache_control": {}}, {"type": "text", "text": " here."}]
    assert tell_activity(said(parts, second))["content"] == [
        {"type": "text", "text": "Look", "cache_control": {}},
        {"type": "text", "text": "(Called the tool two)"},
        {"type": "text", "text": " here."},
    ]
    assert tell_activity(said(None, first))["content"] == "(Called the tool one)"


def test_what_the_target_knows_otherwise_and_nonsense_are_left_out() -> None:
    events = [
        activity_event(SEARCH),
        {"event": "added", "item": SEARCH},
        {"event": "done", "item": 5},
        7,
        {"event": []},
    ]
    assert tell_activity(said("x", *events), {"ws_1"}) == {"role": "assistant", "content": "x"}
    assert tell_activity(said("x", {"event": "done", "item": {"type": []}, "after_text": -1}))["content"] == "x"
    assert tell_activity({"role": "assistant", "content": "x", "x_gateway": 5}) == {"role": "assistant", "content": "x"}
    assert activity_notes({"x_gateway": [activity_event(SEARCH)]}, {"ws_1"}) == []
    plain = {"role": "assistant", "content": "x"}
    assert tell_activity(plain) is plain
