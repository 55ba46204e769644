"""The provider contract finds what is wrong with a provider: each check is shown to fail on a broken one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import orjson
import pytest

from gateway.call import Call, Target
from gateway.errors import CallerFault, ConfigFault, Fault
from gateway.profile import Profile
from gateway.provider import Attempt, StreamDecoder, StreamItem, Transport, UpstreamReply, UpstreamRequest
from gateway.readers import ChatReader
from gateway.testing import (
    ProviderContract,
    load_transcript,
    load_transcripts,
    openai_completion,
    openai_error,
    openai_stream,
)
from gateway.wire.chat.decoder import ChatStreamDecoder, read_completion
from gateway.wire.errors.render import fault_from_openai_error
from gateway.wire.redact import redact_fault
from gateway.wire.tokens import bound_text_tokens

KEY = "secret-key-0123456789"


class Plain:
    """A correct provider of the hub's own dialect."""

    name = "plain"
    transport: Transport | None = None

    def profile(self, target: Target) -> Profile:
        return Profile()

    def prepare(self, call: Call, target: Target) -> Attempt:
        return Attempt(self.build_request(call, target), PlainReader(call, self))

    def build_request(self, call: Call, target: Target) -> UpstreamRequest:
        body = {**call.body, "model": target.upstream, "stream": call.stream}
        if call.max_output is not None:
            body.pop("max_completion_tokens", None)
            body["max_tokens"] = call.max_output
        headers = {"authorization": f"Bearer {KEY}"}
        return UpstreamRequest("https://example.com/v1", headers, orjson.dumps(body), stream=call.stream)

    def read_reply(self, call: Call, reply: UpstreamReply) -> dict[str, Any]:
        return read_completion(reply.body)

    def open_stream(self, call: Call) -> StreamDecoder:
        return ChatStreamDecoder(lambda fault: redact_fault(fault, [KEY]))

    def read_fault(self, reply: UpstreamReply) -> Fault:
        return redact_fault(fault_from_openai_error(reply.status, reply.body, reply.headers), [KEY])

    def bound_input_tokens(self, body: Mapping[str, Any], target: Target) -> int:
        return bound_text_tokens(body)


class PlainReader(ChatReader):
    """Asks the provider, so that a broken one is one method away from a correct one."""

    def __init__(self, call: Call, provider: Plain) -> None:
        super().__init__(call)
        self.provider = provider

    def read_body(self, reply: UpstreamReply) -> dict[str, Any]:
        return self.provider.read_reply(self.call, reply)

    def make_decoder(self) -> StreamDecoder:
        return self.provider.open_stream(self.call)

    def read_fault(self, reply: UpstreamReply) -> Fault:
        return self.provider.read_fault(reply)

    def clean(self, fault: Fault) -> Fault:
        return redact_fault(fault, [KEY])


def write(folder: Path, name: str, request: Any, **response: Any) -> None:
    data = {
        "id": name,
        "source": "this test",
        "license": "MIT",
        "request": {"path": "/v1/chat/completions", "body": request},
        "response": {"status": 200, "headers": {"Content-Type": "x"}, **response},
    }
    (folder / f"{name}.json").write_bytes(orjson.dumps(data))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    request = {"messages": [{"role": "user", "content": "Hello there"}]}
    write(tmp_path, "stream", request, sse=b"".join(openai_stream("Hello", " there")).decode())
    write(tmp_path, "other", request, sse=b"".join(openai_stream("Good", " day", " to you")).decode())
    write(tmp_path, "whole", request, body=openai_completion("Hi"))
    write(tmp_path, "error", request, status=429, body=openai_error())
    return tmp_path


def contract(folder: Path, provider: type[Plain]) -> ProviderContract:
    class Contract(ProviderContract):
        transcripts = folder
        secrets = (KEY,)

        def make_provider(self) -> Any:
            return provider()

    return Contract()


