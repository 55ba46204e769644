"""Batches: whose they are, what is refused of them, and that each is paid for once, whatever happens meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import openai
import orjson
import pytest

from gateway import batches
from gateway.erasing import erase_account
from gateway.stores import KeptObject, KeySettings
from gateway.testing import FakeUpstream, Received, Reply, RunningGateway, json_reply, running_gateway, upstream_config

CHAT = "/v1/chat/completions"
PRICE = {"input": 1, "cached_input": 0.5, "output": 2, "batch": 0.5}


def line(custom_id: str = "one", url: str = CHAT, **body: Any) -> dict[str, Any]:
    body = {"messages": [{"role": "user", "content": "Hello!"}], "max_tokens": 100, **body}
    return {"custom_id": custom_id, "method": "POST", "url": url, "body": body}


def lines(*given: Mapping[str, Any]) -> bytes:
    return b"".join(orjson.dumps(one) + b"\n" for one in given)


def answer(custom_id: str, usage: Any = None, status: int = 200) -> dict[str, Any]:
    message = {"role": "assistant", "content": "Hi."}
    body = {"id": "c", "object": "chat.completion", "created": 1, "model": "upstream-model",
            "choices": [{"index": 0, "message": message, "finish_reason": "stop"}]}  # fmt: skip
    if usage is not None:
        body["usage"] = usage
    return {"id": "r", "custom_id": custom_id, "response": {"status_code": status, "request_id": "q", "body": body},
            "error": None}  # fmt: skip


USAGE = {"prompt_tokens": 10, "completion_tokens": 20, "total_tokens": 30}
"""Half of 10 + 2 * 20 credits."""
COST = 25


class Provider:
    """OpenAI's side: files, and batches whose state a test sets. broken: the status of the next answers to
    POST /batches; makes: whether a batch is made all the same. reading: the status of the answers to whoever reads a
    file."""

    def __init__(self, upstream: FakeUpstream) -> None:
        self.files: dict[str, bytes] = {}
        self.batches: dict[str, dict[str, Any]] = {}
        self.broken, self.makes = 0, True
        self.reading = 200
        upstream.answer(self.answer)

    def answer(self, received: Received) -> Reply:
        path, _, _ = received.path.partition("?")
        kind, *place = path.strip("/").split("/")
        if kind == "files":
            return self._file(received, place)
        if received.method == "POST" and not place:
            return self._make(received.json)
        if not place:
            return json_reply({"object": "list", "data": list(self.batches.values()), "has_more": False})
        batch = self.batches[place[0]]
        if place[1:] == ["cancel"]:
            batch["status"] = "cancelling"
        return json_reply(batch)

    def _file(self, received: Received, place: list[str]) -> Reply:
        if received.method == "POST":
            made = f"file-{len(self.files) + 1}"
            self.files[made] = received.body
            return json_reply({"id": made, "object": "file", "bytes": 1, "created_at": 2})
        if received.method == "DELETE":
            self.files.pop(place[0], None)
            return json_reply({"id": place[0], "deleted": True})
        if self.reading != 200:
            return json_reply({"error": {"message": "not now"}}, self.reading)
        if place[0] not in self.files:
            return json_reply({"error": {"message": "no such file"}}, 404)
        content = self.files[place[0]]
        if b"\r\n\r\n" in content:  # a form, as it was sent
            content = content.split(b"\r\n\r\n")[-1].rpartition(b"\r\n--form")[0]
        return Reply([content], framing="length", media_type="application/octet-stream")

    def _make(self, asked: dict[str, Any]) -> Reply:
        if self.makes:
            made = f"batch_up{len(self.batches) + 1}"
            self.batches[made] = {**asked, "id": made, "object": "batch", "created_at": 10**10, "status": "validating"}
            if not self.broken:
                return json_reply(self.batches[made])
        return json_reply({"error": {"message": "not today"}}, self.broken)

    def end(self, status: str, *answers: Mapping[str, Any], **more: Any) -> None:
        """All its batches are over."""
        for batch in self.batches.values():
            batch |= {"status": status, f"{status}_at": batch["created_at"], **more}
            if answers:
                self.files["file-out"] = lines(*answers)
                batch |= {"output_file_id": "file-out", "request_counts": {"total": 2, "completed": len(answers),
                                                                           "failed": 0}} | more  # fmt: skip

    @property
    def sent(self) -> list[dict[str, Any]]:
        """The lines that were sent for the last batch."""
        [batch] = self.batches.values()
        form = self.files[batch["input_file_id"]]
        return [orjson.loads(raw) for raw in form.splitlines() if raw.startswith(b'{"custom_id"')]


def config(url: str, **more: Any) -> dict[str, Any]:
    made = upstream_config(url)
    made["models"]["fake/model"]["price"] = PRICE
    for name in ("other", "unpriced"):
        made["models"][f"fake/{name}"] = {"provider": "fake", "upstream": name, "price": PRICE, "max_output": 50}
    made["providers"]["elsewhere"] = {"plugin": "openai", "base_url": url, "api_key": "sk-fake"}
    made["models"]["elsewhere/model"] = {"provider": "elsewhere", "upstream": "model", "price": PRICE}
    return {**made, "files": {"providers": ["fake"]}, "batches": {"providers": ["fake"], "poll": "1h"}, **more}


def client_of(gateway: RunningGateway, key: str | None = None) -> openai.AsyncOpenAI:
    return openai.AsyncOpenAI(base_url=gateway.url + "/v1", api_key=key or gateway.key, max_retries=0)


async def make(client: openai.AsyncOpenAI, *given: Mapping[str, Any], endpoint: Any = CHAT) -> Any:
    file = await client.files.create(file=("in.jsonl", lines(*given)), purpose="batch")
    return await client.batches.create(input_file_id=file.id, endpoint=endpoint, completion_window="24h")


async def balance(gateway: RunningGateway) -> int:
    account = await gateway.gateway.stores.accounts.get_account(gateway.account.id)
    assert account is not None
    return account.balance


async def look(gateway: RunningGateway, batch_id: str) -> Any:
    """A batch as this gateway's own look leaves it, whoever looked when."""
    runtime, stores = gateway.gateway.runtime, gateway.gateway.stores
    kept = await stores.objects.find_object(gateway.account.id, "batch", batch_id)
    assert kept is not None
    return await runtime.batches._look(kept) if kept.is_open else kept


