"""Media types by first bytes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.fetch.sniff import ENOUGH, media_type

KNOWN = [
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff\xe0", "image/jpeg"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
    (b"RIFF\x00\x00\x00\x00WEBPVP8 ", "image/webp"),
    (b"RIFF\x00\x00\x00\x00WAVEfmt ", "audio/wav"),
    (b"RIFF\x00\x00\x00\x00AVI LIST", "video/x-msvideo"),
    (b"FORM\x00\x00\x00\x00AIFF", "audio/aiff"),
    (b"%PDF-1.7\n", "application/pdf"),
    (b"ID3\x04\x00", "audio/mpeg"),
    (b"\xff\xfb\x90\x64", "audio/mpeg"),
    (b"\xff\xf3\x48\xc4", "audio/mpeg"),
    (b"\xff\xf1\x50\x80", "audio/aac"),
    (b"OggS\x00\x02", "audio/ogg"),
    (b"fLaC\x00\x00\x00\x22", "audio/flac"),
    (b"II*\x00", "image/tiff"),
    (b"MM\x00*", "image/tiff"),
    (b"\x00\x00\x00\x20ftypM4A \x00", "audio/mp4"),
    (b"\x00\x00\x00\x20ftypisom\x00", "video/mp4"),
    (b"\x00\x00\x00\x14ftypqt  ", "video/quicktime"),
    (b"\x00\x00\x00\x18ftypheic", "image/heic"),
    (b"\x00\x00\x00\x18ftypavif", "image/avif"),
    (b"\x1aE\xdf\xa3\x9fB\x86\x81\x01B\xf7\x81\x01B\xf2\x81\x04B\xf3\x81\x08B\x82\x84webm", "video/webm"),
    (b"\x1aE\xdf\xa3\x9fB\x82\x88matroska", "video/x-matroska"),
    (b"\x00\x00\x01\xba\x44", "video/mpeg"),
]

UNKNOWN = [
    b"",
    b"<!DOCTYPE html><html>",
    b"<svg xmlns='http://www.w3.org/2000/svg'/>",
    b'{"AccessKeyId": "..."}',
    b"root:x:0:0:root:/root:/bin/sh\n",
    b"-----BEGIN CERTIFICATE-----",
    b"SSH-2.0-OpenSSH_9.6\r\n",
    b"RIFF\x00\x00\x00\x00XXXX",
    b"RIFF",
    b"\x89PNG\r\n\x1a",
    b" GIF89a",
    b"\n%PDF-1.4",
    b"\xff\xfe<\x00h\x00",  # UTF-16
    b"\xff\xff\xff\xff",
    b"\xff\xe8\x90\x00",
    b"\xff",
    b"PK\x03\x04",
    b"\x00\x00\x00\x20moov",
]


@pytest.mark.parametrize(("head", "name"), KNOWN)
def test_known(head, name):
    assert media_type(head + bytes(100)) == name
    assert media_type(bytearray(head + bytes(100))[:ENOUGH]) == name


@pytest.mark.parametrize("data", UNKNOWN)
def test_unknown(data):
    assert media_type(data) is None


@given(st.binary(max_size=200))
def test_the_first_bytes_decide(data):
    assert media_type(data) == media_type(data[:ENOUGH])


@given(st.text(alphabet=st.characters(min_codepoint=32, max_codepoint=126), max_size=80))
def test_text_passes_only_with_a_mark_at_its_very_beginning(text):
    marks = ("GIF8", "RIFF", "FORM", "%PDF-", "ID3")
    assert text.startswith(marks) or text[4:8] == "ftyp" or media_type(text.encode()) is None
