"""Events that are retold must not be told from those that are parsed: the same bytes to the caller, the same counts."""

from __future__ import annotations

import itertools
import random
from typing import Any

import orjson
import pytest
from tollgate_anthropic import AnthropicProvider, Settings
from tollgate_anthropic.stream import MessageDecoder

from gateway.testing import make_call, make_target, parsed, sse
from gateway.wire.chat.encoder import ChatRelay
from gateway.wire.chat.straight import Straight, way_finder
from gateway.wire.chat.tally import ChatTally
from gateway.wire.retold import Retelling
from gateway.wire.text_pattern import text_member

TEXTS = [
    "word", " two", "", "\n", 'quote"d', "back\\slash", "ärger", "漢字", "\u2028", "\x7f", "😀", "a b", "text",
    '"text":"x"', "```", "{", "data: x", "partial_json",
]  # fmt: skip
START = {"type": "message_start", "message": {"id": "msg_1", "usage": {"input_tokens": 5, "output_tokens": 1}}}
END = {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 7}}
STOP = {"type": "message_stop"}
PING = {"type": "ping"}
CITATION = {"type": "char_location", "cited_text": "x", "document_index": 0, "start_char_index": 0, "end_char_index": 1}


def start(index: int, **block: Any) -> dict[str, Any]:
    return {"type": "content_block_start", "index": index, "content_block": block}


def delta(index: int, **what: Any) -> dict[str, Any]:
    return {"type": "content_block_delta", "index": index, "delta": what}


def stop(index: int) -> dict[str, Any]:
    return {"type": "content_block_stop", "index": index}


def decoder() -> MessageDecoder:
    made = AnthropicProvider("test", Settings()).prepare(make_call(), make_target()).reader.open_stream()
    assert isinstance(made, MessageDecoder)
    return made


class Stream:
    """One stream for a caller. known: events are retold; straight: they also go the straight way."""

    def __init__(self, *, known: bool, straight: bool = False, told: bool = False) -> None:
        self.decoder = decoder()
        if not known:
            self.decoder.retelling = None
        self.tally = ChatTally()
        self.relay = ChatRelay("ours/m", told)
        self.way: Straight | None = None
        self.out = b""
        self.taken = self.retold = 0
        self._straight = straight

    def feed(self, data: bytes) -> None:
        if self.way is not None and (ready := self.way.take(data)) is not None:
            self.taken += 1
            self.out += ready
            return
        items = self.decoder.feed(data)
        self.retold += sum(isinstance(item, bytes) for item in items)
        sent, fault = self.relay.feed(self.tally.add(items))
        assert fault is None
        self.out += sent
        if self._straight:
            self.way = found(self, data)

    def came_to(self) -> tuple[Any, ...]:
        tally = self.tally
        end = self.relay.finish(tally.usage or {})
        return self.out + end, tally.chunks, tally.text_bytes, tally.text_tokens, tally.usage, tally.finish_reason


def found(stream: Stream, data: bytes) -> Straight | None:
    find = way_finder(stream.decoder, stream.tally, stream.relay)
    return None if find is None else find(stream.way, data)


def written(*events: dict[str, Any], named: bool = True, padded: bool = True) -> list[bytes]:
    """padded: with spaces before the last brace, as the API writes them."""
    spaces = itertools.cycle([0, 3, 1, 14, 0, 0, 7]) if padded else itertools.repeat(0)
    data = (orjson.dumps(event)[:-1] + b" " * next(spaces) + b"}" for event in events)
    return [sse(text, event["type"] if named else "") for text, event in zip(data, events, strict=True)]


def both(pieces: list[bytes], *, told: bool = False) -> tuple[Stream, Stream]:
    """The stream retold and straight, after they were compared with the one whose events are all parsed."""
    plain = Stream(known=False, told=told)
    others = Stream(known=True, told=told), Stream(known=True, straight=True, told=told)
    for piece in pieces:
        for stream in (plain, *others):
            stream.feed(piece)
    wanted = plain.came_to()
    for stream in others:
        assert stream.came_to() == wanted
    assert plain.retold == 0
    return others


