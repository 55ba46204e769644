"""What is recorded: whole, bounded, of the chosen calls, and without changing what passes."""

from __future__ import annotations

import logging
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import orjson
import pytest

from gateway.call import Call, Caller, Outcome, Usage
from gateway.provider import Attempt, UpstreamRequest
from gateway.readers import ChatReader
from gateway.runner.recorder import Recorder, make_recorder
from gateway.testing import CollectingSink, load_transcripts, make_call, make_target, openai_completion

LOG = logging.Logger("test")
CALLER = Caller("acct_1", "key_1", "mghp_...abcd")
DONE = Outcome(200, Usage(), "provider")


def recorder(folder: Path, models: Any = (), accounts: Any = (), most: int = 10) -> Recorder:
    return Recorder(folder, models, accounts, most, lambda text: text.replace("hidden", "[redacted]"), LOG)


def play(made: Recorder, call: Call, body: bytes) -> CollectingSink:
    sink = CollectingSink()
    request = UpstreamRequest("https://x.test/v1/chat", {"authorization": "k"}, b'{"a":"hidden"}')
    attempt = Attempt(request, ChatReader(call))
    tapped = made.tap(call, make_target(), attempt, sink)
    tapped.head(200, {"content-type": "application/json", "set-cookie": "c"})
    tapped.data(body)
    tapped.end(None)
    assert (sink.body, sink.ended) == (body, True)
    return sink


@pytest.mark.blocking_allowed
async def test_an_exchange_becomes_a_transcript(tmp_path: Path) -> None:
    made = recorder(tmp_path)
    call = make_call(caller=CALLER)
    play(made, call, orjson.dumps(openai_completion("Hi, hidden")))
    await made.finish_call(call, DONE)
    (found,) = load_transcripts(tmp_path)
    assert (found.path, found.status, found.request) == ("/v1/chat", 200, {"a": "[redacted]"})
    raw = next(tmp_path.glob("*.json")).read_bytes()
    assert b"hidden" not in raw
    assert b"set-cookie" not in raw


@pytest.mark.blocking_allowed
@pytest.mark.parametrize(("models", "accounts", "kept"), [((), (), 2), (["a/*"], (), 1), ((), ["acct_2"], 0)])
async def test_only_chosen_calls(tmp_path: Path, models: Any, accounts: Any, kept: int) -> None:
    made = recorder(tmp_path, models, accounts)
    for name in ("a/b", "c/d"):
        call = make_call({"model": name, "messages": []}, caller=CALLER, id=f"req_{name[0]}")
        play(made, call, orjson.dumps(openai_completion("Hi")))
        await made.finish_call(call, DONE)
    assert len(list(tmp_path.glob("*.json"))) == kept


@pytest.mark.blocking_allowed
async def test_there_is_an_end_to_it(tmp_path: Path) -> None:
    made = recorder(tmp_path, most=1)
    for name in ("req_1", "req_2"):
        call = make_call(caller=CALLER, id=name)
        play(made, call, orjson.dumps(openai_completion("Hi")))
        await made.finish_call(call, DONE)
    call = make_call(caller=CALLER, id="req_3")
    play(recorder(tmp_path / "large"), call, b"x" * (5 * 1024 * 1024))
    assert [file.stem for file in tmp_path.glob("*.json")] == ["req_1-1"]


def test_it_is_off_unless_it_is_asked_for(tmp_path: Path) -> None:
    off: Any = SimpleNamespace(record=SimpleNamespace(folder=None))
    assert make_recorder(off, str, LOG) is None
    chosen = SimpleNamespace(folder="kept", models=(), accounts=(), most=1)
    on: Any = SimpleNamespace(record=chosen, data=tmp_path)
    assert make_recorder(on, str, LOG) is not None
