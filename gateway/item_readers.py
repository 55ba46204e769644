"""Readers of servers that speak the Responses API, for providers to use as they are or to build on."""

from __future__ import annotations

from typing import Any

import orjson

from gateway.profile import Dialect
from gateway.provider import Answer, StreamDecoder, StreamItem, Tally, UpstreamReply
from gateway.readers import ChatReader
from gateway.wire.bridge.back_reply import chat_from_response
from gateway.wire.lenient import check_depth, nonsense
from gateway.wire.mending import load_mended
from gateway.wire.responses.decoder import ResponsesEventDecoder, read_response, unfold_response
from gateway.wire.responses.fold import ResponseFold
from gateway.wire.responses.objects import usage_of_response
from gateway.wire.responses.tally import ResponsesTally, finish_reason_of
from gateway.wire.shortening import shorten_response
from gateway.wire.tokens import estimate_output_tokens

Json = dict[str, Any]


class ResponsesReader(ChatReader):
    """Reads what a server says that speaks the Responses API, and gives it out as it is."""

    dialect: Dialect = "responses"

    def read_body(self, reply: UpstreamReply) -> Json:
        """The response object."""
        return read_response(reply.body)

    def make_decoder(self) -> StreamDecoder:
        """Gives events as the JSON bytes of their data."""
        return ResponsesEventDecoder(self.clean)

    def fold(self, items: list[StreamItem]) -> Json:
        """See `ChatReader`. The last event has the whole object, without its output at some servers."""
        fold = ResponseFold()
        for item in items:
            fold.add(orjson.loads(item) if isinstance(item, bytes) else item)
        whole = fold.response
        return whole if whole.get("output") else fold.added_up

    def measure(self, body: Json) -> Answer:
        """A response object with what it comes to."""
        chat = chat_from_response(body, completion_id="", model=self.call.model, created=0)
        usage = usage_of_response(body)
        written = estimate_output_tokens(chat, usage=usage)
        reason = finish_reason_of(body)
        return Answer(body, self.dialect, usage, reason, written, shorten_response, unfold_response)

    def open_tally(self, choices: int) -> Tally:
        """A fresh tally for the items of the stream."""
        return ResponsesTally()

    def unfold(self, reply: UpstreamReply) -> list[StreamItem]:
        """The stream's items for a whole answer that came although a stream was asked for."""
        return list(unfold_response(self.read_reply(reply).body))


class CompactionReader(ResponsesReader):
    """Reads a conversation that such a server compacted."""

    def read_body(self, reply: UpstreamReply) -> Json:
        """The object. Raises UpstreamFault when it is none."""
        try:
            answer = load_mended(reply.body)
        except orjson.JSONDecodeError:
            answer = None
        if not isinstance(answer, dict) or not isinstance(answer.get("output"), list):
            raise nonsense("The provider's answer is no compacted conversation.", reply.body)
        check_depth(answer, reply.body)
        return answer

    def measure(self, body: Json) -> Answer:
        """What was written for it is opaque; the usage tells how much."""
        return Answer(body, self.dialect, usage_of_response(body), "stop")
