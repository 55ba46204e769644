"""Bar charts: an axis that ends near the highest bar, and bars as high as what they stand for."""

from __future__ import annotations

import pytest

from gateway.console.charts import bar_chart


@pytest.mark.parametrize(
    ("most", "ticks"),
    [
        (0, ["0", "1", "2"]),
        (3, ["0", "2", "4"]),
        (9, ["0", "5", "10"]),
        (11, ["0", "6", "12"]),
        (105_000, ["0", "60k", "120k"]),
        (120_000, ["0", "60k", "120k"]),
        (120_001, ["0", "80k", "160k"]),
        (987_654, ["0", "500k", "1M"]),
        (2_400_001, ["0", "1.5M", "3M"]),
    ],
)
def test_an_axis_ends_near_the_highest_bar(most: int, ticks: list[str]) -> None:
    assert [tick.text for tick in bar_chart("t", ["a"], [("s", [most])]).up] == ticks


def test_bars_stand_on_each_other_and_tell_their_value() -> None:
    chart = bar_chart("Spend", ["Mon", "Tue"], [("one", [60, 0]), ("two", [60, 30])])
    top, bottom = chart.up[-1].at, chart.up[0].at
    assert [bar.title for bar in chart.bars] == ["Mon: 60 credits, one", "Mon: 60 credits, two", "Tue: 30 credits, two"]
    first, second, third = chart.bars
    assert first.y + first.height == bottom == chart.bottom
    assert second.y + second.height == first.y
    assert second.y == top
    assert third.height == pytest.approx(first.height / 2, abs=0.01)
    assert chart.rows == (("Mon", ("60", "60")), ("Tue", ("0", "30")))
