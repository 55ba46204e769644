"""The playground in a real browser: what a person does with it, and what a hostile model does to it."""

from __future__ import annotations

import asyncio
import base64
import re
from decimal import Decimal
from typing import Any

import orjson
import pytest

from gateway.stores import HoldRequest
from gateway.testing import DONE_EVENT, Cut, Hold, Reply, chunk, json_reply, sse, usage

from .chat_kit import chat_window, open_chat
from .chromium import chromium
from .looking import Look

__all__ = ["chat_window", "chromium", "open_chat"]

pytestmark = pytest.mark.asyncio(loop_scope="module")

PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)

HARD = {
    "quotes": "> " * 3000 + "x",
    "stars": "*" * 20_000,
    "brackets": "[" * 20_000,
    "lists": "- " * 2000,
    "ticks": "`" * 5000 + "x",
    "cells": "| a " * 4000 + "|\n|---|\n",
    "controls": "a\u0000\u202eb",
}


def says(*pieces: str, reason: str = "stop", **delta: Any) -> Reply:
    """A stream of these pieces of text, after a first delta with the given members."""
    events = [said(piece) for piece in pieces]
    first = [sse(chunk(delta))] if delta else []
    return Reply([*first, *events, sse(chunk({}, finish=reason, usage=usage(7, 5))), DONE_EVENT])


def called(name: str, arguments: str, id: str = "c1") -> dict[str, Any]:
    return {"index": 0, "id": id, "type": "function", "function": {"name": name, "arguments": arguments}}


def said(text: str) -> bytes:
    return sse(chunk({"content": text}))


