"""The dispatcher without sockets: which target is tried, how often, and what is let go."""

from __future__ import annotations

import asyncio
from typing import Any

import orjson
import pytest

from gateway.api import CallerFault, Fault, Profile, UpstreamFault
from gateway.testing import chunk, make_call, make_target, openai_completion, openai_stream, sse, usage
from gateway.upstream.attempts import Dispatcher
from gateway.upstream.health import HealthBook
from gateway.upstream.lanes import Endpoint, Lanes
from gateway.upstream.plan import RetryPolicy

from .kit import EVENTS, LIMITS, FakeProvider, FakeTransport, chat_relay, hangs, says

FINE = says(200, orjson.dumps(openai_completion("Hi", reported=usage(3, 4))))
STREAM = says(200, b"".join(openai_stream("Hi")), EVENTS)
BUSY = says(503, b"{}")
REFUSED = says(400, b'{"error":{"message":"no"}}')


def dispatcher(transport: FakeTransport, retries: int = 0) -> tuple[Dispatcher, list[Any]]:
    dispatched: list[Any] = []
    lanes = Lanes(lambda name: (Endpoint("1", FakeProvider(name)),), HealthBook(), lambda target: LIMITS)
    found = Dispatcher(
        lanes,
        transport,
        LIMITS.total,
        RetryPolicy(retries, 0.001, 0.002),
        lambda call, target: dispatched.append((call.attempts, target.upstream)),
    )
    return found, dispatched


def call_to(*targets: Any, body: dict[str, Any] | None = None, **more: Any) -> Any:
    call = make_call({"model": "m", "messages": [{"role": "user", "content": "Hi"}], **(body or {})}, **more)
    call.targets = list(targets)
    call.freeze()
    return call


async def no_silence() -> None:
    raise AssertionError("it was not silent")


async def test_each_target_is_tried_as_often_as_the_policy_says() -> None:
    made, dispatched = dispatcher(FakeTransport(BUSY), retries=1)
    call = call_to(make_target("a"), make_target("b"))
    with pytest.raises(UpstreamFault):
        await made.whole(call, made.deadline())
    assert dispatched == [(1, "a"), (2, "a"), (3, "b"), (4, "b")]
    assert (call.attempts, call.target.upstream) == (4, "b")


async def test_the_next_target_answers() -> None:
    made, dispatched = dispatcher(FakeTransport(BUSY, FINE))
    call = call_to(make_target("a"), make_target("b"))
    answer = await made.whole(call, made.deadline())
    assert answer.body["choices"][0]["message"]["content"] == "Hi"
    assert (answer.usage or {})["prompt_tokens"] == 3
    assert [name for _, name in dispatched] == ["a", "b"]


async def test_what_the_caller_did_wrong_is_tried_nowhere_else() -> None:
    made, dispatched = dispatcher(FakeTransport(REFUSED), retries=3)
    with pytest.raises(CallerFault):
        await made.whole(call_to(make_target("a"), make_target("b")), made.deadline())
    assert len(dispatched) == 1


@pytest.mark.parametrize("stream", [False, True])
async def test_what_a_failed_target_could_not_carry_is_forgotten(stream: bool) -> None:
    made, _ = dispatcher(FakeTransport(BUSY, STREAM if stream else FINE))
    call = call_to(make_target("picky"), make_target("b"), body={"xa": 1}, stream=stream)
    call.dropped.append("before")
    if stream:
        await made.stream(call, made.deadline(), chat_relay, 0.0, no_silence)
    else:
        await made.whole(call, made.deadline())
    assert call.dropped == ["before"]
    made, _ = dispatcher(FakeTransport(FINE))
    call = call_to(make_target("picky"), body={"xa": 1})
    await made.whole(call, made.deadline())
    assert call.dropped == ["xa"]


async def test_a_target_does_only_what_its_profile_says() -> None:
    made, dispatched = dispatcher(FakeTransport(FINE))
    call = call_to(make_target("a"), operation="embeddings")
    with pytest.raises(CallerFault, match="makes no embeddings") as caught:
        await made.whole(call, made.deadline())
    assert caught.value.code == "unsupported_operation"
    assert dispatched == []


@pytest.mark.parametrize(("most", "sent"), [(None, [3]), (3, [3]), (1, [None] * 3), (2, [None] * 3)])
async def test_choices_are_asked_for_as_the_profile_says(most: int | None, sent: list[Any]) -> None:
    transport = FakeTransport(FINE)
    made, dispatched = dispatcher(transport)
    call = call_to(make_target("a", profile=Profile(max_choices=most)), body={"n": 3})
    answer = await made.whole(call, made.deadline())
    assert [body.get("n") for body in transport.sent] == sent
    assert len(dispatched) == len(sent)
    assert (answer.usage or {})["prompt_tokens"] == 3 * len(sent)
    assert [choice["index"] for choice in answer.body["choices"]] == list(range(len(sent)))


@pytest.mark.parametrize("stream", [False, True])
async def test_an_attempt_that_is_given_up_lets_its_exchange_go(stream: bool) -> None:
    """Else the connection, and the provider's work, would go on for nobody."""
    transport = FakeTransport(hangs)
    made, _ = dispatcher(transport)
    call = call_to(make_target("a"), stream=stream)
    work: Any = (
        made.stream(call, made.deadline(), chat_relay, 0.0, no_silence) if stream else made.whole(call, made.deadline())
    )
    task = asyncio.get_running_loop().create_task(work)
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert transport.exchanges[0].did == ["cancel"]


async def test_a_stream_that_failed_at_once_lets_its_exchange_go() -> None:
    transport = FakeTransport(says(503, b"{}", JSON_HEADERS))
    made, _ = dispatcher(transport)
    with pytest.raises(UpstreamFault):
        await made.stream(call_to(make_target("a"), stream=True), made.deadline(), chat_relay, 0.0, no_silence)
    assert transport.exchanges[0].did[-1:] == ["cancel"]


async def test_several_streams_are_one() -> None:
    def part(text: str) -> Any:
        return says(200, b"".join(openai_stream(text, reported=usage(3, 1))), EVENTS)

    made, _ = dispatcher(FakeTransport(part("a"), part("b")))
    call = call_to(make_target("a", profile=Profile(max_choices=1)), body={"n": 2}, stream=True)
    pump = await made.stream(call, made.deadline(), chat_relay, 0.0, no_silence)
    assert pump.ended
    assert pump.fault is None
    assert pump.tally.complete
    assert (pump.tally.usage or {})["prompt_tokens"] == 6
    assert pump.tally.text_bytes == 2


async def test_one_broken_stream_breaks_all_and_lets_the_others_go() -> None:
    broken = says(200, sse(chunk({"content": "x"})), EVENTS, UpstreamFault("cut"))
    transport = FakeTransport(says_nothing_yet, broken)
    made, _ = dispatcher(transport)
    call = call_to(make_target("a", profile=Profile(max_choices=1)), body={"n": 2}, stream=True)
    pump = await made.stream(call, made.deadline(), chat_relay, 0.0, no_silence)
    assert isinstance(pump.fault, Fault)
    pump.close()
    assert "cancel" in transport.exchanges[0].did


JSON_HEADERS = {"content-type": "application/json"}


def says_nothing_yet(sink: Any) -> None:
    sink.head(200, EVENTS)
