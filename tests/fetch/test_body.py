"""Where a chat body refers to media, and what stands there afterwards."""

from __future__ import annotations

import copy

import pytest

from gateway.fetch.body import find_references, with_media

URL = "https://a.example/1"
DATA = "data:image/png;base64,iVBORw0="


def body_with(*parts, role="user"):
    return {"model": "m", "messages": [{"role": "system", "content": URL}, {"role": role, "content": list(parts)}]}


@pytest.mark.parametrize(
    ("part", "path", "becomes"),
    [
        (
            {"type": "image_url", "image_url": {"url": URL, "detail": "low"}},
            "image_url.url",
            {"type": "image_url", "image_url": {"url": DATA, "detail": "low"}},
        ),
        ({"type": "image_url", "image_url": URL}, "image_url", {"type": "image_url", "image_url": DATA}),
        (
            {"type": "video_url", "video_url": {"url": URL}},
            "video_url.url",
            {"type": "video_url", "video_url": {"url": DATA}},
        ),
        (
            {"type": "input_audio", "input_audio": {"url": URL, "format": "mp3"}},
            "input_audio.url",
            {"type": "input_audio", "input_audio": {"url": DATA, "format": "mp3"}},
        ),
        (
            {"type": "file", "file": {"file_data": URL, "filename": "a.pdf"}},
            "file.file_data",
            {"type": "file", "file": {"file_data": DATA, "filename": "a.pdf"}},
        ),
        (
            {"type": "file", "file": {"file_url": URL, "filename": "a.pdf"}},
            "file.file_url",
            {"type": "file", "file": {"file_data": DATA, "filename": "a.pdf"}},
        ),
        (
            {"type": "document", "source": {"type": "url", "url": URL}, "title": URL},
            "source.url",
            {
                "type": "document",
                "source": {"type": "base64", "media_type": "image/png", "data": "iVBORw0="},
                "title": URL,
            },
        ),
        (
            {"type": "wrapped", "content": [{"type": "image", "imageUri": URL}]},
            "content[0].imageUri",
            {"type": "wrapped", "content": [{"type": "image", "imageUri": DATA}]},
        ),
    ],
)
@pytest.mark.parametrize("role", ["user", "tool"])
def test_every_place(role, part, path, becomes):
    text = {"type": "text", "text": URL}
    body = body_with(text, part, role=role)
    before = copy.deepcopy(body)
    assert find_references(body, {URL}) == {URL: f"messages[1].content[1].{path}"}
    made = with_media(body, {URL: DATA})
    assert made["messages"][1]["content"] == [text, becomes]
    assert made["messages"][0] is body["messages"][0]
    assert body == before, "the caller's body stays as it was"


def test_the_first_place_gives_the_name_and_all_are_replaced():
    part = {"type": "image_url", "image_url": {"url": URL}}
    other = {"type": "image_url", "image_url": {"url": "https://a.example/2"}}
    body = body_with(other, part, part)
    assert find_references(body, {URL}) == {URL: "messages[1].content[1].image_url.url"}
    assert [p["image_url"]["url"] for p in with_media(body, {URL: DATA})["messages"][1]["content"]] == [
        "https://a.example/2",
        DATA,
        DATA,
    ]


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"messages": None},
        {
            "messages": [
                None,
                1,
                "x",
                {"content": None},
                {"content": "x"},
                {"content": [None, 1, "https://a.example/1"]},
            ]
        },
        {"input": [{"image_url": URL}]},
    ],
)
def test_odd_bodies(body):
    assert find_references(body, {URL}) == {}
    assert with_media(body, {URL: DATA}) == body
