"""What is read of the store and of the running gateway when somebody scrapes."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from prometheus_client import CollectorRegistry, Histogram

from gateway import metrics
from gateway.api.stores import StoresSettings
from gateway.exposition import merge, render, snapshot
from gateway.stores import HoldRequest
from gateway.testing.memory_stores import MemoryKind
from gateway.upstream.health import CircuitName, HealthBook


async def test_holds_and_accounts_of_the_store(monkeypatch: Any) -> None:
    monkeypatch.setattr(metrics, "_PAGE", 2)
    async with await MemoryKind().open("memory://m", StoresSettings("/nowhere", b"s" * 32)) as stores:
        made = [await stores.accounts.create_account(f"a{number}", grant=100 + number) for number in range(5)]
        await stores.ledger.hold(
            HoldRequest("req_1", made[0].id, "", "2026-11", None, Decimal(7), Decimal(0), 1, 1, "m")
        )
        page = render([], await metrics.store_gauges(stores, accounts=True)).decode()
        assert "gateway_open_holds 1.0" in page
        assert "gateway_held_credits 7.0" in page
        for number, account in enumerate(made):
            assert (
                f'gateway_account_balance_credits{{account="{account.id}",name="a{number}"}} {100 + number}.0' in page
            )
        assert f'gateway_account_held_credits{{account="{made[0].id}",name="a0"}} 7.0' in page
        assert "account" not in render([], await metrics.store_gauges(stores, accounts=False)).decode()


def test_gauges_are_read_when_somebody_asks() -> None:
    book = HealthBook()
    made = metrics.Metrics(book)
    waiting = [3]
    made.figures["gateway_writer_queue"] = ("Waiting.", lambda: waiting[0])
    circuit = book.circuit(CircuitName("p", "1", "m"))
    circuit.until = 5.0
    waiting[0] = 4
    page = render(merge([made.snapshot()])).decode()
    assert "gateway_writer_queue 4.0" in page
    assert 'gateway_target_cooling{endpoint="1",model="m",provider="p"} 1.0' in page


def test_timings_are_a_histogram_as_the_library_makes_it() -> None:
    registry, ours = CollectorRegistry(), CollectorRegistry()
    theirs = Histogram("seconds", "Seconds.", ("route",), registry=registry, buckets=metrics._FAST)
    made = metrics.Timings("seconds", "Seconds.")
    ours.register(made)
    for route, seconds in (("/a", 0.0), ("/a", 0.005), ("/a", 0.0051), ("/a", 601.0), ("/b", 1.0)):
        theirs.labels(route).observe(seconds)
        made.observe(route, seconds)
    assert snapshot(ours) == snapshot(registry)
