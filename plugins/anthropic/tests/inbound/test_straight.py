"""Native deltas that go straight must not be told from those that are read: the same bytes, the same counts."""

from __future__ import annotations

import itertools
import random
from typing import Any

import orjson
import pytest
from tollgate_anthropic.inbound.native import NativeDecoder
from tollgate_anthropic.inbound.relay import MessagesRelay
from tollgate_anthropic.inbound.straight import StraightDeltas
from tollgate_anthropic.inbound.tally import MessagesTally

from gateway.api import Straight
from gateway.testing import make_call, sse

START = {"type": "message_start", "message": {"id": "msg_1", "usage": {"input_tokens": 5, "output_tokens": 1}}}
END = {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 7}}
STOP = {"type": "message_stop"}
PING = {"type": "ping"}
TEXTS = [
    "word",
    " two",
    "",
    "\n",
    'quote"d',
    "back\\slash",
    "ärger",
    "漢字",
    "\u2028",
    "\x7f",
    "😀",
    "a b",
    "NaN",
    "text",
]
DELTAS = {
    "text": ("text_delta", "text"),
    "thinking": ("thinking_delta", "thinking"),
    "tool_use": ("input_json_delta", "partial_json"),
}


class Stream:
    """One stream. straight: its deltas go straight wherever they can."""

    def __init__(self, straight: bool) -> None:
        self.decoder, self.tally = NativeDecoder(), MessagesTally()
        self.relay = MessagesRelay(make_call(), "msg_0", [], None, native=True)
        self.find = self.relay.straight(self.decoder, self.tally) if straight else None
        self.way: Straight | None = None
        self.out = b""
        self.taken = 0

    def feed(self, data: bytes) -> None:
        if self.way is not None and (ready := self.way.take(data)) is not None:
            self.taken += 1
            self.out += ready
            return
        sent, fault = self.relay.feed(self.tally.add(self.decoder.feed(data)))
        assert fault is None
        self.out += sent
        if self.find is not None:
            self.way = self.find(self.way, data)

    def came_to(self) -> tuple[Any, ...]:
        tally = self.tally
        end = self.relay.finish(tally.usage or {})
        return self.out + end, tally.chunks, tally.text_bytes, tally.text_tokens, tally.usage, tally.opening


def block(kind: str, texts: list[str], index: int) -> list[dict[str, Any]]:
    said, name = DELTAS[kind]
    begun: dict[str, Any] = (
        {"type": kind, "id": f"toolu_{index}", "name": "f", "input": {}} if kind == "tool_use" else {"type": kind}
    )
    deltas = [{"type": "content_block_delta", "index": index, "delta": {"type": said, name: text}} for text in texts]
    return [
        {"type": "content_block_start", "index": index, "content_block": begun},
        *deltas,
        {"type": "content_block_stop", "index": index},
    ]


def written(*events: dict[str, Any]) -> list[bytes]:
    """With spaces before the last brace, as the API writes them."""
    spaces = itertools.cycle([0, 3, 1, 14, 0, 0, 7])
    return [sse(orjson.dumps(event)[:-1] + b" " * next(spaces) + b"}", event["type"]) for event in events]


def both(pieces: list[bytes]) -> Stream:
    plain, straight = Stream(False), Stream(True)
    for piece in pieces:
        plain.feed(piece)
        straight.feed(piece)
    assert straight.came_to() == plain.came_to()
    return straight


@pytest.mark.parametrize("kind", list(DELTAS))
def test_every_text_comes_out_as_on_the_long_way(kind: str) -> None:
    texts = ["one", "two", *TEXTS * 3]
    if kind == "tool_use":
        texts = ['{"q": "', *(orjson.dumps(text)[1:-1].decode() for text in texts), '"}']
    assert both(written(START, PING, *block(kind, texts, 0), END, STOP)).taken >= 3 * 7


