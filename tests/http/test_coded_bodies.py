"""Compressed request bodies: read like plain ones, and never more of them than a plain one may have."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Callable
from typing import Any

import orjson
import pytest
from backports import zstd

from gateway.errors import CallerFault
from gateway.http.server.body_coding import coding_of, inflate
from gateway.testing import Reply, openai_stream


def raw_deflate(data: bytes) -> bytes:
    machine = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return machine.compress(data) + machine.flush()


Compress = Callable[[bytes], bytes]
WAYS: dict[str, tuple[str, Compress]] = {
    "gzip": ("gzip", gzip.compress),
    "x-gzip": ("x-gzip", gzip.compress),
    "deflate": ("deflate", zlib.compress),
    "deflate without a head": ("deflate", raw_deflate),
    "zstd": ("zstd", zstd.compress),
}
TEXT = orjson.dumps({"messages": [{"role": "user", "content": "x" * 3000}]})


@pytest.mark.parametrize("way", WAYS)
def test_what_was_compressed_comes_back(way: str) -> None:
    name, compress = WAYS[way]
    coding = coding_of({"Content-Encoding": name.upper()})
    for data in (b"", b"{}", TEXT, TEXT * 400):
        assert inflate(compress(data), coding, len(data)) == data


@pytest.mark.parametrize("way", ["gzip", "zstd"])
def test_several_members_are_one_body(way: str) -> None:
    name, compress = WAYS[way]
    assert inflate(compress(b"ab") + compress(b"c"), coding_of({"Content-Encoding": name}), 3) == b"abc"


@pytest.mark.parametrize("way", WAYS)
def test_more_than_the_limit_is_refused_before_it_is_there(way: str) -> None:
    name, compress = WAYS[way]
    coding = coding_of({"Content-Encoding": name})
    with pytest.raises(CallerFault) as caught:
        inflate(compress(bytes(64 * 1024 * 1024)), coding, 1024 * 1024)
    assert caught.value.status == 413


@pytest.mark.parametrize("way", WAYS)
def test_what_is_broken_or_cut_is_refused(way: str) -> None:
    name, compress = WAYS[way]
    coding = coding_of({"Content-Encoding": name})
    whole = compress(TEXT)
    for broken in (whole[:-1], whole[: len(whole) // 2], b"\xff\xff" + whole, TEXT):
        with pytest.raises(CallerFault) as caught:
            inflate(broken, coding, 1_000_000)
        assert (caught.value.status, caught.value.code) == (400, "invalid_content_encoding")


def test_a_window_that_would_take_much_memory_is_refused() -> None:
    options = {zstd.CompressionParameter.window_log: 27, zstd.CompressionParameter.enable_long_distance_matching: 1}
    machine = zstd.ZstdCompressor(options=options)
    data = machine.compress(bytes(20_000_000)) + machine.flush()
    with pytest.raises(CallerFault) as caught:
        inflate(data, "zstd", 50_000_000)
    assert caught.value.status == 400


@pytest.mark.parametrize("named", ["br", "gzip, gzip", "identity, br", "compress"])
def test_other_codings_are_refused_with_what_is_accepted(named: str) -> None:
    with pytest.raises(CallerFault) as caught:
        coding_of({"Content-Encoding": named})
    assert caught.value.status == 415
    assert caught.value.headers["accept-encoding"] == "gzip, deflate, zstd"


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/responses", "/v1/messages"])
@pytest.mark.parametrize("way", ["gzip", "deflate", "zstd"])
async def test_every_door_reads_them(serve: Any, way: str, path: str) -> None:
    name, compress = WAYS[way]
    site = await serve()
    site.upstream.reply(Reply(openai_stream("Fine")))
    body: dict[str, Any] = {"model": "fake/model", "stream": True, "max_tokens": 5, "messages": []}
    body["messages"] = [{"role": "user", "content": "x" * 5000}]
    if path.endswith("responses"):
        body = {"model": "fake/model", "stream": True, "input": "x" * 5000}
    data = compress(orjson.dumps(body))
    status, _, answer = await site.running.post(path, data, headers={"content-encoding": name})
    assert status == 200, answer
    assert b"Fine" in answer
    assert b"x" * 5000 in site.upstream.requests[0].body
    status, _, answer = await site.running.post(path, compress(bytes(50_000_000)), headers={"content-encoding": name})
    assert status == 413
