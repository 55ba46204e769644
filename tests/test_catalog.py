"""Names to targets, fallback and weights, and what callers are shown."""

from __future__ import annotations

import time
from decimal import Decimal
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from gateway import config
from gateway.catalog import NOT_OF_TEXT, PER_EVENT, PER_TOKEN, Catalog
from gateway.cli.inspect import _other_prices
from gateway.console import shown_models
from gateway.errors import CallerFault, Fault, GatewayFault, UpstreamFault
from gateway.http.calls import explained
from gateway.price import Price
from gateway.provider import ProviderKind

TEXT = """\
providers: {a: {plugin: any}, b: {plugin: any}, c: {plugin: any}}
models:
  a/one: {upstream: first, price: {input: 0.40, output: 1.60, cached_input: 0.10, audio_input: 3, per_web_search: 0.01},
          context: 1000, max_output: 100, input_modalities: [text, image], supported_parameters: [seed],
          name: One, description: The first., options: {k: [1]}}
  a/two: {free: true}
  b/one: {price: {per_request: 0.0000025}}
  b/two: {free: true}
  c/one: {free: true}
  c/unpriced: {}
"""

MODELS = ["a/one", "a/two", "b/one", "b/two", "c/one"]


class NoSettings(BaseModel, extra="forbid"):
    pass


def catalog(aliases: str = "", off: str = "", default: str = "", text: str = TEXT) -> Catalog:
    text += f"aliases: {{{aliases}}}\n" + (f"default_model: {default}\n" if default else "")
    kinds = {"any": ProviderKind("any", NoSettings, None, None)}
    made = config.build(config.parse(text.encode(), {}, modified=1_700_000_000), {}, kinds)
    return Catalog.from_config(made, {name: name not in off for name in "abc"})


def chain(found: Catalog, name: str | None) -> list[tuple[str, int, float]]:
    return [(target.model, target.group, target.weight) for target in found.resolve(name).candidates]


def models(found: Catalog, name: str | None) -> list[str]:
    return [model for model, _, _ in chain(found, name)]


class TestModels:
    def test_a_model(self):
        resolution = catalog().resolve("a/one")
        [target] = resolution.candidates
        assert resolution.model == "a/one"
        assert (target.model, target.provider, target.upstream, target.free) == ("a/one", "a", "first", False)
        assert (target.price.input, target.price.cached_input, target.price.per_web_search) == (
            Decimal("0.4"), Decimal("0.1"), 10_000,
        )  # fmt: skip
        assert (target.context, target.max_output, target.group, target.weight) == (1000, 100, 0, 1.0)
        assert target.input_modalities == ("text", "image")
        assert target.options == {"k": (1,)}

    def test_a_free_model(self):
        [target] = catalog().resolve("a/two").candidates
        assert (target.price, target.free, target.context, target.max_output) == (None, True, None, None)

    def test_contains(self):
        found = catalog("x: a/one")
        assert "x" in found
        assert "a/one" in found
        assert "a/x" not in found

    def test_the_default(self):
        assert catalog("x: a/one", default="x").resolve(None).model == "x"
        assert catalog(default="b/one").resolve(None).model == "b/one"

    def test_no_default(self):
        with pytest.raises(CallerFault) as caught:
            catalog().resolve(None)
        assert (caught.value.status, caught.value.param) == (400, "model")
        assert caught.value.message == "model: is missing, and this gateway has no default model."