def all_checks(checks: ProviderContract) -> list[Callable[[], None]]:
    found: list[Callable[[], None]] = []
    for name in dir(checks):
        if name.startswith("test_"):
            check = getattr(checks, name)
            if getattr(check, "pytestmark", None):
                found += [lambda check=check, stream=stream: check(stream=stream) for stream in (False, True)]
            else:
                found.append(check)
    return found


def test_a_correct_provider_passes(folder: Path) -> None:
    checks = all_checks(contract(folder, Plain))
    assert len(checks) > 15
    for check in checks:
        check()


class ForgetsLimit(Plain):
    def build_request(self, call: Call, target: Target) -> UpstreamRequest:
        return UpstreamRequest("https://example.com/v1", {}, orjson.dumps(call.body), stream=call.stream)


class KeepsBothLimits(Plain):
    def build_request(self, call: Call, target: Target) -> UpstreamRequest:
        body = {**call.body, "limit": call.max_output}
        return UpstreamRequest("https://example.com/v1", {}, orjson.dumps(body), stream=call.stream)


class ChangesTheBody(Plain):
    def build_request(self, call: Call, target: Target) -> UpstreamRequest:
        call.body["model"] = target.upstream
        return super().build_request(call, target)


class ReportsTwice(Plain):
    def build_request(self, call: Call, target: Target) -> UpstreamRequest:
        call.dropped.append(f"temperature{len(call.dropped)}")
        return super().build_request(call, target)


class KeyInUrl(Plain):
    def build_request(self, call: Call, target: Target) -> UpstreamRequest:
        request = super().build_request(call, target)
        request.url += f"?key={KEY}"
        return request


class UpperCaseHeaders(Plain):
    def build_request(self, call: Call, target: Target) -> UpstreamRequest:
        request = super().build_request(call, target)
        request.headers["X-Key"] = "x"
        return request


class NoSplits(Plain):
    def open_stream(self, call: Call) -> StreamDecoder:
        class Decoder:
            done = False

            def feed(self, data: bytes) -> list[StreamItem]:
                self.done = self.done or b"[DONE]" in data
                return [line[6:] for line in data.split(b"\n") if line.startswith(b"data: {")]

            def finish(self) -> list[StreamItem]:
                return []

        return Decoder()


class SharedState(Plain):
    decoder = ChatStreamDecoder()

    def open_stream(self, call: Call) -> StreamDecoder:
        return type(self).decoder


class AlwaysDone(Plain):
    def open_stream(self, call: Call) -> StreamDecoder:
        class Decoder(ChatStreamDecoder):
            def finish(self) -> list[StreamItem]:
                self.done = True
                return super().finish()

        return Decoder()


class RaisesOnRubbish(Plain):
    def open_stream(self, call: Call) -> StreamDecoder:
        class Decoder(ChatStreamDecoder):
            def feed(self, data: bytes) -> list[StreamItem]:
                for item in (items := super().feed(data)):
                    if isinstance(item, bytes):
                        orjson.loads(item)["choices"][0]["delta"].get("content")
                return items

        return Decoder()

    def read_reply(self, call: Call, reply: UpstreamReply) -> dict[str, Any]:
        value: dict[str, Any] = orjson.loads(reply.body)
        return value


class ReturnsNonsense(Plain):
    def read_reply(self, call: Call, reply: UpstreamReply) -> dict[str, Any]:
        return {}


class TellsTheKey(Plain):
    def read_fault(self, reply: UpstreamReply) -> Fault:
        return CallerFault("no", detail=reply.body.decode("latin-1"))


class NoFault(Plain):
    def read_fault(self, reply: UpstreamReply) -> Any:
        return None


class BoundTooSmall(Plain):
    def bound_input_tokens(self, body: Mapping[str, Any], target: Target) -> int:
        return 1


class LosesMembers(Plain):
    def build_request(self, call: Call, target: Target) -> UpstreamRequest:
        request = super().build_request(call, target)
        request.body = orjson.dumps({name: orjson.loads(request.body)[name] for name in ("model", "messages")})
        return request


