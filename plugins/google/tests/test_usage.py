"""Token counts, citations, and the bound of the input."""

from __future__ import annotations

import base64
import zlib
from typing import Any

import pytest
from tollgate_google import Settings, create
from tollgate_google.grounding import annotations_of, searches_of
from tollgate_google.usage import main_counts, service_tier, translate_usage

from gateway.testing import make_target


@pytest.mark.parametrize(
    ("raw", "counts"),
    [
        ({"promptTokenCount": 5, "candidatesTokenCount": 7, "totalTokenCount": 12}, (5, 7, 0)),
        (
            {"promptTokenCount": 5, "candidatesTokenCount": 7, "thoughtsTokenCount": 3, "totalTokenCount": 15},
            (5, 10, 3),
        ),
        # Thoughts among the candidates already, and thoughts that only the total shows.
        (
            {"promptTokenCount": 5, "candidatesTokenCount": 7, "thoughtsTokenCount": 3, "totalTokenCount": 12},
            (5, 7, 3),
        ),
        ({"promptTokenCount": 5, "candidatesTokenCount": 7, "totalTokenCount": 20}, (5, 15, 0)),
        ({"promptTokenCount": 5, "totalTokenCount": 5}, (5, 0, 0)),
        ({"promptTokenCount": 5}, (5, 0, 0)),
        ({"totalTokenCount": 9, "candidatesTokenCount": 4}, (5, 4, 0)),
        (
            {
                "promptTokenCount": 5,
                "toolUsePromptTokenCount": 100,
                "candidatesTokenCount": 7,
                "thoughtsTokenCount": 1,
                "totalTokenCount": 113,
            },
            (105, 8, 1),
        ),
        (
            {"promptTokenCount": 5, "candidatesTokenCount": 7, "thoughtsTokenCount": 1, "totalTokenCount": 113},
            (105, 8, 1),
        ),
        ({"trafficType": "ON_DEMAND"}, None),
        ({"promptTokenCount": -1, "totalTokenCount": "9"}, None),
        ({"promptTokenCount": 1e300}, None),
    ],
)
def test_main_counts(raw: dict[str, Any], counts: Any) -> None:
    assert main_counts(raw) == counts


def test_media_and_what_google_adds() -> None:
    usage = translate_usage(
        {
            "promptTokenCount": 100,
            "candidatesTokenCount": 50,
            "totalTokenCount": 160,
            "toolUsePromptTokenCount": 10,
            "cachedContentTokenCount": 500,
            "promptTokensDetails": [
                {"modality": "AUDIO", "tokenCount": 30},
                {"modality": "IMAGE", "tokenCount": 40},
                {"modality": "TEXT", "tokenCount": 30},
                {"modality": 7, "tokenCount": 30},
                None,
            ],
            "toolUsePromptTokensDetails": [{"modality": "TEXT", "tokenCount": 10}],
            "candidatesTokensDetails": [{"modality": "IMAGE", "tokenCount": 45}],
            "serviceTier": "flex",
            "novelCount": 3,
        }
    )
    assert usage == {
        "prompt_tokens": 110,
        "completion_tokens": 50,
        "total_tokens": 160,
        "prompt_tokens_details": {
            "cached_tokens": 110,
            "audio_tokens": 30,
            "image_tokens": 40,
            "text_tokens": 40,
            "tool_use_tokens": 10,
        },
        "completion_tokens_details": {"reasoning_tokens": 0, "image_tokens": 45},
        "novelCount": 3,
    }
    assert service_tier({"serviceTier": "FLEX"}) == "flex"
    assert service_tier({"serviceTier": ["x"]}) is None


def support(text: str, *chunks: int, start: int | None = None, end: int | None = None) -> dict[str, Any]:
    segment = {"text": text, "startIndex": start, "endIndex": end}
    return {"segment": {k: v for k, v in segment.items() if v is not None}, "groundingChunkIndices": list(chunks)}


def spans(metadata: Any, content: str) -> list[tuple[str, str]]:
    found = [note["url_citation"] for note in annotations_of(metadata, content)]
    return [(note["url"], content[note["start_index"] : note["end_index"]]) for note in found]


CHUNKS = [{"web": {"uri": "u0", "title": "t"}}, {"retrievedContext": {"uri": "u1"}}, {"web": {}}, None]