class TestTalking:
    async def test_a_message_its_answer_and_its_figures(self, open_chat):
        chat = await open_chat()
        chat.model.reply(says("Hello ", "**you**"))
        await chat.send("Hi <b>there</b>")
        assert await chat.text(".message.user .usertext") == "Hi <b>there</b>"
        assert await chat.text(".message.assistant .md") == "Hello you"
        assert await chat.page.locator(".message.assistant .md strong").inner_text() == "you"
        figures = await chat.text(".message.assistant .figures")
        assert "7 in, 5 out" in figures
        assert "17 credits, 0.000017 USD" in figures
        assert "first token" in figures
        [sent] = chat.model.requests
        assert sent.json["messages"] == [{"role": "user", "content": "Hi <b>there</b>"}]
        assert await chat.site.spent() == 17

    async def test_an_answer_is_shown_as_it_comes_and_can_be_stopped(self, open_chat):
        chat = await open_chat()
        forever = asyncio.Event()
        chat.model.reply(Reply([said("It begins"), Hold(forever)]))
        await chat.write("Go on")
        await chat.page.keyboard.press("Enter")
        await chat.page.get_by_text("It begins").wait_for()
        assert await chat.page.locator("[data-part=send]").is_hidden()
        await chat.page.keyboard.press("Escape")
        await chat.settled()
        assert "Stopped" in await chat.text(".message.assistant .note")
        await chat.model.requests[0].wait_closed()
        assert await chat.page.locator("[data-part=send]").is_visible()
        assert await chat.page.evaluate("document.activeElement.id") == "chat-box"

    async def test_regenerating_and_editing_make_versions(self, open_chat):
        chat = await open_chat()
        chat.model.queue(says("first"), says("second"), says("third"))
        await chat.send("One")
        await chat.click("Regenerate")
        await chat.settled()
        assert await chat.text(".message.assistant .md") == "second"
        assert await chat.text(".versions .figures") == "2 / 2"
        await chat.page.get_by_role("button", name="Version before").click()
        assert await chat.text(".message.assistant .md") == "first"
        await chat.click("Edit")
        await chat.page.get_by_label("Edit your message").fill("Two")
        await chat.page.keyboard.press("Control+Enter")
        await chat.settled()
        assert await chat.text(".message.assistant .md") == "third"
        assert [request.json["messages"][-1]["content"] for request in chat.model.requests] == ["One", "One", "Two"]
        # Each was asked without what the other branches said.
        assert [len(request.json["messages"]) for request in chat.model.requests] == [1, 1, 1]

    async def test_a_branch_is_a_conversation_of_its_own(self, open_chat):
        chat = await open_chat()
        chat.model.queue(says("first"), says("second"), says("third"))
        await chat.send("One")
        await chat.send("Two")
        await chat.page.get_by_role("button", name="Branch").first.click()
        assert await chat.page.locator(".message").count() == 2
        await chat.send("Three")
        roles = [message["content"] for message in chat.model.requests[-1].json["messages"]]
        assert roles == ["One", "first", "Three"]
        titles = chat.page.locator(".talk")
        await titles.nth(1).wait_for()
        assert sorted(await titles.all_inner_texts()) == ["One", "One (branch)"]

    async def test_conversations_outlast_the_page_and_can_be_deleted(self, open_chat):
        chat = await open_chat()
        chat.model.reply(says("kept"))
        await chat.send("Remember me")
        await chat.page.locator(".talk").wait_for()
        await chat.page.reload()
        await chat.ready()
        assert await chat.text(".message.assistant .md") == "kept"
        await chat.page.get_by_role("button", name="Delete Remember me").click()
        await chat.page.get_by_role("button", name="Delete conversation").click()
        await chat.page.get_by_text("Nothing here yet").wait_for()
        assert await chat.page.locator(".message").count() == 0

    async def test_nothing_that_authorises_is_kept_in_the_browser(self, open_chat):
        chat = await open_chat()
        await chat.page.get_by_text("Web search and MCP").click()
        await chat.page.get_by_text("Add an MCP server by its address").click()
        await chat.page.get_by_label("Name", exact=True).fill("diary")
        await chat.page.get_by_label("Address").fill("https://10.9.8.7/mcp")
        await chat.page.get_by_label("Authorization").fill("very-secret-token")
        await chat.click("Add server")
        chat.model.reply(says("ok"))
        await chat.send("Hi")  # a private address is refused at once; what was asked is kept all the same
        await chat.page.locator(".talk").wait_for()
        kept = await chat.page.evaluate(
            """async () => {
              const names = (await indexedDB.databases()).map((found) => found.name);
              const open = (name) => new Promise((done) => {
                const request = indexedDB.open(name);
                request.onsuccess = () => done(request.result);
              });
              const all = [];
              for (const name of names) {
                const database = await open(name);
                const request = database.transaction("talks").objectStore("talks").getAll();
                all.push(...await new Promise((done) => { request.onsuccess = () => done(request.result); }));
              }
              return JSON.stringify([all, {...localStorage}, {...sessionStorage}]);
            }"""
        )
        assert "10.9.8.7" in kept
        for secret in ("very-secret-token", chat.site.person.token, chat.site.person.csrf):
            assert secret not in kept

    async def test_two_models_are_asked_at_once_each_with_its_own_thread(self, open_chat):
        chat = await open_chat()
        chat.model.answer(lambda request: says(f"I am {request.json['model']}"))
        await chat.send("Before")
        await chat.click("Compare")
        await chat.page.get_by_label("Search models").fill("fake/other")
        await chat.page.keyboard.press("Enter")
        await chat.send("Who are you?")
        lanes = chat.page.locator(".lane")
        assert await lanes.count() == 2
        assert [await lanes.nth(at).locator(".md").last.inner_text() for at in (0, 1)] == [
            "I am upstream-model",
            "I am upstream-other",
        ]
        assert [len(request.json["messages"]) for request in chat.model.requests] == [1, 3, 3]
        await lanes.nth(1).get_by_role("button", name="Keep only this").click()
        assert await chat.chosen_model() == "fake/other"

    async def test_settings_go_along_and_wrong_ones_are_told(self, open_chat):
        chat = await open_chat()
        chat.model.reply(says("ok"))
        await chat.page.get_by_label("System prompt").fill("Be brief.")
        await chat.page.get_by_label("Temperature").fill("7")
        await chat.write("Hi")
        await chat.page.keyboard.press("Enter")
        assert await chat.text("#content .fault") == "from 0 to 2"
        assert await chat.page.evaluate("document.activeElement.value") == "7"
        assert chat.model.requests == []
        await chat.page.get_by_label("Temperature").fill("0.5")
        await chat.page.get_by_label("Most tokens").fill("64")
        await chat.page.get_by_label("Stop").last.fill("END\nDONE")
        await chat.page.locator("[data-part=send]").click()
        await chat.settled()
        [sent] = chat.model.requests
        assert sent.json["messages"][0] == {"role": "system", "content": "Be brief."}
        assert (sent.json["temperature"], sent.json["stop"]) == (0.5, ["END", "DONE"])
        assert sent.json.get("max_completion_tokens", sent.json.get("max_tokens")) == 64

    async def test_a_link_fills_in_an_example_and_sends_nothing(self, open_chat):
        chat = await open_chat("/chat?model=fake%2Fother&prompt=What%20is%20%3Cb%3E%3F")
        assert await chat.page.locator("#chat-box").input_value() == "What is <b>?"
        assert await chat.chosen_model() == "fake/other"
        assert chat.model.requests == []


