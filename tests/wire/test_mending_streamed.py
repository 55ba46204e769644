"""A text of JSON that comes in pieces is mended as the whole would be."""

from __future__ import annotations

import json
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.wire.mending import StreamedJson, load_mended

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text('ab"\\\\\\n\\r\\t\\x01\\u00e4/u0', max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text('a"\\n', max_size=3), inner, max_size=3),
    max_leaves=6,
)
RAW = {"\\n": "\n", "\\r": "\r", "\\t": "\t", "\\u0001": "\x01"}


def with_raw_controls(text: str) -> str:
    """JSON as a model writes it that forgets to escape: control characters stand in its strings as they are."""
    out, at = "", 0
    while at < len(text):
        found = next((escape for escape in RAW if text.startswith(escape, at)), None)
        if text.startswith("\\\\", at):
            found = None
            out, at = out + "\\\\", at + 2
        elif found is not None:
            out, at = out + RAW[found], at + len(found)
        else:
            out, at = out + text[at], at + 1
    return out


@given(VALUES, st.sampled_from([None, 1]), st.lists(st.integers(0, 60), max_size=6))
def test_any_value_at_any_splits(value: Any, indent: int | None, cuts: list[int]) -> None:
    text = json.dumps(value, indent=indent)
    written = with_raw_controls(text)
    assert load_mended(written.encode()) == value
    for given_text in (text, written):
        mender, out, places = StreamedJson(), "", sorted(min(cut, len(given_text)) for cut in cuts)
        for start, end in zip([0, *places], [*places, len(given_text)], strict=True):
            out += mender.mend(given_text[start:end])
        assert orjson.loads(out) == value
        if given_text is text:
            assert out == text, "what is right stays as it is"


@pytest.mark.parametrize("at", range(1, 10))
def test_a_backslash_before_a_line_end_escapes_it(at: int) -> None:
    mender, written = StreamedJson(), '{"a":"\\\n"}'
    assert orjson.loads(mender.mend(written[:at]) + mender.mend(written[at:])) == {"a": "\n"}


def test_pieces_that_change_nothing_are_the_same_objects() -> None:
    mender = StreamedJson()
    for piece in ('{"a', '":"', "plain words", "\\", "n", '"}'):
        assert mender.mend(piece) is piece
        assert mender.is_calm == (piece != "\\")
