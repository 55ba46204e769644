"""Patterns of models against what providers list."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest

from gateway.blueprint import available_providers, read_blueprint
from gateway.discovery import Discovery, found_models
from gateway.errors import ConfigFault, UpstreamFault
from gateway.provider import ListedModel, UpstreamReply

TEXT = """\
providers:
  local: {plugin: openai, base_url: "http://127.0.0.1:1/v1"}
  echo: {plugin: echo}
models:
  local/*: {free: true, max_output: 100}
  local/big-*: {price: {input: 1, output: 2}, context: 5000}
  local/own: {upstream: typed, free: true}
aliases: {local/taken: local/own}
default_model: local/own
"""


def blueprint_of(folder: Path, text: str = TEXT) -> Any:
    path = folder / "config.yaml"
    path.write_text(text)
    return read_blueprint(path, {"GATEWAY_DATA": str(folder / "data")})


def listed(*names: str) -> list[ListedModel]:
    return [ListedModel(name) for name in names]


def test_the_longest_pattern_counts_and_what_is_typed_stays(tmp_path: Path) -> None:
    config = blueprint_of(tmp_path).config
    names = ("small", "big-1", "org/sub:7b", "typed", "own", "taken", "a b", "../x", "x" * 400)
    models = [*listed(*names), ListedModel("with-limits", context=9000, max_output=70)]
    found = found_models(config, {"local": models, "echo": listed("echo2")})
    assert set(found) == {"local/small", "local/big-1", "local/org/sub:7b", "local/with-limits"}
    big, small = found["local/big-1"], found["local/small"]
    assert (big.upstream, big.settings.context, big.settings.max_output) == ("big-1", 5000, None)
    assert big.price is not None
    assert (small.settings.free, small.settings.max_output, small.provider) == (True, 100, "local")
    limits = found["local/with-limits"].settings
    assert (limits.context, limits.max_output) == (9000, 100), "what the operator says counts first"


class Provider:
    """Lists what it is told to."""

    transport: Any = object()

    def __init__(self, *names: str) -> None:
        self.names = names

    def profile(self, target: Any) -> Any:
        if target.upstream == "odd":
            raise ValueError("no such thing")
        return target.profile

    def models_request(self) -> Any:
        return None

    def read_models(self, reply: UpstreamReply) -> list[ListedModel]:
        return listed(*self.names)


@pytest.fixture
def blueprint(tmp_path: Path) -> Any:
    return blueprint_of(tmp_path)


async def test_a_refresh_takes_over_what_changed_and_a_failure_leaves_all_as_it_was(blueprint: Any) -> None:
    provider, lines = Provider("a", "odd"), []
    failing = [False]

    async def exchange(request: Any, *, seconds: float, most: int, transport: Any) -> UpstreamReply:
        assert transport is provider.transport, "a provider is asked by its own way"
        if failing[0]:
            raise UpstreamFault("away")
        return UpstreamReply(200, {}, b"")

    log = logging.Logger("test")
    log.addFilter(lambda record: lines.append(record.getMessage()) or False)
    made = Discovery(
        blueprint.config,
        {"local": provider},  # type: ignore[dict-item]
        blueprint.profiles,
        available_providers(blueprint),
        exchange,
        log,
    )
    assert made.asks == ["local"]
    first = await made.refresh()
    assert first is not None
    config, catalog = first
    assert "local/a" in catalog
    assert "local/odd" not in catalog
    assert "local/*" not in catalog
    assert config.models["local/a"].upstream == "a"
    assert await made.refresh() is None
    failing[0] = True
    assert await made.refresh() is None
    assert await made.refresh() is None
    assert lines.count("the models of a provider could not be listed") == 1
    failing[0] = False
    provider.names = ("b",)
    second = await made.refresh()
    assert second is not None
    assert "local/a" not in second[1]
    assert "local/b" in second[1]


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("  echo/*: {free: true}", "models_request"),
        (
            "  local/*: {free: true, upstream: x}",
            "a pattern takes the names that the provider lists",
        ),
        ("  local/*x: {free: true}", "a model's id is written provider/model"),
        ("  '*': {free: true}", "a model's id is written provider/model"),
    ],
)
def test_patterns_that_cannot_be(tmp_path: Path, line: str, problem: str) -> None:
    with pytest.raises(ConfigFault, match=problem):
        blueprint_of(
            tmp_path, f"providers: {{local: {{plugin: openai, base_url: 'http://x/v1'}}, echo: }}\nmodels:\n{line}"
        )


def test_a_pattern_without_a_price_is_told(tmp_path: Path) -> None:
    text = TEXT.replace("local/*: {free: true, max_output: 100}", "local/*: {max_output: 100}")
    warnings = blueprint_of(tmp_path, text).config.warnings
    assert [line.partition(": ")[2] for line in warnings if "price" in line] == [
        "models.local/*: has no price, so requests for it are refused; give it one, or say `free: true`"
    ]


def test_no_alias_is_a_pattern(tmp_path: Path) -> None:
    with pytest.raises(ConfigFault, match="no model or alias is named"):
        blueprint_of(tmp_path, TEXT.replace("local/taken: local/own", "x: local/*"))