class LosesTheEnd(Plain):
    def open_stream(self, call: Call) -> StreamDecoder:
        class Decoder(ChatStreamDecoder):
            def feed(self, data: bytes) -> list[StreamItem]:
                return [item for item in super().feed(data) if b'"stop"' not in item]  # type: ignore[operator]

        return Decoder()


class ReadsNothing(Plain):
    def open_stream(self, call: Call) -> StreamDecoder:
        class Decoder(ChatStreamDecoder):
            def feed(self, data: bytes) -> list[StreamItem]:
                return []

        return Decoder()


BROKEN: list[tuple[type[Plain], str]] = [
    (ForgetsLimit, "test_the_output_limit_is_always_sent"),
    (KeepsBothLimits, "test_a_clamped_limit_replaces_the_callers"),
    (ChangesTheBody, "test_building_changes_nothing_and_can_be_repeated"),
    (ReportsTwice, "test_building_changes_nothing_and_can_be_repeated"),
    (KeyInUrl, "test_credentials_are_sent_in_headers_only"),
    (UpperCaseHeaders, "test_a_request_is_ready_to_send"),
    (NoSplits, "test_streams_read_the_same_at_every_split"),
    (SharedState, "test_two_streams_do_not_disturb_each_other"),
    (AlwaysDone, "test_a_stream_cut_anywhere_is_not_done"),
    (RaisesOnRubbish, "test_hostile_streams_give_items_or_faults"),
    (RaisesOnRubbish, "test_hostile_answers_raise_faults_only"),
    (ReturnsNonsense, "test_whole_answers_become_completions"),
    (TellsTheKey, "test_credentials_never_show_in_faults"),
    (NoFault, "test_errors_become_faults"),
    (NoFault, "test_hostile_errors_become_faults"),
    (LosesMembers, "test_functions_are_sent_or_their_loss_is_told"),
    (LosesMembers, "test_unknown_members_survive_or_are_named"),
    (LosesTheEnd, "test_the_usage_of_streams_is_found"),
    (ReadsNothing, "test_a_stream_that_nobody_asked_for_is_the_answer_it_adds_up_to"),
    (BoundTooSmall, "test_the_input_bound_is_never_too_small"),
]


@pytest.mark.parametrize(("provider", "name"), BROKEN, ids=lambda value: getattr(value, "__name__", value))
def test_a_broken_provider_is_found(folder: Path, provider: type[Plain], name: str) -> None:
    check = getattr(contract(folder, provider), name)
    arguments = {"stream": True} if getattr(check, "pytestmark", None) else {}
    with pytest.raises((AssertionError, KeyError, TypeError, IndexError, AttributeError, orjson.JSONDecodeError)):
        check(**arguments)


def test_every_check_is_shown_to_fail(folder: Path) -> None:
    names = {name for name in dir(ProviderContract) if name.startswith("test_")}
    assert names - {name for _, name in BROKEN} == {"test_it_is_a_provider"}

    class NoName:
        speaks = frozenset({"chat"})
        on_disconnect = "cancel"

    with pytest.raises(ConfigFault, match="needs the method prepare"):
        contract(folder, NoName).test_it_is_a_provider()  # type: ignore[arg-type]


def test_transcripts_are_loaded(folder: Path) -> None:
    transcripts = {transcript.id: transcript for transcript in load_transcripts(folder)}
    assert transcripts["stream"].streamed
    assert transcripts["stream"].headers == {"content-type": "x"}
    assert transcripts["error"].reply.status == 429
    assert orjson.loads(transcripts["whole"].body)["choices"]


def test_wrong_transcripts_are_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no transcripts"):
        load_transcripts(tmp_path)
    for content in (b"{", b"[]", b'{"id": "x"}', b'{"id":"x","request":{},"response":{"status":200}}'):
        (tmp_path / "bad.json").write_bytes(content)
        with pytest.raises(ValueError, match=r"bad\.json: not a transcript"):
            load_transcript(tmp_path / "bad.json")
