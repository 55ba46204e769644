"""The bound of the input: above every recorded count, and not taken in by what hides its size."""

from __future__ import annotations

import base64
import zlib
from pathlib import Path
from typing import Any

import orjson
import pytest
from tollgate_anthropic.estimate import CONTEXT, IMAGE_TOKENS, MOST_PAGES, PAGE_TOKENS, SEARCH_TOKENS, bound_input

from gateway.testing import Transcript, load_transcripts

RECORDED = [
    transcript
    for transcript in load_transcripts(Path(__file__).parent.parent / "transcripts")
    if transcript.request
    and transcript.status == 200
    and not transcript.streamed
    # What a server-side tool reads is not in the body.
    and not {"mcp_servers", "container"} & set(transcript.request)
]


def bound(*parts: Any, **more: Any) -> int:
    return bound_input({"messages": [{"role": "user", "content": list(parts)}], **more})


def pdf(data: bytes) -> dict[str, Any]:
    url = "data:application/pdf;base64," + base64.b64encode(data).decode()
    return {"type": "file", "file": {"file_data": url}}


@pytest.mark.parametrize("transcript", RECORDED, ids=lambda transcript: transcript.id)
def test_no_recorded_count_is_above_it(transcript: Transcript) -> None:
    """The recorded bodies are Anthropic's own; their parts are of the forms that pass through unchanged."""
    usage = orjson.loads(transcript.body)["usage"]
    counted = sum(
        usage.get(key) or 0 for key in ("input_tokens", "cache_read_input_tokens", "cache_creation_input_tokens")
    )
    assert bound_input(transcript.request or {}) >= counted


def test_text_counts_by_its_bytes() -> None:
    assert bound({"type": "text", "text": "é" * 1000}) - bound({"type": "text", "text": ""}) == 2000
    assert bound_input({"messages": [{"role": "user", "content": "é" * 1000}]}) >= 2000


def test_an_image_counts_by_its_kind_not_its_bytes() -> None:
    none = bound()
    for image in (
        {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "A" * 10**6}},
        {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}},
        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "A" * 10**6}},
        {"type": "file", "file": {"file_data": "data:image/png;base64," + "A" * 10**6}},
    ):
        assert none + IMAGE_TOKENS <= bound(image) < none + IMAGE_TOKENS + 200


def test_the_pages_of_a_pdf() -> None:
    none = bound()
    two = b"%PDF-1.4\n1 0 obj<</Type /Page>>endobj 2 0 obj<</Type/Page /X 1>>endobj 3 0 obj<</Type/Pages/Count 2>>"
    assert 2 * PAGE_TOKENS <= bound(pdf(two)) - none < 2 * PAGE_TOKENS + 200
    spelled = two.replace(b"/Type/Page ", b"/Type/P#61ge ").replace(b"/Count 2", b"/Count 0")
    assert bound(pdf(spelled)) - none >= 2 * PAGE_TOKENS


def test_the_pages_of_a_pdf_with_compressed_objects() -> None:
    inner = zlib.compress(b"<</Type /Page>> " * 3)
    head = b"%PDF-1.5\n9 0 obj<</Type /ObjStm /Filter /FlateDecode>>\nstream\n"
    assert 3 * PAGE_TOKENS <= bound(pdf(head + inner + b"\nendstream")) - bound() < 3 * PAGE_TOKENS + 200
    for hidden in (head + b"rubbish\nendstream", head + inner[:-6] + b"\nendstream", b"%PDF /Encrypt /Type /Page", b""):
        assert bound(pdf(hidden)) - bound() >= min(MOST_PAGES * PAGE_TOKENS, CONTEXT)


def test_a_pdf_that_inflates_without_end_is_not_followed() -> None:
    bomb = zlib.compress(b"\0" * 50_000_000)
    data = b"%PDF-1.5\n9 0 obj<</Type /ObjStm>>\nstream\n" + bomb + b"\nendstream"
    assert bound(pdf(data)) - bound() >= CONTEXT


@pytest.mark.parametrize(
    "part",
    [
        {"type": "file", "file": {"file_id": "file_1"}},
        {"type": "file", "file": {"file_url": "https://example.com/a.pdf"}},
        {"type": "document", "source": {"type": "url", "url": "https://example.com/a.pdf"}},
    ],
)
def test_a_document_known_by_its_address_alone(part: dict[str, Any]) -> None:
    assert bound(part) >= CONTEXT


def test_searches_add_their_results_to_every_later_step() -> None:
    none = bound()
    assert bound(web_search_options={"search_context_size": "low"}) == 4 * none + 6 * SEARCH_TOKENS
    native = {"type": "web_search_20250305", "name": "web_search", "max_uses": 1}
    assert bound(tools=[native]) > 2 * none + SEARCH_TOKENS


@pytest.mark.parametrize(
    "body", [{}, {"messages": None}, {"messages": [None, 7, {"content": [None, {}]}]}, {"tools": 7}]
)
def test_rubbish_is_counted_too(body: dict[str, Any]) -> None:
    assert bound_input(body) > 0
