"""Files of requests and of answers, at any split."""

from __future__ import annotations

import orjson
import pytest

from gateway.errors import CallerFault
from gateway.testing.steps import assert_linear
from gateway.wire import batches
from gateway.wire.batches import BatchResult, ResultLines, read_lines, read_result, write_line

CHAT = "/v1/chat/completions"


def given(*ids: str) -> bytes:
    lines = [{"custom_id": name, "method": "POST", "url": CHAT, "body": {"n": 1}} for name in ids]
    return b"\r\n\n".join(orjson.dumps(line) for line in lines)


def test_requests_are_read_with_their_lines() -> None:
    found = read_lines(given("a", "b"), CHAT, 2, max_depth=8, max_values=100)
    assert [(line.number, line.custom_id, line.body) for line in found] == [(1, "a", {"n": 1}), (3, "b", {"n": 1})]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (given("a", "b", "c"), "more than 2"),
        (b"\n \n", "no requests"),
        (given("a", "a"), "line 3: custom_id"),
        (given(""), "line 1: custom_id"),
        (given("x" * 513), "line 1: custom_id"),
        (given("a").replace(CHAT.encode(), b"/v1/models"), "line 1: url"),
        (b'{"custom_id": "a", "custom_id": "b"}', "line 1"),
        (b"\xff", "line 1"),
        (given("a") + b"\n" + b'{"x": ' * 9 + b"1" + b"}" * 9, "line 2: .*nest"),
    ],
)
def test_what_is_no_file_of_requests_is_refused(content: bytes, message: str) -> None:
    with pytest.raises(CallerFault, match=message):
        read_lines(content, CHAT, 2, max_depth=8, max_values=100)


def test_a_request_is_one_line_whatever_its_body() -> None:
    written = write_line("a", CHAT, b'{\n "n": 1\n}')
    assert (written.count(b"\n"), orjson.loads(written)["body"]) == (1, {"n": 1})


def test_answers_are_split_anywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batches, "LONGEST_RESULT", 12)
    content = b"one\n\n" + b"x" * 13 + b"\nlast"
    for at in range(len(content) + 1):
        lines = ResultLines()
        found = [*lines.feed(content[:at]), *lines.feed(content[at:]), *lines.finish()]
        assert found == [b"one", b"", None, b"last"]


def test_odd_answers_are_read_as_far_as_they_go() -> None:
    assert read_result(b"{") is None
    assert read_result(b"5") == BatchResult("", 0, {})
    assert read_result(b'{"custom_id": 5, "response": {"status_code": "200", "body": []}}') == BatchResult("", 0, {})
    assert read_result(b'{"custom_id": "a", "response": {"status_code": 200, "body": {"x": 1}}}') == BatchResult(
        "a", 200, {"x": 1}
    )


def test_reading_is_linear() -> None:
    def make(size: int):  # type: ignore[no-untyped-def]
        content = given(*map(str, range(size)))
        return lambda: read_lines(content, CHAT, size, max_depth=8, max_values=100)

    assert_linear(make)
