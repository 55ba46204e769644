"""All that a world keeps, as the rows of `gateway.stores.transfer`, out of it and into it.

A world refers by ids, so numbers are made on the way out, by age; those that came in stay as they are.
"""

from __future__ import annotations

import zlib
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import Any

import orjson

from gateway.api import Part, Usage
from gateway.api.stores import (
    OTHER_COUNTS,
    TABLES,
    Account,
    AuditEntry,
    Entry,
    HoldRequest,
    KeptObject,
    Key,
    Link,
    LoggedRequest,
    Login,
    Row,
    Session,
    Snapshot,
    StoredConversation,
    StoredResponse,
    TopUp,
    UsageRow,
    Voucher,
    counts_of,
    exact,
    not_empty,
    read_period,
)
from gateway.testing.memory_stores.world import Answer, Held, World

_STATES = ("open", "settled", "voided", "forsaken")
_GONE = "gone:"
"""Begins what stands in the place of the id of a response that is not there any more; its number follows."""


def _numbers(world: World, table: str, names: Iterable[Any]) -> dict[Any, Any]:
    """The number of each name; what is new gets the next one."""
    given = world.given.get(table, {})
    found: dict[Any, int] = {}
    last = max(given.values(), default=0)
    for name in names:
        last = max(last, found.setdefault(name, given.get(name, last + 1)))
    return found


