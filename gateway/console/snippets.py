"""A first request in each language, for a model, a key and this host: the programs of the documentation's first page,
which its tests run."""

from __future__ import annotations

import re
from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING

from gateway.console.docs import docs_folder
from gateway.console.highlight import SAMPLE_ADDRESSES, Highlighter
from gateway.console.markdown import TABS
from gateway.console.page import Visit

if TYPE_CHECKING:
    from markupsafe import Markup

LANGUAGES = ("Python", "JavaScript", "curl")
"""In which code is shown; the first is the default."""

_MODEL, _KEY = "muh-chat", "YOUR_KEY"
"""What the programs say where a reader's own belongs."""


class Snippets:
    """The programs, highlighted once, with places for what differs."""

    def __init__(self) -> None:
        page = (docs_folder() / "index.md").read_text("utf-8")
        highlighter = Highlighter()
        blocks = re.findall(r"^```(\w+)\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
        found = {TABS[fence]: (text, highlighter.html(text, fence)) for fence, text in blocks if fence in TABS}
        self._made = [(name, *found[name]) for name in LANGUAGES]

    def fill(self, base_url: str, model: str, key: str) -> list[tuple[str, str, str]]:
        """(language, text, HTML) of each."""
        values = ((SAMPLE_ADDRESSES[0], base_url), (_MODEL, model), (_KEY, key))
        filled = []
        for name, text, html in self._made:
            for place, value in values:
                text, html = text.replace(place, value), html.replace(place, escape(value))
            filled.append((name, text, html))
        return filled


async def first_request(visit: Visit, model: str, *, key: str = _KEY) -> Sequence[tuple[str, str, Markup]]:
    """A first request to `model` from this visitor's address, for the macro `code_tabs`. key: shown in it as it is."""
    from markupsafe import Markup

    snippets = await visit.shelf.get(Snippets)
    return [(name, text, Markup(html)) for name, text, html in snippets.fill(visit.base_url, model, key)]