class TestFiles:
    async def test_pictures_and_texts_are_sent(self, open_chat):
        chat = await open_chat()
        chat.model.reply(says("seen"))
        name = '"><img src=x onerror=boom()>.png'
        files = [
            {"name": name, "mimeType": "image/png", "buffer": PNG},
            {"name": "notes.md", "mimeType": "text/markdown", "buffer": b"# Note"},
            {"name": "a.exe", "mimeType": "application/x-msdownload", "buffer": b"MZ"},
        ]
        async with chat.page.expect_file_chooser() as chosen:
            await chat.click("Attach")
        await (await chosen.value).set_files(files)
        await chat.page.locator(".attachment").nth(1).wait_for()
        assert "a.exe: only pictures" in await chat.text("[data-part=said]")
        await chat.send("What is this?")
        picture, note, text = chat.model.requests[0].json["messages"][0]["content"]
        assert picture["image_url"]["url"] == "data:image/png;base64," + base64.b64encode(PNG).decode()
        assert note["text"] == 'File "notes.md":\n\n# Note'
        assert text == {"type": "text", "text": "What is this?"}
        assert await chat.page.locator(".message.user img").get_attribute("alt") == name

    async def test_a_dropped_file_is_attached(self, open_chat):
        chat = await open_chat()
        await chat.page.evaluate(
            """() => {
              const data = new DataTransfer();
              data.items.add(new File(["a,b"], "table.csv", { type: "text/csv" }));
              document.querySelector("[data-part=main]").dispatchEvent(
                new DragEvent("drop", { dataTransfer: data, bubbles: true, cancelable: true }));
            }"""
        )
        await chat.page.locator(".attachment").wait_for()
        assert "table.csv" in await chat.text(".attachment")


