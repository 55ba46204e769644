"""`/conversations`: lists of items that grow with every response that names them."""

from __future__ import annotations

import secrets
from typing import Any

from gateway.errors import CallerFault
from gateway.http import web
from gateway.http.api.operations import calls as operations
from gateway.http.api.responses import caller_and_services, page_of
from gateway.http.server.request_context import RequestContext
from gateway.http.server.router import RouteTable
from gateway.responses.history import conversation_not_found
from gateway.responses.services import ResponsesServices
from gateway.stores import StoredConversation
from gateway.wire.responses.items import canonical_items
from gateway.wire.responses.objects import item_resources
from gateway.wire.responses.request import items as input_items
from gateway.wire.responses.request import metadata

_MOST_AT_ONCE = 20
"""Items in one request (OpenAI's API reference)."""


def add_routes(routes: RouteTable) -> None:
    """The routes of this module."""
    routes.add("POST", "/conversations", create, operations.CREATE_CONVERSATION)
    routes.add("GET", "/conversations/{id}", retrieve, operations.GET_CONVERSATION)
    routes.add("POST", "/conversations/{id}", update, operations.UPDATE_CONVERSATION)
    routes.add("DELETE", "/conversations/{id}", delete, operations.DELETE_CONVERSATION)
    routes.add("GET", "/conversations/{id}/items", list_items, operations.LIST_ITEMS)
    routes.add("POST", "/conversations/{id}/items", create_items, operations.CREATE_ITEMS)
    routes.add("GET", "/conversations/{id}/items/{item}", retrieve_item, operations.GET_ITEM)
    routes.add("DELETE", "/conversations/{id}/items/{item}", delete_item, operations.DELETE_ITEM)


async def create(context: RequestContext) -> web.StreamResponse:
    """POST /conversations: a new one, with `items` and `metadata` to begin with."""
    account_id, services = await caller_and_services(context)
    if not services.settings.store:
        raise CallerFault("This gateway keeps no conversations (responses.store).", code="store_disabled")
    await services.quota.check(account_id, "This conversation")
    body = await context.read_json() if context.request.can_read_body else {}
    metadata = _metadata(body)
    items = _items(body, ()) if body.get("items") is not None else []
    made = await services.conversations.create_conversation(account_id, metadata, [], expires=services.expires())
    if items:
        await services.conversations.add_items(
            account_id, made.id, _named(items, made.id, 0), most=services.settings.max_items
        )
    return context.json(_shown(made))


async def retrieve(context: RequestContext) -> web.StreamResponse:
    """GET /conversations/{id}."""
    account_id, services = await caller_and_services(context)
    return context.json(_shown(await _find(services, account_id, context.values["id"])))


async def update(context: RequestContext) -> web.StreamResponse:
    """POST /conversations/{id}: new `metadata`."""
    account_id, services = await caller_and_services(context)
    body = await context.read_small()
    found = await services.conversations.update_conversation(account_id, context.values["id"], _metadata(body))
    if found is None:
        raise conversation_not_found(context.values["id"])
    return context.json(_shown(found))


async def delete(context: RequestContext) -> web.StreamResponse:
    """DELETE /conversations/{id}: with all its items."""
    account_id, services = await caller_and_services(context)
    conversation_id = context.values["id"]
    if not await services.conversations.delete_conversation(account_id, conversation_id):
        raise conversation_not_found(conversation_id)
    return context.json({"id": conversation_id, "object": "conversation.deleted", "deleted": True})


async def list_items(context: RequestContext) -> web.StreamResponse:
    """GET /conversations/{id}/items: newest first; `after`, `limit`, `order`."""
    account_id, services = await caller_and_services(context)
    items = await _all_items(services, account_id, context.values["id"])
    return context.json(page_of(items, context.request.query))


async def create_items(context: RequestContext) -> web.StreamResponse:
    """POST /conversations/{id}/items: append up to 20; the answer lists them."""
    account_id, services = await caller_and_services(context)
    conversation_id = context.values["id"]
    await services.quota.check(account_id, "These items")
    earlier = await _all_items(services, account_id, conversation_id)
    made = _named(_items(await context.read_json(), earlier), conversation_id, len(earlier))
    if not await services.conversations.add_items(account_id, conversation_id, made, most=services.settings.max_items):
        raise conversation_not_found(conversation_id)
    return context.json(page_of(made, {"limit": "100", "order": "asc"}))


async def retrieve_item(context: RequestContext) -> web.StreamResponse:
    """GET /conversations/{id}/items/{item}."""
    account_id, services = await caller_and_services(context)
    item_id = context.values["item"]
    for item in await _all_items(services, account_id, context.values["id"]):
        if item["id"] == item_id:
            return context.json(item)
    raise _item_not_found(item_id)


async def delete_item(context: RequestContext) -> web.StreamResponse:
    """DELETE /conversations/{id}/items/{item}; the answer is the conversation."""
    account_id, services = await caller_and_services(context)
    conversation_id, item_id = context.values["id"], context.values["item"]
    found = await _find(services, account_id, conversation_id)
    if not await services.conversations.delete_item(account_id, conversation_id, item_id):
        raise _item_not_found(item_id)
    return context.json(_shown(found))


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
    metadata("metadata", given)
    return dict(given)


def _items(body: dict[str, Any], earlier: Any) -> list[dict[str, Any]]:
    given = body.get("items")
    if not isinstance(given, list):
        raise CallerFault("items: is required: a list of items.", param="items")
    if len(given) > _MOST_AT_ONCE:
        raise CallerFault(f"items: at most {_MOST_AT_ONCE} can be added at once.", param="items")
    input_items("items", given)
    return canonical_items(given, earlier=earlier, path="items")


def _named(items: list[dict[str, Any]], conversation_id: str, place: int) -> list[dict[str, Any]]:
    """Items with ids that no other item of the conversation has."""
    seed = f"{conversation_id.removeprefix('conv_')}-{place}-{secrets.token_hex(4)}"
    return item_resources(items, seed)


async def _find(services: ResponsesServices, account_id: str, conversation_id: str) -> StoredConversation:
    found = await services.conversations.get_conversation(account_id, conversation_id)
    if found is None:
        raise conversation_not_found(conversation_id)
    return found


async def _all_items(services: ResponsesServices, account_id: str, conversation_id: str) -> list[dict[str, Any]]:
    items = await services.conversations.conversation_items(
        account_id, conversation_id, most=services.settings.max_context
    )
    if items is None:
        raise conversation_not_found(conversation_id)
    return [dict(item) for item in items]


def _item_not_found(item_id: str) -> CallerFault:
    return CallerFault(f"Item with id '{item_id[:100]}' not found.", status=404, code="item_not_found")
