"""How many pages a PDF may have, without opening it: a bound for estimates of what it costs as input.

Source: ISO 32000-1, 7.7.3 (page tree: objects of /Type /Page, and /Count in their parents), 7.5.7 (object streams, in
which such objects may be compressed) and 7.3.5 (names, in which `#xx` may stand for a character).

The file is the caller's, so the work is bounded whatever it says: each of the steps below is linear in the file's
size, and what could be made to grow beyond it (inflated bytes, streams, mentions of pages) is taken from one account
for all files of a request. A file that wants more than is left counts as one that hides its pages.
"""

from __future__ import annotations

import base64
import binascii
import re
import zlib

MOST_INFLATED = 8 << 20
"""Bytes that the object streams of all files of a request may inflate to."""

MOST_STREAMS = 4_096
"""Object streams in all files of a request; each usually holds about a hundred objects."""

MOST_MENTIONS = 50_000
"""Pages and counts named in all files of a request. Bookmarks have counts too."""

_PIECE = 16 << 10
"""Bytes given to the decompressor at a time: it copies what stands behind a stream's end."""

_DICTIONARY = 4_096
"""Bytes between an object stream's type and its data; as written by any known program, under 300."""


def _name(text: str) -> bytes:
    """A pattern for a name, each of whose characters may be written as `#xx`."""
    spelled = (
        b"(?:%b|#(?i:%02x))" % (re.escape(char.encode()), ord(char))  # hexadecimal digits in either case
        for char in text
    )
    return b"/" + b"".join(spelled)


_ENCRYPTED = re.compile(_name("Encrypt"))
_PAGE = re.compile(_name("Type") + rb"\s*" + _name("Page") + rb"(?![A-Za-z])")
_COUNT = re.compile(_name("Count") + rb"\s+(\d{1,7})")
_OBJECT_STREAM = re.compile(_name("ObjStm") + rb"\b")
_DATA = re.compile(rb"stream\r?\n")


class PageCounter:
    """Counts the pages of the PDFs of one request. most: pages beyond which it does not matter any more.

    inflated, fed, streams, mentions: the work done so far; bytes that came out of the decompressor and went into it,
    object streams, and pages and counts that were named.
    """

    def __init__(self, most: int) -> None:
        self.inflated = self.fed = self.streams = self.mentions = 0
        self._most = most

    def count_base64(self, data: str) -> int:
        """As `count`, for base64; 0 for what is none."""
        try:
            return self.count(base64.b64decode(data))
        except (binascii.Error, ValueError):
            return 0

    def count(self, raw: bytes) -> int:
        """The number of pages, at least and up to `most`; 0 when the file hides them (encrypted, an unknown
        compression, or too much work to find out)."""
        if _ENCRYPTED.search(raw) is not None:
            return 0
        pages = counted = 0
        for text in self._texts(raw):
            if text is None:
                return 0
            for _ in _PAGE.finditer(text):
                pages += 1
                if pages >= self._most or not self._mention():
                    return self._most
            for found in _COUNT.finditer(text):
                counted = max(counted, int(found[1]))
                if counted >= self._most or not self._mention():
                    return self._most
        return max(pages, counted)

    def _mention(self) -> bool:
        self.mentions += 1
        return self.mentions < MOST_MENTIONS

    def _texts(self, raw: bytes) -> list[bytes | None]:
        """The file and what its object streams hold, None for one that cannot be read."""
        texts: list[bytes | None] = [raw]
        end = 0
        # Streams may lie within each other, as a hostile file has them: then they are not read twice over.
        room = 2 * len(raw) + _PIECE
        for found in _OBJECT_STREAM.finditer(raw):
            self.streams += 1
            data = _DATA.search(raw, found.end(), found.end() + _DICTIONARY)
            if self.streams > MOST_STREAMS or data is None:
                return [None]
            if end < data.end():
                end = raw.find(b"endstream", data.end())
                end = len(raw) if end < 0 else end
            before = self.fed
            text = self._inflate(memoryview(raw)[data.end() : end], room)
            room -= self.fed - before
            if text is None:
                return [None]
            texts.append(text)
        return texts

    def _inflate(self, data: memoryview, room: int) -> bytes | None:
        """What one stream holds; None when it is broken, does not end, or is too much. room: bytes to read."""
        inflate = zlib.decompressobj()
        parts: list[bytes] = []
        place = 0
        try:
            while self.inflated <= MOST_INFLATED and not inflate.eof and place < min(len(data), room):
                piece = data[place : place + _PIECE]
                self.fed += len(piece)
                place += len(piece)
                # One byte more than is left shows that there is more; 0 would mean no limit to zlib.
                text = inflate.decompress(piece, MOST_INFLATED - self.inflated + 1)
                self.inflated += len(text)
                parts.append(text)
        except zlib.error:
            return None
        return b"".join(parts) if inflate.eof and self.inflated <= MOST_INFLATED else None