class TestInside:
    async def test_reasoning_is_folded(self, open_chat):
        chat = await open_chat()
        chat.model.reply(says("So: 4.", reasoning_content="two and two"))
        await chat.send("2 + 2?")
        thoughts = chat.page.locator("details.reasoning")
        assert await thoughts.get_attribute("open") is None
        await thoughts.locator("summary").click()
        assert await chat.text(".thoughts") == "two and two"

    async def test_a_function_is_answered_by_hand(self, open_chat):
        chat = await open_chat()
        call = called("get_weather", '{"city":"X"}')
        chat.model.queue(says(tool_calls=[call], reason="tool_calls"), says("Sunny."))
        await chat.page.get_by_text("Functions", exact=True).click()
        await chat.click("Put in an example")
        await chat.send("Weather?")
        assert "get_weather" in await chat.text(".card")
        await chat.page.get_by_label("Result of get_weather").fill('{"sky": "blue"}')
        await chat.click("Send answer")
        await chat.settled()
        assert await chat.page.locator(".md").last.inner_text() == "Sunny."
        first, second = chat.model.requests
        assert first.json["tools"][0]["function"]["name"] == "get_weather"
        assert second.json["messages"][1:] == [
            {"role": "assistant", "content": None, "tool_calls": [{k: call[k] for k in ("id", "type", "function")}]},
            {"role": "tool", "tool_call_id": "c1", "content": '{"sky": "blue"}'},
        ]

    async def test_functions_that_are_no_json_are_told(self, open_chat):
        chat = await open_chat()
        await chat.page.get_by_text("Functions", exact=True).click()
        await chat.page.get_by_label("Definitions").fill("{oops")
        assert "This is not JSON" in await chat.text("#content .fault")

    async def test_a_search_is_shown_as_it_happens(self, open_chat):
        chat = await open_chat()
        call = called("web_search", '{"query":"moon"}')
        chat.model.queue(says(tool_calls=[call], reason="tool_calls"), says("Round: [a](https://moon.example/a)"))
        found = {"url": "https://moon.example/a", "title": "<i>Moon</i>", "content": "x"}
        chat.site.search.reply(json_reply({"results": [found]}))
        await chat.page.get_by_text("Web search and MCP").click()
        await chat.page.get_by_label("Search the web").check()
        await chat.send("The moon?")
        card = chat.page.locator(".card")
        assert "Web search" in await card.inner_text()
        assert "moon" in await card.inner_text()
        assert "done" in await card.inner_text()
        assert "<i>Moon</i>" in await chat.text(".cited")

    @pytest.mark.parametrize("answer", ["Yes, run it", "No"])
    async def test_a_call_of_an_mcp_server_is_asked_about(self, open_chat, answer):
        chat = await open_chat()
        call = called("notes__add", '{"a":1}')
        chat.model.queue(says(tool_calls=[call], reason="tool_calls"), says("Done."))
        await chat.page.get_by_text("Web search and MCP").click()
        await chat.click("Use the server notes")
        await chat.page.get_by_label("Approval of calls of notes").select_option("always")
        await chat.send("Add one")
        assert "May notes run add?" in await chat.text(".callform")
        asked = chat.page.locator(".card").filter(has_text="notes: add")
        assert "asks first" in await asked.inner_text()
        assert '"a": 1' in await asked.inner_text(), "what it is to be run with is seen before it is allowed"
        await chat.click("Send answer")
        assert "whether it may be made" in await chat.text(".callform .fault")
        await chat.page.get_by_label(answer, exact=True).check()
        await chat.click("Send answer")
        await chat.settled()
        assert await chat.page.locator(".md").last.inner_text() == "Done."
        told = chat.model.requests[-1].json["messages"][-1]
        assert told["role"] == "tool"
        assert ("did not allow" in told["content"]) == (answer == "No")


