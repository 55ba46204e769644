"""What validators take and what their schemas say: the two cannot drift.

A schema is never stricter than its validator. Where it is laxer, the rule is named in BEYOND, and why.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from gateway.errors import CallerFault
from gateway.wire import validators
from gateway.wire.chat.request import CHAT_REQUEST
from gateway.wire.embeddings import EMBEDDINGS_REQUEST
from gateway.wire.images import GENERATION_REQUEST
from gateway.wire.json_schema import Component, components_of, inlined, or_null, referred
from gateway.wire.moderation import MODERATION_REQUEST
from gateway.wire.responses.request import RESPONSES_REQUEST
from gateway.wire.responses.request import items as response_items
from gateway.wire.responses.request import metadata as response_metadata
from gateway.wire.speech import SPEECH_REQUEST
from gateway.wire.validators import Validator

Body = dict[str, Any]
Path = tuple[str | int, ...]

PNG = "data:image/png;base64,iVBORw0KGgo="
FUNCTION = {"name": "f", "description": "d", "parameters": {"type": "object"}, "strict": True}
HELLO = [{"role": "user", "content": "x"}]
NAMED = {"type": "function", "function": {"name": "f"}}
TOOLS = [
    {"type": "function", "function": FUNCTION},
    {"type": "custom", "custom": {"name": "c", "description": "d", "format": {"type": "text"}}},
    {"type": "odd"},
]
CHAT: list[Body] = [
    {"model": "a/b", "messages": HELLO},
    {
        "messages": [
            {"role": "system", "content": "x", "name": "n"},
            {"role": "developer", "content": [{"type": "text", "text": "x"}]},
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": "x"},
                    {"type": "image_url", "image_url": {"url": PNG, "detail": "low"}},
                    {"type": "image_url", "image_url": {"url": "https://a.b/c"}},
                    {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}},
                    {"type": "file", "file": {"file_data": "AAAA", "filename": "f", "file_id": "i"}},
                    {"type": "odd", "x": 1},
                ],
            },
            {
                "role": "assistant",
                "content": None,
                "refusal": "r",
                "audio": {"id": "a"},
                "function_call": {"name": "f", "arguments": "{}"},
                "tool_calls": [
                    {"id": "1", "type": "function", "function": {"name": "f", "arguments": "{}"}},
                    {"id": "2", "type": "custom", "custom": {"name": "c", "input": "x"}},
                    {"id": "3", "type": "odd"},
                ],
            },
            {"role": "assistant", "content": [{"type": "refusal", "refusal": "x"}]},
            {"role": "tool", "tool_call_id": "1", "content": [{"type": "text", "text": "x"}]},
            {"role": "function", "name": "f", "content": None},
        ]
    },
    {
        "model": "a/b", "messages": HELLO, "stream": True, "max_tokens": 5, "max_completion_tokens": 5,
        "stream_options": {"include_usage": True, "include_obfuscation": False}, "temperature": 1, "top_p": 0.5,
        "frequency_penalty": 1, "presence_penalty": -1, "n": 1, "seed": 3, "stop": ["a", "b"], "logprobs": True,
        "top_logprobs": 2, "logit_bias": {"5": 1}, "tools": TOOLS, "tool_choice": NAMED, "parallel_tool_calls": True,
        "response_format": {
            "type": "json_schema",
            "json_schema": {"name": "n", "description": "d", "schema": {}, "strict": True},
        },
        "functions": [FUNCTION], "function_call": {"name": "f"}, "reasoning_effort": "low", "verbosity": "low",
        "service_tier": "auto", "modalities": ["text"], "audio": {"format": "wav", "voice": "v"},
        "prediction": {"type": "content", "content": "x"}, "web_search_options": {}, "user": "u",
        "safety_identifier": "s", "prompt_cache_key": "k", "metadata": {"a": "b"}, "store": False,
    },
    {
        "model": "a/b", "messages": HELLO, "stop": "x", "response_format": {"type": "json_object"}, "tools": TOOLS,
        "tool_choice": {"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": [NAMED, {"type": "odd"}]}},
        "function_call": "auto", "audio": {"voice": {"id": "x"}}, "prediction": {"content": [{"type": "text"}]},
    },
]  # fmt: skip
ITEMS: list[Any] = [
    {"role": "user", "content": "x"},
    {
        "type": "message",
        "role": "assistant",
        "content": [{"type": "output_text", "text": "x"}, {"type": "refusal", "refusal": "x"}],
    },
    {
        "role": "user",
        "content": [
            {"type": "input_text", "text": "x"},
            {"type": "input_image", "image_url": PNG},
            {"type": "input_image", "file_id": "f"},
            {"type": "input_file", "file_data": "x", "file_url": "https://a/b", "file_id": "q"},
            {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}},
            {"type": "input_video", "video_url": "https://a/b"},
            {"type": "odd"},
        ],
    },
    {"type": "function_call", "name": "f", "arguments": "{}", "call_id": "c", "id": "i"},
    {"type": "custom_tool_call", "name": "f", "input": "x", "callId": "c"},
    {"type": "function_call_output", "call_id": "c", "output": "x"},
    {"type": "custom_tool_call_output", "id": "c", "output": [{"type": "input_text", "text": "x"}]},
    {"type": "reasoning", "id": "r", "encrypted_content": "e", "summary": [{"text": "x"}], "content": [{"text": "x"}]},
    {"type": "item_reference", "id": "i"},
    {"id": "i"},
    {"type": "odd"},
]
RESPONSES: list[Body] = [
    {"model": "a/b", "input": "x", "conversation": "c", "tool_choice": "auto"},
    {"model": "a/b", "input": ITEMS},
    {
        "model": "a/b", "input": "x", "instructions": "i", "max_output_tokens": 5, "max_tool_calls": 2,
        "temperature": 1, "top_p": 1, "top_logprobs": 3, "presence_penalty": 1, "frequency_penalty": 1,
        "tools": [
            {"type": "function", **FUNCTION},
            {"type": "custom", "name": "c", "format": {}},
            {"type": "mcp", "server_label": "s"},
            {"type": "odd"},
        ],
        "tool_choice": {"type": "function", "name": "f"}, "parallel_tool_calls": True,
        "text": {"format": {"type": "json_schema", "name": "n", "schema": {}, "strict": True}, "verbosity": "low"},
        "reasoning": {"effort": "low", "summary": "auto", "generate_summary": "auto"}, "include": ["a"],
        "metadata": {"a": "b"}, "user": "u", "safety_identifier": "s", "prompt_cache_key": "p",
        "service_tier": "auto", "store": True, "previous_response_id": "r", "truncation": "auto",
        "background": False, "stream": True, "stream_options": {"include_obfuscation": True},
        "prompt": {"id": "p", "version": "1", "variables": {}},
    },
    {
        "model": "a/b", "input": "x", "conversation": {"id": "c"}, "text": {"format": {"type": "text"}},
        "tool_choice": {"type": "allowed_tools", "mode": "auto", "tools": [{"type": "function", "name": "f"}]},
    },
]  # fmt: skip
IMAGES: list[Body] = [
    {
        "prompt": "p", "model": "a/b", "n": 2, "size": "1024x1024", "quality": "high", "response_format": "url",
        "output_format": "png", "output_compression": 50, "background": "auto", "frame_count": 4, "stream": True,
        "partial_images": 2, "user": "u", "safety_identifier": "s", "style": "vivid", "moderation": "low",
    },
    {"prompt": "p"},
]  # fmt: skip
SPEECH: list[Body] = [
    {"input": "x", "voice": {"id": "v"}},
    {
        "input": "x", "model": "a/b", "voice": "v", "instructions": "i", "response_format": "wav", "speed": 1,
        "stream_format": "sse",
    },
]  # fmt: skip
MODERATIONS: list[Body] = [
    {"input": "x", "model": "a/b"},
    {"input": ["a", ""]},
    {"input": [{"type": "text", "text": "x"}, {"type": "image_url", "image_url": {"url": "https://a.b"}}]},
]
EMBEDDINGS: list[Body] = [
    {"model": "a/b", "input": "x", "encoding_format": "float", "dimensions": 5, "user": "u"},
    {"input": ["x", "y"]},
    {"input": [1, 2]},
    {"input": [[1, 2], [3], "x"]},
]

# Whole numbers written with a fraction are integers to JSON Schema, and none to the gateway; so they are left out.
VALUES: list[Any] = [
    None, True, False, 0, 1, -1, 3, 200, 2.5, -0.5, 2**62, 2**63, "", "x", "user", "tool", "function", "custom",
    "auto", "none", "required", "any", "json", "json_schema", "allowed_tools", "text", "image_url", "input_text",
    "https://a.b/c", "ftp://x", "priority", "message", "function_call", "x" * 300, "f f", [], {}, ["x"], [""], [None],
    [1], ["a"] * 5, [{}], [[]], [{"type": "function"}], {"type": "function"}, {"type": "function", "name": "f"},
    {"type": "x"}, {"type": ""}, {"type": 5}, {"id": "x"}, {"url": "https://a.b"}, {"name": "f"}, {"text": "x"},
    {"name": "g", "arguments": 5}, {"a": 5}, {"k" * 70: "v"}, {"k": "v" * 600}, {str(i): "x" for i in range(20)},
    {"role": "user"}, {"role": "assistant", "content": []}, {"role": "assistant", "content": [], "reasoning": "x"},
    {"type": "text"}, {"type": "text", "text": 5},
]  # fmt: skip

BEYOND = re.compile(
    "|".join(
        [
            # Rules between fields.
            "is only allowed with",
            "contradicts max_completion_tokens",
            "cannot be used together with",
            "a background response must be stored",
            r"input: is required: a string, or a list",
            "is not defined in (tools|functions)",
            "'required' needs at least one tool",
            # A tool as Chat Completions writes it; with a name of its own it would be taken.
            "takes name and parameters directly",
            # What a pattern would say at great length.
            "a URL has no spaces|expected an http.s. or data: URL|a data: URL needs|not valid base64",
            "at most 256 printable characters",
            # A field that would name a server or a credential, in another spelling than the schema's.
            "is not allowed in a request",
        ]
    )
)
CASES: dict[str, tuple[Validator, list[Any]]] = {
    "chat": (CHAT_REQUEST, CHAT),
    "responses": (RESPONSES_REQUEST, RESPONSES),
    "embeddings": (EMBEDDINGS_REQUEST, EMBEDDINGS),
    "images": (GENERATION_REQUEST, IMAGES),
    "speech": (SPEECH_REQUEST, SPEECH),
    "moderations": (MODERATION_REQUEST, MODERATIONS),
    "items": (response_items, [ITEMS]),
    "metadata": (response_metadata, [{"a": "b", "c": ""}]),
}


def places(value: Any, here: Path = ()) -> Iterator[Path]:
    yield here
    if isinstance(value, dict | list):
        for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
            yield from places(inner, (*here, key))


def changed(body: Any, place: Path, value: Any, delete: bool) -> Any:
    """The body with another value at this place, or with nothing there; what is elsewhere is shared with it."""
    if not place:
        return value
    made = copy.copy(body)
    if len(place) > 1:
        made[place[0]] = changed(body[place[0]], place[1:], value, delete)
    elif delete:
        del made[place[0]]
    else:
        made[place[0]] = value
    return made


@st.composite
def bodies(draw: st.DrawFn, samples: list[Any]) -> Any:
    """A good body with one to three of its values replaced or removed, and sometimes a member from another one."""
    body = draw(st.sampled_from(samples))
    if isinstance(body, dict) and draw(st.booleans()):
        other = draw(st.sampled_from(samples))
        body = {**body, **{key: other[key] for key in draw(st.sets(st.sampled_from(sorted(other)), max_size=3))}}
    for _ in range(draw(st.integers(1, 3))):
        found = [place for place in places(body) if place]
        if not found:
            break
        body = changed(body, draw(st.sampled_from(found)), draw(st.sampled_from(VALUES)), draw(st.integers(0, 5)) == 0)
    return body


def refusal(validator: Validator, body: Any) -> str:
    """Why the validator refuses, "" when it does not."""
    try:
        validator("body", body)
    except CallerFault as fault:
        return fault.message
    return ""


def disagreement(validator: Validator, schema: Draft202012Validator, body: Any) -> str:
    why = refusal(validator, body)
    if why and BEYOND.search(why):
        return ""
    error = next(schema.iter_errors(body), None)
    if (error is None) == (why == ""):
        return ""
    return f"validator: {why or 'taken'}; schema: {error.message[:300] if error else 'taken'}"


@pytest.mark.parametrize("name", CASES)
def test_schemas_are_sound(name):
    Draft202012Validator.check_schema(CASES[name][0].schema())


@pytest.mark.parametrize("name", CASES)
def test_samples_are_good(name):
    validator, samples = CASES[name]
    schema = Draft202012Validator(validator.schema())
    for sample in samples:
        assert refusal(validator, sample) == ""
        assert schema.is_valid(sample)


@pytest.mark.parametrize("name", CASES)
def test_every_member_missing_or_of_another_type(name):
    """One place after the other, so that every rule is met."""
    validator, samples = CASES[name]
    schema = Draft202012Validator(validator.schema())
    for sample in samples:
        for place in places(sample):
            if name == "responses" and place[:1] == ("input",) and len(place) > 3:
                continue  # inside of items, which are a case of their own
            for value, delete in ((None, True), (None, False), ([], False), ({}, False), (7, False), ("", False)):
                if place:
                    body = changed(sample, place, value, delete)
                    assert disagreement(validator, schema, body) == "", (place, value, delete)


@pytest.mark.parametrize("name", CASES)
def test_validator_and_schema_agree(name):
    validator, samples = CASES[name]
    schema = Draft202012Validator(validator.schema())

    @settings(max_examples=120, deadline=None)
    @given(bodies(samples))
    def agree(body: Any) -> None:
        assert disagreement(validator, schema, body) == ""

    agree()


def test_a_disagreement_is_found():
    """The tests above can fail: a schema that says less, and one that says more."""
    lax = Validator(CHAT_REQUEST.check, {})
    assert disagreement(lax, Draft202012Validator(lax.schema()), {"messages": 5}) != ""
    strict = Validator(CHAT_REQUEST.check, {"maxProperties": 0})
    assert disagreement(strict, Draft202012Validator(strict.schema()), CHAT[0]) != ""


SMALL: dict[str, tuple[Validator, list[Any], list[Any]]] = {
    "boolean": (validators.boolean, [True, False], [None, 0, "true"]),
    "string": (validators.string, ["", "x"], [None, 5, []]),
    "filled string": (validators.filled_string, ["x"], ["", None, 5]),
    "object": (validators.mapping, [{}, {"a": 1}], [None, [], "x"]),
    "integer": (validators.integer(1, 5), [1, 5], [0, 6, True, "1", None, 1.5]),
    "number": (validators.number(0, 2), [0, 2, 0.5], [-0.1, 2.1, True, "1", None]),
    "one of": (validators.one_of(("a", "b")), ["a", "b"], ["c", "", None, 1, ["a"]]),
    "array": (validators.array(validators.filled_string), [[], ["x"]], [None, [""], ["x", 1], {}]),
    "filled array": (validators.array(validators.string, filled=True), [["x"]], [None, []]),
    "object with members": (
        validators.obj({"a": validators.string, "b": validators.boolean}, required=("a",)),
        [{"a": ""}, {"a": "", "b": None}, {"a": "", "c": 1}],
        [{}, {"a": None}, {"a": "", "b": 1}, []],
    ),
    "nullable": (validators.nullable(validators.one_of(("a",))), ["a", None], ["b", 5]),
    "nullable integer": (validators.nullable(validators.integer(1, 5)), [1, None], [0, "x"]),
    "present": (validators.present(validators.string, "is missing"), ["x"], [None, 5]),
    "any of": (
        validators.any_of(validators.one_of(("a",)), validators.obj({"b": validators.string}, required=("b",))),
        ["a", {"b": "x"}],
        ["b", {}, None, 5],
    ),
}


@pytest.mark.parametrize("name", SMALL)
def test_small_validators(name):
    validator, good, bad = SMALL[name]
    schema = Draft202012Validator(validator.schema())
    assert [value for value in good if refusal(validator, value) or not schema.is_valid(value)] == []
    assert [value for value in bad if not refusal(validator, value) or schema.is_valid(value)] == []


def test_a_path_names_the_wrong_member():
    nested = validators.obj({"a": validators.array(validators.obj({"b": validators.integer(1, 2)}))})
    with pytest.raises(CallerFault) as caught:
        nested("x", {"a": [{}, {"b": 3}]})
    assert caught.value.param == "x.a[1].b"
    assert caught.value.code == "value_out_of_range"


def test_words_about_a_value_do_not_change_it():
    described = validators.integer(1, 2).about("How many.")
    assert described.schema() == {**validators.integer(1, 2).schema(), "description": "How many."}
    assert refusal(described, 3) == refusal(validators.integer(1, 2), 3)


def test_a_schema_is_a_copy():
    taken = CHAT_REQUEST.schema()
    taken["properties"].clear()
    assert CHAT_REQUEST.schema()["properties"]


def test_components_stand_once():
    inner = Component("Inner", {"type": "string"})
    outer = Component("Outer", {"type": "array", "items": inner})
    tree = {"anyOf": [outer, or_null(inner)]}
    assert [component.name for component in components_of(tree)] == ["Outer", "Inner", "Inner"]
    assert referred(outer.tree) == {"type": "array", "items": {"$ref": "#/components/schemas/Inner"}}
    assert inlined(tree) == {
        "anyOf": [
            {"type": "array", "items": {"type": "string"}},
            {"anyOf": [{"type": "string"}, {"type": "null"}]},
        ]
    }
