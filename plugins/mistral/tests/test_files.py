"""Files at Mistral, in OpenAI's shape (Mistral's API reference, files)."""

from __future__ import annotations

import orjson
from tollgate_mistral import Settings, create

from gateway.api import CallerFault, UpstreamReply

KEY = "test-key-0123456789"
PROVIDER = create("test", Settings.model_validate({"api_key": KEY}))


def test_requests() -> None:
    sent = PROVIDER.files_request("POST", "", "multipart/form-data; boundary=b", b"form")
    assert (sent.method, sent.url, sent.body) == ("POST", "https://api.mistral.ai/v1/files", b"form")
    assert sent.headers == {
        "accept": "*/*",
        "authorization": f"Bearer {KEY}",
        "content-type": "multipart/form-data; boundary=b",
    }
    read = PROVIDER.files_request("GET", "/x/content")
    assert (read.method, read.url, read.body) == ("GET", "https://api.mistral.ai/v1/files/x/content", b"")
    assert "content-type" not in read.headers


def test_errors_are_told_without_the_key() -> None:
    body = orjson.dumps({"message": {"detail": [{"loc": ["body", "purpose"], "msg": f"wrong: {KEY}"}]}})
    fault = PROVIDER.read_files_fault(UpstreamReply(422, {}, body))
    assert isinstance(fault, CallerFault)
    assert KEY not in f"{fault.message}{fault.detail}"
