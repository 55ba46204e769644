"""Other spellings of a chat request: restated when a body was found wrong, and only what can mean one thing."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from gateway.call import Call
from gateway.dialect import ChatDialect
from gateway.errors import CallerFault
from gateway.testing import make_call
from gateway.wire.chat.spellings import restate

ASK = {"role": "user", "content": "q"}
USE = {"id": "c", "function": {"name": "f", "arguments": "{}"}}
TYPED = {**USE, "type": "function"}
SAID, RESULT = {"type": "text", "text": "a"}, {"role": "tool", "tool_call_id": "c", "content": "r"}
BLOCK = {"type": "tool_use", "id": "c", "name": "f", "input": {}}
LINK = "https://example.com/a.png"
ADDRESS = {"file_url": LINK, "file_data": LINK}
PAPER = {"file_data": "data:application/pdf;base64,JVBERi0=", "filename": "a.pdf"}
TOOLS = [{"type": "function", "function": {"name": "f"}}]


def opened(**members: Any) -> dict[str, Any]:
    """What the chat door makes of a body."""
    call: Call = make_call()
    ChatDialect().open(call, {"messages": [ASK], **members}, {})
    return dict(call.body)


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ({"stop": []}, {}),
        ({"stop": "", "functions": [], "modalities": []}, {}),
        ({"tools": TOOLS, "tool_choice": "any"}, {"tools": TOOLS, "tool_choice": "required"}),
        ({"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": LINK}]}]},
         {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": LINK}}]}]}),
        ({"messages": [ASK, {"role": "assistant"}]}, {"messages": [ASK, {"role": "assistant", "content": ""}]}),
        ({"messages": [ASK, {"role": "assistant", "content": None, "tool_calls": [], "refusal": None}, ASK]},
         {"messages": [ASK, {"role": "assistant", "content": "", "tool_calls": [], "refusal": None}, ASK]}),
        ({"messages": [ASK, {"role": "assistant", "content": None, "tool_calls": [USE]},
                       {"role": "tool", "tool_call_id": "c", "content": []}]},
         {"messages": [ASK, {"role": "assistant", "content": None, "tool_calls": [TYPED]},
                       {"role": "tool", "tool_call_id": "c", "content": ""}]}),
        ({"messages": [ASK, {"role": "assistant", "content": "x", "tool_calls": [USE]},
                       {"role": "tool", "tool_call_id": "c", "content": None}]},
         {"messages": [ASK, {"role": "assistant", "content": "x", "tool_calls": [TYPED]},
                       {"role": "tool", "tool_call_id": "c", "content": ""}]}),
        ({"messages": [{"role": "user", "content": [{"type": "input_text", "text": "q"},
                                                    {"type": "input_image", "image_url": LINK, "detail": "low"},
                                                    {"type": "input_image", "image_url": LINK, "detail": None},
                                                    {"type": "input_file", **PAPER}]},
                       {"role": "assistant", "content": [{"type": "output_text", "text": "a", "annotations": []}]}]},
         {"messages": [{"role": "user", "content": [{"type": "text", "text": "q"},
                                                    {"type": "image_url", "image_url": {"url": LINK, "detail": "low"}},
                                                    {"type": "image_url", "image_url": {"url": LINK}},
                                                    {"type": "file", "file": PAPER}]},
                       {"role": "assistant", "content": [{"type": "text", "text": "a"}]}]}),
        ({"messages": [ASK, {"role": "assistant", "content": [SAID, BLOCK], "tool_calls": [TYPED]}, RESULT]},
         {"messages": [ASK, {"role": "assistant", "content": [SAID], "tool_calls": [TYPED]}, RESULT]}),
        ({"messages": [ASK, {"role": "assistant", "content": [BLOCK], "tool_calls": [TYPED]}, RESULT]},
         {"messages": [ASK, {"role": "assistant", "content": None, "tool_calls": [TYPED]}, RESULT]}),
        ({"messages": [{"role": "user", "content": [{"type": "input_file", "file_url": LINK}]}]},
         {"messages": [{"role": "user", "content": [{"type": "file", "file": ADDRESS}]}]}),
        ({"tools": [{"type": "function", "name": "f", "parameters": {}, "strict": False}],
          "tool_choice": {"type": "function", "name": "f"}},
         {"tools": [{"type": "function", "function": {"name": "f", "parameters": {}, "strict": False}}],
          "tool_choice": {"type": "function", "function": {"name": "f"}}}),
    ],
)  # fmt: skip
def test_another_spelling_is_taken(given: dict[str, Any], meant: dict[str, Any]) -> None:
    assert opened(**copy.deepcopy(given)) == {"messages": [ASK], **meant}
    assert not restate(copy.deepcopy({"messages": [ASK], **meant})), "once is enough"


@pytest.mark.parametrize(
    ("given", "param"),
    [
        ({"messages": [{"role": "user", "content": None}]}, "messages[0].content"),
        ({"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": "no link"}]}]}, "image_url.url"),
        ({"stop": [], "temperature": 3}, "temperature"),
        (
            {"messages": [{"role": "user", "content": [{"type": "input_image", "file_id": "file-1"}]}]},
            "content[0].type",
        ),
        ({"messages": [{"role": "user", "content": [{"type": "input_file"}]}]}, "content[0].file"),
        ({"tools": [{"type": "function", "name": 7}]}, "tools[0].function"),
        ({"tool_choice": "some"}, "tool_choice"),
        ({"messages": 7, "stop": ""}, "messages"),
        ({"messages": [7, {"role": "assistant", "tool_calls": 7, "content": [7]}]}, "messages[0]"),
    ],
)
def test_what_is_wrong_in_every_spelling_stays_wrong(given: dict[str, Any], param: str) -> None:
    with pytest.raises(CallerFault) as caught:
        opened(**given)
    assert (caught.value.param or "").endswith(param)