async def test_the_sdk_makes_a_batch_of_the_echo_model(tmp_path: Path) -> None:
    made = {
        "providers": {"echo": {"plugin": "echo", "folder": str(tmp_path / "echo")}},
        "models": {"echo/echo": {"provider": "echo", "upstream": "echo", "price": PRICE}},
        "default_model": "echo/echo",
        "files": {"providers": ["echo"]},
        "batches": {"providers": ["echo"]},
    }
    async with running_gateway(tmp_path, made) as gateway, client_of(gateway) as client:
        before = await balance(gateway)
        batch = await make(client, line("one"), line("two", messages=[{"role": "user", "content": "/echo fail=500"}]))
        assert batch.request_counts.total == 2
        held = batch.model_extra["cost"]["held"]
        batch = await client.batches.retrieve(batch.id)
        assert (batch.status, batch.request_counts.completed, batch.request_counts.failed) == ("completed", 1, 1)
        [said] = [orjson.loads(raw) for raw in (await client.files.content(batch.output_file_id)).content.splitlines()]
        assert said["custom_id"] == "one"
        usage = said["response"]["body"]["usage"]
        cost = -(-(usage["prompt_tokens"] + 2 * usage["completion_tokens"]) // 2)
        assert batch.model_extra["cost"] == {"held": held, "charged": cost, "basis": "provider"}
        assert before - await balance(gateway) == cost < held
        [failed] = (await client.files.content(batch.error_file_id)).content.splitlines()
        assert orjson.loads(failed)["response"]["status_code"] == 500
        assert [one.id async for one in client.batches.list(limit=1)] == [batch.id]
        [row] = await gateway.gateway.stores.usage.recent(gateway.account.id)
        assert (row.row.route, row.row.usage.completion_tokens) == ("/batches", usage["completion_tokens"])
        summary = await gateway.gateway.stores.usage.summary(gateway.account.id, start=0, end=2**40)
        assert summary.credits == row.credits == cost
        assert await gateway.gateway.stores.check() == []


REFUSED: dict[str, tuple[dict[str, Any], int, str]] = {
    "a model that the key may not call": (line(model="fake/other"), 403, "may not use the model"),
    "an unknown model": (line(model="nowhere"), 404, "does not exist"),
    "a model without batches": (line(model="elsewhere/model"), 400, "not offered in batches"),
    "a hosted tool": (line(tools=[{"type": "code_interpreter"}]), 400, "tools[0]"),
    "somebody's file": (
        line(messages=[{"role": "user", "content": [{"type": "file", "file": {"file_id": "file-of-eve"}}]}]),
        400,
        "was not made by yours",
    ),
    "a costly member": (line(search_parameters={"mode": "on"}), 400, "search_parameters"),
    "a private link": (
        line(
            messages=[{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "http://10.0.0.1/x"}}]}]
        ),
        400,
        "image_url",
    ),
    "a stream": (line(stream=True), 400, "stream"),
    "what is no chat": (line(messages="Hello!"), 400, "messages"),
    "another endpoint": (line(url="/v1/embeddings"), 400, "url"),
    "no body": ({"custom_id": "x", "method": "POST", "url": CHAT, "body": 5}, 400, "body"),
    "an id again": (line("first"), 400, "custom_id"),
    "no method": ({**line(), "method": "GET"}, 400, "method"),
}


