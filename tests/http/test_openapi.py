"""GET /openapi.json: valid, complete, and true of what a running gateway answers."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import aiohttp
import orjson
import pytest
import pytest_asyncio
from jsonschema import Draft202012Validator
from openapi_spec_validator import OpenAPIV31SpecValidator

from gateway.http.server.router import RouteTable
from gateway.testing import RunningGateway, running_gateway
from gateway.wire.json_schema import Component
from gateway.wire.openapi import EVENTS, JSON, Documented, Operation, Parameter, document

CONFIG = {
    "providers": {"echo": {"plugin": "echo"}},
    "models": {"echo/echo": {"price": {"input": 1, "output": 2}, "context": 8000, "max_output": 1000}},
    "default_model": "echo/echo",
    "console": {"sign_up": "open"},
    "credits": {"signup_grant": 1000},
    "pipeline": ["auth", "model_allow_list", "rate_limit", "quota", "routing", "usage_log"],
}
HELLO = {"messages": [{"role": "user", "content": "Hello there, how are you?"}]}
TOOL = {"name": "get_time", "parameters": {"type": "object", "properties": {}}}


class Documentation:
    """The document of a running gateway, and its answers held against it."""

    def __init__(self, gateway: RunningGateway, found: dict[str, Any]) -> None:
        self.gateway = gateway
        self.found = found

    def schema(self, method: str, path: str, status: int, media: str) -> Draft202012Validator:
        answer = self.found["paths"][path][method.lower()]["responses"][str(status)]
        return Draft202012Validator({**answer["content"][media]["schema"], "components": self.found["components"]})

    async def ask(
        self, method: str, path: str, body: Any = None, *, bearer: str = "", status: int = 200, **places: str
    ) -> Any:
        """Send a request to a path of the document, check the answer against it, and return the answer: parsed JSON,
        or the list of a stream's events. bearer: "" for the account's own key, "none" for no credential."""
        item = self.found["paths"][path]
        prefix = item["servers"][0]["url"] if "servers" in item else self.found["servers"][0]["url"]
        query = places.pop("query", "")
        url = self.gateway.url + prefix.rstrip("/") + path.format_map(places) + query
        headers = {} if bearer == "none" else {"Authorization": f"Bearer {bearer or self.gateway.key}"}
        async with self.gateway.session.request(method, url, json=body, headers=headers) as answer:
            raw = await answer.read()
            assert answer.status == status, raw
            media = answer.headers["content-type"].partition(";")[0]
        schema = self.schema(method, path, status, media)
        if media != EVENTS:
            value = orjson.loads(raw)
            schema.validate(value)
            return value
        data = [line[6:] for line in raw.decode().splitlines() if line.startswith("data: ")]
        events = [orjson.loads(text) for text in data if text != "[DONE]"]
        for event in events:
            schema.validate(event)
        return events

    async def admin(self, method: str, path: str, body: Any = None, *, status: int = 200, **places: str) -> Any:
        secret = self.gateway.gateway.admin_secret()
        return await self.ask(method, "/admin/api" + path, body, bearer=secret, status=status, **places)


@pytest_asyncio.fixture
async def api(tmp_path: Path) -> AsyncIterator[Documentation]:
    async with running_gateway(tmp_path, CONFIG) as gateway:
        status, headers, raw = await gateway.get("/openapi.json", key="")
        assert status == 200
        assert headers["content-type"] == JSON
        yield Documentation(gateway, orjson.loads(raw))


async def test_the_document_is_valid(api):
    assert [str(error) for error in OpenAPIV31SpecValidator(api.found).iter_errors()] == []


async def test_every_route_is_documented(api):
    """Those of the bundled plugins included."""
    routes = api.gateway.gateway.runtime.routes
    assert routes.undocumented() == []
    described = {documented.path for documented in routes.documented()}
    assert len(described) > 30


async def test_every_operation_has_its_own_name_and_summary(api):
    operations = [
        found for item in api.found["paths"].values() for method, found in item.items() if method != "servers"
    ]
    assert len({operation["operationId"] for operation in operations}) == len(operations) > 40
    assert all(operation["summary"] and operation["tags"] for operation in operations)


async def test_the_document_is_kept_by_its_etag(api):
    _, headers, _ = await api.gateway.get("/openapi.json")
    for given in (headers["etag"], f'"other", {headers["etag"]}', f"W/{headers['etag']}", "*"):
        async with api.gateway.session.get(
            api.gateway.url + "/openapi.json", headers={"If-None-Match": given}
        ) as answer:
            assert answer.status == 304
            assert answer.headers["etag"] == headers["etag"]
            assert await answer.read() == b""
    async with api.gateway.session.get(
        api.gateway.url + "/openapi.json", headers={"If-None-Match": '"other"'}
    ) as answer:
        assert answer.status == 200


async def test_chat(api):
    for more in (
        {},
        {"n": 2},
        {"tools": [{"type": "function", "function": TOOL}], "tool_choice": "required"},
        {"logprobs": True, "top_logprobs": 1},
        {"echo": {"reasoning": "Hm."}},
    ):
        answer = await api.ask("POST", "/chat/completions", {**HELLO, **more})
        assert answer["usage"]["cost"] >= 0
        events = await api.ask("POST", "/chat/completions", {**HELLO, **more, "stream": True})
        assert len(events) > 1
    body = {**HELLO, "stream": True, "stream_options": {"include_usage": True}}
    assert (await api.ask("POST", "/chat/completions", body))[-1]["usage"]["cost"] >= 0


async def test_embeddings_and_models(api):
    await api.ask("POST", "/embeddings", {"input": ["a", "b"]})
    await api.ask("POST", "/embeddings", {"input": "a", "encoding_format": "base64"})
    listed = await api.ask("GET", "/models")
    await api.ask("GET", "/models/{id}", id=listed["data"][0]["id"])


async def test_images_audio_and_moderations(api):
    made = await api.ask("POST", "/images/generations", {"prompt": "x", "size": "8x8"})
    assert made["usage"]["cost"] > 0
    await api.ask("POST", "/images/generations", {"prompt": "x", "size": "8x8", "response_format": "url"})
    body = {"prompt": "x", "size": "8x8", "stream": True, "partial_images": 1}
    assert [event["type"] for event in await api.ask("POST", "/images/generations", body)] == [
        "image_generation.partial_image",
        "image_generation.completed",
    ]
    link = {"image_url": "data:image/png;base64," + made["data"][0]["b64_json"]}
    await api.ask("POST", "/images/edits", {"prompt": "x", "size": "8x8", "images": [link]})
    spoken = await api.ask("POST", "/audio/speech", {"input": "Hi", "stream_format": "sse"})
    assert spoken[-1]["type"] == "speech.audio.done"
    await api.ask("POST", "/moderations", {"input": ["a", "b"]})
    for path in ("/images/generations", "/images/edits", "/audio/speech", "/moderations"):
        await api.ask("POST", path, {}, status=400)


async def test_forms(api):
    """What comes as a form, and answers in several media types."""
    sound = b"RIFF\x24\0\0\0WAVEfmt \x10\0\0\0\x01\0\x01\0@\x1f\0\0\x80>\0\0\x02\0\x10\0data" + bytes(4004)
    for path in ("/audio/transcriptions", "/audio/translations"):
        described = api.found["paths"][path]["post"]
        schema = described["requestBody"]["content"]["multipart/form-data"]["schema"]
        assert "file" in api.found["components"]["schemas"][schema["$ref"].rpartition("/")[2]]["required"]
        for wanted in ("json", "verbose_json", "text", "srt", "vtt"):
            form = aiohttp.FormData({"response_format": wanted})
            form.add_field("file", sound, filename="a.wav")
            headers = {"Authorization": f"Bearer {api.gateway.key}"}
            async with api.gateway.session.post(api.gateway.url + "/v1" + path, data=form, headers=headers) as answer:
                assert answer.status == 200
                media = answer.headers["content-type"].partition(";")[0]
                assert media in described["responses"]["200"]["content"]
                if media == JSON:
                    api.schema("POST", path, 200, media).validate(orjson.loads(await answer.read()))
    for kind in ("wav", "pcm", "mp3"):
        _, headers, _ = await api.gateway.post("/v1/audio/speech", {"input": "Hi", "response_format": kind})
        assert headers["content-type"] in api.found["paths"]["/audio/speech"]["post"]["responses"]["200"]["content"]


async def test_responses_and_conversations(api):
    made = await api.ask("POST", "/responses", {"input": "Hi", "tools": [{"type": "function", **TOOL}]})
    events = await api.ask("POST", "/responses", {"input": "Hi", "stream": True})
    assert events[-1]["type"] == "response.completed"
    called = {"input": "Hi", "stream": True, "tools": [{"type": "function", **TOOL}], "tool_choice": "required"}
    kinds = {event["type"] for event in await api.ask("POST", "/responses", called)}
    assert "response.function_call_arguments.done" in kinds
    await api.ask("GET", "/responses/{id}", id=made["id"])
    await api.ask("GET", "/responses/{id}", id=made["id"], query="?stream=true")
    await api.ask("GET", "/responses/{id}/input_items", id=made["id"])
    await api.ask("POST", "/responses/input_tokens", {"input": "Hi"})
    await api.ask("POST", "/responses/compact", {"input": "Hi"})
    await api.ask("POST", "/responses/{id}/cancel", id=made["id"], status=400)
    await api.ask("DELETE", "/responses/{id}", id=made["id"])
    await api.ask("GET", "/responses/{id}", id=made["id"], status=404)

    item = {"role": "user", "content": "Hi"}
    talk = await api.ask("POST", "/conversations", {"items": [item], "metadata": {"a": "b"}})
    await api.ask("GET", "/conversations/{id}", id=talk["id"])
    await api.ask("POST", "/conversations/{id}", {"metadata": {}}, id=talk["id"])
    added = await api.ask("POST", "/conversations/{id}/items", {"items": [item]}, id=talk["id"])
    await api.ask("GET", "/conversations/{id}/items", id=talk["id"])
    one = added["data"][0]["id"]
    await api.ask("GET", "/conversations/{id}/items/{item}", id=talk["id"], item=one)
    await api.ask("DELETE", "/conversations/{id}/items/{item}", id=talk["id"], item=one)
    await api.ask("DELETE", "/conversations/{id}", id=talk["id"])


async def test_other_dialects(api):
    body = {"max_tokens": 50, **HELLO}
    await api.ask("POST", "/messages", body)
    events = await api.ask("POST", "/messages", {**body, "stream": True})
    assert events[-1]["type"] == "message_stop"
    await api.ask("POST", "/messages/count_tokens", HELLO)
    await api.ask("POST", "/messages", HELLO, status=400)
    contents = {"contents": [{"role": "user", "parts": [{"text": "Hi"}]}]}
    for prefix in ("", "/v1beta", "/v1alpha"):
        path = prefix + "/models/{model}:"
        await api.ask("POST", path + "generateContent", contents, model="echo")
        await api.ask("POST", path + "streamGenerateContent", contents, model="echo", query="?alt=sse")
        await api.ask("POST", path + "countTokens", contents, model="echo")
        await api.ask("POST", path + "embedContent", {"content": contents["contents"][0]}, model="echo")
        many = {"requests": [{"content": contents["contents"][0]}]}
        await api.ask("POST", path + "batchEmbedContents", many, model="echo")
        await api.ask("POST", path + "generateContent", {"contents": 5}, model="echo", status=400)


async def test_errors(api):
    await api.ask("POST", "/chat/completions", {"messages": []}, status=400)
    await api.ask("POST", "/chat/completions", HELLO, bearer="mghp_wrong", status=401)
    poor = await api.gateway.new_key(credits=0)
    await api.ask("POST", "/chat/completions", HELLO, bearer=poor, status=402)
    await api.ask("POST", "/chat/completions", {**HELLO, "model": "no/such"}, status=404)
    await api.ask("POST", "/responses", {"input": 5}, status=400)
    await api.ask("GET", "/usage", query="?days=0", status=400)


async def test_account_and_system(api):
    await api.ask("POST", "/chat/completions", HELLO)
    assert (await api.ask("GET", "/usage"))["totals"]["requests"] == 1
    await api.ask("GET", "/account/topups")
    await api.ask("GET", "/account/topups/{id}", id="no", status=404)
    [code] = (await api.admin("POST", "/vouchers", {"credits": 5}, status=201))["codes"]
    await api.ask("POST", "/account/vouchers/redeem", {"code": code})
    await api.ask("POST", "/account/vouchers/redeem", {"code": code}, status=400)
    await api.ask("GET", "/healthz")
    await api.ask("GET", "/readyz")


async def test_people(api):
    password = "correct horse battery"
    opened = await api.ask("POST", "/account/sign-up", {"email": "ada@example.org", "password": password})
    assert opened["csrf_token"]
    async with aiohttp.ClientSession(
        cookie_jar=aiohttp.CookieJar(unsafe=True), headers={"X-CSRF-Token": "x"}
    ) as session:
        api.gateway.session, before = session, api.gateway.session
        opened = await api.ask(
            "POST", "/account/sign-in", {"email": "ada@example.org", "password": password}, bearer="none"
        )
        session.headers["X-CSRF-Token"] = opened["csrf_token"]

        async def ask(*arguments: Any, **more: Any) -> Any:
            return await api.ask(*arguments, bearer="none", **more)

        await ask("POST", "/account/sign-in", {"email": "ada@example.org", "password": "wrong"}, status=401)
        await ask("GET", "/account/me")
        await ask("GET", "/account/balance")
        sessions = await ask("GET", "/account/sessions")
        await ask("DELETE", "/account/sessions/{id}", id="sess_none", status=404)
        assert sessions["data"][0]["current"]
        made = await ask("POST", "/account/keys", {"name": "a"}, status=201)
        await ask("GET", "/account/keys")
        await ask("GET", "/account/keys/{id}", id=made["id"])
        await ask("PATCH", "/account/keys/{id}", {"name": "b"}, id=made["id"])
        await ask("POST", "/account/keys/{id}/rotate", {}, id=made["id"])
        await ask("DELETE", "/account/keys/{id}", id=made["id"])
        await ask("POST", "/chat/completions", HELLO)
        await ask("GET", "/account/usage")
        await ask("GET", "/account/requests")
        await ask("GET", "/account/alerts")
        await ask("POST", "/account/login", {"current_password": password, "password": "another password"})
        await ask("POST", "/account/password/reset", {"link": "none", "password": password}, status=404)
        await ask("DELETE", "/account/sessions")
        await ask("POST", "/account/sign-out", status=401)
        api.gateway.session = before


async def test_admin(api):
    await api.ask("GET", "/admin/api/accounts", status=401)
    account = await api.admin("POST", "/accounts", {"name": "Ada", "credits": 100}, status=201)
    await api.admin("POST", "/accounts", {"name": 5}, status=400)
    await api.admin("GET", "/accounts", query="?limit=2")
    await api.admin("GET", "/accounts/{account}", account="Ada")
    await api.admin("GET", "/accounts/{account}", account="nobody", status=404)
    await api.admin("PATCH", "/accounts/{account}", {"requests_per_minute": 1}, account="Ada")
    more = {"credits": 900, "idempotency_key": "order 7"}
    await api.admin("POST", "/accounts/{account}/credits", more, account=account["id"])
    settings = {"name": "laptop", "models": ["echo/*"], "monthly_limit": 500, "expires_at": None}
    key = await api.admin("POST", "/accounts/{account}/keys", settings, account="Ada", status=201)
    await api.ask("POST", "/chat/completions", HELLO, bearer=key["key"])
    await api.ask("POST", "/chat/completions", HELLO, bearer=key["key"], status=429)
    entries = await api.admin("GET", "/accounts/{account}/entries", account="Ada")
    charge = next(entry for entry in entries["data"] if entry["kind"] == "charge")
    back = {"request_id": charge["request_id"], "credits": -charge["amount"], "idempotency_key": "sorry"}
    await api.admin("POST", "/refunds", back)
    await api.admin("GET", "/accounts/{account}/usage", account="Ada")
    await api.admin("GET", "/accounts/{account}/keys", account="Ada")
    await api.admin("GET", "/keys/{key}", key=key["id"])
    await api.admin("PATCH", "/keys/{key}", {"ip_allow": ["127.0.0.0/8"]}, key=key["id"])
    await api.admin("POST", "/keys/{key}/rotate", {"grace": 5}, key=key["id"])
    await api.admin("DELETE", "/keys/{key}", key=key["id"])
    await api.admin("POST", "/vouchers", {"credits": 5, "count": 2, "note": "n"}, status=201)
    vouchers = await api.admin("GET", "/vouchers")
    await api.admin("DELETE", "/vouchers/{voucher}", voucher=str(vouchers["data"][0]["id"]))
    assert (await api.admin("GET", "/ledger/check"))["ok"]


THING = Operation("Read a thing", "Things", answer={"type": "object"})


def made(*routes: Documented) -> Mapping[str, Any]:
    return document(routes, title="T", version="1", prefixes=("/v1", "/api/v1"))


def test_places_and_prefixes():
    described = Operation("Read", "Things", parameters=(Parameter("rest", "All of it.", place="path"),))
    paths = made(
        Documented("GET", "/things/{id}/{rest...}", True, described), Documented("GET", "/plain", False, THING)
    )["paths"]
    parameters = paths["/things/{id}/{rest}"]["get"]["parameters"]
    assert [(found["name"], found["required"]) for found in parameters] == [("id", True), ("rest", True)]
    assert parameters[1]["description"] == "All of it."
    assert paths["/plain"]["servers"] == [{"url": "/"}]


def test_what_contradicts_itself_is_found():
    with pytest.raises(ValueError, match="documented twice"):
        made(Documented("GET", "/things", True, THING), Documented("GET", "/things", True, THING))
    one, other = (Operation("Read", "Things", answer=Component("Thing", {})) for _ in range(2))
    with pytest.raises(ValueError, match="two components are called Thing"):
        made(Documented("GET", "/one", True, one), Documented("GET", "/other", True, other))


def test_a_route_without_words_is_found_and_a_replaced_one_keeps_its_own():
    async def handler(context: Any) -> None:
        """Answers nothing; it is never called."""

    routes = RouteTable(("/v1", "/api/v1"))
    routes.add("GET", "/things", handler, THING)
    routes.add("POST", "/things", handler, api=False)
    assert routes.undocumented() == ["POST /things"]
    routes.add("GET", "/things", handler)
    assert [(route.path, route.api, route.operation) for route in routes.documented()] == [("/things", True, THING)]
