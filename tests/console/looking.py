"""Looking at pages in a browser: what a page loads, whether everybody can read it, and a picture when a test fails."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from axe_playwright_python.async_playwright import Axe
from playwright.async_api import Browser, Page, Request

PICTURES = Path(__file__).resolve().parents[2] / "build" / "screenshots"
THEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")
WIDTHS = WIDE, NARROW = 1280, 390
_HEIGHT = 900
_GRAVE = ("serious", "critical")
_CONTRAST = "color-contrast"
_EACH_LOOK = """() => {
  const seen = new Map();
  for (const one of document.querySelectorAll("body *")) {
    const hasText = [...one.childNodes].some((node) => node.nodeType === Node.TEXT_NODE && node.data.trim());
    if (!(hasText || one.matches("input, select, textarea")) || !one.checkVisibility()) continue;
    const { color, fontSize, fontWeight } = getComputedStyle(one);
    let key = [color, fontSize, fontWeight].join();
    for (let at = one; at; at = at.parentElement) {
      const { backgroundColor, opacity } = getComputedStyle(at);
      key += `>${at.localName}.${at.className}.${backgroundColor}.${opacity}`;
    }
    if (!seen.has(key)) seen.set(key, one);
  }
  return [...seen.values()];
}"""
"""Of the elements with text, or with room for it, that look the same and stand in the same, the first: axe takes a
millisecond for the contrast of each, and a page has thousands."""


@dataclass
class Look:
    """A page in a browser. requests: all that it sent. errors: what its console complained of."""

    page: Page
    requests: list[Request] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)

    async def loads(self) -> dict[str, int]:
        """Bytes that came over the wire for the page that is there: address -> size, 0 for what the browser had."""
        kinds = "['navigation', 'resource'].flatMap((kind) => performance.getEntriesByType(kind))"
        found: dict[str, int] = await self.page.evaluate(
            f"Object.fromEntries({kinds}.map((one) => [one.name, one.transferSize]))"
        )
        return found

    async def show(self, theme: Literal["light", "dark"], width: int) -> None:
        """Let the page that is there be seen like this; it is not loaded again."""
        await self.page.emulate_media(color_scheme=theme, reduced_motion="reduce")
        await self.page.set_viewport_size({"width": width, "height": _HEIGHT})

    async def inspect(self, *, briefly: bool = False) -> list[str]:
        """What keeps people from using the page that is there, in both widths and themes; it stays as the last of them.

        A theme changes colours only, so all else is asked of one. briefly: of a narrow window, only whether the page
        fits in it: for long pages made of what others have."""
        found = []
        for width in WIDTHS:
            await self.show("light", width)
            faults = []
            if await self.page.evaluate("document.documentElement.scrollWidth > window.innerWidth"):
                faults.append("the page is wider than the window")
            is_shown = width == WIDE or not briefly
            if is_shown:
                faults += await _run_axe(self.page, "document", rules={_CONTRAST: {"enabled": False}})
            for theme in THEMES if is_shown else ():
                await self.show(theme, width)
                faults += await _run_axe(self.page, f"({_EACH_LOOK})()", runOnly=[_CONTRAST])
            found += [f"at {width}: {fault}" for fault in faults]
        return found


async def _run_axe(page: Page, elements: str, **options: Any) -> list[str]:
    """What axe finds that keeps people from using a page. elements: an expression for where it looks."""
    if not await page.evaluate("typeof axe === 'object'"):
        await page.evaluate(Axe().axe_script)
    found = await page.evaluate(
        f"(options) => axe.run({{ include: {elements} }}, options).then((results) => results.violations)",
        {"resultTypes": ["violations"], "preload": False, **options},
    )
    return [
        f"{one['id']}: {node['html'][:200]} {node['failureSummary'][:300]}"
        for one in found
        if one["impact"] in _GRAVE
        for node in one["nodes"]
    ]


@asynccontextmanager
async def looking(browser: Browser, name: str) -> AsyncIterator[Look]:
    """A fresh browser window. name: of the picture that a failing test leaves in build/screenshots.

    Afterwards the console must be without errors, and no request may have gone to another host than the first."""
    context = await browser.new_context(viewport={"width": WIDE, "height": _HEIGHT}, reduced_motion="reduce")
    page = await context.new_page()
    look = Look(page)
    page.on("request", lambda request: look.requests.append(request))
    page.on("pageerror", lambda error: look.errors.append(str(error)))
    page.on("console", lambda said: look.errors.append(said.text) if said.type == "error" else None)
    try:
        yield look
        assert look.errors == [], look.errors
        origins = {"/".join(request.url.split("/")[:3]) for request in look.requests}
        assert len({origin for origin in origins if origin.startswith("http")}) <= 1, origins
    except BaseException:  # a picture tells most; the failure itself goes on
        PICTURES.mkdir(parents=True, exist_ok=True)
        await page.screenshot(path=PICTURES / f"{name}.png", full_page=True)
        raise
    finally:
        await context.close()
