"""Files at a provider: whose they are, and who may name them."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import aiohttp
import openai
import orjson
import pytest

from gateway.provider_files import Cleared
from gateway.stores import KeptObject, KeySettings
from gateway.testing import (
    Cut,
    FakeUpstream,
    Hold,
    Received,
    Reply,
    RunningGateway,
    json_reply,
    running_gateway,
    upstream_config,
)

CHAT = {"id": "c", "object": "chat.completion", "created": 1, "model": "m", "choices": [
    {"index": 0, "message": {"role": "assistant", "content": "ok"}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}}  # fmt: skip
RESPONSE = {"id": "resp_1", "object": "response", "created_at": 1, "status": "completed", "model": "m", "output": [
    {"type": "message", "id": "msg_1", "role": "assistant", "status": "completed",
     "content": [{"type": "output_text", "text": "ok", "annotations": []}]}],
    "usage": {"input_tokens": 1, "output_tokens": 1, "total_tokens": 2}}  # fmt: skip


class Files:
    """A provider's side: remembers what was uploaded, as OpenAI does."""

    def __init__(self, upstream: FakeUpstream) -> None:
        self.kept: dict[str, bytes] = {}
        self.asked: list[str] = []
        upstream.answer(self.answer)

    def answer(self, received: Received) -> Reply:
        self.asked.append(f"{received.method} {received.path}")
        if received.path.endswith("/chat/completions"):
            return json_reply(CHAT)
        if received.path.endswith("/responses"):
            return json_reply(RESPONSE)
        place = received.path.removeprefix("/files").strip("/").split("/")
        if received.method == "POST":
            made = f"file-{len(self.kept) + 1}"
            self.kept[made] = received.body
            return json_reply({"id": made, "object": "file", "bytes": 1, "created_at": 2, "expires_at": 9_999_999_999})
        if place[0] not in self.kept:
            return json_reply({"error": {"message": f"No such File object: {place[0]}"}}, 404)
        if received.method == "DELETE":
            del self.kept[place[0]]
            return json_reply({"id": place[0], "object": "file", "deleted": True})
        return Reply([b"what was sent"], media_type="application/octet-stream")


def config(url: str, **more: Any) -> dict[str, Any]:
    made = upstream_config(url)
    made["providers"]["fake"]["responses"] = "native"
    return {**made, "files": {"providers": ["fake"]}, **more}


async def other_key(gateway: RunningGateway) -> str:
    stores = gateway.gateway.stores
    account = await stores.accounts.create_account("eve", grant=10**6)
    return (await stores.keys.create_key(account.id, KeySettings()))[1]


def client_of(gateway: RunningGateway, key: str | None = None) -> openai.AsyncOpenAI:
    return openai.AsyncOpenAI(base_url=gateway.url + "/v1", api_key=key or gateway.key, max_retries=0)


async def test_the_sdk_keeps_files(tmp_path: Path, fake_upstream: FakeUpstream) -> None:
    files = Files(fake_upstream)
    async with running_gateway(tmp_path, config(fake_upstream.url)) as gateway:
        async with client_of(gateway) as client:
            made = await client.files.create(file=("ä.txt", b"hello"), purpose="user_data")
            assert (made.id, made.bytes, made.filename, made.purpose) == ("file-1", 5, "ä.txt", "user_data")
            assert b"hello" in files.kept["file-1"]
            assert "ä.txt".encode() in files.kept["file-1"]
            second = await client.files.create(
                file=b"x", purpose="vision", expires_after={"anchor": "created_at", "seconds": 3600}
            )
            assert second.expires_at == 9_999_999_999
            assert b"3600" in files.kept["file-2"]
            assert [one.id async for one in client.files.list()] == ["file-2", "file-1"]
            assert [one.id async for one in client.files.list(limit=1)] == ["file-2", "file-1"], "page by page"
            assert [one.id async for one in client.files.list(purpose="vision")] == ["file-2"]
            assert (await client.files.retrieve("file-1")).filename == "ä.txt"
            content = await client.files.content("file-1")
            assert content.content == b"what was sent"
            assert content.response.headers["content-disposition"] == "attachment"
            assert (await client.files.delete("file-1")).deleted
            with pytest.raises(openai.NotFoundError):
                await client.files.retrieve("file-1")
            assert "file-1" not in files.kept
            [sent] = [one for one in fake_upstream.requests if one.path.endswith("/content")]
            assert sent.headers["authorization"].startswith("Bearer "), "the operator's"
            assert gateway.key not in sent.headers["authorization"]
        stored = await gateway.gateway.stores.stored(gateway.account.id)
        assert stored is not None
        assert (stored.bytes, stored.objects) == (1, 1)