def test_spans_are_characters_though_google_counts_bytes() -> None:
    content = "Z\u00fcrich ist sch\u00f6n. Z\u00fcrich ist sch\u00f6n."
    half = len("Z\u00fcrich ist sch\u00f6n.".encode())
    supports = [
        support("Z\u00fcrich ist sch\u00f6n.", 0, end=half),
        support("Z\u00fcrich ist sch\u00f6n.", 1, 2, 3, 9, start=half + 1, end=2 * half + 1),
    ]
    notes = annotations_of({"groundingChunks": CHUNKS, "groundingSupports": supports}, content)
    assert [note["index"] for note in notes] == [0, 1]
    assert [note["url_citation"]["start_index"] for note in notes] == [0, 18]
    assert spans({"groundingChunks": CHUNKS, "groundingSupports": supports}, content) == [
        ("u0", "Z\u00fcrich ist sch\u00f6n."),
        ("u1", "Z\u00fcrich ist sch\u00f6n."),
    ]


def test_offsets_within_another_part_are_found_by_their_text() -> None:
    supports = [support("world", 0, start=0, end=5), support("nowhere", 0, start=0, end=2)]
    metadata = {"groundingChunks": CHUNKS, "groundingSupports": supports}
    assert spans(metadata, "hello world") == [("u0", "world"), ("u0", "hello world")]


def test_sources_without_segments_support_the_whole() -> None:
    assert spans({"groundingChunks": CHUNKS}, "abc") == [("u0", "abc"), ("u1", "abc")]
    for hostile in (None, [], {"groundingChunks": 7}, {"groundingSupports": [1, {}], "groundingChunks": [1]}):
        assert annotations_of(hostile, "abc") == []


def test_searches() -> None:
    metadata = {"webSearchQueries": ["a", "", "b", 7]}
    assert (searches_of(metadata, True), searches_of(metadata, False)) == (2, 1)
    assert searches_of({}, False) == 0


PAGE = b"<</Type/Page/Parent 2 0 R>>"


def pdf(data: bytes) -> str:
    return "data:application/pdf;base64," + base64.b64encode(data).decode()


def bound(*parts: Any, model: str | None = None, context: int | None = None, **more: Any) -> int:
    provider = create("x", Settings(api_key="k"))
    body = {"messages": [{"role": "user", "content": list(parts)}], **more}
    target = make_target(model or "new-model", context=context)
    return provider.bound_input_tokens(body, target)


def image(url: str = "data:image/png;base64,QQ==") -> dict[str, Any]:
    return {"type": "image_url", "image_url": {"url": url}}


def test_media_are_bounded_by_the_models_own_figures() -> None:
    base = bound(model="gemini-2.5-flash")
    assert 258 <= bound(image(), model="gemini-2.5-flash") - base <= 6_500
    assert 1_120 <= bound(image(), model="gemini-3-pro-preview") - base <= 2_300
    assert bound(image()) >= bound(image(), model="gemini-2.5-flash")
    three = {"type": "file", "file": {"file_data": pdf(PAGE * 3)}}
    assert 3 * 258 <= bound(three, model="gemini-2.5-flash") - base <= 3 * 258 + 64
    packed = b"1 0 obj<</Type/ObjStm/Length 9>>stream\n" + zlib.compress(PAGE * 5) + b"\nendstream"
    hidden = {"type": "file", "file": {"file_data": base64.b64encode(packed).decode()}}
    assert 5 * 258 <= bound(hidden, model="gemini-2.5-flash") - base <= 5 * 258 + 64
    for unknown in (b"/Encrypt" + PAGE, b"rubbish", b"/ObjStm stream\nrubbish endstream"):
        part = {"type": "file", "file": {"file_data": pdf(unknown)}}
        assert bound(part, model="gemini-2.5-flash") - base >= 1000 * 258
    minute = base64.b64encode(b"x" * 60_000).decode()  # at 8 kbit/s, the thinnest
    audio = {"type": "input_audio", "input_audio": {"data": minute, "format": "mp3"}}
    assert bound(audio, model="gemini-2.5-flash") - base >= 60 * 32
    video = {"type": "video_url", "video_url": {"url": "data:video/mp4;base64," + "A" * 100_000}}
    assert 1_000 <= bound(video, model="gemini-2.5-flash") - base < 10_000


def test_what_is_not_in_the_body_is_bounded_by_the_context() -> None:
    video = {"type": "video_url", "video_url": {"url": "https://youtu.be/x"}}
    assert bound(video, model="gemini-2.5-flash", context=1_048_576) == 1_048_576
    assert bound(cachedContent="cachedContents/x", model="gemini-2.5-flash", context=1_048_576) == 1_048_576
    text = {"type": "text", "text": "x" * 5_000}
    assert bound(text, model="gemini-2.5-flash", context=1_000) == 1_000
    assert bound(text, model="gemini-2.5-flash") >= 5_000


def test_hostile_bodies_are_bounded_all_the_same() -> None:
    provider = create("x", Settings(api_key="k"))
    for body in ({}, {"messages": 7}, {"messages": [None, 7, {"content": [None, {"type": "file"}], "images": 3}]}):
        assert provider.bound_input_tokens(body, make_target()) >= 0
