"""A first request in each language, for a model, a key and this host: programs of the documentation, which its tests
run."""

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

_KEY = "YOUR_KEY"
"""What the programs say where a reader's own belongs."""
_PROGRAMS = {
    "chat": ("index.md", r"chat[./]completions"),
    "images": ("images.md", r"images[./]generat"),
    "speech": ("audio.md", r"audio[./]speech"),
    "transcriptions": ("audio.md", r"audio[./]transcriptions"),
    "moderations": ("audio.md", r"moderations"),
}
"""By operation: the page, and what its programs call; the first that does so is taken, of each language."""
_MODEL = re.compile(r"""\bmodel["']?\s*[:=]\s*["']?([\w./-]+)""")


class Snippets:
    """The programs for an operation, highlighted once, with places for what differs."""

    def __init__(self, operation: str) -> None:
        page, called = _PROGRAMS[operation]
        text = (docs_folder() / page).read_text("utf-8")
        highlighter = Highlighter()
        found: dict[str, tuple[str, str, str]] = {}
        for fence, code in re.findall(r"^```(\w+)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
            model = _MODEL.search(code)
            if fence in TABS and model and re.search(called, code) and TABS[fence] not in found:
                found[TABS[fence]] = (model[1], code, highlighter.html(code, fence))
        self._made = [(name, *found[name]) for name in LANGUAGES]

    def fill(self, base_url: str, model: str, key: str) -> list[tuple[str, str, str]]:
        """(language, text, HTML) of each."""
        filled = []
        for name, sample, text, html in self._made:
            for place, value in ((SAMPLE_ADDRESSES[0], base_url), (sample, model), (_KEY, key)):
                text, html = text.replace(place, value), html.replace(place, escape(value))
            filled.append((name, text, html))
        return filled


def shown_operation(operations: Sequence[str]) -> str:
    """Of what a model does, that for which there is a first request; "" when there is none."""
    return next((name for name in _PROGRAMS if name in operations), "")


async def first_request(
    visit: Visit, model: str, *, operation: str = "chat", key: str = _KEY
) -> Sequence[tuple[str, str, Markup]]:
    """A first request to `model` from this visitor's address, for the macro `code_tabs`. operation: of those that
    `shown_operation` tells. key: shown in it as it is."""
    from markupsafe import Markup

    snippets = await visit.shelf.get(Snippets, operation)
    return [(name, text, Markup(html)) for name, text, html in snippets.fill(visit.base_url, model, key)]
