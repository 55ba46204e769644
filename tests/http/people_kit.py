"""Browsers for tests: each keeps its cookies, and knows the token against forged requests of its session."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import orjson

from gateway.testing import RunningGateway

PASSWORD = "correct horse battery"


class Browser:
    """One browser. csrf: of its session, "" while nobody is signed in; host: the name it uses for the gateway."""

    def __init__(self, gateway: RunningGateway, session: aiohttp.ClientSession) -> None:
        self.gateway = gateway
        self.session = session
        self.csrf = ""
        self.account = ""
        self.headers: Mapping[str, str] = {}

    async def ask(
        self, method: str, path: str, body: Any = None, *, headers: Mapping[str, str | None] | None = None
    ) -> tuple[int, Any]:
        """Status and parsed answer. headers: over the usual ones; None takes one away."""
        status, _, value = await self.ask_whole(method, path, body, headers=headers)
        return status, value

    async def ask_whole(
        self, method: str, path: str, body: Any = None, *, headers: Mapping[str, str | None] | None = None
    ) -> tuple[int, Mapping[str, str], Any]:
        sent: dict[str, str | None] = {"X-CSRF-Token": self.csrf or None, "Origin": self.gateway.url, **(headers or {})}
        async with self.session.request(
            method,
            self.gateway.url + path,
            json=body,
            headers={name: value for name, value in sent.items() if value is not None},
        ) as answer:
            raw = await answer.read()
            value = orjson.loads(raw) if answer.headers.get("content-type") == "application/json" else raw
            return answer.status, answer.headers, value

    async def enter(self, path: str, body: Any, status: int = 200) -> Any:
        """Sign in by one of the routes for it."""
        found, value = await self.ask("POST", path, body)
        assert found == status, value
        if status == 200:
            self.csrf, self.account = value["csrf_token"], value["account_id"]
        return value

    async def sign_in(self, email: str, password: str = PASSWORD, status: int = 200) -> Any:
        return await self.enter("/account/sign-in", {"email": email, "password": password}, status)

    async def sign_up(self, email: str, password: str = PASSWORD, status: int = 200, **more: Any) -> Any:
        return await self.enter("/account/sign-up", {"email": email, "password": password, **more}, status)

    def cookie(self) -> str:
        """The session's token."""
        return next(cookie.value for cookie in self.session.cookie_jar if "session" in cookie.key)


@asynccontextmanager
async def browser(gateway: RunningGateway) -> AsyncIterator[Browser]:
    # Browsers take cookies from IP addresses; aiohttp asks to be told so.
    async with aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as session:
        yield Browser(gateway, session)
