"""Valid requests to every POST route that callers reach, changed at random, seeded: the kit of `test_doors_fuzz`.

Every kind of provider is asked; those that would be on the internet refuse everything, and the embedded model answers.
So no answer may be a 5xx. At length: `python -m tests.http.doors_fuzz SEED COUNT`; a million take a core some twenty
minutes.
"""

from __future__ import annotations

import asyncio
import contextlib
import copy
import random
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson

from gateway.testing import HOSTILE_VALUES, RunningGateway, running_gateway

from .bare_server import BareServer

PRICE = {"input": 1, "output": 2}
KINDS = ("openai", "anthropic", "google", "mistral", "moonshot")
MODES = ("native", "only")
PICTURE = "data:image/png;base64,iVBORw0KGgo="
TEXT, INPUT_TEXT = {"type": "text", "text": "Hi"}, {"type": "input_text", "text": "Hi"}
SOURCE = {"type": "base64", "media_type": "image/png", "data": "iVBORw0KGgo="}
THOUGHT = {"type": "thinking", "thinking": "hm", "signature": "s"}
SCHEMA = {"type": "object", "properties": {"a": {"type": "string", "enum": ["x"]}}, "required": ["a"]}
FUNCTION = {"name": "look", "description": "Looks.", "parameters": SCHEMA, "strict": True}
CALLED = {"id": "call_1", "type": "function", "function": {"name": "look", "arguments": '{"a": "x"}'}}

