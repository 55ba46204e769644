"""What every provider must do, as a test class that a plugin's own tests inherit.

    class TestContract(ProviderContract):
        transcripts = Path(__file__).parent.parent / "transcripts"
        secrets = ("sk-secret-value",)

        def make_provider(self) -> Provider:
            return MyProvider("test", MySettings(api_key="sk-secret-value"))

No network and no key is needed: a provider is pure. Hostile inputs are made from the transcripts with a fixed seed,
so a failure can be repeated.
"""

from __future__ import annotations

import copy
import random
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import urlsplit

import orjson
import pytest

from gateway.call import Call, Target
from gateway.errors import CallerFault, Fault
from gateway.operations import OPERATIONS
from gateway.pluginload import check_providers
from gateway.provider import (
    MediaProvider,
    Provider,
    Reader,
    StreamDecoder,
    StreamItem,
    UpstreamReply,
    UpstreamRequest,
)
from gateway.testing.transcripts import Transcript, load_transcripts
from gateway.testing.upstream import all_splits
from gateway.testing.values import HELLO, make_call, make_target

HOSTILE_VALUES: tuple[Any, ...] = (
    None,
    True,
    -1,
    10**18,
    1e308,
    "",
    "x" * 5000,
    "\u0000\r\n",
    [],
    {},
    [None],
    [[[]]],
    {"": None},
    {"type": None, "text": 1, "index": -5},
)
"""What takes the place of members of real answers."""

HOSTILE_BODIES: tuple[bytes, ...] = (
    b"",
    b"null",
    b"[]",
    b'""',
    b"{}",
    b"0",
    b"NaN",
    b'{"error":null}',
    b'{"error":1}',
    b'{"error":[]}',
    b'{"error":{"message":{},"code":[],"type":7,"param":{}}}',
    b'{"choices":{}}',
    b'{"choices":[null]}',
    b'{"choices":[{"message":[]}]}',
    b"<html>Bad gateway</html>",
    b"\xff\xfe\x00",
    b'{"a":' * 2000,
    b"[" * 5000,
    b'{"usage":{"prompt_tokens":1e999}}',
    b"data: ",
)

_MARK = 4321
_WEATHER: dict[str, Any] = {
    "type": "function",
    "function": {"name": "weather", "parameters": {"type": "object", "properties": {"city": {"type": "string"}}}},
}
_MUTATIONS = 150


