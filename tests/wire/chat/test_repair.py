"""What an SDK could not read comes out as it should have been; what is right stays untouched."""

from __future__ import annotations

import copy
from typing import Any

import orjson
import pytest
from openai.lib.streaming.chat import ChatCompletionStreamState
from openai.types.chat import ChatCompletionChunk

from gateway.errors import Fault
from gateway.wire.chat.endings import KNOWN, meaning_of
from gateway.wire.chat.fold import fold_stream
from gateway.wire.chat.repair import ChunkRepair, repair_completion
from gateway.wire.chat.tally import ChatTally


def chunk(delta: dict[str, Any], finish: Any = None, **more: Any) -> dict[str, Any]:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice], **more}


def call(index: Any, identity: str | None = None, name: str | None = None, arguments: Any = "") -> dict[str, Any]:
    function = {"arguments": arguments} | ({"name": name} if name else {})
    made: dict[str, Any] = {"function": function} | ({"id": identity, "type": "function"} if identity else {})
    return made | ({} if index == "none" else {"index": index})


def relayed(*chunks: dict[str, Any]) -> list[dict[str, Any]]:
    """What comes out of a tally, in which equal chunks take the short way."""
    tally = ChatTally(1, "chatcmpl-9", 7)
    out: list[dict[str, Any]] = []
    for given in chunks:
        for item in tally.add([orjson.dumps(given)]):
            if isinstance(item, Fault):
                raise item
            out.append(orjson.loads(item) if isinstance(item, bytes) else item)
    return out


def told(*calls: dict[str, Any]) -> list[tuple[str, str, str]]:
    """Id, name and arguments of each call, joined as the official SDKs join them: by index, string by string."""
    out = relayed(*(chunk({"tool_calls": [delta]}) for delta in calls), chunk({}, "tool_calls"))
    found: dict[int, list[str]] = {}
    for event in out:
        for delta in event["choices"][0]["delta"].get("tool_calls", ()):
            parts = found.setdefault(delta["index"], ["", "", ""])
            parts[0] += delta.get("id", "")
            parts[1] += delta["function"].get("name", "")
            parts[2] += delta["function"].get("arguments", "")
    return [(parts[0], parts[1], parts[2]) for _, parts in sorted(found.items())]


ONE = [("c1", "f", '{"a":1}')]
TWO = [*ONE, ("c2", "g", '{"a":2}')]


@pytest.mark.parametrize("index", ["none", None, -1, "0", 0])
def test_a_call_without_index(index: Any) -> None:
    assert told(call(index, "c1", "f", '{"a"'), call(index, None, None, ":1}")) == ONE


@pytest.mark.parametrize("index", ["none", None, 0])
def test_parallel_calls_that_are_told_apart_by_their_ids_only(index: Any) -> None:
    halves = [
        call(index, "c1", "f", ""),
        *(call(index, None, None, piece) for piece in ('{"', "a", '":', "1}")),
        call(index, "c2", "g", ""),
        *(call(index, None, None, piece) for piece in ('{"', "a", '":', "2}")),
    ]
    assert told(*halves) == TWO


def test_calls_that_share_an_id_or_have_none_are_told_apart() -> None:
    told_apart = told(call(0, "c1", "f", '{"a":1}'), call(1, "c1", "g", '{"a":2}'))
    assert [name for _, name, _ in told_apart] == ["f", "g"]
    assert len({identity for identity, _, _ in told_apart}) == 2
    nameless = told(call(0, None, "f", '{"a":1}'), call(0, None, "g", '{"a":2}'))
    assert [one[1:] for one in nameless] == [("f", '{"a":1}'), ("g", '{"a":2}')]
    assert len({identity for identity, _, _ in nameless}) == 2


def test_a_call_without_a_list_around_it() -> None:
    out = relayed(chunk({"tool_calls": call(0, "c1", "f", '{"a":1}')}), chunk({}, "stop"))
    assert out[0]["choices"][0]["delta"]["tool_calls"] == [call(0, "c1", "f", '{"a":1}')]
    assert out[1]["choices"][0]["finish_reason"] == "tool_calls"
    body = {"choices": [{"message": {"tool_calls": call("none", "c1", "f", "{}")}}]}
    repair_completion(body, "i", 0)
    assert body["choices"][0]["message"]["tool_calls"] == [call("none", "c1", "f", "{}")]