class TestMedia:
    async def test_an_image_is_made_of_a_text(self, open_chat):
        chat = await open_chat("/chat?model=fake%2Fdraws")
        data = base64.b64encode(PNG).decode()
        chat.model.reply(json_reply({"created": 1, "data": [{"b64_json": data}]}))
        assert "up to $0.04 an image" in await chat.text(".model-about")
        await chat.send("A <b>red</b> house")
        image = chat.page.locator(".message.assistant img")
        assert await image.get_attribute("src") == "data:image/png;base64," + data
        assert await image.get_attribute("alt") == "Made for: A <b>red</b> house"
        assert await image.evaluate("(image) => image.decode().then(() => image.naturalWidth)") == 1
        assert "40,000 credits, 0.04 USD" in await chat.text(".message.assistant .figures")
        assert chat.sent == [{"model": "fake/draws", "prompt": "A <b>red</b> house"}]
        assert await chat.site.spent() == 40_000
        assert not await chat.page.get_by_label("Voice").is_visible(), "it does not speak"
        await chat.page.get_by_label("Size").select_option("1536x1024")
        await chat.page.get_by_label("Quality").select_option("high")
        await chat.click("View code")
        program = await chat.page.locator("#program-python + label + .tab code").inner_text()
        assert "client.images.generate(" in program
        assert 'size="1536x1024",\n    quality="high",' in program
        await chat.page.keyboard.press("Escape")
        await chat.click("Dry run")
        assert "40,000 credits" in await chat.page.locator(".explained dl").inner_text()
        await chat.page.keyboard.press("Escape")
        # What was drawn is no part of a talk with a model that talks.
        await chat.page.keyboard.press("Control+k")
        await chat.page.keyboard.type("fake/other")
        await chat.page.keyboard.press("Enter")
        chat.model.reply(says("Yes."))
        await chat.send("Is it red?")
        assert [message["role"] for message in chat.model.requests[-1].json["messages"]] == ["user", "user"]

    async def test_what_is_no_image_is_not_shown(self, open_chat):
        chat = await open_chat("/chat?model=fake%2Fdraws")
        await chat.set_trap()
        hostile = [{"b64_json": 'iVBOR" onerror="boom()'}, {"url": "javascript:boom()"}, {"b64_json": "PHN2Zz4="}]
        chat.model.reply(json_reply({"created": 1, "data": hostile}))
        await chat.send("A house")
        assert await chat.page.locator("#content .message.assistant img, .message.assistant a[href^=java]").count() == 0
        assert not await chat.is_trapped()

    async def test_a_text_is_spoken(self, open_chat):
        chat = await open_chat("/chat?model=fake%2Fspeaks")
        assert await chat.page.locator("#chat-box").get_attribute("placeholder") == "Write what shall be spoken"
        chat.model.reply(Reply([b"ID3..."], media_type="audio/mpeg", framing="length"))
        await chat.send("Good morning")
        sound = chat.page.locator(".message.assistant audio")
        assert await sound.get_attribute("src") == "data:audio/mpeg;base64," + base64.b64encode(b"ID3...").decode()
        assert await chat.page.get_by_role("link", name="Save speech.mp3").get_attribute("download") == "speech.mp3"
        assert (chat.model.requests[0].json["input"], chat.model.requests[0].json["voice"]) == ("Good morning", "alloy")
        await chat.page.get_by_label("Voice").fill("Kore")
        chat.model.reply(Reply([b"ID3..."], media_type="audio/mpeg", framing="length"))
        await chat.send("Good evening")
        assert chat.model.requests[1].json["voice"] == "Kore"
        async with chat.page.expect_file_chooser() as chosen:
            await chat.click("Attach")
        await (await chosen.value).set_files([{"name": "a.txt", "mimeType": "text/plain", "buffer": b"a"}])
        await chat.page.locator(".attachment").wait_for()
        await chat.write("And this")
        await chat.page.keyboard.press("Enter")
        assert "takes a text only" in await chat.text("[data-part=said]")
        assert await chat.page.locator(".message").count() == 4, "nothing is sent, and nothing that was written is lost"
        assert len(chat.model.requests) == 2

    async def test_models_that_can_do_nothing_here_are_not_offered(self, open_chat):
        chat = await open_chat("/chat?model=fake%2Fembeds")
        assert await chat.chosen_model() == "fake/model"
        assert "There is no model fake/embeds here" in await chat.text("[data-part=said]")


class TestTrouble:
    async def test_without_credits_it_says_where_to_get_some(self, open_chat):
        chat = await open_chat(credits=0)
        await chat.send("Hi")
        assert await chat.page.get_by_role("link", name="Buy credits").get_attribute("href") == "/credits"

    async def test_a_model_that_is_switched_off_names_what_is_missing(self, open_chat):
        chat = await open_chat("/chat?model=off%2Fmodel")
        await chat.send("Hi")
        assert "OFF_KEY" in await chat.text(".banner.bad")
        await chat.page.get_by_role("button", name="Choose another model").click()
        await chat.page.get_by_label("Search models").fill("fake/model")
        await chat.page.keyboard.press("Enter")
        assert await chat.chosen_model() == "fake/model"

    async def test_a_failure_shows_the_request_and_can_be_tried_again(self, open_chat):
        chat = await open_chat()
        chat.model.reply(json_reply({"error": {"message": "<script>boom()</script>"}}, 400))
        await chat.send("Hi")
        assert "req_" in await chat.text(".banner.bad")
        chat.model.reply(says("Better."))
        await chat.click("Try again")
        await chat.settled()
        assert await chat.text(".message.assistant .md") == "Better."

    async def test_a_cut_stream_is_no_answer(self, open_chat):
        chat = await open_chat()
        chat.model.reply(Reply([said("Half of i"), Cut()]))
        await chat.send("Hi")
        assert await chat.text(".message.assistant .md") == "Half of i"
        assert await chat.page.locator(".message.assistant .banner.bad, .message.assistant .note.bad").count() == 1

    async def test_a_session_that_ended_leads_to_the_sign_in(self, open_chat):
        chat = await open_chat()
        await chat.site.running.gateway.stores.sessions.end_sessions(chat.site.person.account.id)
        await chat.send("Hi")
        link = chat.page.get_by_role("link", name="Sign in again")
        assert await link.get_attribute("href") == "/login?next=%2Fchat"


