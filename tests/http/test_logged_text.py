"""What callers and providers write, in the log: bodies where the operator wants them, and nothing that forges a line or
shows a secret, at every door."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterable
from typing import Any

import orjson
import pytest

from gateway.logs import MOST_BODY
from gateway.testing import Reply, json_reply, openai_completion, openai_error, openai_stream

from .conftest import CHAT, HELLO, Site

KEY = "sk-fake-upstream-key"  # of the operator at the provider: `upstream_config`
DEBUG = {"level": "debug", "bodies": True}
Ask = Callable[[Site], Any]

# What each door takes, but for `stream`: (path, body, path when streamed).
DOORS: dict[str, tuple[str, dict[str, Any], str]] = {
    "chat": (CHAT, {"messages": HELLO}, CHAT),
    "responses": ("/v1/responses", {"input": "Hello!"}, "/v1/responses"),
    "messages": ("/v1/messages", {"model": "fake/model", "max_tokens": 9, "messages": HELLO}, "/v1/messages"),
    "gemini": (
        "/v1beta/models/fake%2Fmodel:generateContent",
        {"contents": [{"parts": [{"text": "Hello!"}]}]},
        "/v1beta/models/fake%2Fmodel:streamGenerateContent?alt=sse",
    ),
}


def bodies(site: Site) -> list[tuple[str, str]]:
    return [(line["message"], line["body"]) for line in site.log if "body" in line]


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize("door", DOORS)
async def test_bodies_of_calls_and_answers_are_logged(serve: Any, door: str, streamed: bool) -> None:
    site = await serve(log=DEBUG)
    site.upstream.reply(Reply(openai_stream("Good ", "day")) if streamed else json_reply(openai_completion("Good day")))
    path, body, stream_path = DOORS[door]
    sent = {**body, "stream": True} if streamed and door != "gemini" else body
    status, _, raw = await site.running.post(stream_path if streamed else path, sent)
    assert status == 200, raw
    await site.rest()
    (asked, request), (answered, answer) = bodies(site)
    assert (asked, answered) == ("request body", "answer body")
    assert orjson.loads(request) == sent
    assert answer.encode() == raw


@pytest.mark.parametrize("log", [{}, {"bodies": True}, {"level": "debug"}])
async def test_bodies_are_off_unless_asked_for_twice(serve: Any, log: dict[str, Any]) -> None:
    site = await serve(log=log)
    site.upstream.reply(json_reply(openai_completion("Good day")))
    await site.ask()
    await site.rest()
    assert bodies(site) == []
    assert "Good day" not in site.running.stream.getvalue()


async def test_embeddings_errors_keyed_and_background_answers_are_logged(serve: Any) -> None:
    site = await serve(log=DEBUG)
    await site.running.post("/v1/embeddings", {"input": ""})
    assert "input" in bodies(site)[1][1]
    for count in (1, 2):  # the second comes from the store
        if count == 1:
            site.upstream.reply(json_reply(openai_completion("keyed answer")))
        await site.ask(headers={"Idempotency-Key": "one"})
        await site.rest()
        assert sum("keyed answer" in text for _, text in bodies(site)) == count
    site.upstream.reply(Reply(openai_stream("background answer")))
    await site.running.post("/v1/responses", {"input": "Hello!", "background": True})
    await site.rest()
    assert "background answer" in bodies(site)[-1][1]


async def test_a_body_that_is_no_json_is_logged_and_routes_with_secrets_are_not(serve: Any) -> None:
    site = await serve(log=DEBUG)
    await site.running.post(CHAT, b'{"messages": [\r\n')
    assert bodies(site)[0] == ("request body", '{"messages": [\r\n')
    count = len(bodies(site))
    status, _, raw = await site.running.post(
        "/admin/api/accounts", {"name": "somebody"}, key=site.running.gateway.admin_secret()
    )
    assert status in (200, 201), raw
    assert len(bodies(site)) == count


async def test_secrets_in_bodies_are_masked(serve: Any) -> None:
    site = await serve(log=DEBUG)
    site.upstream.reply(json_reply(openai_completion(f"the key is {KEY.upper()}")))
    arguments = json.dumps({"password": "hunter2-inside", "city": "Rome"})
    escaped = "".join(f"\\u{ord(char):04x}" for char in KEY)
    tool = {"type": "mcp", "authorization": "plain-words", "headers": {"X-Custom": "custom-words"}}
    content = {"text": f"{site.running.key} {base64.b64encode(KEY.encode()).decode()}", "tool": tool, "args": arguments}
    raw = orjson.dumps(
        {"messages": [{"role": "user", "content": orjson.dumps(content).decode()}], "metadata": {"api_key": "abc"}}
    )
    await site.running.post(CHAT, raw[:-1] + f',"user":"{escaped}"}}'.encode())
    await site.running.post("/v1/responses", {"input": "x", "tools": [tool]})
    await site.rest()
    text = "\n".join(text for _, text in bodies(site))
    for secret in (KEY, "hunter2-inside", "plain-words", "custom-words", site.running.key, '"abc"', "c2stZmFrZS"):
        assert secret.lower() not in text.lower(), secret
    assert "Rome" in text


async def test_a_large_body_is_cut(serve: Any) -> None:
    site = await serve(log=DEBUG)
    site.upstream.reply(Reply(openai_stream(*["word " * 200] * 200)))
    await site.ask(messages=[{"role": "user", "content": "x" * (2 * MOST_BODY)}], stream=True)
    await site.rest()
    lines = [line for line in site.log if "body" in line]
    assert [line["cut"] for line in lines] == [True, True]
    assert all(len(line["body"]) <= MOST_BODY < line["bytes"] for line in lines)


FORGED = 'gpt"\r\n{"level":"info"}\n2026-01-01T00:00:00.000Z info    forged key=1 \x1b[2J\u2028\u202ekcats'


def lines_of(site: Site) -> Iterable[str]:
    return site.running.stream.getvalue().split("\n")[:-1]


@pytest.mark.parametrize("style", ["json", "text"])
@pytest.mark.parametrize("door", [*DOORS, "embeddings"])
async def test_no_model_forges_a_line_or_shows_a_secret(serve: Any, door: str, style: str) -> None:
    site = await serve(log={"format": style})
    site.noisy = True
    secret = site.running.gateway.admin_secret()
    before = len(list(lines_of(site)))
    path, body, _ = DOORS.get(door, ("/v1/embeddings", {"input": "x"}, ""))
    for model in (FORGED, f"{secret} {site.running.key}", KEY, secret.upper()):
        if door == "gemini":
            quoted = "".join(f"%{byte:02X}" for byte in model.encode())
            await site.running.post(f"/v1beta/models/{quoted}:generateContent", body)
        else:
            await site.running.post(path, {**body, "model": model, FORGED: 1, "user": FORGED})
    await site.rest()
    lines = list(lines_of(site))[before:]
    assert len(lines) >= 4
    for line in lines:
        assert line.isprintable(), line
        assert ("\u202e" in line, "\x1b" in line) == (False, False)
        assert line.startswith("{" if style == "json" else "20")
        for one in (secret, site.running.key, KEY):
            assert one.lower() not in line.lower()
    if style == "text":
        site.running.stream.truncate(0)  # what looks at the log after every test reads JSON
        site.running.stream.seek(0)


SPELLED = {
    "plain": KEY,
    "upper case": KEY.upper(),
    "base64": base64.b64encode(KEY.encode()).decode(),
    "basic": base64.b64encode(f"user:{KEY}".encode()).decode(),
    "split": " ".join(KEY),
    "over lines": KEY[:9] + "\n" + KEY[9:],
    "hex": KEY.encode().hex(),
}


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("spelling", SPELLED)
async def test_a_providers_message_never_shows_the_operators_key(
    site: Site, spelling: str, door: str, streamed: bool
) -> None:
    text = SPELLED[spelling]
    path, body, stream_path = DOORS[door]
    site.upstream.reply(json_reply(openai_error(f"Bad value: {text}", code=None), status=400))
    sent = {**body, "stream": True} if streamed and door != "gemini" else body
    _, _, raw = await site.running.post(stream_path if streamed else path, sent)
    await site.rest()
    told = raw.decode() + site.running.stream.getvalue()
    assert "Bad value" in raw.decode()
    for form in {text, json.dumps(text)[1:-1]}:
        assert form not in told
