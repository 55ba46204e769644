"""A call is frozen once it was admitted."""

from __future__ import annotations

import pytest

from gateway.call import Call
from gateway.errors import CallerFault
from gateway.testing import make_call, make_target


@pytest.mark.parametrize("member", ["body", "model", "stream", "targets", "max_output", "forms", "caller", "dialect"])
def test_what_was_asked_cannot_be_changed_any_more(member: str) -> None:
    call = make_call()
    before = getattr(call, member)
    call.freeze()
    with pytest.raises(AttributeError, match=member):
        setattr(call, member, None)
    with pytest.raises(AttributeError, match=member):
        delattr(call, member)
    assert getattr(call, member) is before
    assert isinstance(call, Call)


def test_its_progress_goes_on_and_is_shared_by_its_views() -> None:
    call = make_call()
    call.freeze()
    view = call.view("other", {"x": 1})
    call.attempts += 1
    view.target = target = make_target()
    view.report_dropped("seed")
    call.cost, call.covered = 3, 4
    assert (view.attempts, call.target, call.dropped, view.cost, view.covered) == (1, target, ["seed"], 3, 4)
    assert (view.dialect, view.body, call.dialect) == ("other", {"x": 1}, "chat")
    with pytest.raises(AttributeError):
        view.body = {}


def test_what_is_dropped_is_refused_when_strict() -> None:
    with pytest.raises(CallerFault) as caught:
        make_call(strict=True).report_dropped("seed")
    assert (caught.value.param, caught.value.code) == ("seed", "unsupported_parameter")