class TestHostile:
    TEXT = """# <img src=x onerror=boom()>

<script>boom()</script><iframe src="https://evil.example"></iframe>
<form action="https://evil.example"><input name=password></form> <style>*{display:none}</style>

[one](javascript:boom()) [two](JaVaScRiPt&#58;boom()) [three](data:text/html,<script>boom()</script>) [four](vbscript:x)
[five]( java&#x09;script:boom() ) <javascript:boom()> ![pixel](https://evil.example/pixel.png "x")
![svg](data:image/svg+xml;base64,PHN2ZyBvbmxvYWQ9ImJvb20oKSIvPg==)
[ok](https://good.example/"onclick="boom()) [mail](mailto:a@b.example)

| <b onmouseover=boom()>a</b> | [x](javascript:boom()) |
|---|---|
| `<img src=x onerror=boom()>` | b |

```html" onload="boom()
<img src=x onerror=boom()></code></pre><script>boom()</script>
```
"""

    async def test_hostile_text_stays_text(self, open_chat):
        chat = await open_chat()
        await chat.set_trap()
        chat.model.reply(says(*(self.TEXT[at : at + 9] for at in range(0, len(self.TEXT), 9))))
        await chat.send("Be hostile")
        await chat.page.get_by_text("onerror").first.wait_for()
        inside = "#content .md"
        for made in ("script", "iframe", "form", "style", "img", "object", "svg", "input", "b"):
            assert await chat.page.locator(f"{inside} {made}").count() == 0, made
        hrefs = await chat.page.evaluate(f"[...document.querySelectorAll('{inside} a')].map((link) => link.href)")
        assert {href.split(":")[0] for href in hrefs} <= {"https", "mailto"}
        attributes = await chat.page.evaluate(
            f"[...document.querySelectorAll('{inside} *')].flatMap((one) => one.getAttributeNames())"
        )
        assert {name for name in attributes if name.startswith("on") or name in ("style", "id", "name")} == set()
        assert not await chat.is_trapped()
        assert [url for url in chat.asked if "evil" in url] == []

    async def test_hostile_names_and_arguments_of_tools(self, open_chat):
        chat = await open_chat()
        bad = "<img src=x onerror=boom()>"
        call = called(bad, bad, bad)
        chat.model.reply(says(tool_calls=[call], reason="tool_calls", reasoning_content=bad))
        await chat.set_trap()
        await chat.send(bad)
        await chat.page.locator(".card").wait_for()
        assert bad in await chat.text(".card")
        assert await chat.page.locator("#chat img").count() == 0
        assert not await chat.is_trapped()

    async def test_text_that_is_hard_to_read_leaves_the_page_alive(self, open_chat):
        chat = await open_chat()
        for name, text in HARD.items():
            chat.model.queue(says(text, "\n\nThe end."), says("Still here."))
            await chat.send("Hi")
            assert await chat.page.locator(".md").last.inner_text(), name
            await chat.send("And?")
            assert await chat.page.locator(".md").last.inner_text() == "Still here.", name
            await chat.page.keyboard.press("Control+Shift+o")
            assert await chat.page.locator(".message").count() == 0


