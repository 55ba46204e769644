"""Code as HTML with the kinds of its words marked, and what readers differ in filled in afterwards."""

from __future__ import annotations

import re
from collections.abc import Sequence
from html import escape
from typing import Any

SAMPLE_ADDRESSES = ("http://127.0.0.1:8080", "https://gateway.example")
"""The gateway's address in the examples of the documentation; readers see the one they use."""

_CHOICE = re.compile("\x02([^\x03]*)\x03([^\x04]*)\x04")


class Highlighter:
    """Highlights code with Pygments, which is loaded when one is made. Classes begin with `h-`."""

    def __init__(self) -> None:
        from pygments import highlight
        from pygments.formatters import HtmlFormatter
        from pygments.lexers import get_lexer_by_name

        self._highlight = highlight
        self._formatter = HtmlFormatter(nowrap=True, classprefix="h-")
        names = {"python": "python", "javascript": "javascript", "js": "javascript", "json": "json", "yaml": "yaml"}
        names |= {"bash": "bash", "sh": "bash", "console": "console", "toml": "toml"}
        self._lexers: dict[str, Any] = {name: get_lexer_by_name(lexer) for name, lexer in names.items()}

    def html(self, code: str, language: str) -> str:
        """Safe HTML; plain text for a language that is not known."""
        lexer = self._lexers.get(language)
        if lexer is None:
            return escape(code)
        made: str = self._highlight(code, lexer, self._formatter)
        return made


def mark_choice(name: str, names: Sequence[str]) -> str:
    """The place in a tab's `<input>` where `checked` may stand. name: its language; names: those of its group."""
    return f"\x02{name}\x03{','.join(names)}\x04"


def fill(html: str, *, base_url: str, language: str) -> str:
    """HTML for one reader. base_url: how they reach the gateway. language: of which the tabs are open; groups without
    it open their first."""

    def choose(found: re.Match[str]) -> str:
        name, names = found[1], found[2].split(",")
        shown = language if language in names else names[0]
        return " checked" if name == shown else ""

    for sample in SAMPLE_ADDRESSES:
        html = html.replace(sample, escape(base_url))
    return _CHOICE.sub(choose, html)
