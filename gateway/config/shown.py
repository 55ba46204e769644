"""A configuration as it was loaded, fit to show: defaults included, secrets masked."""

from __future__ import annotations

import re
from collections.abc import Mapping, Set
from dataclasses import fields, is_dataclass
from decimal import Decimal
from typing import Any

from pydantic import BaseModel, SecretStr

from gateway.config.environment import looks_secret
from gateway.config.settings import Config
from gateway.wire.redact import MASK, Redactor

_LEFT_OUT = frozenset({"where", "unset", "secrets", "warnings", "file", "modified"})
# Whatever these hold may let somebody in.
_ALL_SECRET = frozenset({"headers", "env"})
_USER_OF_URL = re.compile(r"(?<=://)[^/@\s]+(?=@)")


def shown(config: Config) -> dict[str, Any]:
    """Every section as JSON. A secret is one by its type, by its key's name, or by its value being known as one; so is
    a user in an address."""
    return _Showing(Redactor(config.secrets)).members(config)


class _Showing:
    def __init__(self, redact: Redactor) -> None:
        self._redact = redact

    def members(self, value: Any) -> dict[str, Any]:
        """A section's members by name."""
        if isinstance(value, BaseModel):
            pairs = [(name, getattr(value, name)) for name in type(value).model_fields]
        elif isinstance(value, Mapping):
            pairs = [(str(name), member) for name, member in value.items()]
        else:
            pairs = [(one.name, getattr(value, one.name)) for one in fields(value)]
        return {name: self.value(member, hidden=looks_secret(name), inside=name) for name, member in pairs
                if name not in _LEFT_OUT}  # fmt: skip

    def value(self, value: Any, *, hidden: bool = False, inside: str = "") -> Any:
        """A value as JSON. hidden: its key's name says that it is a secret. inside: that name."""
        if isinstance(value, SecretStr):
            return MASK if value.get_secret_value() else ""
        if isinstance(value, Mapping) and inside in _ALL_SECRET:
            return {str(name): MASK for name in value}
        if isinstance(value, (BaseModel, Mapping)) or (is_dataclass(value) and not isinstance(value, type)):
            return self.members(value)
        if isinstance(value, (list, tuple, Set)):
            items = sorted(value) if isinstance(value, Set) else value
            return [self.value(item, hidden=hidden) for item in items]
        if value is None or isinstance(value, (bool, int, float)):
            return value
        return self._text(str(value), hidden and not isinstance(value, Decimal))

    def _text(self, text: str, hidden: bool) -> str:
        if hidden:
            return MASK if text else ""
        return _USER_OF_URL.sub(MASK, self._redact.mask(text))
