"""What the tests of the configuration share: sections and kinds as plugins would give them, and short ways in."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated, Any, Literal

import pytest
from pydantic import BaseModel, ConfigDict, Field, field_validator

from gateway import config
from gateway.errors import ConfigFault
from gateway.provider import ProviderKind
from gateway.sqlite import SqliteKind


class RateLimit(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    requests_per_minute: Annotated[int, Field(ge=1)] = 60


class Careless(BaseModel):
    """A plugin's section whose author forgot to forbid unknown keys, and whose validator misbehaves."""

    limit: int = 1
    url: str = ""
    either: str | list[str] = ""

    @field_validator("url")
    @classmethod
    def _check(cls, value: str) -> str:
        if value == "raise":
            raise KeyError(value)
        if value.startswith("bad"):
            raise ValueError(f"{value} is not a good address")
        return value


class Quirks(BaseModel):
    model_config = ConfigDict(extra="forbid")

    stream: bool = True


class ServerSettings(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    api_key: str = ""
    base_url: str = ""
    on_disconnect: Literal["cancel", "drain"] = "cancel"
    timeout: config.Duration = 1.0
    quirks: Quirks = Quirks()


class EchoSettings(BaseModel):
    model_config = ConfigDict(extra="forbid")


KINDS = {
    "server": ProviderKind("server", ServerSettings, None, None),
    "echo": ProviderKind("echo", EchoSettings, None, None),
}
SECTIONS: dict[str, type[BaseModel]] = {"rate_limit": RateLimit, "careless": Careless}

Build = Callable[..., config.Config]
Problems = Callable[..., list[str]]


@pytest.fixture(scope="session")
def kinds() -> dict[str, ProviderKind]:
    return KINDS


@pytest.fixture(scope="session")
def plugin_sections() -> dict[str, type[BaseModel]]:
    return SECTIONS


@pytest.fixture
def build() -> Build:
    """Text to Config; further arguments are the environment, and `plugins`."""

    def make(text: str | bytes, env: Mapping[str, str] | None = None, **options: Any) -> config.Config:
        raw = text if isinstance(text, bytes) else text.encode()
        options = {"stores": {"sqlite": SqliteKind()}, **options}
        return config.build(config.parse(raw, env or {}), SECTIONS, KINDS, **options)

    return make


@pytest.fixture
def problems(build: Build) -> Problems:
    """Text to the problems it must have."""

    def find(text: str | bytes, env: Mapping[str, str] | None = None, **options: Any) -> list[str]:
        with pytest.raises(ConfigFault) as caught:
            build(text, env, **options)
        assert str(caught.value) == "\n".join(caught.value.problems)
        return caught.value.problems

    return find
