"""Compressed answers come out as they went in, at every split, and never larger than they may be."""

from __future__ import annotations

import gzip
import zlib
from typing import Any

import pytest
from backports import zstd

from gateway.errors import UpstreamFault
from gateway.upstream.inflating import PIECE, inflater_of
from gateway.upstream.reading import CollectedBody

TEXT = b'{"choices":[{"message":{"content":"' + bytes(range(32, 127)) * 9 + b'"}}]}'


def raw_deflate(data: bytes) -> bytes:
    made = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return made.compress(data) + made.flush()


FORMS = {
    "gzip": gzip.compress(TEXT),
    "gzip of two members": gzip.compress(TEXT[:50]) + gzip.compress(TEXT[50:]),
    "gzip with padding": gzip.compress(TEXT) + b"\0\0\0",
    "zlib": zlib.compress(TEXT),
    "deflate": raw_deflate(TEXT),
    "zstd": zstd.compress(TEXT),
    "zstd of two frames": zstd.compress(TEXT[:50]) + zstd.compress(TEXT[50:]),
}


def decoded(form: str, parts: list[bytes]) -> bytes:
    inflater = inflater_of({"content-encoding": form.partition(" ")[0].replace("zlib", "deflate")})
    assert inflater is not None
    return b"".join(piece for part in parts for piece in inflater.pieces(part))


@pytest.mark.parametrize("form", FORMS)
def test_every_split(form: str) -> None:
    data = FORMS[form]
    for at in range(len(data) + 1):
        assert decoded(form, [data[:at], data[at:]]) == TEXT
    assert decoded(form, [data[at : at + 1] for at in range(len(data))]) == TEXT


@pytest.mark.parametrize(("coding", "compress"), [("gzip", gzip.compress), ("zstd", zstd.compress)])
def test_a_bomb_is_bounded_in_pieces_and_in_all(coding: str, compress: Any) -> None:
    bomb = compress(b"\0" * (64 << 20))
    inflater = inflater_of({"content-encoding": coding})
    assert inflater is not None
    assert len(next(inflater.pieces(bomb))) <= PIECE
    body = CollectedBody(200, {"content-encoding": coding}, 1 << 20)
    with pytest.raises(UpstreamFault) as found:
        body.add(bomb)
    assert found.value.code == "upstream_reply_too_large"


@pytest.mark.parametrize("headers", [{}, {"content-encoding": "identity"}, {"content-encoding": ""}])
def test_what_is_not_compressed_is_left_alone(headers: dict[str, Any]) -> None:
    assert inflater_of(headers) is None


@pytest.mark.parametrize("named", ["br", "zstd, gzip", "gzip, gzip", "x"])
def test_an_unknown_coding_is_a_fault(named: str) -> None:
    with pytest.raises(UpstreamFault):
        inflater_of({"content-encoding": named})


@pytest.mark.parametrize(("form", "sound"), [("gzip", 10), ("zstd", 4)])
def test_broken_data_is_a_fault(form: str, sound: int) -> None:
    with pytest.raises(UpstreamFault):
        decoded(form, [FORMS[form][:sound] + b"\xff" * 40])


def test_a_failure_is_told_by_its_status_though_its_words_cannot_be_read() -> None:
    body = CollectedBody(429, {"content-encoding": "br"}, 100)
    body.add(b"x" * 200)
    assert (body.reply().status, body.reply().body) == (429, b"")
    with pytest.raises(UpstreamFault):
        CollectedBody(200, {"content-encoding": "br"}, 100)