async def test_each_line_is_checked_as_the_call_that_it_is(tmp_path: Path, fake_upstream: FakeUpstream) -> None:
    provider = Provider(fake_upstream)
    async with running_gateway(tmp_path, config(fake_upstream.url)) as gateway:
        allowed = KeySettings(models=("fake/model", "elsewhere/*", "nowhere"))
        before = await balance(gateway)
        async with client_of(gateway, await gateway.new_key(allowed)) as client:
            for what, (wrong, status, words) in REFUSED.items():
                before_it = (
                    [] if "model" in (wrong["body"] if isinstance(wrong["body"], dict) else ()) else [line("first")]
                )
                with pytest.raises(openai.APIStatusError) as caught:
                    await make(client, *before_it, wrong)
                assert caught.value.status_code == status, (what, caught.value.message)
                assert words in caught.value.message, what
                assert f"line {len(before_it) + 1}" in caught.value.message, what
            for content, words in ((b"", "no requests"), (b"{", "line 1"), (b"[]", "line 1")):
                file = await client.files.create(file=("in.jsonl", content or b" "), purpose="batch")
                with pytest.raises(openai.BadRequestError, match=words):
                    await client.batches.create(input_file_id=file.id, endpoint=CHAT, completion_window="24h")
            with pytest.raises(openai.BadRequestError, match="endpoint"):
                await client.batches.create(input_file_id="x", endpoint="/v1/videos", completion_window="24h")
            other = {**line("a", "/v1/responses"), "body": {"model": "fake/model", "input": "Hi"}}
            with pytest.raises(openai.BadRequestError, match=f"use {CHAT}"):
                await make(client, other, endpoint="/v1/responses")
            with pytest.raises(openai.NotFoundError):
                await client.batches.create(input_file_id="file-of-eve", endpoint=CHAT, completion_window="24h")
        assert provider.batches == {}
        assert await balance(gateway) == before
        poor = await gateway.new_key(credits=100)
        async with client_of(gateway, poor) as client:
            with pytest.raises(openai.APIStatusError) as caught:
                await make(client, line())
            assert caught.value.status_code == 402
            assert [one async for one in client.batches.list()] == []
        assert provider.batches == {}


