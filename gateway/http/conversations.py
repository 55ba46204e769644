"""`/conversations`: lists of items that grow with every response that names them."""

from __future__ import annotations

import secrets
from typing import Any

from aiohttp import web

from gateway.errors import CallerFault
from gateway.http.context import Visit
from gateway.http.responses import enter, page_of
from gateway.http.router import RouteTable
from gateway.responses.before import conversation_not_found
from gateway.responses.room import Room
from gateway.stores import StoredConversation
from gateway.wire.responses import item_resources
from gateway.wire.responses_pairing import canonical_items
from gateway.wire.responses_validate import validate_input, validate_metadata

_MOST_AT_ONCE = 20
"""Items in one request (OpenAI's API reference)."""


def add_routes(routes: RouteTable) -> None:
    """The routes of this module."""
    routes.add("POST", "/conversations", create)
    routes.add("GET", "/conversations/{id}", retrieve)
    routes.add("POST", "/conversations/{id}", update)
    routes.add("DELETE", "/conversations/{id}", delete)
    routes.add("GET", "/conversations/{id}/items", list_items)
    routes.add("POST", "/conversations/{id}/items", create_items)
    routes.add("GET", "/conversations/{id}/items/{item}", retrieve_item)
    routes.add("DELETE", "/conversations/{id}/items/{item}", delete_item)


async def create(visit: Visit) -> web.StreamResponse:
    """POST /conversations: a new one, with `items` and `metadata` to begin with."""
    account_id, room = await enter(visit)
    if not room.settings.store:
        raise CallerFault("This gateway keeps no conversations (responses.store).", code="store_disabled")
    body = await visit.read_json()
    metadata = _metadata(body)
    items = _items(body, ()) if body.get("items") is not None else []
    made = await room.store.create_conversation(account_id, metadata, [], expires=room.expires())
    if items:
        await room.store.add_items(account_id, made.id, _named(items, made.id, 0), most=room.settings.max_items)
    return visit.json(_shown(made))


async def retrieve(visit: Visit) -> web.StreamResponse:
    """GET /conversations/{id}."""
    account_id, room = await enter(visit)
    return visit.json(_shown(await _find(room, account_id, visit.values["id"])))


async def update(visit: Visit) -> web.StreamResponse:
    """POST /conversations/{id}: new `metadata`."""
    account_id, room = await enter(visit)
    body = await visit.read_json()
    found = await room.store.update_conversation(account_id, visit.values["id"], _metadata(body))
    if found is None:
        raise conversation_not_found(visit.values["id"])
    return visit.json(_shown(found))


async def delete(visit: Visit) -> web.StreamResponse:
    """DELETE /conversations/{id}: with all its items."""
    account_id, room = await enter(visit)
    conversation_id = visit.values["id"]
    if not await room.store.delete_conversation(account_id, conversation_id):
        raise conversation_not_found(conversation_id)
    return visit.json({"id": conversation_id, "object": "conversation.deleted", "deleted": True})


async def list_items(visit: Visit) -> web.StreamResponse:
    """GET /conversations/{id}/items: newest first; `after`, `limit`, `order`."""
    account_id, room = await enter(visit)
    items = await _all_items(room, account_id, visit.values["id"])
    return visit.json(page_of(items, visit.request.query))


async def create_items(visit: Visit) -> web.StreamResponse:
    """POST /conversations/{id}/items: append up to 20; the answer lists them."""
    account_id, room = await enter(visit)
    conversation_id = visit.values["id"]
    earlier = await _all_items(room, account_id, conversation_id)
    made = _named(_items(await visit.read_json(), earlier), conversation_id, len(earlier))
    if not await room.store.add_items(account_id, conversation_id, made, most=room.settings.max_items):
        raise conversation_not_found(conversation_id)
    return visit.json(page_of(made, {"limit": "100", "order": "asc"}))


async def retrieve_item(visit: Visit) -> web.StreamResponse:
    """GET /conversations/{id}/items/{item}."""
    account_id, room = await enter(visit)
    item_id = visit.values["item"]
    for item in await _all_items(room, account_id, visit.values["id"]):
        if item["id"] == item_id:
            return visit.json(item)
    raise _item_not_found(item_id)


async def delete_item(visit: Visit) -> web.StreamResponse:
    """DELETE /conversations/{id}/items/{item}; the answer is the conversation."""
    account_id, room = await enter(visit)
    conversation_id, item_id = visit.values["id"], visit.values["item"]
    found = await _find(room, account_id, conversation_id)
    if not await room.store.delete_item(account_id, conversation_id, item_id):
        raise _item_not_found(item_id)
    return visit.json(_shown(found))


def _shown(conversation: StoredConversation) -> dict[str, Any]:
    return {
        "id": conversation.id,
        "object": "conversation",
        "created_at": conversation.created,
        "metadata": dict(conversation.metadata),
    }


def _metadata(body: dict[str, Any]) -> dict[str, str]:
    given = body.get("metadata")
    if given is None:
        return {}
    validate_metadata("metadata", given)
    return dict(given)


def _items(body: dict[str, Any], earlier: Any) -> list[dict[str, Any]]:
    given = body.get("items")
    if not isinstance(given, list) or not given:
        raise CallerFault("items: is required: a list of at least one item.", param="items")
    if len(given) > _MOST_AT_ONCE:
        raise CallerFault(f"items: at most {_MOST_AT_ONCE} can be added at once.", param="items")
    validate_input("items", given)
    return canonical_items(given, earlier=earlier, path="items")


def _named(items: list[dict[str, Any]], conversation_id: str, place: int) -> list[dict[str, Any]]:
    """Items with ids that no other item of the conversation has."""
    seed = f"{conversation_id.removeprefix('conv_')}-{place}-{secrets.token_hex(4)}"
    return item_resources(items, seed)


async def _find(room: Room, account_id: str, conversation_id: str) -> StoredConversation:
    found = await room.store.get_conversation(account_id, conversation_id)
    if found is None:
        raise conversation_not_found(conversation_id)
    return found


async def _all_items(room: Room, account_id: str, conversation_id: str) -> list[dict[str, Any]]:
    items = await room.store.conversation_items(account_id, conversation_id, most=room.settings.max_context)
    if items is None:
        raise conversation_not_found(conversation_id)
    return [dict(item) for item in items]


def _item_not_found(item_id: str) -> CallerFault:
    return CallerFault(f"Item with id '{item_id[:100]}' not found.", status=404, code="item_not_found")
