"""The attempts of a request in the form that a usage log keeps."""

from __future__ import annotations

from dataclasses import replace

from gateway.call import AttemptRecord
from gateway.stores import pack_tries, unpack_tries
from gateway.stores.tries import MOST_TRIES

ONE = AttemptRecord(
    "lab/a", "lab", "http://a.test", "failed", 503, "upstream_error", "over", 1750000000.123, 0.25, None
)


def test_what_is_kept_comes_back() -> None:
    tries = [ONE, replace(ONE, outcome="ok", status=None, error="", reason="", first_byte=0.0625)]
    assert unpack_tries(pack_tries(tries)) == tries
    assert (pack_tries([]), unpack_tries("")) == ("", [])


def test_of_many_the_first_and_the_last_are_kept() -> None:
    tries = [replace(ONE, seconds=float(number)) for number in range(100)]
    kept = [one.seconds for one in unpack_tries(pack_tries(tries))]
    assert kept == [*range(8), *range(76, 100)]
    assert len(kept) == MOST_TRIES


def test_its_size_is_bounded_whatever_an_upstream_writes() -> None:
    wild = replace(ONE, reason="\ud83d" + "\N{PILE OF POO}" * 10**6, error="\0" * 10**6)
    kept = pack_tries([wild] * 1000)
    assert len(kept.encode()) < MOST_TRIES * 2500
    [first, *_] = unpack_tries(kept)
    assert first.reason == "?" + "\N{PILE OF POO}" * 199
    assert "\0" not in kept
    assert first.error == "\0" * 200
