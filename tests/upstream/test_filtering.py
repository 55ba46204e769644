"""Filters of answers: any split gives the same text, nothing is lost, and nothing passes beside them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.provider import StreamItem, UpstreamReply
from gateway.readers import ChatReader
from gateway.testing import chunk, make_call, openai_completion, openai_stream, parsed, sse
from gateway.upstream.filtering import FilteredReader


class Upper:
    """Upper-case text, held back up to the last space."""

    def __init__(self) -> None:
        self.held = ""

    def feed(self, text: str) -> str:
        self.held += text
        end = self.held.rfind(" ") + 1
        shown, self.held = self.held[:end], self.held[end:]
        return shown.upper()

    def finish(self) -> str:
        shown, self.held = self.held, ""
        return shown.upper()


class Exclaim:
    """Every E becomes an exclamation mark."""

    def feed(self, text: str) -> str:
        return text.replace("E", "!")

    def finish(self) -> str:
        return ""


def reader(*makers: Any) -> FilteredReader:
    return FilteredReader(ChatReader(make_call()), makers or (Upper, Exclaim))


def read(pieces: Sequence[bytes], made: FilteredReader | None = None) -> list[Any]:
    decoder = (made or reader()).open_stream()
    items: list[StreamItem] = []
    for piece in pieces:
        items += decoder.feed(piece)
    items += decoder.finish()
    return parsed(items)


def text_of(items: list[Any], name: str = "content", index: int = 0) -> str:
    deltas = [c["delta"] for item in items for c in item["choices"] if c["index"] == index]
    return "".join(delta.get(name) or "" for delta in deltas)


@given(st.lists(st.sampled_from(["he", "llo ", "the", " ", "r", "e  e", ""]), max_size=9), st.integers(1, 40))
def test_any_split_gives_the_same_text(texts: list[str], size: int) -> None:
    raw = b"".join(openai_stream(*texts))
    items = read([raw[at : at + size] for at in range(0, len(raw), size)])
    assert text_of(items) == "".join(texts).upper().replace("E", "!")
    assert [c["finish_reason"] for item in items for c in item["choices"] if c["finish_reason"]] == ["stop"]
    assert items[-1]["usage"]["prompt_tokens"] == 10


def test_whole_answers() -> None:
    body = openai_completion("see me", reasoning_content="e e", refusal="no e", reasoning_details=[{"text": "e"}])
    message = reader().read_reply(UpstreamReply(200, {}, orjson.dumps(body))).body["choices"][0]["message"]
    assert (message["content"], message["reasoning_content"], message["refusal"]) == ("S!! M!", "! !", "NO !")
    assert "reasoning_details" not in message


def test_choices_and_thoughts_are_texts_of_their_own() -> None:
    def part(index: int, finish: str | None = None, **delta: Any) -> bytes:
        return sse({**chunk({}), "choices": [{"index": index, "delta": delta, "finish_reason": finish}]})

    pieces = [part(0, content="a b"), part(1, content="x"), part(0, reasoning_content="th"), part(1, content="y z")]
    pieces += [part(0, reasoning_content="ink"), part(0, "stop"), part(1, "stop"), b"data: [DONE]\n\n"]
    items = read(pieces)
    assert (text_of(items), text_of(items, index=1), text_of(items, "reasoning_content")) == ("A B", "XY Z", "THINK")


def test_text_before_a_call_stays_before_it() -> None:
    call = {"index": 0, "id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    pieces = [sse(chunk({"content": "one two"})), sse(chunk({"tool_calls": [call]}))]
    pieces.append(sse(chunk({}, finish="tool_calls")))
    items = read(pieces)
    assert items[1]["choices"][0]["delta"]["content"] == "TWO"
    assert items[1]["choices"][0]["delta"]["tool_calls"] == [call]


def test_a_stream_that_breaks_off_gives_what_was_held() -> None:
    assert text_of(read([sse(chunk({"content": "half a wor"}))])) == "HALF A WOR"


def test_a_whole_answer_to_a_streamed_request() -> None:
    reply = UpstreamReply(200, {}, orjson.dumps(openai_completion("see me")))
    assert text_of(reader().unfold(reply)) == "S!! M!"


@pytest.mark.parametrize("raw", [b"data: nonsense\n\n", b"data: []\n\n", b'data: {"choices":[null,{"delta":7}]}\n\n'])
def test_nonsense_passes_to_whoever_judges_it(raw: bytes) -> None:
    read([raw])