class TestAliases:
    @pytest.mark.parametrize(
        ("aliases", "off", "expected"),
        [
            ("x: a/one", "", [("a/one", 0, 1.0)]),
            ("x: [a/one, b/one, c/one]", "", [("a/one", 0, 1.0), ("b/one", 1, 1.0), ("c/one", 2, 1.0)]),
            ("x: [a/one, b/one, c/one]", "b", [("a/one", 0, 1.0), ("c/one", 1, 1.0)]),
            ("x: [{model: a/one, weight: 3}, {model: b/one, weight: 1}, c/one]", "",
             [("a/one", 0, 3.0), ("b/one", 0, 1.0), ("c/one", 1, 1.0)]),
            ("x: [{model: a/one, weight: 3}, {model: b/one, weight: 1}, c/one]", "a",
             [("b/one", 0, 1.0), ("c/one", 1, 1.0)]),
            # A member that is off does not part its neighbours; an entry without a weight does, even when off.
            ("x: [{model: a/one, weight: 1}, {model: b/one, weight: 2}, {model: c/one, weight: 3}]", "b",
             [("a/one", 0, 1.0), ("c/one", 0, 3.0)]),
            ("x: [{model: a/one, weight: 1}, b/one, {model: c/one, weight: 3}]", "b",
             [("a/one", 0, 1.0), ("c/one", 1, 3.0)]),
            ("x: [a/one, {model: b/one, weight: 2}, {model: b/two, weight: 1}, c/one]", "",
             [("a/one", 0, 1.0), ("b/one", 1, 2.0), ("b/two", 1, 1.0), ("c/one", 2, 1.0)]),
            ("x: [a/one, {model: c/one, when: unavailable}]", "", [("a/one", 0, 1.0)]),
            ("x: [a/one, {model: c/one, when: unavailable}]", "a", [("c/one", 0, 1.0)]),
            ("x: [a/one, {model: b/one, when: unavailable}, c/one]", "", [("a/one", 0, 1.0), ("c/one", 1, 1.0)]),
            ("x: [a/one, {model: b/one, when: unavailable}, c/one]", "a", [("b/one", 0, 1.0), ("c/one", 1, 1.0)]),
            ("x: [a/one, {model: b/one, when: unavailable}, {model: c/one, when: unavailable}]", "a",
             [("b/one", 0, 1.0)]),
            ("x: [a/one, {model: b/one, when: unavailable}, {model: c/one, when: unavailable}]", "ab",
             [("c/one", 0, 1.0)]),
            ("x: [{model: a/one, when: unavailable}, b/one]", "", [("a/one", 0, 1.0), ("b/one", 1, 1.0)]),
            # An alias stands for its own chain, groups kept apart.
            ("x: [c/one, y], y: [{model: a/one, weight: 1}, {model: b/one, weight: 1}, b/two]", "",
             [("c/one", 0, 1.0), ("a/one", 1, 1.0), ("b/one", 1, 1.0), ("b/two", 2, 1.0)]),
            ("x: [{model: y, weight: 5}, {model: b/one, weight: 1}], y: a/one", "",
             [("a/one", 0, 5.0), ("b/one", 0, 1.0)]),
            ("x: [y, {model: c/one, when: unavailable}], y: [a/one, b/one]", "ab", [("c/one", 0, 1.0)]),
            ("x: [y, {model: c/one, when: unavailable}], y: [a/one, b/one]", "a", [("b/one", 0, 1.0)]),
            ("x: [a/one, y, b/one], y: [a/one, c/one]", "", [("a/one", 0, 1.0), ("c/one", 1, 1.0), ("b/one", 2, 1.0)]),
            # What has no price cannot be billed, so it never stands in for something else.
            ("x: [c/unpriced, a/one]", "", [("a/one", 0, 1.0)]),
        ],
    )  # fmt: skip
    def test_chains(self, aliases, off, expected):
        found = catalog(aliases, off)
        assert chain(found, "x") == expected
        assert found.resolve("x").model == "x"

    def test_groups_have_no_gaps_in_a_deduplicated_chain(self):
        """A group that held only models already named leaves no hole that a router could stumble over."""
        found = catalog("x: [a/one, y, b/one], y: [a/one]")
        assert [group for _, group, _ in chain(found, "x")] == [0, 1]

    @given(
        st.lists(
            st.tuples(st.sampled_from(MODELS), st.sampled_from([None, 1, 2.5]), st.booleans()),
            min_size=1, max_size=5, unique_by=lambda entry: entry[0],
        ),
        st.sets(st.sampled_from("abc")),
    )  # fmt: skip
    def test_rules_of_every_chain(self, entries, off):
        written = [
            f"{{model: {model}" + (f", weight: {weight}" if weight else ", when: unavailable" if when else "") + "}"
            for model, weight, when in entries
        ]
        found = catalog(f"x: [{', '.join(written)}]", "".join(off))
        usable = [model for model, _, _ in entries if model[0] not in off]
        try:
            result = chain(found, "x")
        except UpstreamFault:
            assert usable == []
            return
        names = [model for model, _, _ in result]
        assert names == [model for model in usable if model in names]
        assert names[0] == usable[0]
        conditional = {model for model, weight, when in entries if when and weight is None}
        assert [model for model in names[1:] if model in conditional] == []
        assert [model for model in usable[1:] if model not in conditional] == names[1:]
        groups = [group for _, group, _ in result]
        assert groups[0] == 0
        assert all(after - before in (0, 1) for before, after in pairwise(groups))
        weights = {model: weight for model, weight, _ in entries}
        for (before, group, _), (after, following, _) in pairwise(result):
            if group == following:
                assert weights[before] is not None
                assert weights[after] is not None


