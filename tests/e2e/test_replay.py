"""Recorded provider traffic as the upstream: what the official Python SDK reads is what the provider sent.

The recordings are those of the OpenAI plugin and of the wire tests; their origin stands in the READMEs beside them.
Each answer is also held against OpenAI's published schemas: whatever deviates there deviated in the recording.
"""

from __future__ import annotations

import json
import re
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import openai
import pytest

from gateway.testing import Reply, json_reply, random_slices, slices, whole

pytestmark = pytest.mark.sdk

ROOT = Path(__file__).resolve().parents[2]
HELLO = [{"role": "user", "content": "Hello!"}]


@dataclass(frozen=True)
class Recording:
    """One answer of a provider; `data`: its bytes."""

    name: str
    status: int
    streamed: bool
    data: bytes

    @property
    def payloads(self) -> list[dict[str, Any]]:
        """Every JSON object of the answer."""
        if not self.streamed:
            return [json.loads(self.data)]
        return payloads(self.data.decode().splitlines())


def payloads(lines: list[str]) -> list[dict[str, Any]]:
    texts = [line[5:].strip() for line in lines if line.startswith("data:")]
    return [json.loads(text) for text in texts if text != "[DONE]"]


def load(path: Path) -> Recording:
    value = json.loads(path.read_text())
    answer = value.get("response", value)
    raw = answer.get("sse", answer.get("body"))
    data = raw if isinstance(raw, str) else json.dumps(raw)
    return Recording(path.stem, answer.get("status", 200), "sse" in answer, data.encode())


FOLDERS = (ROOT / "plugins/openai/transcripts", ROOT / "tests/wire/fixtures/chat")
ALL = [load(path) for folder in FOLDERS for path in sorted(folder.glob("*.json"))]
ALL = [recording for recording in ALL if "responses" not in recording.name]
WHOLE = [recording for recording in ALL if recording.status == 200 and not recording.streamed]
STREAMS = [recording for recording in ALL if recording.status == 200 and recording.streamed]
ERRORS = [recording for recording in ALL if recording.status != 200]


def named(recording: Recording) -> str:
    return recording.name


def test_there_are_recordings():
    assert (len(WHOLE) > 10, len(STREAMS) > 8, len(ERRORS) > 5) == (True, True, True)


def deviations(problems, schema: str, values: list[dict[str, Any]]) -> set[str]:
    """The places at which values differ from a schema, without indexes."""
    found = [re.sub(r"\[\d+\]", "[*]", problem) for value in values for problem in problems(schema, value)]
    return {re.sub(r": .*(is not of type|is not one of|is not valid)", r": \1", problem) for problem in found}


def without(value: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: member for name, member in value.items() if name not in names}


@pytest.mark.parametrize("recording", WHOLE, ids=named)
def test_a_whole_answer(world, client, problems, recording):
    (sent,) = recording.payloads
    world.play(json_reply(recording.data))
    # A call in the older form is told as one to whoever asked in the older form.
    called = [choice["message"].get("function_call") for choice in sent["choices"]]
    functions = [{"name": one["name"], "parameters": {"type": "object"}} for one in called if one]
    more = {"functions": functions} if functions else {}
    raw = client.chat.completions.with_raw_response.create(model="fake/model", messages=HELLO, **more)
    got = json.loads(raw.text)
    assert without(got, "model", "usage") == without(sent, "model", "usage")
    assert got["model"] == "fake/model"
    assert without(got["usage"], "cost") == sent["usage"]
    answer = raw.parse()
    assert answer.choices[0].message.content == sent["choices"][0]["message"].get("content")
    known = deviations(problems, "CreateChatCompletionResponse", [sent])
    assert deviations(problems, "CreateChatCompletionResponse", [got]) <= known


