"""What stands before a new turn: the responses it continues, a conversation, and the items it refers to."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from gateway.errors import CallerFault
from gateway.responses.services import ResponsesServices
from gateway.stores import Chain, Turn
from gateway.wire.lenient import dicts_of, text_of
from gateway.wire.responses.ids import input_seed
from gateway.wire.responses.items import item_type
from gateway.wire.responses.objects import item_resources

Json = dict[str, Any]

_BROKEN_OFF = ("failed", "cancelled")
_UNFINISHED = ("queued", "in_progress")


def response_not_found(response_id: str) -> CallerFault:
    """The fault of a response that is not there, or not this account's."""
    return CallerFault(f"Response with id '{response_id[:100]}' not found.", status=404, code="response_not_found")


def conversation_not_found(conversation_id: str) -> CallerFault:
    """The fault of a conversation that is not there, or not this account's."""
    return CallerFault(
        f"Conversation with id '{conversation_id[:100]}' not found.",
        status=404,
        code="conversation_not_found",
        param="conversation",
    )


def conversation_of(request: Mapping[str, Any]) -> str:
    """The id of the conversation that a validated request names, "" for none."""
    given = request.get("conversation")
    return "" if given is None else str(given if isinstance(given, str) else given["id"])


class Earlier(NamedTuple):
    """What stands before a turn. items: canonical. given: ids of what a provider keeps that it gave to this account in
    these answers; what callers wrote themselves proves nothing."""

    items: Sequence[Mapping[str, Any]] = ()
    given: frozenset[str] = frozenset()


async def load_earlier(services: ResponsesServices, account_id: str, request: Mapping[str, Any]) -> Earlier:
    """What stands before this turn. Raises CallerFault 404 for what is not there, 400 for what cannot be continued."""
    previous = request.get("previous_response_id")
    if previous is not None:
        return _continued(
            previous, await services.store.chain(account_id, previous, most=services.settings.max_context)
        )
    conversation_id = conversation_of(request)
    if not conversation_id:
        return Earlier()
    items = await services.conversations.conversation_items(
        account_id, conversation_id, most=services.settings.max_context
    )
    if items is None:
        raise conversation_not_found(conversation_id)
    return Earlier(items)


def _continued(previous: str, chain: Chain | None) -> Earlier:
    if chain is None or chain.lost:
        why = "not found" if chain is None else "cannot be continued: an earlier response of its chain was deleted"
        raise CallerFault(
            f"Previous response with id '{previous[:100]}' {why}.",
            status=404,
            code="previous_response_not_found",
            param="previous_response_id",
        )
    status = chain.turns[-1].status
    if status in _UNFINISHED:
        raise CallerFault(
            f"Previous response with id '{previous[:100]}' is still {status}; wait for its end, or cancel it.",
            code="previous_response_in_progress",
            param="previous_response_id",
        )
    items = [item for turn in chain.turns for item in (*turn.input, *_sound(turn))]
    return Earlier(items, frozenset(given for turn in chain.turns for item in turn.output for given in _given_by(item)))


def _given_by(item: Mapping[str, Any]) -> Iterator[str]:
    """The containers in which a provider ran code for this answer, and files that it made there."""
    if item.get("type") == "code_interpreter_call":
        yield text_of(item.get("container_id"))
    for part in dicts_of(item.get("content")) if item.get("type") == "message" else ():
        for cited in dicts_of(part.get("annotations")):
            if cited.get("type") == "container_file_citation":
                yield from (text_of(cited.get("container_id")), text_of(cited.get("file_id")))


def _sound(turn: Turn) -> Sequence[Mapping[str, Any]]:
    """What can be built upon of an answer: of one that broke off, whole items, and text as far as it came."""
    if turn.status not in _BROKEN_OFF:
        return turn.output
    return [
        item
        for item in turn.output
        if item.get("type") == "message" or item.get("status") not in ("incomplete", "in_progress")
    ]


def weight_of(items: Sequence[Mapping[str, Any]]) -> int:
    """By what work on so many stored items takes time, in bytes of a request with as many: their texts, however long,
    are looked at by C code alone."""
    parts = 0
    for item in items:
        content = item.get("content")
        parts += 1 + (len(content) if isinstance(content, list) else 0)
    return parts * _WEIGHT


_WEIGHT = 256


async def load_references(
    services: ResponsesServices, account_id: str, request: Mapping[str, Any], earlier: Sequence[Mapping[str, Any]]
) -> Mapping[str, Mapping[str, Any]]:
    """What the `item_reference`s of this turn mean, besides what stands before it."""
    given = request.get("input")
    if not isinstance(given, list):
        return {}
    wanted = [item["id"] for item in given if item_type(item) == "item_reference"]
    if not wanted:
        return {}
    known = {item.get("id") for item in earlier}
    missing = list(dict.fromkeys(item_id for item_id in wanted if item_id not in known))
    if len(missing) > _MOST_REFERENCES:
        raise CallerFault(f"input: at most {_MOST_REFERENCES} different items can be referred to.", param="input")
    found: dict[str, Mapping[str, Any]] = {}
    for item_id in missing:
        made = _INPUT_ID.fullmatch(item_id)
        stored = await services.store.get(account_id, f"resp_{made[1]}") if made else None
        if stored is not None:
            found.update((item["id"], item) for item in listed_input(stored.id, stored.input))
    rest = [item_id for item_id in missing if item_id not in found]
    return {**found, **await services.store.find_items(account_id, rest)} if rest else found


_MOST_REFERENCES = 100
_INPUT_ID = re.compile(r"[a-z]+_gw([A-Za-z0-9]+)-in_\d+")
"""Ids that `listed_input` gave to items that came without one."""


def listed_chain(chain: Chain) -> list[Json]:
    """The items that a response was made from, what it continues included, as the API lists them."""
    items: list[Json] = []
    for turn in chain.turns[:-1]:
        items += [*listed_input(turn.id, turn.input), *map(dict, turn.output)]
    return items + listed_input(chain.turns[-1].id, chain.turns[-1].input)


def listed_input(response_id: str, items: Sequence[Mapping[str, Any]]) -> list[Json]:
    """The input items of a stored response as the API lists them."""
    return item_resources(items, input_seed(response_id))
