"""The straight way must not be told from the long one: the same bytes to the caller, the same counts, or no way."""

from __future__ import annotations

import itertools
from typing import Any

import orjson
import pytest

from gateway.errors import Fault
from gateway.testing import chunk
from gateway.wire.chat.decoder import ChatChunkEditor, ChatStreamDecoder
from gateway.wire.chat.encoder import ChatRelay
from gateway.wire.chat.straight import Straight, way_finder
from gateway.wire.chat.tally import ChatTally
from gateway.wire.mending import load_mended

TEXTS = [
    "word", " two", "", "usage", "\n", 'quote"d', "back\\slash", "ärger", "漢字", "\u2028", "\x7f", "😀", "a b",
    '"usage":{}', "</think>", "{", "data: x",
]  # fmt: skip


class Stream:
    """One stream, read the long way, or (straight) by the straight one wherever there is one."""

    def __init__(self, *, straight: bool, told: bool = False) -> None:
        self.decoder: Any = ChatStreamDecoder()
        self.tally = ChatTally()
        self.relay = ChatRelay("ours/m", told)
        self.way: Straight | None = None
        self.taken = 0
        self.out = b""
        self._straight = straight

    def feed(self, data: bytes) -> None:
        if self.way is not None and (ready := self.way.take(data)) is not None:
            self.taken += 1
            self.out += ready
            return
        sent, fault = self.relay.feed(self.tally.add(self.decoder.feed(data)))
        assert fault is None
        self.out += sent
        if self._straight:
            self.way = found(self, data)

    def came_to(self) -> tuple[Any, ...]:
        tally = self.tally
        end = self.relay.finish(tally.usage or {})
        return (
            self.out + end, tally.chunks, tally.text_bytes, tally.text_tokens, tally.usage, tally.finish_reason,
            tally.opening,
        )  # fmt: skip


def found(stream: Stream, data: bytes) -> Straight | None:
    find = way_finder(stream.decoder, stream.tally, stream.relay)
    return None if find is None else find(stream.way, data)


def event(text: str, padding: str | None = None, *, wide: bool = False, name: str = "content", **more: Any) -> bytes:
    said = chunk({name: text}, **more)
    if padding is not None:
        said["obfuscation"] = padding
    data = orjson.dumps(said)
    return b"data: " + (data.replace(b'":', b'": ') if wide and b'":' not in text.encode() else data) + b"\n\n"


def both(pieces: list[bytes], *, told: bool = False) -> Stream:
    long, straight = Stream(straight=False, told=told), Stream(straight=True, told=told)
    for piece in pieces:
        long.feed(piece)
        straight.feed(piece)
    assert straight.came_to() == long.came_to()
    return straight


@pytest.mark.parametrize("name", ["content", "reasoning_content"])
@pytest.mark.parametrize("wide", [False, True])
@pytest.mark.parametrize("padded", [False, True])
@pytest.mark.parametrize("told", [False, True])
def test_every_text_comes_out_as_on_the_long_way(told: bool, padded: bool, wide: bool, name: str) -> None:
    paddings = itertools.cycle(["", "a", "B7", "xyz09"])
    pieces = [
        event(text, next(paddings) if padded else None, wide=wide, name=name) for text in ["one", "two", *TEXTS * 2]
    ]
    assert both(pieces, told=told).taken >= 10


def test_a_text_that_is_the_name_of_a_member_is_a_text() -> None:
    stream = both([event("one"), event("two"), event("usage"), event("obfuscation")])
    assert stream.taken == 2


@pytest.mark.parametrize("straight", [False, True])
def test_who_asked_for_usage_finds_it_beside_every_text(straight: bool) -> None:
    stream = Stream(straight=straight, told=True)
    for text in ("one", "two", "three", "usage"):
        stream.feed(event(text))
    assert stream.taken == 2 * straight
    for line in stream.out.split(b"\n\n")[:-1]:
        assert orjson.loads(line[6:])["usage"] is None


def test_split_and_joined_events_go_the_long_way_at_every_place() -> None:
    pieces = [event("one"), event("two", name="content"), event("three")]
    whole = b"".join([*pieces, event(" four"), event("5")])
    start = len(b"".join(pieces))
    for place in range(start - 5, len(whole) + 1):
        both([*pieces[:2], whole[len(b"".join(pieces[:2])) : place], whole[place:]])
    for first, second in itertools.combinations(range(start, len(whole), 7), 2):
        both([*pieces, whole[start:first], whole[first:second], whole[second:]])


