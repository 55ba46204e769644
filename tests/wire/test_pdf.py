"""Pages of a PDF: the same as a naive count on sound files, and bounded work on any other."""

from __future__ import annotations

import base64
import random
import re
import zlib
from collections.abc import Callable

import pytest

from gateway.wire.pdf import MOST_INFLATED, MOST_MENTIONS, MOST_STREAMS, PageCounter

MOST = 600
STREAM = b"1 0 obj<</Type /ObjStm /Filter /FlateDecode>>\nstream\n%b\nendstream endobj "
SIZE = 15 << 20
"""Bytes in the largest body that is taken (20 MiB), after base64."""


def naive(raw: bytes) -> int:
    """The rule as a document would state it, without a thought for time."""
    texts = [raw]
    for found in re.finditer(rb"/ObjStm\b[^\0]*?stream\r?\n([^\0]*?)\nendstream", raw):
        texts.append(zlib.decompress(base64.b64decode(found[1])))
    shown = [re.sub(rb"#([0-9A-Fa-f]{2})", lambda match: bytes([int(match[1], 16)]), text) for text in texts]
    pages = sum(len(re.findall(rb"/Type\s*/Page(?![A-Za-z])", text)) for text in shown)
    return min(
        max([pages, *(int(count) for text in shown for count in re.findall(rb"/Count\s+(\d{1,7})", text))]), MOST
    )


def test_random_files_equal_the_naive_count() -> None:
    source = random.Random(3)
    words = [
        *(b"/Type /Page ", b"/Type/Page>>", b"/Type\n /Pages", b"/Typ#65/P#61ge ", b"/Type/PageX", b"/Kids[]"),
        *(b"/Count 3 ", b"/C#6Funt 5 ", b"/C#6funt 6 ", b"/Count -4", b"/Counter 9", b"x" * 50, b"stream\n"),
    ]
    for _ in range(2_000):
        plain, packed = b"%PDF-1.7 ", b"%PDF-1.7 "
        for _ in range(source.randint(0, 6)):
            text = b"".join(source.choices(words, k=source.randint(0, 5)))
            if source.random() < 0.4:
                data = zlib.compress(text)
                plain += STREAM % base64.b64encode(data)
                packed += STREAM % data
            else:
                plain += text
                packed += text
        assert PageCounter(MOST).count(packed) == naive(plain), packed


def test_what_hides_its_pages_has_none() -> None:
    good = zlib.compress(b"/Type /Page")
    for hidden in (
        b"",
        b"/Encrypt /Type /Page",
        b"/Encr#79pt /Type /Page",
        STREAM % b"rubbish" + b"/Type /Page",
        STREAM % good[:-5] + b"/Type /Page",
        b"/ObjStm /Type /Page",
        b"/ObjStm" + b" " * 5_000 + b"stream\n" + good,
    ):
        assert PageCounter(MOST).count(hidden) == 0, hidden[:60]
    assert PageCounter(MOST).count(STREAM % good) == 1
    assert PageCounter(MOST).count_base64("not base64 of anything!") == 0


def bomb(size: int) -> bytes:
    return STREAM % zlib.compress(b" " * size)


HOSTILE: dict[str, Callable[[], bytes]] = {
    "many bombs": lambda: bomb(1_000_000) * 100,
    "one bomb": lambda: bomb(300_000_000),
    "exactly the budget, then more": lambda: bomb(MOST_INFLATED) + bomb(50_000_000) * 3,
    "streams without an end": lambda: b"/ObjStm stream\n" * (SIZE // 15),
    "types alone": lambda: b"/ObjStm" * (SIZE // 7),
    "empty streams": lambda: (STREAM % zlib.compress(b"")) * (SIZE // 80),
    "streams within each other": lambda: (
        (b"/ObjStm stream\n" + zlib.compress(b"", 0)[:2] + b"\0\0\0\xff\xff" * 2) * (SIZE // 27)
    ),
    "input without output": lambda: b"/ObjStm stream\nx\x9c" + b"\0\0\0\xff\xff" * (SIZE // 5),
    "pages": lambda: b"/Type/Page " * (SIZE // 11),
    "small counts": lambda: b"/Count 1 " * (SIZE // 9),
    "types with much space": lambda: b"/Type" + b" " * SIZE,
    "slashes": lambda: b"/" * SIZE,
    "escapes": lambda: b"/T#79" * (SIZE // 5),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_work_is_bounded(name: str) -> None:
    raw = HOSTILE[name]()
    counter = PageCounter(MOST)
    assert 0 <= counter.count(raw) <= MOST
    assert counter.inflated <= MOST_INFLATED + 1
    assert counter.fed <= 2 * len(raw) + (1 << 15)
    assert counter.streams <= MOST_STREAMS + 1
    assert counter.mentions <= MOST_MENTIONS


def test_all_files_of_a_request_share_one_account() -> None:
    counter = PageCounter(MOST)
    file = b"/Type /Page " + bomb(1_000_000)
    assert [counter.count(file) for _ in range(10)] == [1] * 8 + [0] * 2
    assert counter.inflated <= MOST_INFLATED + 1
