"""The compiled chain: order, subsets of arguments, first answers, and failing closed."""

from __future__ import annotations

import io
import logging
from typing import Any

import orjson
import pytest

from gateway.api import Call, Caller, Outcome, Refusal, Target, Usage, hookimpl
from gateway.errors import GatewayFault
from gateway.logs import make_logger
from gateway.pipeline import Pipeline
from gateway.pluginload import load
from gateway.testing import make_call, make_target
from gateway.wire.redact import Redactor


def build(order: list[str], **plugins: Any) -> tuple[Pipeline, io.StringIO]:
    stream = io.StringIO()
    log = make_logger("test", level="info", style="json", redact=Redactor(), stream=stream)
    return Pipeline(load(plugins, entry_point_group=None).order(order), log), stream


OUTCOME = Outcome(200, Usage(), "void")


def noting(name: str, notes: list[str]) -> Any:
    class Plugin:
        @hookimpl
        async def authorize_call(self, call: Call) -> None:
            notes.append(f"authorize {name}")

        @hookimpl
        async def admit_call(self) -> None:
            notes.append(f"admit {name}")

        @hookimpl
        def before_dispatch(self, target: Target, call: Call) -> None:
            notes.append(f"dispatch {name} {target.upstream} {call.id}")

        @hookimpl
        def watch_event(self, event: Any) -> None:
            notes.append(f"watch {name} {event['x']}")

        @hookimpl
        async def finish_call(self, outcome: Outcome) -> None:
            notes.append(f"finish {name} {outcome.status}")

    return Plugin


async def test_order_and_subsets_of_arguments() -> None:
    notes: list[str] = []
    pipeline, _ = build(["b", "a"], a=noting("a", notes), b=noting("b", notes), c=noting("c", notes))
    call = make_call()
    await pipeline.authorize(call)
    await pipeline.admit(call)
    pipeline.dispatch(call, make_target("m"))
    for watcher in pipeline.watchers:
        watcher(call, {"x": 1})
    await pipeline.finish(call, OUTCOME)
    assert notes == [
        *("authorize b", "authorize a", "authorize c"),
        *("admit b", "admit a", "admit c"),
        *("dispatch b m req_test", "dispatch a m req_test", "dispatch c m req_test"),
        *("watch b 1", "watch a 1", "watch c 1"),
        *("finish c 200", "finish a 200", "finish b 200"),
    ]
    assert pipeline.describe()["finish_call"] == ["c", "a", "b"]


async def test_nobody_watches_by_default() -> None:
    pipeline, _ = build([], a=object())
    assert pipeline.watchers == ()


async def test_the_first_caller_and_the_first_targets_count() -> None:
    class Nothing:
        @hookimpl
        async def identify_caller(self, call: Call) -> None:
            return None

        @hookimpl
        async def choose_targets(self, call: Call) -> Any:
            return []

    class Found:
        def __init__(self) -> None:
            self.calls = 0

        @hookimpl
        async def identify_caller(self, call: Call) -> Caller:
            self.calls += 1
            return Caller(f"acct_{self.calls}", "key", "k...")

        @hookimpl
        async def choose_targets(self, call: Call) -> Any:
            return [make_target()]

    pipeline, _ = build(["nothing", "first", "second"], nothing=Nothing, first=Found, second=Found)
    call = make_call()
    await pipeline.identify(call)
    assert call.caller is not None
    assert call.caller.account_id == "acct_1"
    await pipeline.choose(call)
    assert call.targets == [make_target()]

    pipeline, _ = build([], nothing=Nothing)
    with pytest.raises(Refusal) as refused:
        await pipeline.identify(make_call())
    assert refused.value.status == 401
    with pytest.raises(GatewayFault) as failed:
        await pipeline.choose(make_call())
    assert failed.value.status == 500


async def test_every_finish_runs_whatever_the_others_do() -> None:
    notes: list[str] = []

    class Failing:
        @hookimpl
        async def finish_call(self, call: Call) -> None:
            raise RuntimeError("boom")

    pipeline, stream = build(["a", "bad", "z"], a=noting("a", notes), bad=Failing, z=noting("z", notes))
    await pipeline.finish(make_call(), OUTCOME)
    assert notes == ["finish z 200", "finish a 200"]
    (line,) = [orjson.loads(text) for text in stream.getvalue().splitlines()]
    assert line["level"] == "error"
    assert line["request_id"] == "req_test"
    assert "plugin bad failed" in line["message"]
    assert "RuntimeError: boom" in line["trace"]


async def test_a_policy_that_fails_fails_closed() -> None:
    notes: list[str] = []

    class Failing:
        @hookimpl
        async def authorize_call(self, call: Call) -> None:
            raise KeyError("bug")

    pipeline, _ = build(["bad", "z"], bad=Failing, z=noting("z", notes))
    with pytest.raises(KeyError):
        await pipeline.authorize(make_call())
    assert notes == []


def test_pipelines_keep_no_state_of_the_log() -> None:
    pipeline, _ = build([])
    assert not logging.getLogger("gateway").handlers
    assert pipeline.describe() == {
        "identify_caller": [],
        "count_request": [],
        "authorize_call": [],
        "admit_call": [],
        "choose_targets": [],
        "admit_fees": [],
        "admit_round": [],
        "filter_answer": [],
        "extend_call": [],
        "finish_call": [],
    }