async def test_a_batch_goes_out_as_its_provider_is_told(tmp_path: Path, fake_upstream: FakeUpstream) -> None:
    """Names of models are the provider's, its metadata is ours, and the batch is its owner's alone."""
    provider = Provider(fake_upstream)
    async with running_gateway(tmp_path, config(fake_upstream.url)) as gateway, client_of(gateway) as client:
        before = await balance(gateway)
        batch = await make(client, line("a"), line("b", max_tokens=None))
        assert [(one["custom_id"], one["body"]["model"]) for one in provider.sent] == [
            ("a", "upstream-model"), ("b", "upstream-model")]  # fmt: skip
        held = batch.model_extra["cost"]["held"]
        # 100 and 4096 tokens of output at half of 2 credits, and the input.
        assert 4196 < held < 4196 + 200
        assert await balance(gateway) == before - held
        [asked] = provider.batches.values()
        assert asked["metadata"] == {"gateway_batch": batch.id}
        async with client_of(gateway, await gateway.new_key(credits=10)) as eve:
            for way in (eve.batches.retrieve, eve.batches.cancel):
                with pytest.raises(openai.NotFoundError):
                    await way(batch.id)
            assert [one.id async for one in eve.batches.list()] == []
        assert (await client.batches.cancel(batch.id)).status == "cancelling"
        provider.end("cancelled", answer("a", USAGE))
        kept = await look(gateway, batch.id)
        assert (kept.details["charged"], kept.is_open) == (COST, False)
        assert await balance(gateway) == before - COST
        with pytest.raises(openai.ConflictError):
            await client.batches.cancel(batch.id)
        sent = asked["input_file_id"]
        assert sent not in provider.files, "what the gateway had sent is not left there"


ENDINGS: dict[str, tuple[Callable[[Provider], None], str, Callable[[int, int], int]]] = {
    "completed": (lambda p: p.end("completed", answer("a", USAGE), answer("b", USAGE)), "provider",
                  lambda held, dearest: 2 * COST),
    "failed": (lambda p: p.end("failed"), "provider", lambda held, dearest: 0),
    "expired with a part": (lambda p: p.end("expired", answer("a", USAGE)), "provider", lambda held, dearest: COST),
    "answers without usage": (lambda p: p.end("completed", answer("a", USAGE), answer("b")), "estimated",
                              lambda held, dearest: COST + dearest),
    "answers that are missing": (
        lambda p: p.end("completed", answer("a", USAGE),
                        request_counts={"total": 2, "completed": 2, "failed": 0}),
        "estimated", lambda held, dearest: COST + dearest),
    "usage beyond belief": (lambda p: p.end("completed", answer("a", {**USAGE, "completion_tokens": 10**9,
                                                                      "total_tokens": 10**9 + 10})), "provider",
                            lambda held, dearest: held),
    "answers that are gone": (
        lambda p: (p.end("completed", answer("a", USAGE)), p.files.pop("file-out"), None)[-1],
        "estimated", lambda held, dearest: held),
    "forgotten by its provider": (lambda p: p.batches.update({name: {"id": "x"} for name in p.batches}), "provider",
                                  lambda held, dearest: 0),
}  # fmt: skip


async def test_whatever_ends_a_batch_is_billed_once(tmp_path: Path, fake_upstream: FakeUpstream) -> None:
    provider = Provider(fake_upstream)
    answered = provider.answer

    def forgets(received: Received) -> Reply:
        place = received.path.strip("/").split("/")
        if place[0] == "batches" and len(place) > 1 and provider.batches[place[1]]["id"] == "x":
            return json_reply({"error": {"message": "no such batch"}}, 404)
        return answered(received)

    fake_upstream.answer(forgets)
    async with running_gateway(tmp_path, config(fake_upstream.url)) as gateway, client_of(gateway) as client:
        for what, (end, basis, due) in ENDINGS.items():
            provider.batches.clear()
            before = await balance(gateway)
            batch = await make(client, line("a"), line("b"))
            held = batch.model_extra["cost"]["held"]
            assert await balance(gateway) == before - held, what
            end(provider)
            kept = await look(gateway, batch.id)
            cost = due(held, kept.details["dearest"])
            assert (kept.is_open, kept.details["charged"], kept.details["billing"]) == (False, cost, basis), what
            assert await balance(gateway) == before - cost, what
            # Once more, as another process would that had not seen it.
            await gateway.gateway.runtime.batches._close(kept)
            assert await balance(gateway) == before - cost, what
            await gateway.gateway.stores.objects.remove_object(kept.account_id, "fake", "file-out")
        rows = await gateway.gateway.stores.usage.recent(gateway.account.id)
        assert [row.row.status for row in reversed(rows)] == [200, 400, 504, 200, 200, 200, 200, 400]
        assert await gateway.gateway.stores.check() == []


