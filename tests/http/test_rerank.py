"""POST /rerank, through the same chain and bill as chat."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
import pytest

from gateway.testing import FakeUpstream, json_reply, running_gateway, upstream_config

BODY = {"query": "red house", "documents": ["a blue car", "a house, red", "red"]}
RESULTS = [{"index": 1, "relevance_score": 0.9}, {"index": 0, "relevance_score": 0.1}]


def config(url: str, price: dict[str, Any]) -> dict[str, Any]:
    made = upstream_config(url)
    made["models"]["fake/model"]["price"] = price
    return made


@pytest.mark.parametrize(
    ("price", "told", "cost"),
    [
        ({"per_search": 0.002}, {"meta": {"billed_units": {"search_units": 1}}}, 2000),
        ({"per_search": 0.002}, {}, 2000),
        ({"input": 2, "output": 0}, {"usage": {"total_tokens": 40}}, 80),
        ({"input": 2, "output": 0}, {}, None),
    ],
)
async def test_a_ranking_and_its_bill(
    tmp_path: Path, fake_upstream: FakeUpstream, price: dict[str, Any], told: dict[str, Any], cost: int | None
) -> None:
    fake_upstream.reply(json_reply({"id": "r", "model": "up", "results": RESULTS, **told}))
    async with running_gateway(tmp_path, config(fake_upstream.url, price)) as gateway:
        asked = {"model": "fake/model", **BODY, "top_n": 2, "return_documents": True}
        status, headers, raw = await gateway.post("/v1/rerank", asked)
        assert status == 200, raw
        answer = orjson.loads(raw)
        [sent] = fake_upstream.requests
        assert (sent.path, sent.json) == ("/rerank", {**asked, "model": "upstream-model"})
        assert (answer["id"], answer["model"]) == ("r", "fake/model")
        assert [one["document"]["text"] for one in answer["results"]] == ["a house, red", "a blue car"]
        charged = int(headers["x-gateway-cost"])
        assert charged == cost if cost is not None else charged > 0
        account = await gateway.gateway.stores.accounts.get_account(gateway.account.id)
        assert account is not None
        assert (account.held, gateway.account.balance - account.balance) == (0, charged)
        [row] = await gateway.gateway.stores.usage.recent(gateway.account.id)
        assert (row.row.route, row.credits) == ("/v1/rerank", charged)


@pytest.mark.parametrize("results", [None, [], [{"index": 9, "relevance_score": 1}], [{"index": 0}]])
async def test_a_ranking_of_other_documents_is_the_providers_fault(
    tmp_path: Path, fake_upstream: FakeUpstream, results: Any
) -> None:
    fake_upstream.reply(json_reply({"results": results}))
    async with running_gateway(tmp_path, config(fake_upstream.url, {"per_search": 1})) as gateway:
        status, _, raw = await gateway.post("/v1/rerank", {"model": "fake/model", **BODY})
        if results == []:
            assert status == 200, "a provider may find nothing"
            return
        assert (status, orjson.loads(raw)["error"]["code"]) == (502, "upstream_invalid_response")


async def test_the_echo_model_ranks_by_words(tmp_path: Path) -> None:
    echo = {"providers": {"echo": {"plugin": "echo"}}, "models": {"echo/echo": {"free": True}}}
    async with running_gateway(tmp_path, {**echo, "default_model": "echo/echo"}) as gateway:
        status, _, raw = await gateway.post("/v1/rerank", BODY)
        assert status == 200, raw
        assert [(one["index"], one["relevance_score"]) for one in orjson.loads(raw)["results"]] == [
            (1, 1.0), (2, 0.5), (0, 0.0)
        ]  # fmt: skip


async def test_models_that_rank_nothing_say_so(tmp_path: Path, fake_upstream: FakeUpstream) -> None:
    made = config(fake_upstream.url, {"input": 1, "output": 1})
    made["models"]["fake/model"]["operations"] = ["chat"]
    async with running_gateway(tmp_path, made) as gateway:
        status, _, raw = await gateway.post("/v1/rerank", {"model": "fake/model", **BODY})
        assert (status, orjson.loads(raw)["error"]["code"]) == (400, "unsupported_operation")
        assert b"ranks no documents" in raw
