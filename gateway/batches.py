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
import logging
import time
from collections.abc import Coroutine, Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any, Final, Protocol, cast
from urllib.parse import quote

import orjson

from gateway.batch_bill import BatchBill, read_bill
from gateway.call import Caller, Price, Target
from gateway.config import BatchesSettings
from gateway.errors import CallerFault, Fault, GatewayFault, Refusal, UpstreamFault
from gateway.profile import Dialect
from gateway.provider import BatchesProvider
from gateway.provider_files import FILE, ProviderFiles, told_by
from gateway.stores import HoldRequest, KeptObject, Stores, UsageRow
from gateway.stores.checks import erased_name
from gateway.wire.batches import FINAL
from gateway.wire.lenient import dict_of, text_of
from gateway.wire.multipart import Upload
from gateway.wire.spend_tags import Tags

BATCH: Final = "batch"
ROUTE = "/batches"
"""Under which batches stand in the usage log."""
_MARK = "gateway_batch"
"""The member of a batch's metadata at its provider that holds our id."""
_MAKING = 900
"""Seconds in which a batch is made, or was given up by whoever made it."""
_WINDOW = 86_400
_PATIENCE = 7 * 86_400
"""Seconds for which the answers of a batch that is over are asked for; after that its whole bound is due."""
_ASKED = 1.0
"""Seconds between two looks at the provider because somebody asks."""
_WAITED = 5.0
"""Seconds that whoever asks waits for such a look."""
_PAGE = 100
_STATUS = {"completed": 200, "failed": 400, "expired": 504, "cancelled": 499}
"""In the usage log."""
_TOLD = (
    "status", "errors", "output_file_id", "error_file_id", "request_counts", "usage", "in_progress_at", "expires_at",
    "finalizing_at", "completed_at", "failed_at", "expired_at", "cancelling_at", "cancelled_at",
)  # fmt: skip
"""What a provider tells of a batch that its owner is shown."""


class Host(Protocol):
    """What the process gives."""

    @property
    def stores(self) -> Stores: ...

    @property
    def log(self) -> logging.Logger: ...

    def spawn(self, work: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]: ...


@dataclass(slots=True, frozen=True)
class NewBatch:
    """A batch whose requests were checked.

    asked: the caller's own members of the request. requests: the file to send. count: of requests. model: as they name
    it. target: where they go, at the price of a batch. operation, dialect: of each. url: their endpoint there. bound:
    credits that all of them can cost at most; dearest: the dearest of them.
    """

    asked: Mapping[str, Any]
    requests: bytes
    count: int
    model: str
    target: Target
    operation: str
    dialect: Dialect
    url: str
    bound: int
    dearest: int
    tags: Tags = ()


@dataclass(slots=True)
class Ended:
    """What became of an account's batches that were to be ended. asked: how many were cancelled. left: those that could
    not be, as provider, id and why."""

    asked: int = 0
    left: list[tuple[str, str, str]] = field(default_factory=list)


