"""Batches: many requests that a provider answers within a day, through the gateway.

The requests were checked line by line (`gateway.http.calls.batch_lines`), and are sent as the provider is told them, in
a file of the gateway's own. What all of them can cost at most is charged when the batch is made; when it is over, what
its answers did not cost is given back, once. Both are bookings under one request id, so it does not matter how often,
by which process, or after which crash a batch is looked after.

A batch is kept before the provider knows of it, and named there by our id (`_MARK`): one whose making nobody finished
is found again at the provider, or was never made and is paid back.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any, cast
from urllib.parse import quote
from weakref import WeakValueDictionary

import orjson

from gateway.batch_bill import BatchBill, read_bill
from gateway.batch_object import (
    BATCH,
    GIVEN_UP,
    NewBatch,
    ended_at,
    given_up,
    is_overdue,
    lost,
    sized,
    with_told,
)
from gateway.call import Caller, Price, Target
from gateway.config import BatchesSettings
from gateway.errors import CallerFault, Fault, GatewayFault, Refusal, UpstreamFault
from gateway.host import Host, outlive
from gateway.provider import BatchesProvider
from gateway.provider_files import FILE, Cleared, ProviderFiles, told_by
from gateway.stores import HoldRequest, KeptObject, UsageRow
from gateway.stores.checks import erased_name
from gateway.stores.refusals import too_poor
from gateway.wire.batches import FINAL
from gateway.wire.lenient import dict_of, text_of
from gateway.wire.multipart import Upload

ROUTE = "/batches"
"""Under which batches stand in the usage log."""
_MARK = "gateway_batch"
"""The member of a batch's metadata at its provider that holds our id."""
_MAKING = 900
"""Seconds in which a batch is made, or was given up by whoever made it."""
_PATIENCE = 7 * 86_400
"""Seconds for which the answers of a batch that is over are asked for; after that its whole bound is due."""
_ASKED = 1.0
"""Seconds between two looks at the provider because somebody asks."""
_WAITED = 5.0
"""Seconds that whoever asks waits for such a look."""
_PAGE = 100
_LISTED = 1000
_STATUS = {"completed": 200, "failed": 400, "expired": 504, "cancelled": 499}
"""In the usage log."""


@dataclass(slots=True, frozen=True)
class Allowance:
    """What a caller can pay for a batch at this moment. hold: the hold of one that costs nothing. balance, held: its
    account's; room: what they and the key's ceiling leave; in credits."""

    hold: HoldRequest
    balance: int
    held: int
    room: int

    def check(self, bound: int) -> None:
        """Raise Refusal(402) where requests of so many credits cannot be paid: nobody's further requests are looked at
        then."""
        if bound > max(self.room, 0):
            request = replace(self.hold, base=Decimal(bound))
            raise too_poor(request, balance=self.balance, held=self.held, room=self.room,
                           ceiling=request.monthly_limit)  # fmt: skip