@pytest.mark.parametrize("asked", [False, True])
def test_a_call_in_the_older_form_is_one_of_the_newer_unless_it_was_asked_for(asked: bool) -> None:
    repair, calls, reasons = ChunkRepair("chatcmpl-9", 7, asked), "", []
    for given in (
        chunk({"function_call": {"name": "f", "arguments": ""}}),
        chunk({"function_call": {"arguments": '{"a":1}'}}),
        chunk({}, "function_call"),
    ):
        repair.repair(given)
        choice = given["choices"][0]
        inner = [choice["delta"].get("function_call")] if asked else [
            one["function"] for one in choice["delta"].get("tool_calls", ())
        ]  # fmt: skip
        calls += "".join(one.get("name", "") + one["arguments"] for one in inner if one)
        reasons.append(choice["finish_reason"])
    assert calls == 'f{"a":1}'
    assert reasons[-1] == ("function_call" if asked else "tool_calls")
    body: Any = {"choices": [{"message": {"function_call": {"name": "f"}}, "finish_reason": "function_call"}]}
    repair_completion(body, "i", 0, asked)
    assert ("tool_calls" in body["choices"][0]["message"]) is not asked
    assert body["choices"][0]["finish_reason"] == reasons[-1]


def test_the_older_form_beside_the_newer_says_the_same() -> None:
    both = {"tool_calls": [call(0, "c1", "f", "{}")], "function_call": {"name": "f", "arguments": "{}"}}
    (out,) = relayed(chunk(both))
    assert out["choices"][0]["delta"] == {"role": "assistant", "tool_calls": [call(0, "c1", "f", "{}")]}


def test_an_end_that_is_told_again_is_told_once() -> None:
    out = relayed(chunk({"content": "a"}, "stop"), chunk({"content": "b"}, "stop"))
    assert [one["choices"][0]["finish_reason"] for one in out] == ["stop", None]


def test_ids_and_names_that_are_told_again_are_told_once() -> None:
    assert told(call(0, "c1", "f", '{"a"'), call(0, "c1", "f", ":1"), call(0, "c1", "f", "}")) == ONE


def test_a_call_without_id_gets_one_and_no_arguments_are_an_empty_object() -> None:
    assert told(call(0, None, "f", None)) == [("call_9_0_0", "f", "{}")]
    assert told(call(0, "c1", "f", {"a": 1})) == [("c1", "f", '{"a":1}')]


@pytest.mark.parametrize(
    ("given", "calls", "right"),
    [
        ("", False, None), ("stop", False, "stop"), ("stop", True, "tool_calls"), ("tool_calls", False, "stop"),
        ("tool_calls", True, "tool_calls"), ("end_turn", True, "tool_calls"), ("MAX_TOKENS", False, "length"),
        ("guardrail_intervened", False, "content_filter"), ("RECITATION", False, "content_filter"),
        ("length", True, "length"), ("eos_found", False, "stop"), ("output_truncated", False, "length"),
        ("censored", False, "content_filter"),
    ],
)  # fmt: skip
def test_reasons_of_streams(given: str, calls: bool, right: str | None) -> None:
    said = {"tool_calls": [call(0, "c1", "f", "{}")]} if calls else {"content": "x"}
    *_, last = relayed(chunk(said), chunk({}, given))
    assert last["choices"][0]["finish_reason"] == right
    if given and given not in KNOWN:
        assert last["choices"][0]["native_finish_reason"] == given


@pytest.mark.parametrize(
    "given", ["error", "MALFORMED_FUNCTION_CALL", "OTHER", "insufficient_system_resource", "rate_limited"]
)
def test_failures_are_faults_that_may_be_tried_again(given: str) -> None:
    with pytest.raises(Fault) as found:
        relayed(chunk({"content": "x"}), chunk({}, given))
    assert (found.value.code, found.value.retryable) == ("upstream_failed", True)  # type: ignore[attr-defined]
    with pytest.raises(Fault):
        repair_completion({"choices": [{"message": {"content": "x"}, "finish_reason": given}]}, "i", 1)
    assert meaning_of(given.upper()) == "error"


