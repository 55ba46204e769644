"""Notices through the guard."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from gateway.config import FetchSettings
from gateway.fetch import FetchProblem
from gateway.fetch.post import GuardedPost
from gateway.testing import Cut, FakeUpstream, Reply, Stall, json_reply


async def nowhere_public(host: str, port: int) -> Sequence[str]:
    return ["127.0.0.1"]


def allowing(*hosts: str, **more: Any) -> FetchSettings:
    return FetchSettings.model_validate({"allow_hosts": list(hosts), **more})


async def test_the_status_of_what_was_posted(fake_upstream: FakeUpstream) -> None:
    port = fake_upstream.url.rpartition(":")[2].partition("/")[0]
    post = GuardedPost(allowing(f"127.0.0.1:{port}"))
    for status in (204, 200, 307, 500):
        fake_upstream.reply(json_reply({}, status))
        assert await post.post(f"http://127.0.0.1:{port}/hook?x=1", {"webhook-id": "a"}, b'{"b": 1}') == status
    received = fake_upstream.requests[0]
    assert (received.method, received.path, received.json) == ("POST", "/hook?x=1", {"b": 1})
    assert received.headers["webhook-id"] == "a"
    post.close()


async def test_what_is_not_public_is_refused_unless_it_is_named(fake_upstream: FakeUpstream) -> None:
    post = GuardedPost(allowing(), resolve=nowhere_public)
    for url in (fake_upstream.url, "http://rebinding.example/", "http://169.254.169.254/", "ftp://x/", "http://u@x/"):
        with pytest.raises(FetchProblem) as caught:
            await post.post(url, {}, b"")
        assert caught.value.code == "media_fetch_refused"
    assert not fake_upstream.requests
    post.close()


@pytest.mark.parametrize(
    "reply",
    [Reply([Cut()], framing="raw"), Reply([b"no http at all\r\n\r\n"], framing="raw"), Reply([Stall()], framing="raw"),
     Reply([b"HTTP/1.1 200 OK\r\nx: " + b"y" * 70_000], framing="raw")],
    ids=["cut", "nonsense", "silence", "endless head"],
)  # fmt: skip
async def test_no_answer_is_a_problem(fake_upstream: FakeUpstream, reply: Reply) -> None:
    port = fake_upstream.url.rpartition(":")[2].partition("/")[0]
    fake_upstream.reply(reply)
    post = GuardedPost(allowing(f"127.0.0.1:{port}", timeout="200ms"))
    with pytest.raises(FetchProblem) as caught:
        await post.post(f"http://127.0.0.1:{port}/", {}, b"")
    assert caught.value.code == "media_fetch_failed"
    post.close()
