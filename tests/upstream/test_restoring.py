"""Names of functions that a target knows by others, and streams in pieces."""

from __future__ import annotations

import itertools
from typing import Any

import orjson
import pytest

from gateway.api import ChatReader, Fault, Profile
from gateway.testing import make_call, make_target
from gateway.upstream.translation import speak

OWN, SAID = "tools.weather:now", "Hi"
BODY: dict[str, Any] = {
    "model": "m",
    "stream": True,
    "messages": [{"role": "user", "content": "x"}],
    "tools": [{"type": "function", "function": {"name": OWN, "parameters": {"type": "object", "properties": {}}}}],
}


def chunk(delta: dict[str, Any], reason: str | None = None, **more: Any) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": reason}
    frame = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice]}
    return b"data: %b\n\n" % orjson.dumps({**frame, **more})


def stream(*pieces: str) -> bytes:
    calls = [{"index": 0, "id": "c1", "type": "function", "function": {"name": pieces[0], "arguments": ""}}]
    calls += [{"index": 0, "function": {"name": piece}} for piece in pieces[1:]]
    calls.append({"index": 0, "function": {"arguments": "{}"}})
    usage = {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3}
    told = [chunk({"role": "assistant", "content": SAID}), *(chunk({"tool_calls": [call]}) for call in calls)]
    return b"".join([*told, chunk({}, "tool_calls", usage=usage), b"data: [DONE]\n\n"])


def names_in(items: list[Any]) -> list[str]:
    chunks = [orjson.loads(item) if isinstance(item, bytes) else item for item in items if not isinstance(item, Fault)]
    calls = [call for made in chunks for choice in made["choices"] for call in choice["delta"].get("tool_calls", ())]
    return [call["function"]["name"] for call in calls if "name" in call["function"]]


@pytest.mark.parametrize("cuts", [(), (3,), (1, 7), (3, 10, 20)])
def test_a_name_in_pieces_is_the_callers(cuts: tuple[int, ...]) -> None:
    call = make_call(BODY, stream=True)
    spoken = speak(call, make_target(profile=Profile()))
    sent = spoken.call.body["tools"][0]["function"]["name"]
    assert sent != OWN
    ends = [0, *cuts, len(sent)]
    raw = stream(*(sent[start:end] for start, end in itertools.pairwise(ends)))
    reader = spoken.reader(ChatReader(spoken.call))
    tally = reader.open_tally(1)
    assert getattr(tally, "opening", False)
    items = tally.add(reader.open_stream().feed(raw))
    assert names_in(items) == [OWN]
    assert (tally.complete, tally.finish_reason, tally.usage) == (
        True, "tool_calls", {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3},
    )  # fmt: skip
    plain = ChatReader(spoken.call).open_tally(1)
    plain.add(ChatReader(spoken.call).open_stream().feed(raw))
    for name in ("text_bytes", "text_tokens", "chunks", "opening"):
        assert getattr(tally, name) == pytest.approx(getattr(plain, name), abs=20)
    assert tally.text_bytes > len(SAID)


def test_a_stream_that_the_gateway_cuts_ends_for_its_length() -> None:
    spoken = speak(make_call(BODY, stream=True), make_target(profile=Profile()))
    tally = spoken.reader(ChatReader(spoken.call)).open_tally(1)
    tally.cut()
    assert tally.finish_reason == "length"
