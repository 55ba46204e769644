"""JSON that is none by the letter, from servers: mended, and nothing else changed."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from gateway.errors import UpstreamFault
from gateway.wire.chat.decoder import ChatStreamDecoder
from gateway.wire.chat.tally import ChatTally
from gateway.wire.mending import Mender, load_mended
from gateway.wire.responses.decoder import ResponsesEventDecoder
from gateway.wire.responses.tally import ResponsesTally


@pytest.mark.parametrize(
    ("data", "right"),
    [
        (b'{"a":"x\xff\xfey"}', {"a": "x\ufffd\ufffdy"}),
        (b'{"a":"x\\ud83dy"}', {"a": "x\ufffdy"}),
        (b'{"a":"\\ud83d\\ude00\\ude00"}', {"a": "\U0001f600\ufffd"}),
        (b'{"a":"x\ny\tz"}', {"a": "x\ny\tz"}),
        (b'{"a":NaN,"b":[-Infinity,Infinity]}', {"a": None, "b": [None, None]}),
        (b'{"a":NaN,"id":12345678901234567890123}', b'{"a":null,"id":12345678901234567890123}'),
    ],
)
def test_what_is_broken_is_replaced(data: bytes, right: Any) -> None:
    assert orjson.dumps(load_mended(data)) == (right if isinstance(right, bytes) else orjson.dumps(right))


@pytest.mark.parametrize("data", [b"", b"{", b'{"a":\xff}', b"\xff", b'{"a":nan}', b"[" * 100_000, b"9" * 5000 + b"x"])
def test_what_is_no_json_stays_none(data: bytes) -> None:
    with pytest.raises(orjson.JSONDecodeError):
        load_mended(data)
    assert Mender().mend(data) == data


@pytest.mark.parametrize("data", [b'{"a":"\\u00e9"}', '{"a":"é NaN"}'.encode(), b'{"a": "Infinity"}', b'{"a":1}'])
def test_what_is_whole_passes_as_it_is(data: bytes) -> None:
    assert Mender().mend(data) is data


@pytest.mark.parametrize("low", [b'"\\ude00!"', b'"\\uDE00!"'])
def test_halves_of_a_pair_come_together(low: bytes) -> None:
    mender = Mender()
    told = [mender.mend(b'{"d":' + text + b"}") for text in (b'"hi \\ud83d"', low, b'"\\ude00 alone"')]
    assert [orjson.loads(one)["d"] for one in told] == ["hi ", "\U0001f600!", "\ufffd alone"]


def test_what_nests_too_deeply_to_be_written_again_ends_in_no_exception() -> None:
    deep = b'"n":NaN,"b":' + b"[" * 300 + b"]" * 300 + b"}"
    (fault,) = ChatTally().add([b'{"choices":[{"index":0,"delta":{"content":"x"}}],' + deep])
    assert isinstance(fault, UpstreamFault)
    event = b'{"type":"response.output_text.delta","delta":"x",' + deep
    assert ResponsesTally().add([event]) == [event]


@pytest.mark.parametrize("broken", [b'"x\xff"', b'"x\\udc00"', b"NaN"])
def test_every_decoder_and_tally_mends(broken: bytes) -> None:
    chat = b'data: {"choices":[{"index":0,"delta":{"content":' + broken + b"}}]}\n\n"
    event = b'data: {"type":"response.output_text.delta","delta":' + broken + b"}\n\n"
    for decoder, tally, data in (
        (ChatStreamDecoder(), ChatTally(), chat),
        (ResponsesEventDecoder(), ResponsesTally(), event),
    ):
        (item,) = tally.add(decoder.feed(data))
        orjson.loads(item) if isinstance(item, bytes) else orjson.dumps(item)
