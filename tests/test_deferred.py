"""A package that is imported in parts is the same package, only later."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.deferred import LateModule, Later, defer, later, named_in

NAME = "parcel_of_the_tests"


@pytest.fixture
def parcel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    folder = tmp_path / NAME
    folder.mkdir()
    (folder / "__init__.py").write_text(
        '"""A package."""\n\n__version__ = "4.5.6"\n\nfrom . import light as light\nfrom .heavy import Weight\n'
    )
    (folder / "light.py").write_text("from . import __version__\n\nSEEN = __version__\n")
    (folder / "heavy.py").write_text("from . import light\n\nclass Weight:\n    seen = light.SEEN\n")
    monkeypatch.syspath_prepend(tmp_path)
    yield NAME
    for name in [name for name in sys.modules if name.partition(".")[0] == NAME]:
        del sys.modules[name]


def loaded() -> set[str]:
    return {name.partition(".")[2] for name in sys.modules if name.startswith(NAME + ".")}


def test_a_part_brings_nothing_else(parcel: str) -> None:
    defer(parcel)
    part = importlib.import_module(f"{parcel}.light")
    assert part.SEEN == "4.5.6", "the version is read without running anything"
    assert loaded() == {"light"}


def test_the_rest_comes_when_it_is_asked_for(parcel: str) -> None:
    defer(parcel)
    package = importlib.import_module(parcel)
    assert loaded() == set()
    assert package.Weight.seen == "4.5.6"
    assert loaded() == {"light", "heavy"}
    assert package.__version__ == "4.5.6"
    with pytest.raises(AttributeError, match="nothing_such"):
        _ = package.nothing_such


def test_a_part_that_was_not_imported_is_found_as_an_attribute(parcel: str) -> None:
    defer(parcel)
    package = importlib.import_module(parcel)
    assert package.heavy.Weight.seen == "4.5.6"
    assert not hasattr(package, "__path_of_nobody__")


def test_what_is_imported_or_not_there_stays_as_it_is(parcel: str) -> None:
    whole = importlib.import_module(parcel)
    defer(parcel)
    assert importlib.import_module(parcel) is whole
    assert loaded() == {"light", "heavy"}
    defer("no_package_of_this_name")
    assert "no_package_of_this_name" not in sys.modules


def test_what_comes_later_is_imported_when_it_is_called(parcel: str) -> None:
    weigh, seen = later(f"{parcel}.heavy:Weight"), later(f"{parcel}.light:SEEN.upper")
    assert loaded() == set()
    assert parcel not in sys.modules
    assert weigh().seen == seen() == "4.5.6"
    assert isinstance(weigh, Later)
    assert weigh.load() is sys.modules[f"{parcel}.heavy"].Weight


def test_a_module_comes_with_the_first_of_its_names(parcel: str) -> None:
    light = LateModule(f"{parcel}.light")
    assert parcel not in sys.modules
    assert light.SEEN == "4.5.6"
    assert vars(light)["SEEN"] == "4.5.6", "the next time it is there"
    with pytest.raises(AttributeError, match="nothing_such"):
        _ = light.nothing_such


def test_what_cannot_be_imported_is_told_each_time(parcel: str) -> None:
    missing = later(f"{parcel}.nothing:Such")
    for _ in range(2):
        with pytest.raises(ModuleNotFoundError, match="nothing"):
            missing()


def test_a_packages_names_come_from_where_they_are_defined(
    parcel: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    defer(parcel)
    package = importlib.import_module(parcel)
    get = named_in(parcel, {".heavy": "Weight light", f"{parcel}.light": "SEEN"})
    assert loaded() == set()
    assert get("SEEN") == "4.5.6"
    assert loaded() == {"light"}
    assert vars(package)["SEEN"] == "4.5.6", "the next time it is there"
    assert get("Weight").seen == "4.5.6"
    with pytest.raises(AttributeError, match="nothing_such"):
        get("nothing_such")