class ProviderContract:
    """Inherit and set `transcripts` and `make_provider`; override what differs. See the module's text.

    secrets: the values of credentials that `make_provider` puts in; they must never show in a fault.
    upstream: the model's name at the provider, for requests. max_seeds: random splits per stream.
    """

    transcripts: ClassVar[Path]
    secrets: ClassVar[Sequence[str]] = ()
    upstream: ClassVar[str] = "model"
    max_seeds: ClassVar[int] = 3

    def make_provider(self) -> Provider:
        """A fresh instance with the credentials in `secrets`."""
        raise NotImplementedError

    def make_target(self) -> Target:
        """The target that requests are built for."""
        return make_target(self.upstream)

    def make_call(self, body: dict[str, Any] | None = None, **more: Any) -> Call:
        """The call behind a transcript or a request; `body` in the hub format."""
        return make_call(body, **more)

    # Requests.

    def test_it_is_a_provider(self) -> None:
        provider = self.make_provider()
        check_providers([("under test", provider)])
        profile = provider.profile(self.make_target())
        check_providers([("under test", provider)], MediaProvider if profile.media == "bytes" else Provider)
        assert profile.on_disconnect in ("cancel", "drain")
        assert profile.dialects & {"chat", "responses"}
        assert profile.operations <= OPERATIONS.keys()
        assert profile.operations

    @pytest.mark.parametrize("stream", [False, True])
    def test_a_request_is_ready_to_send(self, stream: bool) -> None:
        request = self._build({**HELLO, "stream": stream})
        parts = urlsplit(request.url)
        assert parts.scheme in ("http", "https")
        assert parts.hostname
        assert request.stream is stream
        assert all(name == name.lower() for name in request.headers)
        assert not any(ch in text for pair in request.headers.items() for text in pair for ch in "\r\n\0")
        assert isinstance(orjson.loads(request.body), dict)

    @pytest.mark.parametrize("stream", [False, True])
    def test_the_output_limit_is_always_sent(self, stream: bool) -> None:
        request = self._build({**HELLO, "stream": stream}, max_output=_MARK)
        assert str(_MARK).encode() in request.body

    def test_a_clamped_limit_replaces_the_callers(self) -> None:
        for key in ("max_tokens", "max_completion_tokens"):
            request = self._build({**HELLO, key: 987654}, max_output=_MARK)
            assert str(_MARK).encode() in request.body
            assert b"987654" not in request.body

    def test_building_changes_nothing_and_can_be_repeated(self) -> None:
        provider, target = self.make_provider(), self.make_target()
        body = {**HELLO, "temperature": 0.5, "stop": ["x"], "stream": True, "stream_options": {}}
        call = self.make_call(copy.deepcopy(body), max_output=_MARK)
        call.freeze()
        first = provider.prepare(call, target).request
        dropped = list(call.dropped)
        second = provider.prepare(call, target).request
        assert call.body == body
        assert first == second
        assert call.dropped == dropped

    def test_functions_are_sent_or_their_loss_is_told(self) -> None:
        call = self.make_call({**HELLO, "tools": [_WEATHER], "tool_choice": "auto"})
        try:
            request = self.make_provider().prepare(call, self.make_target()).request
        except CallerFault as fault:
            told = fault.message
        else:
            told = "tools" if b'"weather"' in request.body else call.dropped.text()
        assert "tools" in told

    def test_unknown_members_survive_or_are_named(self) -> None:
        call = self.make_call({**HELLO, "a_member_nobody_knows": 1})
        request = self.make_provider().prepare(call, self.make_target()).request
        assert (b"a_member_nobody_knows" in request.body) != ("a_member_nobody_knows" in call.dropped)

    def test_credentials_are_sent_in_headers_only(self) -> None:
        request = self._build(HELLO)
        for secret in self.secrets:
            assert secret not in request.url
            assert secret.encode() not in request.body

    # Streams.

    def test_streams_read_the_same_at_every_split(self) -> None:
        for transcript in self._streams():
            seen: dict[str, list[object]] = {}
            for name, pieces in all_splits(transcript.body, range(self.max_seeds)):
                items, done = self._read_stream(pieces, transcript)
                assert done, f"{transcript.id}: the end was not recognised ({name})"
                assert not [item for item in items if isinstance(item, Fault)], transcript.id
                seen[name] = [_comparable(item) for item in items]
            assert all(items == seen["whole"] for items in seen.values()), transcript.id
            assert seen["whole"], transcript.id

    def test_two_streams_do_not_disturb_each_other(self) -> None:
        streams = self._streams()
        if not streams:
            pytest.skip("no recorded streams")
        first, second = streams[0], streams[-1]
        provider = self.make_provider()
        decoders = [self._reader(provider, {**HELLO, "stream": True}).open_stream() for _ in range(2)]
        mixed: list[list[object]] = [[], []]
        halves = [[t.body[: len(t.body) // 2], t.body[len(t.body) // 2 :]] for t in (first, second)]
        for part in range(2):
            for place in range(2):
                mixed[place] += [_comparable(item) for item in decoders[place].feed(halves[place][part])]
        for place, transcript in enumerate((first, second)):
            mixed[place] += [_comparable(item) for item in decoders[place].finish()]
            alone, _ = self._read_stream([transcript.body], transcript)
            assert mixed[place] == [_comparable(item) for item in alone]

    def test_a_stream_cut_anywhere_is_not_done(self) -> None:
        for transcript in self._streams():
            body = transcript.body
            for place in range(0, len(body) * 3 // 4, max(len(body) // 40, 1)):
                _, done = self._read_stream([body[:place]], transcript)
                assert not done, f"{transcript.id}: cut at byte {place}"

    def test_hostile_streams_give_items_or_faults(self) -> None:
        for transcript in self._streams():
            for body in _mutated(transcript.body, transcript.id):
                self._survives_stream(body, transcript)
        for body in HOSTILE_BODIES:
            for wrapped in (body, b"data: " + body + b"\n\n", b"event: error\ndata: " + body + b"\n\n"):
                self._survives_stream(wrapped, None)

    def test_the_usage_of_streams_is_found(self) -> None:
        """What is billed: whole numbers, and of a stream what its provider told last."""
        for transcript in self._streams():
            items, _ = self._read_stream([transcript.body], transcript)
            tally = self._reader(self.make_provider(), {**HELLO, "stream": True}).open_tally(1)
            tally.add(items)
            _check_counts(tally.usage, transcript)
            assert tally.complete, transcript.id

    # Whole answers and errors.

    def test_whole_answers_become_completions(self) -> None:
        for transcript in self._whole():
            completion = self._provider_reads(transcript)
            assert completion["choices"], transcript.id
            for choice in completion["choices"]:
                assert isinstance(choice["message"], dict), transcript.id
                for called in choice["message"].get("tool_calls") or ():
                    assert isinstance(called["id"], str), transcript.id
                    assert called["id"], transcript.id
            _check_counts(completion.get("usage"), transcript)

    def test_a_stream_that_nobody_asked_for_is_the_answer_it_adds_up_to(self) -> None:
        for transcript in self._streams():
            try:
                completion = self._provider_reads(transcript)
            except Fault as fault:
                raise AssertionError(f"{transcript.id}: {fault.message}") from fault
            assert completion["choices"][0]["finish_reason"], transcript.id
            _check_counts(completion.get("usage"), transcript)

    def test_hostile_answers_raise_faults_only(self) -> None:
        provider = self.make_provider()
        bodies = [*HOSTILE_BODIES, *(body for t in self._whole() for body in _mutated(t.body, t.id))]
        for body in bodies:
            try:
                completion = self._reader(provider).read_reply(UpstreamReply(200, {}, body)).body
            except Fault:
                continue
            assert isinstance(completion, dict)
            assert isinstance(completion.get("choices"), list)

    def test_errors_become_faults(self) -> None:
        provider = self.make_provider()
        for transcript in self._all():
            if transcript.status >= 400:
                fault = self._reader(provider).read_fault(transcript.reply)
                assert isinstance(fault, Fault), transcript.id
                assert fault.status >= 400, transcript.id
                assert fault.message, transcript.id

    def test_hostile_errors_become_faults(self) -> None:
        provider = self.make_provider()
        headers: dict[str, str] = {"retry-after": "NaN", "content-type": "text/html", "retry-after-ms": "-5"}
        for status in (400, 401, 404, 418, 429, 500, 503, 599):
            for body in HOSTILE_BODIES:
                fault = self._reader(provider).read_fault(UpstreamReply(status, headers, body))
                assert isinstance(fault, Fault)
                assert fault.retry_after is None or fault.retry_after >= 0

    def test_credentials_never_show_in_faults(self) -> None:
        provider = self.make_provider()
        for secret in self.secrets:
            error = {"message": f"bad key {secret}", "type": secret, "code": secret, "param": secret}
            for body in (orjson.dumps({"error": error}), orjson.dumps(error), secret.encode(), orjson.dumps([secret])):
                for status in (400, 401, 403, 404, 429, 500):
                    self._assert_hidden(
                        self._reader(provider).read_fault(UpstreamReply(status, {"x-key": secret}, body))
                    )
                with pytest.raises(Fault) as caught:
                    self._reader(provider).read_reply(UpstreamReply(200, {}, body))
                self._assert_hidden(caught.value)
                items, _ = self._read_stream([b"event: error\ndata: " + body + b"\n\n"], None)
                for item in items:
                    if isinstance(item, Fault):
                        self._assert_hidden(item)

    # Bounds.

    def test_the_input_bound_is_never_too_small(self) -> None:
        provider = self.make_provider()
        assert provider.bound_input_tokens(HELLO, self.make_target()) > 0
        for transcript in self._whole():
            reported = (self._provider_reads(transcript).get("usage") or {}).get("prompt_tokens")
            if reported and self.is_hub_request(transcript):
                assert transcript.request is not None
                assert provider.bound_input_tokens(transcript.request, self.make_target()) >= reported, transcript.id

    def is_hub_request(self, transcript: Transcript) -> bool:
        """Whether a transcript's request is in the hub format, so that its input bound can be checked."""
        return transcript.request is not None and transcript.path.endswith("/chat/completions")

    # Helpers.

    def _all(self) -> list[Transcript]:
        return load_transcripts(self.transcripts)

    def _streams(self) -> list[Transcript]:
        return [t for t in self._all() if t.streamed and t.status == 200]

    def _whole(self) -> list[Transcript]:
        return [t for t in self._all() if not t.streamed and t.status == 200]

    def _build(self, body: dict[str, Any], **more: Any) -> UpstreamRequest:
        return self.make_provider().prepare(self.make_call(dict(body), **more), self.make_target()).request

    def _reader(self, provider: Provider, body: dict[str, Any] | None = None) -> Reader:
        """What reads the answer to a request with this body."""
        return provider.prepare(self.make_call(dict(HELLO if body is None else body)), self.make_target()).reader

    def _provider_reads(self, transcript: Transcript) -> dict[str, Any]:
        return self._reader(self.make_provider()).read_reply(transcript.reply).body

    def _read_stream(self, pieces: Sequence[bytes], transcript: Transcript | None) -> tuple[list[StreamItem], bool]:
        decoder = self.open_stream(transcript)
        items: list[StreamItem] = []
        for piece in pieces:
            items += decoder.feed(piece)
            if items and isinstance(items[-1], Fault):
                return items, decoder.done
        return items + decoder.finish(), decoder.done

    def open_stream(self, transcript: Transcript | None) -> StreamDecoder:
        """A decoder for the stream of a transcript, or of a request of which nothing is known."""
        body = transcript.request if transcript is not None and self.is_hub_request(transcript) else None
        return self._reader(self.make_provider(), {**(body or HELLO), "stream": True}).open_stream()

    def _survives_stream(self, body: bytes, transcript: Transcript | None) -> None:
        try:
            items, _ = self._read_stream([body], transcript)
        except Fault:
            return
        assert all(isinstance(item, (bytes, dict, Fault)) for item in items)

    def _assert_hidden(self, fault: Fault) -> None:
        shown = "|".join(map(str, (fault, vars(fault), fault.args)))
        assert not any(secret in shown for secret in self.secrets)


def _check_counts(usage: Any, transcript: Transcript) -> None:
    """Usage as it can be billed; None when the provider told none."""
    if usage is None:
        return
    for name in ("prompt_tokens", "completion_tokens"):
        count = usage.get(name)
        assert isinstance(count, int), f"{transcript.id}: usage.{name} is {count!r}"
        assert count >= 0, f"{transcript.id}: usage.{name}"


def _comparable(item: StreamItem) -> object:
    if isinstance(item, Fault):
        return type(item), item.message, item.code, item.status
    return item


def _mutated(body: bytes, seed: str) -> Iterator[bytes]:
    """Variants of recorded bytes: members replaced by hostile values, bytes lost, doubled or turned into rubbish."""
    source = random.Random(seed)
    lines = body.split(b"\n")
    for _ in range(_MUTATIONS):
        kind = source.randrange(4)
        if kind == 0:
            place = source.randrange(len(body) + 1)
            yield body[:place] + source.randbytes(source.randint(1, 8)) + body[place:]
        elif kind == 1:
            start = source.randrange(len(body) + 1)
            yield body[:start] + body[start + source.randint(1, 40) :]
        else:
            yield b"\n".join(_twist(line, source) if source.random() < 0.3 else line for line in lines)


def _twist(line: bytes, source: random.Random) -> bytes:
    """One line with one member of its JSON replaced; other lines as they are."""
    head, brace, rest = line.partition(b"{")
    try:
        value = orjson.loads(brace + rest)
    except orjson.JSONDecodeError:
        return line
    places = list(_places(value))
    if not places:
        return line
    owner, key = source.choice(places)
    owner[key] = source.choice(HOSTILE_VALUES)
    return head + orjson.dumps(value)


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    members = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in members:
        yield value, key
        yield from _places(inner)
