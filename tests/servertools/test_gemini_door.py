"""The loop on `:generateContent`, through Google's SDK, on an upstream that speaks chat."""

from __future__ import annotations

import orjson
import pytest
from google import genai
from google.genai import types

from .conftest import Turn, call
from .test_chat_loop import CITED

pytestmark = [pytest.mark.sdk, pytest.mark.filterwarnings("ignore::DeprecationWarning")]


@pytest.fixture
def client(bench):
    client = genai.Client(api_key=bench.gateway.key, http_options=types.HttpOptions(base_url=bench.gateway.url))
    yield client
    client.close()


@pytest.mark.parametrize("stream", [False, True])
async def test_search(bench, client, stream):
    bench.model.script(Turn("Look. ", [call("web_search", {"query": "moon"})]), Turn(CITED))
    config = types.GenerateContentConfig(tools=[types.Tool(google_search=types.GoogleSearch())])
    request = {"model": "fake/model", "contents": "?", "config": config}
    if stream:
        answers = [answer async for answer in await client.aio.models.generate_content_stream(**request)]
    else:
        answers = [await client.aio.models.generate_content(**request)]
    text = "".join(answer.text or "" for answer in answers)
    assert text == "Look. " + CITED
    found = answers[-1].candidates[0].grounding_metadata
    assert found.web_search_queries == ["moon"]
    assert [chunk.web.uri for chunk in found.grounding_chunks] == ["https://moon.example/a", "https://sun.example/b"]
    [support] = found.grounding_supports
    segment = support.segment
    assert text.encode()[segment.start_index : segment.end_index].decode() == "[The moon](https://moon.example/a)"
    assert support.grounding_chunk_indices == [0]
    assert answers[-1].usage_metadata.prompt_token_count == 20
    await client.aio.aclose()


@pytest.mark.parametrize("name", ["google_search", "googleSearchRetrieval"])
async def test_hosts_that_are_not_wanted(bench, name):
    bench.model.script(Turn(calls=[call("web_search", {"query": "moon"})]), Turn("ok"))
    body = {"contents": [{"parts": [{"text": "?"}]}], "tools": [{name: {"exclude_domains": ["sun.example"]}}]}
    status, _, raw = await bench.gateway.post("/v1beta/models/fake/model:generateContent", body)
    assert status == 200, raw
    [candidate] = orjson.loads(raw)["candidates"]
    assert [chunk["web"]["uri"] for chunk in candidate["groundingMetadata"]["groundingChunks"]] == [
        "https://moon.example/a"
    ]


async def test_pages(bench, client):
    bench.model.script(Turn(calls=[call("open_page", {"url": "http://127.0.0.1/"})]), Turn("No."))
    config = types.GenerateContentConfig(tools=[types.Tool(url_context=types.UrlContext())])
    answer = await client.aio.models.generate_content(model="fake/model", contents="?", config=config)
    assert answer.text == "No."
    assert [tool["function"]["name"] for tool in bench.model.bodies[0]["tools"]] == ["open_page"]
    [opened] = answer.candidates[0].url_context_metadata.url_metadata
    assert opened.retrieved_url == "http://127.0.0.1/"
    assert opened.url_retrieval_status == types.UrlRetrievalStatus.URL_RETRIEVAL_STATUS_ERROR
    await client.aio.aclose()
