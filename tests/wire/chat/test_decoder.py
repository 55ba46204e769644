"""Reading Chat Completions answers. Recorded streams, every error shape and hostile input are tested with the
plugins, whose decoder this is; here stand the rules of its own."""

from __future__ import annotations

import orjson
import pytest

from gateway.errors import CallerFault, Fault, UpstreamFault
from gateway.wire.chat.decoder import ChatStreamDecoder, read_completion
from gateway.wire.redact import redact_fault

CHUNK = b'{"id":"a","choices":[{"index":0,"delta":{"content":"x"}}]}'
ODD = b'{"id":"a","note":"no choices here"}'
SPACED = b' {"choices": []} '


def events(*payloads: bytes) -> bytes:
    return b"".join(b"data: " + payload + b"\n\n" for payload in payloads)


def decode(data: bytes, size: int) -> tuple[list[object], bool]:
    decoder = ChatStreamDecoder()
    items: list[object] = []
    for start in range(0, len(data), size):
        items += decoder.feed(data[start : start + size])
    return [*items, *decoder.finish()], decoder.done


@pytest.mark.parametrize("size", [1, 2, 3, 7, 64, 10_000])
def test_chunks_come_out_as_they_are(size: int) -> None:
    assert decode(events(CHUNK, ODD, SPACED, CHUNK, b"[DONE]", CHUNK), size) == ([CHUNK, ODD, SPACED, CHUNK], True)
    assert decode(events(CHUNK), size) == ([CHUNK], False)
    assert decode(b"", size) == ([], False)


@pytest.mark.parametrize("size", [1, 7, 10_000])
def test_what_only_keeps_the_connection_alive_is_passed_over(size: int) -> None:
    assert decode(events(b"null", CHUNK, b" null", CHUNK, b"[DONE]"), size) == ([CHUNK, CHUNK], True)


@pytest.mark.parametrize("size", [1, 7, 10_000])
@pytest.mark.parametrize("end", [b"", b"\n", b"\n\n"])
def test_events_without_blank_lines_between_them(size: int, end: bytes) -> None:
    lines = b"\n".join(b"data: " + payload for payload in (CHUNK, CHUNK, b"[DONE]"))
    assert decode(lines + end, size) == ([CHUNK, CHUNK], True)
    cut = b"data: " + CHUNK + b"\ndata: " + CHUNK[:-9]
    assert decode(cut, size) == ([], False)


def test_a_message_of_another_name_is_one() -> None:
    for choice in ({"delta": {"role": "assistant", "content": "x"}}, {"text": "x"}):
        [found] = read_completion(orjson.dumps({"choices": [choice]}))["choices"]
        assert found == {"message": {"role": "assistant", "content": "x"}}


@pytest.mark.parametrize("size", [1, 5, 10_000])
def test_after_a_fault_nothing_is_read(size: int) -> None:
    items, done = decode(events(CHUNK, b'{"error":{"message":"x"}}', CHUNK, b"[DONE]"), size)
    assert items[0] == CHUNK
    assert [type(item) for item in items] == [bytes, UpstreamFault]
    assert not done


def test_faults_are_cleaned_on_the_way_out() -> None:
    seen: list[Fault] = []

    def clean(fault: Fault) -> Fault:
        seen.append(fault)
        return CallerFault("cleaned")

    (item,) = ChatStreamDecoder(clean).feed(events(b"rubbish"))
    assert isinstance(item, CallerFault)
    assert len(seen) == 1


def test_a_completion_is_not_touched() -> None:
    value = {"choices": [{"message": {"content": "x"}, "novel": 1}], "more": [1.5]}
    assert read_completion(orjson.dumps(value)) == value


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"[]", b"{}", b"NaN", b'{"choices":[]}', b'{"choices":{}}', b'{"choices":[{"delta":{}}]}', b"\xff"],
)
def test_nonsense_is_the_providers_fault(body: bytes) -> None:
    with pytest.raises(UpstreamFault) as caught:
        read_completion(body)
    assert caught.value.code == "upstream_invalid_response"
    assert caught.value.retryable


def test_values_are_redacted_everywhere() -> None:
    secret = "topsecretvalue"
    fault = UpstreamFault(
        f"a {secret}", type=secret, code=secret, param=secret, headers={"x": f"{secret}!"}, detail=f"{secret}{secret}"
    )
    assert redact_fault(fault, [secret, "", "abc"]) is fault
    assert secret not in repr((fault, fault.args, vars(fault)))
    assert (fault.message, fault.headers) == ("a [redacted]", {"x": "[redacted]!"})
    short = redact_fault(UpstreamFault("abc", code=None), ["abc"])
    assert (short.message, short.code, short.param) == ("abc", None, None)
