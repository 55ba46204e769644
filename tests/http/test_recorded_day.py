"""A recorded day, replayed after a change of prices: what it would have cost is right to the credit."""

from __future__ import annotations

import random
from hashlib import sha256
from pathlib import Path
from typing import Any

import orjson
import pytest

from gateway.blueprint import catalog_of, read_blueprint
from gateway.cli.record import replay
from gateway.testing import FakeUpstream, Received, Reply, load_transcripts, running_gateway, upstream_config

from . import test_explain as kinds

DIALECTS = (kinds.chat, kinds.completions, kinds.responses, kinds.messages, kinds.gemini, kinds.embeddings)
TURNS = 204
OTHER_PRICES = {"input": 0.7, "output": 31.3, "cached_input": 0.2}


def answer(received: Received) -> Reply:
    """The same answer to the same request, whoever asks."""
    return kinds.play(random.Random(sha256(received.body).digest()))(received)


def settings(url: str, prices: dict[str, Any] | None) -> dict[str, Any]:
    config = upstream_config(url + "/v1", **kinds.models(url), record={"folder": "kept"})
    for model in config["models"].values():
        model["price"] = prices or model["price"]
    return config


async def day(folder: Path, upstream: FakeUpstream, prices: dict[str, Any] | None) -> dict[str, int]:
    """Runs a day in a gateway with these prices: ids of its requests -> what each cost."""
    r = random.Random("a day")
    folder.mkdir()
    async with running_gateway(folder, settings(upstream.url, prices)) as running:
        for turn in range(TURNS):
            path, body = DIALECTS[turn % len(DIALECTS)](r)
            await running.post(path, body)
        rows = await running.gateway.stores.usage.recent(limit=TURNS)
    assert len(rows) > TURNS * 0.9, "some are refused"
    return {logged.row.request_id: logged.credits for logged in rows if logged.row.status == 200}


@pytest.mark.blocking_allowed  # the configuration is read again in this test's own loop
async def test_what_a_day_would_have_cost(tmp_path: Path) -> None:
    """Every dialect, streamed and whole, at three kinds of providers, some of which tell of more than there can be.
    What the replay says is what the same day costs in a gateway that has the new prices."""
    async with FakeUpstream() as upstream:
        upstream.answer(answer)
        then = await day(tmp_path / "first", upstream, None)
        would = await day(tmp_path / "second", upstream, OTHER_PRICES)
        config = tmp_path / "config.yaml"
        config.write_bytes(orjson.dumps(settings(upstream.url, OTHER_PRICES)))
    blueprint = read_blueprint(config, {"GATEWAY_DATA": str(tmp_path / "first" / "data")})
    catalog = catalog_of(blueprint)
    kept = load_transcripts(tmp_path / "first" / "data" / "kept")
    results = {one.id.rpartition("-")[0]: one for one in (replay(blueprint, catalog, each) for each in kept)}
    assert {name: one.before for name, one in results.items()} == then
    assert sorted(one.now or 0 for one in results.values()) == sorted(would.values())
    differences = [line for one in results.values() for line in one.differences]
    assert [line for line in differences if not line.startswith("charge: ")] == [], "nothing else has changed"
    assert len(differences) > TURNS / 2