async def test_files_are_their_owners_alone(tmp_path: Path, fake_upstream: FakeUpstream) -> None:
    files = Files(fake_upstream)
    async with running_gateway(tmp_path, config(fake_upstream.url)) as gateway:
        async with client_of(gateway) as client, client_of(gateway, await other_key(gateway)) as eve:
            made = await client.files.create(file=b"mine", purpose="user_data")
            asked = list(files.asked)
            assert [one.id async for one in eve.files.list()] == []
            for way in (eve.files.retrieve, eve.files.delete, eve.files.content):
                with pytest.raises(openai.NotFoundError):
                    await way(made.id)
            with pytest.raises(openai.BadRequestError):
                await eve.get("/files?after=" + made.id, cast_to=dict[str, Any])
            assert files.asked == asked, "the provider is not even asked"


async def test_an_id_that_is_taken_stays_its_owners(tmp_path: Path, fake_upstream: FakeUpstream) -> None:
    """A provider may call the same bytes the same; the second upload must not delete the first one's file."""
    files = Files(fake_upstream)
    async with running_gateway(tmp_path, config(fake_upstream.url)) as gateway:
        async with client_of(gateway) as client, client_of(gateway, await other_key(gateway)) as eve:
            made = await client.files.create(file=b"mine", purpose="user_data")
            again = json_reply({"id": made.id, "object": "file", "bytes": 4, "created_at": 2})
            fake_upstream.answer(lambda received: again if received.method == "POST" else files.answer(received))
            with pytest.raises(openai.ConflictError):
                await eve.files.create(file=b"mine", purpose="user_data")
            assert (await client.files.content(made.id)).content == b"what was sent"


async def test_a_file_is_read_back_piece_by_piece(tmp_path: Path, fake_upstream: FakeUpstream) -> None:
    """Whoever does not read it keeps nothing of it here: its provider waits. What breaks off is no whole file."""
    sent = asyncio.Event()
    piece = b"x" * (1 << 20)
    broken = Reply([piece, Cut()], framing="length", length=2 << 20, media_type="application/octet-stream")
    large = Reply([piece] * 40 + [Hold(sent), b"end"], media_type="application/octet-stream")
    async with running_gateway(tmp_path, config(fake_upstream.url)) as gateway:
        for name in ("file-1", "file-2"):
            kept = KeptObject(name, gateway.account.id, "fake", "file", 1 << 40, 1)
            await gateway.gateway.stores.objects.add_object(kept)
        fake_upstream.answer(lambda received: broken if "file-2" in received.path else large)
        headers = {"Authorization": f"Bearer {gateway.key}"}
        async with gateway.session.get(gateway.url + "/v1/files/file-1/content", headers=headers) as response:
            assert response.status == 200
            assert response.content_length is None
            sent.set()
            assert len(await response.read()) == 40 * len(piece) + 3
        async with gateway.session.get(gateway.url + "/v1/files/file-2/content", headers=headers) as response:
            assert response.content_length == 2 << 20
            with pytest.raises(aiohttp.ClientPayloadError):
                await response.read()


def naming(file_id: str) -> dict[str, tuple[str, dict[str, Any]]]:
    part: Mapping[str, Any] = {"type": "file", "file": {"file_id": file_id}}
    item = {"role": "user", "content": [{"type": "input_file", "file_id": file_id}]}
    picture = {"role": "user", "content": [{"type": "input_image", "file_id": file_id, "detail": "low"}]}
    return {
        "chat": ("/v1/chat/completions", {"messages": [{"role": "user", "content": [part]}]}),
        "file": ("/v1/responses", {"input": [item]}),
        "image": ("/v1/responses", {"input": [picture]}),
    }


@pytest.mark.parametrize("way", ["chat", "file", "image"])
async def test_requests_may_name_own_files(tmp_path: Path, fake_upstream: FakeUpstream, way: str) -> None:
    Files(fake_upstream)
    async with running_gateway(tmp_path, config(fake_upstream.url)) as gateway:
        eve = await other_key(gateway)
        async with client_of(gateway) as client:
            made = await client.files.create(file=b"mine", purpose="user_data")
        path, body = naming(made.id)[way]
        status, _, raw = await gateway.post(path, {"model": "fake/model", **body})
        assert status == 200, raw
        assert made.id in fake_upstream.requests[-1].body.decode()
        sent = len(fake_upstream.requests)
        status, _, raw = await gateway.post(path, {"model": "fake/model", **body}, key=eve)
        assert (status, orjson.loads(raw)["error"]["code"]) == (400, "unsupported_parameter")
        path, body = naming("file-of-somebody")[way]
        status, _, _ = await gateway.post(path, {"model": "fake/model", **body})
        assert (status, len(fake_upstream.requests)) == (400, sent)


