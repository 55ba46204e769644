"""Request bodies: strict JSON, with the place of the fault."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import orjson
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gateway.errors import CallerFault
from gateway.testing.steps import count_steps
from gateway.wire import json_body as body_module
from gateway.wire.json_body import parse_json


def nested(levels: int, opening: bytes = b'{"a":', closing: bytes = b"}") -> bytes:
    return opening * levels + b"1" + closing * levels


# name, body, phrase of the message, param
BAD: list[tuple[str, bytes, str, str | None]] = [
    ("empty", b"", "is empty", None),
    ("blank", b" \n ", "is empty", None),
    ("trailing comma", b'{"a":\n 1,}', "line 2, column 3", None),
    ("cut", b'{"a": [1, 2', "line 1, column 1", None),
    ("rubbish after", b'{"a":1} x', "column 9", None),
    ("two documents", b"{}{}", "column 3", None),
    ("single quotes", b"{'a': 1}", "column 2", None),
    ("NaN", b'{"a": NaN}', "NaN and Infinity are not JSON", None),
    ("Infinity", b'{"a": Infinity}', "NaN and Infinity are not JSON", None),
    ("-Infinity", b'{"a": -Infinity}', "NaN and Infinity are not JSON", None),
    ("infinite number", b'{"a": 1e400}', "too large for a double", None),
    ("infinite integer", b'{"a": 1' + b"0" * 400 + b"}", "too large for a double", None),
    ("bad UTF-8", b'{"a":\n"\xff"}', "not valid UTF-8 at line 2, byte 2", None),
    ("surrogate in UTF-8", b'{"a":"\xed\xa0\x80"}', "not valid UTF-8 at line 1, byte 7", None),
    ("half a surrogate pair", b'{"a":"\\ud800"}', "half of a surrogate pair", None),
    ("other half", b'{"a":"\\udc00 "}', "half of a surrogate pair", None),
    ("control character", b'{"a":"x\ny"}', "control character", None),
    ("too deep", nested(129), "deeper than 128", None),
    ("too deep in arrays", b'{"a":' + nested(128, b"[", b"]") + b"}", "deeper than 128", None),
    ("very deep", nested(100_000), "deeper than 128", None),
    ("deep and unfinished", b"[" * 100_000, "deeper than 128", None),
    ("array", b"[1]", "not an array", None),
    ("string", b'"x"', "not a string", None),
    ("number", b"1", "not the number 1", None),
    ("boolean", b"true", "not a boolean", None),
    ("null", b"null", "not null", None),
    ("duplicate", b'{"model":"a","model":"b"}', "model: this key stands more than once", "model"),
    ("nested duplicate", b'{"a":[{},{"b":{"c":1,"c":1}}]}', "a[1].b.c: this key", "a[1].b.c"),
    ("escaped duplicate", b'{"model":1,"\\u006dodel":2}', "model: this key", "model"),
    ("duplicate with space", b'{"a" :1,"a" :2}', "a: this key", "a"),
    ("duplicate over lines", b'{"a"\r\n\t:1,"a":2}', "a: this key", "a"),
    ("duplicate ending in a backslash", b'{"a\\\\":1,"a\\\\":2}', "a\\: this key", "a\\"),
    ("duplicate ending in a quote", b'{"a\\"":1,"a\\"":2}', 'a": this key', 'a"'),
    ("duplicate hidden by a colon string", b'{"a":":","a":2}', "a: this key", "a"),
    ("lost duplicate within a duplicate", b'{"a":{"b":1,"b":2},"a":3}', "a: this key", "a"),
    ("duplicate empty key", b'{"":1,"":2}', ": this key", ""),
    ("control characters in a key", b'{"x\\u0000":1,"x\\u0000":1}', "x?: this key", "x?"),
]


@pytest.mark.parametrize(("raw", "phrase", "param"), [row[1:] for row in BAD], ids=[row[0] for row in BAD])
def test_refuses(raw: bytes, phrase: str, param: str | None) -> None:
    with pytest.raises(CallerFault) as caught:
        parse_json(raw)
    fault = caught.value
    assert phrase in fault.message
    assert (fault.status, fault.type, fault.param) == (400, "invalid_request_error", param)


GOOD: list[tuple[bytes, Any]] = [
    (b"{}", {}),
    (b'\xef\xbb\xbf{"a":1}', {"a": 1}),
    (nested(128), None),
    (b'{"a":":","b":"\\":"}', {"a": ":", "b": '":'}),
    (b'{"a\\\\":1,"a":2}', {"a\\": 1, "a": 2}),
    (b'{"a":"{\\"x\\":1,\\"x\\":2}"}', {"a": '{"x":1,"x":2}'}),
    (b'{"a":"\\\\\\":","b" : 1}', {"a": '\\":', "b": 1}),
    (b'{"a":{"x":1},"b":{"x":1}}', {"a": {"x": 1}, "b": {"x": 1}}),
    (b'{"a":"\\ud83d\\ude00"}', {"a": "\U0001f600"}),
    (b'{"a":18446744073709551615}', {"a": 2**64 - 1}),
    (b'{"a":"","":":"}', {"a": "", "": ":"}),
]


@pytest.mark.parametrize(("raw", "value"), GOOD)
def test_reads(raw: bytes, value: Any) -> None:
    assert parse_json(raw) == (orjson.loads(raw) if value is None else value)


def test_depth_is_a_parameter() -> None:
    assert parse_json(nested(3), max_depth=3)
    with pytest.raises(CallerFault, match="deeper than 2"):
        parse_json(nested(3), max_depth=2)


def test_a_long_path_is_cut() -> None:
    raw = orjson.dumps({"k" * 5000: 0}).replace(b"0", b'{"x":1,"x":2}')
    with pytest.raises(CallerFault) as caught:
        parse_json(raw)
    assert len(caught.value.message) < 400


# Texts made of what could fool the counts: quotes, colons, backslashes, white space.
TRICKY = st.text(st.sampled_from(['"', ":", "\\", " ", "a", "b", "\n", "é"]), max_size=6)
VALUES = st.recursive(
    TRICKY | st.integers(-9, 9) | st.none(),
    lambda inner: st.lists(inner, max_size=3) | st.lists(st.tuples(TRICKY, inner), max_size=4).map(tuple),
    max_leaves=12,
)


def write(value: Any, colon: str, ascii_only: bool) -> str:
    """JSON text; tuples of pairs are objects, which may repeat keys."""
    if isinstance(value, tuple):
        inner = ",".join(json.dumps(k, ensure_ascii=ascii_only) + colon + write(v, colon, ascii_only) for k, v in value)
        return "{" + inner + "}"
    if isinstance(value, list):
        return "[" + ",".join(write(item, colon, ascii_only) for item in value) + "]"
    return json.dumps(value, ensure_ascii=ascii_only)


def repeats(value: Any) -> bool:
    if isinstance(value, tuple):
        keys = [key for key, _ in value]
        return len(set(keys)) < len(keys) or any(repeats(item) for _, item in value)
    return isinstance(value, list) and any(repeats(item) for item in value)


@given(
    pairs=st.lists(st.tuples(TRICKY, VALUES), max_size=4).map(tuple),
    colon=st.sampled_from([":", ": ", " :", "\n\t: "]),
    ascii_only=st.booleans(),
)
@example(pairs=(("a\\", ":"), ("a\\", 1)), colon=":", ascii_only=False)
@example(pairs=(("a", ":"), ("a", 1)), colon=":", ascii_only=False)
def test_duplicates_are_found_always_and_only(pairs: Any, colon: str, ascii_only: bool) -> None:
    """The quick proof never says "unique" of a body with duplicates; the whole never refuses one without."""
    raw = write(pairs, colon, ascii_only).encode()
    duplicates = repeats(pairs)
    keys = body_module._look_through(orjson.loads(raw), 128)[0]
    if duplicates:
        assert not body_module._surely_unique(raw, keys)
        with pytest.raises(CallerFault, match="more than once"):
            parse_json(raw)
    else:
        assert parse_json(raw) == json.loads(raw)


def test_the_quick_proof_is_the_usual_way() -> None:
    """An ordinary body, also with JSON within strings, does not take the slow path."""
    arguments = orjson.dumps({"city": "Lisbon", "note": 'a "quoted": thing'}).decode()
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": arguments}}
    messages = [{"role": "assistant", "content": None, "tool_calls": [call]}, {"role": "user", "content": "a : b"}]
    value = {"model": "m", "messages": messages}
    for raw in (orjson.dumps(value), orjson.dumps(value, option=orjson.OPT_INDENT_2), json.dumps(value).encode()):
        parsed = orjson.loads(raw)
        # The nested quotes within the arguments stand behind two backslashes: only those ask for a closer look.
        expected = b'\\\\":' not in raw
        assert body_module._surely_unique(raw, body_module._look_through(parsed, 128)[0]) is expected
    simple = orjson.dumps({"model": "m", "messages": [{"role": "user", "content": 'say "hi": now'}]})
    assert body_module._surely_unique(simple, 4)


@given(st.binary(max_size=60) | st.text(max_size=40).map(str.encode))
def test_nothing_but_a_fault(raw: bytes) -> None:
    result: Any
    try:
        result = parse_json(raw)
    except CallerFault as fault:
        result = fault
    assert isinstance(result, dict) or result.status == 400


def values_of(value: Any) -> int:
    """As `server.json_values` counts them: elements, members, and one more for each empty array or object."""
    if not isinstance(value, dict | list):
        return 0
    inner = value.values() if isinstance(value, dict) else value
    return max(len(value), 1) + sum(values_of(item) for item in inner)


@given(pairs=st.lists(st.tuples(TRICKY | st.just(",[{"), VALUES), max_size=6), ascii_only=st.booleans())
def test_values_are_counted_as_a_naive_reader_counts_them(pairs: Any, ascii_only: bool) -> None:
    value = json.loads(write(tuple(pairs), ":", ascii_only))
    raw = json.dumps(value, ensure_ascii=ascii_only).encode()
    count = values_of(value)
    assert parse_json(raw, max_values=count) == value
    if count > 1:
        with pytest.raises(CallerFault, match=rf"more than {count - 1} values \(server.json_values\)") as caught:
            parse_json(raw, max_values=count - 1)
        assert caught.value.code == "too_many_values"


SIZE = 20 << 20
HOSTILE: dict[str, Callable[[], bytes]] = {
    "empty arrays": lambda: b'{"a":[' + b"[]," * (SIZE // 3) + b"[]]}",
    "empty strings": lambda: b'{"a":[' + b'"",' * (SIZE // 3) + b'""]}',
    "keys": lambda: b"{" + b",".join(b'"%x":1' % number for number in range(SIZE // 10)) + b"}",
    "numbers": lambda: b'{"a":[' + b"1," * (SIZE // 2) + b"1]}",
    "commas in a string": lambda: b'{"a":"' + b"," * SIZE + b'"}',
    "escapes in a string": lambda: b'{"a":"' + b'\\",' * (SIZE // 3) + b'"}',
    "a string without end": lambda: b'{"a":"' + b'\\",' * (SIZE // 3),
    "a backslash at the end": lambda: b'{"a":"' + b"," * SIZE + b"\\",
    "quotes": lambda: b'"' * SIZE,
    "a number": lambda: b'{"a":0.' + b"1" * SIZE + b"}",
    "white space": lambda: b'{"a"' + b" " * SIZE + b":1}",
    "repeated below a long key": lambda: (
        b'{"'
        + b"k" * (SIZE // 4)
        + b'":{'
        + b",".join(b'"%x" :{"a":1}' % number for number in range(100_000))
        + b',"z":1,"z":2}}'
    ),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_twenty_megabytes_of_the_worst_take_bounded_work(name: str) -> None:
    raw = HOSTILE[name]()

    def read() -> None:
        try:
            parse_json(raw)
        except CallerFault as fault:
            assert len(fault.message) < 400  # noqa: PT017

    # Every value is passed a few times at most, and nothing else is passed in Python.
    assert count_steps(read) < 20 * body_module.MAX_VALUES


def test_many_values_are_refused_before_they_are_made(monkeypatch: pytest.MonkeyPatch) -> None:
    def loads(raw: bytes) -> Any:
        raise AssertionError("parsed")

    monkeypatch.setattr(body_module.orjson, "loads", loads)
    for name in ("empty arrays", "empty strings", "keys", "numbers"):
        with pytest.raises(CallerFault, match="more than 400000 values"):
            parse_json(HOSTILE[name]())
