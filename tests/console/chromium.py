"""A real browser for tests: Debian's Chromium, driven by Playwright. Without it they are skipped."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from playwright.async_api import Browser, async_playwright

PATH = shutil.which("chromium") or shutil.which("chromium-browser")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def chromium() -> AsyncIterator[Browser]:
    """A running browser, one for all tests of a module; those run in the module's loop."""
    if PATH is None:
        pytest.skip("Chromium is not installed (Debian: apt-get install chromium)")
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=PATH, args=["--no-sandbox"])
        yield browser
        await browser.close()
