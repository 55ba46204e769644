"""Content parts to content blocks."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from tollgate_anthropic import Settings, create

from gateway.api import CallerFault
from gateway.testing import make_call, make_target

PNG = "iVBORw0KGgoAAAANSUhEUg=="


def part_of(built: Any, part: dict[str, Any]) -> dict[str, Any]:
    out, _ = built({"messages": [{"role": "user", "content": [part]}]})
    block: dict[str, Any] = out["messages"][0]["content"][0]
    return block


def test_an_image_by_data_url(built: Any) -> None:
    mark = {"type": "ephemeral"}
    block = part_of(
        built, {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}"}, "cache_control": mark}
    )
    assert block == {
        "type": "image",
        "source": {"type": "base64", "media_type": "image/png", "data": PNG},
        "cache_control": mark,
    }


@pytest.mark.parametrize("claimed", ["image/jpeg", "image/jpg", "image/heic"])
def test_the_bytes_of_an_image_decide_its_type(built: Any, claimed: str) -> None:
    block = part_of(built, {"type": "image_url", "image_url": {"url": f"data:{claimed};base64,{PNG}"}})
    assert block["source"]["media_type"] == "image/png"


@pytest.mark.parametrize(
    ("data", "media"), [(PNG, "image/png"), ("/9j/AA==", "image/jpeg"), ("JVBERi0=", "application/pdf")]
)
def test_the_bytes_decide_where_nothing_better_is_known(built: Any, data: str, media: str) -> None:
    url = f"data:application/octet-stream;base64,{data}"
    assert part_of(built, {"type": "image_url", "image_url": {"url": url}})["source"]["media_type"] == media
    with pytest.raises(CallerFault, match="octet-stream"):
        part_of(built, {"type": "image_url", "image_url": {"url": "data:application/octet-stream;base64,UklGRgAA"}})


def test_an_image_by_address_and_its_detail(built: Any) -> None:
    part = {"type": "image_url", "image_url": {"url": "https://example.com/cat.webp", "detail": "low"}}
    out, call = built({"messages": [{"role": "user", "content": [part, part]}]})
    assert out["messages"][0]["content"][0] == {
        "type": "image",
        "source": {"type": "url", "url": "https://example.com/cat.webp"},
    }
    assert call.dropped == ["messages[].content[].image_url.detail"]


@pytest.mark.parametrize(
    ("file", "block"),
    [
        (
            {"filename": "a.pdf", "file_data": "data:application/pdf;base64,JVBERi0="},
            {
                "type": "document",
                "title": "a.pdf",
                "source": {"type": "base64", "media_type": "application/pdf", "data": "JVBERi0="},
            },
        ),
        (
            {"file_data": "JVBERi0="},
            {"type": "document", "source": {"type": "base64", "media_type": "application/pdf", "data": "JVBERi0="}},
        ),
        (
            {"filename": "n.txt", "file_data": base64.b64encode("Grüße".encode()).decode()},
            {
                "type": "document",
                "title": "n.txt",
                "source": {"type": "text", "media_type": "text/plain", "data": "Grüße"},
            },
        ),
        (
            {"file_data": "data:text/csv,a%2Cb"},
            {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "a,b"}},
        ),
        (
            {"filename": "x.png", "file_data": f"data:image/png;base64,{PNG}"},
            {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PNG}},
        ),
        (
            {"file_url": "https://example.com/a.pdf"},
            {"type": "document", "source": {"type": "url", "url": "https://example.com/a.pdf"}},
        ),
        (
            {"file_data": "https://example.com/a.pdf"},
            {"type": "document", "source": {"type": "url", "url": "https://example.com/a.pdf"}},
        ),
    ],
)
def test_files(built: Any, file: dict[str, Any], block: dict[str, Any]) -> None:
    assert part_of(built, {"type": "file", "file": file}) == block


def test_members_of_anthropics_own_travel_on(built: Any) -> None:
    block = part_of(built, {"type": "file", "file": {"file_data": "JVBERi0="}, "citations": {"enabled": True}})
    assert block["citations"] == {"enabled": True}
    own = {"type": "search_result", "source": "https://example.com", "title": "t", "content": []}
    assert part_of(built, own) == own


@pytest.mark.parametrize(
    ("part", "path"),
    [
        ({"type": "input_audio", "input_audio": {"data": "x", "format": "wav"}}, ""),
        ({"type": "video_url", "video_url": {"url": "https://example.com/a.mp4"}}, ""),
        ({"type": "image_url", "image_url": {"url": "data:image/svg+xml;base64,PHN2Zz4="}}, ".image_url.url"),
        ({"type": "image_url", "image_url": {"url": "ftp://example.com/a.png"}}, ".image_url.url"),
        ({"type": "image_url", "image_url": {"url": "data:image/png;base64"}}, ".image_url.url"),
        ({"type": "image_url", "image_url": {"url": "data:image/png;base64,"}}, ".image_url.url"),
        ({"type": "image_url", "image_url": {}}, ".image_url.url"),
        ({"type": "image_url"}, ".image_url"),
        ({"type": "file", "file": {"file_data": "data:application/zip;base64,UEs="}}, ".file.file_data"),
        ({"type": "file", "file": {"file_id": "file-abc"}}, ".file.file_id"),
        ({"type": "file", "file": {}}, ".file.file_data"),
        ({"type": "file", "file": {"filename": "a.txt", "file_data": "%%%"}}, ".file.file_data"),
        ({"type": "text"}, ".text"),
        ({}, ".type"),
        (7, ""),
    ],
)
def test_what_cannot_be_carried_is_refused_with_its_place(built: Any, part: Any, path: str) -> None:
    with pytest.raises(CallerFault) as caught:
        built({"messages": [{"role": "user", "content": [{"type": "text", "text": "See:"}, part]}]})
    assert caught.value.param == "messages[0].content[1]" + path
    assert caught.value.message.startswith(f"messages[0].content[1]{path}: ")


def test_a_file_kept_at_anthropics_is_nobodys() -> None:
    part = {"type": "file", "file": {"file_id": "file_011C"}}
    call = make_call({"messages": [{"role": "user", "content": [part]}]})
    with pytest.raises(CallerFault, match="kept at the provider for all callers"):
        create("x", Settings()).prepare(call, make_target("claude-sonnet-4-5"))