async def test_answers_that_cannot_be_read_just_now_are_read_later(tmp_path: Path, fake_upstream: FakeUpstream) -> None:
    provider = Provider(fake_upstream)
    async with running_gateway(tmp_path, config(fake_upstream.url)) as gateway, client_of(gateway) as client:
        before = await balance(gateway)
        batch = await make(client, line("a"))
        provider.end("completed", answer("a", USAGE))
        provider.reading = 503
        assert (await look(gateway, batch.id)).is_open
        provider.reading = 200
        assert not (await look(gateway, batch.id)).is_open
        assert await balance(gateway) == before - COST


async def test_a_batch_that_its_provider_never_ends_is_cancelled_and_then_paid_back(
    tmp_path: Path, fake_upstream: FakeUpstream
) -> None:
    provider = Provider(fake_upstream)
    async with running_gateway(tmp_path, config(fake_upstream.url)) as gateway, client_of(gateway) as client:
        before = await balance(gateway)
        looked, stores = gateway.gateway.runtime.batches, gateway.gateway.stores

        async def made_ago(batch_id: str, days: float) -> KeptObject:
            kept = await stores.objects.find_object(gateway.account.id, "batch", batch_id)
            assert kept is not None
            return await looked._look(replace(kept, created=kept.created - int(days * 86_400)))

        for what, sabotage in (("goes on for ever", lambda: None), ("cannot be asked", provider.batches.clear)):
            batch = await make(client, line("a"))
            provider.end("in_progress", request_counts={"total": 1, "completed": 1, "failed": 0})
            asked = len(fake_upstream.requests)
            assert (await made_ago(batch.id, 1.9)).is_open, what
            assert [one.method for one in fake_upstream.requests[asked:]] == ["GET"], what
            kept = await made_ago(batch.id, 2.1)
            assert (kept.is_open, kept.details["told"]["status"]) == (True, "cancelling"), what
            assert fake_upstream.requests[-1].path.endswith("/cancel"), what
            assert (await made_ago(batch.id, 7.9)).is_open, what
            assert fake_upstream.requests[-1].method == "GET", "it is cancelled once"
            sabotage()
            if not provider.batches:
                fake_upstream.answer(lambda received: json_reply({"error": {"message": "away"}}, 503))
            kept = await made_ago(batch.id, 8.1)
            told = kept.details["told"]
            assert (kept.is_open, kept.details["charged"], told["status"]) == (False, 0, "expired"), what
            assert told["errors"]["data"][0]["code"] == "batch_overdue"
            assert await balance(gateway) == before, what
            [entry, *_] = await stores.audit.entries(action="batch.given_up")
            assert (entry.subject, entry.detail["provider"]) == (batch.id, "fake")
            shown = await client.batches.retrieve(batch.id)
            assert (shown.status, shown.model_extra["cost"]["charged"]) == ("expired", 0)
            provider.batches.clear()
        assert await stores.check() == []


