"""The caller's side of a chat stream: the fast path gives what the slow path gives, and the shapes of the end."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import Fault, UpstreamFault
from gateway.wire.chat.encoder import ChatRelay
from gateway.wire.chat.tally import ChatTally

USAGE = {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3}


def chunk(delta: dict[str, Any] | None = None, finish: str | None = None, **more: Any) -> dict[str, Any]:
    choice = {"index": 0, "delta": delta or {}, "finish_reason": finish}
    return {"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": "theirs", "choices": [choice], **more}


def relayed(items: list[Any], *, asked: bool = False, n: int = 1, watch: Any = None) -> tuple[list[Any], ChatTally]:
    relay, tally = ChatRelay("ours/m", asked, n, watch), ChatTally(n)
    out = b""
    for item in items:
        data, fault = relay.feed(tally.add([item]))
        assert fault is None
        out += data
    out += relay.finish(USAGE)
    return parse(out), tally


def parse(data: bytes) -> list[Any]:
    blocks = data.split(b"\n\n")
    assert blocks.pop() == b""
    assert all(block.startswith(b"data: ") and b"\n" not in block for block in blocks)
    return ["[DONE]" if block == b"data: [DONE]" else orjson.loads(block[6:]) for block in blocks]


TEXTS = st.text(max_size=20) | st.sampled_from(
    [
        '"usage": {',
        '"choices":[]',
        '\\"model\\":\\"x\\"',
        '{"finish_reason":"stop"}',
        '"error":{}',
        "data: [DONE]\n\n",
        "\n",
        "\u2028",
    ]
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**40), 2**40) | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=6,
)
DELTAS = st.dictionaries(
    st.sampled_from(["content", "role", "reasoning_content", "x", "model", "usage", "error"]), VALUES, max_size=3
)


@given(
    st.lists(st.tuples(DELTAS, st.sampled_from([{}, {"usage": None}, {"x": "y"}, {"obfuscation": "aa"}])), max_size=6),
    st.booleans(),
    st.booleans(),
)
def test_the_fast_path_gives_what_parsing_gives(parts: list[Any], asked: bool, spaced: bool) -> None:
    chunks = [*(chunk(delta, **more) for delta, more in parts), chunk(finish="stop")]
    raw = [orjson.dumps(item) for item in chunks]
    if spaced:
        raw = [orjson.dumps(item, option=orjson.OPT_INDENT_2) for item in chunks]
    fast, first = relayed(list(raw), asked=asked)
    slow, second = relayed([orjson.loads(item) for item in raw], asked=asked)

    def plain(events: list[Any]) -> list[Any]:
        # Parsing adds `usage: null` where the caller asked for usage; that is the one difference allowed.
        return [{k: v for k, v in e.items() if (k, v) != ("usage", None)} if isinstance(e, dict) else e for e in events]

    assert plain(fast) == plain(slow)
    assert first.usage == second.usage
    assert first.finish_reason == second.finish_reason == "stop"
    assert all(event["model"] == "ours/m" for event in fast[:-1])


def test_bytes_of_a_known_beginning_are_not_rebuilt() -> None:
    relay = ChatRelay("ours/m", False)
    first = b'{"id":"c1","object":"o","created":1,"model":"theirs","choices":[{"index":0,"delta":{"content":"a"}}]}'
    odd = (
        first.replace(b',"choices":[{', b', "choices" : [ {')
        .replace(b'"a"', b'"\\u0041"')
        .replace(b"]}", b'],"x":1.0}')
    )
    relay.feed([first])
    data, _ = relay.feed([odd])
    assert data == b"data: " + odd.replace(b'"theirs"', b'"ours/m"') + b"\n\n"


@pytest.mark.parametrize(
    "item",
    [
        b'{"id":"c1","object":"o","created":1,"model":"theirs"}',
        b'{"id":"c1","object":"o","created":1,"model":"theirs","choices":[]}',
        b'{"id":"c1","object":"o","created":1,"model":"theirs","choices":null}',
        b'{"id":"c1","object":"o","created":1,"model":"theirs","choices": [ ]}',
        b'{"id":"c1","object":"o","created":1,"model":"theirs","choices":{}}',
        b'{"id":"c1","object":"o","created":1,"model":"theirs","x":"\\"choices\\":[{"}',
    ],
)
def test_no_chunk_without_a_choice_unless_asked(item: bytes) -> None:
    relay, tally = ChatRelay("ours/m", False), ChatTally()
    first = b'{"id":"c1","object":"o","created":1,"model":"theirs","choices":[{"index":0,"delta":{"content":"a"}}]}'
    relay.feed(tally.add([first]))
    assert relay.feed(tally.add([item])) == (b"", None)


def test_members_of_a_chunk_without_choices_ride_on() -> None:
    azure = chunk(prompt_filter_results=[{"prompt_index": 0}]) | {"choices": []}
    events, _ = relayed([azure, chunk({"content": "a"}), chunk(finish="stop")])
    assert events[0]["prompt_filter_results"] == [{"prompt_index": 0}]
    assert len(events) == 3
    late = chunk(citations=["x"]) | {"choices": []}
    events, _ = relayed([chunk({"content": "a"}), chunk(finish="stop"), late])
    assert events[-2]["citations"] == ["x"]
    events, _ = relayed([chunk({"content": "a"}), chunk(finish="stop"), late | {"usage": USAGE}], asked=True)
    assert events[-2]["citations"] == ["x"]
    assert events[-2]["choices"] == []


def test_the_usage_shown_is_the_one_given() -> None:
    for asked in (False, True):
        events, tally = relayed(
            [chunk({"content": "a"}, usage={"prompt_tokens": 9}), chunk(finish="stop")], asked=asked
        )
        assert tally.usage == {"prompt_tokens": 9}
        assert events[-2]["usage"] == USAGE
        assert not any(event.get("usage") for event in events[:-2])


def test_an_end_without_a_finish_reason_still_has_one() -> None:
    events, tally = relayed([chunk({"content": "a"})])
    assert events[-2]["choices"] == [{"index": 0, "delta": {}, "finish_reason": "stop"}]
    assert events[-2]["id"] == "c1"
    assert not tally.complete


def test_an_end_of_several_choices() -> None:
    def of(index: int, finish: str | None = None) -> dict[str, Any]:
        found = chunk({"content": "a"}, finish)
        found["choices"][0]["index"] = index
        return found

    for raw in (False, True):
        items = [of(0), of(1), of(0, "stop"), of(1), of(1, "length")]
        events, tally = relayed([orjson.dumps(item) if raw else item for item in items], n=2)
        order = [(e["choices"][0]["index"], e["choices"][0]["finish_reason"]) for e in events[:-1]]
        assert order == [(0, None), (1, None), (0, "stop"), (1, None), (1, "length")]
        assert tally.complete


def test_a_broken_stream_gives_what_was_held_then_the_error() -> None:
    relay = ChatRelay("ours/m", False)
    relay.feed([chunk({"content": "a"}), chunk(finish="stop")])
    events = parse(relay.fail(UpstreamFault("Broken."), "req_1"))
    assert events[0]["choices"][0]["finish_reason"] == "stop"
    assert events[1]["error"]["message"] == "Broken."
    assert len(events) == 2


def test_a_fault_ends_the_feeding() -> None:
    fault = UpstreamFault("x")
    relay = ChatRelay("ours/m", False)
    data, found = relay.feed([chunk({"content": "a"}), fault, chunk({"content": "b"})])
    assert found is fault
    assert len(parse(data)) == 1


@pytest.mark.parametrize("junk", [b"[]", b"7", b"{", b"\xff", b""])
def test_what_is_no_object_is_a_fault(junk: bytes) -> None:
    relay = ChatRelay("ours/m", False)
    data, fault = relay.feed([chunk({"content": "a"}), junk])
    assert isinstance(fault, Fault)
    assert fault.code == "upstream_invalid_response"
    assert data


HOSTILE: list[Any] = [None, True, -1, 2**63, 1.5, "x", [], {}, [None], [[]], [7], {"a": None}]


@pytest.mark.parametrize("value", HOSTILE, ids=repr)
@pytest.mark.parametrize(
    "where", ["choices", "choice", "index", "delta", "finish_reason", "content", "tool_calls", "usage", "id", "model"]
)
def test_hostile_members_never_raise(where: str, value: Any) -> None:
    item: dict[str, Any] = chunk({"content": "a"})
    choice = item["choices"][0]
    if where == "choice":
        item["choices"] = [value]
    elif where in ("index", "delta", "finish_reason"):
        choice[where] = value
    elif where in ("content", "tool_calls"):
        choice["delta"][where] = value
    else:
        item[where] = value
    for asked in (False, True):
        events, _ = relayed([chunk({"content": "a"}), orjson.dumps(item), item, chunk(finish="stop")], asked=asked)
        assert events[-1] == "[DONE]"


def test_estimates_grow_with_the_text() -> None:
    words = [chunk({"content": "word " * 10}) for _ in range(20)]
    _, fast = relayed([orjson.dumps(item) for item in words])
    _, slow = relayed(words)
    assert fast.chunks == slow.chunks == 20
    assert fast.text_bytes == slow.text_bytes == 1000


def test_a_watcher_sees_every_chunk_as_it_is_sent() -> None:
    seen: list[Any] = []
    events, _ = relayed(
        [orjson.dumps(chunk({"content": "a"})), orjson.dumps(chunk(finish="stop"))],
        watch=lambda e: seen.append(dict(e)),
    )
    assert [found["model"] for found in seen] == ["ours/m", "ours/m"]
    assert len(events) == 3


@pytest.mark.parametrize("asked", [True, False])
def test_the_last_chunk_says_what_served_the_answer(asked: bool) -> None:
    served = {"system_fingerprint": "fp", "service_tier": "default"}
    items = [orjson.dumps(chunk({"content": "a"}, **served)), orjson.dumps(chunk({}, "stop", **served))]
    chunks, _ = relayed([*items, {**chunk(), "choices": [], "usage": USAGE}], asked=asked)
    assert chunks[-2]["usage"] == USAGE
    assert {key: chunks[-2][key] for key in served} == served


def test_words_behind_the_end_come_behind_the_words_before_and_before_the_end() -> None:
    chunks = [chunk({"content": "a"}), chunk({"content": "b"}, "stop"), chunk({"content": "c"}, "stop")]
    chunks += [chunk({"content": "d"})]
    out, _ = relayed([orjson.dumps(one) for one in chunks])
    told = [one["choices"][0] for one in out if one != "[DONE]"]
    assert "".join(one["delta"].get("content", "") for one in told) == "abcd"
    assert [one["finish_reason"] for one in told] == [None, None, None, "stop"]
    assert out[-2]["usage"] == USAGE