@pytest.mark.parametrize(
    "odd",
    [
        event("x").replace(b"\n\n", b"\r\n\r\n"),
        event("x").replace(b"\n\n", b"\r\r"),
        b": a comment\n\n" + event("x"),
        b"event: message\n" + event("x"),
        event("x")[:-1],
        event("x", finish="stop"),
        event("x", usage={"prompt_tokens": 1, "completion_tokens": 7}),
        event("x", id="another"),
        event("x", model="another"),
        event("x", name="refusal"),
        event("x", "pad"),
        event("x")[:-3] + b',"more":1}\n\n',
        event("x").replace(b'"x"', b'"\\ud83d"'),
        event("x").replace(b'"x"', b'"\xff"'),
        event("x").replace(b'"x"', b'"a\tb"'),
        event("x").replace(b'"x"', b"null"),
        event("x").replace(b'"x"', b'"x","content":"y"'),
        b"data: null\n\n",
    ],
)
@pytest.mark.parametrize("told", [False, True])
def test_what_is_not_like_those_before_goes_the_long_way(odd: bytes, told: bool) -> None:
    before, after = [event("one"), event("two"), event("three")], [event("four"), event("five")]
    stream = both(before, told=told)
    assert stream.taken == 1
    assert stream.way is not None
    assert stream.way.take(odd) is None
    both([*before, odd, *after], told=told)


def test_there_is_no_way_while_half_of_a_letter_waits() -> None:
    half, rest = event("x").replace(b'"x"', b'"\\ud83d"'), event("x").replace(b'"x"', b'"\\ude00"')
    stream = both([event("one"), event("two"), half, rest, event("three")])
    said = [orjson.loads(line[6:])["choices"][0]["delta"]["content"] for line in stream.out.split(b"\n\n")[:-1]]
    assert "".join(said) == "onetwo😀three"


def test_every_padding_is_looked_at() -> None:
    odd = event("x", "p").replace(b'"p"', b'"p\\u0031"')
    bad = event("x", "p").replace(b'"p"', b'"p","more":"q"')
    words = [event("one", "p"), event("two", "pq"), event("three", ""), event("four", "A7")]
    assert both([*words, odd, bad, event("five", "")]).taken == 2


class Editor(ChatChunkEditor):
    def edit(self, chunk: dict[str, Any], out: list[bytes | dict[str, Any] | Fault]) -> None:
        out.append(chunk)


class Changer(ChatStreamDecoder):
    def read(self, payloads: list[bytes], out: list[bytes | dict[str, Any] | Fault]) -> None:
        out += [payload.replace(b"a", b"b") for payload in payloads]


class OwnTally(ChatTally):
    pass


def test_what_a_plugin_makes_of_it_is_not_passed_by() -> None:
    tally, relay = ChatTally(), ChatRelay("m", False)
    assert way_finder(ChatStreamDecoder(), tally, relay)
    assert way_finder(Editor(), tally, relay)
    assert not way_finder(Changer(), tally, relay)
    assert not way_finder(object(), tally, relay)
    assert not way_finder(ChatStreamDecoder(), OwnTally(), relay)
    assert not way_finder(ChatStreamDecoder(), tally, object())


def test_an_editor_that_looks_at_all_has_no_straight_way() -> None:
    editor, tally, relay = Editor(), ChatTally(), ChatRelay("m", False)
    for text in ("one", "two"):
        relay.feed(tally.add([event(text)[6:-2]]))
        editor._events._begun = True
    find = way_finder(editor, tally, relay)
    assert find is not None
    assert find(None, b"") is not None
    editor.look_at_all = True
    assert find(None, b"") is None


def test_a_watched_stream_has_no_straight_way() -> None:
    tally, relay = ChatTally(), ChatRelay("m", False, watch=lambda chunk: None)
    decoder = ChatStreamDecoder()
    for text in ("one", "two", "three"):
        relay.feed(tally.add(decoder.feed(event(text))))
    find = way_finder(decoder, tally, relay)
    assert find is not None
    assert find(None, b"") is None


def arguments(text: str, index: int = 0, **first: Any) -> bytes:
    call = {"index": index, **first, "function": {"arguments": text, **({"name": "f"} if first else {})}}
    return b"data: " + orjson.dumps(chunk({"tool_calls": [call]})) + b"\n\n"


WRITTEN = (
    '{"a": "x\ny", "b": "\\"\n\\\\", "c": [1,\n2],\r\n"d": "\\u00e4\x01\t"}',
    '{\n  "p": "one\ntwo \\n three",\n\t"q": "C:\\\\"\n}',
    '{"plain words": "and more plain words", "q": "a\\\\nb"}',
)


