"""Images, audio and moderations: through the same chain, hold and bill as chat, driven by the official SDK."""

from __future__ import annotations

import asyncio
import base64
import io
import wave
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import openai
import orjson
import pytest
import pytest_asyncio

from gateway.errors import ConfigFault
from gateway.stores import KeySettings
from gateway.testing import FakeUpstream, Reply, RunningGateway, json_reply, running_gateway, upstream_config
from gateway.testing.upstream import Cut, Stall

PNG = base64.b64encode(b"\x89PNG\r\n\x1a\n...").decode()
TOKENS = {"input_tokens": 10, "output_tokens": 20, "total_tokens": 30}


def wav(seconds: float) -> bytes:
    """A recording of silence."""
    out = io.BytesIO()
    with wave.open(out, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(8000)
        file.writeframes(bytes(int(seconds * 8000) * 2))
    return out.getvalue()


def model(price: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"provider": "fake", "upstream": "upstream-model", "price": price, **more}


MODELS = {
    "fake/tokens": model({"input": 1, "output": 2}, max_output=1000),
    "fake/drawing": model({"per_image": {"high/1024x1024": 0.2, "low": 0.01, "default": 0.05}}),
    "fake/voice": model({"characters": 10}, operations=["speech"]),
    "fake/ear": model({"per_minute": 0.006}),
    "fake/judge": {"provider": "fake", "upstream": "upstream-model", "free": True, "operations": ["moderations"]},
    "fake/talk": model({"input": 1, "output": 2}, operations=["chat"]),
}


@pytest_asyncio.fixture
async def site(tmp_path: Path, fake_upstream: FakeUpstream) -> AsyncIterator[RunningGateway]:
    async with running_gateway(tmp_path, upstream_config(fake_upstream.url, models=MODELS)) as running:
        yield running


@pytest_asyncio.fixture
async def client(site: RunningGateway) -> AsyncIterator[openai.AsyncOpenAI]:
    async with openai.AsyncOpenAI(base_url=site.url + "/v1", api_key=site.key, max_retries=0) as made:
        yield made


@pytest_asyncio.fixture
async def echo(tmp_path: Path) -> AsyncIterator[openai.AsyncOpenAI]:
    config = {"providers": {"echo": {"plugin": "echo"}}, "models": {"echo/echo": {"free": True}}}
    async with (
        running_gateway(tmp_path, config) as running,
        openai.AsyncOpenAI(base_url=running.url + "/v1", api_key=running.key, max_retries=0) as made,
    ):
        yield made


async def spent(site: RunningGateway) -> int:
    """Credits that are gone; nothing is held any more."""
    account = await site.gateway.stores.accounts.get_account(site.account.id)
    assert account is not None
    assert account.held == 0
    return site.account.balance - account.balance


async def upload(site: RunningGateway, path: str, key: str = "", **fields: str) -> aiohttp.ClientResponse:
    """A form with a recording of a minute."""
    form = aiohttp.FormData(fields)
    form.add_field("file", wav(60), filename="a.wav")
    headers = {"Authorization": f"Bearer {key or site.key}"}
    async with site.session.post(site.url + path, data=form, headers=headers) as answer:
        await answer.read()
    return answer


def images(count: int = 1, **more: Any) -> Reply:
    return json_reply({"created": 1, "data": [{"b64_json": PNG}] * count, **more})


def events(*found: dict[str, Any], done: bool = False) -> Reply:
    body = [f"event: {event.get('type')}\ndata: {orjson.dumps(event).decode()}\n\n".encode() for event in found]
    return Reply([*body, *([b"data: [DONE]\n\n"] if done else [])])


class TestEcho:
    """The model that needs no key answers each, offline."""

    async def test_images(self, echo: openai.AsyncOpenAI) -> None:
        made = await echo.images.generate(model="echo/echo", prompt="a red house", size="64x32", n=2)
        assert made.data is not None
        pictures = [base64.b64decode(image.b64_json or "") for image in made.data]
        assert len(set(pictures)) == 2
        for picture in pictures:
            assert picture.startswith(b"\x89PNG\r\n\x1a\n")
            assert (int.from_bytes(picture[16:20]), int.from_bytes(picture[20:24])) == (64, 32)
        edited = await echo.images.edit(
            model="echo/echo", image=[("a.png", pictures[0], "image/png")], mask=("m.png", pictures[1]), prompt="blue"
        )
        assert edited.data is not None
        assert len(edited.data) == 1

    async def test_a_stream_of_images(self, echo: openai.AsyncOpenAI) -> None:
        stream = await echo.images.generate(
            model="echo/echo", prompt="a house", size="8x8", stream=True, partial_images=2
        )
        kinds = [event.type async for event in stream]
        assert kinds == [*["image_generation.partial_image"] * 2, "image_generation.completed"]

    @pytest.mark.parametrize("kind", ["wav", "pcm", "mp3"])
    async def test_speech(self, echo: openai.AsyncOpenAI, kind: Any) -> None:
        async with echo.audio.speech.with_streaming_response.create(
            model="echo/echo", voice="alloy", input="Hello world, how are you?", response_format=kind
        ) as answer:
            sound = await answer.read()
            assert answer.headers["content-type"] == {"wav": "audio/wav", "pcm": "audio/pcm", "mp3": "audio/mpeg"}[kind]
        if kind == "wav":
            with wave.open(io.BytesIO(sound)) as file:
                assert file.getnframes() / file.getframerate() == pytest.approx(1.5, abs=0.01)
        assert len(sound) > 5000

    @pytest.mark.parametrize("kind", ["json", "verbose_json", "text", "srt", "vtt"])
    async def test_what_it_heard(self, echo: openai.AsyncOpenAI, kind: Any) -> None:
        create: Any = echo.audio.transcriptions.create
        answer = await create(model="echo/echo", file=("my.wav", wav(2)), response_format=kind)
        text = answer if isinstance(answer, str) else answer.text
        assert "2.0 seconds" in text
        assert "my.wav" in text
        assert (kind != "vtt") or text.startswith("WEBVTT")

    async def test_a_stream_of_what_it_heard(self, echo: openai.AsyncOpenAI) -> None:
        stream = await echo.audio.transcriptions.create(model="echo/echo", file=("my.wav", wav(2)), stream=True)
        found = [event async for event in stream]
        assert found[-1].type == "transcript.text.done"
        assert "".join(event.delta for event in found if event.type == "transcript.text.delta") == found[-1].text

    async def test_moderations(self, echo: openai.AsyncOpenAI) -> None:
        """Without a default model the first that can is taken."""
        answer = await echo.moderations.create(input=["one", "two"])
        assert [result.flagged for result in answer.results] == [False, False]
        assert answer.model == "echo/echo"


class TestBills:
    async def test_images_by_kind(
        self, site: RunningGateway, client: openai.AsyncOpenAI, fake_upstream: FakeUpstream
    ) -> None:
        fake_upstream.reply(images(2))
        await client.images.generate(model="fake/drawing", prompt="x", n=2, quality="high", size="1024x1024")
        assert await spent(site) == 400_000
        await client.images.generate(model="fake/drawing", prompt="x", n=2, quality="low")
        assert await spent(site) == 420_000
        # What the answer says of its images counts before what was asked for.
        fake_upstream.reply(images(1, quality="low", size="512x512"))
        await client.images.generate(model="fake/drawing", prompt="x", quality="high", size="1024x1024")
        assert await spent(site) == 430_000
        # What nobody knows costs what it may.
        fake_upstream.reply(images(1))
        await client.images.generate(model="fake/drawing", prompt="x")
        assert await spent(site) == 630_000

    async def test_no_more_images_are_given_than_were_asked_for(
        self, site: RunningGateway, fake_upstream: FakeUpstream
    ) -> None:
        """A server may know another name of `n`; what is not paid for is not given."""
        fake_upstream.reply(json_reply({"created": 1, "data": [{"b64_json": "aGk="}] * 5}))
        body = {"model": "fake/drawing", "prompt": "x", "n": 2, "batch_size": 5, "quality": "HIGH", "size": "1024x1024"}
        status, _, raw = await site.post("/v1/images/generations", body)
        assert (status, len(orjson.loads(raw)["data"])) == (200, 2)
        assert await spent(site) == 400_000

    async def test_images_by_tokens(
        self, site: RunningGateway, client: openai.AsyncOpenAI, fake_upstream: FakeUpstream
    ) -> None:
        fake_upstream.reply(images(1, usage=TOKENS))
        answer = await client.images.generate(model="fake/tokens", prompt="x")
        assert answer.usage is not None
        assert answer.usage.model_dump()["cost"] == 50
        assert await spent(site) == 50
        # Without usage it is estimated, and rather too high: 1,000 tokens is the most that one image of it has.
        fake_upstream.reply(images(2))
        await client.images.generate(model="fake/tokens", prompt="four", n=2)
        assert await spent(site) == 50 + 4001

    async def test_an_edit_goes_out_as_a_form(
        self, site: RunningGateway, client: openai.AsyncOpenAI, fake_upstream: FakeUpstream
    ) -> None:
        fake_upstream.reply(images(1, usage=TOKENS))
        picture = ("a.png", b"\x89PNG\r\n", "image/png")
        await client.images.edit(model="fake/tokens", image=[picture, picture], prompt="x", n=1)
        received = fake_upstream.requests[0]
        assert received.path.endswith("/images/edits")
        assert received.headers["content-type"].startswith("multipart/form-data; boundary=")
        assert received.body.count(b'name="image[]"; filename="a.png"') == 2
        assert b'name="model"\r\n\r\nupstream-model' in received.body
        assert await spent(site) == 50

    async def test_a_variation_is_held_and_billed_as_an_image(
        self, site: RunningGateway, fake_upstream: FakeUpstream
    ) -> None:
        fake_upstream.reply(images(2, usage=TOKENS))
        for n, status in (("2", 200), ("11", 400)):
            form = aiohttp.FormData({"model": "fake/tokens", "n": n})
            form.add_field("image", b"\x89PNG\r\n", filename="a.png", content_type="image/png")
            headers = {"Authorization": f"Bearer {site.key}"}
            async with site.session.post(site.url + "/v1/images/variations", data=form, headers=headers) as response:
                assert response.status == status, await response.text()
        [received] = fake_upstream.requests
        assert received.path.endswith("/images/variations")
        assert b'name="image"; filename="a.png"' in received.body
        assert await spent(site) == 50

    async def test_an_edit_in_json(self, site: RunningGateway, fake_upstream: FakeUpstream) -> None:
        fake_upstream.reply(images(1, usage=TOKENS))
        link = {"image_url": f"data:image/png;base64,{PNG}"}
        status, _, _ = await site.post("/v1/images/edits", {"model": "fake/tokens", "prompt": "x", "images": [link]})
        assert status == 200
        assert b'filename="image.png"' in fake_upstream.requests[0].body

    async def test_speech_by_characters(
        self, site: RunningGateway, client: openai.AsyncOpenAI, fake_upstream: FakeUpstream
    ) -> None:
        fake_upstream.reply(Reply([b"\xff\xfb", b"sound"], media_type="audio/mpeg"))
        answer = await client.audio.speech.create(model="fake/voice", voice="v", input="Hello")
        assert answer.content == b"\xff\xfbsound"
        assert answer.response.headers["content-type"] == "audio/mpeg"
        assert fake_upstream.requests[0].json == {"model": "upstream-model", "voice": "v", "input": "Hello"}
        assert await spent(site) == 50

    async def test_speech_in_events_by_tokens(
        self, site: RunningGateway, client: openai.AsyncOpenAI, fake_upstream: FakeUpstream
    ) -> None:
        delta = {"type": "speech.audio.delta", "audio": "AAAA"}
        fake_upstream.reply(events(delta, {"type": "speech.audio.done", "usage": TOKENS}))
        body = {"model": "fake/tokens", "voice": "v", "input": "Hello", "stream_format": "sse"}
        status, headers, raw = await site.post("/v1/audio/speech", body)
        assert (status, headers["content-type"]) == (200, "text/event-stream; charset=utf-8")
        last = orjson.loads(raw.split(b"data: ")[-1])
        assert last["usage"] == {**TOKENS, "cost": 50}
        assert await spent(site) == 50

    async def test_speech_by_tokens_is_estimated(
        self, site: RunningGateway, client: openai.AsyncOpenAI, fake_upstream: FakeUpstream
    ) -> None:
        fake_upstream.reply(Reply([b"sound"], media_type="audio/mpeg"))
        await client.audio.speech.create(model="fake/tokens", voice="v", input="Hello world!")
        assert await spent(site) == 3 + 2 * 25

    @pytest.mark.parametrize(
        ("answer", "cost"),
        [
            ({"text": "x", "usage": {"type": "duration", "seconds": 30}}, 3000),
            ({"text": "x", "duration": 30.0}, 3000),
            ({"text": "x"}, 6000),  # by what the recording says itself
        ],
    )
    async def test_recordings_by_the_minute(
        self,
        site: RunningGateway,
        client: openai.AsyncOpenAI,
        fake_upstream: FakeUpstream,
        answer: dict[str, Any],
        cost: int,
    ) -> None:
        fake_upstream.reply(json_reply(answer))
        heard = await client.audio.transcriptions.create(
            model="fake/ear", file=("a.wav", wav(60)), timestamp_granularities=["word"], temperature=0.5
        )
        assert heard.text == "x"
        sent = fake_upstream.requests[0].body
        assert b'name="timestamp_granularities[]"\r\n\r\nword' in sent
        assert b'name="temperature"\r\n\r\n0.5' in sent
        assert await spent(site) == cost

    async def test_recordings_by_tokens(
        self, site: RunningGateway, client: openai.AsyncOpenAI, fake_upstream: FakeUpstream
    ) -> None:
        usage = {"type": "tokens", **TOKENS, "input_token_details": {"audio_tokens": 10}}
        fake_upstream.reply(json_reply({"text": "x", "usage": usage}))
        await client.audio.transcriptions.create(model="fake/tokens", file=("a.wav", wav(1)))
        assert await spent(site) == 50

    async def test_text_is_asked_for_with_its_usage(
        self, site: RunningGateway, client: openai.AsyncOpenAI, fake_upstream: FakeUpstream
    ) -> None:
        fake_upstream.reply(json_reply({"text": "hello", "usage": {"type": "duration", "seconds": 10}}))
        text: Any = await client.audio.transcriptions.create(
            model="fake/ear", file=("a.wav", wav(60)), response_format="text"
        )
        assert text == "hello"
        assert b'name="response_format"\r\n\r\njson' in fake_upstream.requests[0].body
        assert await spent(site) == 1000

    async def test_subtitles_of_a_translation(self, site: RunningGateway, fake_upstream: FakeUpstream) -> None:
        fake_upstream.reply(Reply([b"1\n00:00:00 --> ..."], media_type="text/plain"))
        answer = await upload(site, "/v1/audio/translations", model="fake/ear", response_format="srt")
        assert await answer.text() == "1\n00:00:00 --> ..."
        assert answer.headers["content-type"] == "application/x-subrip; charset=utf-8"
        assert fake_upstream.requests[0].path.endswith("/audio/translations")
        assert await spent(site) == 6000

    async def test_a_stream_of_text(
        self, site: RunningGateway, client: openai.AsyncOpenAI, fake_upstream: FakeUpstream
    ) -> None:
        done = {"type": "transcript.text.done", "text": "Hi.", "usage": {"type": "tokens", **TOKENS}}
        fake_upstream.reply(events({"type": "transcript.text.delta", "delta": "Hi."}, done, done=True))
        stream = await client.audio.transcriptions.create(model="fake/tokens", file=("a.wav", wav(1)), stream=True)
        assert [event.type async for event in stream] == ["transcript.text.delta", "transcript.text.done"]
        assert await spent(site) == 50

    async def test_models_that_ignore_that_a_stream_was_asked_for(
        self, site: RunningGateway, client: openai.AsyncOpenAI, fake_upstream: FakeUpstream
    ) -> None:
        """Their whole answers are told as events, and billed as they are."""
        fake_upstream.reply(json_reply({"text": "Hi.", "usage": {"type": "duration", "seconds": 30}}))
        heard = await client.audio.transcriptions.create(model="fake/ear", file=("a.wav", wav(60)), stream=True)
        assert [event.type async for event in heard] == ["transcript.text.delta", "transcript.text.done"]
        assert await spent(site) == 3000
        fake_upstream.reply(images(2, size="1x1", usage=TOKENS))
        drawn = await client.images.generate(model="fake/tokens", prompt="x", n=2, stream=True)
        found: list[Any] = [event async for event in drawn]
        assert [(event.type, event.b64_json) for event in found] == [("image_generation.completed", PNG)] * 2
        assert found[-1].usage.model_dump()["cost"] == 50
        assert await spent(site) == 3050
        fake_upstream.reply(json_reply({"created": 1, "data": [{"url": "https://a.b/c.png"}]}))
        with pytest.raises(openai.InternalServerError):
            await client.images.generate(model="fake/tokens", prompt="x", stream=True)
        assert await spent(site) == 3050

    async def test_moderations_are_free(
        self, site: RunningGateway, client: openai.AsyncOpenAI, fake_upstream: FakeUpstream
    ) -> None:
        verdict = {"flagged": True, "categories": {}, "category_scores": {}}
        fake_upstream.reply(json_reply({"id": "modr-1", "model": "upstream-model", "results": [verdict]}))
        answer = await client.moderations.create(model="fake/judge", input="x")
        assert answer.results[0].flagged
        assert answer.model == "fake/judge"
        assert await spent(site) == 0


class TestFaults:
    """Nothing of these is billed, and the next target would be tried."""

    @pytest.mark.parametrize(
        "reply",
        [
            json_reply({"error": {"message": "no", "type": "server_error"}}),
            json_reply({"created": 1, "data": []}),
            json_reply({"created": 1, "data": [{"b64_json": ""}]}),
            json_reply({"created": 1, "data": [None, {"b64_json": PNG}]}),
            json_reply([]),
            Reply([b"<html>"], media_type="text/html"),
            Reply([b'{"data":'], media_type="application/json", framing="length"),
            json_reply({"error": {"message": "overloaded"}}, 503),
        ],
    )
    async def test_images(self, site: RunningGateway, fake_upstream: FakeUpstream, reply: Reply) -> None:
        fake_upstream.reply(reply)
        status, _, raw = await site.post("/v1/images/generations", {"model": "fake/drawing", "prompt": "x"})
        assert status >= 500, raw
        assert await spent(site) == 0

    @pytest.mark.parametrize(
        "reply",
        [
            json_reply({"error": {"message": "no"}}),
            json_reply({"audio": "x"}),
            Reply([b"<html>"], media_type="text/html"),
            Reply([], media_type="audio/mpeg"),
            Reply([b"event: error\ndata: {}\n\n"], media_type="text/event-stream"),
            json_reply({"error": {"message": "overloaded"}}, 503),
        ],
    )
    async def test_speech(self, site: RunningGateway, fake_upstream: FakeUpstream, reply: Reply) -> None:
        fake_upstream.reply(reply)
        status, headers, raw = await site.post("/v1/audio/speech", {"model": "fake/voice", "input": "Hello"})
        assert status >= 500, raw
        assert headers["content-type"] == "application/json"
        assert await spent(site) == 0

    async def test_speech_that_breaks_off_is_no_whole_answer(
        self, site: RunningGateway, fake_upstream: FakeUpstream
    ) -> None:
        """There is no place for an error in audio: the connection is broken off, and what was made is billed."""
        fake_upstream.reply(Reply([b"half", Cut()], media_type="audio/mpeg"))
        with pytest.raises(aiohttp.ClientError):
            await site.post("/v1/audio/speech", {"model": "fake/voice", "input": "Hello"})
        assert await spent(site) == 50

    @pytest.mark.parametrize(
        "reply",
        [
            json_reply({"text": 5}),
            json_reply({"error": {"message": "no"}}),
            Reply([b"hello"], media_type="text/plain"),
            json_reply({"error": {"message": "overloaded"}}, 503),
        ],
    )
    async def test_recordings(
        self, site: RunningGateway, client: openai.AsyncOpenAI, fake_upstream: FakeUpstream, reply: Reply
    ) -> None:
        fake_upstream.reply(reply)
        with pytest.raises(openai.InternalServerError):
            await client.audio.transcriptions.create(model="fake/ear", file=("a.wav", wav(1)))
        assert await spent(site) == 0

    async def test_a_stream_of_images_that_breaks_off(
        self, site: RunningGateway, client: openai.AsyncOpenAI, fake_upstream: FakeUpstream
    ) -> None:
        """What was begun is made: it is billed, and told as an error."""
        fake_upstream.reply(events({"type": "image_generation.partial_image", "b64_json": PNG}))
        stream = await client.images.generate(model="fake/drawing", prompt="x", quality="low", stream=True)
        with pytest.raises(openai.APIError):
            async for _ in stream:
                pass
        assert await spent(site) == 10_000

    @pytest.mark.parametrize(
        ("path", "body", "param"),
        [
            ("/v1/images/generations", {}, "prompt"),
            ("/v1/images/generations", {"prompt": "x", "n": 11}, "n"),
            ("/v1/images/generations", {"prompt": "x", "api_base": "http://x"}, "api_base"),
            ("/v1/images/edits", {"prompt": "x"}, "image"),
            ("/v1/images/edits", {"prompt": "x", "images": [{"image_url": "http://a.b/"}]}, "images[0].image_url"),
            ("/v1/audio/speech", {"voice": "v"}, "input"),
            ("/v1/audio/speech", {"input": "x", "speed": 9}, "speed"),
            ("/v1/audio/speech", {"input": "x", "response_format": "midi"}, "response_format"),
            ("/v1/audio/transcriptions", {"file": "x"}, "file"),
            ("/v1/audio/translations", {}, "file"),
            ("/v1/audio/speech", {"input": "x", "model": "fake/voice", "voice": {"id": "voice_1"}}, "voice.id"),
            ("/v1/images/generations", {"prompt": "x", "image": {"file_id": "file-1"}}, "image.file_id"),
            ("/v1/moderations", {}, "input"),
            ("/v1/moderations", {"input": [5]}, "input[0]"),
        ],
    )
    async def test_bad_requests_name_the_field(
        self, site: RunningGateway, fake_upstream: FakeUpstream, path: str, body: Any, param: str
    ) -> None:
        status, _, raw = await site.post(path, {"model": "fake/tokens", **body})
        assert (status, orjson.loads(raw)["error"]["param"]) == (400, param)
        assert not fake_upstream.requests

    async def test_a_form_that_is_none(self, site: RunningGateway) -> None:
        for content_type, raw in (("multipart/form-data", b"x"), ("multipart/form-data; boundary=b", b"--b\r\n")):
            status, _, answer = await site.post("/v1/audio/transcriptions", raw, headers={"Content-Type": content_type})
            assert (status, orjson.loads(answer)["error"]["code"]) == (400, "invalid_form")
        # Where no files are taken, forms are not, either.
        status, _, _ = await site.post(
            "/v1/moderations", b"--b--", headers={"Content-Type": "multipart/form-data; boundary=b"}
        )
        assert status == 415


class TestPolicies:
    @pytest.mark.parametrize(
        ("path", "body", "told"),
        [
            ("/v1/images/generations", {"prompt": "x"}, "makes no images. 'fake/model' does."),
            ("/v1/audio/speech", {"input": "x"}, "does not speak. 'fake/voice' does."),
            ("/v1/moderations", {"input": "x"}, "moderates no content. 'fake/judge' does."),
        ],
    )
    async def test_a_model_that_cannot_is_told_with_one_that_can(
        self, site: RunningGateway, fake_upstream: FakeUpstream, path: str, body: Any, told: str
    ) -> None:
        status, _, raw = await site.post(path, {"model": "fake/talk", **body})
        error = orjson.loads(raw)["error"]
        assert (status, error["code"], error["param"]) == (400, "unsupported_operation", "model")
        assert told in error["message"]
        assert not fake_upstream.requests

    @pytest.mark.parametrize(("named", "told"), [("painting", "there is no 'painting'"), ("chat", "does no 'chat'")])
    async def test_operations_that_are_none_are_reported(self, tmp_path: Path, named: str, told: str) -> None:
        config = {
            "providers": {"openai": {"plugin": "openai", "api_key": "sk-0123456789"}},
            "models": {"openai/tts-1": {"free": True, "operations": [named]}},
        }
        with pytest.raises(ConfigFault, match=told):
            async with running_gateway(tmp_path, config):
                pass

    async def test_a_price_that_says_nothing_of_such_answers_is_none(
        self, site: RunningGateway, fake_upstream: FakeUpstream
    ) -> None:
        status, _, raw = await site.post("/v1/audio/speech", {"model": "fake/drawing", "input": "x"})
        assert (status, orjson.loads(raw)["error"]["code"]) == (503, "model_unpriced")
        assert not fake_upstream.requests

    async def test_the_hold_is_the_upper_bound(self, site: RunningGateway, fake_upstream: FakeUpstream) -> None:
        """Two images of high quality cost 400,000 credits, so a balance of 399,999 does not do."""
        fake_upstream.reply(images(2))
        body = {"model": "fake/drawing", "prompt": "x", "n": 2, "quality": "high", "size": "1024x1024"}
        for credits, expected in ((399_999, 402), (400_000, 200)):
            key = await site.new_key(credits=credits)
            status, _, raw = await site.post("/v1/images/generations", body, key=key)
            assert status == expected, raw
        assert len(fake_upstream.requests) == 1

    async def test_a_recording_needs_what_is_expected(self, site: RunningGateway, fake_upstream: FakeUpstream) -> None:
        fake_upstream.reply(json_reply({"text": "x"}))
        for credits, expected in ((6000, 402), (6300, 200)):
            key = await site.new_key(credits=credits)
            answer = await upload(site, "/v1/audio/transcriptions", key, model="fake/ear")
            assert answer.status == expected

    async def test_the_allow_list(self, site: RunningGateway, fake_upstream: FakeUpstream) -> None:
        key = await site.new_key(KeySettings(models=("fake/voice",)))
        status, _, raw = await site.post("/v1/images/generations", {"model": "fake/drawing", "prompt": "x"}, key=key)
        assert (status, orjson.loads(raw)["error"]["type"]) == (403, "model_not_allowed")
        assert not fake_upstream.requests

    async def test_the_usage_log(
        self, site: RunningGateway, client: openai.AsyncOpenAI, fake_upstream: FakeUpstream
    ) -> None:
        fake_upstream.reply(json_reply({"text": "x", "usage": {"type": "duration", "seconds": 30}}))
        await client.audio.transcriptions.create(model="fake/ear", file=("a.wav", wav(60)))
        [logged] = await site.gateway.stores.usage.recent(site.account.id)
        assert (logged.row.route, logged.row.model, logged.credits) == ("/v1/audio/transcriptions", "fake/ear", 3000)
        _, _, raw = await site.get("/v1/usage")
        assert orjson.loads(raw)["by_model"] == [{"model": "fake/ear", "credits": 3000}]

    @pytest.mark.parametrize("door", ["speech", "transcriptions", "images"])
    async def test_the_same_key_runs_once(
        self, site: RunningGateway, client: openai.AsyncOpenAI, fake_upstream: FakeUpstream, door: str
    ) -> None:
        headers = {"Idempotency-Key": "one"}

        async def ask(text: str = "x") -> Any:
            if door == "speech":
                answer = await client.audio.speech.create(
                    model="fake/voice", voice="v", input=text, extra_headers=headers
                )
                return answer.content, answer.response.headers["content-type"]
            if door == "images":
                return await client.images.generate(model="fake/drawing", prompt=text, extra_headers=headers)
            return await client.audio.transcriptions.create(
                model="fake/ear", file=("a.wav", wav(1) + text.encode()), response_format="text", extra_headers=headers
            )

        replies = {
            "speech": Reply([b"sound"], media_type="audio/mpeg"),
            "images": images(),
            "transcriptions": json_reply({"text": "hello"}),
        }
        fake_upstream.reply(replies[door])
        first, cost = await ask(), await spent(site)
        assert await ask() == first
        assert (await spent(site), len(fake_upstream.requests)) == (cost, 1)
        with pytest.raises(openai.ConflictError):
            await ask("y")

    async def test_a_part_of_audio_is_never_given_again_as_the_whole(
        self, site: RunningGateway, fake_upstream: FakeUpstream
    ) -> None:
        fake_upstream.reply(Reply([b"half", Cut()], media_type="audio/mpeg"))
        body, key = {"model": "fake/voice", "input": "Hello"}, {"Idempotency-Key": "one"}
        with pytest.raises(aiohttp.ClientError):
            await site.post("/v1/audio/speech", body, headers=key)
        for _ in range(2):
            status, headers, raw = await site.post("/v1/audio/speech", body, headers=key)
            assert (status, headers["content-type"]) == (502, "application/json")
            assert orjson.loads(raw)["error"]["type"] == "upstream_error"
        assert (await spent(site), len(fake_upstream.requests)) == (50, 1)

    async def test_what_is_explained(self, site: RunningGateway, fake_upstream: FakeUpstream) -> None:
        body = {"model": "fake/drawing", "prompt": "x", "n": 2, "quality": "low"}
        _, _, raw = await site.post("/v1/explain", {"path": "/v1/images/generations", "body": body})
        found = orjson.loads(raw)
        assert (found["hold"], found["maximum_cost"]) == (20_000, 20_000)
        assert found["candidates"][0]["price"]["per_image low"] == "10000.00"
        assert found["targets"][0]["requests"][0]["url"].endswith("/images/generations")
        link = {"image_url": f"data:image/png;base64,{PNG}"}
        _, _, raw = await site.post("/v1/explain", {"path": "/v1/images/edits", "body": {**body, "images": [link]}})
        assert "multipart/form-data" in orjson.loads(raw)["targets"][0]["requests"][0]["headers"]["content-type"]
        assert not fake_upstream.requests

    async def test_who_leaves_pays_for_what_is_made(
        self, site: RunningGateway, client: openai.AsyncOpenAI, fake_upstream: FakeUpstream
    ) -> None:
        fake_upstream.reply(Reply([Stall()], media_type="application/json"))
        with pytest.raises(openai.APITimeoutError):
            await client.images.generate(model="fake/drawing", prompt="x", quality="low", timeout=0.5)
        for _ in range(200):
            account = await site.gateway.stores.accounts.get_account(site.account.id)
            if account is not None and not account.held:
                break
            await asyncio.sleep(0.02)
        assert await spent(site) == 10_000

    async def test_a_dead_target_stands_aside_for_the_next(self, tmp_path: Path, fake_upstream: FakeUpstream) -> None:
        config = upstream_config(fake_upstream.url, models=MODELS, aliases={"any": ["fake/drawing", "fake/tokens"]})
        config["upstream"]["retries"] = 0
        fake_upstream.queue(json_reply({"error": {"message": "overloaded"}}, 503), images(1, usage=TOKENS))
        async with running_gateway(tmp_path, config) as site:
            status, headers, _ = await site.post("/v1/images/generations", {"model": "any", "prompt": "x"})
            assert (status, headers["x-gateway-model"], headers["x-gateway-cost"]) == (200, "fake/tokens", "50")
            # Of an alias, only what does the operation is asked.
            fake_upstream.queue(json_reply({"results": [{"flagged": False}]}))
            status, headers, _ = await site.post("/v1/moderations", {"model": "any", "input": "x"})
            assert status == 200

    async def test_models_tell_what_they_do(self, site: RunningGateway) -> None:
        _, _, raw = await site.get("/v1/models/fake/drawing")
        found = orjson.loads(raw)
        assert found["pricing"]["images"] == {"high/1024x1024": "0.2", "low": "0.01", "default": "0.05"}
        assert "images" in found["operations"]
        _, _, raw = await site.get("/v1/models/fake/talk")
        assert orjson.loads(raw)["operations"] == ["chat"]
