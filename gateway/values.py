"""Classes of fields, as `dataclasses` makes them, at a quarter of its price.

`dataclasses` writes up to six methods of a class as text and compiles each: a millisecond for a frozen one. A start
makes more than a hundred, which was a fifth of it. Here `__init__` alone is compiled; the other methods are the same
functions for all classes. Everything else is the standard library's: `field`, `fields`, `replace`, `asdict`, matching.
"""

from __future__ import annotations

import dataclasses
import reprlib
from collections.abc import Callable
from dataclasses import MISSING, Field, FrozenInstanceError
from operator import attrgetter
from typing import TYPE_CHECKING, Any

_MADE = object()
"""Stands for a default that a factory makes."""


def _dataclass(
    *, slots: bool = False, frozen: bool = False, eq: bool = True, repr: bool = True
) -> Callable[[type[Any]], type[Any]]:
    """`dataclasses.dataclass` with these of its options, and without InitVar. A class that inherits fields is made by
    that one, and any other may be inherited from by such a class."""

    def make(plain: type[Any]) -> type[Any]:
        if any("__dataclass_fields__" in vars(base) for base in plain.__mro__[1:]):
            return dataclasses.dataclass(slots=slots, frozen=frozen, eq=eq, repr=repr)(plain)
        cls: Any = dataclasses.dataclass(init=False, repr=False, eq=False, slots=slots)(plain)
        params = cls.__dataclass_params__
        params.init, params.repr, params.eq, params.frozen = True, repr, eq, frozen
        fields, own = dataclasses.fields(cls), vars(plain)
        methods: dict[str, Any] = {"__init__": _initializer(cls, fields, slots=slots, frozen=frozen)}
        if repr:
            methods["__repr__"] = _shown
        if eq:
            cls.__compared__ = _getter([one.name for one in fields if one.compare])
            methods["__eq__"] = _is_equal
            # A class that says what equals it has `__hash__ = None` of Python itself.
            if own.get("__hash__") is None:
                cls.__hash__ = _hashed if frozen else None
                hashed = [one.name for one in fields if (one.compare if one.hash is None else one.hash)]
                cls.__hashed__ = _getter(hashed)
        if frozen:
            methods.update(__setattr__=_refuse_to_set, __delattr__=_refuse_to_delete)
            if slots:
                methods.update(__getstate__=_state, __setstate__=_restore)
        for name, method in methods.items():
            if name not in own:
                setattr(cls, name, method)
        return cls  # type: ignore[no-any-return]

    return make


if TYPE_CHECKING:
    from dataclasses import dataclass as dataclass
else:
    dataclass = _dataclass


def _initializer(cls: type[Any], fields: tuple[Field[Any], ...], *, slots: bool, frozen: bool) -> Callable[..., None]:
    known: dict[str, Any] = {"_made": _MADE, "_set": object.__setattr__}
    by_place, by_name, body = ["self"], list[str](), list[str]()
    for one in fields:
        name, default = one.name, f"_of_{one.name}"
        value = name
        if one.default_factory is not MISSING:
            known[default] = one.default_factory
            value = f"{default}() if {name} is _made else {name}" if one.init else f"{default}()"
            told = f"{name}=_made"
        elif one.default is not MISSING:
            known[default] = one.default
            told = f"{name}={default}"
            if not one.init:
                if not slots:
                    continue  # the class itself has it
                value = default
        else:
            told = name
            if not one.init:
                continue
        if one.init:
            (by_name if one.kw_only else by_place).append(told)
        body.append(f"_set(self, {name!r}, {value})" if frozen else f"self.{name} = {value}")
    if hasattr(cls, "__post_init__"):
        body.append("self.__post_init__()")
    told_so = ", ".join([*by_place, *(["*", *by_name] if by_name else [])])
    text = f"def __init__({told_so}):\n " + "\n ".join(body or ["pass"])
    made: dict[str, Any] = {}
    exec(text, known, made)  # noqa: S102 - names of fields, which are Python's names
    init: Any = made["__init__"]
    init.__annotations__ = {one.name: one.type for one in fields if one.init} | {"return": None}
    init.__qualname__ = f"{cls.__qualname__}.__init__"
    init.__module__ = cls.__module__
    return init  # type: ignore[no-any-return]


def _getter(names: list[str]) -> staticmethod[[Any], Any]:
    if len(names) > 1:
        return staticmethod(attrgetter(*names))
    return staticmethod(lambda value: tuple(getattr(value, name) for name in names))


@reprlib.recursive_repr()
def _shown(self: Any) -> str:
    told = [f"{one.name}={getattr(self, one.name)!r}" for one in dataclasses.fields(self) if one.repr]
    return f"{type(self).__qualname__}({', '.join(told)})"


def _is_equal(self: Any, other: Any) -> Any:
    if type(other) is not type(self):
        return NotImplemented
    compared: Callable[[Any], Any] = self.__compared__
    return compared(self) == compared(other)


def _hashed(self: Any) -> int:
    return hash(self.__hashed__(self))


def _refuse_to_set(self: Any, name: str, value: Any) -> None:
    if _is_fixed(type(self), name):
        raise FrozenInstanceError(f"cannot assign to field {name!r}")
    object.__setattr__(self, name, value)


def _refuse_to_delete(self: Any, name: str) -> None:
    if _is_fixed(type(self), name):
        raise FrozenInstanceError(f"cannot delete field {name!r}")
    object.__delattr__(self, name)


def _is_fixed(cls: Any, name: str) -> bool:
    """A class that inherits a frozen one without being a dataclass itself may have attributes of its own."""
    return "__dataclass_fields__" in vars(cls) or name in cls.__dataclass_fields__


def _state(self: Any) -> list[Any]:
    return [getattr(self, one.name) for one in dataclasses.fields(self)]


def _restore(self: Any, state: list[Any]) -> None:
    for one, value in zip(dataclasses.fields(self), state, strict=True):
        object.__setattr__(self, one.name, value)
