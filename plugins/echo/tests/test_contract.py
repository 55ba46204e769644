"""The provider contract, and the echo model's answers as a snapshot."""

from __future__ import annotations

from pathlib import Path

import orjson
import pytest
from tollgate_echo import EchoProvider, EchoSettings

from gateway.api import Provider
from gateway.testing import CollectingSink, ProviderContract, load_transcripts, make_call, make_target

TRANSCRIPTS = Path(__file__).parent.parent / "transcripts"


class TestEcho(ProviderContract):
    transcripts = TRANSCRIPTS
    upstream = "echo"

    def make_provider(self) -> Provider:
        return EchoProvider("echo", EchoSettings())


class TestEchoWithoutDirectives(TestEcho):
    def make_provider(self) -> Provider:
        return EchoProvider("echo", EchoSettings(directives=False))


@pytest.mark.parametrize("transcript", load_transcripts(TRANSCRIPTS), ids=lambda transcript: transcript.id)
async def test_the_same_request_gives_the_same_answer(transcript) -> None:
    provider = EchoProvider("echo", EchoSettings())
    assert provider.transport is not None
    sink = CollectingSink()
    provider.transport.send(provider.prepare(make_call(transcript.request), make_target("echo")).request, sink)
    await sink.wait()
    assert (sink.status, sink.headers) == (transcript.status, transcript.headers)
    if transcript.streamed:
        assert sink.body == transcript.body
    else:
        assert orjson.loads(sink.body) == orjson.loads(transcript.body)
