"""The reader of servers that speak OpenAI's older completions."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import orjson

from gateway.profile import COMPLETIONS, Dialect
from gateway.provider import Answer, StreamDecoder, StreamItem, UpstreamReply
from gateway.readers import ChatReader, ItemDecoder
from gateway.wire.chat.decoder import read_choices
from gateway.wire.completions import chat_from_chunk, chat_from_completion
from gateway.wire.exact_json import load_exact
from gateway.wire.lenient import nonsense

Json = dict[str, Any]


class CompletionsReader(ChatReader):
    """Reads OpenAI's older completions; gives out what they say as chat completions and chunks."""

    dialect: Dialect = COMPLETIONS

    def read_body(self, reply: UpstreamReply) -> Json:
        """The completion as a chat. Raises UpstreamFault when it holds no texts."""
        body = read_choices(reply.body)
        for choice in body["choices"]:
            if not isinstance(choice, dict) or not isinstance(choice.get("text"), str):
                raise nonsense("The provider's answer has a choice without a text.", reply.body)
        return chat_from_completion(body)

    def make_decoder(self) -> StreamDecoder:
        """Gives chunks as a chat's."""
        return ItemDecoder(super().make_decoder(), _as_chat)

    def measure(self, body: Json) -> Answer:
        """What a chat of the same texts comes to."""
        return replace(super().measure(body), dialect=self.dialect)


def _as_chat(item: StreamItem) -> StreamItem:
    if not isinstance(item, bytes):
        return item
    try:
        chunk = load_exact(item)
    except orjson.JSONDecodeError:
        return item  # the tally says so
    return chat_from_chunk(chunk) if isinstance(chunk, dict) and not chunk.get("error") else item
