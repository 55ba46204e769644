"""Rows of the usage log, and what they add to the sums of their day."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from gateway.api import GatewayFault
from gateway.api.stores import UsageRow, counts_of
from gateway.sqlite.money.operations import UnitOperation, written_tags
from gateway.sqlite.money.rows import HoldRow
from gateway.sqlite.money.unit_of_work import BASIS_NUMBER, UnitOfWork


class RecordOperation(UnitOperation):
    """`UsageLog.record`. A held request is logged on its hold's account, key, day and model, so that requests and
    tokens stand where its credits do, also around midnight; and only once. The counts are taken here: the caller may go
    on with its own. inherited: the row of a process that is gone, which may have written it; of a request without a
    hold that cannot be told, so it is left out."""

    __slots__ = ("counts", "inherited", "row")

    def __init__(self, row: UsageRow, now: int, *, inherited: bool = False) -> None:
        super().__init__(row.request_id, now, row.account_id, row.key_id)
        self.row = row
        self.counts = counts_of(row.usage)
        self.inherited = inherited

    @property
    def kept_as(self) -> tuple[str, str]:
        return "record", self.request_id

    def written(self) -> Mapping[str, Any]:
        return {"do": "record", "r": self.request_id, "row": asdict(self.row)}

    def apply(self, unit: UnitOfWork) -> None:
        row = self.row
        hold = unit.holds.get(self.request_id)
        if hold is not None:
            if hold.logged:
                return
            hold.logged = 1
            unit.touch(hold)
            account, key, model, created = hold.account, hold.key, hold.model, hold.created
        elif self.inherited:
            return
        else:
            owner = unit.account_by_id.get(row.account_id)
            if owner is None:
                raise GatewayFault("A usage row names an unknown account and was dropped.", detail=row.request_id)
            known = unit.keys.get(row.key_id)
            account, key, created = owner.n, known.n if known is not None else 0, row.created
            model = unit.names.number(unit.connection, row.model)
        log_row(unit, row, self.counts, account, key, model, created, hold)


def log_row(
    unit: UnitOfWork,
    row: UsageRow,
    counts: Sequence[int],
    account: int,
    key: int,
    model: int,
    created: int,
    hold: HoldRow | None,
) -> None:
    """Write one usage row and add it to the sums of its day. counts: see `counts_of`."""
    number = unit.names.number
    tags = written_tags(row.tags) if hold is None else hold.tags
    target = None
    if row.target:
        target = model if row.target == row.model else number(unit.connection, row.target)
    unit.log(
        (
            account, key, hold.n if hold is not None else None, None if hold is not None else row.request_id, model,
            target, number(unit.connection, row.route), row.status, BASIS_NUMBER[row.basis], row.created, *counts,
            row.first_byte_ms, row.total_ms, number(unit.connection, row.error) if row.error else None, tags,
            row.tries or None,
        )
    )  # fmt: skip
    unit.roll_up(
        account, created, key, model, tags, requests=1, prompt=counts[0], completion=counts[1], others=counts[11:]
    )