def answer(kind: str, texts: list[str], *, index: int = 0) -> list[dict[str, Any]]:
    """A block of the texts."""
    blocks = {"text": ("text_delta", "text"), "thinking": ("thinking_delta", "thinking")}
    if kind in blocks:
        said, name = blocks[kind]
        return [start(index, type=kind), *(delta(index, type=said, **{name: text}) for text in texts), stop(index)]
    deltas = [delta(index, type="input_json_delta", partial_json=text) for text in texts]
    return [start(index, type=kind, id=f"toolu_{index}", name="f", input={}), *deltas, stop(index)]


@pytest.mark.parametrize("named", [True, False])
@pytest.mark.parametrize("told", [True, False])
@pytest.mark.parametrize("padded", [True, False])
@pytest.mark.parametrize("kind", ["text", "thinking"])
def test_every_text_comes_out_as_when_it_is_parsed(kind: str, padded: bool, told: bool, named: bool) -> None:
    events = [START, PING, *answer(kind, ["one", "two", *TEXTS * 3]), *answer("text", ["z"], index=1), END, STOP]
    retold, straight = both(written(*events, named=named, padded=padded), told=told)
    assert retold.retold >= 3 * (len(TEXTS) - 2)
    assert straight.taken >= 3 * (len(TEXTS) - 8)


def test_arguments_are_retold_with_their_escapes() -> None:
    text = orjson.dumps({"path": "C:\\x", "content": 'def f():\n\treturn "ä😀"\n' * 9}).decode()
    for size in (1, 2, 3, 7, 20):
        pieces = [text[at : at + size] for at in range(0, len(text), size)]
        events = [START, *answer("text", ["So", " I", " write"]), *answer("tool_use", pieces, index=1), END, STOP]
        retold, _ = both(written(*events))
        assert retold.retold >= len(pieces) - 2


def test_each_block_is_told_by_itself() -> None:
    """The same words mean something else in another block: its index, and what becomes of the text, differ."""
    words = ["a", "b", "c", "d"]
    events = [START]
    for index, kind in enumerate(["thinking", "text", "tool_use", "text", "server_tool_use", "tool_use", "text"] * 4):
        texts = ['{"q": "', *words, '"}'] if "tool" in kind else words
        events += [*answer(kind, texts, index=index), PING]
    retold, straight = both(written(*events, END, STOP))
    assert retold.retold > 40
    assert straight.taken > 20


def test_what_was_retold_is_remembered() -> None:
    """The length of the text, for citations; the thought, for the next turn."""
    events = [
        START,
        start(0, type="thinking"),
        *(delta(0, type="thinking_delta", thinking=text) for text in ["I", " think", " so", "."]),
        delta(0, type="signature_delta", signature="sig"),
        stop(0),
        start(1, type="text"),
        *(delta(1, type="text_delta", text=text) for text in ["It", " is", " ä", " so", "\n", "."]),
        delta(1, type="citations_delta", citation=CITATION),
        stop(1),
        END,
        STOP,
    ]
    for stream in both(written(*events)):
        said = [orjson.loads(line[6:]) for line in stream.out.split(b"\n\n") if line.startswith(b"data: {")]
        deltas = [choice["delta"] for chunk in said for choice in chunk["choices"]]
        [details] = [found["reasoning_details"] for found in deltas if "reasoning_details" in found]
        assert details[0]["text"] == "I think so."


@pytest.mark.parametrize(
    "odd",
    [
        delta(0, type="text_delta", text="x", more=1),
        {**delta(0, type="text_delta", text="x"), "more": 1},
        delta(1, type="text_delta", text="x"),
        delta(0, type="text_delta", text=None),
        delta(0, type="thinking_delta", thinking="x"),
        delta(0, type="unheard_of", text="x"),
        {"type": "unheard_of", "index": 0, "delta": {"type": "text_delta", "text": "x"}},
        delta(0, type="citations_delta", citation=CITATION),
        stop(0),
    ],
)
def test_an_event_that_is_not_like_those_before_is_parsed(odd: dict[str, Any]) -> None:
    texts = [delta(0, type="text_delta", text=text) for text in ("one", "two", "three", "four")]
    both(written(START, start(0, type="text"), *texts, odd, *texts, END, STOP))


@pytest.mark.parametrize("raw", [b'"x","text":"y"', b'"\\ud83d"', b'"\xff"', b'"a\tb"', b"null"])
def test_an_odd_text_is_parsed(raw: bytes) -> None:
    texts = written(*(delta(0, type="text_delta", text=text) for text in ("one", "two", "three")))
    odd = texts[0].replace(b'"one"', raw)
    begin, end = written(START, start(0, type="text")), written(stop(0), END, STOP)
    both([*begin, *texts, odd, *texts, *end])