async def test_a_batch_that_may_have_been_made_is_found_or_paid_back(
    tmp_path: Path, fake_upstream: FakeUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    provider = Provider(fake_upstream)
    async with running_gateway(tmp_path, config(fake_upstream.url)) as gateway, client_of(gateway) as client:
        before = await balance(gateway)
        provider.broken = 502
        made = await make(client, line("a"))
        assert made.status == "validating"
        with pytest.raises(openai.ConflictError):
            await client.batches.cancel(made.id)
        provider.end("completed", answer("a", USAGE))
        assert (await look(gateway, made.id)).details["charged"] == COST
        provider.batches.clear()
        provider.makes = False
        lost = await make(client, line("a"))
        assert (await look(gateway, lost.id)).is_open, "its provider may not list it yet"
        monkeypatch.setattr("gateway.batches._MAKING", -1)
        assert (await look(gateway, lost.id)).details["charged"] == 0
        assert (await client.batches.retrieve(lost.id)).status == "failed"
        provider.broken = 400
        with pytest.raises(openai.BadRequestError, match="not today"):
            await make(client, line("a"))
        assert len([one async for one in client.batches.list()]) == 2, "of one that was refused nothing is left"
        assert await balance(gateway) == before - COST
        assert await gateway.gateway.stores.check() == []


async def test_a_batch_that_was_charged_and_never_sent_is_paid_back(
    tmp_path: Path, fake_upstream: FakeUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its process died in between."""
    provider = Provider(fake_upstream)
    async with running_gateway(tmp_path, config(fake_upstream.url)) as gateway, client_of(gateway) as client:
        before = await balance(gateway)

        async def dies(*given: Any) -> str:
            raise RuntimeError("killed")

        with monkeypatch.context() as dying:
            dying.setattr(gateway.gateway.runtime.files, "send_unowned", dies)
            with pytest.raises(openai.InternalServerError):
                await make(client, line("a"))
        assert await balance(gateway) < before
        [kept] = await gateway.gateway.stores.objects.open_objects()
        assert (await look(gateway, kept.id)).is_open, "it may still be in the making"
        monkeypatch.setattr(batches, "_MAKING", -60)
        assert not (await look(gateway, kept.id)).is_open
        assert await balance(gateway) == before
        assert provider.batches == {}


async def test_the_next_process_looks_after_batches_and_so_do_two_at_once(
    tmp_path: Path, fake_upstream: FakeUpstream
) -> None:
    provider = Provider(fake_upstream)
    settings = config(fake_upstream.url)
    async with running_gateway(tmp_path, settings) as gateway, client_of(gateway) as client:
        before = await balance(gateway)
        first, second = await make(client, line("a")), await make(client, line("a"))
        owner = gateway.account.id
    provider.end("completed", answer("a", USAGE))
    async with running_gateway(tmp_path, settings, account_name="again") as gateway:
        await gateway.gateway.runtime.look_after_batches()
        await gateway.gateway.runtime.look_after_batches()
        account = await gateway.gateway.stores.accounts.get_account(owner)
        assert account is not None
        # Both have their answers in one file here; the second one's owner is the same.
        assert account.balance == before - 2 * COST
        assert await gateway.gateway.stores.objects.open_objects() == []
    async with running_gateway(tmp_path, settings, account_name="later") as gateway:
        await gateway.gateway.runtime.look_after_batches()
        assert "batches" not in vars(gateway.gateway.runtime), "there is nothing to look after them with"
        entries = await gateway.gateway.stores.ledger.entries(owner, limit=1000)
        assert len([one for one in entries if one.kind == "refund"]) == 2
        asked = [one.path for one in fake_upstream.requests if one.method == "GET" and "/batches/" in one.path]
        assert len(asked) == 2, "the second look finds that it was done"
    assert first.id != second.id


async def test_an_erased_account_leaves_no_batch(tmp_path: Path, fake_upstream: FakeUpstream) -> None:
    provider = Provider(fake_upstream)
    async with running_gateway(tmp_path, config(fake_upstream.url)) as gateway, client_of(gateway) as client:
        batch = await make(client, line("a"))
        runtime, stores = gateway.gateway.runtime, gateway.gateway.stores
        done = await erase_account(stores, runtime.files, runtime.batches, gateway.account.id)
        assert done is not None
        assert (done.batches.done, done.files.done, done.left) == (1, 1, [])
        provider.end("cancelled", answer("a", USAGE))
        await look(gateway, batch.id)
        assert await stores.objects.list_objects(gateway.account.id) == []
        assert provider.files == {}


async def test_responses_and_embeddings_in_batches(tmp_path: Path, fake_upstream: FakeUpstream) -> None:
    provider = Provider(fake_upstream)
    settings = config(fake_upstream.url)
    settings["providers"]["fake"]["responses"] = "native"
    async with running_gateway(tmp_path, settings) as gateway, client_of(gateway) as client:
        url = "/v1/responses"
        batch = await make(
            client, {**line("a", url), "body": {"input": "Hello!", "max_output_tokens": 50}}, endpoint=url
        )
        assert provider.sent[0]["body"]["store"] is False
        body = {"id": "resp_1", "object": "response", "status": "completed", "model": "m", "output": [],
                "usage": {"input_tokens": 10, "output_tokens": 20, "total_tokens": 30}}  # fmt: skip
        said = answer("a")
        said["response"]["body"] = body
        provider.end("completed", said)
        assert (await look(gateway, batch.id)).details["charged"] == COST
        for member in ({"background": True}, {"conversation": "conv_1"}):
            with pytest.raises(openai.BadRequestError, match="not in a batch"):
                await make(client, {**line("a", url), "body": {"input": "Hello!", **member}}, endpoint=url)
        # What these read, search and write at the provider has no bound that could be paid for before.
        own = {"type": "function", "name": "f", "parameters": {"type": "object", "properties": {}}}
        server = {"type": "mcp", "server_label": "s", "server_url": "https://example.com/mcp"}
        for tool in ({"type": "web_search"}, server, {"type": "tool_search"}):
            items: list[Any] = [{"role": "user", "content": "Hello!"}, {"type": "additional_tools", "tools": [tool]}]
            given: list[dict[str, Any]] = [{"input": "Hello!", "tools": [own, tool]}, {"input": items, "tools": [own]}]
            for asked in given:
                with pytest.raises(openai.BadRequestError, match=r"tools\[\d\]: what the provider would read"):
                    await make(client, {**line("a", url), "body": asked}, endpoint=url)
        provider.batches.clear()
        mine = {"input": "Hello!", "tools": [own, {"type": "shell"}], "max_output_tokens": 50}
        await make(client, {**line("a", url), "body": mine}, endpoint=url)
        provider.batches.clear()
        url = "/v1/embeddings"
        batch = await make(client, {**line("a", url), "body": {"input": "Hello!"}}, endpoint=url)
        said["response"]["body"] = {"object": "list", "data": [{"object": "embedding", "index": 0, "embedding": [0.5]}],
                                    "model": "m", "usage": {"prompt_tokens": 8, "total_tokens": 8}}  # fmt: skip
        await gateway.gateway.stores.objects.remove_object(gateway.account.id, "fake", "file-out")
        provider.end("completed", said)
        assert (await look(gateway, batch.id)).details["charged"] == 4


async def test_a_batch_that_its_provider_took_is_not_paid_back(tmp_path: Path, fake_upstream: FakeUpstream) -> None:
    """Whatever fails once it was made: its answers that cannot be read at once, an answer that is none."""
    provider = Provider(fake_upstream)
    making = provider._make
    async with running_gateway(tmp_path, config(fake_upstream.url)) as gateway, client_of(gateway) as client:
        for told_well in (True, False):
            before = await balance(gateway)

            def at_once(asked: dict[str, Any], told_well: bool = told_well) -> Reply:
                making(asked)
                provider.end("completed", answer("a", USAGE))
                provider.reading = 503
                [batch] = provider.batches.values()
                return json_reply(batch if told_well else {"object": "batch"})

            provider._make = at_once  # type: ignore[method-assign]
            batch = await make(client, line("a"))
            assert batch.status == "validating"
            assert await balance(gateway) < before - COST
            provider.reading = 200
            assert (await look(gateway, batch.id)).details["charged"] == COST
            assert await balance(gateway) == before - COST
            provider.batches.clear()
            await gateway.gateway.stores.objects.remove_object(gateway.account.id, "fake", "file-out")
        assert await gateway.gateway.stores.check() == []


async def test_what_a_provider_says_of_one_batch_stops_no_other(tmp_path: Path, fake_upstream: FakeUpstream) -> None:
    """Nor is it kept for nothing, or taken for a time."""
    provider = Provider(fake_upstream)
    errors = {"object": "list", "data": [{"code": "x", "message": "y" * 100, "line": n} for n in range(1000)]}
    async with running_gateway(tmp_path, config(fake_upstream.url)) as gateway, client_of(gateway) as client:
        stores = gateway.gateway.stores
        odd, good = await make(client, line("a")), await make(client, line("a"))
        first, second = provider.batches.values()
        first |= {"status": ["completed"], "errors": errors}
        second |= {"status": "failed", "failed_at": 10**15, "errors": errors}
        before = await stores.stored(gateway.account.id)
        await gateway.gateway.runtime.batches.look_after()
        assert (await client.batches.retrieve(odd.id)).status == "validating"
        kept = await stores.objects.find_object(gateway.account.id, "batch", good.id)
        assert kept is not None
        assert (kept.is_open, len(kept.details["told"]["errors"]["data"])) == (False, 100)
        after = await stores.stored(gateway.account.id)
        assert before is not None
        assert after is not None
        assert after.bytes - before.bytes > 2 * 100 * 100
        [row] = await stores.usage.recent(gateway.account.id)
        assert row.row.total_ms <= 86_400_000


async def test_nobody_is_kept_busy_for_nothing(tmp_path: Path, fake_upstream: FakeUpstream) -> None:
    """Requests after the first that cannot be paid are not looked at; batches that are open have a number; whoever
    cancels eight times at once has it billed once."""
    provider = Provider(fake_upstream)
    settings = config(fake_upstream.url)
    settings["models"]["fake/free"] = {"provider": "fake", "upstream": "free", "free": True}
    settings["batches"]["most_open"] = 2
    async with running_gateway(tmp_path, settings) as gateway, client_of(gateway) as client:
        async with client_of(gateway, await gateway.new_key(credits=100)) as poor:
            with pytest.raises(openai.APIStatusError, match="at least 175 credits") as caught:
                await make(poor, line("a"), line("b", messages="none"))
            assert caught.value.status_code == 402
        batch = await make(client, line("a", model="fake/free"))
        other = await make(client, line("a", model="fake/free"))
        with pytest.raises(openai.RateLimitError, match="2 batches that are not over"):
            await make(client, line("a", model="fake/free"))
        answered = provider.answer

        def ends(received: Received) -> Reply:
            if "/batches/" not in received.path:
                return answered(received)
            if received.path.endswith("/cancel"):
                provider.end("cancelled", answer("a", USAGE))
            return json_reply(provider.batches[received.path.split("/")[2]])

        fake_upstream.answer(ends)
        done = await asyncio.gather(*[client.batches.cancel(batch.id) for _ in range(8)], return_exceptions=True)
        assert {getattr(one, "status", "over") for one in done} <= {"cancelled", "over"}
        assert len(await gateway.gateway.stores.usage.recent(gateway.account.id)) == 1
        assert (await client.batches.retrieve(other.id)).status == "cancelled"
        assert len([one async for one in client.batches.list()]) == 2
        await make(client, line("a", model="fake/free"))


async def test_what_was_told_before_the_end_opens_no_batch_again(
    tmp_path: Path, fake_upstream: FakeUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is still being noted when the end comes."""
    provider = Provider(fake_upstream)
    async with running_gateway(tmp_path, config(fake_upstream.url)) as gateway, client_of(gateway) as client:
        noting, objects = gateway.gateway.runtime.batches, gateway.gateway.stores.objects
        made = await make(client, line("a"))
        kept = await objects.find_object(gateway.account.id, "batch", made.id)
        assert kept is not None
        [told] = [dict(batch) for batch in provider.batches.values()]
        provider.end("completed", answer("a", USAGE))
        [ended] = provider.batches.values()
        found, begun, go = objects.find_object, asyncio.Event(), asyncio.Event()

        async def slow(*given: Any) -> Any:
            one = await found(*given)
            if not begun.is_set():
                begun.set()
                await go.wait()
            return one

        monkeypatch.setattr(objects, "find_object", slow)
        first = asyncio.ensure_future(noting._note(kept, {**told, "status": "in_progress"}))
        await begun.wait()
        second = asyncio.ensure_future(noting._note(kept, ended))
        while not (second.done() or noting._noting[made.id]._waiters):
            await asyncio.sleep(0)
        go.set()
        await asyncio.gather(first, second)
        now = await found(gateway.account.id, "batch", made.id)
        assert now is not None
        assert (now.is_open, now.details["charged"]) == (False, COST)