class TestFaults:
    @pytest.mark.parametrize(
        ("name", "hint"),
        [
            ("a/on", "Did you mean 'a/one'?"),
            ("A/One", "Did you mean 'a/one'?"),
            ("one", "Did you mean 'a/one'?"),
            ("muh-chta", "Did you mean 'muh-chat'?"),
            ("zzzz", "GET /models lists the models there are."),
            ("", "GET /models lists the models there are."),
            ("é" * 20, "GET /models lists the models there are."),
        ],
    )
    def test_unknown(self, name, hint):
        for ask in (catalog("muh-chat: b/two").resolve, catalog("muh-chat: b/two").public_one):
            with pytest.raises(CallerFault) as caught:
                ask(name)
            fault = caught.value
            assert (fault.status, fault.type, fault.code, fault.param) == (
                404, "invalid_request_error", "model_not_found", "model",
            )  # fmt: skip
            assert fault.message == f"The model '{name}' does not exist. {hint}"

    def test_hostile_names_are_shown_harmlessly(self):
        for name in ("a\r\nx: y", "\x1b[31m", "x" * 10_000, "\ud800", "\u202ea/one"):
            with pytest.raises(CallerFault) as caught:
                catalog().resolve(name)
            assert caught.value.message.isprintable()
            assert len(caught.value.message) < 200

    @pytest.mark.parametrize("name", [5, ["a/one"], {"a": 1}, True])
    def test_names_that_are_no_text(self, name):
        with pytest.raises(CallerFault):
            catalog().resolve(name)

    def test_an_unknown_name_is_cheap(self):
        text = "providers: {a: {plugin: any}, b: {plugin: any}, c: {plugin: any}}\nmodels:\n"
        text += "".join(f"  a/model-{n}-of-a-large-family: {{free: true}}\n" for n in range(500))
        found = catalog(text=text)
        started = time.perf_counter()
        for name in ("x" * 100_000, "a/model-of-a-large-family"):
            with pytest.raises(CallerFault):
                found.resolve(name)
        assert time.perf_counter() - started < 0.5

    @pytest.mark.parametrize("name", ["a/one", "x", "y"])
    def test_switched_off(self, name):
        with pytest.raises(UpstreamFault) as caught:
            catalog("x: [a/one, a/two], y: x", off="a").resolve(name)
        fault = caught.value
        assert (fault.status, fault.type, fault.code, fault.param) == (
            503, "upstream_error", "model_unavailable", "model",
        )  # fmt: skip
        assert fault.headers == {"x-should-retry": "false"}
        assert fault.message == (
            f"The model '{name}' is not available: its provider is switched off at this gateway. "
            "'b/one' can be used now."
        )

    def test_a_provider_that_is_not_named_is_off(self):
        made = catalog()
        assert isinstance(_fault(Catalog.from_config(made._config, {}), "a/one"), UpstreamFault)

    def test_unpriced(self):
        fault = _fault(catalog("x: c/unpriced"), "x")
        assert isinstance(fault, GatewayFault)
        assert (fault.status, fault.type, fault.code) == (503, "upstream_error", "model_unpriced")
        assert fault.message == (
            "The model 'x' has no price, so it cannot be billed. The operator must set `price` or `free: true` for it."
        )

    def test_switched_off_comes_before_unpriced(self):
        assert _fault(catalog(off="c"), "c/unpriced").code == "model_unavailable"


