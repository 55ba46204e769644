"""The published test kit: what the gateway's own tests use, for authors of plugins. Needs pytest."""

from __future__ import annotations

from gateway.testing.client import Client, ClientAnswer
from gateway.testing.contract import HOSTILE_BODIES, HOSTILE_VALUES, ProviderContract
from gateway.testing.faulty_proxy import FaultyProxy
from gateway.testing.live_contract import LiveProviderContract
from gateway.testing.processes import ForkServer, GatewayProcess
from gateway.testing.running import RunningGateway, running_gateway, upstream_config
from gateway.testing.streams import (
    DONE_EVENT,
    chunk,
    huge_event,
    openai_completion,
    openai_error,
    openai_stream,
    parsed,
    sse,
    tool_call,
    usage,
)
from gateway.testing.transcripts import Transcript, load_transcript, load_transcripts
from gateway.testing.upstream import (
    Cut,
    FakeUpstream,
    Hold,
    Pause,
    Received,
    Reply,
    Stall,
    all_splits,
    json_reply,
    random_slices,
    refused_url,
    slices,
    whole,
)
from gateway.testing.values import HELLO, CollectingSink, make_call, make_target

__all__ = [
    "DONE_EVENT",
    "HELLO",
    "HOSTILE_BODIES",
    "HOSTILE_VALUES",
    "Client",
    "ClientAnswer",
    "CollectingSink",
    "Cut",
    "FakeUpstream",
    "FaultyProxy",
    "ForkServer",
    "GatewayProcess",
    "Hold",
    "LiveProviderContract",
    "Pause",
    "ProviderContract",
    "Received",
    "Reply",
    "RunningGateway",
    "Stall",
    "Transcript",
    "all_splits",
    "chunk",
    "huge_event",
    "json_reply",
    "load_transcript",
    "load_transcripts",
    "make_call",
    "make_target",
    "openai_completion",
    "openai_error",
    "openai_stream",
    "parsed",
    "random_slices",
    "refused_url",
    "running_gateway",
    "slices",
    "sse",
    "tool_call",
    "upstream_config",
    "usage",
    "whole",
]
