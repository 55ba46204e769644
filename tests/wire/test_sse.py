"""Event streams at every split."""

from __future__ import annotations

import random
import time
from pathlib import Path

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import UpstreamFault
from gateway.wire.sse import DONE, DONE_DATA, Event, EventReader, encode_data, encode_event

FIXTURES = Path(__file__).parent / "fixtures" / "chat"
STREAMS = sorted(path for path in FIXTURES.glob("*.json") if b'"sse"' in path.read_bytes())


def pieces(data: bytes, sizes: list[int]) -> list[bytes]:
    """`data` cut into slices of these sizes, in turn."""
    cut = []
    at = n = 0
    while at < len(data):
        size = sizes[n % len(sizes)]
        cut.append(data[at : at + size])
        at += size
        n += 1
    return cut


def read(slices: list[bytes], max_event: int = 1 << 24) -> tuple[list[Event], Event | None]:
    reader = EventReader(max_event)
    events = [event for data in slices for event in reader.feed(data)]
    return events, reader.finish()


def read_data(slices: list[bytes]) -> list[bytes]:
    reader = EventReader()
    return [data for piece in slices for data in reader.feed_data(piece)]


# name, bytes, events, leftover
CASES: list[tuple[str, bytes, list[Event], Event | None]] = [
    ("one event", b"data: a\n\n", [Event(b"a")], None),
    ("no space", b"data:a\n\n", [Event(b"a")], None),
    ("only one space is taken", b"data:  a\n\n", [Event(b" a")], None),
    ("crlf", b"data: a\r\n\r\ndata: b\r\n\r\n", [Event(b"a"), Event(b"b")], None),
    ("cr", b"data: a\r\rdata: b\r\r", [Event(b"a"), Event(b"b")], None),
    ("mixed ends", b"data: a\r\n\ndata: b\n\r\ndata: c\r\r\n", [Event(b"a"), Event(b"b"), Event(b"c")], None),
    ("byte-order mark", b"\xef\xbb\xbfdata: a\n\n", [Event(b"a")], None),
    ("only the first mark", b"\xef\xbb\xbf\xef\xbb\xbfdata: a\n\ndata: b\n\n", [Event(b"b")], None),
    ("mark alone", b"\xef\xbb\xbf", [], None),
    ("part of a mark", b"\xef\xbb", [], None),
    ("comments", b": hi\n\n:\n\ndata: a\n: within\n\n", [Event(b"a")], None),
    ("many lines", b"data: a\ndata\ndata: c\n\n", [Event(b"a\n\nc")], None),
    ("empty data is an event", b"data\n\n", [Event(b"")], None),
    ("name without data is none", b"event: x\n\ndata: a\n\n", [Event(b"a")], None),
    ("name", b"event: x\ndata: a\n\ndata: b\n\n", [Event(b"a", "x"), Event(b"b")], None),
    ("name, no space", b"event: x\ndata:a\n\n", [Event(b"a", "x")], None),
    (
        "name, nothing",
        b"event: x\ndata: \n\nevent: x\ndata: \ndata: b\n\n",
        [Event(b"", "x"), Event(b"\nb", "x")],
        None,
    ),
    ("name behind", b"data: a\nevent: x\n\nevent: \ndata: b\n\n", [Event(b"a", "x"), Event(b"b")], None),
    ("last name counts", b"event: x\nevent: y\ndata: a\n\n", [Event(b"a", "y")], None),
    (
        "id stays",
        b"id: 7\ndata: a\n\ndata: b\n\nid\ndata: c\n\n",
        [Event(b"a", id="7"), Event(b"b", id="7"), Event(b"c")],
        None,
    ),
    ("id with NUL", b"id: 7\0\ndata: a\n\n", [Event(b"a")], None),
    ("retry", b"retry: 250\ndata: a\n\nretry: 2s\ndata: b\n\n", [Event(b"a", retry=250), Event(b"b")], None),
    ("absurd retry", b"retry: " + b"9" * 5000 + b"\ndata: a\n\n", [Event(b"a")], None),
    ("unknown field", b"foo: x\n data: z\ndata: a\n\n", [Event(b"a")], None),
    ("colon in data", b"data: a: b\n\n", [Event(b"a: b")], None),
    ("extra blank lines", b"\n\n\ndata: a\n\n\n\n\ndata: b\n\n", [Event(b"a"), Event(b"b")], None),
    ("no blank line at the end", b"data: a\n\ndata: [DONE]\n", [Event(b"a")], Event(b"[DONE]")),
    ("no line end at the end", b"data: a\n\nevent: x\ndata: [DO", [Event(b"a")], Event(b"[DO", "x")),
    ("comment at the end", b"data: a\n\n: bye", [Event(b"a")], None),
    ("cr at the end", b"data: a\n\ndata: b\r", [Event(b"a")], Event(b"b")),
    ("utf-8", "data: grüß 日本\n\n".encode(), [Event("grüß 日本".encode())], None),
    ("bad utf-8 in a name", b"event: \xff\ndata: \xff\n\n", [Event(b"\xff", "\ufffd")], None),
    ("nothing", b"", [], None),
]


