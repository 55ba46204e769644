"""The metrics of several processes as one page in Prometheus' text format.

Counters and histograms are sums, those of processes that died included, so that none ever runs backwards. Gauges are
sums over the living, except those that say the same in each process.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector, CollectorRegistry
from prometheus_client.samples import Sample

CONTENT_TYPE = "text/plain; version=1.0.0; charset=utf-8"
"""Of what `render` makes: prometheus_client's `CONTENT_TYPE_LATEST`, whose module stands beside a web server."""
_SAME_IN_EACH = frozenset({"gateway_target_cooling"})

Families = list[list[Any]]
"""What `snapshot` makes: `[name, documentation, type, [[sample, labels, value], ...]]` each; it is JSON."""


def snapshot(registry: CollectorRegistry) -> Families:
    """The metrics of one process."""
    return [
        [
            family.name,
            family.documentation,
            family.type,
            # When a series began says nothing of a sum.
            [[one.name, one.labels, one.value] for one in family.samples if not one.name.endswith("_created")],
        ]
        for family in registry.collect()
    ]


def merge(snapshots: Iterable[Families], gone: Families | None = None) -> Families:
    """One set of metrics for several processes. gone: what `keep` made of those that died."""
    made: dict[str, list[Any]] = {}
    values: dict[str, dict[tuple[str, tuple[tuple[str, str], ...]], float]] = {}
    for name, documentation, kind, samples in (family for one in (*snapshots, gone or []) for family in one):
        made.setdefault(name, [name, documentation, kind])
        sums = values.setdefault(name, {})
        for sample, labels, value in samples:
            key = (sample, tuple(labels.items()))
            known = sums.get(key, 0.0)
            sums[key] = max(known, value) if name in _SAME_IN_EACH else known + value
    return [
        [*head, [[sample, dict(labels), value] for (sample, labels), value in values[name].items()]]
        for name, head in made.items()
    ]


def keep(gone: Families | None, last: Families) -> Families:
    """What stays of a process that died, added to what stayed of others: all but its gauges."""
    counted = [family for family in last if family[2] != "gauge"]
    return merge([counted], gone)


def render(families: Families, more: Sequence[Metric] = ()) -> bytes:
    """The page."""
    from prometheus_client.exposition import generate_latest  # brings a web server: only for whoever reads metrics

    return generate_latest(_Fixed(families, more))


class _Fixed(Collector):
    def __init__(self, families: Families, more: Sequence[Metric]) -> None:
        self._families = families
        self._more = more

    def collect(self) -> Iterator[Metric]:
        for name, documentation, kind, samples in self._families:
            family = Metric(name, documentation, kind)
            family.samples = [Sample(sample, labels, value) for sample, labels, value in samples]
            yield family
        yield from self._more