async def test_what_is_kept_has_a_quota(tmp_path: Path, fake_upstream: FakeUpstream) -> None:
    files = Files(fake_upstream)
    storage = {"objects_per_account": 1}
    async with running_gateway(tmp_path, config(fake_upstream.url, storage=storage)) as gateway:
        async with client_of(gateway) as client:
            await client.files.create(file=b"x", purpose="user_data")
            with pytest.raises(openai.PermissionDeniedError, match="used up its storage"):
                await client.files.create(file=b"x", purpose="user_data")
        assert len(files.kept) == 1


@pytest.mark.parametrize("told", [b"", b"[]", b'{"id": 5}', b'{"id": "../x"}', b'{"object": "file"}'])
async def test_an_upload_without_an_id_is_the_providers_fault(
    tmp_path: Path, fake_upstream: FakeUpstream, told: bytes
) -> None:
    fake_upstream.reply(json_reply(told))
    async with running_gateway(tmp_path, config(fake_upstream.url)) as gateway:
        async with client_of(gateway) as client:
            with pytest.raises(openai.InternalServerError) as caught:
                await client.files.create(file=b"x", purpose="user_data")
        assert (caught.value.status_code, caught.value.code) == (502, "upstream_invalid_response")
        assert await gateway.gateway.stores.objects.list_objects(gateway.account.id) == []


async def test_a_refusal_of_the_provider_is_told_without_secrets(tmp_path: Path, fake_upstream: FakeUpstream) -> None:
    key = upstream_config(fake_upstream.url)["providers"]["fake"]["api_key"]
    fake_upstream.reply(json_reply({"error": {"message": f"Invalid purpose for {key}", "param": "purpose"}}, 400))
    async with running_gateway(tmp_path, config(fake_upstream.url)) as gateway:
        async with client_of(gateway) as client:
            with pytest.raises(openai.BadRequestError, match="Invalid purpose") as caught:
                await client.files.create(file=b"x", purpose="user_data")
        assert key not in str(caught.value)


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({}, "file"),
        ({"file": b"x"}, "purpose"),
        ({"file": b"x", "purpose": "a", "more": "1"}, "more"),
        ({"file": b"x", "purpose": "a", "provider": "openai"}, "provider"),
        ({"file": b"x", "purpose": "a", "expires_after[seconds]": "3600"}, "expires_after"),
        ({"file": b"x", "purpose": "a", "expires_after[seconds]": "soon"}, "expires_after[seconds]"),
        ({"file": b"", "purpose": "a"}, "file"),
    ],
)
async def test_wrong_forms_name_the_field(
    tmp_path: Path, fake_upstream: FakeUpstream, fields: dict[str, Any], param: str
) -> None:
    parts = [
        b'--b\r\nContent-Disposition: form-data; name="%s"%s\r\n\r\n%s\r\n'
        % (name.encode(), b'; filename="f"' if isinstance(value, bytes) else b"",
           value if isinstance(value, bytes) else value.encode())
        for name, value in fields.items()
    ]  # fmt: skip
    if not parts:
        parts = [b'--b\r\nContent-Disposition: form-data; name="purpose"\r\n\r\na\r\n']
    async with running_gateway(tmp_path, config(fake_upstream.url)) as gateway:
        form = {"Content-Type": "multipart/form-data; boundary=b"}
        status, _, raw = await gateway.post("/v1/files", b"".join(parts) + b"--b--\r\n", headers=form)
        assert (status, orjson.loads(raw)["error"]["param"]) == (400, param), raw
        assert fake_upstream.requests == []


async def test_without_a_provider_for_them_no_files_are_taken(tmp_path: Path, fake_upstream: FakeUpstream) -> None:
    async with running_gateway(tmp_path, upstream_config(fake_upstream.url)) as gateway:
        async with client_of(gateway) as client:
            with pytest.raises(openai.NotFoundError, match=r"files\.providers"):
                await client.files.create(file=b"x", purpose="user_data")
            assert [one async for one in client.files.list()] == []


async def test_an_erased_account_leaves_no_files(tmp_path: Path, fake_upstream: FakeUpstream) -> None:
    files = Files(fake_upstream)
    async with running_gateway(tmp_path, config(fake_upstream.url)) as gateway:
        async with client_of(gateway) as client:
            for _ in range(3):
                await client.files.create(file=b"x", purpose="user_data")
        assert len(files.kept) == 3
        assert await gateway.gateway.runtime.files.delete_all(gateway.account.id) == Cleared(3)
        assert files.kept == {}
        assert await gateway.gateway.stores.objects.list_objects(gateway.account.id) == []
