"""Token counts: where they stand and what can be believed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.wire import usage as reading
from gateway.wire.usage import UsageNumbers, add_usage, find_usage, in_chat_names, read_usage

FIXTURES = Path(__file__).parent / "fixtures" / "chat"
COUNTS = {"prompt_tokens": 1, "completion_tokens": 2}


@pytest.mark.parametrize(
    ("obj", "found"),
    [
        ({"usage": COUNTS}, COUNTS),
        ({"usage": None, "choices": []}, None),
        ({"usage": {}}, None),
        ({"choices": [{"index": 0, "usage": COUNTS}]}, COUNTS),
        ({"usage": None, "choices": [{"delta": {}}, {"usage": COUNTS}]}, COUNTS),
        ({"usage": COUNTS, "choices": [{"usage": {"prompt_tokens": 9}}]}, COUNTS),
        ({"choices": [None, 5, {"usage": []}]}, None),
        ({"choices": [], "x_server": {"id": "r", "usage": COUNTS}}, COUNTS),
        ({"choices": [], "x_server": {"usage": {}}, "y": {"usage": COUNTS}}, None),
        ({"usage": [COUNTS]}, None),
        ({"choices": {"usage": COUNTS}}, None),
        ({}, None),
        (None, None),
        ([{"usage": COUNTS}], None),
    ],
)
def test_find(obj: Any, found: Any) -> None:
    assert find_usage(obj) == found


def test_recorded() -> None:
    whole = orjson.loads((FIXTURES / "whole-audio-input.json").read_bytes())["body"]
    assert read_usage(whole["usage"]) == UsageNumbers(53, 123, audio_input_tokens=37)
    whole = orjson.loads((FIXTURES / "whole-reasoning.json").read_bytes())["body"]
    assert read_usage(whole["usage"]) == UsageNumbers(11, 202, reasoning_tokens=192)


def usage(prompt: Any = 10, completion: Any = 20, **more: Any) -> dict[str, Any]:
    return {"prompt_tokens": prompt, "completion_tokens": completion, **more}


@pytest.mark.parametrize(
    ("raw", "numbers"),
    [
        (usage(), UsageNumbers(10, 20)),
        (usage(0, 0), UsageNumbers()),
        (usage(10.0), UsageNumbers(10, 20)),
        (usage(prompt_tokens_details=None), UsageNumbers(10, 20)),
        (
            usage(
                prompt_tokens_details={
                    "cached_tokens": 3,
                    "cache_write_tokens": 4,
                    "audio_tokens": 5,
                    "image_tokens": 6,
                },
                completion_tokens_details={"reasoning_tokens": 7, "audio_tokens": 8, "image_tokens": 9},
            ),
            UsageNumbers(10, 20, 3, 4, 7, 5, 8, 6, 9),
        ),
        # other spellings
        (
            {
                "input_tokens": 10,
                "output_tokens": 20,
                "input_tokens_details": {"cached_tokens": 3},
                "output_tokens_details": {"reasoning_tokens": 4},
            },
            UsageNumbers(10, 20, 3, reasoning_tokens=4),
        ),
        (usage(cached_tokens=3), UsageNumbers(10, 20, 3)),
        (usage(prompt_cache_hit_tokens=3, prompt_cache_miss_tokens=7), UsageNumbers(10, 20, 3)),
        # a main count out of the total
        ({"prompt_tokens": 10, "total_tokens": 30}, UsageNumbers(10, 20)),
        ({"completion_tokens": 20, "total_tokens": 30}, UsageNumbers(10, 20)),
        # reasoning counted beside the completion
        (
            usage(10, 20, total_tokens=37, completion_tokens_details={"reasoning_tokens": 7}),
            UsageNumbers(10, 27, reasoning_tokens=7),
        ),
        (
            usage(10, 20, total_tokens=30, completion_tokens_details={"reasoning_tokens": 7}),
            UsageNumbers(10, 20, reasoning_tokens=7),
        ),
        # audio counted beside the prompt (recorded: an answer about 4 seconds of speech)
        (
            usage(9, 201, total_tokens=585, prompt_tokens_details={"cached_tokens": 0, "audio_tokens": 375}),
            UsageNumbers(384, 201, audio_input_tokens=375),
        ),
        (
            usage(
                10,
                20,
                total_tokens=42,
                prompt_tokens_details={"audio_tokens": 5},
                completion_tokens_details={"reasoning_tokens": 7},
            ),
            UsageNumbers(15, 27, reasoning_tokens=7, audio_input_tokens=5),
        ),
        # two parts alike: it is taken for reasoning, never for both
        (
            usage(
                10,
                20,
                total_tokens=35,
                prompt_tokens_details={"audio_tokens": 5},
                completion_tokens_details={"reasoning_tokens": 5},
            ),
            UsageNumbers(10, 25, reasoning_tokens=5, audio_input_tokens=5),
        ),
        # nonsense
        (usage(-1), UsageNumbers(0, 20, sane=False)),
        (usage("10"), UsageNumbers(0, 20, sane=False)),
        (usage(True), UsageNumbers(0, 20, sane=False)),
        (usage(1.5), UsageNumbers(0, 20, sane=False)),
        (usage(float("nan")), UsageNumbers(0, 20, sane=False)),
        (usage(float("inf")), UsageNumbers(0, 20, sane=False)),
        (usage(2**40), UsageNumbers(2**40, 20)),
        (usage(2**40 + 1), UsageNumbers(0, 20, sane=False)),
        (usage(10**400), UsageNumbers(0, 20, sane=False)),
        (usage([]), UsageNumbers(0, 20, sane=False)),
        (usage(-1, 20, total_tokens=30), UsageNumbers(10, 20, sane=False)),
        ({"prompt_tokens": 10}, UsageNumbers(10, 0, sane=False)),
        ({"total_tokens": 10}, UsageNumbers(sane=False)),
        ({"prompt_tokens": 10, "total_tokens": 5}, UsageNumbers(10, 0, sane=False)),
        ({}, UsageNumbers(sane=False)),
        (usage(prompt_tokens_details=[1]), UsageNumbers(10, 20)),
        (usage(prompt_tokens_details={"cached_tokens": -1}), UsageNumbers(10, 20, sane=False)),
        # a part is never larger than its whole
        (usage(prompt_tokens_details={"cached_tokens": 11}), UsageNumbers(10, 20, 10, sane=False)),
        (
            usage(prompt_tokens_details={"cached_tokens": 8, "cache_write_tokens": 3}),
            UsageNumbers(10, 20, 8, 2, sane=False),
        ),
        (
            usage(completion_tokens_details={"reasoning_tokens": 21}),
            UsageNumbers(10, 20, reasoning_tokens=20, sane=False),
        ),
        (
            usage(completion_tokens_details={"audio_tokens": 21}),
            UsageNumbers(10, 20, audio_output_tokens=20, sane=False),
        ),
    ],
)
def test_read(raw: dict[str, Any], numbers: UsageNumbers) -> None:
    assert read_usage(raw) == numbers


NONSENSE = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=2)
NAMES = st.sampled_from(
    ["prompt_tokens", "completion_tokens", "total_tokens", "cached_tokens", "reasoning_tokens", "audio_tokens"]
)


@given(
    st.dictionaries(NAMES, NONSENSE),
    st.dictionaries(
        st.sampled_from(["prompt_tokens_details", "completion_tokens_details"]),
        NONSENSE | st.dictionaries(NAMES, NONSENSE),
    ),
)
def test_always_a_consistent_reading(main: dict[str, Any], details: dict[str, Any]) -> None:
    read = read_usage({**main, **details})
    for name in UsageNumbers.__slots__:
        value = getattr(read, name)
        assert type(value) is (bool if name == "sane" else int)
        assert 0 <= value <= 2**40
    assert read.cached_tokens + read.cache_write_tokens <= read.prompt_tokens
    assert max(read.reasoning_tokens, read.audio_output_tokens) <= read.completion_tokens


FEW = st.sampled_from([None, 0, 1, 2, 3, -1, 2**41, False, True, 0.0, 1.5, ""])


@given(
    st.fixed_dictionaries({"prompt_tokens": FEW, "completion_tokens": FEW}, optional={"total_tokens": FEW}),
    st.dictionaries(
        st.sampled_from(["prompt_tokens_details", "completion_tokens_details", "cached_tokens", "cost"]),
        FEW | st.dictionaries(NAMES, st.sampled_from([None, 0, 0, 0, 1, False, 0.0, ""])),
    ),
)
def test_the_short_way_reads_what_the_long_one_does(main: dict[str, Any], details: dict[str, Any]) -> None:
    raw = {**main, **details}
    assert read_usage(raw) == reading._read_all(raw)


def test_the_sum_of_usages() -> None:
    one = {"prompt_tokens": 1, "details": {"cached": 2}, "tier": "a", "odd": True}
    other = {"prompt_tokens": 4, "details": {"cached": 8, "audio": 16}, "tier": "b"}
    total = {"prompt_tokens": 5, "details": {"cached": 10, "audio": 16}, "tier": "a", "odd": True}
    assert add_usage([one, other]) == total
    assert add_usage([one, None]) is None, "a sum without one of them would be too small"
    assert add_usage([]) == {}


def test_counts_under_other_names_stand_under_those_of_chat_too() -> None:
    assert in_chat_names({"input_tokens": 7, "output_tokens": 2}) == {
        "input_tokens": 7,
        "output_tokens": 2,
        "prompt_tokens": 7,
        "completion_tokens": 2,
        "total_tokens": 9,
    }
    for usage in (COUNTS, {"input_tokens": "many", "output_tokens": 2}):
        assert in_chat_names(usage) is usage