def test_what_a_failed_answer_used_is_known() -> None:
    tally = ChatTally()
    found = tally.add([orjson.dumps(chunk({}, "error", usage={"prompt_tokens": 3, "completion_tokens": 1}))])
    assert isinstance(found[-1], Fault)
    assert tally.usage is not None


def test_a_call_whose_name_never_came_is_a_fault() -> None:
    with pytest.raises(Fault):
        told(call(0, "c1", None, "{}"))


def test_frames_and_choices() -> None:
    (event,) = relayed({"choices": [{"message": {"content": "x"}}, {"delta": None}]})
    assert (event["id"], event["object"], event["created"]) == ("chatcmpl-9", "chat.completion.chunk", 7)
    assert [choice["index"] for choice in event["choices"]] == [0, 1]
    role = {"role": "assistant"}
    assert [choice["delta"] for choice in event["choices"]] == [{**role, "content": "x"}, role]


def test_an_answer_whose_role_nobody_told_has_one() -> None:
    """openai-node raises at the end of a stream without: "missing role for choice 0"."""
    other = {**chunk({"content": "c"}), "choices": [{"index": 1, "delta": {"content": "c"}, "finish_reason": None}]}
    out = relayed(chunk({"content": "a"}), chunk({"content": "b"}), other, chunk({}, "stop"))
    assert [event["choices"][0]["delta"].get("role") for event in out] == ["assistant", None, "assistant", None]


def test_what_is_right_is_left_alone() -> None:
    stream = [
        chunk({"role": "assistant", "content": None}),
        chunk({"tool_calls": [call(0, "c1", "f"), call(1, "c2", "g")]}),
        chunk({"tool_calls": [call(1, None, None, "{}")]}),
        chunk({"tool_calls": [call(0, None, None, '{"a":1}')]}),
        chunk({}, "tool_calls"),
        {**chunk({}), "choices": [], "usage": {"prompt_tokens": 1}},
    ]
    repair = ChunkRepair("i", 0)
    for given in copy.deepcopy(stream):
        before = copy.deepcopy(given)
        assert not repair.repair(given)
        assert given == before
    assert relayed(*stream) == stream
    assert fold_stream(stream)["choices"][0]["finish_reason"] == "tool_calls"


def test_what_says_nothing_of_a_call_is_none() -> None:
    empty = {"index": 1, "id": None, "type": None, "function": {"name": None, "arguments": ""}}
    assert told({**empty, "index": 0}, call(0, "c1", "f", '{"a":1}'), empty, {"function": {"arguments": ""}}) == ONE
    message: dict[str, Any] = {"content": "x", "tool_calls": [{"id": "", "function": {"name": "", "arguments": ""}}]}
    answer: dict[str, Any] = {"choices": [{"message": message, "finish_reason": "stop"}]}
    repair_completion(answer, "chatcmpl-1", 5)
    assert not message["tool_calls"]


def test_pieces_that_are_counted_belong_to_the_call_before() -> None:
    assert told(call(0, "c1", "f"), call(1, arguments='{"a"'), call(2, arguments=":1}")) == ONE


@pytest.mark.parametrize("said", [True, False])
def test_a_whole_message_at_the_end_of_a_stream_is_not_said_twice(said: bool) -> None:
    whole = {"role": "assistant", "content": "hi"}
    last = {**chunk({}), "choices": [{"index": 0, "message": whole, "finish_reason": "stop"}]}
    before = [chunk({"content": "h"}), chunk({"content": "i"})] if said else []
    out = relayed(*before, last)
    assert "".join(event["choices"][0]["delta"].get("content") or "" for event in out) == "hi"
    assert all("message" not in event["choices"][0] for event in out)


