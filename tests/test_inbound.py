"""A request in two forms: what is noted while it is translated counts only where the translation is sent."""

from __future__ import annotations

import pytest

from gateway.call import Form
from gateway.errors import CallerFault
from gateway.inbound import Notes
from gateway.testing import make_call

CHAT = {"model": "m", "messages": [{"role": "user", "content": "hi"}], "stream": True}


def test_the_chat_form_has_what_was_left_out_and_the_call_gets_the_body() -> None:
    call, notes = make_call({}), Notes("Somebody")
    notes.report("top_k")
    notes.report_rest({"a": 1, "b": 2, "c": None, "x" * 100: 3}, frozenset({"a"}), "tools[]")
    form = notes.form(call, CHAT)
    assert form == Form(CHAT, form.dropped, None)
    assert list(form.dropped) == ["top_k", "tools[].b", "tools[]." + "x" * 64]
    assert (call.body, call.model, call.stream) == (CHAT, "m", True)


def test_the_first_thing_to_blame_refuses_the_form_and_names_its_owner() -> None:
    notes = Notes("Somebody")
    notes.blame("a", "this thing")
    notes.blame("b", "another")
    fault = notes.form(make_call({}), CHAT).fault
    assert isinstance(fault, CallerFault)
    assert (fault.status, fault.param) == (400, "a")
    assert fault.message == (
        "a: this thing: only models of a provider that speaks Somebody's API can take it; "
        "leave it out, or ask such a model"
    )


@pytest.mark.parametrize("blamed", [False, True])
def test_a_chat_body_that_is_wrong_is_refused_only_where_it_is_sent(blamed: bool) -> None:
    call, notes = make_call({}), Notes("Somebody")
    if blamed:
        notes.blame("a", "this thing")
    wrong = {**CHAT, "temperature": "hot"}
    form = notes.form(call, wrong)
    assert form.fault is not None
    assert form.fault.param == ("a" if blamed else "temperature")
    assert form.body is wrong
    assert call.body is wrong, "by which the call is held, clamped and estimated"
