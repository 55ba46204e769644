"""Files that callers keep at a provider, through the gateway.

A provider knows one account, the operator's. So whose a file is, is remembered here (`gateway.stores.Objects`), and an
id is taken from the account alone that uploaded it: at these routes and in every request that names one.
"""

from __future__ import annotations

import re
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import Any, Final, cast
from urllib.parse import quote

import orjson

from gateway.call import Call, Target
from gateway.config import FilesSettings
from gateway.errors import CallerFault, Fault, GatewayFault, UpstreamFault
from gateway.host import Host, outlive
from gateway.provider import FilesProvider, Provider, UpstreamReply, UpstreamRequest
from gateway.storage import StorageQuota
from gateway.stores import KeptObject, ObjectKind
from gateway.upstream.body_stream import BodyStream
from gateway.upstream.exchanges import Exchanges
from gateway.wire.kept_ids import KeptId
from gateway.wire.multipart import Upload, write_form

FILE: Final = "file"
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:-]{0,199}", re.ASCII)
_SECONDS = 120.0
_MOST_REPLY = 1 << 20
MOST_CONTENT = 16 << 30
"""Bytes of a file that is read back, piece by piece: the answers of a large batch, vectors above all."""


@dataclass(slots=True)
class Cleared:
    """What became of an account's files, or batches, at providers. done: how many were deleted, or cancelled. left:
    those that may still be there, as provider, id and why."""

    done: int = 0
    left: list[tuple[str, str, str]] = field(default_factory=list)


