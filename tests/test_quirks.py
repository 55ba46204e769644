"""The frame of the tables of what models tolerate; the tables themselves are tested in their plugins."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from gateway.errors import GatewayFault
from gateway.quirks import _MOST_FOUND, EFFORTS, ModelQuirks, QuirkTable, longest_match, nearest_effort
from gateway.testing import make_target


@dataclass(slots=True, frozen=True)
class Row(ModelQuirks):
    sings: bool = False
    most: int = 1
    efforts: tuple[str, ...] | None = ("low",)


class Counted:
    """Finds rows, and counts how often it was asked."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def __call__(self, model: str) -> Row:
        self.asked.append(model)
        return Row(sings=model.startswith("bird"))


def test_overrides_are_laid_over_the_row_the_last_on_top() -> None:
    table = QuirkTable(Row, Counted())
    assert table.resolve("bird") == Row(sings=True)
    assert table.resolve("bird", {"most": 2}, None, {"most": 3, "efforts": None}) == Row(True, 3, None)


@pytest.mark.parametrize("wrong", [{"sing": True}, {"most": "many"}, {"efforts": "low"}])
def test_wrong_overrides_are_refused_in_settings_and_for_a_model(wrong: dict[str, object]) -> None:
    table = QuirkTable(Row, Counted())
    with pytest.raises(ValueError, match="validation error"):
        table.check(wrong)
    with pytest.raises(GatewayFault, match="test/bird") as caught:
        table.of_instance({}).of(make_target("bird", options={"quirks": wrong}))
    assert "models.test/bird.options.quirks" in caught.value.detail


@pytest.mark.parametrize("wrong", ["singing", 3, ["sings"]])
def test_overrides_that_are_no_object_are_the_operators_mistake(wrong: object) -> None:
    with pytest.raises(GatewayFault, match="the operator has to correct them"):
        QuirkTable(Row, Counted()).of_instance({}).of(make_target("bird", options={"quirks": wrong}))


def test_an_instance_looks_each_model_up_once_and_tells_options_apart() -> None:
    find = Counted()
    quirks = QuirkTable(Row, find).of_instance({"most": 2})
    plain, own = make_target("bird"), make_target("bird", options={"quirks": {"most": 3}})
    assert [quirks.of(plain), quirks.of(own), quirks.of(plain), quirks.of(own)] == [Row(True, 2), Row(True, 3)] * 2
    assert quirks.of(make_target("fish")) == Row(False, 2)
    assert find.asked == ["bird", "bird", "fish"]


def test_names_without_number_take_no_memory_without_end() -> None:
    quirks = QuirkTable(Row, Counted()).of_instance({})
    for number in range(_MOST_FOUND + 5):
        quirks.of(make_target(f"m{number}"))
    assert len(quirks._found) == 5


def test_the_longest_row_that_begins_the_name() -> None:
    rows = (("a", Row(most=1)), ("a-1", Row(most=2)), ("a-1-mini", Row(most=3)), ("b", Row(most=4)))
    found = {name: longest_match(rows, name) for name in ("a", "a-1", "a-10", "a-1-mini-2025", "bc", "c", "")}
    assert {name: row and row.most for name, row in found.items()} == {
        "a": 1, "a-1": 2, "a-10": 2, "a-1-mini-2025": 3, "bc": 4, "c": None, "": None,
    }  # fmt: skip
    whole = {name: longest_match(rows, name, whole_words=True) for name in ("a", "a-10", "a-1.5", "a-1-x", "bc")}
    assert {name: row and row.most for name, row in whole.items()} == {
        "a": 1, "a-10": 1, "a-1.5": 1, "a-1-x": 2, "bc": None,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("known", "expected"),
    [
        ("low medium high", "low low low medium high high high"),
        ("low medium high max", "low low low medium high max max"),
        ("low medium high xhigh max", "low low low medium high xhigh max"),
        ("low high", "low low low high high high high"),
        ("low high max", "low low low high high max max"),
        ("minimal low medium high xhigh", "minimal minimal low medium high xhigh xhigh"),
        ("none high", "none none high high high high high"),
        ("none low medium high", "none none low medium high high high"),
        ("high", "high high high high high high high"),
        ("high low", "low low low high high high high"),
        ("low ultra", "low low low low low low low"),
        ("ultra", "ultra ultra ultra ultra ultra ultra ultra"),
    ],
)
def test_the_nearest_effort(known: str, expected: str) -> None:
    assert [nearest_effort(wanted, known.split()) for wanted in EFFORTS] == expected.split()


def test_an_effort_of_the_models_own_is_itself() -> None:
    assert nearest_effort("ultra", ("low", "ultra")) == "ultra"
