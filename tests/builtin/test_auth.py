"""Who calls, without HTTP: what the key store says decides."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.api import Caller, Refusal
from gateway.builtin.auth import Plugin
from gateway.testing import make_call

from .kit import CALLER, app


class Keys:
    def __init__(self) -> None:
        self.asked: list[tuple[str, str]] = []

    async def authenticate(self, plain: str, remote: str) -> Caller | None:
        self.asked.append((plain, remote))
        if plain == "elsewhere":
            raise Refusal("not from there", status=403)
        return CALLER if plain == "good" else None


@pytest.fixture
async def keys_and_plugin() -> tuple[Keys, Any]:
    keys, plugin = Keys(), Plugin()
    await plugin.start_up(app(keys=keys))
    return keys, plugin


async def test_a_known_key_is_a_caller(keys_and_plugin: tuple[Keys, Any]) -> None:
    keys, plugin = keys_and_plugin
    assert await plugin.identify_caller(make_call(authorization="good", remote="192.0.2.1")) is CALLER
    assert keys.asked == [("good", "192.0.2.1")]


async def test_no_credential_is_left_to_other_plugins(keys_and_plugin: tuple[Keys, Any]) -> None:
    keys, plugin = keys_and_plugin
    assert await plugin.identify_caller(make_call(authorization="")) is None
    assert keys.asked == []


@pytest.mark.parametrize(("plain", "status", "code"), [("bad", 401, "invalid_api_key"), ("elsewhere", 403, None)])
async def test_a_bad_credential_is_refused(
    keys_and_plugin: tuple[Keys, Any], plain: str, status: int, code: str | None
) -> None:
    with pytest.raises(Refusal) as refused:
        await keys_and_plugin[1].identify_caller(make_call(authorization=plain))
    assert (refused.value.status, refused.value.code) == (status, code)
    assert plain not in refused.value.message
