"""Types for settings: durations, sizes, credits, prices, networks. Plugins may use them in their own models.

They take what people write (`60s`, `20MiB`, `0.40`) and refuse what could be misread, such as a time without a
unit. A default in a model is the plain value (`drain: Duration = 60.0`): pydantic does not convert defaults.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from decimal import Decimal
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Annotated, Any, NoReturn
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, PlainValidator, SecretStr, Strict
from pydantic_core import PydanticCustomError

_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_BYTES = {
    "b": 1,
    "kb": 10**3,
    "mb": 10**6,
    "gb": 10**9,
    "tb": 10**12,
    "kib": 1 << 10,
    "mib": 1 << 20,
    "gib": 1 << 30,
    "tib": 1 << 40,
}
_AMOUNT = re.compile(r"([0-9]{1,15}(?:\.[0-9]{1,6})?) ?([A-Za-z]+)", re.ASCII)
_MONEY = re.compile(r"[0-9]{1,9}(?:\.[0-9]{0,12})?|\.[0-9]{1,12}", re.ASCII)
_LONGEST_DURATION = 3650 * 86400.0
_LARGEST_SIZE = 1 << 50
_HIGHEST_PRICE = Decimal(1_000_000)


class Section(BaseModel):
    """Base of every section of the core: frozen, without unknown keys, and strict (`"8080"` is not a number)."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False, defer_build=True)


def refuse(message: str) -> NoReturn:
    """Refuse a value in a pydantic validator. The message tells what the value must be, without repeating it:
    whether it may be shown depends on where it came from, and is decided when the problem is reported."""
    # The message is a template to pydantic; braces in it would be taken for fields.
    raise PydanticCustomError("setting", "{message}", {"message": message})


def _duration(value: Any) -> float:
    if isinstance(value, int | float) and not isinstance(value, bool):
        if value == 0:
            return 0.0
        refuse("a time needs a unit: ms, s, m, h or d, as in 500ms, 60s, 2m, 1h, 7d")
    parts = _AMOUNT.fullmatch(value) if isinstance(value, str) else None
    if parts is None or parts.group(2) not in _SECONDS:
        refuse("must be a time such as 500ms, 60s, 2m, 1h or 7d")
    seconds = float(parts.group(1)) * _SECONDS[parts.group(2)]
    if seconds > _LONGEST_DURATION:
        refuse("must be at most 3650d")
    return seconds


def _size(value: Any) -> int:
    if isinstance(value, int) and not isinstance(value, bool):
        size = Decimal(value)
    else:
        parts = _AMOUNT.fullmatch(value) if isinstance(value, str) else None
        unit = parts.group(2).lower() if parts else ""
        if parts is None or unit not in _BYTES:
            refuse("must be a size such as 64KiB, 20MiB or 1GB, or a whole number of bytes")
        size = Decimal(parts.group(1)) * _BYTES[unit]
    if not 0 <= size <= _LARGEST_SIZE:
        refuse("must be a size between 0 and 1024TiB")
    if size != int(size):
        refuse("must come to a whole number of bytes")
    return int(size)


def _price(value: Any) -> Decimal:
    if isinstance(value, Decimal):
        value = format(value, "f")
    if isinstance(value, float):
        # Only reached by values that do not come from a file: those arrive as the text that was written.
        value = repr(value)
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value) if -1 <= value <= _HIGHEST_PRICE + 1 else "-"
    if not isinstance(value, str) or not _MONEY.fullmatch(value):
        refuse("must be an amount in USD of 0 or more, written plainly as in 0.40, with at most 12 decimal places")
    price = Decimal(value)
    if price > _HIGHEST_PRICE:
        refuse(f"must be at most {_HIGHEST_PRICE} USD")
    return price


def _network(value: Any) -> IPv4Network | IPv6Network:
    if isinstance(value, IPv4Network | IPv6Network):
        return value
    if isinstance(value, str):
        try:
            return ip_network(value)
        except ValueError:
            pass
    refuse("must be an IP address or a network such as 10.0.0.0/8 (with no bits set after the prefix)")


def _empty_is_none(value: Any) -> Any:
    return None if value == "" else value