class TestForEverybody:
    async def test_by_keyboard_alone(self, open_chat):
        chat = await open_chat()
        keys = chat.page.keyboard
        chat.model.reply(says("Here."))
        await keys.press("Control+k")
        await keys.type("other")
        await keys.press("ArrowDown")
        await keys.press("ArrowUp")
        await keys.press("Enter")
        assert await chat.chosen_model() == "fake/other"
        await chat.page.locator("#chat-box").focus()
        await keys.type("First")
        await keys.press("Shift+Enter")
        await keys.type("Second")
        await keys.press("Enter")
        await chat.settled()
        assert chat.model.requests[0].json["messages"][0]["content"] == "First\nSecond"
        await keys.press("ArrowUp")
        assert await chat.page.evaluate("document.activeElement.value") == "First\nSecond"
        await keys.press("Escape")
        assert await chat.text(".usertext") == "First\nSecond"
        await keys.press("Control+Shift+o")
        assert await chat.page.locator(".message").count() == 0

    async def test_a_screen_reader_is_told_of_the_end(self, open_chat):
        chat = await open_chat()
        chat.model.reply(says("A sentence. ", "Another one."))
        await chat.send("Hi")
        said = await chat.text("[data-announcer]")
        assert "Another one." in said
        assert said.endswith("The answer of fake/model is complete.")

    async def test_no_serious_faults(self, open_chat):
        chat = await open_chat()
        look = Look(chat.page)
        text = "# A\n\n- [x] b\n\n| a | b |\n|---|---|\n| 1 | 2 |\n\n```python\nprint(1)\n```\n\n> c [d](https://e.example)"
        chat.model.reply(says(text, reasoning_content="hm"))
        await chat.send("Hi")
        assert await look.inspect() == []
        await chat.page.keyboard.press("Control+k")
        assert await look.inspect() == []
        await chat.page.keyboard.press("Escape")
        await chat.click("View code")
        assert await look.inspect() == []
        await chat.page.keyboard.press("Escape")
        await chat.click("Dry run")
        await chat.page.locator(".explained dl").wait_for()
        assert await look.inspect() == []


class TestDryRun:
    async def test_it_tells_what_a_send_then_does(self, open_chat):
        chat = await open_chat()
        await chat.page.get_by_label("System prompt").fill("<img src=x onerror=boom()>")
        await chat.write("Hi there")
        before = await chat.site.spent()
        await chat.click("Dry run")
        await chat.page.locator(".explained dl").wait_for()
        told = await chat.page.locator(".explained").inner_text()
        assert "fake/model" in told
        assert "The only target of fake/model." in told
        assert "quota" in told
        limit = int(re.search(r"Costs at most\s+([\d,]+) credits", told)[1].replace(",", ""))
        shown = await chat.page.locator(".explained pre").text_content()
        assert (chat.model.requests, await chat.site.spent()) == ([], before)
        await chat.page.keyboard.press("Escape")
        chat.model.reply(says("ok"))
        await chat.send("Hi there")
        [sent] = chat.model.requests
        assert orjson.loads(shown) == sent.json, "what was shown is what went out"
        assert 0 < await chat.site.spent() - before <= limit
        assert chat.problems == []

    async def test_a_refusal_says_who_and_why(self, open_chat):
        chat = await open_chat()
        account = chat.site.person.account
        everything = HoldRequest(
            "all", account.id, "", "2026-11", None, Decimal(account.balance), Decimal(0), 0, 0, "x"
        )
        await chat.site.running.gateway.stores.ledger.hold(everything)
        await chat.write("Hi")
        await chat.click("Dry run")
        told = await chat.page.locator(".explained .banner").inner_text()
        assert "refused by quota with status 402" in told


class TestCode:
    async def test_the_same_request_in_three_languages(self, open_chat):
        chat = await open_chat()
        chat.model.reply(says("ok"))
        await chat.page.get_by_label("System prompt").fill('Say "it\'s" \\ ok.')
        await chat.send("Hi\nthere ✓")
        await chat.click("View code")
        shown = {
            name: await chat.page.locator(f"#program-{name} + label + .tab code").text_content()
            for name in ("python", "javascript", "curl")
        }
        made: dict[str, Any] = {}

        class Completions:
            def create(self, **arguments: Any) -> list[Any]:
                made.update(arguments)
                return []

        class Client:
            def __init__(self, **arguments: Any) -> None:
                made["base_url"] = arguments["base_url"]
                self.chat = type("Chat", (), {"completions": Completions()})()

        code = shown["python"].replace("from openai import OpenAI", "")
        exec(code, {"OpenAI": Client})
        assert made.pop("base_url") == f"{chat.site.running.url}/v1"
        wanted = chat.sent[0]
        assert made == wanted
        script = shown["curl"].split("-d ", 1)[1]
        process = await asyncio.create_subprocess_exec(
            "sh", "-c", f"printf %s {script}", stdout=asyncio.subprocess.PIPE
        )
        out, _ = await process.communicate()
        assert orjson.loads(out) == wanted
        assert "chat.completions.create({" in shown["javascript"]
