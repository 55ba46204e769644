"""A body that is nothing but words needs none of the walks that look for more."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.fetch.body import find_links
from gateway.wire.bridge.retelling import retell
from gateway.wire.chat.functions import has_functions
from gateway.wire.chat.plain import PLAIN_MEMBERS, says_only_words
from gateway.wire.kept_ids import KINDS, kept_ids
from gateway.wire.tool_names import plan_chat

NOTHING_FITS = r"(?!)"
"""A rule for names of functions that none keeps."""

SAID = st.sampled_from(["Hello", "file_id", "https://127.0.0.1/x", ""])
VALUES = st.one_of(
    st.none(), SAID, st.just({"type": "function", "name": "f", "file_id": "file-1"}), st.just([{"id": "prompt_1"}])
)
MESSAGES = st.fixed_dictionaries(
    {"role": st.sampled_from(["user", "assistant", "system", "developer", "tool", "function"])},
    optional={"content": VALUES, "name": SAID, "tool_calls": VALUES, "function_call": VALUES, "x_gateway": VALUES},
)
NAMES = st.sampled_from([*PLAIN_MEMBERS, "tools", "functions", "audio", "file_id", "prompt", "conversation"])
BODIES = st.builds(
    lambda messages, more: {**more, "messages": messages},
    st.lists(MESSAGES, max_size=3),
    st.dictionaries(NAMES, VALUES, max_size=3),
)


@given(BODIES)
def test_a_body_of_words_holds_nothing_that_a_walk_would_find(body: dict[str, Any]) -> None:
    if not says_only_words(body):
        return
    # What a plain member may be itself is said by the checks of the format, and has no ids in it.
    words = {name: value for name, value in body.items() if name == "messages" or not isinstance(value, dict | list)}
    assert not list(kept_ids(words))
    assert not find_links(body)
    assert not has_functions(body)
    assert retell(body, frozenset()).body is body
    assert plan_chat(body, NOTHING_FITS) is None


def test_no_plain_member_names_what_a_check_looks_for() -> None:
    assert PLAIN_MEMBERS.isdisjoint(KINDS)
    assert PLAIN_MEMBERS.isdisjoint({"tools", "functions", "tool_choice", "function_call", "web_search_options"})


WORDS: dict[str, Any] = {"role": "user", "content": "Hello"}


@pytest.mark.parametrize(
    "more",
    [
        {"tools": []},
        {"stranger": 1},
        {"messages": [{"role": "user", "content": [{"type": "file", "file": {"file_id": "file-1"}}]}]},
        {"messages": [{**WORDS, "file_id": "file-1"}]},
        {"messages": [{"role": "tool", "content": "42"}]},
        {"messages": [{"role": ["user"], "content": "Hello"}]},
        {"messages": "Hello"},
        {"messages": None},
    ],
)
def test_what_is_more_than_words(more: dict[str, Any]) -> None:
    body = {"model": "m", "messages": [WORDS], "temperature": 0}
    assert says_only_words(body)
    assert not says_only_words({**body, **more})