Duration = Annotated[float, BeforeValidator(_duration)]
"""A time in seconds, written `500ms`, `60s`, `2m`, `1h` or `7d`; a bare number other than 0 is refused."""

Size = Annotated[int, BeforeValidator(_size)]
"""A number of bytes, written `64KiB`, `20MiB` (powers of 1024), `1GB` (powers of 1000) or as a bare integer."""

Tokens = Annotated[int, Field(ge=1, le=10**9)]
"""A number of tokens."""

Credits = Annotated[int, Field(ge=0, le=10**15)]
"""An amount of credits."""

UsdPrice = Annotated[Decimal, PlainValidator(_price)]
"""An amount in USD between 0 and 1,000,000, exactly as written in the file."""

Network = Annotated[IPv4Network | IPv6Network, PlainValidator(_network)]
"""An IP address or network."""

OptionalText = Annotated[str | None, BeforeValidator(_empty_is_none)]
"""Text, or None when it is empty: so `${NAME:-}` leaves a setting out."""

ListOf = Strict(False)
"""Marks a tuple in a strict model that is a list in YAML: `Annotated[tuple[str, ...], ListOf]`."""


class FrozenDict(dict[str, Any]):
    """A dict that refuses to change, for free-form settings. A dict and not a mapping proxy, because orjson writes
    it and `isinstance(value, dict)` holds. `copy.deepcopy` gives an ordinary dict, which may be changed."""

    def _refuse(self, *args: Any, **kwargs: Any) -> NoReturn:
        raise TypeError("the configuration cannot be changed; work on a copy")

    __setitem__ = __delitem__ = __ior__ = _refuse
    clear = pop = popitem = setdefault = update = _refuse

    def __deepcopy__(self, memo: dict[int, Any]) -> dict[str, Any]:
        return {key: thaw(value) for key, value in self.items()}

    def __reduce__(self) -> tuple[type[dict[str, Any]], tuple[dict[str, Any]]]:
        return (FrozenDict, (dict(self),))


def freeze(value: Any) -> Any:
    """A copy in which dicts are FrozenDict and lists are tuples, at every level."""
    if isinstance(value, Mapping):
        return FrozenDict({key: freeze(item) for key, item in value.items()})
    if isinstance(value, list | tuple):
        return tuple(freeze(item) for item in value)
    return value


def thaw(value: Any) -> Any:
    """The reverse of `freeze`: ordinary dicts and lists, free to change."""
    if isinstance(value, Mapping):
        return {key: thaw(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [thaw(item) for item in value]
    return value


def _api_key(value: SecretStr) -> SecretStr:
    key = value.get_secret_value().strip()
    if not key.isascii() or not (key.isprintable() or not key):
        refuse("must be printable ASCII without line breaks")
    return SecretStr(key)


def _word(value: SecretStr) -> SecretStr:
    text = value.get_secret_value().strip()
    if not text.isascii() or any(character.isspace() or not character.isprintable() for character in text):
        refuse("must be one word of ASCII characters")
    return SecretStr(text)


def _base_url(value: str) -> str:
    value = value.strip().rstrip("/")
    parts = urlsplit(value)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        refuse("must be an absolute http or https URL")
    if "@" in parts.netloc or "?" in value or "#" in value or not value.isprintable() or " " in value:
        refuse("must have no credentials, query, fragment or spaces")
    _ = parts.port  # raises ValueError when it is not a number in range
    return value


ApiKey = Annotated[SecretStr, AfterValidator(_api_key)]
"""A provider's credential: one line of printable ASCII, "" for none; never shown."""

SecretWord = Annotated[SecretStr, AfterValidator(_word)]
"""A secret without spaces, as payment services give them; "" for none; never shown."""

BaseUrl = Annotated[str, AfterValidator(_base_url)]
"""Where a provider's server is: http or https, without credentials, query, fragment, or a slash at the end."""


def is_address(value: str) -> bool:
    """Whether it is an address of HTTP without user, query or fragment."""
    try:
        parts = urlsplit(value)
        host, port = parts.hostname, parts.port
    except ValueError:
        return False
    clean = value.isascii() and not re.search(r"[\s\\?#@]", value)
    return clean and parts.scheme in ("http", "https") and bool(host) and port != 0
