"""The media of one call: each URL is fetched once, and kept for retries and for further targets."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from gateway.aside import Aside
from gateway.call import Call, Target
from gateway.errors import CallerFault, Fault, GatewayFault
from gateway.fetch.body import find_references, with_media
from gateway.fetch.client import MediaFetcher
from gateway.fetch.download import Allowance


class CallMedia:
    """fetcher: None when the operator has not enabled fetching."""

    def __init__(self, fetcher: MediaFetcher | None) -> None:
        self._fetcher = fetcher
        self._inline: dict[str, str] = {}
        self._allowance: Allowance | None = None

    async def fill(
        self, call: Call, target: Target, media_urls: Callable[[Mapping[str, Any]], Sequence[str]], aside: Aside
    ) -> Call:
        """The call as `target` needs it: itself when there is nothing to fetch, otherwise a copy of it with another
        body, in which the URLs that `media_urls` names are `data:` URLs. `call.body` stays as it is. A body is walked
        `aside`, if it is big.

        Raises CallerFault (400) that names the field: `media_fetch_disabled`, `media_too_many`, or what
        `MediaFetcher.fetch` raises. The first failure stops the other fetches.
        """
        named = await aside(call.size, media_urls, call.body)
        urls = [url for url in dict.fromkeys(named) if url[:5].lower() != "data:"]
        if not urls:
            return call
        paths = await aside(call.size, find_references, call.body, set(urls))
        lost = [url for url in urls if url not in paths]
        if lost:
            raise GatewayFault(
                f"The provider of '{target.model}' asked for media that are not in the request.",
                detail=f"media_urls: {lost[0][:200]}",
            )
        fetcher = self._check(urls, paths, target)
        missing = {url: paths[url] for url in urls if url not in self._inline}
        if missing:
            await self._fetch(fetcher, missing)
        inline = {url: self._inline[url] for url in urls}
        return call.view(call.dialect, await aside(call.size, with_media, call.body, inline))

    def _check(self, urls: list[str], paths: Mapping[str, str], target: Target) -> MediaFetcher:
        path = paths[urls[0]]
        if self._fetcher is None:
            raise CallerFault(
                f"{path}: '{target.model}' needs the content itself: send it as a data: URL. (This gateway does not "
                "fetch media; its operator can enable that with `fetch`.)",
                param=path,
                code="media_fetch_disabled",
            )
        most = self._fetcher.settings.max_per_request
        if len(urls) > most:
            path = paths[urls[most]]
            raise CallerFault(
                f"{path}: one URL too many: the gateway fetches at most {most} in one request "
                "(`fetch.max_per_request`); send the others as data: URLs",
                param=path,
                code="media_too_many",
            )
        return self._fetcher

    async def _fetch(self, fetcher: MediaFetcher, paths: Mapping[str, str]) -> None:
        allowance = self._allowance = self._allowance or fetcher.allowance()

        async def one(url: str, path: str) -> None:
            media = await fetcher.fetch(url, path, allowance)
            self._inline[url] = f"data:{media.media_type};base64,{base64.b64encode(media.data).decode('ascii')}"

        try:
            async with asyncio.TaskGroup() as group:
                for url, path in paths.items():
                    group.create_task(one(url, path))
        except BaseExceptionGroup as errors:
            # A Fault before anything else: it is what the caller can act on.
            raise next((e for e in errors.exceptions if isinstance(e, Fault)), errors.exceptions[0]) from None