def test_at_every_split() -> None:
    words = answer("text", ["one", "two", "ä\n", 'x"', "four"])
    whole = b"".join(written(START, *words, PING, *answer("tool_use", ["{", "}"], index=1), END, STOP))
    want, _ = both([whole])
    for place in range(1, len(whole)):
        found, _ = both([whole[:place], whole[place:]])
        assert found.out == want.out
    for size in (1, 2, 3, 50, 100, 200):
        both([whole[at : at + size] for at in range(0, len(whole), size)])


def test_any_stream() -> None:
    chance = random.Random(7)
    for _ in range(150):
        events: list[dict[str, Any]] = [START]
        for index in range(chance.randint(1, 6)):
            kind = chance.choice(["text", "thinking", "tool_use", "text"])
            texts = [chance.choice(["one", " a", "b", *TEXTS]) for _ in range(chance.randint(0, 12))]
            if kind == "tool_use":
                texts = ['{"q": "', *(orjson.dumps(text)[1:-1].decode() for text in texts), '"}']
            block = answer(kind, texts, index=chance.choice([index, 0, 1]))
            for _ in range(chance.choice([0, 0, 1, 2])):
                block.insert(chance.randrange(len(block) + 1), PING)
            events += block
        pieces = written(*events, END, STOP, named=chance.random() < 0.8)
        if chance.random() < 0.3:
            whole = b"".join(pieces)
            cuts = sorted(chance.sample(range(1, len(whole)), 9))
            pieces = [whole[at:to] for at, to in itertools.pairwise([0, *cuts, len(whole)])]
        both(pieces, told=chance.random() < 0.5)


def test_a_decoder_that_reads_in_its_own_way_does_not_go_straight() -> None:
    class Own(type(decoder())):  # type: ignore[misc]
        def read(self, payloads: list[bytes], out: list[Any]) -> None:
            super().read([payload.replace(b"x", b"y") for payload in payloads], out)

    own = object.__new__(Own)
    own.retelling = decoder().retelling
    tally, relay = ChatTally(), ChatRelay("m", False)
    assert way_finder(decoder(), tally, relay)
    assert not way_finder(own, tally, relay)


def test_chunks_are_what_they_were() -> None:
    texts = [delta(0, type="text_delta", text=text) for text in ("one", "two", "three", 'fo"ur')]
    reader = decoder()
    items = parsed(reader.feed(b"".join(written(START, start(0, type="text"), *texts))))
    assert [item["choices"][0]["delta"] for item in items[1:]] == [
        {"content": text} for text in ("one", "two", "three", 'fo"ur')
    ]
    assert all(item.keys() == items[1].keys() for item in items[1:])


@pytest.mark.parametrize(
    "made",
    [
        {"choices": [], "usage": {}},
        {"choices": [{"index": 0, "delta": {}}]},
        {"choices": [{"index": 0, "delta": {"content": "A"}}]},
        {"choices": [{"index": 0, "delta": {"content": "a", "role": "assistant"}}]},
        {"choices": [{"index": 0, "delta": {"content": "a"}}, {"index": 1, "delta": {"content": "a"}}]},
        {"choices": [{"index": 0, "delta": {"tool_calls": [{"index": 0, "id": "x", "function": {"arguments": "a"}}]}}]},
        b"bytes",
    ],
)
def test_what_is_more_than_the_text_is_not_retold(made: Any) -> None:
    """Whatever a decoder's author says of it."""
    heard: list[str] = []
    retelling = Retelling(text_member("text"), lambda event: len(event["text"].encode()), lambda event: heard.append)
    for text in ("a", "b", "c"):
        assert retelling.retell(b'{"text":"%b"}' % text.encode()) is None
        retelling.learn(b'{"text":"a"}', {"text": "a"}, [made])
    sound = {"choices": [{"index": 0, "delta": {"content": "a"}}]}
    retelling.learn(b'{"text":"a"}', {"text": "a"}, [sound])
    assert retelling.retell(b'{"text":"b"}') == b'{"choices":[{"index":0,"delta":{"content":"b"}}]}'
    assert heard == ["b"]