CHAT: dict[str, Any] = {
    "model": "",
    "messages": [
        {"role": "system", "content": "Be short."},
        {"role": "user", "content": [TEXT, {"type": "image_url", "image_url": {"url": PICTURE}}]},
        {"role": "assistant", "content": "x", "tool_calls": [CALLED], "reasoning_content": "hm"},
        {"role": "tool", "tool_call_id": "call_1", "content": "found"},
        {"role": "user", "content": [{"type": "file", "file": {"file_data": "AAAA", "filename": "a.pdf"}}]},
    ],
    "tools": [{"type": "function", "function": FUNCTION}],
    "tool_choice": {"type": "function", "function": {"name": "look"}},
    "response_format": {"type": "json_schema", "json_schema": {"name": "n", "schema": SCHEMA}},
    "max_tokens": 20,
    "stop": ["end"],
    "n": 2,
    "temperature": 0.5,
    "logit_bias": {"1": 2},
    "stream": True,
    "stream_options": {"include_usage": True},
    "metadata": {"a": "b"},
    "reasoning_effort": "low",
}
COMPLETION: dict[str, Any] = {
    "model": "",
    "prompt": ["Once upon", "a time"],
    "suffix": "end",
    "max_tokens": 9,
    "n": 2,
    "best_of": 2,
    "echo": True,
    "logprobs": 2,
    "stop": ["x"],
    "stream": True,
    "logit_bias": {"1": 2},
    "user": "u",
}
RESPONSES: dict[str, Any] = {
    "model": "",
    "input": [
        {"role": "user", "content": [INPUT_TEXT, {"type": "input_image", "image_url": PICTURE}]},
        {"type": "function_call", "call_id": "c1", "name": "look", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "c1", "output": [{"type": "input_text", "text": "a"}]},
        {"type": "reasoning", "summary": [{"type": "summary_text", "text": "s"}], "encrypted_content": "x"},
        {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "x", "annotations": []}]},
        {"type": "item_reference", "id": "msg_1"},
        {"role": "user", "content": "go"},
    ],
    "instructions": "Be short.",
    "tools": [{"type": "function", **FUNCTION}, {"type": "web_search"}, {"type": "custom", "name": "g"}],
    "tool_choice": "auto",
    "text": {"format": {"type": "json_schema", "name": "n", "schema": SCHEMA}},
    "reasoning": {"effort": "low", "summary": "auto"},
    "max_output_tokens": 30,
    "store": False,
    "truncation": "auto",
    "previous_response_id": "resp_1",
    "include": ["reasoning.encrypted_content"],
}
SHELLS: dict[str, Any] = {
    "model": "",
    "input": [
        {"type": "shell_call", "id": "sh_1", "call_id": "c1", "action": {"commands": ["ls"], "timeout_ms": 5}},
        {"type": "shell_call_output", "call_id": "c1", "output": [{"stdout": "a", "outcome": {"type": "timeout"}}]},
        {"type": "local_shell_call", "call_id": "c2", "action": {"type": "exec", "command": ["ls"], "env": {"A": "b"}}},
        {"type": "local_shell_call_output", "id": "c2", "output": "x"},
        {"type": "apply_patch_call", "call_id": "c3", "operation": {"type": "delete_file", "path": "a"}},
        {"type": "apply_patch_call_output", "call_id": "c3", "status": "failed", "output": "no"},
        {"type": "mcp_call", "id": "m1", "name": "n", "server_label": "s", "arguments": "{}", "output": "x"},
        {"type": "web_search_call", "id": "w", "status": "completed", "action": {"type": "search", "query": "q"}},
        {"role": "user", "content": "go"},
    ],
    "tools": [{"type": "shell"}, {"type": "local_shell"}, {"type": "apply_patch"}],
}
MESSAGES: dict[str, Any] = {
    "model": "",
    "max_tokens": 2000,
    "system": [{"type": "text", "text": "Be short.", "cache_control": {"type": "ephemeral"}}],
    "messages": [
        {"role": "user", "content": [{"type": "text", "text": "Hi"}, {"type": "image", "source": SOURCE}]},
        {"role": "assistant", "content": [THOUGHT, {"type": "tool_use", "id": "t1", "name": "look", "input": {}}]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t1", "content": [TEXT]}]},
    ],
    "tools": [{"name": "look", "description": "Looks.", "input_schema": SCHEMA}],
    "tool_choice": {"type": "tool", "name": "look"},
    "thinking": {"type": "enabled", "budget_tokens": 1024},
    "stop_sequences": ["end"],
    "stream": True,
    "metadata": {"user_id": "u"},
}
GEMINI: dict[str, Any] = {
    "contents": [
        {"role": "user", "parts": [{"text": "Hi"}, {"inlineData": {"mimeType": "image/png", "data": "iVBORw0KGgo="}}]},
        {"role": "model", "parts": [{"functionCall": {"name": "look", "args": {}}, "thoughtSignature": "AAAA"}]},
        {"role": "user", "parts": [{"functionResponse": {"name": "look", "response": {"b": 1}}}]},
    ],
    "systemInstruction": {"parts": [{"text": "Be short."}]},
    "tools": [{"functionDeclarations": [{"name": "look", "parameters": SCHEMA}]}],
    "toolConfig": {"functionCallingConfig": {"mode": "ANY", "allowedFunctionNames": ["look"]}},
    "generationConfig": {
        "maxOutputTokens": 30,
        "stopSequences": ["e"],
        "responseMimeType": "application/json",
        "responseSchema": SCHEMA,
        "candidateCount": 2,
        "thinkingConfig": {"thinkingBudget": 10},
    },
    "safetySettings": [{"category": "HARM_CATEGORY_HARASSMENT", "threshold": "BLOCK_NONE"}],
}
ROUTES: tuple[tuple[str, dict[str, Any]], ...] = (
    ("/v1/chat/completions", CHAT),
    ("/v1/responses", RESPONSES),
    ("/v1/responses", {**RESPONSES, "stream": True}),
    ("/v1/responses", SHELLS),
    ("/v1/responses/input_tokens", RESPONSES),
    ("/v1/responses/compact", {key: RESPONSES[key] for key in ("model", "input", "instructions")}),
    ("/v1/completions", COMPLETION),
    ("/v1/messages", MESSAGES),
    ("/v1/messages/count_tokens", MESSAGES),
    ("/v1beta/models/{model}:generateContent", GEMINI),
    ("/v1beta/models/{model}:streamGenerateContent?alt=sse", GEMINI),
    ("/v1beta/models/{model}:countTokens", GEMINI),
    ("/v1/embeddings", {"model": "", "input": ["a", "b"], "encoding_format": "float", "dimensions": 4, "user": "u"}),
    (
        "/v1/rerank",
        {"model": "", "query": "a", "documents": ["a b", {"text": "c"}], "top_n": 1, "return_documents": True},
    ),
    ("/v1/images/generations", {"model": "", "prompt": "a cat", "n": 2, "size": "1024x1024", "quality": "low"}),
    ("/v1/audio/speech", {"model": "", "input": "Hi", "voice": "alloy", "response_format": "mp3", "speed": 1.5}),
    ("/v1/moderations", {"model": "", "input": ["a", "b"]}),
    ("/v1/conversations", {"items": RESPONSES["input"][:1], "metadata": {"a": "b"}}),
    ("/v1/explain", CHAT),
    ("/v1/images/edits", {"model": "", "prompt": "a cat", "image": PICTURE, "mask": PICTURE, "n": 1}),
    ("/v1/audio/transcriptions", {"model": "", "file": "AAAA", "language": "en", "response_format": "json"}),
    ("/v1/files", {"purpose": "user_data", "file": "AAAA"}),
    ("/v1/batches", {"input_file_id": "file_1", "endpoint": "/v1/chat/completions", "completion_window": "24h"}),
    ("/v1beta/models/{model}:embedContent", {"content": {"parts": [{"text": "a"}]}, "outputDimensionality": 4}),
    (
        "/v1beta/models/{model}:batchEmbedContents",
        {"requests": [{"model": "models/m", "content": {"parts": [{"text": "a"}]}}]},
    ),
    ("/v1/conversations/conv_1/items", {"items": RESPONSES["input"][:1]}),
    ("/v1/conversations/conv_1", {"metadata": {"a": "b"}}),
    ("/account/keys", {"name": "k", "models": ["a/*"], "monthly_limit": 5, "expires_at": 1_900_000_000}),
    ("/account/vouchers/redeem", {"code": "AAAAA-AAAAA-AAAAA-AAAAA"}),
    ("/account/topups", {"method": "none", "amount": 5}),
    ("/account/sign-in", {"email": "a@example.org", "password": "long enough words"}),
    ("/v1/responses/resp_1/cancel", {}),
)
VALUES = (*HOSTILE_VALUES, "", "x", "auto", "none", 0, -1, 1, 2**31, 2**63, 1e300, True, {"type": "x"}, [{"type": "y"}])
NAMES = (
    *("type", "id", "content", "text", "name", "role", "stream", "n", "input", "cache_control", "file_id", "tools"),
    *("arguments", "strict", "detail", "thinking", "audio", "store", "seed", "user", "index", "url", "data"),
)


def configuration(upstream: str) -> dict[str, Any]:
    """A gateway with all kinds of providers."""
    providers: dict[str, Any] = {"echo": {"plugin": "echo"}}
    models: dict[str, Any] = {"echo/echo": {"provider": "echo", "upstream": "echo", "price": PRICE}}
    for kind in KINDS:
        providers[kind] = {"plugin": kind, "base_url": upstream + "/v1", "api_key": "fuzz-key-0123456789"}
        models[f"{kind}/m"] = {"provider": kind, "upstream": "m", "price": PRICE, "context": 9000, "max_output": 4000}
    for mode in MODES:
        models[f"openai/{mode}"] = {**models["openai/m"], "options": {"responses": mode}}
    return {
        "providers": providers,
        "models": models,
        "default_model": "echo/echo",
        "rate_limit": {"requests_per_minute": 1_000_000},
        "upstream": {"retries": 0},
    }


def places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Every container with every key in it."""
    for key, inner in list(value.items() if isinstance(value, dict) else enumerate(value)):
        yield value, key
        if isinstance(inner, dict | list):
            yield from places(inner)


def mutated(body: dict[str, Any], chance: random.Random) -> dict[str, Any]:
    """A body with one to three changes."""
    made = copy.deepcopy(body)
    for _ in range(chance.randint(1, 3)):
        found = list(places(made))
        if not found:
            break
        holder, key = chance.choice(found)
        act = chance.randrange(6)
        if act == 0:
            holder[key] = copy.deepcopy(chance.choice(VALUES))
        elif act == 1:
            del holder[key]
        elif act == 2:
            other, place = chance.choice(found)
            holder[key] = (
                copy.deepcopy(other[place])
                if place in (other if isinstance(other, dict) else range(len(other)))
                else None
            )
        elif act == 3 and isinstance(holder, list):
            holder.insert(key, copy.deepcopy(holder[key]))
        elif act == 4 and isinstance(holder, dict):
            holder[chance.choice(NAMES)] = holder.pop(key)
        else:
            holder[key] = [holder[key]] if chance.random() < 0.5 else {"type": holder[key]}
    return made


HEADERS = (
    *("content-type", "content-encoding", "accept", "accept-encoding", "authorization", "idempotency-key", "origin"),
    *("anthropic-version", "anthropic-beta", "x-api-key", "x-goog-api-key", "x-request-id", "traceparent", "expect"),
    *("x-forwarded-for", "x-stainless-timeout", "openai-organization", "range", "cookie", "upgrade", "x-csrf-token"),
)
ODD = ("%", "%00", "//", "..", "%2e%2e/", "?", "#", ";", "%F0%9F", "/", ":", "é", "x" * 99, "?key=x", "%0d%0a")
WORDS = (
    *("", "*/*", "text/event-stream", "text/html", "application/json; charset=utf-16", "multipart/form-data", "gzip"),
    *("multipart/form-data; boundary=x", "zstd", "identity, gzip;q=0", "Bearer", "Bearer mghp_x", "Basic YTpi", "k1"),
    *("100-continue", "00-" + "0" * 32 + "-" + "0" * 16 + "-00", "1.2.3.4, ::1", "websocket", "=;,", "\xe9\xff", "-1"),
    "x" * 900,
)


def request(path: str, body: bytes, key: str, chance: random.Random) -> bytes:
    """A POST of a body; one of five has an odd header, one of ten an odd path, one of twenty half of its body."""
    headers = {
        "host": "x", "authorization": f"Bearer {key}", "content-type": "application/json", "connection": "close",
        "content-length": str(len(body)),
    }  # fmt: skip
    if chance.random() < 0.2:
        headers[chance.choice(HEADERS)] = chance.choice(WORDS)
    if chance.random() < 0.1:
        at = chance.randrange(1, len(path))
        path = path[:at] + chance.choice(ODD) + path[at + chance.randint(0, 2) :]
    if chance.random() < 0.05:
        body = body[: chance.randint(0, len(body))]
        headers["content-length"] = str(len(body))
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return f"POST {path} HTTP/1.1\r\n{lines}\r\n".encode("latin-1", "replace") + body


async def fuzz(folder: Path, seed: int, count: int, *, at_once: int = 16) -> tuple[int, list[str]]:
    """How many answers were 2xx, and what was a 5xx or no answer, as text to try again."""
    chance = random.Random(seed)
    good, failed = 0, []
    async with running_gateway(folder, configuration("http://127.0.0.1:9")) as running:
        server = BareServer(running)
        models = list(running.gateway.runtime.config.models)
        models += ["echo/echo"] * len(models)

        async def one(sent: bytes) -> None:
            nonlocal good
            answer = await server.exchange(sent)
            status = answer[9:12]
            good += status == b"200"
            if not b"200" <= status < b"500" or b"server_error" in answer:
                failed.append(f"{status!r} {answer[-300:]!r} {sent!r}")

        left = count
        while left > 0:
            calls = []
            while len(calls) < min(at_once, left):
                path, body = chance.choice(ROUTES)
                model = chance.choice(models)
                given = {**body, "model": model} if "model" in body else body
                with contextlib.suppress(TypeError):
                    raw = orjson.dumps(mutated(given, chance))
                    path = path.replace("{model}", model.replace("/", "%2F"))
                    calls.append(one(request(path, raw, running.key, chance)))
            await asyncio.gather(*calls)
            left -= len(calls)
        assert server.upstream.requests, "some of them go out"
        failed += await _unsound(running)
    return good, failed


async def _unsound(running: RunningGateway) -> list[str]:
    gateway = running.gateway
    while running.service.app.busy or gateway._tasks:
        await asyncio.sleep(0.005)
    problems = [str(one) for one in await gateway.stores.check()]
    return problems + [str(line)[:2000] for line in running.log if line["level"] == "error"]


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as place:
        told = asyncio.run(fuzz(Path(place), int(sys.argv[1]), int(sys.argv[2]), at_once=64))
    sys.stdout.write("\n".join((f"{told[0]} good answers", *told[1])) + "\n")
    sys.exit(1 if told[1] else 0)