class MemorySnapshot:
    """`gateway.stores.Snapshot`: everything is made at once, so nobody can change it."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._accounts = {"": None, **_numbers(world, "accounts", world.accounts)}
        self._keys = {"": 0, **_numbers(world, "keys", world.keys)}
        self._holds = {"": None, **_numbers(world, "holds", world.holds)}
        self._rows: Mapping[str, list[Row]] = {
            **self._people(), **self._money(), **self._use(), **self._state(),
        }  # fmt: skip

    async def rows(self, table: str) -> AsyncIterator[Sequence[Row]]:
        """All in one piece."""
        if self._rows[table]:
            yield self._rows[table]

    def _people(self) -> dict[str, list[Row]]:
        world, accounts, keys = self._world, self._accounts, self._keys
        sessions, links = _numbers(world, "sessions", world.sessions), _numbers(world, "links", world.links)
        return {
            "accounts": [(accounts[a.id], a.id, a.name, a.role, a.balance, a.held, a.requests_per_minute, a.disabled,
                          a.created_at, a.alert_thresholds) for a in world.accounts.values()],
            "keys": [(keys[k.id], k.id, accounts[k.account_id], k.name, k.label, k.created_at, k.expires_at,
                      k.revoked_at, k.last_used_at, k.monthly_limit, k.models, k.requests_per_minute, k.ip_allow,
                      k.alert_thresholds)
                     for k in world.keys.values()],
            "secrets": sorted((digest, keys[key], until) for digest, (key, until) in world.secrets.items()),
            "sessions": [(sessions[digest], s.id, digest, accounts[s.account_id], s.created_at, s.expires_at,
                          s.last_seen_at, s.remote, s.agent) for digest, s in world.sessions.items()],
            "logins": sorted((accounts[one.account_id], one.email, one.password_hash, one.changed_at)
                             for one in world.logins.values()),
            "identities": sorted((*name, accounts[owner]) for name, owner in world.identities.items()),
            "links": [(links[digest], one.id, digest, one.purpose, accounts[one.account_id], one.email, one.role,
                       one.credits, one.created_at, one.expires_at) for digest, one in world.links.items()],
            "audit": [(one.seq, one.at, one.actor, one.remote, one.action, one.subject, dict(one.detail))
                      for one in world.audit],
        }  # fmt: skip

    def _money(self) -> dict[str, list[Row]]:
        world, accounts = self._world, self._accounts
        topups = _numbers(world, "topups", world.topups)
        months = {(h.request.key_id, h.request.period) for h in world.holds.values() if h.request.key_id}
        posted = [entry.key.split(":")[1] for entry in world.entries if entry.key.startswith("topup:")]
        return {
            "months": sorted((self._keys[key], read_period(period), *world.month(key, period))
                             for key, period in months),
            "holds": [self._hold(held) for held in world.holds.values()],
            "entries": [(e.seq, accounts[e.account_id], e.kind, e.amount, e.reserved, e.unpaid, e.balance,
                         e.created_at, self._holds[e.request_id], e.basis, e.key or None, e.note)
                        for e in world.entries],
            "vouchers": [(v.id, digest, v.label, v.credits, v.created_at, v.expires_at, v.redeemed_at,
                          accounts[v.redeemed_by], v.note, v.revoked_at) for digest, v in world.vouchers.items()],
            "topups": [(topups[t.id], t.id, accounts[t.account_id], t.method, t.currency, t.amount, t.credits,
                        t.created_at, t.state, t.checkout_id, t.url, t.settled, t.returned, t.credited, t.owed,
                        posted.count(t.id)) for t in world.topups.values()],
            "topup_parts": sorted((topups[topup], part.name, part.amount, part.rank)
                                  for topup, parts in world.parts.items() for part in parts.values()),
        }  # fmt: skip

    def _hold(self, held: Held) -> Row:
        asked, state = held.request, _STATES.index(held.state)
        known = held.usage
        only_open: Row = (False, None, None, None, None, None, None)
        if not state:
            prices = exact(held.base), exact(asked.unit_price)
            tokens = (None, None) if held.known is None else (known.prompt_tokens, known.completion_tokens)
            only_open = (held.dispatched, *prices, held.ceiling, held.known, *tokens)
        return (
            self._holds[asked.request_id], asked.request_id, self._accounts[asked.account_id], self._keys[asked.key_id],
            read_period(asked.period), held.created, asked.model, held.amount, held.units, state, held.charged,
            held.logged, held.target, *only_open, asked.tags,
        )  # fmt: skip

    def _use(self) -> dict[str, list[Row]]:
        rows = [
            (
                one.seq, self._accounts[row.account_id], self._keys.get(row.key_id, 0),
                self._holds.get(row.request_id), row.request_id, row.model, row.target, row.route, row.status,
                row.basis, row.created, tuple(counts_of(row.usage)), row.first_byte_ms, row.total_ms, row.error,
                row.tags, row.tries,
            )
            for one in self._world.usage
            for row in (one.row,)
        ]  # fmt: skip
        sums = (
            (self._accounts[account], day, self._keys[key], model, *figures)
            for (account, day, key, model), figures in self._world.sums.items()
        )
        tagged = (
            (self._accounts[account], day, name, value, self._keys[key], *figures)
            for (account, day, name, value, key), figures in self._world.tag_sums.items()
        )
        return {"usage": rows, "rollups": sorted(sums), "tag_sums": sorted(tagged)}

    def _state(self) -> dict[str, list[Row]]:
        world, accounts = self._world, self._accounts
        talks = _numbers(world, "conversations", world.conversations)
        own = {(name, item): body for name, (_, kept) in world.conversations.items() for item, body in kept.items()}
        items = _numbers(world, "conversation_items", own)
        numbers = _numbers(world, "responses", world.responses)

        def previous(response: StoredResponse) -> int | None:
            name = response.previous_id
            if name.startswith(_GONE):
                return int(name.removeprefix(_GONE))
            return numbers.get(name, -1) if name else None

        return {
            "responses": [(numbers[r.id], r.id, accounts[r.account_id], r.status, r.created, r.expires,
                           previous(r), r.running,
                           r.background, r.id in world.cancelled, r.request_id, orjson.dumps(list(r.input)),
                           orjson.dumps({name: value for name, value in r.response.items() if name != "output"}),
                           orjson.dumps(r.response["output"]), r.events or None)
                          for r, _ in world.responses.values()],
            "conversations": [(talks[c.id], c.id, accounts[c.account_id], c.created, c.expires, dict(c.metadata))
                              for c, _ in world.conversations.values()],
            "conversation_items": sorted((items[name], talks[name[0]], name[1], orjson.dumps(dict(body)))
                                         for name, body in own.items()),
            "answers": sorted((name, accounts[a.account_id], a.body, a.request_id, a.expires, a.status,
                               None if a.status is None else dict(a.headers),
                               None if a.status is None else zlib.compress(a.content, 1))
                              for name, a in world.answers.items()),
            "objects": sorted((one.seq, one.id, accounts[one.account_id], one.provider, one.kind, one.size,
                               one.created, dict(one.details), one.is_open) for one in world.objects.values()),
        }  # fmt: skip


@asynccontextmanager
async def open_snapshot(world: World) -> AsyncIterator[MemorySnapshot]:
    """The world as it is now."""
    yield MemorySnapshot(world)


async def fill(world: World, snapshot: Snapshot, told: Callable[[str, int], None]) -> None:
    """Read everything, then write it into a world without accounts, without waiting in between."""
    if world.accounts:
        raise not_empty()
    tables: dict[str, list[dict[str, Any]]] = {}
    for table, columns in TABLES.items():
        rows = tables[table] = []
        async for batch in snapshot.rows(table):
            rows += (dict(zip(columns, row, strict=True)) for row in batch)
        told(table, len(rows))
    _Filling(world, tables).all()


class _Filling:
    """Rows of `TABLES`, as dicts by column, on their way into a world."""

    def __init__(self, world: World, tables: Mapping[str, list[dict[str, Any]]]) -> None:
        self._world = world
        self._tables = tables

    def _ids(self, table: str, column: str = "id") -> dict[int | None, str]:
        self._give(table, lambda row: row[column])
        return {None: "", 0: "", **{row["n"]: row[column] for row in self._tables[table]}}

    def _give(self, table: str, name: Callable[[dict[str, Any]], Any]) -> None:
        self._world.given[table] = {name(row): row["n"] for row in self._tables[table]}

    def all(self) -> None:
        """What is referred to comes first."""
        self._accounts, self._keys = self._ids("accounts"), self._ids("keys")
        self._holds = self._ids("holds", "request_id")
        self._people()
        self._money()
        self._use()
        self._state()
        for table in ("sessions", "links"):
            self._give(table, lambda row: row["digest"])
        numbers = (
            row["n"] for table in ("entries", "vouchers", "usage", "audit", "objects") for row in self._tables[table]
        )
        self._world.numbers = max(numbers, default=0)

    def _people(self) -> None:
        world, tables = self._world, self._tables
        for row in tables["accounts"]:
            world.accounts[row["id"]] = Account(*(row[name] for name in (
                "id", "name", "role", "balance", "held", "created", "requests_per_minute", "disabled",
                "alert_thresholds")))  # fmt: skip
        for row in tables["keys"]:
            world.keys[row["id"]] = Key(row["id"], self._accounts[row["account"]], *(row[name] for name in (
                "name", "label", "created", "expires", "revoked", "last_used", "monthly_limit", "models",
                "requests_per_minute", "ip_allow", "alert_thresholds")))  # fmt: skip
        for row in tables["secrets"]:
            world.secrets[row["digest"]] = (self._keys[row["key"]], row["until"])
        for row in tables["sessions"]:
            world.sessions[row["digest"]] = Session(row["id"], self._accounts[row["account"]], *(row[name] for name in (
                "created", "expires", "seen", "remote", "agent")))  # fmt: skip
        for row in tables["logins"]:
            account = self._accounts[row["account"]]
            world.logins[account] = Login(account, row["email"], row["password"], row["changed"])
        for row in tables["identities"]:
            world.identities[row["issuer"], row["subject"]] = self._accounts[row["account"]]
        for row in tables["links"]:
            world.links[row["digest"]] = Link(
                row["id"], row["purpose"], row["created"], row["expires"], self._accounts[row["account"]],
                row["email"], row["role"], row["credits"],
            )  # fmt: skip
        world.audit += (AuditEntry(*row.values()) for row in tables["audit"])

    def _money(self) -> None:
        world, tables, topups = self._world, self._tables, self._ids("topups")
        for row in tables["holds"]:
            world.holds[row["request_id"]] = self._held(row)
        for row in tables["entries"]:
            asked = world.holds[self._holds[row["hold"]]].request if row["hold"] is not None else None
            entry = Entry(
                row["n"], self._accounts[row["account"]], row["kind"], row["amount"], row["reserved"], row["unpaid"],
                row["balance"], row["created"], asked.request_id if asked else "", asked.key_id if asked else "",
                asked.model if asked else "", row["basis"], row["idem"] or "", row["note"],
            )  # fmt: skip
            world.entries.append(entry)
            if entry.key:
                world.once[entry.key] = entry
        for row in tables["vouchers"]:
            world.vouchers[row["digest"]] = Voucher(
                row["n"], row["label"], row["credits"], row["created"], row["expires"], row["redeemed"],
                self._accounts[row["account"]], row["note"], row["revoked"],
            )  # fmt: skip
        for row in tables["topups"]:
            world.topups[row["id"]] = TopUp(row["id"], self._accounts[row["account"]], *(row[name] for name in (
                "method", "currency", "amount", "credits", "created", "state", "checkout", "url", "settled",
                "returned", "credited", "owed")))  # fmt: skip
        for row in tables["topup_parts"]:
            part = Part(row["name"], row["amount"], row["rank"])
            world.parts.setdefault(topups[row["topup"]], {})[part.name] = part

    def _held(self, row: Mapping[str, Any]) -> Held:
        period = f"{row['period'] // 100:04}-{row['period'] % 100:02}"
        base, price = Decimal(row["base"] or 0), Decimal(row["unit_price"] or 0)
        asked = HoldRequest(row["request_id"], self._accounts[row["account"]], self._keys[row["key"]], period, None,
                            base, price, row["units"], 0, row["model"], tags=tuple(row["tags"]))  # fmt: skip
        usage = Usage(prompt_tokens=row["known_prompt"] or 0, completion_tokens=row["known_completion"] or 0)
        return Held(asked, "", base, row["amount"], row["units"], row["ceiling"], row["created"],
                    _STATES[row["state"]], row["charged"], row["known"], usage, row["dispatched"],
                    row["logged"], row["target"])  # fmt: skip

    def _use(self) -> None:
        for row in self._tables["usage"]:
            logged = UsageRow(
                row["request_id"], self._accounts[row["account"]], self._keys[row["key"]], row["model"], row["target"],
                row["route"], row["status"], Usage(*row["counts"]), row["basis"], row["created"], row["first_byte_ms"],
                row["total_ms"], row["error"], tuple(row["tags"]), row["tries"],
            )  # fmt: skip
            self._world.usage.append(LoggedRequest(row["n"], 0, logged))
        for row in self._tables["rollups"]:
            name = (self._accounts[row["account"]], row["day"], self._keys[row["key"]], row["model"])
            self._world.sums[name] = [row[one] for one in ("credits", "requests", "tokens", *OTHER_COUNTS)]
        for row in self._tables["tag_sums"]:
            tag = (self._accounts[row["account"]], row["day"], row["name"], row["value"], self._keys[row["key"]])
            self._world.tag_sums[tag] = [row["credits"], row["requests"], row["tokens"]]

    def _state(self) -> None:
        world, tables, ids, talks = self._world, self._tables, self._ids("responses"), self._ids("conversations")
        for row in tables["responses"]:
            response = {**orjson.loads(row["response"]), "output": orjson.loads(row["output"])}
            previous = ids.get(row["previous"], f"{_GONE}{row['previous']}")
            kept = StoredResponse(
                row["id"], self._accounts[row["account"]], row["status"], row["created"], row["expires"],
                row["request_id"], orjson.loads(row["input"]), response, previous, background=row["background"],
                running=row["running"], events=row["events"] or b"",
            )  # fmt: skip
            world.responses[row["id"]] = (kept, "")
            if row["cancelled"]:
                world.cancelled.add(row["id"])
        for row in tables["conversations"]:
            talk = StoredConversation(row["id"], self._accounts[row["account"]], row["created"], row["expires"],
                                      row["metadata"])  # fmt: skip
            world.conversations[row["id"]] = (talk, {})
        self._give("conversation_items", lambda row: (talks[row["conversation"]], row["id"]))
        for row in tables["conversation_items"]:
            world.conversations[talks[row["conversation"]]][1][row["id"]] = orjson.loads(row["item"])
        for row in tables["objects"]:
            world.objects[row["provider"], row["id"]] = KeptObject(
                row["id"], self._accounts[row["account"]], row["provider"], row["kind"], row["size"], row["created"],
                row["details"], row["is_open"], row["n"],
            )  # fmt: skip
        for row in tables["answers"]:
            content = zlib.decompress(row["content"]) if row["content"] else b""
            world.answers[row["name"]] = Answer(row["body"], row["request_id"], row["expires"], "",
                                                self._accounts[row["account"]], row["status"], row["headers"] or {},
                                                content)  # fmt: skip
