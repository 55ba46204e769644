"""The catalogue: filters in the address, prices in credits and the operator's currency, hostile names, programs."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Any

import orjson
import pytest

from gateway.console.shown_models import Wish
from gateway.console.words import Money, amount, marked, moment, price, tokens

from .conftest import CONFIG, Open, Site

HOSTILE = '"><script>alert(1)</script>'


def shown(text: str) -> list[str]:
    """The ids of the models in the table."""
    return re.findall(r'<a href="/models/([^"?]+)">', text)


async def test_all_models_with_their_aliases(site: Site) -> None:
    for path in ("/models", "/chat_models"):
        seen = await site.get(path)
        assert shown(seen.text) == ["echo/echo", "echo/plain"]
        assert ">best</code>" in seen.text
        assert "128k" in seen.text
        assert "2.50" in seen.text
        assert ">free<" in seen.text


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("q=ECHO", ["echo/echo", "echo/plain"]),
        ("q=repeats", ["echo/echo"]),
        ("q=best", ["echo/echo"]),
        ("q=repeats+plain", []),
        ("provider=echo", ["echo/echo", "echo/plain"]),
        ("provider=other", []),
        ("ability=tools", ["echo/echo"]),
        ("ability=vision", ["echo/echo"]),
        ("ability=nonsense", ["echo/echo", "echo/plain"]),
        ("sort=price", ["echo/plain", "echo/echo"]),
        ("sort=context", ["echo/echo", "echo/plain"]),
        ("available=1&q=plain", ["echo/plain"]),
    ],
)
async def test_filters_are_in_the_address(site: Site, query: str, found: list[str]) -> None:
    assert shown((await site.get(f"/models?{query}")).text) == found


async def test_no_model_says_what_to_do(site: Site) -> None:
    seen = await site.get("/models?q=zzz")
    assert "No model fits" in seen.text
    assert 'href="/models">Show all 2 models' in seen.text


async def test_a_model_has_a_page_with_snippets_for_this_host(site: Site) -> None:
    seen = await site.get("/models/echo/echo", host="llm.lan")
    assert "http://llm.lan/v1" in seen.text
    assert "128,000" in seen.text
    assert "1,000,000" in seen.text  # credits for a million tokens
    assert 'href="/chat?model=echo/echo"' in seen.text
    alias = await site.get("/models/best")
    assert "is an alias and leads to" in alias.text
    assert 'model="best"' in re.sub("</?span[^>]*>", "", alias.text)
    assert (await site.get("/models/no/such")).status == 404


async def test_programs_that_forgot_the_prefix_are_told(site: Site) -> None:
    for path in ("/models", "/models/echo/echo"):
        seen = await site.get(path, accept="application/json")
        assert seen.status == 404
        assert "/v1" in orjson.loads(seen.text)["error"]["message"]


async def test_hostile_words_of_the_configuration_are_text(open_site: Open) -> None:
    models = {"echo/echo": {**CONFIG["models"]["echo/echo"], "name": HOSTILE, "description": HOSTILE}}
    site = await open_site(models=models, aliases={})
    for path in ("/models", "/models/echo/echo", "/pricing", f"/models?q={HOSTILE}&provider={HOSTILE}"):
        seen = await site.get(path)
        assert seen.status == 200
        assert "<script>alert" not in seen.text, path


async def test_what_is_not_available_is_said(open_site: Open) -> None:
    # One provider with a key, or else the embedded model would stand in for everything.
    providers = {"echo": {"plugin": "echo"}, "other": {"plugin": "openai", "api_key": "sk-test-key"}}
    providers["openai"] = {"plugin": "openai", "api_key": ""}
    models = {**CONFIG["models"], "openai/gpt": {"price": {"input": 1, "output": 1}}, "echo/unpriced": {}}
    site = await open_site(providers=providers, models=models)
    listed = await site.get("/models?available=1")
    assert shown(listed.text) == ["echo/echo", "echo/plain"]
    assert "its provider is switched off" in (await site.get("/models/openai/gpt")).text
    assert "it has no price" in (await site.get("/models/echo/unpriced")).text


async def test_prices_are_in_credits_and_the_operators_currency(open_site: Open) -> None:
    console = {"currency": "EUR", "currency_per_usd": 0.5}
    site = await open_site(console=console, credits={"per_usd": 1000, "signup_grant": 2000}, search={"price": 0.01})
    seen = (await site.get("/pricing")).text
    assert "1,000 credits are worth 0.50 EUR" in seen
    assert "2,000 credits (1.00 EUR)" in seen
    assert "1.25" in seen  # 2.5 USD for a million tokens of output
    assert "2,500" in seen
    assert "0.005" in seen  # a search
    assert "as input" not in re.sub(r"<tr>.*?echo/plain.*?</tr>", "", seen, flags=re.S)


async def test_a_gateway_without_models_says_so(open_site: Open) -> None:
    site = await open_site(models={}, aliases={}, default_model=None)
    assert "configured no models yet" in (await site.get("/models")).text
    assert "configured no models yet" in (await site.get("/pricing")).text
    assert (await site.get("/")).status == 200


@pytest.mark.parametrize(
    ("value", "text"),
    [("0", "0.00"), ("1234.5", "1,234.50"), ("0.5", "0.50"), ("0.05", "0.05"), ("0.005", "0.005"),
     ("0.00000123", "0.0000012"), ("-3", "-3.00"), ("0.075", "0.075")],
)  # fmt: skip
def test_amounts(value: str, text: str) -> None:
    assert amount(Decimal(value)) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [("0", "0.00"), ("2", "2.00"), ("0.125", "0.125"), ("1234.5", "1,234.50"), ("0.0000004", "0.0000004"),
     ("0.333333333333", "0.33333333"), ("10", "10.00"), ("100", "100.00")],
)  # fmt: skip
def test_prices_are_not_rounded(value: str, text: str) -> None:
    assert price(Decimal(value)) == text


def test_marked_text_is_code() -> None:
    assert marked("The `a` of `b`.") == [("The ", False), ("a", True), (" of ", False), ("b", True), (".", False)]


def test_small_words() -> None:
    assert [tokens(value) for value in (None, 5, 1000, 128_000, 999_999, 1_047_576, 2_000_000)] == [
        "-", "5", "1k", "128k", "1M", "1.05M", "2M",
    ]  # fmt: skip
    assert moment(None) == {"iso": "", "text": ""}
    assert moment(0) == {"iso": "1970-01-01T00:00:00Z", "text": "1970-01-01 00:00 UTC"}


def test_money_is_exact() -> None:
    class Config:
        class console:
            currency, currency_per_usd = "USD", Decimal(1)

        class credits:
            per_usd = 1_000_000

    money: Any = Money(Config)  # type: ignore[arg-type]
    assert money(12_500_000) == "12.50 USD"
    assert money(1) == "0.000001 USD"
    assert money.credits("0.4") == "400,000"
    assert money.credits("0.0000004") == "0.4"


def test_a_wish_leaves_out_what_it_does_not_know() -> None:
    assert Wish.of({"q": " a ", "ability": "fly", "sort": "luck", "available": "yes"}) == Wish(text="a")


async def test_models_that_do_not_talk(open_site: Open) -> None:
    """What they do, their prices, and a way to programs for them."""
    models = {
        "echo/echo": {"free": True},
        "echo/pictures": {
            "operations": ["images", "image_edits"],
            "output_modalities": ["image"],
            "price": {"per_image": {"high/1024x1024": 0.17, "default": 0.05}},
        },
        "echo/voice": {"operations": ["speech"], "price": {"characters": 15}},
        "echo/ear": {"operations": ["transcriptions"], "price": {"per_minute": 0.006}},
        "echo/vectors": {"operations": ["embeddings"], "price": {"input": 1, "output": 0}},
    }
    site = await open_site(models=models, aliases={}, default_model="echo/echo")
    page = (await site.get("/models/echo/pictures")).text
    assert "images, image_edits" in page
    assert "Makes images" in page
    assert "Each image, high/1024x1024" in page
    assert "Each image, otherwise" in page
    assert 'href="/chat?model=echo/pictures"' in page
    assert 'href="/docs/images"' in page
    assert "client.images.generate" in re.sub("</?span[^>]*>", "", page)
    assert "openai/gpt-image-1-mini" not in page
    assert ">Input<" not in page
    assert "Characters spoken" in (await site.get("/models/echo/voice")).text
    ear = re.sub("</?span[^>]*>", "", (await site.get("/models/echo/ear")).text)
    assert "Each minute of sound" in ear
    assert 'transcriptions.create(model="echo/ear"' in ear
    assert "Try it in the chat" not in ear
    vectors = (await site.get("/models/echo/vectors")).text
    assert ('href="/docs/http-api#embeddings"' in vectors, "First request" in vectors) == (True, False)
    assert shown((await site.get("/models?ability=transcribes")).text) == ["echo/ear"]
    assert shown((await site.get("/models?ability=draws")).text) == ["echo/pictures"]
    assert 'href="/models/echo/pictures">more' in (await site.get("/pricing")).text