def _fault(found: Catalog, name: str) -> Fault:
    with pytest.raises(Fault) as caught:
        found.resolve(name)
    return caught.value


class TestPublic:
    def test_a_model(self):
        assert catalog().public_one("a/one") == {
            "id": "a/one",
            "object": "model",
            "created": 1_700_000_000,
            "owned_by": "a",
            "name": "One",
            "description": "The first.",
            "context_length": 1000,
            "max_output_tokens": 100,
            "architecture": {"input_modalities": ["text", "image"], "output_modalities": ["text"]},
            "pricing": {
                "prompt": "0.0000004",
                "completion": "0.0000016",
                "input_cache_read": "0.0000001",
                "audio": "0.000003",
                "web_search": "0.01",
            },
            "supported_parameters": ["seed"],
            "operations": ["chat"],
            "available": True,
        }

    def test_an_alias_tells_of_its_first_model(self):
        found = catalog("x: [a/one, {model: b/one, when: unavailable}]")
        model, alias = found.public_one("a/one"), found.public_one("x")
        assert alias == {**model, "id": "x", "name": "x", "alias_of": "a/one"}

    def test_an_alias_tells_of_what_it_leads_to_now(self):
        found = catalog("x: [a/one, b/two], y: x", off="a")
        assert (found.public_one("y")["alias_of"], found.public_one("y")["available"]) == ("b/two", True)

    def test_an_alias_of_nothing_that_is_on(self):
        found = catalog("x: [a/one, b/two], y: x", off="ab")
        assert (found.public_one("y")["alias_of"], found.public_one("y")["available"]) == ("a/one", False)

    @pytest.mark.parametrize(
        ("name", "pricing", "available"),
        [
            ("a/two", {"prompt": "0", "completion": "0"}, True),
            ("b/one", {"prompt": "0", "completion": "0", "request": "0.0000025"}, True),
            ("c/unpriced", None, False),
        ],
    )
    def test_prices(self, name, pricing, available):
        found = catalog().public_one(name)
        assert (found["pricing"], found["available"]) == (pricing, available)

    def test_prices_do_not_depend_on_the_worth_of_a_credit(self):
        text = "credits: {per_usd: 3}\n" + TEXT
        assert catalog(text=text).public_one("a/one")["pricing"] == catalog().public_one("a/one")["pricing"]

    def test_the_list(self):
        found = catalog("x: a/one, y: c/one", off="b").public_list()
        assert [entry["id"] for entry in found] == ["x", "y", *MODELS, "c/unpriced"]
        assert [entry["id"] for entry in found if not entry["available"]] == ["b/one", "b/two", "c/unpriced"]
        assert all(entry["object"] == "model" for entry in found)

    def test_callers_cannot_change_the_catalog(self):
        found = catalog()
        found.public_list()[0]["architecture"]["input_modalities"].append("x")
        found.public_list()[0]["id"] = "x"
        assert found.public_list() == catalog().public_list()


def test_every_price_is_shown_wherever_prices_are() -> None:
    words = dict((*shown_models.PRICES, *shown_models.EVENTS))
    assert words.keys() == PER_TOKEN.keys() | PER_EVENT.keys()
    for name in NOT_OF_TEXT:
        assert _other_prices({name: {"default": "0.5"} if name == "images" else "0.5"})
    classes = {field: Decimal("0.5") for field in (*PER_TOKEN.values(), *PER_EVENT.values())}
    assert explained._price(Price(**classes)).keys() == classes.keys()
