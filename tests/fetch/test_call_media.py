"""The media of one call: a big body is walked beside the event loop."""

from __future__ import annotations

import threading
from typing import Any

from gateway.aside import Aside
from gateway.fetch.call_media import CallMedia
from gateway.testing import make_call, make_target


async def test_a_big_body_is_walked_beside_the_loop() -> None:
    where: list[bool] = []

    def media_urls(_: Any) -> list[str]:
        where.append(threading.current_thread() is threading.main_thread())
        return []

    aside = Aside()
    for text in ("x", "x" * 2_000_000):
        call = make_call({"model": "m", "messages": [{"role": "user", "content": text}]})
        call.size = len(text)
        assert await CallMedia(None).fill(call, make_target(), media_urls, aside) is call
    aside.close()
    assert where == [True, False]
