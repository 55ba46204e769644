"""Metrics of several processes on one page."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from gateway.exposition import CONTENT_TYPE, keep, merge, render, snapshot


def process(count: int, gauge: int, cooling: int) -> CollectorRegistry:
    registry = CollectorRegistry()
    counter = Counter("gateway_x", "X.", ("a",), registry=registry)
    counter.labels("one").inc(count)
    if count > 1:
        counter.labels('tw"o\n').inc()
    Gauge("gateway_y", "Y.", registry=registry).set(gauge)
    Gauge("gateway_target_cooling", "C.", registry=registry).set(cooling)
    Histogram("gateway_z", "Z.", registry=registry, buckets=(1, 2)).observe(count)
    return registry


def lines(page: bytes) -> list[str]:
    return [line for line in page.decode().splitlines() if not line.startswith("#")]


def test_the_page_is_of_the_type_that_is_said() -> None:
    assert CONTENT_TYPE == CONTENT_TYPE_LATEST


def test_counters_and_histograms_are_sums_and_gauges_those_of_the_living() -> None:
    living = [snapshot(process(1, 5, 1)), snapshot(process(2, 7, 1))]
    gone = keep(keep(None, snapshot(process(4, 100, 1))), snapshot(process(1, 100, 1)))
    assert lines(render(merge(living, gone))) == [
        'gateway_x_total{a="one"} 8.0',
        'gateway_x_total{a="tw\\"o\\n"} 2.0',
        "gateway_y 12.0",
        "gateway_target_cooling 1.0",
        'gateway_z_bucket{le="1.0"} 2.0',
        'gateway_z_bucket{le="2.0"} 3.0',
        'gateway_z_bucket{le="+Inf"} 4.0',
        "gateway_z_count 4.0",
        "gateway_z_sum 8.0",
    ]


def test_one_process_says_what_its_registry_does() -> None:
    registry = process(2, 5, 0)
    page = render(merge([snapshot(registry)])).decode()
    assert "# TYPE gateway_x_total counter" in page
    assert "# HELP gateway_z Z." in page
    assert "_created" not in page
