"""Recording and replaying: what is written is redacted and read by the contract's loader, and what changes shows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
import pytest

from gateway.blueprint import catalog_of, read_blueprint
from gateway.cli.record import replay
from gateway.testing import Reply, json_reply, load_transcripts, openai_completion, openai_error, openai_stream, usage

SECRET = "sk-fake-upstream-key"


async def record(serve: Any, tmp_path: Path, **section: Any) -> tuple[Any, Path]:
    site = await serve(record={"folder": "kept", **section})
    site.upstream.reply(json_reply(openai_completion(f"Hi, {SECRET}", reported=usage(100, 50))))
    await site.ask(max_tokens=60)
    site.upstream.reply(Reply(openai_stream("Hel", "lo", reported=usage(7, 2))))
    await site.ask(stream=True, messages=[{"role": "user", "content": "I am ada@example.org"}])
    await site.rest()
    return site, tmp_path / "data" / "kept"


def again(site: Any, folder: Path, change: Any = None) -> list[Any]:
    """Every transcript replayed under the site's configuration, with something changed in it."""
    config = orjson.loads(site.running.config_path.read_bytes())
    if change is not None:
        change(config)
    site.running.config_path.write_bytes(orjson.dumps(config))
    blueprint = read_blueprint(site.running.config_path, {"GATEWAY_DATA": str(folder.parent)})
    return [replay(blueprint, catalog_of(blueprint), transcript) for transcript in load_transcripts(folder)]


@pytest.mark.blocking_allowed  # the configuration is read again in this test's own loop
async def test_nothing_differs_when_nothing_has_changed(serve: Any, tmp_path: Path) -> None:
    site, folder = await record(serve, tmp_path)
    results = again(site, folder)
    assert [result.differences for result in results] == [[], []]
    assert sorted(result.now for result in results) == [7 + 4, 100 + 100]
    assert await site.spent() == sum(result.before for result in results)


@pytest.mark.blocking_allowed
async def test_what_is_written_is_redacted(serve: Any, tmp_path: Path) -> None:
    _, folder = await record(serve, tmp_path)
    files = sorted(folder.glob("*.json"))
    assert len(files) == 2
    assert all(file.stat().st_mode & 0o777 == 0o600 for file in files)
    raw = b"".join(file.read_bytes() for file in files)
    for secret in (SECRET.encode(), b"mghp_", b"ada@example.org"):
        assert secret not in raw
    assert [transcript.streamed for transcript in load_transcripts(folder)].count(True) == 1


@pytest.mark.blocking_allowed
async def test_a_change_of_price_and_of_route_shows(serve: Any, tmp_path: Path) -> None:
    site, folder = await record(serve, tmp_path)

    def dearer(config: Any) -> None:
        config["models"]["fake/model"]["price"] = {"input": 10, "output": 20}

    results = again(site, folder, dearer)
    assert sorted(result.now for result in results) == [110, 2000]
    assert all("charge: " in result.differences[-1] for result in results)

    def keyless(config: Any) -> None:
        config["providers"] = {"fake": {"plugin": "openai"}, "echo": {"plugin": "echo"}}

    before = orjson.loads(site.running.config_path.read_bytes())
    results = again(site, folder, keyless)
    told = ["route: the provider fake is switched off; set its key, whatever it be"]
    assert [result.differences for result in results] == [told, told], "and not what the embedded model would say"

    def renamed(config: Any) -> None:
        config["providers"] = before["providers"]
        config["models"]["fake/model"]["upstream"] = "another"

    assert all(
        'request.model: "upstream-model" then, "another" now' in one.differences for one in again(site, folder, renamed)
    )


@pytest.mark.blocking_allowed
async def test_faults_are_recorded_too_and_only_what_is_chosen(serve: Any, tmp_path: Path) -> None:
    site = await serve(record={"folder": "kept", "models": ["other/*"]})
    site.upstream.reply(json_reply(openai_completion("Hi")))
    await site.ask()
    assert not (tmp_path / "data" / "kept").exists()
    site = await serve(record={"folder": "kept", "most": 1}, folder="second", upstream={"retries": 0})
    site.noisy = True
    site.upstream.reply(json_reply(openai_error("no"), 400))
    await site.ask()
    await site.ask()
    await site.rest()
    (transcript,) = load_transcripts(tmp_path / "second" / "data" / "kept")
    assert transcript.status == 400
    assert transcript.call["answer"]["fault"]["status"] == 400