class ProviderFiles:
    """The files of one generation of the configuration. providers: by name, those that have what they need."""

    def __init__(
        self,
        settings: FilesSettings,
        providers: Mapping[str, Provider],
        host: Host,
        quota: StorageQuota,
        exchanges: Exchanges,
    ) -> None:
        self._names = settings.providers
        self._providers = providers
        self._stores = host.stores
        self._quota = quota
        self._exchanges = exchanges
        self._host = host
        self._log = host.log

    async def owns(self, call: Call, target: Target, kept: KeptId) -> bool:
        """Whether a call may name this at its target: a file that its account uploaded there."""
        if kept.kind != FILE or call.caller is None or target.provider not in self._names:
            return False
        return await self._stores.objects.owns_object(call.caller.account_id, target.provider, FILE, kept.id)

    async def upload(
        self, account_id: str, provider: str | None, file: Upload, fields: Mapping[str, str], seed: str
    ) -> KeptObject:
        """Send a file to a provider (None: the first that keeps files) and remember whose it is. fields: what the form
        has besides. seed: something unique. Goes on when its caller leaves, so that nothing is kept there that nobody
        owns. Raises Fault."""
        name, keeper = self._keeper(provider)
        await self._quota.check(account_id, "This file")
        return await outlive(
            self._host, lambda: self._upload(account_id, name, keeper, file, fields, seed), f"upload {seed}"
        )

    async def _upload(
        self, account_id: str, name: str, keeper: FilesProvider, file: Upload, fields: Mapping[str, str], seed: str
    ) -> KeptObject:
        made, told = await self._send(keeper, file, fields, seed)
        expires = told.get("expires_at")
        details: dict[str, Any] = {"filename": file.name or "file", **fields}
        if type(expires) is int:
            details["expires_at"] = expires
        kept = KeptObject(made, account_id, name, FILE, len(file.content), int(time.time()), details)
        try:
            await self._stores.objects.add_object(kept)
        except Fault as fault:
            if fault.status != 409:  # else it is another account's file, which stays as it is
                await self.delete_unowned(name, made)
            raise
        return kept

    async def send_unowned(self, name: str, file: Upload, purpose: str, seed: str) -> str:
        """Send a file of the gateway's own to a provider; its id there. Raises Fault."""
        made, _ = await self._send(self.keeper(name), file, {"purpose": purpose}, seed)
        return made

    async def _send(
        self, keeper: FilesProvider, file: Upload, fields: Mapping[str, str], seed: str
    ) -> tuple[str, dict[str, Any]]:
        content_type, body = write_form([*fields.items(), ("file", file)], seed)
        told = told_by(keeper, await self.ask(keeper, keeper.files_request("POST", "", content_type, body)))
        made = told.get("id")
        if not isinstance(made, str) or not _ID.fullmatch(made):
            raise UpstreamFault("The provider gave the file no id.", code="upstream_invalid_response")
        return made, told

    @asynccontextmanager
    async def content(self, kept: KeptObject) -> AsyncIterator[BodyStream]:
        """What is in a file, piece by piece. Raises Fault."""
        try:
            async with self.read_unowned(kept.provider, kept.id) as stream:
                yield stream
        except CallerFault as fault:
            if fault.code == no_object(FILE, kept.id).code:
                await self._stores.objects.remove_object(kept.account_id, kept.provider, kept.id)
            raise

    @asynccontextmanager
    async def read_unowned(self, name: str, object_id: str) -> AsyncIterator[BodyStream]:
        """What is in a file, whosever it is. Raises Fault, for one that is gone what `no_object` makes."""
        keeper = self.keeper(name)
        request = keeper.files_request("GET", f"/{quote(object_id, safe='')}/content")
        with self._named(keeper):
            async with self._exchanges.stream(
                request, seconds=_SECONDS, most=MOST_CONTENT, transport=keeper.transport
            ) as stream:
                if stream.status == 404:
                    raise no_object(FILE, object_id)
                if stream.status >= 300:
                    reply = UpstreamReply(stream.status, stream.headers, await stream.read(_MOST_REPLY))
                    raise keeper.read_files_fault(reply)
                yield stream

    async def ask(self, keeper: FilesProvider, request: UpstreamRequest) -> UpstreamReply:
        """The whole answer to a request about files or batches, whatever its status. Raises UpstreamFault."""
        with self._named(keeper):
            return await self._exchanges.whole(request, seconds=_SECONDS, most=_MOST_REPLY, transport=keeper.transport)

    @contextmanager
    def _named(self, keeper: FilesProvider) -> Iterator[None]:
        """Whoever hears that this provider failed hears which one it is."""
        try:
            yield
        except UpstreamFault as fault:
            fault.name("Provider", next((name for name, one in self._providers.items() if one is keeper), "unknown"))
            raise

    async def delete(self, kept: KeptObject) -> None:
        """Delete a file at its provider, then forget it. Raises Fault."""
        keeper = self.keeper(kept.provider)
        reply = await self.ask(keeper, keeper.files_request("DELETE", f"/{quote(kept.id, safe='')}"))
        if reply.status >= 300 and reply.status != 404:
            raise keeper.read_files_fault(reply)
        await self._stores.objects.remove_object(kept.account_id, kept.provider, kept.id)

    async def delete_all(self, account_id: str) -> Cleared:
        """Delete the files of an account that is to be erased. Those that could not be deleted at their provider are
        logged, for the operator to do it."""
        cleared, before = Cleared(), 0
        while page := await self._stores.objects.list_objects(account_id, FILE, before=before, limit=100):
            for kept in page:
                try:
                    await self.delete(kept)
                    cleared.done += 1
                except Fault as fault:
                    cleared.left.append((kept.provider, kept.id, fault.message))
                    self._log.warning("a file of an erased account stays at its provider: %s", fault.message,
                                      extra={"provider": kept.provider, "object": kept.id})  # fmt: skip
            before = page[-1].seq
        return cleared

    async def delete_unowned(self, name: str, object_id: str) -> None:
        """Delete a file that is nobody's; where that fails, it is logged."""
        try:
            keeper = self.keeper(name)
            request = keeper.files_request("DELETE", f"/{quote(object_id, safe='')}")
            await self.ask(keeper, request)
        except Fault as fault:
            self._log.warning("a file that nobody owns stays at its provider: %s", fault.message,
                              extra={"provider": name, "object": object_id})  # fmt: skip

    def _keeper(self, name: str | None) -> tuple[str, FilesProvider]:
        if not self._names:
            raise CallerFault(
                "This gateway keeps no files: its operator names no provider that does (files.providers).",
                status=404,
                code="files_disabled",
            )
        if name is None:
            name = next((one for one in self._names if one in self._providers), self._names[0])
        if name not in self._names:
            raise CallerFault(f"provider: expected one of {', '.join(self._names)}.", param="provider")
        return name, self.keeper(name)

    def keeps(self, name: str) -> bool:
        """Whether a section's provider keeps files now."""
        return name in self._names and name in self._providers

    def keeper(self, name: str) -> FilesProvider:
        """The provider that keeps the files of a section. Raises GatewayFault(503) where it does not any more."""
        if not self.keeps(name):
            raise GatewayFault(
                f"The provider {name!r} is switched off, or keeps no files any more.", status=503, code="provider_off"
            )
        return cast(FilesProvider, self._providers[name])  # checked when it was loaded


def no_object(kind: ObjectKind, object_id: str) -> CallerFault:
    """What is told of a file or batch that is not there, or is another account's."""
    return CallerFault(f"There is no {kind} {object_id[:100]!r}.", status=404, code=f"{kind}_not_found", param="id")


def told_by(keeper: FilesProvider, reply: UpstreamReply) -> dict[str, Any]:
    """The object in an answer about files or batches. Raises Fault."""
    if reply.status >= 300:
        raise keeper.read_files_fault(reply)
    try:
        told = orjson.loads(reply.body)
    except orjson.JSONDecodeError:
        told = None
    if not isinstance(told, dict):
        raise UpstreamFault("The provider's answer is no object.", code="upstream_invalid_response")
    return told
