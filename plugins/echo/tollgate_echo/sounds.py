"""Silence and a single colour: the smallest files that are what they say.

Sources: PNG (W3C, third edition), WAVE (RIFF), MPEG-1 Layer III (ISO 11172-3: a frame whose side information is zero is
silent).
"""

from __future__ import annotations

import struct
import zlib

RATE = 24_000
"""Samples per second, of 16 bits and one channel, as OpenAI's `pcm` has them."""
LONGEST = 30.0
_SECONDS_PER_CHARACTER = 0.06
_MP3_FRAME = b"\xff\xfb\x10\xc4" + bytes(100)
_MP3_FRAME_SECONDS = 1152 / 44_100
LARGEST_SIDE = 4096


def seconds_for(text: str) -> float:
    """How long a text takes to say."""
    return min(max(len(text), 1) * _SECONDS_PER_CHARACTER, LONGEST)


def silence(seconds: float, kind: str) -> bytes | None:
    """So much of it as `wav`, `pcm` or `mp3`; None for other kinds."""
    if kind == "mp3":
        return _MP3_FRAME * max(round(seconds / _MP3_FRAME_SECONDS), 1)
    samples = bytes(2 * max(round(seconds * RATE), 1))
    if kind == "pcm":
        return samples
    if kind != "wav":
        return None
    head = struct.pack(
        "<4sI4s4sIHHIIHH4sI", b"RIFF", 36 + len(samples), b"WAVE", b"fmt ", 16, 1, 1, RATE, RATE * 2, 2, 16, b"data",
        len(samples),
    )  # fmt: skip
    return head + samples


def picture(width: int, height: int, colour: bytes) -> bytes:
    """A PNG of one colour (three bytes), of at most `LARGEST_SIDE` each way."""
    row = bytes(1 + -(-width // 8))
    return b"".join(
        (
            b"\x89PNG\r\n\x1a\n",
            _chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 1, 3, 0, 0, 0)),
            _chunk(b"PLTE", colour + b"\xff\xff\xff"),
            _chunk(b"IDAT", zlib.compress(row * height, 9)),
            _chunk(b"IEND", b""),
        )
    )


def _chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