def test_whole_answers() -> None:
    calls = [{"function": {"name": "f", "arguments": None}}, {"id": "c", "function": {"name": "g", "arguments": {}}}]
    answer: dict[str, Any] = {"choices": [{"message": {"tool_calls": calls}, "finish_reason": "stop"}]}
    repair_completion(answer, "chatcmpl-1", 5)
    assert (answer["id"], answer["created"], answer["object"]) == ("chatcmpl-1", 5, "chat.completion")
    (choice,) = answer["choices"]
    assert (choice["index"], choice["finish_reason"], choice["message"]["role"]) == (0, "tool_calls", "assistant")
    ids = [(made["id"], made["type"], made["function"]["arguments"]) for made in choice["message"]["tool_calls"]]
    assert ids == [("call_1_0_0", "function", "{}"), ("c", "function", "{}")]
    for reason in ("tool_calls", "", None):
        answer = {"choices": [{"message": {"content": "x"}, "finish_reason": reason}]}
        repair_completion(answer, "chatcmpl-1", 5)
        assert answer["choices"][0]["finish_reason"] == "stop"
    with pytest.raises(Fault):
        repair_completion({"choices": [{"message": {"tool_calls": [{"function": {"name": ""}}]}}]}, "i", 1)


def added_up(*deltas: dict[str, Any]) -> list[dict[str, Any]]:
    """What the official SDK makes of a stream, and the deltas that it gets."""
    out = relayed(*map(chunk, deltas), chunk({}, "stop"))
    state = ChatCompletionStreamState()
    for event in out:
        list(state.handle_chunk(ChatCompletionChunk.model_validate(event)))
    message = state.get_final_completion().choices[0].message.model_dump(exclude_none=True)
    assert message.pop("role", "assistant") == "assistant"
    return [message, *(event["choices"][0]["delta"] for event in out)]


def test_line_ends_that_a_model_wrote_into_arguments_are_told_so_that_they_can_be_read() -> None:
    for given, right in (('{"a": "x\ny"}', {"a": "x\ny"}), ('{\n"a": 1}', {"a": 1}), ('{"a": "x\n', None)):
        message: dict[str, Any] = {"tool_calls": [call(0, "c1", "f", given)]}
        repair_completion({"choices": [{"message": message, "finish_reason": "stop"}]}, "i", 1)
        told = message["tool_calls"][0]["function"]["arguments"]
        assert told == given if right is None else orjson.loads(told) == right


def test_a_role_is_told_once_and_is_the_assistants() -> None:
    for first, again in (("assistant", "assistant"), ("", ""), (None, "assistant"), ("model", None)):
        message, *deltas = added_up(*({"role": role, "content": "a"} for role in (first, again, again)))
        assert message == {"content": "aaa"}
        assert [delta.get("role") for delta in deltas] == ["assistant", None, None, None]


def test_content_in_parts_becomes_text_and_thoughts() -> None:
    thought = {"type": "thinking", "thinking": "Hm."}
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}}
    message, *_ = added_up(
        {"content": [thought, {"type": "text", "text": "Hi"}, 5]}, {"content": [image]}, {"content": []}
    )
    assert message["content"] == "Hi"
    assert message["reasoning_content"] == "Hm."
    assert message["images"] == [{**image, "index": 0}]
    said = {"content": [thought, {"type": "text", "text": "Hi"}]}
    whole: dict[str, Any] = {"choices": [{"message": said, "finish_reason": "stop"}]}
    repair_completion(whole, "x", 1)
    assert whole["choices"][0]["message"] == {"content": "Hi", "reasoning_content": "Hm.", "role": "assistant"}


def test_entries_of_lists_are_numbered() -> None:
    note = {"type": "url_citation", "url_citation": {"url": "https://a.example/"}}
    message, *_ = added_up({"annotations": [note]}, {"annotations": [note, note], "citations": ["https://a.example/"]})
    assert [entry["index"] for entry in message["annotations"]] == [0, 1, 2]
    assert message["citations"] == ["https://a.example/"]
    numbered = {"reasoning_details": [{"index": 4, "text": "a"}]}
    assert added_up(numbered)[1] == {"role": "assistant", **numbered}