def fold(chunks: list[dict[str, Any]]) -> dict[int, dict[str, Any]]:
    """What a stream says, by choice: texts, calls and the reason of the end."""
    folded: dict[int, dict[str, Any]] = defaultdict(lambda: {"texts": defaultdict(str), "calls": {}, "finish": []})
    for choice in (choice for chunk in chunks for choice in chunk.get("choices") or []):
        into, delta = folded[choice["index"]], choice.get("delta") or {}
        for name in ("content", "refusal", "reasoning", "reasoning_content"):
            into["texts"][name] += delta.get(name) or ""
        for part in delta.get("tool_calls") or []:
            call = into["calls"].setdefault(part.get("index", 0), {"id": "", "name": "", "arguments": ""})
            function = part.get("function") or {}
            call["id"] = part.get("id") or call["id"]
            call["name"] += function.get("name") or ""
            call["arguments"] += function.get("arguments") or ""
        into["finish"] += [choice["finish_reason"]] * bool(choice.get("finish_reason"))
    return folded


def usages(chunks: list[dict[str, Any]]) -> list[dict[str, Any]]:
    found = [chunk.get("usage") or (chunk.get("choices") or [{}])[0].get("usage") for chunk in chunks]
    return [usage for usage in found if usage]


SPLITS = {"whole": whole, "bytewise": slices, "random": lambda data: random_slices(data, seed=3)}


@pytest.mark.parametrize("asked", [False, True], ids=["usage on the last", "usage extra"])
@pytest.mark.parametrize("split", SPLITS)
@pytest.mark.parametrize("recording", STREAMS, ids=named)
def test_a_stream(world, client, problems, recording, split, asked):
    world.play(Reply(SPLITS[split](recording.data)))
    options = {"stream_options": {"include_usage": True}} if asked else {}
    with client.chat.completions.with_streaming_response.create(
        model="fake/model", messages=HELLO, stream=True, **options
    ) as response:
        lines = list(response.iter_lines())
    got, sent = payloads(lines), recording.payloads
    assert fold(got) == fold(sent)
    assert lines[-2:] == ["data: [DONE]", ""]
    assert {chunk["model"] for chunk in got} == {"fake/model"}
    (usage,) = [chunk["usage"] for chunk in got if chunk.get("usage")]
    assert usage == got[-1]["usage"]
    if reported := usages(sent):
        # What the provider charged the operator is not what the caller pays.
        assert without(usage, "cost") == without(reported[-1], "cost")
    assert all(chunk["choices"] for chunk in (got[:-1] if asked else got))
    schema = "CreateChatCompletionStreamResponse"
    assert deviations(problems, schema, got) <= deviations(problems, schema, sent)


@pytest.mark.parametrize("recording", STREAMS, ids=named)
def test_a_stream_in_the_sdks_helper(world, client, recording):
    world.play(Reply(random_slices(recording.data, seed=9)))
    sent = fold(recording.payloads)[0]
    with client.chat.completions.stream(model="fake/model", messages=HELLO) as stream:
        try:
            final = stream.until_done().get_final_completion()
        except openai.LengthFinishReasonError as error:
            final = error.completion
    message = final.choices[0].message
    assert (message.content or "") == sent["texts"]["content"]
    assert (message.refusal or "") == sent["texts"]["refusal"]
    calls = [(call.id, call.function.name, call.function.arguments) for call in message.tool_calls or []]
    assert calls == [tuple(call.values()) for call in sent["calls"].values()]
    assert final.choices[0].finish_reason == sent["finish"][-1]
    assert final.usage.total_tokens > 0


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("recording", ERRORS, ids=named)
def test_an_error(world, client, problems, recording, stream):
    world.play(json_reply(recording.data, recording.status))
    with pytest.raises(openai.APIStatusError) as caught:
        client.chat.completions.create(model="fake/model", messages=HELLO, stream=stream)
    error = caught.value
    assert not problems("ErrorResponse", error.response.json())
    # A wrong key or model name is the operator's mistake here, not the caller's.
    assert error.status_code == (502 if recording.status in (401, 403) else recording.status)
    assert client._should_retry(error.response) is False
