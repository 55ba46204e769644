"""What the rows of all stores have in common."""

from __future__ import annotations

import pytest

from gateway.stores.transfer import TABLES, at_once, exact


@pytest.mark.parametrize(
    ("price", "text"),
    [(None, None), ("10", "10"), ("10.50", "10.5"), ("1E+2", "100"), ("0.000", "0"), ("100", "100")],
)
def test_prices_look_alike(price, text):
    assert exact(price) == text


def test_large_rows_are_read_a_few_at_a_time():
    assert at_once("responses") < at_once("entries")


def test_what_is_referred_to_stands_before_what_refers_to_it():
    order = list(TABLES)
    refers = {"account": "accounts", "key": "keys", "hold": "holds", "topup": "topups", "conversation": "conversations"}
    for table, columns in TABLES.items():
        for column in columns:
            if column in refers:
                assert order.index(refers[column]) < order.index(table), (table, column)