@pytest.mark.parametrize(("data", "events", "leftover"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_format_at_every_split(data: bytes, events: list[Event], leftover: Event | None) -> None:
    payloads = [event.data for event in events if event.data]
    splits = [[data], pieces(data, [1]), pieces(data, [2]), pieces(data, [3])]
    splits += [[data[:n], data[n:]] for n in range(min(len(data), 200))]
    splits.append([piece for byte in pieces(data, [1]) for piece in (byte, b"")])
    for slices in splits:
        assert read(slices) == (events, leftover), slices
        assert read_data(slices) == payloads, slices


@pytest.mark.parametrize("path", STREAMS, ids=lambda path: path.stem)
def test_recorded_streams_at_many_splits(path: Path) -> None:
    data = orjson.loads(path.read_bytes())["sse"].encode()
    whole, leftover = read([data])
    assert leftover is None
    assert len(whole) == data.count(b"\ndata: ") + data.startswith(b"data: ")
    assert all(event.data == DONE_DATA or orjson.loads(event.data) for event in whole)
    payloads = [event.data for event in whole]
    assert read_data([data]) == payloads
    for sizes in ([1], [7], [64], [1, 500, 3]):
        assert read(pieces(data, sizes)) == (whole, None)
        assert read_data(pieces(data, sizes)) == payloads
    for at in range(0, len(data), 5):
        assert read_data([data[:at], data[at:]]) == payloads
    windows = data.replace(b"\n", b"\r\n")
    assert read_data(pieces(windows, [1])) == read_data([windows]) == payloads


LINES = st.sampled_from(
    [b"data: x", b"data:", b"data: y", b"event: e", b"id: 1", b": c", b"", b"", b"\xef\xbb\xbf", b"foo"]
)
ENDS = st.sampled_from([b"\n", b"\r", b"\r\n"])
TEXT = st.lists(st.tuples(LINES, ENDS), max_size=30).map(lambda rows: b"".join(line + end for line, end in rows))


def by_the_standard(data: bytes) -> list[Event]:
    """The standard's algorithm, word for word, for a whole stream."""
    text = data.removeprefix(b"\xef\xbb\xbf").replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    events = []
    buffer, name, last_id = b"", "", ""
    for line in text.split(b"\n")[:-1]:
        if not line:
            if buffer:
                events.append(Event(buffer[:-1], name, last_id))
            buffer, name = b"", ""
            continue
        field, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if field == b"data":
            buffer += value + b"\n"
        elif field == b"event":
            name = value.decode()
        elif field == b"id":
            last_id = value.decode()
    return events


@given(data=TEXT, sizes=st.lists(st.integers(1, 9), min_size=1, max_size=8))
def test_agrees_with_the_standard_at_random_slices(data: bytes, sizes: list[int]) -> None:
    expected = by_the_standard(data)
    assert read(pieces(data, sizes))[0] == expected
    assert read_data(pieces(data, sizes)) == [event.data for event in expected if event.data]


@given(payloads=st.lists(st.binary(min_size=1)), sizes=st.lists(st.integers(1, 50), min_size=1))
def test_what_is_encoded_is_read_back(payloads: list[bytes], sizes: list[int]) -> None:
    stream = b"".join(b": x\n: y\n\n" + encode_data(payload) for payload in payloads) + DONE
    expected = [payload.replace(b"\r\n", b"\n").replace(b"\r", b"\n") for payload in payloads]
    assert read_data(pieces(stream, sizes)) == [*expected, DONE_DATA]


def test_encoders() -> None:
    assert encode_data(b"{}") == b"data: {}\n\n"
    assert encode_data(b"a\nb\r\nc") == b"data: a\ndata: b\ndata: c\n\n"
    assert encode_event("response.created", b"{}") == b"event: response.created\ndata: {}\n\n"
    with pytest.raises(ValueError, match="one line"):
        encode_event("x\ndata: forged", b"{}")


@pytest.mark.parametrize("sizes", [[1 << 20], [1], [7], [100]], ids=str)
@pytest.mark.parametrize(
    "text", [b"data: " + b"x" * 95 + b"\n\n", b"data: " + b"x" * 200, b": " + b"x" * 200 + b"\n\n"]
)
def test_too_large_an_event_is_a_fault_at_every_split(text: bytes, sizes: list[int]) -> None:
    with pytest.raises(UpstreamFault) as caught:
        read(pieces(b"data: fine\n\n" + text, sizes), max_event=100)
    assert caught.value.code == "upstream_event_too_large"
    assert not caught.value.retryable


@pytest.mark.parametrize("sizes", [[1 << 20], [1], [7], [101], [102]], ids=str)
def test_an_event_of_the_very_size_passes_at_every_split(sizes: list[int]) -> None:
    event = b"data: " + b"x" * 94
    stream = event + b"\n\n" + event + b"\r\n\r\n"
    assert len(read(pieces(stream, sizes), max_event=100)[0]) == 2


def test_time_is_linear_in_small_slices() -> None:
    """16 MiB in 1 KiB slices, and 256 KiB byte by byte: a parser that rescans would take minutes."""
    big = b"data: " + random.Random(1).randbytes(1024).replace(b"\n", b" ").replace(b"\r", b" ") * (16 * 1024)
    started = time.process_time()
    reader = EventReader(len(big) + 1)
    for at in range(0, len(big), 1024):
        assert reader.feed_data(big[at : at + 1024]) == []
    assert reader.feed_data(b"\n\n") == [big[6:]]
    for _ in range(256 * 1024):
        reader.feed_data(b"x")
    assert time.process_time() - started < 2.0


PIECES = (
    b'data: {"a":1}\n\n', b"event: x\ndata: 2\n\n", b"data: 3\r\n\r\n", b"event: y\r\ndata: 4\r\n\r\n", b": c\n\n",
    b"data: a\ndata: b\n\n", b"data:\n\n", b"data: \n\n", b"\n", b"\r", b"\r\n", b"id: 3\ndata: q\n\n", b"event: z\n\n",
    b"data: x\ry\n\n", b"event: q\rdata: 1\n\n", b"data: k\n\r\n", b"data: k\r\r", b"event: \ndata: e\n\n",
    b"event: x\nid: 4\ndata: k\n\n", b"data: half", b"\xef\xbb\xbf",
)  # fmt: skip


class WithoutLone(EventReader):
    """Reads every event in the way of those that are not alone."""

    def _lone(self, data: bytes) -> bytes | None:
        return None


def test_an_event_that_comes_alone_is_read_like_any_other() -> None:
    chance = random.Random(5)
    for _ in range(3000):
        parts = [chance.choice(PIECES) for _ in range(chance.randint(1, 6))]
        one, other = EventReader(), WithoutLone()
        for part in parts:
            assert one.feed_data(part) == other.feed_data(part), parts
            assert one.holds == other.holds
        assert one.finish() == other.finish()
