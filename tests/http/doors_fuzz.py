"""Valid requests to every POST route that callers reach, changed at random, seeded: the kit of `test_doors_fuzz`.

Every kind of provider is asked; those that would be on the internet refuse everything, and the embedded model answers.
So no answer may be a 5xx.
"""

from __future__ import annotations

import asyncio
import copy
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson

from gateway.testing import HOSTILE_VALUES, FakeUpstream, RunningGateway, json_reply, running_gateway

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
    ("/v1/responses/input_tokens", RESPONSES),
    ("/v1/messages", MESSAGES),
    ("/v1/messages/count_tokens", MESSAGES),
    ("/v1beta/models/{model}:generateContent", GEMINI),
    ("/v1beta/models/{model}:streamGenerateContent?alt=sse", GEMINI),
    ("/v1beta/models/{model}:countTokens", GEMINI),
    ("/v1/embeddings", {"model": "", "input": ["a", "b"], "encoding_format": "float", "dimensions": 4, "user": "u"}),
    ("/v1/conversations", {"items": RESPONSES["input"][:1], "metadata": {"a": "b"}}),
    ("/v1/explain", CHAT),
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


async def fuzz(folder: Path, seed: int, count: int, *, at_once: int = 4) -> tuple[int, list[str]]:
    """How many answers were 2xx, and what was a 5xx or no answer, as text to try again."""
    chance = random.Random(seed)
    good, failed = 0, []
    async with FakeUpstream() as upstream:
        upstream.answer(lambda _: json_reply({"error": {"message": "no", "type": "invalid_request_error"}}, status=400))
        async with running_gateway(folder, configuration(upstream.url)) as running:
            models = list(running.gateway.runtime.config.models)
            models += ["echo/echo"] * len(models)

            async def one(path: str, body: dict[str, Any], model: str) -> None:
                nonlocal good
                try:
                    raw = orjson.dumps(body)
                except TypeError:
                    return
                status, _, answer = await running.post(path.replace("{model}", model.replace("/", "%2F")), raw)
                good += status == 200
                if status >= 500 or b"server_error" in answer:
                    failed.append(f"{path} {model} {status} {answer[:300]!r} {raw!r}")

            for _ in range(0, count, at_once):
                calls = []
                for _ in range(at_once):
                    path, body = chance.choice(ROUTES)
                    model = chance.choice(models)
                    given = {**body, "model": model} if "model" in body else body
                    calls.append(one(path, mutated(given, chance), model))
                await asyncio.gather(*calls)
            failed += await _unsound(running)
    return good, failed


async def _unsound(running: RunningGateway) -> list[str]:
    gateway = running.gateway
    while running.service.app.busy or gateway._tasks:
        await asyncio.sleep(0.005)
    problems = [str(one) for one in await gateway.stores.check()]
    return problems + [str(line)[:2000] for line in running.log if line["level"] == "error"]
