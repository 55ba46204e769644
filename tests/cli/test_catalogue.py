"""`gateway catalogue`: what the price list says, in our terms, beside what is configured."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from importlib.metadata import PackageNotFoundError
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import orjson
import pytest
import yaml

from gateway.blueprint import read_blueprint
from gateway.cli import main, pricelist
from gateway.cli.catalogue import Found
from gateway.cli.pricelist import PriceList, price_text, read_list
from gateway.config import ModelSettings

NOW = datetime(2026, 11, 21, tzinfo=UTC)

CONFIG = """
providers:
  openai: {plugin: openai, api_key: sk-nothing}
  local: {plugin: openai, base_url: "http://127.0.0.1:9/v1"}
  echo: {plugin: echo}
models:
  openai/gpt-4.1-mini: {price: {input: 99, output: 199}, max_output: 5}
  openai/same: {upstream: gpt-4.1-mini, price: {input: 99, output: 199}, context: 7}
  local/mine: {free: true, context: 5}
  echo/echo: {price: {input: 1, output: 2}, context: 5}
default_model: echo/echo
"""


class FakePrice(SimpleNamespace):
    pass


def model(prices: dict[str, Any], **more: Any) -> Any:
    values = {"id": "m", "name": None, "context_window": None, "deprecated": None, "prices": prices, **more}
    price = FakePrice(**prices)
    return SimpleNamespace(**values, get_prices=lambda now: price, is_match=lambda name: name.startswith("m"))


def tiered(base: str, *tiers: tuple[int, str]) -> Any:
    return SimpleNamespace(
        base=Decimal(base), tiers=[SimpleNamespace(start=start, price=Decimal(price)) for start, price in tiers]
    )


class TestReading:
    def test_sound_and_spoken_text(self) -> None:
        """Hours become minutes; with no more decimal places than the configuration takes, and rather too dear."""
        heard = pricelist._listed(model({"input_audio_hours": Decimal("0.27"), "audio_hours": Decimal("0.27")}), NOW)
        assert heard.prices == {"per_minute": Decimal("0.0045")}
        odd = pricelist._listed(model({"audio_hours": Decimal("0.25")}), NOW)
        assert odd.prices == {"per_minute": Decimal("0.004166666667")}
        spoken = pricelist._listed(model({"input_mchars": Decimal(15)}), NOW)
        assert price_text(spoken.prices, []) == "{characters: 15}"

    def test_prices_of_images_stand_as_a_table(self) -> None:
        kinds = {"high": Decimal("0.20"), "default": Decimal("0.05")}
        assert price_text({"per_image": kinds}, []) == "{per_image: {high: 0.2, default: 0.05}}"

    def test_every_class(self) -> None:
        prices = {
            "input_mtok": Decimal("0.40"),
            "cache_read_mtok": Decimal("0.1"),
            "output_mtok": Decimal("1.6"),
            "web_searches_kcount": Decimal("10"),
            "requests_kcount": Decimal("5"),
            "input_audio_mtok": Decimal("3"),
            "output_image_mtok": None,
            "cache_write_1h_mtok": Decimal("10"),
            "storage_searches_kcount": Decimal("2.5"),
        }
        listed = pricelist._listed(model(prices), NOW)
        text = price_text(listed.prices, listed.tiers)
        expected = (
            "input: 0.4, cached_input: 0.1, cache_write_1h: 10, output: 1.6, audio_input: 3, per_request: 0.005, "
            "per_web_search: 0.01"
        )
        assert text == f"{{{expected}}}"
        assert listed.notes == ["not billed here: storage_searches_kcount 2.5"]

    def test_tiers(self) -> None:
        prices = {
            "input_mtok": tiered("2", (200_000, "4")),
            "output_mtok": tiered("12", (200_000, "18"), (500_000, "30")),
            "cache_read_mtok": Decimal("0.2"),
        }
        listed = pricelist._listed(model(prices), NOW)
        text = price_text(listed.prices, listed.tiers)
        wanted = {
            "input": 2,
            "cached_input": 0.2,
            "output": 12,
            "tiers": [{"above": 200_000, "input": 4, "output": 18}, {"above": 500_000, "output": 30}],
        }
        assert yaml.safe_load(text) == wanted
        ModelSettings.model_validate({"price": wanted, "context": 1})
        assert listed.notes == ["tiered: other prices above 200,000 tokens of input"]

    def test_prices_that_change(self) -> None:
        future = SimpleNamespace(constraint=SimpleNamespace(start_date=date(2027, 1, 1)))
        night = SimpleNamespace(constraint=SimpleNamespace(start_time=1, end_time=2))
        past = SimpleNamespace(constraint=SimpleNamespace(start_date=date(2026, 1, 1)))
        changing = model({"input_mtok": Decimal(1)})
        changing.prices = [SimpleNamespace(constraint=None), past, future, night]
        notes = pricelist._listed(changing, NOW).notes
        assert notes[0] == "changes on 2027-01-01"
        assert "at some hours" in notes[1]
        assert len(notes) == 2

    def test_the_exact_name_counts_first(self) -> None:
        listed = [pricelist._listed(model({}, id=name), NOW) for name in ("m-1", "m-2")]
        prices = PriceList("X", (), listed)
        assert [getattr(prices.find(name), "id", None) for name in ("m-2", "m-3", "x")] == ["m-2", "m-1", None]

    def test_without_the_package(self, monkeypatch: Any, tmp_path: Path, capsys: Any) -> None:
        def missing(name: str) -> str:
            raise PackageNotFoundError(name)

        monkeypatch.setattr(pricelist, "version", missing)
        config = tmp_path / "config.yaml"
        config.write_text(CONFIG)
        assert main(["catalogue", "--config", str(config)]) == 1
        assert "pip install 'tollgate[catalogue]'" in capsys.readouterr().err


def test_no_difference_where_only_the_writing_differs() -> None:
    settings = ModelSettings.model_validate({"price": {"input": "0.40", "output": 0}, "context": 5})
    entry: Any = SimpleNamespace(settings=settings, upstream="m")
    listed = pricelist._listed(model({"input_mtok": Decimal("0.4")}, context_window=5), NOW)
    assert Found("x/m", "x", entry, listed).differences() == []


class TestCommand:
    @pytest.fixture
    def run(self, tmp_path: Path, capsys: Any, monkeypatch: Any) -> Any:
        pytest.importorskip("genai_prices")
        monkeypatch.setenv("GATEWAY_DATA", str(tmp_path / "data"))
        config = tmp_path / "config.yaml"
        config.write_text(CONFIG)

        def command(*words: str, status: int = 0) -> str:
            capsys.readouterr()
            assert main(["catalogue", "--config", str(config), *words]) == status
            return str(capsys.readouterr().out)

        return command

    def test_the_fragment_is_a_configuration(self, run: Any, tmp_path: Path) -> None:
        text = run()
        models = yaml.safe_load(text)["models"]
        assert len(models) > 50
        assert models["openai/gpt-4.1-mini"]["price"] == {"input": 99, "output": 199}, "configured prices stay"
        assert models["openai/same"]["context"] == 7
        assert "# price: {input: 99, output: 199} here, {input: " in text
        assert "# local/mine: not in the list" in text
        assert "# local: no price list is known" in text
        assert "written 20" in text
        whole = tmp_path / "whole.yaml"
        whole.write_text("providers: {openai: {api_key: sk-nothing}}\ndefault_model: openai/same\n" + text)
        assert main(["check", "--config", str(whole)]) == 0

    def test_only_what_is_configured(self, run: Any) -> None:
        assert set(yaml.safe_load(run("--configured"))["models"]) == {"openai/gpt-4.1-mini", "openai/same"}

    def test_taking_the_list(self, run: Any) -> None:
        taken = yaml.safe_load(run("--configured", "--take"))["models"]["openai/gpt-4.1-mini"]
        assert taken["price"]["input"] < 99
        assert taken["context"] > 100_000

    @pytest.mark.parametrize("taking", [(), ("--take",)])
    def test_what_no_list_tells_stays(self, run: Any, tmp_path: Path, taking: tuple[str, ...]) -> None:
        """So that the section can stand in the place of the one that is there."""
        config = tmp_path / "config.yaml"
        config.write_text(
            "providers: {openai: {api_key: sk-nothing}}\nmodels:\n"
            "  openai/gpt-4.1-mini: {price: {input: 99, output: 199, batch: 0.5}, max_output: 5, name: 'a: $${b}', "
            "timeouts: {first_byte: 90s}, input_modalities: [text, image], supported_parameters: [seed]}\n"
            "  openai/text-embedding-3-small: {price: {input: 9, output: 0}, operations: [embeddings]}\n"
            "  openai/omni-moderation-latest: {free: true, operations: [moderations]}\n"
        )
        before = config_of(config)
        config.write_text("providers: {openai: {api_key: sk-nothing}}\n" + run("--configured", *taking))
        after = config_of(config)
        for model, one in before.items():
            for name in {"free", *one.settings.model_fields_set} - ({"price"} if taking else set()):
                assert getattr(after[model].settings, name) == getattr(one.settings, name), (model, name)
        assert after["openai/gpt-4.1-mini"].settings.price.batch == Decimal("0.5")

    def test_without_any_key_it_is_the_file_that_counts(self, run: Any, tmp_path: Path) -> None:
        """Not demo mode, in which the embedded model stands in for all of them, free."""
        (tmp_path / "config.yaml").write_text(
            "providers: {openai: {plugin: openai, api_key: ''}, echo: {plugin: echo}}\n"
            "models: {openai/gpt-4.1-mini: {price: {input: 99, output: 199}, max_output: 5}}\n"
        )
        [found] = orjson.loads(run("--json", "--configured"))
        assert found["listed"]["id"] == "gpt-4.1-mini"
        assert found["differences"][0].startswith("price: {input: 99, output: 199} here, ")

    def test_to_a_file(self, run: Any, tmp_path: Path) -> None:
        output = tmp_path / "models.yaml"
        told = run("--output", str(output), "--configured")
        assert "openai/gpt-4.1-mini: price: {input: 99, output: 199} here" in told
        assert set(yaml.safe_load(output.read_text())["models"]) == {"openai/gpt-4.1-mini", "openai/same"}
        run("--output", str(output), status=1)

    def test_for_machines(self, run: Any) -> None:
        found = {one["id"]: one for one in orjson.loads(run("--json", "--configured"))}
        assert found["openai/gpt-4.1-mini"]["listed"]["id"] == "gpt-4.1-mini"
        assert found["openai/gpt-4.1-mini"]["differences"]
        assert found["echo/echo"]["listed"] is None


def config_of(path: Path) -> Any:
    return read_blueprint(path, {}).config.models


def test_a_provider_by_its_address() -> None:
    pytest.importorskip("genai_prices")
    by_id, by_address = read_list("openai", NOW), read_list("https://api.openai.com/v1", NOW)
    assert by_id is not None
    assert by_address is not None
    assert by_id.name == by_address.name
    assert read_list("https://llm.example.org/v1", NOW) is None
    assert read_list("nobody", NOW) is None