class Batches:
    """The batches of one generation of the configuration."""

    def __init__(self, settings: BatchesSettings, files: ProviderFiles, host: Host) -> None:
        self._settings = settings
        self._files = files
        self._stores = host.stores
        self._log = host.log
        self._spawn = host.spawn

    @property
    def providers(self) -> tuple[str, ...]:
        """The sections of the providers that take batches now."""
        return tuple(name for name in self._settings.providers if self._files.keeps(name))

    def provider(self, name: str) -> BatchesProvider:
        """What implements batches in a section. Raises GatewayFault(503) where nothing does any more."""
        if name not in self._settings.providers:
            raise GatewayFault(f"The provider {name!r} takes no batches any more.", status=503, code="provider_off")
        return cast(BatchesProvider, self._files.keeper(name))  # checked when it was loaded

    async def create(self, caller: Caller, batch: NewBatch, request_id: str) -> KeptObject:
        """Charge, keep and send a batch. Goes on when its caller leaves. Raises Fault; then nothing is left of it."""
        ends: list[KeptObject | Fault] = []

        async def work() -> None:
            try:
                ends.append(await self._create(caller, batch, request_id))
            except Fault as fault:
                ends.append(fault)

        await asyncio.shield(self._spawn(work(), f"batch {request_id}"))
        end = ends[0] if ends else GatewayFault("The gateway failed to make this batch.")
        if isinstance(end, Fault):
            raise end
        return end

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
        await self._charge(caller, batch, request_id, now)
        try:
            await self._stores.objects.add_object(kept)
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
        await self._stores.ledger.hold(
            HoldRequest(
                request_id=request_id, account_id=caller.account_id, key_id=caller.key_id,
                period=time.strftime("%Y-%m", time.gmtime(now)), monthly_limit=caller.monthly_limit,
                base=Decimal(batch.bound), unit_price=Decimal(0), units=0, least_units=0, model=batch.model,
                tags=batch.tags,
            )
        )  # fmt: skip
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
        try:
            reply = await self._files.ask(provider, provider.batches_request("POST", "", orjson.dumps(body)))
            if reply.status >= 500:
                raise UpstreamFault(f"status {reply.status}")
        except UpstreamFault as fault:
            # It may have been made all the same: whoever looks after it finds that out.
            self._log.warning("whether a batch was made is not known yet: %s", fault.message, extra=_named(kept))
            unsure = replace(kept, details={**kept.details, "unsure": True})
            await self._stores.objects.change_object(unsure)
            return unsure
        told = told_by(provider, reply)
        if not text_of(told.get("id")):
            raise UpstreamFault("The provider gave the batch no id.", code="upstream_invalid_response")
        return await self._note(kept, told)

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
                    await self._look(kept)
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
        await asyncio.wait({self._spawn(work(), f"look at {kept.id}")}, timeout=_WAITED)
        return ends[0] if ends else kept

    async def _is_due(self, name: str, pause: float) -> bool:
        """Whether it is for this process to do, over all that share the counters."""
        return (await self._stores.counters.hit([(name, 1)], pause))[0].allowed

    async def _look(self, kept: KeptObject) -> KeptObject:
        try:
            told = await self._told(kept)
            return kept if told is None else await self._note(kept, told)
        except Fault as fault:
            self._log.warning("a batch could not be looked after: %s", fault.message, extra=_named(kept))
            return kept

    async def _told(self, kept: KeptObject) -> Mapping[str, Any] | None:
        """What the provider says of a batch; None while it is being made. Raises Fault."""
        provider = self.provider(kept.provider)
        upstream = kept.details.get("upstream")
        if upstream:
            reply = await self._files.ask(provider, provider.batches_request("GET", f"/{quote(upstream, safe='')}"))
            if reply.status == 404:
                message = "The provider knows no such batch any more."
                return {**dict_of(kept.details.get("told")), **_failure(message)}
            return told_by(provider, reply)
        if not kept.details.get("unsure") and time.time() < kept.created + _MAKING:
            return None
        return await self._search(kept, provider) or _failure("The provider never began this batch.")

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
        shown = {name: told[name] for name in _TOLD if told.get(name) is not None}
        upstream = kept.details.get("upstream") or text_of(told.get("id"))
        now = replace(kept, details={**kept.details, "told": shown, "upstream": upstream})
        if shown.get("status") in FINAL:
            return await self._close(now)
        current = await self._stores.objects.find_object(kept.account_id, BATCH, kept.id)
        if current is None or not current.is_open:
            return current or now  # another process was faster
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
                total_ms=max(0, _ended_at(kept) - kept.created) * 1000,
                error="" if told["status"] == "completed" else f"batch_{told['status']}",
                tags=() if erased else tuple((name, value) for name, value in details["tags"]),
            )
        )  # fmt: skip
        await self._give_back(kept, bound - charge)
        result = {"charged": charge, "billing": bill.basis, "answered": bill.answered}
        closed = replace(kept, is_open=False, details={**details, **result})
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
            ended = _ended_at(kept)
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

    async def cancel_all(self, account_id: str) -> Ended:
        """End the batches of an account that is to be erased; they are billed and forgotten when they are over."""
        done, before = Ended(), 0
        while page := await self._stores.objects.list_objects(account_id, BATCH, before=before, limit=_PAGE):
            for kept in page:
                if kept.is_open:
                    try:
                        await self.cancel(kept)
                        done.asked += 1
                    except Fault as fault:
                        done.left.append((kept.provider, kept.id, fault.message))
            before = page[-1].seq
        return done


def _failure(message: str) -> dict[str, Any]:
    error = {"code": "batch_lost", "message": message, "param": None, "line": None}
    return {"status": "failed", "failed_at": int(time.time()), "errors": {"object": "list", "data": [error]}}


def _ended_at(kept: KeptObject) -> int:
    """When a batch that is over ended, in unix seconds: at the latest when it was due."""
    told = kept.details["told"]
    at = told.get(f"{told['status']}_at")
    return at if type(at) is int else min(int(time.time()), kept.created + _WINDOW)


def _target(kept: KeptObject) -> Target:
    """Where the requests of a batch went, at the price of its making."""
    price = kept.details["price"]
    return Target(
        kept.details["target"], kept.provider, kept.details["target"],
        price=None if price is None else Price.of_data(price), free=price is None,
    )  # fmt: skip


def _named(kept: KeptObject) -> dict[str, str]:
    return {"batch": kept.id, "provider": kept.provider, "account": kept.account_id}


def no_batch(batch_id: str) -> CallerFault:
    """What is told of a batch that is not there, or is another account's."""
    return CallerFault(f"There is no batch {batch_id[:100]!r}.", status=404, code="batch_not_found", param="id")


def shown(kept: KeptObject) -> dict[str, Any]:
    """A batch as its owner sees it: OpenAI's object, where it is done, and what it costs."""
    details = kept.details
    told = dict_of(details.get("told"))
    counts = dict_of(told.get("request_counts"))
    found = {
        "id": kept.id,
        "object": "batch",
        "endpoint": details["endpoint"],
        "model": details["model"],
        "input_file_id": details["input_file_id"],
        "completion_window": details["completion_window"],
        "created_at": kept.created,
        "metadata": details.get("metadata"),
        **dict.fromkeys(_TOLD),
        **told,
        "provider": kept.provider,
        "cost": {
            "held": int(details["bound"]),
            "charged": details.get("charged"),
            "basis": details.get("billing"),
        },
    }
    found["status"] = told.get("status") or "validating"
    found["request_counts"] = {"total": details["count"], "completed": 0, "failed": 0, **counts}
    if not told.get("usage"):
        found.pop("usage")
    return found
