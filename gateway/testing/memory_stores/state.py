"""State of the Responses API and of keyed requests, in memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import orjson

from gateway.api import Refusal
from gateway.api.stores import Chain, Claim, KeptAnswer, StoredConversation, StoredResponse, Turn, random_text
from gateway.testing.memory_stores.money import give_back
from gateway.testing.memory_stores.world import Answer, Store


def _too_large(what: str, most: int) -> Refusal:
    return Refusal(f"The {what} is larger than {most} bytes.", status=400, code="context_too_large")


def _size(*values: Any) -> int:
    return sum(len(orjson.dumps(value)) for value in values)


class MemoryResponses(Store):
    """`gateway.stores.Responses`. A lost predecessor is an id that leads nowhere."""

    async def save(self, response: StoredResponse, *, most: int) -> None:
        """The end of a running one only while it runs."""
        if _size(list(response.input), dict(response.response)) > most:
            raise _too_large("response", most)
        rows, earlier = self.world.responses, self.world.responses.get(response.id)
        if response.background and not response.running:
            if earlier is None or not earlier[0].running:
                return
            response = replace(earlier[0], status=response.status, response=response.response,
                               events=response.events, running=False, items=response.items,
                               conversation_id=response.conversation_id)  # fmt: skip
        if response.conversation_id and not response.running:
            found = self.world.conversations.get(response.conversation_id)
            if found is not None and found[0].account_id == response.account_id:
                found[1].update({str(item["id"]): item for item in response.items})
                expires = max(found[0].expires, response.expires)
                self.world.conversations[response.conversation_id] = (replace(found[0], expires=expires), found[1])
        kept = replace(response, conversation_id="", items=())
        rows[response.id] = (kept, self.presence.lease.id)

    def _own(self, account_id: str, response_id: str) -> StoredResponse | None:
        response, _ = self.world.responses.get(response_id, (None, ""))
        if response is None or response.account_id != account_id or response.expires < self.world.now():
            return None
        return response

    async def get(self, account_id: str, response_id: str) -> StoredResponse | None:
        """One of the account."""
        found = self._own(account_id, response_id)
        if found is not None and found.previous_id and found.previous_id not in self.world.responses:
            found = replace(found, previous_id="")
        return found

    async def delete(self, account_id: str, response_id: str) -> bool:
        """At once."""
        if self._own(account_id, response_id) is None:
            return False
        del self.world.responses[response_id]
        return True

    async def chain(self, account_id: str, response_id: str, *, most: int) -> Chain | None:
        """Back to the first, or to one that is lost."""
        found = self._own(account_id, response_id)
        if found is None:
            return None
        rows = [found]
        while (before := rows[0].previous_id) in self.world.responses:
            rows.insert(0, self.world.responses[before][0])
        if sum(_size(list(row.input), dict(row.response)) for row in rows) > most:
            raise _too_large("conversation so far", most)
        turns = [Turn(row.id, row.status, row.input, row.response["output"]) for row in rows]
        return Chain(turns, lost=bool(rows[0].previous_id))

    async def find_items(self, account_id: str, item_ids: Sequence[str]) -> dict[str, Mapping[str, Any]]:
        """In all that the account has."""
        own = [row for name in self.world.responses if (row := self._own(account_id, name))]
        return {item["id"]: item for row in own for item in (*row.input, *row.response["output"])
                if item.get("id") in item_ids}  # fmt: skip

    async def ask_to_cancel(self, account_id: str, response_id: str) -> None:
        """Only of one that runs."""
        found = self._own(account_id, response_id)
        if found is not None and found.running:
            self.world.cancelled.add(response_id)

    async def asked_to_cancel(self) -> list[str]:
        """Those of this lease."""
        rows = ((name, *self.world.responses[name]) for name in self.world.cancelled & self.world.responses.keys())
        return sorted(name for name, row, lease in rows if row.running and lease == self.presence.lease.id)

    async def fail_over(self, lease: str, error: Mapping[str, Any]) -> int:
        """Failed, with the error."""
        found = [row for row, owner in self.world.responses.values() if row.running and owner == lease]
        for row in found:
            response = {**row.response, "status": "failed", "error": dict(error)}
            self.world.responses[row.id] = (replace(row, status="failed", running=False, response=response), "")
        return len(found)

    async def prune(self, now: int) -> int:
        """From the newest end of each chain."""
        gone = 0
        while True:
            continued = {row.previous_id for row, _ in self.world.responses.values()}
            over = [row.id for row, _ in self.world.responses.values()
                    if row.expires < now and not row.running and row.id not in continued]  # fmt: skip
            if not over:
                return gone
            for name in over:
                del self.world.responses[name]
            gone += len(over)


class MemoryConversations(Store):
    """`gateway.stores.Conversations`."""

    async def create_conversation(
        self, account_id: str, metadata: Mapping[str, str], items: Sequence[Mapping[str, Any]], *, expires: int
    ) -> StoredConversation:
        """With its first items."""
        made = StoredConversation("conv_" + random_text(32), account_id, self.world.now(), expires, dict(metadata))
        self.world.conversations[made.id] = (made, {str(item["id"]): item for item in items})
        return made

    def _own(
        self, account_id: str, conversation_id: str
    ) -> tuple[StoredConversation, dict[str, Mapping[str, Any]]] | None:
        found = self.world.conversations.get(conversation_id)
        return found if found is not None and found[0].account_id == account_id else None

    async def get_conversation(self, account_id: str, conversation_id: str) -> StoredConversation | None:
        """One of the account."""
        found = self._own(account_id, conversation_id)
        return found[0] if found else None

    async def update_conversation(
        self, account_id: str, conversation_id: str, metadata: Mapping[str, str]
    ) -> StoredConversation | None:
        """New metadata."""
        found = self._own(account_id, conversation_id)
        if found is None:
            return None
        changed = replace(found[0], metadata=dict(metadata))
        self.world.conversations[conversation_id] = (changed, found[1])
        return changed

    async def delete_conversation(self, account_id: str, conversation_id: str) -> bool:
        """With its items."""
        if self._own(account_id, conversation_id) is None:
            return False
        del self.world.conversations[conversation_id]
        return True

    async def conversation_items(
        self, account_id: str, conversation_id: str, *, most: int
    ) -> Sequence[Mapping[str, Any]] | None:
        """In the order in which they came."""
        found = self._own(account_id, conversation_id)
        if found is None:
            return None
        if _size(list(found[1].values())) > most:
            raise _too_large("conversation", most)
        return list(found[1].values())

    async def add_items(
        self, account_id: str, conversation_id: str, items: Sequence[Mapping[str, Any]], *, most: int
    ) -> bool:
        """All or none."""
        found = self._own(account_id, conversation_id)
        if found is None:
            return False
        if len(found[1]) + len(items) > most:
            raise Refusal(f"The conversation would have more than {most} items.", status=400, code="too_many_items")
        found[1].update({str(item["id"]): item for item in items})
        return True

    async def delete_item(self, account_id: str, conversation_id: str, item_id: str) -> bool:
        """One item."""
        found = self._own(account_id, conversation_id)
        return found is not None and found[1].pop(item_id, None) is not None

    async def prune_conversations(self, now: int) -> int:
        """What expired."""
        over = [name for name, (one, _) in self.world.conversations.items() if one.expires < now]
        for name in over:
            del self.world.conversations[name]
        return len(over)


class MemoryIdempotency(Store):
    """`gateway.stores.Idempotency`."""

    def _runs(self, row: Answer) -> bool:
        return row.status is None and row.lease in self.world.leases

    async def claim(self, name: bytes, body: bytes, request_id: str, account_id: str, expires: int) -> Claim:
        """Take it, take it over, or learn who has it."""
        own, row = self.presence.lease.id, self.world.answers.get(name)
        if row is not None and row.expires <= self.world.now() and not self._runs(row):
            row = None
        if row is not None:
            if row.body != body:
                return Claim("conflict", row.request_id)
            if row.status is not None:
                return Claim("answered" if row.status else "too_large", row.request_id)
            if self._runs(row) and row.lease != own:
                return Claim("running", row.request_id)
            give_back(self.world, row.request_id)
        self.world.account(account_id)
        self.world.answers[name] = Answer(body, request_id, expires, own, account_id)
        return Claim("ours", request_id)

    async def is_running(self, name: bytes) -> bool:
        """In a process that was not buried."""
        row = self.world.answers.get(name)
        return row is not None and self._runs(row)

    async def get(self, name: bytes) -> KeptAnswer | None:
        """What was kept."""
        row = self.world.answers.get(name)
        if row is None or not row.status or row.expires <= self.world.now():
            return None
        return KeptAnswer(row.request_id, row.status, row.headers, row.content)

    def _attempt(self, name: bytes, request_id: str) -> Answer | None:
        row = self.world.answers.get(name)
        return row if row is not None and row.request_id == request_id else None

    async def finish(
        self, name: bytes, request_id: str, *, status: int, headers: Mapping[str, str], body: bytes, expires: int
    ) -> None:
        """The end of this attempt."""
        row = self._attempt(name, request_id)
        if row is not None:
            row.lease, row.status, row.headers, row.content, row.expires = "", status, dict(headers), body, expires

    async def drop(self, name: bytes, request_id: str) -> None:
        """Free again."""
        row = self._attempt(name, request_id)
        if row is not None and row.status is None:
            del self.world.answers[name]

    async def break_off(self, name: bytes, request_id: str) -> None:
        """Nobody runs it."""
        row = self._attempt(name, request_id)
        if row is not None and row.status is None:
            row.lease = ""

    async def prune(self, now: int) -> int:
        """What expired and does not run."""
        over = [name for name, row in self.world.answers.items() if row.expires <= now and not self._runs(row)]
        for name in over:
            del self.world.answers[name]
        return len(over)
