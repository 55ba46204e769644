"""The configuration that comes with the gateway: complete, true to the defaults, quick to read."""

from __future__ import annotations

import time
from decimal import Decimal
from pathlib import Path

import pytest
from pydantic import BaseModel

from gateway import config
from gateway.catalog import Catalog
from gateway.config import sections
from gateway.errors import CallerFault, UpstreamFault
from gateway.operations import OPERATIONS
from gateway.profile import Profile
from gateway.provider import ProviderKind
from gateway.tools import SearchKind

FILE = Path(__file__).resolve().parents[2] / "config.yaml"


class RateLimit(BaseModel, extra="forbid"):
    requests_per_minute: int = 0


class Settings(BaseModel, extra="forbid"):
    api_key: str = ""


BUNDLED = ("openai", "anthropic", "google", "mistral", "moonshot", "echo")
KINDS = {name: ProviderKind(name, Settings, None, None, embedded=name == "echo") for name in BUNDLED}


class Search(BaseModel, extra="forbid"):
    api_key: str = ""
    url: str = ""


SEARCHES = {name: SearchKind(name, Search, None, None) for name in ("searxng", "brave", "tavily", "folder")}


def load(env: dict[str, str]) -> config.Config:
    return config.build(config.read(FILE, env), {"rate_limit": RateLimit}, KINDS, searches=SEARCHES)


@pytest.fixture
def default() -> config.Config:
    return load({})


def test_it_has_neither_problems_nor_warnings(default):
    assert default.warnings == ()
    assert default.secrets == frozenset()


@pytest.mark.parametrize("name", ["server", "database", "upstream", "credits", "keys", "tools", "log", "metrics"])
def test_it_shows_every_setting_with_its_default(default, name):
    """So that a reader need not look them up, and a new setting is not forgotten here."""
    section = getattr(default, name)
    assert section == type(section)()
    shown = FILE.read_text()
    for key in type(section).model_fields:
        assert f"  {key}: " in shown or f"  # {key}: " in shown, key


def test_the_rest_of_the_defaults(default):
    assert default.pipeline == sections.Core().pipeline
    assert default.strict is False
    assert default.section("rate_limit").requests_per_minute == 60


@pytest.mark.parametrize(
    ("provider", "model"),
    [
        ("openai", "openai/gpt-4.1-mini"),
        ("anthropic", "anthropic/claude-haiku-4.5"),
        ("google", "google/gemini-2.5-flash"),
        ("mistralai", "mistralai/mistral-large-2512"),
        ("moonshotai", "moonshotai/kimi-k2.5"),
    ],
)
def test_the_default_model_works_with_any_one_key(default, provider, model):
    catalog = Catalog.from_config(default, {name: name in (provider, "echo") for name in default.providers})
    assert [target.model for target in catalog.resolve(None).candidates] == [model]


def test_nonsense_never_stands_in_for_a_model(default):
    catalog = Catalog.from_config(default, {name: name in ("anthropic", "echo") for name in default.providers})
    with pytest.raises(UpstreamFault) as caught:
        catalog.resolve("gpt-4o")
    assert caught.value.message == (
        "The model 'gpt-4o' is not available: its provider is switched off at this gateway, because OPENAI_API_KEY is "
        "not set there. 'muh-chat' can be used now."
    )
    assert all(entry.model != "echo/echo" for alias in default.aliases.values() for entry in alias.entries)


def test_with_a_key_an_outage_does_not_lead_to_the_echo():
    made = load({"OPENAI_API_KEY": "sk-example"})
    assert made.providers["openai"].settings.api_key == "sk-example"
    assert made.secrets == {"sk-example"}
    catalog = Catalog.from_config(made, {name: name in ("openai", "echo") for name in made.providers})
    for name, model in [
        ("muh-chat", "openai/gpt-4.1-mini"),
        ("gpt-3.5-turbo", "openai/gpt-4o-mini"),
        ("gpt-4o-mini", "openai/gpt-4o-mini"),
        ("gpt-4o", "openai/gpt-4o"),
    ]:
        assert [target.model for target in catalog.resolve(name).candidates] == [model]


def test_every_model_can_be_billed_within_bounds(default):
    for model in default.models.values():
        assert model.price is not None or model.settings.free, model.id
        if model.settings.operations is not None:
            continue  # what is no text is bounded by the request itself
        assert model.settings.context is not None
        cached = model.price.cached_input
        assert cached is None or Decimal(0) < cached < model.price.input
        # A model without a price for output makes vectors, not texts.
        if model.price.output:
            assert model.settings.max_output is not None
            assert model.settings.max_output <= model.settings.context
            assert model.price.input < model.price.output
        assert model.provider == model.id.split("/", 1)[0]


def test_reading_it_takes_well_under_60_ms():
    load({})  # imports and pydantic's first use are not meant
    fastest = min(_seconds() for _ in range(5))
    assert fastest < 0.06


def _seconds() -> float:
    started = time.perf_counter()
    load({})
    return time.perf_counter() - started


@pytest.mark.parametrize("operation", ["embeddings", "images", "moderations"])
def test_nonsense_does_not_stand_in_for_a_model_that_nobody_named(default, operation):
    models = default.models.items()
    profiles = {name: Profile(operations=frozenset(OPERATIONS)) for name, model in models if model.provider == "echo"}
    alone = Catalog.from_config(default, {"echo": True}, profiles)
    assert [target.model for target in alone.resolve(None, operation).candidates] == ["echo/echo"]
    beside = Catalog.from_config(default, {"anthropic": True, "echo": True}, profiles)
    assert [target.model for target in beside.resolve("echo/echo", operation).candidates] == ["echo/echo"]
    meant = next(name for name, model in models if operation in (model.settings.operations or ()))
    for name in (None, meant):
        with pytest.raises(UpstreamFault, match=rf"'{meant}' .* OPENAI_API_KEY is not set there\.$"):
            beside.resolve(name, operation)
    with pytest.raises(CallerFault, match=r"ranks no documents\.$"):
        beside.resolve(None, "rerank")
