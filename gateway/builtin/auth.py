"""Who calls: API keys from the key store, sent as `Authorization: Bearer KEY`."""

from __future__ import annotations

from gateway.api import App, Call, Caller, Keys, Refusal, hookimpl


class Plugin:
    """Identifies callers by their API key."""

    @hookimpl
    async def start_up(self, app: App) -> None:
        self._keys: Keys = app.stores.keys

    @hookimpl
    async def identify_caller(self, call: Call) -> Caller | None:
        if not call.authorization:
            return None
        caller = await self._keys.authenticate(call.authorization, call.remote)
        if caller is None:
            raise Refusal(
                "Invalid API key. It may be mistyped, expired or revoked; create a new one if need be.",
                status=401,
                code="invalid_api_key",
            )
        return caller