class Batches:
    """The batches of one generation of the configuration."""

    def __init__(self, settings: BatchesSettings, files: ProviderFiles, host: Host) -> None:
        self._settings = settings
        self._files = files
        self._stores = host.stores
        self._log = host.log
        self._host = host
        self._noting: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    @property
    def providers(self) -> tuple[str, ...]:
        """The sections of the providers that take batches now."""
        return tuple(name for name in self._settings.providers if self._files.keeps(name))

    def provider(self, name: str) -> BatchesProvider:
        """What implements batches in a section. Raises GatewayFault(503) where nothing does any more."""
        if name not in self._settings.providers:
            raise GatewayFault(f"The provider {name!r} takes no batches any more.", status=503, code="provider_off")
        return cast(BatchesProvider, self._files.keeper(name))  # checked when it was loaded

    async def admit(self, caller: Caller) -> Allowance:
        """What a batch of this caller's may cost just now. Raises Refusal when enough of its account's are open."""
        most = self._settings.most_open
        if await self._is_full(caller.account_id, most):
            raise Refusal(
                f"This account has {most} batches that are not over yet; wait for one to end, or cancel one.",
                status=429, type="rate_limit_error", code="too_many_batches", headers={"retry-after": "60"},
            )  # fmt: skip
        hold = _hold_of(caller, 0, int(time.time()))
        account = await self._stores.accounts.get_account(caller.account_id)
        balance, held = (0, 0) if account is None else (account.balance, account.held)
        room = balance - held
        if caller.monthly_limit is not None:
            charged, running = await self._stores.keys.month_use(caller.key_id, hold.period)
            room = min(room, caller.monthly_limit - charged - running)
        return Allowance(hold, balance, held, room)

    async def _is_full(self, account_id: str, most: int) -> bool:
        before = found = 0
        while page := await self._stores.objects.list_objects(account_id, BATCH, before=before, limit=_LISTED):
            found += sum(kept.is_open for kept in page)
            if found >= most or len(page) < _LISTED or page[-1].created < time.time() - GIVEN_UP:
                break
            before = page[-1].seq
        return found >= most

    async def create(self, caller: Caller, batch: NewBatch, request_id: str) -> KeptObject:
        """Charge, keep and send a batch. Goes on when its caller leaves. Raises Fault; then nothing is left of it."""
        return await outlive(self._host, lambda: self._create(caller, batch, request_id), f"batch {request_id}")

    async def _create(self, caller: Caller, batch: NewBatch, request_id: str) -> KeptObject:
        provider, now = self.provider(batch.target.provider), int(time.time())
        details = {
            **batch.asked,
            "request": request_id, "key": caller.key_id, "count": batch.count, "model": batch.model,
            "target": batch.target.model, "operation": batch.operation, "dialect": batch.dialect, "url": batch.url,
            "price": None if batch.target.price is None else batch.target.price.data(),
            "bound": batch.bound, "dearest": batch.dearest, "tags": [list(tag) for tag in batch.tags],
        }  # fmt: skip
        made = "batch_" + request_id.removeprefix("req_")
        kept = KeptObject(made, caller.account_id, batch.target.provider, BATCH, 0, now, details, is_open=True)
        # Kept before it is charged: what is charged and never sent, whoever dies, is found and paid back.
        await self._stores.objects.add_object(sized(kept))
        try:
            await self._charge(caller, batch, request_id, now)
        except Refusal:
            await self._stores.objects.remove_object(kept.account_id, kept.provider, kept.id)
            raise
        try:
            sent = await self._files.send_unowned(
                kept.provider, Upload(batch.requests, "batch.jsonl", "application/jsonl"), "batch", request_id
            )
            kept = replace(kept, details={**kept.details, "sent": sent})
            return await self._begin(kept, provider)
        except Fault as fault:
            await self._undo(kept, fault)
            raise

    async def _charge(self, caller: Caller, batch: NewBatch, request_id: str, now: int) -> None:
        if not batch.bound:
            return
        hold = _hold_of(caller, batch.bound, now)
        await self._stores.ledger.hold(replace(hold, request_id=request_id, model=batch.model, tags=batch.tags))
        # Charged at once: a hold belongs to a process, and a batch outlives many.
        await self._stores.ledger.settle(request_id, batch.bound, "estimated", BatchBill().usage, batch.target.model)

    async def _begin(self, kept: KeptObject, provider: BatchesProvider) -> KeptObject:
        """Have the provider begin. Raises Fault when it surely has not; whether it has may also stay unknown."""
        details = kept.details
        body: dict[str, Any] = {
            "input_file_id": details["sent"], "endpoint": details["url"],
            "completion_window": details["completion_window"], "metadata": {_MARK: kept.id},
        }  # fmt: skip
        if details.get("output_expires_after"):
            body["output_expires_after"] = details["output_expires_after"]
        request, upstream = provider.batches_request("POST", "", orjson.dumps(body)), ""
        try:
            reply = await self._files.ask(provider, request)
            if not 300 <= reply.status < 500:
                told = told_by(provider, reply)
                upstream = text_of(told.get("id"))
                if not upstream:
                    raise UpstreamFault("The provider gave the batch no id.", code="upstream_invalid_response")
                return await self._note(kept, told)
        except Fault as fault:
            # It is made, or may be: whoever looks after it finds that out, and goes on from here.
            self._log.warning("a batch is not known to have begun: %s", fault.message, extra=_named(kept))
            unsure = replace(kept, details={**kept.details, "unsure": True, "upstream": upstream})
            with contextlib.suppress(Fault):  # then its provider is asked for it by our mark, later
                await self._stores.objects.change_object(sized(unsure))
            return unsure
        raise provider.read_files_fault(reply)

    async def _undo(self, kept: KeptObject, fault: Fault) -> None:
        """Nothing shall be left of a batch that its provider did not take."""
        await self._give_back(kept, int(kept.details["bound"]))
        await self._stores.objects.remove_object(kept.account_id, kept.provider, kept.id)
        if kept.details.get("sent"):
            await self._files.delete_unowned(kept.provider, kept.details["sent"])

    async def _give_back(self, kept: KeptObject, credits: int) -> None:
        if credits > 0:
            key, note = f"batch:{kept.id}", "what a batch did not cost"
            try:
                await self._stores.ledger.refund(kept.details["request"], credits, key=key, note=note)
            except Refusal as refusal:
                # Its process died before it was charged; the hold is released like any other of the dead.
                self._log.error("nothing of a batch is given back: %s", refusal.message, extra=_named(kept))

    # -- looking after them --------------------------------------------------------------------------------------

    async def look_after(self) -> None:
        """Look at every batch that is not billed yet, unless another process has done so lately. What fails is logged,
        and tried again the next time."""
        after = 0
        while page := await self._stores.objects.open_objects(after=after, limit=_PAGE):
            for kept in page:
                after = kept.seq
                if kept.kind == BATCH and await self._is_due(f"batch:{kept.id}", self._settings.poll):
                    try:
                        await self._look(kept)
                    except Exception:  # whatever its provider says of one, the others are looked after
                        self._log.exception("looking after a batch failed", extra=_named(kept))
            if len(page) < _PAGE:
                return

    async def refresh(self, kept: KeptObject) -> KeptObject:
        """A batch as its provider tells it now; as it was, where the provider cannot be asked."""
        if not kept.is_open or not await self._is_due(f"batch asked:{kept.id}", _ASKED):
            return kept
        ends: list[KeptObject] = []

        async def work() -> None:
            ends.append(await self._look(kept))

        # Many answers take their time to be added up: that goes on without whoever asks.
        await asyncio.wait({self._host.spawn(work(), f"look at {kept.id}")}, timeout=_WAITED)
        return ends[0] if ends else kept

    async def _is_due(self, name: str, pause: float) -> bool:
        """Whether it is for this process to do, over all that share the counters."""
        return (await self._stores.counters.hit([(name, 1)], pause))[0].allowed

    async def _look(self, kept: KeptObject) -> KeptObject:
        for step in (self._ask_about, self._give_up):
            try:
                kept = await step(kept)
            except Fault as fault:
                self._log.warning("a batch could not be looked after: %s", fault.message, extra=_named(kept))
        return kept

    async def _ask_about(self, kept: KeptObject) -> KeptObject:
        """A batch as its provider tells it; long after it was due, the provider is asked to end it. Raises Fault."""
        told = await self._told(kept)
        if told is not None:
            kept = await self._note(kept, told)
        return await self.cancel(kept) if is_overdue(kept, time.time()) else kept

    async def _give_up(self, kept: KeptObject) -> KeptObject:
        """Pay a batch back that its provider never ended, whatever became of that: nobody's credits are kept for good.
        What the provider takes for it is the operator's, who is told. Raises Fault."""
        if not kept.is_open or time.time() < kept.created + GIVEN_UP:
            return kept
        closed = await self._note(kept, given_up(kept))
        self._log.error("a batch that its provider never ended was paid back", extra=_named(kept))
        detail = {"account": kept.account_id, "provider": kept.provider, "credits": int(kept.details["bound"])}
        await self._stores.audit.record("gateway", "batch.given_up", kept.id, detail=detail)
        return closed

    async def _told(self, kept: KeptObject) -> Mapping[str, Any] | None:
        """What the provider says of a batch; None while it is being made. Raises Fault."""
        provider = self.provider(kept.provider)
        upstream = kept.details.get("upstream")
        if upstream:
            reply = await self._files.ask(provider, provider.batches_request("GET", f"/{quote(upstream, safe='')}"))
            if reply.status == 404:
                message = "The provider knows no such batch any more."
                return {**dict_of(kept.details.get("told")), **lost(message)}
            return told_by(provider, reply)
        is_late = time.time() >= kept.created + _MAKING
        if not (kept.details.get("unsure") or is_late):
            return None
        # Providers list what they made a while later: nothing is given up before that.
        return await self._search(kept, provider) or (lost("The provider never began this batch.") if is_late else None)

    async def _search(self, kept: KeptObject, provider: BatchesProvider) -> Mapping[str, Any] | None:
        """A batch of which it is not known whether it was made, among all that the provider lists, newest first."""
        after = ""
        while True:
            request = provider.batches_request("GET", f"?limit={_PAGE}{after}")
            listed = told_by(provider, await self._files.ask(provider, request))
            data = listed.get("data")
            page = [dict_of(one) for one in (data if isinstance(data, list) else ())]
            for told in page:
                if dict_of(told.get("metadata")).get(_MARK) == kept.id:
                    return told
            made = page[-1].get("created_at") if page else None
            if not listed.get("has_more") or not isinstance(made, int) or made < kept.created - _MAKING:
                return None
            after = f"&after={quote(text_of(page[-1].get('id')), safe='')}"

    async def _note(self, kept: KeptObject, told: Mapping[str, Any]) -> KeptObject:
        """Keep what a provider told, and bill a batch that is over. Raises Fault."""
        now = with_told(kept, told, upstream=kept.details.get("upstream") or text_of(told.get("id")))
        # One after the other: to bill it is to read all of its answers, and what is closed is not to be opened again.
        async with self._noting.setdefault(kept.id, asyncio.Lock()):
            current = await self._stores.objects.find_object(kept.account_id, BATCH, kept.id)
            if current is None or not current.is_open:
                return current or now  # somebody else was faster
            if now.details["told"].get("status") in FINAL:
                return await self._close(now)
            if now.details != kept.details:
                await self._stores.objects.change_object(now)
            return now

    async def _close(self, kept: KeptObject) -> KeptObject:
        bill = await self._bill(kept)
        account = await self._stores.accounts.get_account(kept.account_id)
        erased = account is None or account.name == erased_name(kept.account_id)
        details, told, bound = kept.details, kept.details["told"], int(kept.details["bound"])
        charge = min(bill.charge, bound)
        await self._keep_outputs(kept, bill)
        self._stores.usage.record(
            UsageRow(
                request_id=details["request"], account_id=kept.account_id, key_id=details["key"],
                model=details["model"], target=details["target"], route=ROUTE, status=_STATUS[told["status"]],
                usage=bill.usage, basis=bill.basis, created=kept.created,
                total_ms=max(0, ended_at(kept) - kept.created) * 1000,
                error="" if told["status"] == "completed" else f"batch_{told['status']}",
                tags=() if erased else tuple((name, value) for name, value in details["tags"]),
            )
        )  # fmt: skip
        await self._give_back(kept, bound - charge)
        result = {"charged": charge, "billing": bill.basis, "answered": bill.answered}
        closed = sized(replace(kept, is_open=False, details={**details, **result}))
        await self._stores.objects.change_object(closed)
        if details.get("sent"):
            await self._files.delete_unowned(kept.provider, details["sent"])
        self._log.info(
            "batch billed", extra={**_named(kept), "status": told["status"], "credits": charge, "of": bound,
                                   "billing": bill.basis},
        )  # fmt: skip
        if erased:
            await self._files.delete_all(kept.account_id)
            await self._stores.objects.remove_object(kept.account_id, kept.provider, kept.id)
        return closed

    async def _bill(self, kept: KeptObject) -> BatchBill:
        """By the answers; by the bound where they cannot be had any more. Raises Fault while they may still be."""
        details, told = kept.details, kept.details["told"]
        output = text_of(told.get("output_file_id"))
        counts = dict_of(told.get("request_counts"))
        completed = counts.get("completed")
        expected = completed if type(completed) is int else 0
        dearest = int(details["dearest"])
        bill = BatchBill()
        try:
            if output:
                async with self._files.read_unowned(kept.provider, output) as stream:
                    bill = await read_bill(stream, _target(kept), details["operation"], details["dialect"], dearest)
        except Fault as fault:
            ended = ended_at(kept)
            if fault.status != 404 and time.time() < ended + _PATIENCE:
                raise
            self._log.error("the answers of a batch cannot be read, so its bound is charged: %s", fault.message,
                            extra=_named(kept))  # fmt: skip
            return BatchBill(charge=int(details["bound"]), basis="estimated")
        missing = expected - bill.answered
        if missing > 0:
            self._log.error("%d answers of a batch are missing, so their bound is charged", missing, extra=_named(kept))
            bill.charge += missing * dearest
            bill.basis = "estimated"
        return bill

    async def _keep_outputs(self, kept: KeptObject, bill: BatchBill) -> None:
        """The files of its answers are the account's from now on."""
        sizes = {"output_file_id": bill.size, "error_file_id": 0}
        for name, size in sizes.items():
            file_id = text_of(kept.details["told"].get(name))
            if not file_id:
                continue
            details = {"filename": f"{kept.id}_{name.removesuffix('_file_id')}.jsonl", "purpose": "batch_output"}
            made = KeptObject(file_id, kept.account_id, kept.provider, FILE, size, int(time.time()), details)
            try:
                await self._stores.objects.add_object(made)
            except Fault as fault:
                self._log.error("a batch's file is not its owner's: %s", fault.message, extra=_named(kept))

    # -- ending them ---------------------------------------------------------------------------------------------

    async def cancel(self, kept: KeptObject) -> KeptObject:
        """Ask its provider to end a batch. Raises Fault."""
        upstream = kept.details.get("upstream")
        if not kept.is_open or not upstream:
            raise CallerFault(
                "This batch is over." if upstream else "This batch is being made; try again in a moment.",
                status=409,
                code="batch_over" if upstream else "batch_being_made",
            )
        provider = self.provider(kept.provider)
        request = provider.batches_request("POST", f"/{quote(upstream, safe='')}/cancel", b"{}")
        return await self._note(kept, told_by(provider, await self._files.ask(provider, request)))

    async def cancel_all(self, account_id: str) -> Cleared:
        """End the batches of an account that is to be erased; they are billed and forgotten when they are over."""
        cleared, before = Cleared(), 0
        while page := await self._stores.objects.list_objects(account_id, BATCH, before=before, limit=_PAGE):
            for kept in page:
                if kept.is_open:
                    try:
                        await self.cancel(kept)
                        cleared.done += 1
                    except Fault as fault:
                        cleared.left.append((kept.provider, kept.id, fault.message))
            before = page[-1].seq
        return cleared


def _target(kept: KeptObject) -> Target:
    """Where the requests of a batch went, at the price of its making."""
    price = kept.details["price"]
    return Target(
        kept.details["target"], kept.provider, kept.details["target"],
        price=None if price is None else Price.of_data(price), free=price is None,
    )  # fmt: skip


def _named(kept: KeptObject) -> dict[str, str]:
    return {"batch": kept.id, "provider": kept.provider, "account": kept.account_id}


def _hold_of(caller: Caller, credits: int, now: int) -> HoldRequest:
    """So many credits, which nothing makes less."""
    return HoldRequest(
        request_id="", account_id=caller.account_id, key_id=caller.key_id,
        period=time.strftime("%Y-%m", time.gmtime(now)), monthly_limit=caller.monthly_limit,
        base=Decimal(credits), unit_price=Decimal(0), units=0, least_units=0, model="",
    )  # fmt: skip
