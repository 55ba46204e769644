"""Looking at pages in a browser: what a page loads, whether everybody can read it, and a picture when a test fails."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from axe_playwright_python.async_playwright import Axe
from playwright.async_api import Browser, Page, Request

PICTURES = Path(__file__).resolve().parents[2] / "build" / "screenshots"
THEMES = ("light", "dark")
WIDTHS = (1280, 390)
_GRAVE = ("serious", "critical")


@dataclass
class Look:
    """A page in a browser. requests: all that it sent. errors: what its console complained of."""

    page: Page
    requests: list[Request] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)

    async def weight(self) -> int:
        """Bytes of all answers, as they were sent."""
        sizes = [await request.sizes() for request in self.requests]
        return sum(size["responseBodySize"] + size["responseHeadersSize"] for size in sizes)

    async def faults(self) -> list[str]:
        """What axe finds that keeps people from using the page."""
        found = (await Axe().run(self.page, options={"resultTypes": ["violations"]})).response["violations"]
        return [
            f"{one['id']}: {node['html'][:200]} {node['failureSummary'][:300]}"
            for one in found
            if one["impact"] in _GRAVE
            for node in one["nodes"]
        ]

    async def overflows(self) -> bool:
        """Whether the page is wider than the window."""
        wider: bool = await self.page.evaluate("document.documentElement.scrollWidth > window.innerWidth")
        return wider


@asynccontextmanager
async def looking(browser: Browser, name: str, *, theme: str = "light", width: int = 1280) -> AsyncIterator[Look]:
    """A fresh browser window. name: of the picture that a failing test leaves in build/screenshots.

    Afterwards the console must be without errors, and no request may have gone to another host than the first."""
    context = await browser.new_context(
        viewport={"width": width, "height": 900}, color_scheme="dark" if theme == "dark" else "light"
    )
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
        await page.screenshot(path=PICTURES / f"{name}-{theme}-{width}.png", full_page=True)
        raise
    finally:
        await context.close()
