"""What images, speech, recordings and moderations come to."""

from __future__ import annotations

import random
import struct
from typing import Any

import pytest

from gateway.errors import CallerFault
from gateway.wire import images, moderation, speech, transcription
from gateway.wire.multipart import Upload


def wav(seconds: float, rate: int = 8000, told: int | None = None) -> bytes:
    data = bytes(int(seconds * rate) * 2)
    size = len(data) if told is None else told
    head = struct.pack(
        "<4sI4s4sIHHIIHH4sI", b"RIFF", 36 + size, b"WAVE", b"fmt ", 16, 1, 1, rate, rate * 2, 2, 16, b"data", size
    )
    return head + data


MP3 = (b"\xff\xfb\x10\xc4" + bytes(100)) * 200


def heard(content: bytes) -> dict[str, Any]:
    return transcription.with_length({"file": Upload(content, "x")})


class TestRecordings:
    def test_wav_is_measured_by_its_size(self) -> None:
        """Whatever its header says of that: who pays by the minute writes it."""
        for told in (None, 0, 10):
            body = heard(wav(20, told=told))
            assert transcription.most_seconds(body) in (21, 22)
            assert transcription.expected_seconds(body) in (21, 22)

    @pytest.mark.parametrize(("inner", "known"), [(1, True), (3, True), (0x55, False), (7, False)])
    def test_wav_is_of_the_format_that_its_guid_says(self, inner: int, known: bool) -> None:
        """Else hours of MP3 in it would pass as a moment of many channels."""
        form = struct.pack("<HHIIHHHHIH", 0xFFFE, 8, 384_000, 0, 32, 32, 22, 32, 3, inner) + bytes(14)
        content = b"RIFF\0\0\0\0WAVEfmt " + struct.pack("<I", len(form)) + form + b"data\0\0\0\0" + bytes(750_000)
        assert (transcription.most_seconds({"file": Upload(content)}) < 5) is known

    def test_mp3(self) -> None:
        body = heard(MP3)
        assert body["file"].seconds == pytest.approx(200 * 1152 / 44100, rel=0.05)
        assert transcription.expected_seconds(body) in (6, 7)
        assert transcription.most_seconds(body) >= 27

    def test_what_is_no_recording_is_bounded_by_its_size(self) -> None:
        body = heard(b"\x00" * 75_000)
        assert body["file"].seconds is None
        assert transcription.expected_seconds(body) == transcription.most_seconds(body) == 101

    @pytest.mark.parametrize("seed", range(40))
    def test_hostile_bytes_never_raise(self, seed: int) -> None:
        source = random.Random(seed)
        good = source.choice([wav(1), MP3, b"fLaC" + bytes(80), b"OggS" + bytes(80), b"\0\0\0\x18ftypM4A " + bytes(90)])
        content = bytearray(good)
        for _ in range(source.randint(1, 20)):
            content[source.randrange(min(len(content), 90))] = source.randrange(256)
        body = heard(bytes(content))
        assert 1 <= transcription.expected_seconds(body) <= transcription.most_seconds(body)

    @pytest.mark.parametrize("content", [b"\xff" * (1 << 20), b"fLaC" + b"\1\0\0\0" * (1 << 18)])
    def test_no_header_is_looked_for_without_end(self, content: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
        read = transcription._Bounded.read
        reads: list[Any] = []
        monkeypatch.setattr(transcription._Bounded, "read", lambda *given: (reads.append(given), read(*given))[1])
        assert transcription.seconds_of(content) is None
        assert 0 < len(reads) <= 4_001

    @pytest.mark.parametrize(
        ("answer", "seconds"),
        [
            ({"usage": {"type": "duration", "seconds": 7.2}}, 8),
            ({"duration": 7.2}, 8),
            ({"duration": "7.2"}, 8),
            ({"duration": "x"}, 10),
            ({"duration": -1}, 10),
            ({"duration": float("nan")}, 10),
            ({"duration": 1e9}, 10),
            ({"usage": {"seconds": True}}, 10),
            ({"text": "x" * 400}, 10),
            ({"text": "x" * 800}, 20),
            ({"text": "1\n00:00:01,000 --> 00:00:17,500\nHi\n\n2\n00:00:18,000 --> 00:00:25,500\nYou"}, 25),
            ({"text": "WEBVTT\n\n00:01.000 --> 00:21.500\nHi"}, 21),
            ({"text": "WEBVTT\n\n00:01.000 --> 99:21.500\nHi"}, 31),
            ({"text": "Hi", "segments": [{"end": 14.2}, {"end": "x"}, 5]}, 15),
            ({"text": "Hi", "segments": [{"end": float("nan")}]}, 10),
            ({}, 10),
        ],
    )
    def test_what_is_billed(self, answer: dict[str, Any], seconds: int) -> None:
        body = {"file": Upload(wav(30), "x", seconds=9.5)}
        assert transcription.heard_seconds(body, answer) == seconds

    def test_a_wav_is_as_long_as_its_sound(self) -> None:
        """Its head is no sound, and chunks before the sound are none either; what a chunk claims beyond the end hides
        nothing."""
        content = wav(2)
        start = content.index(b"data")
        listed = content[:start] + b"LIST" + (16_000).to_bytes(4, "little") + bytes(16_000) + content[start:]
        liar = content[:start] + b"LIST" + (2**31).to_bytes(4, "little") + content[start:]
        for given, seconds in ((content, 2), (listed, 2), (liar, 3)):
            body = transcription.with_length({"file": Upload(given, "x.wav")})
            assert transcription.heard_seconds(body, {}) == seconds


class TestImages:
    def test_kinds(self) -> None:
        assert images.image_kind({"quality": "high", "size": "1x2"}, {}) == "high/1x2"
        assert images.image_kind({"quality": "auto"}, {"quality": "low", "size": "1x2"}) == "low/1x2"
        assert images.image_kind({"quality": "auto", "size": "a/b"}, {"size": 5}) == "/"
        assert images.image_kind({"quality": " HIGH ", "size": "1X2"}, {}) == "high/1x2"

    def test_data_urls_become_files(self) -> None:
        url = "data:image/png;base64,iVBORw0KGgo="
        body = images.with_uploads({"images": [{"image_url": url}], "mask": {"image_url": url}, "prompt": "x"})
        file = Upload(b"\x89PNG\r\n\x1a\n", "image.png", "image/png")
        assert body == {"image": [file], "mask": file, "prompt": "x"}
        images.EDIT_REQUEST("body", body)

    @pytest.mark.parametrize(
        "link", [{"image_url": "https://a.b/c.png"}, {"file_id": "file-1"}, {"image_url": "data:image/png;base64,%"}, 5]
    )
    def test_other_links_are_refused(self, link: Any) -> None:
        with pytest.raises(CallerFault) as caught:
            images.with_uploads({"images": [link], "prompt": "x"})
        assert caught.value.param == "images[0].image_url"

    def test_bounds(self) -> None:
        body = {"prompt": "a", "n": 2, "partial_images": 3}
        assert images.image_output_tokens(body, 1000) == 2 * 1300
        assert images.image_output_tokens({"prompt": "a"}, None) == images.IMAGE_TOKENS
        assert images.image_output_tokens({"prompt": "a", "output_format": "gif", "frame_count": 4}, 10) == 40
        assert (
            images.image_input_tokens({"prompt": "a", "image": [Upload(b"1")], "mask": Upload(b"2")})
            > 2 * images.IMAGE_TOKENS
        )


def test_speech_is_bounded_above_what_is_expected() -> None:
    body = {"input": "Hello world", "instructions": "slowly"}
    assert speech.characters_of(body) == 11
    assert speech.speech_input_tokens(body) >= 17
    assert speech.estimate_speech_output(body) < speech.speech_output_tokens(body)


def test_moderations() -> None:
    assert moderation.moderation_texts({"input": "a"}) == ["a"]
    assert moderation.moderation_texts({"input": ["a", "b"]}) == ["a", "b"]
    parts = [{"type": "text", "text": "a"}, {"type": "image_url", "image_url": {"url": "https://a"}}]
    assert moderation.moderation_texts({"input": parts}) == ["a\n"]
    assert moderation.moderation_input_tokens({"input": parts}) > 8000
    captioned = [{"type": "image_url", "text": "a", "image_url": {"url": "https://a"}}]
    assert moderation.moderation_input_tokens({"input": captioned}) > 8000
