"""Answers changed on their way: whole, streamed at every split, and unfolded."""

from __future__ import annotations

from typing import Any

import orjson

from gateway.api import CallerFault, ChatReader, Fault, UpstreamReply
from gateway.testing import make_call
from gateway.upstream.rewriting import RewritingReader

CHUNKS = [
    {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice]}
    for choice in (
        {"index": 0, "delta": {"role": "assistant", "content": "old"}, "finish_reason": None},
        {"index": 0, "delta": {"content": "plain"}, "finish_reason": None},
        {"index": 0, "delta": {"content": "old"}, "finish_reason": "stop"},
    )
]
RAW = b"".join(b"data: %b\n\n" % orjson.dumps(chunk) for chunk in CHUNKS) + b"data: [DONE]\n\n"
MESSAGE = {"role": "assistant", "content": "old"}
WHOLE = {
    "id": "c",
    "object": "chat.completion",
    "created": 1,
    "model": "m",
    "choices": [{"index": 0, "message": MESSAGE, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3},
}


class Numbered:
    """Numbers what says `old`; one for each answer."""

    def __init__(self) -> None:
        self.seen = 0

    def concerns(self, item: bytes) -> bool:
        return b"old" in item

    def change(self, answer: dict[str, Any]) -> dict[str, Any]:
        self.seen += 1
        return orjson.loads(orjson.dumps(answer).replace(b"old", b"new%d" % self.seen))


def reader() -> RewritingReader:
    return RewritingReader(ChatReader(make_call(stream=True)), Numbered)


def texts(items: list[Any]) -> list[str]:
    assert not any(isinstance(item, Fault) for item in items)
    parsed = [item if isinstance(item, dict) else orjson.loads(item) for item in items]
    return [choice["delta"]["content"] for item in parsed for choice in item["choices"] if "content" in choice["delta"]]


def test_a_whole_answer_is_changed_and_measured() -> None:
    answer = reader().read_reply(UpstreamReply(200, {}, orjson.dumps(WHOLE)))
    assert answer.body["choices"][0]["message"]["content"] == "new1"
    assert (answer.usage or {})["prompt_tokens"] == 1


def test_a_stream_is_changed_with_one_memory_at_every_split() -> None:
    made = reader()
    for cut in range(len(RAW) + 1):
        decoder = made.open_stream()
        items = [*decoder.feed(RAW[:cut]), *decoder.feed(RAW[cut:]), *decoder.finish()]
        assert texts(items) == ["new1", "plain", "new2"]
        assert decoder.done
        decoder.done = False
        assert not decoder.done


def test_what_came_whole_is_unfolded_changed() -> None:
    assert "new1" in texts(reader().unfold(UpstreamReply(200, {}, orjson.dumps(WHOLE))))


def test_what_is_no_json_and_faults_pass_as_they_are() -> None:
    decoder = reader().open_stream()
    (broken,) = decoder.feed(b"data: old but no json\n\n")
    assert isinstance(broken, Fault)
    fault = reader().read_fault(UpstreamReply(400, {}, b'{"error": {"message": "old"}}'))
    assert isinstance(fault, CallerFault)
    assert "old" in fault.message
    tally = reader().open_tally(1)
    tally.add([CHUNKS[0], CHUNKS[2]])
    assert tally.complete
