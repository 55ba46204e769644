"""Readers of what is no conversation (embeddings, images, audio, moderations), for providers to use as they are or to
build on. What they give out is what OpenAI's routes answer (API reference)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import orjson

from gateway.call import Call
from gateway.errors import Fault
from gateway.profile import Dialect
from gateway.provider import Answer, StreamDecoder, StreamItem, Tally, UpstreamReply
from gateway.readers import ChatReader
from gateway.wire.errors.parse import fault_from_stream_event
from gateway.wire.exact_json import load_exact
from gateway.wire.images import images_wanted
from gateway.wire.lenient import check_depth, dicts_of, nonsense, text_of
from gateway.wire.rerank import documents_of, ranked, rerank_usage
from gateway.wire.speech import as_events
from gateway.wire.transcription import TEXTS
from gateway.wire.usage import add_usage, find_usage

Json = dict[str, Any]


class PlainReader(ChatReader):
    """Reads one JSON object, and streams of events that name themselves in `type`.

    member: of the object, must be there and an instance of `kind`. missing: what its absence is called.
    """

    dialect: Dialect = "plain"
    member = ""
    kind: type = list
    missing = ""

    def read_body(self, reply: UpstreamReply) -> Json:
        """The object. Raises UpstreamFault when it is none, or an error in spite of its status."""
        try:
            answer = orjson.loads(reply.body)
        except orjson.JSONDecodeError:
            answer = None
        if isinstance(answer, dict) and answer.get("error"):
            raise fault_from_stream_event(answer)
        if not isinstance(answer, dict) or not isinstance(answer.get(self.member), self.kind):
            raise nonsense(self.missing, reply.body)
        check_depth(answer, reply.body)
        return answer

    def read_reply(self, reply: UpstreamReply) -> Answer:
        """See `ChatReader`. The bytes of a picture or a sound may begin like anything."""
        try:
            return self.measure(self.read_body(reply))
        except Fault as fault:
            raise self.clean(fault) from None

    def measure(self, body: Json) -> Answer:
        """What is told of its usage; the rest is counted where it is billed."""
        return Answer(body, self.dialect, find_usage(body))

    def open_tally(self, choices: int) -> Tally:
        """A fresh tally for the items of the stream."""
        return EventTally(1)

    def unfold(self, reply: UpstreamReply) -> list[StreamItem]:
        """The events of a whole answer that came although a stream was asked for. Raises UpstreamFault."""
        return list(self.events_of(self.read_reply(reply).body))

    def events_of(self, body: Json) -> list[Json]:
        """A whole answer as the events that say the same, the last with its usage. Raises UpstreamFault where there are
        none."""
        raise nonsense("The provider answered a request for a stream with a whole answer.")


class EmbeddingsReader(PlainReader):
    """Reads OpenAI's list of embeddings."""

    dialect: Dialect = "embeddings"
    member = "data"
    missing = "The provider's answer holds no embeddings."


class ModerationReader(PlainReader):
    """Reads OpenAI's verdicts."""

    dialect: Dialect = "moderations"
    member = "results"
    missing = "The provider's answer holds no verdicts."


class RerankReader(PlainReader):
    """Reads the ranking of documents, as Cohere, Jina and vLLM tell it."""

    dialect: Dialect = "rerank"
    member = "results"
    missing = "The provider's answer ranks no documents."

    def read_body(self, reply: UpstreamReply) -> Json:
        """The object. Raises UpstreamFault when its results are not of this request's documents."""
        answer = super().read_body(reply)
        if not ranked(answer, len(documents_of(self.call.body))):
            raise nonsense(self.missing, reply.body)
        return answer

    def measure(self, body: Json) -> Answer:
        """Tokens, where they are told; searches are counted where they are billed."""
        return Answer(body, self.dialect, rerank_usage(body))


class ImagesReader(PlainReader):
    """Reads OpenAI's list of images."""

    dialect: Dialect = "images"
    member = "data"
    missing = "The provider's answer holds no images."

    def read_body(self, reply: UpstreamReply) -> Json:
        """The list object. Raises UpstreamFault when there is no image in it."""
        answer = super().read_body(reply)
        listed = answer["data"]
        found = [image for image in dicts_of(listed) if text_of(image.get("b64_json")) or text_of(image.get("url"))]
        if not listed or len(found) != len(listed):
            raise nonsense(self.missing, reply.body)
        # More than were asked for are not paid for, so they are not given: servers have other names of `n`, too.
        answer["data"] = found[: images_wanted(self.call.body)]
        return answer

    def open_tally(self, choices: int) -> Tally:
        """A fresh tally for the items of the stream."""
        return EventTally(images_wanted(self.call.body))

    def events_of(self, body: Json) -> list[Json]:
        """An event for each image: servers that show none unfinished may ignore that a stream was asked for."""
        kind = "image_edit" if self.call.operation == "image_edits" else "image_generation"
        images = [text_of(image.get("b64_json")) for image in body["data"]]
        if not all(images) or len(images) < images_wanted(self.call.body):
            raise nonsense("The provider answered a request for a stream with fewer images, or with links to them.")
        about = {name: body[name] for name in ("size", "quality", "background", "output_format") if name in body}
        created = {"created_at": body.get("created", self.call.created)}
        events = [{"type": f"{kind}.completed", "b64_json": image, **created, **about} for image in images]
        return _with_usage(events, body)