def test_a_delta_of_another_block_goes_the_long_way() -> None:
    """A server that gives the second block the index of the first."""
    words = ["a", "b", "c", "d"]
    stream = both(
        written(START, *block("text", words, 0), *block("text", words, 0), *block("text", words, 5), END, STOP)
    )
    indexes = [orjson.loads(line[6:]).get("index") for line in stream.out.split(b"\n") if line.startswith(b"data: ")]
    assert [index for index in indexes if index is not None] == [0] * 6 + [1] * 6 + [2] * 6


def test_line_ends_in_arguments_are_mended() -> None:
    pieces = ['{"q": "a', "b", "c", "d\n", "e", '"', ', "r": 1}']
    raw = [piece.replace("\n", "\\n") for piece in pieces]
    texts = [b"".join(written(*block("tool_use", [text], 0)[1:2])) for text in pieces]
    assert raw != pieces
    stream = both(
        [*written(START, block("tool_use", [], 0)[0]), *texts, *written(block("tool_use", [], 0)[1], END, STOP)]
    )
    said = [orjson.loads(line[6:]) for line in stream.out.split(b"\n") if line.startswith(b"data: ")]
    text = "".join(event["delta"].get("partial_json", "") for event in said if event["type"] == "content_block_delta")
    assert orjson.loads(text) == {"q": "abcd\ne", "r": 1}


def test_a_watched_stream_and_one_of_another_dialect_have_no_straight_way() -> None:
    decoder, tally, call = NativeDecoder(), MessagesTally(), make_call()
    assert MessagesRelay(call, "msg_0", [], None, native=True).straight(decoder, tally) is not None
    assert MessagesRelay(call, "msg_0", [], lambda chunk: None, native=True).straight(decoder, tally) is None
    assert MessagesRelay(call, "msg_0", [], None).straight(decoder, tally) is None
    assert MessagesRelay(call, "msg_0", [], None, native=True).straight(object(), tally) is None


def test_an_event_under_another_name_goes_the_long_way() -> None:
    pieces = written(START, *block("text", ["a", "b", "c", "d"], 0))[:-1]
    stream = both(pieces)
    assert isinstance(stream.way, StraightDeltas)
    assert stream.way.take(pieces[-1]) == pieces[-1]
    assert stream.way.take(pieces[-1].replace(b"event: content_block_delta\n", b"")) is None
    assert stream.way.take(pieces[-1].replace(b"event: content_block_delta", b"event: other")) is None


@pytest.mark.parametrize("end", [b"\n \n", b"\n\n ", b" \n\n", b"\n\n\n"])
def test_spaces_at_the_end_of_an_event_are_padding_within_its_line_alone(end: bytes) -> None:
    """A blank line with a space in it ends no event: what is passed on as it came would be one with the next."""
    pieces = written(START, *block("text", ["a", "b", "c", "d", "e", "f"], 0), END, STOP)
    pieces[4] = pieces[4][:-2] + end
    stream = both(pieces)
    said = [orjson.loads(line[6:]) for line in stream.out.split(b"\n") if line.startswith(b"data: ")]
    assert "".join(event["delta"]["text"] for event in said if event["type"] == "content_block_delta") == "abcdef"
    assert stream.taken >= 2


def test_any_stream_at_any_split() -> None:
    chance = random.Random(11)
    for _ in range(200):
        events: list[dict[str, Any]] = [START]
        for index in range(chance.randint(1, 5)):
            kind = chance.choice(list(DELTAS))
            texts = [chance.choice(["one", " a", *TEXTS]) for _ in range(chance.randint(0, 12))]
            if kind == "tool_use":
                texts = ['{"q": "', *(orjson.dumps(text)[1:-1].decode() for text in texts), '"}']
            made = block(kind, texts, chance.choice([index, 0]))
            made.insert(chance.randrange(1, len(made)), PING)
            events += made
        pieces = written(*events, END, STOP)
        if chance.random() < 0.3:
            whole = b"".join(pieces)
            cuts = sorted(chance.sample(range(1, len(whole)), 9))
            pieces = [whole[at:to] for at, to in itertools.pairwise([0, *cuts, len(whole)])]
        both(pieces)