def written_of(out: bytes) -> dict[int, str]:
    """The arguments of each call, by its index."""
    texts: dict[int, str] = {}
    for line in out.split(b"\n\n"):
        if line.startswith(b"data: {"):
            for call in orjson.loads(line[6:])["choices"][0]["delta"].get("tool_calls", ()):
                texts[call["index"]] = texts.get(call["index"], "") + call["function"]["arguments"]
    return texts


@pytest.mark.parametrize("written", WRITTEN)
@pytest.mark.parametrize("lead", [(), ("z",) * 4], ids=["at once", "once the way is known"])
def test_line_ends_in_arguments_are_mended_at_every_split(written: str, lead: tuple[str, ...]) -> None:
    wanted = load_mended(written.encode())
    for size in (1, 2, 3, 5, 8, 13, len(written)):
        for start in range(size):
            places = [0, *range(start or size, len(written), size), len(written)]
            pieces = [written[at:to] for at, to in itertools.pairwise(places)]
            if lead:
                pieces = ['{"lead": "', *lead, '", ', pieces[0][1:], *pieces[1:]]
            stream = both([arguments("", id="c1", type="function"), *map(arguments, pieces)])
            found = orjson.loads(written_of(stream.out)[0])
            found.pop("lead", None)
            assert found == wanted


def test_each_call_s_arguments_are_mended_by_themselves() -> None:
    events = [arguments("", 0, id="c1", type="function"), arguments("", 1, id="c2", type="function")]
    first, second = WRITTEN[0], WRITTEN[1]
    for at in range(max(len(first), len(second))):
        events += [arguments(first[at]) for _ in first[at : at + 1]] + [
            arguments(second[at], 1) for _ in second[at : at + 1]
        ]
    found = written_of(both(events).out)
    assert [orjson.loads(found[at]) for at in (0, 1)] == [load_mended(text.encode()) for text in (first, second)]


@pytest.mark.parametrize("edited", [False, True])
@pytest.mark.parametrize("beside", [False, True])
def test_what_follows_a_mended_piece_that_ends_in_an_escape_is_looked_at(beside: bool, edited: bool) -> None:
    """Though it looks like those before; beside: a piece of another call's comes with it. edited: it came parsed."""
    pieces = ['{"a": "', "word", "word", "one\n\\", "nword", '"', ', "b": "two\nthree"}']
    stream = Stream(straight=True)
    stream.feed(arguments("", id="c1", type="function"))
    stream.feed(arguments("", 1, id="c2", type="function"))
    for piece in pieces:
        data = arguments(piece)
        if piece == pieces[3] and (beside or edited):
            said = orjson.loads(data[6:])
            if beside:
                said["choices"][0]["delta"]["tool_calls"].append({"index": 1, "function": {"arguments": "{"}})
            if edited:
                sent, _ = stream.relay.feed(stream.tally.add([said]))
                stream.out += sent
                stream.way = found(stream, b"")
                continue
            data = b"data: " + orjson.dumps(said) + b"\n\n"
        stream.feed(data)
    assert orjson.loads(written_of(stream.out)[0]) == {"a": "wordwordone\n\nword", "b": "two\nthree"}


def test_calls_that_an_editor_saw_move_are_told_apart_in_bytes_that_follow() -> None:
    """A server that gives 0 to each of several calls, and whose chunks with names come parsed."""
    stream = Stream(straight=True)
    for number in (1, 2):
        begin = orjson.loads(arguments("", id=f"c{number}", type="function")[6:])
        sent, _ = stream.relay.feed(stream.tally.add([begin]))
        stream.out += sent
        stream.way = found(stream, b"")
        for piece in ('{"a": "', "word", "word", str(number), '"}'):
            stream.feed(arguments(piece))
    assert [orjson.loads(text)["a"] for text in written_of(stream.out).values()] == ["wordword1", "wordword2"]


def test_arguments_with_nothing_to_mend_go_straight_and_as_they_came() -> None:
    pieces = [
        '{"',
        "path",
        '":"',
        "src",
        "/app",
        "/main",
        ".py",
        '","',
        "text",
        '":"',
        "print",
        "(1)",
        "\\n",
        "done",
        '"}',
    ]
    events = [arguments("", id="c1", type="function"), *(arguments(piece) for piece in pieces)]
    stream = both(events)
    assert stream.taken >= 5
    assert written_of(stream.out)[0] == "".join(pieces)