class TranscriptionReader(PlainReader):
    """Reads what was heard: an object with the `text`, or the text itself where that was asked for."""

    dialect: Dialect = "transcriptions"
    member = "text"
    kind = str
    missing = "The provider's answer holds no text."

    def read_body(self, reply: UpstreamReply) -> Json:
        """The object, made of the text where the upstream gave that."""
        media_type = reply.headers.get("content-type", "")
        if self.call.body.get("response_format") not in TEXTS or media_type.startswith("application/json"):
            return super().read_body(reply)
        try:
            return {"text": reply.body.decode()}
        except UnicodeDecodeError:
            raise nonsense(self.missing, reply.body) from None

    def events_of(self, body: Json) -> list[Json]:
        """The text at once: models that cannot stream ignore that it was asked for."""
        text = body["text"]
        events = [{"type": "transcript.text.delta", "delta": text}, {"type": "transcript.text.done", "text": text}]
        return _with_usage(events, body)


class SpeechReader(PlainReader):
    """Reads audio as it comes, or as events where those were asked for."""

    dialect: Dialect = "speech"
    missing = "The provider's answer is no audio."

    def __init__(self, call: Call, secrets: Sequence[str] = ()) -> None:
        super().__init__(call, secrets)
        self.as_events = as_events(call.body)

    def is_stream(self, headers: Mapping[str, str]) -> bool:
        """Audio has many names, some servers send none; but it is no text."""
        if self.as_events:
            return super().is_stream(headers)
        return not headers.get("content-type", "").startswith(("application/json", "text/"))

    def open_stream(self) -> StreamDecoder:
        """A fresh decoder for the streamed answer."""
        return super().open_stream() if self.as_events else BytesDecoder()

    def open_tally(self, choices: int) -> Tally:
        """A fresh tally for the items of the stream."""
        return EventTally(1) if self.as_events else BytesTally()

    def unfold(self, reply: UpstreamReply) -> list[StreamItem]:
        """Raises the UpstreamFault that a whole answer is: no audio comes so."""
        self.read_reply(reply)
        raise nonsense(self.missing, reply.body)


PLAIN_READERS: Mapping[str, type[PlainReader]] = MappingProxyType(
    {
        "embeddings": EmbeddingsReader,
        "images": ImagesReader,
        "image_edits": ImagesReader,
        "image_variations": ImagesReader,
        "speech": SpeechReader,
        "transcriptions": TranscriptionReader,
        "translations": TranscriptionReader,
        "moderations": ModerationReader,
        "rerank": RerankReader,
    }
)
"""What reads the answers of each operation, where the upstream gives them as OpenAI does."""


class BytesDecoder:
    """Bytes as they come; implements `gateway.provider.StreamDecoder`. They end where the message does, whose framing
    says whether that is its whole."""

    def __init__(self) -> None:
        self.done = False

    def feed(self, data: bytes) -> list[StreamItem]:
        """Each piece is an item."""
        return [bytes(data)] if data else []

    def finish(self) -> list[StreamItem]:
        """The message ended in good order, so the stream did."""
        self.done = True
        return []


class BytesTally:
    """Sees that something came; implements `gateway.provider.Tally`. What it comes to is counted where it is billed."""

    usage: Json | None = None
    finish_reason = ""
    text_bytes = 0
    chunks = 0
    complete = False

    def add(self, items: list[StreamItem]) -> list[StreamItem]:
        """Take what came, and pass it on."""
        if any(isinstance(item, bytes) for item in items):
            self.chunks = 1
        return items

    def cut(self) -> None:
        """Nothing: what has no parts has none that could be left open."""


class EventTally(BytesTally):
    """Finds usage and end among events. One whose `type` ends in `.completed` or `.done` is the end of one of so many
    parts."""

    def __init__(self, parts: int) -> None:
        self._left = parts

    def add(self, items: list[StreamItem]) -> list[StreamItem]:
        """Take what came, and pass it on parsed; what is no event becomes a Fault, the last item."""
        out: list[StreamItem] = []
        for item in items:
            event = _parsed(item) if isinstance(item, bytes) else item
            out.append(event)
            if isinstance(event, Fault):
                break
            self.chunks = 1
            if text_of(event.get("type")).endswith((".completed", ".done")):
                self._left -= 1
                self.complete = self._left <= 0
                told = find_usage(event)
                self.usage = told if self.usage is None else add_usage([self.usage, told]) or self.usage
        return out


def _with_usage(events: list[Json], body: Json) -> list[Json]:
    usage = find_usage(body)
    if usage is not None:
        events[-1]["usage"] = usage
    return events


def _parsed(data: bytes) -> Json | Fault:
    try:
        event = load_exact(data)
    except orjson.JSONDecodeError:
        event = None
    if isinstance(event, dict):
        return event
    return nonsense("The provider sent a stream event that is not a JSON object.", data)
