"""What a stream in Anthropic's dialect comes to, for the bill."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from tollgate_anthropic.inbound.tally import MessagesTally


@pytest.mark.parametrize(
    ("delta", "size"),
    [
        ({"type": "text_delta", "text": "Hé"}, 3),
        ({"type": "thinking_delta", "thinking": "hm"}, 2),
        ({"type": "input_json_delta", "partial_json": '{"a":"é"}'}, 10),
        ({"type": "signature_delta", "signature": "AAAA"}, 0),
    ],
)
def test_all_that_the_model_wrote_counts_also_what_passes_unread(delta: dict[str, Any], size: int) -> None:
    tally = MessagesTally()
    event = orjson.dumps({"type": "content_block_delta", "index": 0, "delta": delta})
    for times in range(1, 4):
        assert tally.add([event]) == [event]
        assert tally.text_bytes == size * times
        assert tally.chunks == (times if size else 0)


def test_what_only_opens_an_answer() -> None:
    tally = MessagesTally()
    start = {"type": "message_start", "message": {"usage": {"input_tokens": 5, "output_tokens": 1}}}
    tally.add([orjson.dumps(start), b'{"type":"ping"}'])
    assert tally.opening
    tally.add([b'{"type":"content_block_start","index":0,"content_block":{"type":"redacted_thinking","data":"x"}}'])
    assert not tally.opening
