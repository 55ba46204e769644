"""The public pages in a browser: readable for everybody in both themes and widths, light, and better with scripts."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Browser

from gateway.testing import RunningGateway

from .chromium import chromium
from .conftest import CONFIG, Serve
from .looking import NARROW, WIDE, looking

__all__ = ["chromium"]

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.slow, pytest.mark.timeout(300)]

PAGES = {
    "catalogue": (
        "/", "/models", "/models?q=zzz", "/models/echo/echo", "/models/echo/pictures", "/models/best", "/pricing",
    ),
    "docs": ("/docs", "/docs/chat-completions", "/docs?q=stream", "/docs/reference", "/docs/reference/chat"),
    # Made of nothing that the others have not, but of so much that axe takes its time.
    "long": ("/docs/reference/account", "/docs/http-api", "/docs/compatibility", "/docs/plugins"),
}  # fmt: skip
WEIGHED = ("/", "/models", "/docs", "/docs/reference", "/docs/http-api", "/docs/compatibility")
HEAVIEST = 100_000


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def gateway(tmp_path_factory: pytest.TempPathFactory, serve: Serve) -> AsyncIterator[RunningGateway]:
    folder: Path = tmp_path_factory.mktemp("public")
    pictures = {"upstream": "echo", "operations": ["images"], "price": {"per_image": {"high": 0.17, "default": 0.05}}}
    async with serve(folder, {**CONFIG, "models": {**CONFIG["models"], "echo/pictures": pictures}}) as running:
        yield running


@pytest.mark.parametrize("group", PAGES)
async def test_everybody_can_read_the_pages(chromium: Browser, gateway: RunningGateway, group: str) -> None:
    async with looking(chromium, f"public-{group}") as look:
        for path in PAGES[group]:
            answer = await look.page.goto(gateway.url + path)
            assert answer is not None
            assert answer.status == 200, path
            assert await look.inspect(briefly=group == "long") == [], path


async def test_what_cannot_be_read_is_found(chromium: Browser, gateway: RunningGateway) -> None:
    """The other tests of this kind can fail: each of these faults is in some of the four looks only."""
    async with looking(chromium, "bad") as look:
        await look.page.goto(gateway.url + "/pricing")
        await look.page.evaluate(
            """() => {
              const [heading, text] = [document.querySelector("h1"), document.querySelector("main p")];
              heading.style.color = "#eee";
              text.style.color = "#333";
              heading.style.minWidth = "600px";
              heading.insertAdjacentHTML("afterend", "<a href='/'><img></a><div><input aria-label='Field'></div>");
              text.insertAdjacentHTML("afterend", "<ul><li><b>One</b><li><b>Two</b></ul>");
              document.querySelector("main input").style.color = "#aaa";
              document.querySelector("main li + li").style.backgroundColor = "#777";
            }"""
        )
        found = await look.inspect()
        for width in (1280, 390):
            here = [fault for fault in found if fault.startswith(f"at {width}")]
            for fault in (
                "image-alt", "link-name", "foreground color: #eeeeee", "foreground color: #333333",
                "foreground color: #aaaaaa", "background color: #777777",
            ):  # fmt: skip
                assert [one for one in here if fault in one] != [], fault
        assert "at 390: the page is wider than the window" in found


async def test_pages_are_light_and_ask_nobody_else(chromium: Browser, gateway: RunningGateway) -> None:
    async with looking(chromium, "weight") as look:
        browser = await look.page.context.new_cdp_session(look.page)
        await browser.send("Network.enable")
        await browser.send("Network.setCacheDisabled", {"cacheDisabled": True})
        for path in WEIGHED:
            await look.page.goto(gateway.url + path)
            loads = await look.loads()
            assert 0 not in loads.values(), loads
            assert 10_000 < sum(loads.values()) < HEAVIEST, loads
            assert 2 < len(loads) <= 8, loads


async def test_the_second_page_loads_nothing_but_itself(chromium: Browser, gateway: RunningGateway) -> None:
    """A busy browser takes its time to keep what it has loaded, so some more pages may be the second."""
    async with looking(chromium, "second") as look:
        await look.page.goto(gateway.url + "/")
        for path in ("/pricing", "/models", "/pricing", "/models", "/pricing"):
            await look.page.goto(gateway.url + path)
            loads = await look.loads()
            assert len(loads) > 2, "a style sheet and a script stand beside the page"
            fetched = [address for address, size in loads.items() if size > 0]
            if fetched == [gateway.url + path]:
                break
        assert fetched == [gateway.url + path]


async def test_the_theme_is_remembered_and_rendered(chromium: Browser, gateway: RunningGateway) -> None:
    async with looking(chromium, "theme") as look:
        page = look.page
        await page.goto(gateway.url + "/")
        bright = await page.evaluate("getComputedStyle(document.documentElement).backgroundColor")
        await page.click("[data-theme-switch]")
        await page.click("[data-theme-switch]")
        assert await page.get_attribute("html", "data-theme") == "dark"
        assert await page.evaluate("getComputedStyle(document.documentElement).backgroundColor") != bright
        answer = await page.goto(gateway.url + "/pricing")
        assert answer is not None
        assert 'data-theme="dark"' in await answer.text()


async def test_a_language_is_chosen_once(chromium: Browser, gateway: RunningGateway) -> None:
    async with looking(chromium, "language") as look:
        page = look.page
        await page.goto(gateway.url + "/docs/chat-completions")
        assert await page.locator(".tabs pre:visible").first.inner_text() != ""
        await page.locator(".tabs label", has_text="curl").first.click()
        chosen = await page.locator(".tabs > input:checked").evaluate_all("all => all.map((one) => one.value)")
        assert set(chosen) == {"curl"}
        await page.goto(gateway.url + "/")
        assert "curl " in await page.locator(".tabs pre:visible").inner_text()
        # With the keyboard alone.
        await page.locator(".tabs > input:checked").focus()
        await page.keyboard.press("ArrowLeft")
        assert "new OpenAI" in await page.locator(".tabs pre:visible").inner_text()


async def test_code_is_copied(chromium: Browser, gateway: RunningGateway) -> None:
    async with looking(chromium, "copy") as look:
        page = look.page
        await page.context.grant_permissions(["clipboard-read", "clipboard-write"])
        await page.goto(gateway.url + "/")
        await page.click(".copyable button")
        await page.locator(".copyable button", has_text="Copied").wait_for()
        assert await page.inner_text("#said") == "Copied"
        assert await page.evaluate("navigator.clipboard.readText()") == gateway.url + "/v1"


async def test_the_documentation_is_searched_in_the_browser(chromium: Browser, gateway: RunningGateway) -> None:
    async with looking(chromium, "search") as look:
        page = look.page
        await look.show("light", NARROW)
        await page.goto(gateway.url + "/docs")
        pages = page.locator(".docs-list nav")
        assert not await pages.is_visible()
        await look.show("light", WIDE)
        await pages.wait_for()
        await page.keyboard.press("/")
        await page.keyboard.type("idempotency key")
        await page.locator(".docs-found a").first.wait_for()
        before = len(look.requests)
        await page.keyboard.type(" ")
        await page.keyboard.press("ArrowDown")
        assert len(look.requests) == before
        await page.keyboard.press("Enter")
        await page.wait_for_url("**/docs/http-api#idempotency-key")
        await page.fill("#docs-q", "zzzz")
        await page.locator(".docs-found p", has_text="No page has all of these words: zzzz").wait_for()


async def test_the_catalogue_filters_while_one_types(chromium: Browser, gateway: RunningGateway) -> None:
    async with looking(chromium, "filter") as look:
        page = look.page
        await page.goto(gateway.url + "/models")
        await page.fill('input[name="q"]', "repeats")
        assert await page.locator("tbody tr:visible").count() == 1
        assert await page.inner_text("[data-count]") == "1"
        assert page.url.endswith("/models?q=repeats")
        await page.fill('input[name="q"]', "zzz")
        assert await page.is_visible("[data-none]")
        await page.fill('input[name="q"]', "")
        await page.select_option('select[name="ability"]', "tools")
        await page.wait_for_url("**ability=tools**")
        assert await page.locator("tbody tr").count() == 1


async def test_pages_are_whole_without_scripts(chromium: Browser, gateway: RunningGateway) -> None:
    context = await chromium.new_context(java_script_enabled=False)
    page = await context.new_page()
    await page.goto(gateway.url + "/docs/chat-completions")
    await page.locator(".tabs label", has_text="curl").first.click()
    assert "curl " in await page.locator(".tabs pre:visible").first.inner_text()
    assert not await page.locator("button[data-copy]").first.is_visible()
    await page.fill("#docs-q", "idempotency")
    await page.keyboard.press("Enter")
    await page.wait_for_url("**/docs?q=idempotency")
    assert await page.locator(".results a").count() > 1
    await page.goto(gateway.url + "/models")
    await page.fill('input[name="q"]', "repeats")
    await page.click("form.filters button")
    await page.wait_for_url("**q=repeats**")
    assert await page.locator("tbody tr").count() == 1
    await context.close()


async def test_the_first_stop_of_the_keyboard_skips_to_the_content(chromium: Browser, gateway: RunningGateway) -> None:
    async with looking(chromium, "skip") as look:
        page = look.page
        await page.goto(gateway.url + "/models")
        await page.keyboard.press("Tab")
        assert await page.evaluate("document.activeElement.textContent") == "Skip to the content"
        await page.keyboard.press("Enter")
        assert await page.evaluate("document.activeElement.id") == "content"
