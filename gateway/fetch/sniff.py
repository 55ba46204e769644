"""The media type of bytes, by their first ones. Pure.

What a server says its content is, is not asked: a provider gets what it really is, and whatever is not media (a page,
JSON, a text) never leaves, because that is what an attacker would come for. Sources: the WHATWG MIME Sniffing
standard, and the formats' own specifications.
"""

from __future__ import annotations

ENOUGH = 64
"""Bytes from which `media_type` decides."""

# (prefix, offset of a second mark, second mark, media type)
_MARKS: tuple[tuple[bytes, int, bytes, str], ...] = (
    (b"\x89PNG\r\n\x1a\n", 0, b"", "image/png"),
    (b"\xff\xd8\xff", 0, b"", "image/jpeg"),
    (b"GIF87a", 0, b"", "image/gif"),
    (b"GIF89a", 0, b"", "image/gif"),
    (b"RIFF", 8, b"WEBP", "image/webp"),
    (b"RIFF", 8, b"WAVE", "audio/wav"),
    (b"RIFF", 8, b"AVI ", "video/x-msvideo"),
    (b"FORM", 8, b"AIFF", "audio/aiff"),
    (b"FORM", 8, b"AIFC", "audio/aiff"),
    (b"%PDF-", 0, b"", "application/pdf"),
    (b"ID3", 0, b"", "audio/mpeg"),
    (b"fLaC", 0, b"", "audio/flac"),
    (b"OggS\x00", 0, b"", "audio/ogg"),
    (b"II*\x00", 0, b"", "image/tiff"),
    (b"MM\x00*", 0, b"", "image/tiff"),
    (b"\x00\x00\x01\xba", 0, b"", "video/mpeg"),
    (b"\x00\x00\x01\xb3", 0, b"", "video/mpeg"),
)

# ISO base media files (ISO/IEC 14496-12) say in their major brand what they are.
_BRANDS: dict[bytes, str] = {
    b"M4A ": "audio/mp4",
    b"M4B ": "audio/mp4",
    b"qt  ": "video/quicktime",
    b"avif": "image/avif",
    b"avis": "image/avif",
    b"heic": "image/heic",
    b"heix": "image/heic",
    b"hevc": "image/heic",
    b"mif1": "image/heif",
    b"msf1": "image/heif",
    b"3gp4": "video/3gpp",
    b"3gp5": "video/3gpp",
    b"3gp6": "video/3gpp",
}


def media_type(data: bytes | bytearray) -> str | None:
    """The media type of `data`, of which the first `ENOUGH` bytes (or all) are there; None when it is no known media.

    An MP4 without a brand of its own kind counts as `video/mp4`, also when only sound is in it.
    """
    for prefix, offset, mark, name in _MARKS:
        if data.startswith(prefix) and data.startswith(mark, offset):
            return name
    if data[4:8] == b"ftyp" and data[8:12].isascii():
        return _BRANDS.get(bytes(data[8:12]), "video/mp4")
    if data.startswith(b"\x1aE\xdf\xa3"):
        # EBML; its DocType stands within the first bytes.
        return "video/webm" if b"webm" in data[:ENOUGH] else "video/x-matroska"
    return _mpeg_audio(data)


def _mpeg_audio(data: bytes | bytearray) -> str | None:
    """MP3 and AAC without a container: eleven or twelve set bits, then values of which some are forbidden."""
    if len(data) < 4 or data[0] != 0xFF or data[1] & 0xE0 != 0xE0:
        return None
    if data[1] & 0xF6 == 0xF0:  # layer 00: ADTS (ISO/IEC 13818-7); sampling frequency below 13
        return "audio/aac" if (data[2] >> 2) & 15 < 13 else None
    version, layer = (data[1] >> 3) & 3, (data[1] >> 1) & 3
    rate, frequency = data[2] >> 4, (data[2] >> 2) & 3
    sensible = version != 1 and layer != 0 and rate not in (0, 15) and frequency != 3
    return "audio/mpeg" if sensible else None
