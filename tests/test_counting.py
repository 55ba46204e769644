"""Counting tokens in a provider's own dialect, with a context that answers from a table."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.call import Call, Target
from gateway.counting import MOST, SECONDS, count_in, count_input_tokens
from gateway.errors import CallerFault, Fault, Refusal, UpstreamFault
from gateway.profile import Profile
from gateway.provider import UpstreamReply, UpstreamRequest
from gateway.testing import make_call, make_target
from gateway.wire.tokens import estimate_input_tokens

DIALECT = "somebody.words"


class Counting:
    """A provider that counts. `told`: what a fault of its upstream means."""

    told: Fault = UpstreamFault("away")

    def build_count(self, call: Call, body: dict[str, Any], target: Target) -> UpstreamRequest:
        return UpstreamRequest(f"http://x/{target.upstream}", dict(call.headers), repr(body).encode())

    def read_count(self, reply: UpstreamReply) -> int | None:
        return count_in(reply, "n")

    def read_fault(self, reply: UpstreamReply) -> Fault:
        return self.told


class Context:
    profile = Profile(counts=DIALECT)

    def __init__(self, provider: object, reply: UpstreamReply | Fault) -> None:
        self.steps: list[str] = []
        self.sent: list[UpstreamRequest] = []
        self._provider, self._reply = provider, reply

    def resolve(self, call: Call) -> None:
        self.steps.append("resolve")
        call.candidates = (make_target("one", profile=self.profile), make_target("two"))

    async def check_access(self) -> None:
        self.steps.append("check")

    async def aside(self, work: Any, *given: Any) -> Any:
        return work(*given)

    def provider(self, target: Target) -> object:
        return self._provider

    async def exchange(self, request: UpstreamRequest, *, seconds: float, most: int) -> UpstreamReply:
        assert (seconds, most) == (SECONDS, MOST)
        self.sent.append(request)
        if isinstance(self._reply, Fault):
            raise self._reply
        return self._reply


def reply(body: bytes, status: int = 200) -> UpstreamReply:
    return UpstreamReply(status, {}, body)


async def count(context: Any) -> tuple[int, str]:
    call = make_call()
    tokens = await count_input_tokens(context, call, {"words": 3}, DIALECT)
    return tokens, call.answer_headers["x-gateway-token-count"]


async def test_the_provider_counts_its_own_dialect() -> None:
    context = Context(Counting(), reply(b'{"n": 7}'))
    assert await count(context) == (7, "exact")
    assert [(request.url, request.body) for request in context.sent] == [("http://x/one", b"{'words': 3}")]
    assert context.steps == ["resolve", "check"]


@pytest.mark.parametrize(
    "answer",
    [
        reply(b'{"n": -1}'),
        reply(b'{"n": true}'),
        reply(b'{"m": 7}'),
        reply(b"[7]"),
        reply(b"nonsense"),
        reply(b'{"n": 7}', 302),
        reply(b"{}", 500),
        UpstreamFault("too slow"),
    ],
    ids=str,
)
async def test_what_cannot_be_had_is_estimated(answer: UpstreamReply | Fault) -> None:
    assert await count(Context(Counting(), answer)) == (estimate_input_tokens(make_call().body), "estimated")


@pytest.mark.parametrize("profile", [Profile(), Profile(counts="other.words")])
async def test_a_provider_of_another_dialect_is_not_asked(profile: Profile) -> None:
    context = Context(Counting(), reply(b'{"n": 7}'))
    context.profile = profile
    assert (await count(context))[1] == "estimated"
    assert context.sent == []


async def test_what_the_provider_finds_wrong_is_the_callers_to_mend() -> None:
    provider = Counting()
    provider.told = CallerFault("words: too odd")
    with pytest.raises(CallerFault, match="too odd"):
        await count(Context(provider, reply(b"{}", 400)))


@pytest.mark.parametrize("status", [404, 405, 501])
async def test_a_server_that_does_not_count_says_nothing_of_the_request(status: int) -> None:
    provider = Counting()
    provider.told = CallerFault("no such road")
    assert (await count(Context(provider, reply(b"{}", status))))[1] == "estimated"


async def test_who_may_not_use_the_model_learns_nothing() -> None:
    context = Context(Counting(), reply(b'{"n": 7}'))

    async def refuse() -> None:
        raise Refusal("not for you", status=403)

    context.check_access = refuse  # type: ignore[method-assign]
    with pytest.raises(Refusal):
        await count(context)
    assert context.sent == []
