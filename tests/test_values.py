"""Classes of fields behave as the standard library's; each of these is made in both ways."""

from __future__ import annotations

import copy
import dataclasses
import inspect
import pickle
from dataclasses import FrozenInstanceError, asdict, field, fields, replace
from typing import Any

import pytest

from gateway import values

MADE = {"ours": values.dataclass, "standard": dataclasses.dataclass}


@pytest.fixture(params=sorted(MADE))
def dataclass(request: pytest.FixtureRequest) -> Any:
    return MADE[request.param]


@values.dataclass(slots=True, frozen=True)
class Pickled:
    """At the module's level, where pickle finds it."""

    name: str
    sizes: tuple[int, ...] = ()


def test_arguments_defaults_and_what_is_made_afterwards(dataclass: Any) -> None:
    @dataclass(slots=True)
    class Box:
        name: str
        size: int = 3
        items: list[int] = field(default_factory=list)
        whole: bool = field(default=True, kw_only=True)
        total: int = field(init=False, default=7)
        later: int = field(init=False)

        def __post_init__(self) -> None:
            self.later = self.size * 2

    box = Box("a", 4, [1], whole=False)
    assert (box.name, box.size, box.items, box.whole, box.total, box.later) == ("a", 4, [1], False, 7, 8)
    assert Box("b").items is not Box("b").items
    assert Box.__match_args__ == ("name", "size", "items")
    assert list(inspect.signature(Box).parameters) == ["name", "size", "items", "whole"]
    assert repr(Box("c", whole=False)).endswith("Box(name='c', size=3, items=[], whole=False, total=7, later=6)")
    assert asdict(replace(box, size=1)) == {
        "name": "a", "size": 1, "items": [1], "whole": False, "total": 7, "later": 2
    }  # fmt: skip
    with pytest.raises(TypeError, match="name"):
        Box()
    with pytest.raises(TypeError):
        Box("a", 1, [], True)
    with pytest.raises(AttributeError):
        box.other = 1


@pytest.mark.parametrize("slots", [True, False])
def test_what_is_frozen_stays(dataclass: Any, slots: bool) -> None:
    @dataclass(slots=slots, frozen=True)
    class Point:
        x: int
        y: int = 0
        note: str = field(default="", compare=False)

    point = Point(1)
    for change in (lambda: setattr(point, "x", 2), lambda: delattr(point, "x")):
        with pytest.raises(FrozenInstanceError):
            change()
    assert point == Point(1, note="b")
    assert hash(point) == hash(Point(1, 0, "c"))
    assert point != Point(2)
    assert point != (1, 0)
    assert copy.copy(point) == point
    assert copy.deepcopy(point) == point
    assert [one.name for one in fields(point)] == ["x", "y", "note"]
    assert dataclasses.is_dataclass(Point)


def test_equality_and_hashes_follow_the_options(dataclass: Any) -> None:
    @dataclass(slots=True)
    class Changing:
        a: int

    @dataclass(slots=True, eq=False)
    class Itself:
        a: int

    @dataclass(frozen=True)
    class Own:
        a: float
        b: int = field(default=0, hash=False)

        def __hash__(self) -> int:
            return 5

        def __repr__(self) -> str:
            return "own"

    @dataclass(frozen=True)
    class Empty:
        pass

    assert Changing(1) == Changing(1)
    with pytest.raises(TypeError, match="unhashable"):
        hash(Changing(1))
    assert Itself(1) != Itself(1)
    assert isinstance(hash(Itself(1)), int)
    assert (hash(Own(1.0)), repr(Own(1.0))) == (5, "own")
    same = float("nan")
    assert Own(same) == Own(same)
    assert Own(same) != Own(same, 1)
    assert Empty() == Empty()
    assert hash(Empty()) == hash(Empty())


def test_a_field_may_stay_out_of_the_hash(dataclass: Any) -> None:
    @dataclass(slots=True, frozen=True)
    class Priced:
        name: str
        table: Any = field(hash=False)

    assert hash(Priced("a", {})) == hash(Priced("a", {1: 2}))
    assert Priced("a", {}) != Priced("a", {1: 2})


@pytest.mark.parametrize("heir", sorted(MADE))
def test_classes_inherit_in_either_direction(dataclass: Any, heir: str) -> None:
    @dataclass(frozen=True)
    class Base:
        a: int = 1

    @MADE[heir](frozen=True)
    class Heir(Base):
        b: int = 2

    class Plain(Base):
        def __init__(self) -> None:
            super().__init__(4)
            self.more = 1

    assert (Heir(3).a, Heir(3).b, Heir(3) == Heir(3), Heir(3) == Base(3)) == (3, 2, True, False)
    assert replace(Heir(), b=5) == Heir(1, 5)
    assert (Plain().a, Plain().more) == (4, 1)
    with pytest.raises(FrozenInstanceError):
        Plain().a = 2
    with pytest.raises(TypeError, match="frozen"):
        MADE[heir](frozen=False)(type("Loose", (Base,), {"__annotations__": {"c": "int"}}))


def test_one_that_holds_itself_can_be_shown(dataclass: Any) -> None:
    @dataclass(slots=True, eq=False)
    class Knot:
        ends: list[Any]

    knot = Knot([])
    knot.ends.append(knot)
    assert repr(knot).endswith("Knot(ends=[...])")


def test_frozen_slots_are_pickled() -> None:
    assert pickle.loads(pickle.dumps(Pickled("a", (1, 2)))) == Pickled("a", (1, 2))


def test_only_one_method_is_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    """What it is for: were more compiled, the standard library's would do."""
    compiled: list[str] = []
    create = dataclasses._create_fn

    def spy(name: str, *arguments: Any, **named: Any) -> Any:
        compiled.append(name)
        return create(name, *arguments, **named)

    monkeypatch.setattr(dataclasses, "_create_fn", spy)
    values.dataclass(slots=True, frozen=True)(type("A", (), {"__doc__": "A.", "__annotations__": {"a": "int"}}))
    assert compiled == []
    dataclasses.dataclass(slots=True, frozen=True)(type("B", (), {"__doc__": "B.", "__annotations__": {"a": "int"}}))
    assert set(compiled) >= {"__init__", "__repr__", "__eq__", "__setattr__"}
